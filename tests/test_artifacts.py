"""Bytes go into the store whole or not at all, and come out as they went in or not at all."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbvertex.artifacts import SMALL, Damaged, Store, digest_of
from nbvertex.database import Database
from nbvertex.errors import StoreError
from nbvertex.home import Home, writing


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    home = Home(tmp_path / "home")
    home.prepare()
    database = Database(home.database)
    yield Store(database, home.artifacts)
    database.close()


SIZES = [0, 1, SMALL, SMALL + 1, 3_000_000]


@pytest.mark.parametrize("size", SIZES)
def test_what_goes_in_comes_out(store: Store, size: int) -> None:
    """Every size is given back byte for byte; small ones need no file."""
    data = os.urandom(size)
    digest = store.put(data)
    assert digest == digest_of(data)
    assert store.get(digest) == data
    assert store.holds([(digest, size)])
    assert store.place(digest).exists() == (size > SMALL)
    store.verify(digest)


@pytest.mark.parametrize("size", SIZES[1:])
def test_putting_twice_keeps_one(store: Store, size: int) -> None:
    """The same bytes have the same address."""
    data = os.urandom(size)
    assert store.put(data) == store.put(data)
    assert len(list(store.files())) == (size > SMALL)


@given(st.binary(min_size=1, max_size=200), st.data())
def test_flipped_bit_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, draw: st.DataObject
) -> None:
    """Whichever bit of a stored artifact changes, reading it is an error that names it."""
    home = Home(tmp_path_factory.mktemp("flip"))
    home.prepare()
    database = Database(home.database)
    store = Store(database, home.artifacts)
    digest = digest_of(data)
    store.put_file(digest, data)
    place = draw.draw(st.integers(0, len(data) * 8 - 1))
    harmed = bytearray(data)
    harmed[place // 8] ^= 1 << place % 8
    os.chmod(store.place(digest), 0o644)
    store.place(digest).write_bytes(harmed)
    with pytest.raises(Damaged, match=digest[:12]):
        store.get(digest)
    with pytest.raises(Damaged):
        store.verify(digest)
    database.close()


def test_swapped_blobs_are_noticed(store: Store) -> None:
    """A valid artifact under another's address is an error too."""
    one, two = store.put(b"one"), store.put(b"two")
    with store._database.write() as tx:
        tx.execute("UPDATE blobs SET data = ? WHERE digest = ?", (b"two", one))
    with pytest.raises(Damaged):
        store.get(one)
    assert store.get(two) == b"two"


def test_cut_file_is_noticed_without_reading(store: Store) -> None:
    """The size alone tells that a file was cut."""
    data = os.urandom(SMALL + 10)
    digest = store.put(data)
    os.chmod(store.place(digest), 0o644)
    store.place(digest).write_bytes(data[:-1])
    assert not store.holds([(digest, len(data))])
    with pytest.raises(Damaged, match="65,545 bytes instead of 65,546"):
        store.path(digest, len(data))


def test_missing_artifacts(store: Store) -> None:
    """What is not there is an error that names it and says what helps."""
    digest = digest_of(b"?")
    assert not store.holds([(digest, 1)])
    assert not store.holds([(digest, SMALL + 1)])
    for read in (store.get, store.path, store.verify):
        with pytest.raises(Damaged, match="is missing") as caught:
            read(digest)
        assert caught.value.hint is not None


def test_files_cannot_be_written_by_accident(store: Store) -> None:
    """An artifact's file is read-only."""
    digest = store.put(os.urandom(SMALL + 1))
    assert stat.S_IMODE(store.place(digest).stat().st_mode) == 0o444


def test_adopted_file_moves(store: Store, tmp_path: Path) -> None:
    """A file that a step has written becomes an artifact without being copied."""
    data = os.urandom(100)
    draft = store.folder / "draft"
    draft.write_bytes(data)
    inode = draft.stat().st_ino
    store.adopt(digest_of(data), draft)
    assert not draft.exists()
    assert store.path(digest_of(data)).stat().st_ino == inode


def test_row_is_never_there_without_the_file(store: Store) -> None:
    """A file that was removed before its row is written makes the row fail."""
    with pytest.raises(Damaged), store._database.write() as tx:
        store.add(tx, [(digest_of(b"?"), SMALL + 1, None)])
    assert store._database.rows("SELECT * FROM artifacts") == []


def test_removing(store: Store) -> None:
    """What is removed is gone, row and bytes, and its size is told."""
    small, large = store.put(b"small"), store.put(os.urandom(SMALL + 1))
    assert store.remove([small, large]) == 5 + SMALL + 1
    assert list(store.files()) == []
    assert not store.holds([(small, 5)])


class Full:
    """A disk that takes no more: the n-th call of a function fails."""

    def __init__(self, number: int, code: int) -> None:
        self.left = number
        self.code = code

    def __call__(self, function: object) -> object:
        def call(*args: object, **named: object) -> object:
            self.left -= 1
            if self.left == 0:
                raise OSError(self.code, os.strerror(self.code))
            return function(*args, **named)  # type: ignore[operator]

        return call


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("call", ["fsync", "replace", "fchmod"])
@pytest.mark.parametrize("number", [1, 2])
def test_failing_disk_leaves_nothing_half_written(
    store: Store, monkeypatch: pytest.MonkeyPatch, call: str, number: int, code: int
) -> None:
    """Whichever call fails: one error of ours with path and size, no draft, and a second try succeeds."""
    data = os.urandom(SMALL + 1)
    with monkeypatch.context() as patch:
        patch.setattr(os, call, Full(number, code)(getattr(os, call)))
        try:
            store.put(data)
        except StoreError as error:
            assert str(store.place(digest_of(data))) in str(error)
            assert "65,537 bytes needed" in str(error)
            assert error.code == ("disk-full" if code == errno.ENOSPC else "unwritable")
            assert store._database.rows("SELECT * FROM artifacts") == []
    assert all(digest == digest_of(data) for digest, _ in store.files())
    assert store.get(store.put(data)) == data


def test_error_border_keeps_other_errors() -> None:
    """Only what the file system says is translated."""
    with pytest.raises(ZeroDivisionError), writing(Path("x")):
        1 / 0  # noqa: B018 - it is there to fail
