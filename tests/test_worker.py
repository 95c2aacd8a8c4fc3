"""Steps run in processes of their own: what a cell shows, how a step ends, and that nothing is left of it."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from nbvertex import worker
from nbvertex.errors import NbvertexError, Refused, UsageError

PATIENCE = 60.0  # seconds: a busy machine is no failure


@dataclass
class Run:
    """A step that is over, and everything that was told about it."""

    result: worker.Result
    events: list[worker.Event] = field(default_factory=list)

    def outputs(self, position: int = 1) -> list[dict[str, Any]]:
        """The final outputs of a cell."""
        found = [e.outputs for e in self.events if isinstance(e, worker.CellEnded) and e.position == position]
        return [dict(output) for output in found[-1]]

    def text(self, position: int = 1, stream: str = "stdout") -> str:
        """What a cell has written to a stream."""
        return "".join(
            str(o["text"])
            for o in self.outputs(position)
            if o["output_type"] == "stream" and o["name"] == stream
        )


class Bench:
    """A pool and short ways to use it."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder = folder
        self.number = 0
        self.heard: deque[worker.Event] = deque()
        self.pool = worker.Pool(sys.executable, cwd=str(folder), **options)

    def start(self, *sources: str | worker.CellJob, **options: Any) -> str:
        self.number += 1
        cells = tuple(
            source if isinstance(source, worker.CellJob) else worker.CellJob(place, place, source)
            for place, source in enumerate(sources, 1)
        )
        inputs = {"step": "s", "names": {}, "artifacts": []}
        job = worker.Job(
            f"job{self.number}",
            cells,
            inputs,
            **{"live": (), "cwd": str(self.folder), "scratch": str(self.folder), **options},
        )
        self.pool.start(job)
        return job.id

    def until(self, job: str, reached: Callable[[worker.Event], bool]) -> list[worker.Event]:
        """All events up to the one asked for."""
        events: list[worker.Event] = []
        deadline = time.monotonic() + PATIENCE
        while True:
            while self.heard:
                event = self.heard.popleft()
                if event.job == job:
                    events.append(event)
                    if reached(event):
                        return events
            self.heard += self.pool.poll(deadline - time.monotonic())
            assert time.monotonic() < deadline, f"nothing came; so far {events}"

    def finish(self, job: str) -> Run:
        events = self.until(job, lambda event: isinstance(event, worker.Ended))
        last = events[-1]
        assert isinstance(last, worker.Ended)
        return Run(last.result, events)

    def run(self, *sources: str | worker.CellJob, **options: Any) -> Run:
        return self.finish(self.start(*sources, **options))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A pool that most tests share."""
    bench = Bench(tmp_path_factory.mktemp("bench"))
    yield bench
    bench.pool.close()


@pytest.fixture
def own_bench(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    """A pool for a test that breaks it or asks for another kind."""
    made: list[Bench] = []

    def make(**options: Any) -> Bench:
        made.append(Bench(tmp_path, **options))
        return made[-1]

    yield make
    for bench in made:
        bench.pool.close()


def is_alive(pid: int) -> bool:
    """The process runs (a zombie does not)."""
    try:
        return b") Z " not in Path(f"/proc/{pid}/stat").read_bytes()
    except FileNotFoundError:
        return False


def wait_until_gone(*pids: int) -> bool:
    deadline = time.monotonic() + 10
    while any(is_alive(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


# ------------------------------------------------------------------------------------------------ what cells show

STREAM = "stream"
SHOWN: list[tuple[str, str, list[tuple[str, str]]]] = [
    ("nothing", "x = 1", []),
    ("print", "print('a'); print('b')", [("stdout", "a\nb\n")]),
    ("both streams in order", "import sys\nprint('a'); print('b', file=sys.stderr); print('c')",
     [("stdout", "a\n"), ("stderr", "b\n"), ("stdout", "c\n")]),
    ("a text without an end", "import sys; _ = sys.stdout.write('a'); _ = sys.stderr.write('b')",
     [("stdout", "a"), ("stderr", "b")]),
    ("a child process between two lines",
     "import subprocess\nprint('a', end=' ')\n_ = subprocess.run(['echo', 'b'])\nprint('c')", [("stdout", "a b\nc\n")]),
    ("the file descriptor", "import os\nprint('a')\n_ = os.write(1, b'b\\n')\nprint('c')", [("stdout", "a\nb\nc\n")]),
    ("os.system", "import os\nprint('a')\n_ = os.system('echo b')\nprint('c')", [("stdout", "a\nb\nc\n")]),
    ("a shell line", "!echo one && echo two", [("stdout", "one\r\ntwo\r\n")]),
    ("a shell line as a value", "x = !echo one; echo two\nprint(x)", [("stdout", "['one', 'two']\n")]),
    ("a shell cell", "%%bash\necho one", [("stdout", "one\n")]),
    ("bytes that are no text", "import os; _ = os.write(1, b'a\\xffb\\n')", [("stdout", "a\ufffdb\n")]),
    ("a character cut in two", "import os\nfor b in 'ä'.encode(): _ = os.write(1, bytes([b]))", [("stdout", "ä")]),
    ("a lone surrogate", "print('\\ud800')", [("stdout", "\\ud800\n")]),
    ("C's own buffer", "import ctypes; _ = ctypes.CDLL(None).puts(b'from C')", [("stdout", "from C\n")]),
    ("a forked child", "import os\nif os.fork() == 0:\n    print('child'); os._exit(0)\n_ = os.wait(); print('parent')",
     [("stdout", "child\nparent\n")]),
    ("a thread", "import threading\nt = threading.Thread(target=print, args=('t',)); t.start(); t.join()",
     [("stdout", "t\n")]),
    ("a result", "1 + 1", [("execute_result", "2")]),
    ("the last of three", "1\n2\n3", [("execute_result", "3")]),
    ("a result after a line", "print('a'); 'b'", [("stdout", "a\n"), ("execute_result", "'b'")]),
    ("a display between lines", "print('a'); display('d'); print('b')",
     [("stdout", "a\n"), ("display_data", "'d'"), ("stdout", "b\n")]),
    ("an update", "h = display('one', display_id=True); h.update('two')", [("display_data", "'two'")]),
    ("a display with the id of another", "display('a', display_id='i'); h = display('b', display_id='i')",
     [("display_data", "'b'"), ("display_data", "'b'")]),
    ("clear_output", "from IPython.display import clear_output\nprint('a'); clear_output(); print('b')",
     [("stdout", "b\n")]),
    ("clear_output that waits", "from IPython.display import clear_output\nprint('a'); clear_output(wait=True); print('b')",
     [("stdout", "b\n")]),
    ("clear_output that waits for nothing", "from IPython.display import clear_output\nprint('a'); clear_output(wait=True)",
     [("stdout", "a\n")]),
    ("capture", "%%capture c\nprint('hidden'); 1", []),
    ("await", "import asyncio\nawait asyncio.sleep(0)\n'slept'", [("execute_result", "'slept'")]),
    ("a running loop", "import asyncio\nasyncio.get_running_loop().is_running()", [("execute_result", "True")]),
    ("a task", "import asyncio\nasync def f():\n    await asyncio.sleep(0); print('task')\nt = asyncio.create_task(f())",
     [("stdout", "task\n")]),
    ("help in a pager", "len?", []),
    ("the main module", "import sys\n(__name__, '__file__' in dir(), vars(sys.modules['__main__']) is globals())",
     [("execute_result", "('__main__', False, True)")]),
    ("names of ours", "[n for n in dir() if 'nbvertex' in n or n in ('wire', 'heap', 'shell', 'step')]",
     [("execute_result", "[]")]),
    ("the place of the working folder", "import sys; sys.path.index('') > 0, [p for p in sys.path if p.endswith('runtime')]",
     [("execute_result", "(True, [])")]),
    ("the terminal", "import sys; sys.stdout.isatty(), sys.stdout.encoding, sys.stdout.fileno(), sys.stderr.fileno()",
     [("execute_result", "(False, 'UTF-8', 1, 2)")]),
    ("a notebook to libraries", "ip = get_ipython(); type(ip).__name__, 'IPKernelApp' in ip.config, hasattr(ip, 'kernel')",
     [("execute_result", "('ZMQInteractiveShell', True, True)")]),
]  # fmt: skip


def shown(outputs: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [
        (o["name"], o["text"]) if o["output_type"] == STREAM else (o["output_type"], o["data"]["text/plain"])
        for o in outputs
    ]


@pytest.mark.parametrize("source, expected", [pytest.param(s, e, id=i) for i, s, e in SHOWN])
def test_a_cell_shows_what_it_shows_in_jupyter(
    bench: Bench, source: str, expected: list[tuple[str, str]]
) -> None:
    """Texts of all origins, displays and results, in the order in which they were written."""
    run = bench.run(source)
    assert isinstance(run.result, worker.Done), run.result
    assert shown(run.outputs()) == expected


@pytest.mark.parametrize(
    "source", ["%%bash\necho out\necho err >&2", "import os; _ = os.system('echo out; echo err >&2')"]
)
def test_both_streams_of_a_child_process_arrive(bench: Bench, source: str) -> None:
    """Their order among each other is the system's; that they are complete is ours."""
    run = bench.run(source)
    assert (run.text(), run.text(stream="stderr")) == ("out\n", "err\n")


