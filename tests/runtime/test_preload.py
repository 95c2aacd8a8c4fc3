"""What is imported ahead of time, what is not, and that a step cannot tell the difference."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from nbvertex import worker

PATIENCE = 60.0
NOTE = "import os\nPID = os.getpid()\n"  # tells in which process a module was executed

# name, what importing it does, kept warm, what a step asks, the answer
MODULES: list[tuple[str, str, bool, str, str]] = [
    ("plain", "", True, "import plain; 1", "1"),
    ("prints", "print('hello')", False, "import prints; 1", "hello\n|1"),
    ("complains", "import sys; print('oh', file=sys.stderr)", False, "import complains; 1", "oh\n|1"),
    ("writes", "import os; os.write(1, b'raw')", False, "import writes; 1", "raw|1"),
    ("warns", "import warnings; warnings.warn('careful')", False,
     "import warnings\nwarnings.simplefilter('ignore')\nimport warns; 1", "1"),
    ("raises", "1 / 0", False, "try: import raises\nexcept ZeroDivisionError as e: print(e)", "division by zero\n"),
    ("leaves", "raise SystemExit('no')", False, "try: import leaves\nexcept SystemExit as e: print(e)", "no\n"),
    ("moves", "import os; os.chdir('/')", False, "import os, moves; os.getcwd()", "'/'"),
    ("extends", "import sys; sys.path.append('/extra')", False,
     "import sys\nbefore = '/extra' in sys.path\nimport extends; before, '/extra' in sys.path", "(False, True)"),
    ("sets", "import os; os.environ['SET_BY'] = 'sets'; os.environ.pop('TAKEN', None)", True,
     ("import os\nbefore = os.environ.get('SET_BY'), os.environ.get('TAKEN')\nimport sets\n"
     "before, os.environ.get('SET_BY'), os.environ.get('TAKEN')"), "((None, 'x'), 'sets', None)"),
    ("draws", "import random; random.random(); random.getrandbits(3)", True,
     ("import random\nrandom.seed(1)\nimport draws\na = random.random()\n"
     "random.seed(1); random.random(); random.getrandbits(3)\na == random.random()"), "True"),
    ("seeds", "import random; random.seed(5)", False,
     "import random\nrandom.seed(1)\nimport seeds\na = random.random(); random.seed(5); a == random.random()", "True"),
    ("gauss", "import random; random.gauss(0, 1)", False, "import gauss; 1", "1"),
    ("filters", "import warnings\nclass W(Warning): pass\nwarnings.simplefilter('always', W)", True,
     "import warnings\nwarnings.simplefilter('ignore')\nimport filters\nwarnings.filters[0][2].__name__", "'W'"),
    ("appends", "import warnings\nclass W(Warning): pass\nwarnings.simplefilter('always', W, append=True)", True,
     "import warnings\nwarnings.simplefilter('ignore')\nimport appends\nwarnings.filters[-1][2].__name__", "'W'"),
    ("resets", "import warnings; warnings.resetwarnings()", False, "import resets, warnings; warnings.filters", "[]"),
    ("threads", "import threading, time; threading.Thread(target=time.sleep, args=(99,), daemon=True).start()", False,
     "import threads, threading; threading.active_count() > 1", "True"),
    ("handles", "import signal; signal.signal(signal.SIGUSR1, signal.SIG_IGN)", False,
     ("import signal\na = signal.getsignal(signal.SIGUSR1) == signal.SIG_IGN\nimport handles\n"
     "a, signal.getsignal(signal.SIGUSR1) == signal.SIG_IGN"), "(False, True)"),
    ("limits", "import sys; sys.setrecursionlimit(5000)", False, "import limits, sys; sys.getrecursionlimit()", "5000"),
    ("logs", "import logging; logging.basicConfig()", False,
     "import logging\na = len(logging.root.handlers)\nimport logs; a, len(logging.root.handlers)", "(0, 1)"),
    ("hooks", "import sys; sys.excepthook = print", False, "import sys\n(__import__('hooks'), sys.excepthook is print)[1]", "True"),
    ("polars", "", False, "import polars; 1", "1"),
    ("asks", "SHELL = get_ipython().__class__.__name__, hasattr(get_ipython(), 'kernel')", True,
     "import asks; asks.SHELL", "('ZMQInteractiveShell', True)"),
    ("registers", "get_ipython().events.register('post_run_cell', lambda result: print('ran'))", True,
     "import registers; 1", "1|ran\n"),
]  # fmt: skip


def install(site: Path) -> None:
    for name, body, *_ in MODULES:
        (site / f"{name}.py").write_text(NOTE + body)
    package = site / "package"
    package.mkdir()
    (package / "__init__.py").write_text(NOTE)
    (package / "sub.py").write_text(NOTE + "from package import other")
    (package / "other.py").write_text(NOTE)
    (site / "needs.py").write_text(NOTE + "import sets, plain")
    (site / "half.py").write_text(NOTE + "import plain, raises")
    namespace = site / "space"
    namespace.mkdir()
    (namespace / "part.py").write_text(NOTE)


@dataclass(frozen=True)
class Environment:
    """Where the packages lie, and the variables that make them installed ones."""

    site: Path
    variables: dict[str, str]

    def pool(self, cwd: Path, preload: tuple[str, ...]) -> worker.Pool:
        return worker.Pool(sys.executable, preload=preload, cwd=str(cwd), env=self.variables)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with packages that do odd things when they are imported: in the user's own site folder."""
    folder = tmp_path_factory.mktemp("base")
    site = folder / "lib" / "python{}.{}".format(*sys.version_info) / "site-packages"
    site.mkdir(parents=True)
    install(site)
    variables = {**os.environ, "TAKEN": "x", "PYTHONUSERBASE": str(folder), "PYTHONPATH": str(site)}
    return Environment(site, variables)


