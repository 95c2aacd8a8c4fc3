"""For pytest: notebooks collected by step, a fixture that runs one step on values of the test's own, and the emulator."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from nbvertex.actions.reading import Opened
    from nbvertex.actions.running import Given
    from nbvertex.actions.testing import Exam, Subject, Subjects
    from nbvertex.emulator.bench import Bench
    from nbvertex.pipeline import Step
    from nbvertex.sides import Failure

LAW = "[verify]"  # no step can be called so
SUBJECTS: pytest.StashKey[Subjects] = pytest.StashKey()
DECLARED: pytest.StashKey[set[str]] = pytest.StashKey()  # the parameters of the notebooks that were collected


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options; without one of the first two, no notebook is collected."""
    group = parser.getgroup("nbvertex", "notebooks as tests")
    group.addoption("--nbvertex", action="store_true", help="collect notebooks: every step is a test")
    group.addoption(
        "--nbvertex-verify",
        action="store_true",
        help="collect notebooks, and hold each to doing the same straight and as isolated steps",
    )
    group.addoption(
        "--nbvertex-p",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="give the notebooks' parameter a value, read by its type",
    )
    group.addoption(
        "--nbvertex-split",
        choices=["headings", "cells"],
        help="cut notebooks without marks at their headings or cells",
    )


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """A notebook, where notebooks are asked for."""
    option = parent.config.option
    if file_path.suffix != ".ipynb" or not (option.nbvertex or option.nbvertex_verify):
        return None
    found: NotebookFile = NotebookFile.from_parent(parent, path=file_path)
    return found


def pytest_collection_finish(session: pytest.Session) -> None:
    """A parameter that no notebook has is a mistake."""
    declared = session.config.stash.get(DECLARED, None)
    if declared is None:
        return
    for name, _ in session.config.option.nbvertex_p:
        if name not in declared:
            known = f"they have {', '.join(sorted(declared))}" if declared else "they have none"
            raise pytest.UsageError(f"--nbvertex-p: no notebook has a parameter {name!r}; {known}")


def pytest_unconfigure(config: pytest.Config) -> None:
    """No process is left."""
    subjects = config.stash.get(SUBJECTS, None)
    if subjects is not None:
        subjects.close()


class NotebookFile(pytest.File):
    """A notebook; its steps are the tests."""

    def collect(self) -> Iterator[pytest.Item]:
        """One test for each step, and one for the law where it is asked for."""
        from nbvertex.actions import testing
        from nbvertex.actions.reading import open_notebook
        from nbvertex.errors import NbvertexError

        option = self.config.option
        try:
            opened = open_notebook(_near(self.path), split=option.nbvertex_split)
            given = self._given(opened)
        except NbvertexError as error:
            raise self.CollectError(_said(error)) from error
        law = option.nbvertex_verify or testing.asks_for_law(opened)
        exam = testing.Exam(opened, given, law=law)
        for step in opened.pipeline.steps:
            yield StepItem.from_parent(self, name=step.name, exam=exam, step=step)
        if law:
            yield LawItem.from_parent(self, name=LAW, exam=exam)

    def _given(self, opened: Opened) -> Given:
        """Those of the values given on the command line that are for this notebook."""
        from nbvertex.actions.running import Given, resolve

        names = {parameter.name for parameter in opened.pipeline.parameters}
        self.config.stash.setdefault(DECLARED, set()).update(names)
        given = Given(typed=tuple((n, v) for n, v in self.config.option.nbvertex_p if n in names))
        resolve(opened.pipeline, given)
        return given


class NotebookItem(pytest.Item):
    """A test that a notebook is.

    Args:
        exam: the notebook, run once for all its tests.
    """

    cell = 1

    def __init__(self, *, exam: Exam, **other: Any) -> None:
        super().__init__(**other)
        self.exam = exam

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where it is: the cell it begins with stands for the line."""
        return self.path, self.cell - 1, f"{self.path.name} {self.name}"

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """What went wrong in the notebook, without our frames or pytest's."""
        from nbvertex.errors import NbvertexError

        error = excinfo.value
        if isinstance(error, NotebookFailed):
            return str(error)
        return _said(error) if isinstance(error, NbvertexError) else super().repr_failure(excinfo, style)