def test_displays_keep_every_form_of_the_data(bench: Bench) -> None:
    """Images as base64, JSON as JSON, metadata beside it."""
    run = bench.run(
        "from IPython.display import Image, JSON, HTML\n"
        "display(HTML('<b>x</b>'), metadata={'text/html': {'isolated': True}})\n"
        "display(JSON({'a': [1, 2.5, None]}))\n"
        "Image(data=b'\\x89PNG\\r\\n\\x1a\\n', format='png')"
    )
    html, json, image = run.outputs()
    assert html["data"]["text/html"] == "<b>x</b>"
    assert html["metadata"] == {"text/html": {"isolated": True}}
    assert json["data"]["application/json"] == {"a": [1, 2.5, None]}
    assert image["data"]["image/png"] == "iVBORw0KGgo="


def test_a_figure_is_shown_when_its_cell_ends(bench: Bench) -> None:
    """And `plt.show()` in the midst of a cell keeps its place."""
    run = bench.run(
        "import matplotlib.pyplot as plt\nplt.plot([1, 2]);",
        "plt.plot([1]); print('before'); plt.show(); print('after')",
    )
    assert [o["output_type"] for o in run.outputs(1)] == ["display_data"]
    assert "image/png" in run.outputs(1)[0]["data"]
    assert [kind for kind, _ in shown(run.outputs(2))] == ["stdout", "display_data", "stdout"]


