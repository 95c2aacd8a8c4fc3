"""What steps leave for later ones where no book is kept: a folder each, put together in notebook order."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from . import container
from .closure import apply, closure
from .jobs import Done

FORMAT = "nbvertex.delta/1"
STATE, VALUES, FILES = "state.json", "values", "files"
_DRAWN = frozenset({"@random", "@numpy.random", "@torch"})  # state that nobody uses without changing it


PYTHON = ".".join(map(str, sys.version_info[:2]))


class NotTheSame(Exception):
    """Steps ran side by side although the later one should have seen what the earlier one did."""


class Unreadable(Exception):
    """A folder does not hold what a step left."""


@dataclass(frozen=True)
class Held:
    """An artifact as a step left it; see `nbvertex.state.Held`. ``folder`` is where its bytes are, ``place`` its step's working folder."""

    digest: str
    size: int
    format: str
    entries: tuple[str, ...]
    refs: tuple[str, ...] = ()
    free: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    types: Mapping[str, str] = field(default_factory=dict)
    folder: str = ""
    place: str = ""

    @property
    def path(self) -> str:
        return os.path.join(self.folder, VALUES, self.digest)


@dataclass(frozen=True)
class Seen:
    """What a step loaded.

    Args:
        names: name -> entry, None for a name that was not bound.
        homes: entry -> digest of its home.
        also: the names among them that nobody asked for: another name of an object tells a step nothing.
    """

    names: Mapping[str, str | None] = field(default_factory=dict)
    homes: Mapping[str, str] = field(default_factory=dict)
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class FileLeft:
    """A path of the working folder that a step wrote to.

    Args:
        kind: ``file``, ``folder``, ``link`` or ``gone``.
        content: the digest of a file; where a link leads.
        mode: the permissions.
        time: when it was written, in nanoseconds.
    """

    kind: str
    content: str = ""
    mode: int = 0o755
    time: int = 0


@dataclass(frozen=True)
class Delta:
    """What one step left.

    Args:
        step, index: its name and its place in the notebook.
        names: name -> entry; None where the name is gone.
        held: the artifacts that are new.
        files: path in the working folder -> what became of it.
        wanted: the names it asked for; None: all.
        draws: it draws random numbers.
        seen: what it was given.
        ended: the notebook ended the run in it, with `sys.exit()`: nothing after it is run.
        python: the version of Python that wrote it, like ``3.12``: another may not read its code.
        place: its working folder, which is another one where a machine runs several steps at a time.
        after: the places of the steps whose work it saw.
        read: paths in the working folder that it opened.
        round, item, written: of one round of a step that runs over a list: which, counted from 1, the item in a few
            words, and the names that it wrote.
        folder: where it lies.
    """

    step: str
    index: int
    names: Mapping[str, str | None] = field(default_factory=dict)
    held: tuple[Held, ...] = ()
    files: Mapping[str, FileLeft] = field(default_factory=dict)
    wanted: tuple[str, ...] | None = ()
    draws: bool = False
    seen: Seen = field(default_factory=Seen)
    ended: bool = False
    python: str = PYTHON
    place: str = ""
    after: tuple[int, ...] = ()
    read: tuple[str, ...] = ()
    round: int = 0
    item: str = ""
    written: tuple[str, ...] = ()
    folder: str = ""


@dataclass
class World:
    """The state after some steps: name -> entry, entry -> what holds it, path -> the file."""

    names: dict[str, str] = field(default_factory=dict)
    homes: dict[str, Held] = field(default_factory=dict)
    files: dict[str, tuple[FileLeft, str]] = field(default_factory=dict)

    def inputs(self, wanted: Iterable[str] | None) -> tuple[Seen, tuple[Held, ...]]:
        """What a step loads that reads these names."""
        try:
            names, also, held = closure(self.names, self.homes, wanted)
        except KeyError as missing:
            raise Unreadable(f"no step left a value for {missing.args[0]}") from None
        homes = {entry: one.digest for one in held for entry in one.entries}
        return Seen({**names, **also}, homes, tuple(sorted(also))), held

    def copy(self) -> World:
        """Another that begins as this one."""
        return World(dict(self.names), dict(self.homes), dict(self.files))

    def apply(self, delta: Delta) -> None:
        """Do to the state what a step did."""
        apply(self.names, self.homes, delta.names, delta.held)
        for path, file in delta.files.items():
            if file.kind != "gone":
                self.files[path] = file, delta.folder
            else:
                self.files.pop(path, None)


def merge(deltas: Iterable[Delta]) -> World:
    """The state after these steps, in notebook order.

    Args:
        deltas: of a step's ancestors, each with all of its own.

    Raises:
        NotTheSame: one of them did not see what an earlier one did to what it read.
    """
    world = World()
    deltas = list(deltas)
    other = next((delta for delta in deltas if delta.python != PYTHON), None)
    if other is not None:
        raise Unreadable(
            f"step {other.step} ran with Python {other.python}, and this is {PYTHON}: give both images the same"
        )
    ordered = sorted(deltas, key=lambda delta: delta.index)
    for number, delta in enumerate(ordered):
        for earlier in ordered[:number]:
            if earlier.index not in delta.after and (paths := same_files(earlier, delta)):
                raise NotTheSame(
                    f"step {delta.step} ran beside step {earlier.step}, which wrote to {', '.join(paths)}; "
                    f"say `after:{earlier.step}` on {delta.step}"
                )
        now, _ = world.inputs(delta.wanted)
        differing = _differing(delta.seen, now)
        if differing and (delta.draws or not differing <= _DRAWN or not differing.isdisjoint(delta.names)):
            raise NotTheSame(
                f"step {delta.step} ran without what an earlier step, beside which it ran, did to "
                f"{', '.join(sorted(differing))}; name that step in an `after:` mark on {delta.step}"
            )
        world.apply(delta)
    return world