def ask(python: Environment, preload: tuple[str, ...], cwd: Path, *sources: str) -> str:
    """What the cells of one step show, joined by ``|``."""
    pool = python.pool(cwd, preload)
    try:
        cells = tuple(worker.CellJob(place, place, source) for place, source in enumerate(sources, 1))
        inputs = {"step": "s", "names": {}, "artifacts": []}
        pool.start(worker.Job("job", cells, inputs, live=(), cwd=str(cwd), scratch=str(cwd)))
        shown: list[str] = []
        while True:
            for event in pool.poll(PATIENCE):
                if isinstance(event, worker.CellEnded):
                    shown += [o["text"] if "text" in o else o["data"]["text/plain"] for o in event.outputs]
                if isinstance(event, worker.Ended):
                    return "|".join(shown)
    finally:
        pool.close()


@pytest.fixture(scope="module")
def answers(
    python: Environment, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, tuple[str, str]]]:
    """What each module's step shows, and which process executed it, with all of them to be preloaded."""
    cwd = tmp_path_factory.mktemp("work")
    preload = tuple(name for name, *_ in MODULES)
    pool = python.pool(cwd, preload)
    found: dict[str, tuple[str, str]] = {}
    for name, _, _, source, _ in MODULES:
        cells = (
            worker.CellJob(1, 1, source),
            worker.CellJob(
                2, 2, f"import os, sys\nm = sys.modules.get('{name}')\nprint(m and m.PID == os.getpid())"
            ),
        )
        inputs = {"step": "s", "names": {}, "artifacts": []}
        pool.start(worker.Job(name, cells, inputs, live=(), cwd=str(cwd), scratch=str(cwd)))
        shown: dict[int, str] = {}
        while name not in found:
            for event in pool.poll(PATIENCE):
                if isinstance(event, worker.CellEnded):
                    texts = [o["text"] if "text" in o else o["data"]["text/plain"] for o in event.outputs]
                    shown[event.position] = "|".join(texts)
                if isinstance(event, worker.Ended):
                    found[name] = shown[1], shown[2].partition("\n")[0]
    yield found
    pool.close()


@pytest.mark.parametrize("name, warm, answer", [(name, warm, answer) for name, _, warm, _, answer in MODULES])
def test_an_import_does_in_a_step_what_it_does_at_any_time(
    answers: dict[str, tuple[str, str]], name: str, warm: bool, answer: str
) -> None:
    """Whether the module was imported ahead of time or not; which of both is as it should be."""
    shown, executed_here = answers[name]
    assert shown == answer
    if executed_here in ("True", "False"):  # else the import has failed
        assert executed_here == str(not warm)


def test_what_is_unfit_is_told_and_need_not_be_found_again(python: Environment, tmp_path: Path) -> None:
    """So that the next pool begins at once."""
    pool = python.pool(tmp_path, ("prints", "plain"))
    try:
        inputs = {"step": "s", "names": {}, "artifacts": []}
        job = worker.Job("j", (), inputs, live=(), cwd=str(tmp_path), scratch=str(tmp_path))
        pool.start(job)
        while not pool.poll(PATIENCE):
            pass
        assert pool.without == {"prints": "prints or warns"}
    finally:
        pool.close()
    again = worker.Pool(
        sys.executable,
        preload=("prints", "plain"),
        cwd=str(tmp_path),
        env=python.variables,
        without=pool.without,
    )
    again.start(job)
    while not again.poll(PATIENCE):
        pass
    again.close()
    assert again.without == pool.without