def test_a_later_cell_changes_what_an_earlier_one_displays(bench: Bench) -> None:
    """The earlier cell's outputs are told anew."""
    run = bench.run("h = display('one', display_id='x')", "h.update('two')")
    revised = [event for event in run.events if isinstance(event, worker.Revised)]
    assert [(event.position, shown([dict(o) for o in event.outputs])) for event in revised] == [
        (1, [("display_data", "'two'")])
    ]


def test_output_comes_while_the_cell_runs(bench: Bench) -> None:
    """A live view needs not wait for the end of the cell."""
    job = bench.start(
        "import os, time\nprint('early', end='')\nwhile not os.path.exists('go'): time.sleep(0.01)"
    )
    events = bench.until(job, lambda event: isinstance(event, worker.Output))
    assert not any(isinstance(event, worker.CellEnded) for event in events)
    (bench.folder / "go").touch()
    assert bench.finish(job).text() == "early"


def test_the_cells_of_a_step_share_one_event_loop(bench: Bench) -> None:
    """A task that one cell starts goes on while the next one awaits."""
    run = bench.run(
        "import asyncio\nasync def f():\n    await asyncio.sleep(0.05)\n    return 'done'\nt = asyncio.create_task(f())",
        "await t",
        "asyncio.run(f())",
    )
    assert shown(run.outputs(2)) == [("execute_result", "'done'")]
    assert isinstance(run.result, worker.Failed)
    assert run.result.evalue == "asyncio.run() cannot be called from a running event loop"


def test_counts_and_history_are_the_notebooks(bench: Bench) -> None:
    """A step in the midst of the notebook counts on from there."""
    cells = [worker.CellJob(9, 5, "1 + 1"), worker.CellJob(11, 6, "_ * 2, Out[5], In[5], len(In)")]
    run = bench.run(*cells)
    assert run.outputs(11)[0]["data"]["text/plain"] == "(4, 2, '1 + 1', 7)"
    assert run.outputs(11)[0]["execution_count"] == 6
    assert [e.count for e in run.events if isinstance(e, worker.CellEnded)] == [5, 6]


def test_parameters_are_set_after_their_cell(bench: Bench) -> None:
    """What that cell derived stays as it was; 0 means before the first cell."""
    run = bench.run(
        "a = 1; b = a + 1; c",
        "a, b",
        parameters=((1, "a", 10), (0, "c", {1: ("x", float("inf"))})),
    )
    assert shown(run.outputs(1)) == [("execute_result", "{1: ('x', inf)}")]
    assert shown(run.outputs(2)) == [("execute_result", "(10, 2)")]


def test_a_step_has_its_folder_and_variables(bench: Bench, tmp_path: Path) -> None:
    """The working folder of the job and its variables on top of the pool's."""
    run = bench.run("import os; os.getcwd(), os.environ['MINE']", cwd=str(tmp_path), env={"MINE": "x"})
    assert shown(run.outputs()) == [("execute_result", repr((str(tmp_path), "x")))]