class NotebookFailed(Exception):
    """A notebook does not do what it should; the message is all there is to tell."""


class StepItem(NotebookItem):
    """A step, run straight with all others by papermill.

    Args:
        step: it.
    """

    def __init__(self, *, step: Step, **other: Any) -> None:
        super().__init__(**other)
        self.step = step
        self.cell = min((cell.position for cell in step.cells), default=1)

    def runtest(self) -> None:
        """It passes where its cells ran."""
        failure = self.exam.failure(self.step)
        if failure is not None:
            raise NotebookFailed(self._told(failure))
        why = self.exam.straight.untaken.get(self.step.name)
        if why is not None:
            raise pytest.skip.Exception(why, _use_item_location=True)
        if not self.exam.reached(self.step):
            stopped = self.exam.straight.failure
            where = f"cell {stopped.position}: {stopped}" if stopped is not None else "the run stopped"
            raise pytest.skip.Exception(f"not reached: {where}", _use_item_location=True)

    def _told(self, failure: Failure) -> str:
        from nbvertex.errors import Place, visible
        from nbvertex.live import ESCAPES

        place = Place(self.path.name, failure.position, failure.line, self.step.name)
        lines = [ESCAPES.sub("", line) for line in failure.traceback]
        return visible("\n".join([f"{place}: {failure}", "", *lines]))


class LawItem(NotebookItem):
    """The same notebook as isolated steps."""

    def runtest(self) -> None:
        """It passes where both runs are alike."""
        from nbvertex import verbs_verify

        found = self.exam.verified
        if found.compared.differences:
            raise NotebookFailed("\n".join([_said(verbs_verify.error_of(found)), *verbs_verify.told(found)]))
        if found.steps.refused is not None:
            raise NotebookFailed(_said(found.steps.refused))


@pytest.fixture
def notebook(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str | Path], Subject]:
    """`notebook("churn.ipynb").step("train").run(df=small)` runs one step on the test's own values.

    The file is looked for beside the test, then in the folder that pytest was started in. What the step leaves is
    `result["name"]`; what it shows is `result.text` and `result.outputs`. `notebook(...).verify()` holds it to
    doing the same straight and as isolated steps.
    """
    from nbvertex.actions import testing

    subjects = request.config.stash.setdefault(SUBJECTS, testing.Subjects())
    folders = (request.path.parent, request.config.invocation_params.dir, request.config.rootpath)

    def find(path: str | Path) -> Subject:
        __tracebackhide__ = True
        near = [folder / path for folder in folders]
        there = next((place for place in near if place.exists()), near[0])
        return testing.plainly(lambda: subjects.get(there, lambda: tmp_path_factory.mktemp("notebook")))

    return find


@pytest.fixture(scope="session")
def _vertex_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    from nbvertex.emulator import hosting
    from nbvertex.emulator.bench import bench

    wanted = hosting.Wanted(
        tmp_path_factory.mktemp("emulator"),
        project="test-project",
        bucket="test-bucket",
        any_image=sys.executable,
    )
    with bench(wanted) as made:
        yield made


@pytest.fixture
def vertex_emulator(_vertex_emulator: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """Vertex AI and Cloud Storage on this machine; Google's clients in the test, and in what it starts, reach them.

    Images run in the test's own interpreter. `vertex_emulator.fault(...)`, `.advance(seconds)`, `.calls()` and
    `.file("gs://test-bucket/...")` look behind the scenes; faults are gone after the test.
    """
    from nbvertex.emulator.environment import FORGOTTEN

    for name in FORGOTTEN:
        monkeypatch.delenv(name, raising=False)
    for name, value in _vertex_emulator.environment.items():
        monkeypatch.setenv(name, value)
    yield _vertex_emulator
    _vertex_emulator.mend()


def _near(path: Path) -> str:
    from nbvertex.actions.running import near

    return near(path)


def _said(error: Exception) -> str:
    from nbvertex import console

    return "\n".join(console.told(error))