def test_an_import_that_hangs_holds_up_only_who_wants_it(python: Environment, tmp_path: Path) -> None:
    """The steps do not wait for it."""
    (python.site / "hangs.py").write_text("import time; time.sleep(9999)")
    pool = worker.Pool(
        sys.executable, preload=("plain", "hangs"), cwd=str(tmp_path), env=python.variables, start_limit=0.5
    )
    inputs = {"step": "s", "names": {}, "artifacts": []}
    cells = (worker.CellJob(1, 1, "import plain"),)
    for name in ("a", "b"):
        pool.start(worker.Job(name, cells, inputs, live=(), cwd=str(tmp_path), scratch=str(tmp_path)))
    ended: dict[str, type] = {}
    while len(ended) < 2:
        ended.update((e.job, type(e.result)) for e in pool.poll(PATIENCE) if isinstance(e, worker.Ended))
    pool.close()
    assert ended == {"a": worker.Done, "b": worker.Done}


def test_nothing_is_there_before_it_is_imported(python: Environment, tmp_path: Path) -> None:
    """Neither the module nor a trace of it; then it is itself."""
    shown = ask(
        python, ("package.sub", "plain"), tmp_path,
        "import sys\n[n for n in sys.modules if n.startswith(('package', 'plain'))]",
        "import package\nhasattr(package, 'sub'), hasattr(package, 'other')",
        "import package.sub, os\npackage.sub.PID != os.getpid(), package.other is sys.modules['package.other']",
        "package.__spec__.name, package.__spec__.loader.__class__.__name__, package.sub.__spec__.name",
        "import importlib; importlib.reload(package).PID == os.getpid()",
        "import importlib.util; importlib.util.find_spec('plain').name, 'plain' in sys.modules",
        "del sys.modules['package.sub']\nimport package.sub\npackage.sub.PID == os.getpid()",
    )  # fmt: skip
    first, second, *rest = shown.split("|")
    assert first == "[]"
    assert second in ("(False, False)", "(True, True)")  # `import package.sub` was one import
    assert rest == [
        "(True, True)", "('package', 'SourceFileLoader', 'package.sub')", "True", "('plain', False)", "True",
    ]  # fmt: skip


def test_what_a_module_needs_comes_with_it_and_with_its_effects(python: Environment, tmp_path: Path) -> None:
    """In the order in which Python would execute them."""
    shown = ask(
        python, ("sets", "plain", "needs"), tmp_path,
        "import os, needs, sys\nos.environ['SET_BY'], 'plain' in sys.modules, needs.PID != os.getpid()",
    )  # fmt: skip
    assert shown == "('sets', True, True)"


def test_a_broken_module_does_not_spoil_its_neighbours(python: Environment, tmp_path: Path) -> None:
    """What it had imported before it failed is as it was."""
    shown = ask(
        python, ("half", "plain"), tmp_path,
        "import sys\ntry: import half\nexcept ZeroDivisionError: print('half' in sys.modules)\nimport plain; 1",
    )  # fmt: skip
    assert shown == "False\n|1"


@pytest.mark.parametrize(
    "preload", [("nosuch",), ("plain.nosuch",), ("package.nosuch",), ("sys",), ("json.tool",), ()]
)
def test_names_that_are_no_modules_harm_nobody(
    python: Environment, tmp_path: Path, preload: tuple[str, ...]
) -> None:
    """`from package import thing` may have been given as package.thing."""
    assert ask(python, preload, tmp_path, "import plain, package; 1") == "1"


def test_a_part_of_a_namespace_package(python: Environment, tmp_path: Path) -> None:
    """Is imported like any other."""
    assert (
        ask(python, ("space.part",), tmp_path, "import space.part, os; space.part.PID != os.getpid()")
        == "True"
    )


def test_a_module_of_the_users_is_never_imported_ahead(python: Environment, tmp_path: Path) -> None:
    """It may change while the run lasts; it may stand before an installed one."""
    for name in ("mine", "plain"):
        (tmp_path / f"{name}.py").write_text(NOTE + "OWN = True")
    shown = ask(
        python,
        ("mine", "plain"),
        tmp_path,
        "import mine, plain, os; mine.PID == plain.PID == os.getpid(), plain.OWN",
    )
    assert shown == "(True, True)"


def test_without_a_fork_each_step_has_an_interpreter_of_its_own(python: Environment, tmp_path: Path) -> None:
    """Where a Python thread runs from the start; what a step shows is the same."""
    start = python.site / "sitecustomize.py"
    start.write_text(
        "import threading, time; threading.Thread(target=time.sleep, args=(9999,), daemon=True).start()\n"
    )
    try:
        shown = ask(
            python, ("plain", "prints"), tmp_path,
            "import os, sys, threading, plain, prints\nplain.PID == os.getpid(), threading.active_count() > 1",
        )  # fmt: skip
    finally:
        start.unlink()
    assert shown == "hello\n|(True, True)"