def test_a_users_module_is_not_shadowed(bench: Bench, tmp_path: Path) -> None:
    """Not even one that is named as a module of the runtime."""
    for name in ("shell", "wire", "heap", "step"):
        (tmp_path / f"{name}.py").write_text(f"print('my {name}')")
    run = bench.run("import shell, wire, heap, step", cwd=str(tmp_path))
    assert run.text() == "my shell\nmy wire\nmy heap\nmy step\n"


# ------------------------------------------------------------------------------------------------- how steps end

FAILS: list[tuple[str, str, str, str, int | None]] = [
    ("an error", "def f(x):\n    return 1 / x\n\nf(0)", "ZeroDivisionError", "division by zero", 2),
    ("an error in a library", "import json\njson.loads('{')", "JSONDecodeError", "", 2),
    ("a syntax error", "x = 1\ny = = 2", "SyntaxError", "invalid syntax", 2),
    ("an unknown name", "x = 1\n\nnope", "NameError", "name 'nope' is not defined", 3),
    ("an unknown magic", "%nosuch", "UsageError", "Line magic function `%nosuch` not found.", 1),
    ("a wrong shell cell", "%%bash\nexit 3", "CalledProcessError", "", 1),
    ("sys.exit", "import sys\nsys.exit(3)", "SystemExit", "3", 2),
    ("an interrupt of its own", "raise KeyboardInterrupt", "KeyboardInterrupt", "", 1),
    ("input", "input('name?')", "StdinNotImplementedError",
     "raw_input was called, but this frontend does not support input requests.", 1),
    ("getpass", "import getpass\ngetpass.getpass()", "StdinNotImplementedError",
     "getpass was called, but this frontend does not support input requests.", 2),
    ("an error in a task", "async def f():\n    1 / 0\nawait f()", "ZeroDivisionError", "division by zero", 2),
    ("a group", "raise ExceptionGroup('g', [ValueError(1)])", "ExceptionGroup", "g (1 sub-exception)", 1),
]  # fmt: skip


@pytest.mark.parametrize("source, ename, evalue, line", [pytest.param(*rest, id=i) for i, *rest in FAILS])
def test_a_failing_cell_is_named(
    bench: Bench, source: str, ename: str, evalue: str, line: int | None
) -> None:
    """With the error, the line in the cell, and a traceback without frames of ours."""
    run = bench.run("ok = 1", source, "print('not run')")
    failed = run.result
    assert isinstance(failed, worker.Failed)
    assert (failed.position, failed.ename, failed.line) == (2, ename, line)
    assert evalue in failed.evalue
    assert not any("nbvertex" in text for text in failed.traceback)
    assert [(e.position, e.ok) for e in run.events if isinstance(e, worker.CellEnded)] == [
        (1, True),
        (2, False),
    ]


def test_a_cell_that_may_fail_does_not_end_the_step(bench: Bench) -> None:
    """As a cell tagged raises-exception under nbclient."""
    run = bench.run(worker.CellJob(1, 1, "1 / 0", may_fail=True), worker.CellJob(2, 2, "print('on')"))
    assert isinstance(run.result, worker.Done)
    assert run.outputs(1)[0]["ename"] == "ZeroDivisionError"
    assert run.text(2) == "on\n"


def test_a_deep_recursion_is_shown_as_one_error(bench: Bench) -> None:
    """Its traceback has thousands of frames."""
    run = bench.run("def r(n): return r(n + 1)\nr(0)")
    assert isinstance(run.result, worker.Failed)
    text = "\n".join(run.result.traceback)
    assert text.count("Traceback (most recent call last)") == 1


def test_causes_of_an_error_have_no_frames_of_ours(bench: Bench) -> None:
    """As the error itself has none."""
    run = bench.run(
        "import sys\ntry: sys.stdout.write(3)\nexcept TypeError as e: raise ValueError('x') from e"
    )
    assert isinstance(run.result, worker.Failed)
    assert len(run.result.traceback) > 4
    assert "nbvertex" not in "".join(run.result.traceback)


def test_a_traceback_reads_as_in_jupyter(bench: Bench) -> None:
    """The cell by its count, its line, and nothing of how it was run."""
    run = bench.run("def f():\n    raise ValueError('no')", "f()")
    text = "\n".join(run.outputs(2)[0]["traceback"])
    for colour in ("\x1b[", "m"):
        assert colour in text
    import re

    plain = re.sub(r"\x1b\[[\d;]*m", "", text)
    assert "Cell In[2], line 1\n----> 1 f()" in plain
    assert "Cell In[1], line 2, in f()" in plain


