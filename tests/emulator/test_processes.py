"""What a container finds and leaves: real processes in the environment of these tests."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nbvertex.emulator.images import Image, Images, Unmapped
from nbvertex.emulator.processes import CannotStart, Command, Exit, Processes, Surroundings
from nbvertex.emulator.spawning import SpawnerDied, Spawning
from nbvertex.emulator.times import Timer
from nbvertex.errors import ConfigError

Runner = Callable[..., Exit]


class Bench:
    """Runs containers one after the other, or what a test does with them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.images = Images(any_image=sys.executable)
        self.around = Surroundings(folder / "attempts", folder / "buckets", folder / "project")
        self.lines: list[tuple[str, str]] = []
        self.ahead = 0.0
        self.mounts = False
        self.wake: list[Callable[[], None]] = []
        (folder / "buckets" / "b").mkdir(parents=True)
        (folder / "project").mkdir()

    def run(self, *words: str, **more: Any) -> Exit:
        """Run one container to its end."""
        command = Command("image", words, folder="one", **more)
        return self.do(lambda processes: processes.run(command))

    def do(self, work: Callable[[Processes], Coroutine[Any, Any, Any]]) -> Any:
        """Do something with processes; none is left."""

        async def main() -> Any:
            spawning = Spawning(self.folder / "shims", self.around.buckets if self.mounts else None)
            timer = Timer(lambda: time.time() + self.ahead, self.wake.append)
            processes = Processes(self.images, self.around, spawning, timer, self._heard)
            try:
                return await work(processes)
            finally:
                spawning.close()

        return asyncio.run(main())

    def jump(self, seconds: float) -> None:
        """Move the clock."""
        self.ahead += seconds
        for wake in self.wake:
            wake()

    def _heard(self, command: Command, stream: str, lines: list[str]) -> None:
        self.lines += [(stream, line) for line in lines]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Where containers run in this test."""
    return Bench(tmp_path)


async def until(told: Callable[[], bool]) -> None:
    """Wait until a container has said something."""
    while not told():  # noqa: ASYNC110 - it says so to a list
        await asyncio.sleep(0.005)


def python(code: str) -> tuple[str, ...]:
    """A container that runs Python, found as images have it."""
    return ("python3", "-c", code)


def test_output_and_status(bench: Bench) -> None:
    """Lines come as they were written, on the stream that they were written to; the log has them all."""
    ended = bench.run("sh", "-c", "echo one; echo two >&2; printf 'no end'; exit 3")
    assert (ended.code, ended.last, ended.stopped) == (3, "two", "")
    assert sorted(bench.lines) == [("stderr", "two"), ("stdout", "no end"), ("stdout", "one")]
    assert sorted(Path(ended.log).read_text().splitlines()) == ["no end", "one", "two"]


def test_python_is_the_mapped_one(bench: Bench) -> None:
    """By every name that images give it, also from a shell."""
    for words in (
        python("import sys; print(sys.prefix)"),
        ("sh", "-c", "python -c 'import sys; print(sys.prefix)'"),
    ):
        bench.lines.clear()
        assert bench.run(*words).code == 0
        assert bench.lines == [("stdout", sys.prefix)]


def test_each_attempt_has_a_clean_folder(bench: Bench) -> None:
    """What one left is not there for the next; home and temporary files are not the user's."""
    code = """
import os, tempfile, time
places = [".", os.path.expanduser("~"), tempfile.gettempdir()]
print([os.listdir(one) for one in places], time.strftime("%Z"))
for one in places: open(os.path.join(one, "left"), "w")
"""
    for _ in range(2):
        assert bench.run(*python(code)).code == 0
    assert bench.lines == [("stdout", "[[], [], []] UTC")] * 2
    assert sorted(one.name for one in bench.around.attempts.iterdir()) == ["one", "one.log"]


def test_an_absolute_path_runs_in_the_users_folder(bench: Bench) -> None:
    """A program of this machine is no part of an image; one of the system's is in every image."""
    assert bench.run(sys.executable, "-c", "import os; print(os.getcwd())").code == 0
    assert bench.run("/bin/sh", "-c", "pwd").code == 0
    folders = [Path(line).name for _, line in bench.lines]
    assert folders == ["project", "one"] if not sys.executable.startswith("/usr/") else ["one", "one"]


