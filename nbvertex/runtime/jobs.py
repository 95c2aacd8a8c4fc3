"""What a pool of step processes is asked for, and what it tells: plain frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class CellJob:
    """A cell to run: its place in the notebook, its `In [count]`, its source, whether it may fail."""

    position: int
    count: int
    source: str
    may_fail: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """The run of one step.

    Args:
        id: unique in the pool.
        cells: in notebook order.
        inputs: what `runtime.heap.load` wants.
        blobs: the bytes that `inputs` refers to by number.
        live: names to keep; None keeps all.
        parameters: (position, name, value): set after the cell at that position, 0 before the first.
        cwd: the working folder.
        env: environment variables of this step beside the pool's.
        scratch: the folder for artifacts too big for a frame, on the file system of the store.
        early: stop at the first effect on the world outside until `Pool.proceed`.
        output_limit: bytes of output kept per cell; the cut is marked.
        survey: the cells before which the values of all names are told, and 0: after the last.
        measures: names whose numbers are told at the end.
        task: what is done instead of running cells, or beside it (see `runtime.tasks`); None: nothing.
    """

    id: str
    cells: tuple[CellJob, ...]
    inputs: dict[str, Any]
    blobs: tuple[bytes, ...] = ()
    live: tuple[str, ...] | None = None
    parameters: tuple[tuple[int, str, object], ...] = ()
    cwd: str = "."
    env: Mapping[str, str] | None = None
    scratch: str = ""
    early: bool = False
    output_limit: int = 10_000_000
    survey: tuple[int, ...] = ()
    task: Mapping[str, Any] | None = None
    measures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CellStarted:
    """A cell begins."""

    job: str
    position: int
    at: float


@dataclass(frozen=True, slots=True)
class Output:
    """A cell shows something: an nbformat output (a piece of one, for a stream), ``clear_output`` with ``wait``,
    or ``update_display_data`` with ``transient``."""

    job: str
    position: int
    output: dict[str, Any]


@dataclass(frozen=True, slots=True)
class CellEnded:
    """A cell has ended; its outputs as nbformat stores them."""

    job: str
    position: int
    at: float
    ok: bool
    count: int
    outputs: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Revised:
    """A later cell of the step has changed what an earlier one displays: all its outputs anew."""

    job: str
    position: int
    outputs: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Surveyed:
    """What the names hold before the cell at ``position``, 0: after the last: name -> type, digest, short text.

    ``shared`` has the names that hold an object of another name's, and those names.
    """

    job: str
    position: int
    values: dict[str, tuple[str, str, str]]
    gone: tuple[str, ...]
    shared: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Waiting:
    """An early step is about to do what others could see, and waits for `Pool.proceed`."""

    job: str
    what: str


@dataclass(frozen=True, slots=True)
class Done:
    """The step ended well: what `runtime.heap.save` returned, and what it took and touched."""

    names: dict[str, str | None]
    homes: dict[str, Any]
    artifacts: tuple[dict[str, Any], ...]
    blobs: tuple[bytes, ...]
    seconds: float
    files_read: tuple[str, ...] = ()
    files_written: tuple[str, ...] = ()
    widgets: dict[str, Any] = field(default_factory=dict)  # for the notebook's metadata, by model id
    told: dict[str, Any] = field(default_factory=dict)  # the answer to a task
    measures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failed:
    """A cell raised an error."""

    position: int
    ename: str
    evalue: str
    traceback: tuple[str, ...]
    line: int | None
    hint: str | None = None
    files_read: tuple[str, ...] = ()
    widgets: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refused:
    """The cells ran, but a value that is needed later cannot travel; ``rest`` is what can."""

    problems: tuple[dict[str, Any], ...]
    rest: Done | None = None


@dataclass(frozen=True, slots=True)
class Died:
    """The process ended before the step did; `signal` is a name like ``SIGKILL``, `detail` for who mends this program."""

    signal: str | None
    exit_code: int | None
    message: str
    detail: str = ""


Result: TypeAlias = Done | Failed | Refused | Died


@dataclass(frozen=True, slots=True)
class Ended:
    """The step is over."""

    job: str
    result: Result


Event: TypeAlias = CellStarted | Output | CellEnded | Revised | Surveyed | Waiting | Ended