DEATHS: list[tuple[str, str, str | None, int | None, str]] = [
    ("killed", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL", None, "out of memory?"),
    ("crashed", "import ctypes; ctypes.string_at(0)", "SIGSEGV", None, "a crash in compiled code"),
    ("aborted", "import os; os.abort()", "SIGABRT", None, "a crash in compiled code"),
    ("left with 0", "import os; os._exit(0)", None, 0, "exit code 0 before the step did"),
    ("left with 7", "import os; os._exit(7)", None, 7, "exit code 7 before the step did"),
]


@pytest.mark.parametrize("source, name, code, message", [pytest.param(*rest, id=i) for i, *rest in DEATHS])
def test_a_dead_process_is_noticed_at_once(
    bench: Bench, source: str, name: str | None, code: int | None, message: str
) -> None:
    """With its cause; what the cell has shown until then is kept, the cell is not taken for done."""
    job = bench.start("print('one')", f"print('two')\n{source}")
    bench.until(job, lambda event: isinstance(event, worker.CellStarted) and event.position == 2)
    at = time.monotonic()
    run = bench.finish(job)
    assert time.monotonic() - at < 2
    died = run.result
    assert isinstance(died, worker.Died)
    assert (died.signal, died.exit_code) == (name, code)
    assert message in died.message
    assert run.text(2) == "two\n"
    assert [e.ok for e in run.events if isinstance(e, worker.CellEnded)] == [False]


def test_a_want_of_memory_is_an_error_of_the_cell(bench: Bench) -> None:
    """Where Python itself notices it."""
    run = bench.run(
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (1 << 30,) * 2)\nx = bytearray(1 << 32)"
    )
    assert isinstance(run.result, worker.Failed)
    assert run.result.ename == "MemoryError"


PATCHES = """
import builtins, json, os, pickle, select, socket, sys, threading, time
def no(*args, **keywords): raise RuntimeError("patched")
real = {m: dict(vars(m)) for m in (json, os, pickle, select, time)}
for m, names in {json: ["dumps", "loads"], pickle: ["dumps", "loads"], select: ["select"], time: ["time"],
                 os: ["write", "getpid", "getcwd", "_exit"]}.items():
    for name in names: setattr(m, name, no)
builtins.print = no
"""


def test_a_cell_may_replace_functions_of_the_standard_library(bench: Bench) -> None:
    """The step's own work goes on without them."""
    restore = "for m in real: vars(m).update(real[m])"
    run = bench.run(PATCHES, "import sys; _ = sys.stdout.write('on')", "1 / 0")
    assert run.text(2) == "on"
    assert isinstance(run.result, worker.Failed)
    run = bench.run(PATCHES, restore, "import builtins; del builtins.print, real, no; 1", live=None)
    assert run.outputs(3)[0]["data"]["text/plain"] == "1"


def test_what_a_step_writes_to_an_open_file_is_there_when_it_ends(bench: Bench) -> None:
    """Though its process ends without clearing up."""
    run = bench.run(
        "import io, weakref\nclass C: pass\nproxies = [weakref.proxy(C())]\n"
        "class Odd(io.StringIO):\n    def flush(self): raise KeyError('odd')\nodd = Odd()",
        "f = open('half.txt', 'w'); f.write('text')",
    )
    assert isinstance(run.result, worker.Done), run.result
    assert (bench.folder / "half.txt").read_text() == "text"


# ----------------------------------------------------------------------------------------------- stopping, closing


def test_stop_interrupts_the_cell(bench: Bench) -> None:
    """As the stop button does."""
    job = bench.start("print('on', flush=True)\nwhile True: pass")
    bench.until(job, lambda event: isinstance(event, worker.Output))
    bench.pool.stop(job)
    run = bench.finish(job)
    assert isinstance(run.result, worker.Failed)
    assert run.result.ename == "KeyboardInterrupt"
    assert run.outputs()[-1]["ename"] == "KeyboardInterrupt"


def test_stop_interrupts_a_cell_that_awaits(bench: Bench) -> None:
    """The event loop itself sees no interrupt: the cell's task is cancelled."""
    job = bench.start("import asyncio\nprint('on')\nawait asyncio.sleep(1000)")
    bench.until(job, lambda event: isinstance(event, worker.Output))
    bench.pool.stop(job)
    assert isinstance(bench.finish(job).result, worker.Failed)


def test_stop_before_the_step_has_begun(own_bench: Callable[..., Bench]) -> None:
    """The interrupt is kept until there is somebody to interrupt."""
    bench = own_bench()
    job = bench.start("while True: pass")
    bench.pool.stop(job, grace=0.5)
    assert isinstance(bench.finish(job).result, worker.Failed | worker.Died)


STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
kinds = {"child": {}, "session": {"start_new_session": True}}
pids = [subprocess.Popen(["sleep", "1000"], **kind).pid for kind in kinds.values()]
daemon = subprocess.run(["sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 & echo $!"], capture_output=True, text=True)
print(os.getpid(), *pids, flush=True)
while True: time.sleep(1)
"""


def test_stop_ends_a_stubborn_step_with_all_it_has_started(bench: Bench) -> None:
    """Children in the group, children in sessions of their own, within the grace."""
    job = bench.start(STUBBORN)
    events = bench.until(
        job, lambda event: isinstance(event, worker.Output) and event.output["text"].endswith("\n")
    )
    text = "".join(event.output["text"] for event in events if isinstance(event, worker.Output))
    pids = [int(word) for word in text.split()]
    assert len(pids) == 3
    bench.pool.stop(job, grace=0.2)
    run = bench.finish(job)
    assert run.result == worker.Died("SIGKILL", None, "stopped")
    assert wait_until_gone(*pids)


def test_a_failed_step_leaves_no_process(bench: Bench) -> None:
    """A second attempt must find the world as the first one did."""
    run = bench.run("import subprocess\np = subprocess.Popen(['sleep', '1000']); p.pid", "1 / 0")
    assert wait_until_gone(int(run.outputs(1)[0]["data"]["text/plain"]))


def test_a_process_left_behind_holds_nothing_up(bench: Bench) -> None:
    """It keeps the pipes, and may write to them; the step is over all the same."""
    source = (
        """import os; _r = os.system("setsid sh -c 'echo $$ > pid; while sleep 0.05; do echo on; done' &")"""
    )
    assert isinstance(bench.run(source).result, worker.Done)
    run = bench.run("import time\ntime.sleep(0.3); print('mine')")
    assert run.text() == "mine\n"
    pid = int((bench.folder / "pid").read_text())
    assert is_alive(pid)  # and nobody has closed its output
    os.kill(pid, signal.SIGKILL)


def processes_below(pid: int) -> set[int]:
    from nbvertex.runtime import tree

    return tree.descendants(pid)


def test_close_leaves_no_process(own_bench: Callable[..., Bench]) -> None:
    """Neither of running steps nor of what ended steps have left behind."""
    bench = own_bench()
    source = "import os; _r = os.system('setsid sleep 1000 >/dev/null 2>&1 &'); os.getppid()"
    warm = int(bench.run(source).outputs()[0]["data"]["text/plain"])
    job = bench.start("import time; print('on'); time.sleep(1000)")
    bench.until(job, lambda event: isinstance(event, worker.Output))
    below = processes_below(warm)
    assert len(below) >= 3  # what was left behind, the running step, the one that waits
    bench.pool.close()
    assert wait_until_gone(warm, *below)


def test_a_host_that_is_killed_leaves_no_process(tmp_path: Path) -> None:
    """The warm process sees it go and takes everything along."""
    import subprocess

    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\nfrom test_worker import Bench, worker\n"
        "bench = Bench(Path(sys.argv[2]))\n"
        'job = bench.start(\'import subprocess, time; p = subprocess.Popen(["sleep", "1000"]); print(1); time.sleep(1000)\')\n'
        "bench.until(job, lambda event: isinstance(event, worker.Output))\n"
        "print('on', flush=True)\nbench.until(job, lambda event: False)\n"
    )
    host = subprocess.Popen(
        [sys.executable, "-c", program, str(Path(__file__).parent), str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert host.stdout is not None
    with host, host.stdout:
        assert host.stdout.readline() == "on\n"
        below = processes_below(host.pid)
        assert len(below) >= 3
        host.kill()
    assert wait_until_gone(*below)


def test_a_killed_warm_process_takes_its_steps_along(own_bench: Callable[..., Bench]) -> None:
    """They end as died, and the next step gets a new warm process."""
    bench = own_bench()
    job = bench.start("import os, time; print(os.getppid(), os.getpid()); time.sleep(1000)")
    events = bench.until(
        job, lambda event: isinstance(event, worker.Output) and event.output["text"].endswith("\n")
    )
    warm, step = "".join(e.output["text"] for e in events if isinstance(e, worker.Output)).split()
    os.kill(int(warm), signal.SIGKILL)
    run = bench.finish(job)
    assert isinstance(run.result, worker.Died)
    assert "the process that steps are forked from has ended (killed by SIGKILL" in run.result.message
    assert wait_until_gone(int(warm), int(step))
    assert isinstance(bench.run("1").result, worker.Done)


# ---------------------------------------------------------------------------------------------- what cannot begin


def test_an_environment_without_ipython_is_one_clear_error(tmp_path: Path) -> None:
    """With the command that mends it."""
    import venv

    venv.create(tmp_path / "env", with_pip=False, symlinks=True)
    bench = Bench(tmp_path)
    bench.pool.close()
    bench.pool = worker.Pool(str(tmp_path / "env" / "bin" / "python"), env={"PATH": os.environ["PATH"]})
    bench.start("1")
    with pytest.raises(Refused, match="has no IPython") as caught:
        bench.pool.poll(PATIENCE)
    assert caught.value.hint == f"{tmp_path}/env/bin/python -m pip install ipython"
    bench.pool.close()


@pytest.mark.parametrize(
    "text, message",
    [
        ("#!/bin/sh\necho 'sorry: broken' >&2\nexit 3\n", "sorry: broken"),
        ("#!/bin/sh\nexit 3\n", "exit code 3"),
        ("#!/bin/sh\nkill -9 $$\n", "killed by SIGKILL"),
    ],
)
def test_an_interpreter_that_fails_is_one_clear_error(tmp_path: Path, text: str, message: str) -> None:
    """With the last thing that it said."""
    fake = tmp_path / "python"
    fake.write_text(text)
    fake.chmod(0o755)
    bench = Bench(tmp_path)
    bench.pool.close()
    bench.pool = worker.Pool(str(fake))
    bench.start("1")
    with pytest.raises(Refused, match=message):
        bench.pool.poll(PATIENCE)
    bench.pool.close()


def test_an_interpreter_that_is_not_there(tmp_path: Path) -> None:
    """Is told when the pool is made."""
    with pytest.raises(UsageError, match="cannot be started"):
        worker.Pool(str(tmp_path / "nope"))


def test_a_job_that_cannot_be_started(bench: Bench, tmp_path: Path) -> None:
    """A missing folder or a job twice is an error at once."""
    with pytest.raises(NbvertexError, match="is no folder"):
        bench.start("1", cwd=str(tmp_path / "nope"))
    job = bench.start("1")
    bench.number -= 1
    with pytest.raises(NbvertexError, match="runs already|running already"):
        bench.start("1")
    bench.number += 1
    assert isinstance(bench.finish(job).result, worker.Done)


# ------------------------------------------------------------------------------------------------ early steps, files

EFFECTS: list[tuple[str, str]] = [
    ("write a file", "open('new.txt', 'w').close()"),
    ("append to a file", "open('old.txt', 'a').close()"),
    ("change a file", "open('old.txt', 'r+').close()"),
    ("write through pathlib", "from pathlib import Path; Path('new.txt').write_text('x')"),
    ("write through os", "import os; os.close(os.open('new.txt', os.O_CREAT | os.O_WRONLY))"),
    ("remove a file", "import os; os.remove('old.txt')"),
    ("rename a file", "import os; os.rename('old.txt', 'new.txt')"),
    ("make a folder", "import os; os.mkdir('folder')"),
    ("copy a file", "import shutil; shutil.copy('old.txt', 'new.txt')"),
    ("a cell that is written to a file", "%%writefile new.txt\nx"),
    ("run a program", "import subprocess; subprocess.run(['true'])"),
    ("a shell line", "!true"),
    ("a shell line as a value", "x = !true"),
    ("a shell cell", "%%bash\ntrue"),
    ("os.system", "import os; os.system('true')"),
    ("fork", "import os\nif os.fork() == 0: os._exit(0)\nos.wait()"),
    ("connect", "import socket\ntry: socket.create_connection(('127.0.0.1', 1), 1)\nexcept OSError: pass"),
    ("listen", "import socket; s = socket.socket(); s.bind(('127.0.0.1', 0)); s.close()"),
    ("a database", "import sqlite3; sqlite3.connect('db.sqlite').close()"),
    ("signal a process", "import os; os.kill(os.getppid(), 0)"),
    ("in a thread", "import threading\nt = threading.Thread(target=lambda: open('new.txt', 'w').close()); t.start(); t.join()"),
]  # fmt: skip


@pytest.mark.parametrize("source", [pytest.param(source, id=name) for name, source in EFFECTS])
def test_an_early_step_stops_before_its_first_effect(bench: Bench, tmp_path: Path, source: str) -> None:
    """And goes on when it is told to; once told, it stops no more."""
    (tmp_path / "old.txt").write_text("old")
    before = sorted(path.name for path in tmp_path.iterdir())
    job = bench.start("x = 1", source, "open('last.txt', 'w').close()", early=True, cwd=str(tmp_path))
    events = bench.until(job, lambda event: isinstance(event, worker.Waiting))
    assert [event.position for event in events if isinstance(event, worker.CellStarted)] == [1, 2]
    assert bench.pool.poll(0.05) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    bench.pool.proceed(job)
    run = bench.finish(job)
    assert isinstance(run.result, worker.Done), run.result
    assert not any(isinstance(event, worker.Waiting) for event in run.events)
    assert (tmp_path / "last.txt").exists()


HARMLESS: list[tuple[str, str]] = [
    ("compute", "sum(range(1000))"),
    ("read a file", "open('old.txt').read()"),
    ("import what is installed", "import json, wsgiref.util"),
    ("import a module of the user's", "import mine; mine.x"),
    ("print and display", "print(1); display(2)"),
    ("a temporary file", "import tempfile\nwith tempfile.TemporaryFile() as f: f.write(b'x')"),
    ("a database in memory", "import sqlite3; sqlite3.connect(':memory:').execute('select 1').fetchall()"),
    ("a thread", "import threading\nt = threading.Thread(target=print); t.start(); t.join()"),
    ("await", "import asyncio\nawait asyncio.sleep(0)"),
    ("nowhere", "open('/dev/null', 'w').close()"),
]


@pytest.mark.parametrize("source", [pytest.param(source, id=name) for name, source in HARMLESS])
def test_an_early_step_runs_on_where_nobody_sees_it(bench: Bench, tmp_path: Path, source: str) -> None:
    """Reading and computing is no effect."""
    (tmp_path / "old.txt").write_text("old")
    (tmp_path / "mine.py").write_text("x = 1")
    run = bench.run(source, early=True, cwd=str(tmp_path))
    assert isinstance(run.result, worker.Done), run.result
    assert not any(isinstance(event, worker.Waiting) for event in run.events)


def test_leave_to_proceed_may_come_before_it_is_asked_for(bench: Bench, tmp_path: Path) -> None:
    """Then the step does not stop at all."""
    source = "import os, time\nwhile not os.path.exists('go'): time.sleep(0.01)\nopen('new.txt', 'w').close()"
    job = bench.start("print('on')", source, early=True, cwd=str(tmp_path))
    bench.until(job, lambda event: isinstance(event, worker.CellStarted) and event.position == 2)
    bench.pool.proceed(job)
    bench.pool.poll(0)
    (tmp_path / "go").touch()
    run = bench.finish(job)
    assert isinstance(run.result, worker.Done)
    assert not any(isinstance(event, worker.Waiting) for event in run.events)


def test_an_early_step_that_waits_can_be_stopped(bench: Bench, tmp_path: Path) -> None:
    """It has done nothing then."""
    job = bench.start("open('new.txt', 'w').close()", early=True, cwd=str(tmp_path))
    bench.until(job, lambda event: isinstance(event, worker.Waiting))
    bench.pool.stop(job, grace=0)
    assert not isinstance(bench.finish(job).result, worker.Done)
    assert list(tmp_path.iterdir()) == []


def test_the_files_of_a_step_are_told(bench: Bench, tmp_path: Path) -> None:
    """What it read and wrote itself; Python's own files and packages do not count."""
    (tmp_path / "in.txt").write_text("x")
    (tmp_path / "both.txt").write_text("x")
    (tmp_path / "mine.py").write_text("")
    run = bench.run(
        "import json.tool, mine, sqlite3, os\nopen('in.txt').read()\nopen(b'both.txt', 'r+').close()",
        "os.mkdir('folder')\nos.chdir('folder')\nopen('out.txt', 'w').close(); os.rename('out.txt', '../end.txt')",
        cwd=str(tmp_path),
    )
    done = run.result
    assert isinstance(done, worker.Done)
    read = {os.path.relpath(path, tmp_path) for path in done.files_read}
    written = {os.path.relpath(path, tmp_path) for path in done.files_written}
    assert {path for path in read if "__pycache__" not in path} == {"in.txt", "both.txt", "mine.py"}
    assert written == {"both.txt", "folder", "folder/out.txt", "end.txt"}


def test_a_failed_step_tells_what_it_read(bench: Bench, tmp_path: Path) -> None:
    """A file may have been half written when it did."""
    (tmp_path / "in.json").write_text("{")
    run = bench.run("import json; json.load(open('in.json'))", cwd=str(tmp_path))
    assert isinstance(run.result, worker.Failed)
    assert run.result.files_read == (str(tmp_path / "in.json"),)
