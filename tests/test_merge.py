"""What a step wrote to two pipes and a socket comes out in the order in which it was written, however it arrives."""

from __future__ import annotations

import os
import select
import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbvertex.runtime import streams, wire
from nbvertex.runtime.merge import Frame, Merge, Text

MARK = b"\x00mark-of-16-bytes"
# what a step does: text on one of two streams, or a frame; texts may look like the beginning of a mark
texts = st.sampled_from([b"a", b"bc\n", b"\x00", b"\x00mark", MARK[:-1], b"\xff" * 3])
deeds = st.lists(
    st.tuples(st.sampled_from(["stdout", "stderr"]), texts) | st.just(("frame", b"")), max_size=30
)


def written(acts: list[tuple[str, bytes]]) -> tuple[dict[str, bytes], list[bytes]]:
    """What the pipes and the socket hold after a step did that."""
    sock, ours = socket.socketpair()
    ends = {name: os.pipe() for name in ("stdout", "stderr")}
    outlet = streams.Outlet(sock, (ends["stdout"][1], ends["stderr"][1]), MARK, limit=1000)
    numbers = {"stdout": 1, "stderr": 2}
    for count, (what, data) in enumerate(acts):
        if what == "frame":
            outlet.frame({"kind": "n", "n": count})
        else:
            if outlet.last != numbers[what]:
                outlet.switch(numbers[what])
            os.write(ends[what][1], data)
    found = {}
    for name, (read, write) in ends.items():
        os.close(write)
        found[name] = os.read(read, 1 << 20)
        os.close(read)
    sock.close()
    frames = []
    while data := ours.recv(1 << 20):
        frames.append(data)
    ours.close()
    return found, [b"".join(frames)]


def joined(items: list[Any]) -> list[tuple[str, bytes]]:
    """Neighbouring texts of one stream as one."""
    out: list[tuple[str, bytes]] = []
    for item in items:
        one = (
            (item.stream, item.data) if isinstance(item, Text) else ("frame", str(item.header["n"]).encode())
        )
        if out and one[0] == out[-1][0] != "frame":
            out[-1] = (one[0], out[-1][1] + one[1])
        elif one[0] == "frame" or one[1]:
            out.append(one)
    return out


@given(deeds, st.data())
def test_the_order_is_that_of_writing_however_the_bytes_arrive(
    acts: list[tuple[str, bytes]], data: st.DataObject
) -> None:
    """The pipes and the socket are read in pieces of any size, one of the three at a time."""
    pipes, frames = written(acts)
    left = {**pipes, "frames": frames[0]}
    merge, decoder, came = Merge(MARK), wire.Decoder(), []
    while any(left.values()):
        source = data.draw(st.sampled_from(sorted(name for name, rest in left.items() if rest)))
        size = data.draw(st.integers(1, len(left[source])))
        piece, left[source] = left[source][:size], left[source][size:]
        if source == "frames":
            for header, blobs in decoder.feed(piece):
                merge.frame(header, blobs)
        else:
            merge.text(source, piece)
        came += merge.take()
    came += merge.finish()
    expected = [(what, str(n).encode() if what == "frame" else text) for n, (what, text) in enumerate(acts)]
    wanted = joined([
        Frame({"n": int(text)}, []) if what == "frame" else Text(what, text) for what, text in expected
    ])  # fmt: skip
    assert joined(came) == wanted


@given(deeds, st.data())
def test_nothing_is_lost_where_the_writer_died(acts: list[tuple[str, bytes]], data: st.DataObject) -> None:
    """Marks and frames may be missing then; each stream is still whole and in its own order."""
    pipes, frames = written(acts)
    cut = data.draw(st.integers(0, len(frames[0])))
    merge, decoder = Merge(MARK), wire.Decoder()
    for header, blobs in decoder.feed(frames[0][:cut]):
        merge.frame(header, blobs)
    for name, text in pipes.items():
        merge.text(name, text)
    came = [*merge.take(), *merge.finish()]
    for name in pipes:
        whole = b"".join(item.data for item in came if isinstance(item, Text) and item.stream == name)
        assert whole == b"".join(text for what, text in acts if what == name)


@given(st.lists(st.tuples(st.dictionaries(st.text(), st.integers() | st.text()), st.lists(st.binary(), max_size=3)), max_size=5), st.integers(1, 50))  # fmt: skip
def test_frames_survive_the_wire(frames: list[tuple[dict[str, Any], list[bytes]]], size: int) -> None:
    """Cut anywhere; headers with any text, blobs of any length, none too."""
    sent = [({f"k{key}": value for key, value in header.items()}, blobs) for header, blobs in frames]
    data = b"".join(bytes(piece) for header, blobs in sent for piece in wire.pack(header, blobs))
    decoder, came = wire.Decoder(), []
    for start in range(0, len(data), size):
        came += decoder.feed(data[start : start + size])
    assert [({k: v for k, v in header.items() if k != "blobs"}, blobs) for header, blobs in came] == sent


def test_a_blocking_reader_reads_what_the_decoder_reads() -> None:
    """And says so where the other side has gone in the midst of a frame."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        wire.send(theirs, {"a": 1}, [b"blob", b""])
        assert wire.read(ours) == ({"a": 1, "blobs": [4, 0]}, [b"blob", b""])
        theirs.sendall(b"\x00\x00\x00\x10{")
        theirs.close()
        assert wire.read(ours) is None


@pytest.mark.parametrize("text", ["", "x", "ä" * 10, "\ud800", "x" * 200_000])
def test_a_stream_writes_all_of_a_text(text: str) -> None:
    """Also into a pipe that another process has made non-blocking, and that is full."""
    read, write = os.pipe()
    sock, other = socket.socketpair()
    with sock, other:
        os.set_blocking(write, False)
        stream = streams.Stream("stdout", 1)
        assert stream.write("held") == 4
        assert stream.held == ["held"]
        stream.connect(streams.Outlet(sock, (write, write), MARK, limit=1000))
        child = os.fork()
        if child == 0:
            stream.write(text)
            os._exit(0)
        os.close(write)
        came = b""
        while select.select([read], [], [], 10)[0] and (data := os.read(read, 1 << 16)):
            came += data
        os.waitpid(child, 0)
        os.close(read)
    assert came == text.encode("utf-8", "backslashreplace")


def test_a_stream_takes_only_text() -> None:
    """As any text stream of Python's."""
    read, write = os.pipe()
    sock, other = socket.socketpair()
    with sock, other:
        stream = streams.Stream("stdout", 1)
        stream.connect(streams.Outlet(sock, (write, write), MARK, limit=1000))
        with pytest.raises(TypeError, match="must be str, not <class 'bytes'>"):
            stream.write(b"x")  # type: ignore[arg-type]
        stream.close()
        stream.writelines(["a", "b"])
        assert stream.writable()
        assert not stream.isatty()
    for fd in (read, write):
        os.close(fd)