def same_files(earlier: Delta, later: Delta) -> list[str]:
    """Paths that one wrote to and the other wrote to otherwise, or read."""
    theirs = {path for path, left in earlier.files.items() if left.kind != "folder"}
    both = {
        path for path in theirs & later.files.keys() if not _alike(earlier.files[path], later.files[path])
    }
    return sorted(both | (theirs & set(later.read)))


def _alike(one: FileLeft, other: FileLeft) -> bool:
    return (one.kind, one.content, one.mode) == (other.kind, other.content, other.mode)


def _differing(before: Seen, now: Seen) -> frozenset[str]:
    def told(seen: Seen, name: str) -> tuple[str | None, str | None]:
        entry = seen.names.get(name)
        return entry, seen.homes.get(entry or "")

    asked = (before.names.keys() - set(before.also)) | (now.names.keys() - set(now.also))
    return frozenset(n for n in asked if told(before, n) != told(now, n))


def difference(before: Seen, done: Done) -> tuple[dict[str, str | None], tuple[Held, ...]]:
    """What a step changed of what it loaded, and what it made anew: names, and artifacts without their folder."""
    names = {name: entry for name, entry in done.names.items() if before.names.get(name, "") != entry}
    held = tuple(
        Held(
            digest=meta["digest"],
            size=meta["size"],
            format=meta["format"],
            entries=tuple(meta["entries"]),
            refs=tuple(meta.get("refs", ())),
            free=tuple(meta.get("free", ())),
            modules=tuple(meta.get("modules", ())),
            types=dict(meta.get("types", {})),
        )
        for meta in done.artifacts
    )
    return names, tuple(h for h in held if any(before.homes.get(e) != h.digest for e in h.entries))


def read(folder: str) -> Delta:
    """What a step left in a folder.

    Raises:
        Unreadable: it is not there, or written by another version.
    """
    try:
        with open(os.path.join(folder, STATE), encoding="utf-8") as file:
            said: dict[str, Any] = json.load(file)
    except (OSError, ValueError) as error:
        raise Unreadable(f"{folder} does not hold what a step left: {error}") from error
    if said.pop("format", None) != FORMAT:
        raise Unreadable(f"{folder} was written by another version of nbvertex")
    wanted = said.pop("wanted")
    return Delta(
        wanted=None if wanted is None else tuple(wanted),
        after=tuple(said.pop("after")),
        read=tuple(said.pop("read")),
        written=tuple(said.pop("written")),
        held=tuple(_held(one, folder, said["place"]) for one in said.pop("held")),
        seen=_seen(said.pop("seen")),
        files={path: FileLeft(**one) for path, one in said.pop("files").items()},
        folder=folder,
        **said,
    )


def _seen(said: Mapping[str, Any]) -> Seen:
    return Seen(said["names"], said["homes"], tuple(said["also"]))


def _held(said: Mapping[str, Any], folder: str, place: str) -> Held:
    tuples = {key: tuple(said[key]) for key in ("entries", "refs", "free", "modules")}
    return Held(**{**said, **tuples, "folder": folder, "place": place})


def write(folder: str, delta: Delta, done: Done) -> None:
    """Write what a step left: its values, then the word that they are there.

    Args:
        folder: where to; made if it is not there.
        delta: what it left.
        done: holds the bytes, or says where they are.
    """
    os.makedirs(os.path.join(folder, VALUES), exist_ok=True)
    kept = {held.digest for held in delta.held}
    for meta in done.artifacts:
        target = os.path.join(folder, VALUES, meta["digest"])
        if meta["digest"] not in kept or _is_whole(target, meta["size"]):
            continue
        if "blob" in meta:
            with open(target, "wb") as file:
                file.write(done.blobs[meta["blob"]])
        else:
            shutil.copyfile(meta["path"], target)
    said = {key: value for key, value in asdict(delta).items() if key != "folder"}
    here = ("folder", "place")
    said["held"] = [{key: value for key, value in one.items() if key not in here} for one in said["held"]]
    with open(os.path.join(folder, STATE), "w", encoding="utf-8") as file:
        json.dump({"format": FORMAT, **said}, file, indent=1, sort_keys=True)


def _is_whole(path: str, size: int) -> bool:
    """Whether an earlier attempt has written it; one that was killed may have begun."""
    try:
        return os.path.getsize(path) == size
    except OSError:
        return False


def hand_out(held: Sequence[Held], scratch: str) -> tuple[list[dict[str, Any]], list[bytes]]:
    """The artifacts as `heap.load` wants them: small ones as blobs, large ones as files of this machine."""
    records: list[dict[str, Any]] = []
    blobs: list[bytes] = []
    for one in held:
        record: dict[str, Any] = {"digest": one.digest, "entries": list(one.entries)}
        if one.size <= container.SMALL:
            with open(one.path, "rb") as file:
                blobs.append(file.read())
            record["blob"] = len(blobs) - 1
        else:  # a bucket that is mounted is no place for a memory map
            record["path"] = os.path.join(scratch, one.digest)
            shutil.copyfile(one.path, record["path"])
        records.append(record)
    return records, blobs