def test_the_environment_is_not_the_users(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what the job says, the image's own, and what every container has."""
    monkeypatch.setenv("SECRET_OF_MINE", "x")
    bench.images = Images({"image": Image(sys.executable, env={"A": "image", "B": "image"})})
    code = "import os; print(os.environ.get('SECRET_OF_MINE'), os.environ['A'], os.environ['B'])"
    bench.run(*python(code), env={"B": "job"})
    assert bench.lines == [("stdout", "None image job")]


BUCKET = """
import os, shutil, pathlib, glob, tempfile
root = '/gcs/b/deep/er'
os.makedirs(root, exist_ok=True)
with open(root + '/x.txt', 'w') as f: f.write('one')
p = pathlib.Path(root)
(p / 'y.txt').write_text('two')
assert sorted(os.listdir(root)) == ['x.txt', 'y.txt'], os.listdir(root)
assert p.joinpath('x.txt').exists() and os.path.isfile(root + '/x.txt') and os.path.getsize(root + '/x.txt') == 3
shutil.copy(root + '/x.txt', 'here.txt'); shutil.copy('here.txt', '/gcs/b/z.txt')
os.rename('/gcs/b/z.txt', '/gcs/b/w.txt')
assert len(glob.glob('/gcs/b/*.txt')) == 1
assert [f for _, _, f in os.walk('/gcs/b/deep')][-1] in (['x.txt', 'y.txt'], ['y.txt', 'x.txt'])
shutil.rmtree('/gcs/b/deep')
assert not os.path.exists('/gcs/b/deep') and os.path.isdir('/gcs/b')
assert open(os.environ['MODEL'] + '/m', 'w').write('m') == 1
with tempfile.TemporaryDirectory() as t: os.stat(t)
"""


@pytest.mark.parametrize("mounts", [False, True])
def test_buckets_are_mounted(bench: Bench, mounts: bool) -> None:
    """Under /gcs/, for all that Python does with files, whether the system lets us mount or not."""
    bench.mounts = mounts
    (bench.folder / "buckets" / "b" / "out").mkdir()
    ended = bench.run(*python(BUCKET), env={"MODEL": "/gcs/b/out"})
    assert (ended.code, ended.last) == (0, ""), bench.lines
    found = sorted(
        str(one.relative_to(bench.folder / "buckets")) for one in bench.folder.glob("buckets/b/**/*")
    )
    assert found == ["b/out", "b/out/m", "b/w.txt"]


def test_every_program_sees_the_buckets(bench: Bench) -> None:
    """Where the system lets us mount; nobody else sees it."""
    bench.mounts = True
    (bench.folder / "buckets" / "b" / "x").write_text("shown")
    ended = bench.run(
        "sh", "-c", 'cat /gcs/b/x; id -u; echo made > /gcs/b/y; test -z "$NBVERTEX_EMULATOR_BUCKETS" && pwd'
    )
    if ended.code == 1 and "No such file" in ended.last:
        pytest.skip("no mounts here")
    assert ended.code == 0
    assert bench.lines == [
        ("stdout", f"shown{os.getuid()}"),
        ("stdout", str(bench.folder / "attempts" / "one")),
    ]
    assert (bench.folder / "buckets" / "b" / "y").read_text() == "made\n"
    assert not Path("/gcs/b/y").exists()


def test_an_environments_own_customization_still_runs(bench: Bench) -> None:
    """The folder that shows the buckets hides it from Python, not from the program."""
    own = bench.folder / "own"
    own.mkdir()
    (own / "sitecustomize.py").write_text("import builtins; builtins.CUSTOMIZED = True")
    ended = bench.run(
        *python("import sitecustomize; print(CUSTOMIZED, sitecustomize.__file__)"),
        env={"PYTHONPATH": str(own)},
    )
    assert ended.code == 0, bench.lines
    assert bench.lines == [("stdout", f"True {own / 'sitecustomize.py'}")]


def test_a_missing_program(bench: Bench) -> None:
    """As a shell says it."""
    ended = bench.run("no-such-program", "x")
    assert (ended.code, ended.last) == (127, "no-such-program: No such file or directory")


@pytest.mark.parametrize("signal_name,code", [("SIGKILL", 137), ("SIGTERM", 143), ("SIGSEGV", 139)])
def test_a_signal_is_a_status(bench: Bench, signal_name: str, code: int) -> None:
    """As of a container: 128 and the signal's number."""
    ended = bench.run(*python(f"import os, signal; os.kill(os.getpid(), signal.{signal_name})"))
    assert ended.code == code


FAMILY = "(trap '' TERM; sleep 60 & echo $!; wait; sleep 60) & echo $!; echo ready; wait"


def pids(bench: Bench) -> list[int]:
    """The processes that a container has named."""
    return [int(line) for _, line in bench.lines if line.isdigit()]


def gone(pid: int) -> bool:
    """Whether a process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def all_gone(found: list[int]) -> bool:
    """Whether they end, now that they were told to."""
    last = time.monotonic() + 5
    while time.monotonic() < last and not all(map(gone, found)):
        time.sleep(0.01)
    return bool(found) and all(map(gone, found))


def test_what_is_cancelled_leaves_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its children end too, also those that do not want to."""
    monkeypatch.setattr("nbvertex.emulator.processes.GRACE", 0.1)

    async def work(processes: Processes) -> None:
        going = asyncio.create_task(processes.run(Command("image", ("sh", "-c", FAMILY), folder="one")))
        await until(lambda: ("stdout", "ready") in bench.lines and len(pids(bench)) == 2)
        going.cancel()
        with pytest.raises(asyncio.CancelledError):
            await going

    bench.do(work)
    assert all_gone(pids(bench))


def test_a_container_ends_with_its_first_process(bench: Bench) -> None:
    """What it left in the background goes with it."""
    assert bench.run("sh", "-c", "sleep 60 & echo $!").code == 0
    assert all_gone(pids(bench))


def test_its_time_is_over(bench: Bench) -> None:
    """By the emulator's clock, which a test may move."""

    async def work(processes: Processes) -> Exit:
        command = Command("image", ("sh", "-c", "echo ready; sleep 60"), folder="one", timeout=3600)
        going = asyncio.create_task(processes.run(command))
        await until(lambda: bool(bench.lines))
        bench.jump(3599)
        await asyncio.sleep(0.05)
        assert not going.done()
        bench.jump(2)
        return await going

    assert bench.do(work).stopped == "timeout"


def test_a_machine_is_taken_away(bench: Bench) -> None:
    """It is asked to end first, as a spot machine is."""
    words = ("sh", "-c", "trap 'echo saved; exit 0' TERM; echo ready; while true; do sleep 0.01; done")
    ended = bench.run(*words, preempted=0.3)
    assert ended.stopped == "preempted"
    assert ("stdout", "saved") in bench.lines


def test_no_more_at_once_than_allowed(bench: Bench) -> None:
    """The others wait for their turn; all end."""

    async def work(processes: Processes) -> list[Exit]:
        commands = [Command("image", ("true",), folder=f"n{n}") for n in range(60)]
        return await asyncio.gather(*map(processes.run, commands))

    assert [ended.code for ended in bench.do(work)] == [0] * 60


def test_they_die_with_the_emulator(bench: Bench) -> None:
    """However it ends: here its side of the connection is simply gone."""

    async def work(processes: Processes) -> None:
        going = asyncio.create_task(processes.run(Command("image", ("sh", "-c", FAMILY), folder="one")))
        await until(lambda: ("stdout", "ready") in bench.lines and len(pids(bench)) == 2)
        processes._spawning.close()
        going.cancel()

    bench.do(work)
    assert all_gone(pids(bench))


def test_an_interpreter_that_dies_is_started_anew(bench: Bench) -> None:
    """What ran in it has failed; what comes next runs."""

    async def work(processes: Processes) -> tuple[Exit, Exit]:
        first = asyncio.create_task(
            processes.run(Command("image", ("sh", "-c", "echo $PPID; echo $$; sleep 60"), folder="one"))
        )
        await until(lambda: len(pids(bench)) == 2)
        os.kill(pids(bench)[0], signal.SIGKILL)
        return await first, await processes.run(Command("image", ("true",), folder="two"))

    first, second = bench.do(work)
    assert (first.code, second.code) == (137, 0)
    assert all_gone(pids(bench))


@pytest.mark.parametrize(
    "table,wanted",
    [
        ({"gcr.io/p/a:1": "x"}, "x"),
        ({"gcr.io/p/a": "x"}, "x"),
        ({"gcr.io/p/*": "x"}, "x"),
        ({"*": "y", "gcr.io/p/a": "x"}, "x"),
        ({"gcr.io/p/a:2": "x"}, None),
        ({"gcr.io/p/b": "x"}, None),
        ({}, None),
    ],
)
def test_the_table_of_images(table: dict[str, str], wanted: str | None) -> None:
    """A name may leave out its tag, or hold a star; the nearest counts."""
    images = Images({name: Image(python) for name, python in table.items()})
    if wanted is None:
        with pytest.raises(Unmapped, match=r"gcr.io/p/a:1.*--any-image"):
            images.find("gcr.io/p/a:1")
        assert replace(Images({}, "z").find("gcr.io/p/a:1")).python == "z"
    else:
        assert images.find("gcr.io/p/a:1").python == wanted
        assert images.find("gcr.io/p/a:1@sha256:0").python == wanted


def test_what_is_no_table(tmp_path: Path) -> None:
    """Relative paths start at the folder that is said; what is unknown is refused."""
    images = Images.of(
        {"a": "bin/python", "b": {"python": "/p", "entrypoint": ["serve"], "env": {"N": 1}}}, None, tmp_path
    )
    assert images.find("a").python == str(tmp_path / "bin/python")
    assert images.find("b") == Image("/p", ("serve",), {"N": "1"})
    for wrong in ({"a": 1}, {"a": {}}, {"a": {"python": "x", "pyhton": "y"}}):
        with pytest.raises(ConfigError, match="'a'"):
            Images.of(wrong, None, tmp_path)


def test_the_entrypoint_of_an_image(bench: Bench) -> None:
    """It runs where the job says no command; without one, there is nothing to run."""
    bench.images = Images({"image": Image(sys.executable, entrypoint=("echo", "entry"))})
    bench.run(args=("more",))
    assert bench.lines == [("stdout", "entry more")]
    bench.images = Images(any_image=sys.executable)
    with pytest.raises(CannotStart, match="no entrypoint"):
        bench.run(args=("more",))


def test_the_folder_of_an_image(bench: Bench) -> None:
    """Each attempt has a copy of it."""
    (bench.folder / "workdir").mkdir()
    (bench.folder / "workdir" / "run.sh").write_text("echo run; rm run.sh")
    bench.images = Images({"image": Image(sys.executable, folder=str(bench.folder / "workdir"))})
    for _ in range(2):
        assert bench.run("sh", "run.sh").code == 0
    assert bench.lines == [("stdout", "run")] * 2


@pytest.mark.parametrize("python", ["/no/such/python", "/bin/false"])
def test_an_interpreter_that_does_not_run(bench: Bench, python: str) -> None:
    """The message names it."""
    bench.images = Images(any_image=python)
    with pytest.raises(SpawnerDied, match=python):
        bench.run("true")


INSTALL = (
    'PIP_DISABLE_PIP_VERSION_CHECK=1 python3 -m pip install --quiet --index-url https://x/y {} && "$0" "$@"'
)


@pytest.mark.parametrize(
    "packages,missing",
    [
        ("'pytest>=1' 'hypothesis'", None),
        ("'pytest<1' 'no-such-package==2'", r"pytest<1 \(there is .*\), no-such-package==2"),
    ],
)
def test_nothing_is_downloaded(bench: Bench, packages: str, missing: str | None) -> None:
    """Packages that a component would install must be in the environment already."""
    words = ("sh", "-c", INSTALL.format(packages), "sh", "-c", "echo installed")
    if missing is None:
        assert bench.run(*words).code == 0
        assert bench.lines == [("stdout", "installed")]
    else:
        with pytest.raises(CannotStart, match=missing):
            bench.run(*words)
