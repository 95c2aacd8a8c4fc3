"""A notebook run straight: papermill executes all its cells in one kernel; the only user of papermill."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from nbvertex.errors import Interrupted, Place, Refused
from nbvertex.pipeline import Cell, Each, Pipeline, Step
from nbvertex.report import literal
from nbvertex.runtime.headings import joined
from nbvertex.sides import Failure, Output, Side, Told

ENGINE = "nbvertex-straight"
NEEDED = ("papermill", "ipykernel")
ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
PLACE = re.compile(r"Cell In ?\[(\d+)\], line (\d+)")
LOG = "kernel.log"
RUNTIME = Path(__file__).parent / "runtime"
SURVEY = RUNTIME / "survey.py"


@dataclass(frozen=True, slots=True)
class Straight:
    """What is asked of a run from top to bottom.

    Args:
        pipeline: the notebook; its skipped cells are not in it.
        given: position of a cell -> the parameters that are set after it; 0: before the first.
        cwd: the working folder.
        scratch: a folder for what must not be seen in it.
        environ: the kernel's environment variables.
        python: the kernel's interpreter.
        watched: the cell before which the values of all names are told; 0: none.
        on_cell: hears the position of every cell that begins.
    """

    pipeline: Pipeline
    given: Mapping[int, Mapping[str, object]]
    cwd: Path
    scratch: Path
    environ: Mapping[str, str]
    python: str = sys.executable
    watched: int = 0
    on_cell: Callable[[int], None] = lambda position: None

    @property
    def cells(self) -> list[Cell]:
        """The cells in notebook order."""
        return sorted(
            (cell for step in self.pipeline.steps for cell in step.cells), key=lambda cell: cell.position
        )


def need(find: Callable[[str], object] = importlib.util.find_spec) -> None:
    """See to it that papermill is there.

    Args:
        find: gives None for a module that is missing.

    Raises:
        Refused: it is not; with the command that installs it.
    """
    missing = [module for module in NEEDED if find(module) is None]
    if missing:
        raise Refused(
            f"running a notebook straight takes {' and '.join(missing)}, which is not installed",
            hint=f"{sys.executable} -m pip install {' '.join(missing)}",
            code="no-papermill",
        )


def run(asked: Straight) -> Side:
    """Run a notebook from top to bottom, as papermill does.

    Raises:
        Refused: papermill is missing, or no kernel starts.
        Interrupted: the user asked to stop.
    """
    need()
    import papermill  # type: ignore[import-untyped, unused-ignore]
    from papermill.engines import papermill_engines  # type: ignore[import-untyped, unused-ignore]

    papermill_engines.register(ENGINE, _engine())
    source = asked.scratch / "straight.ipynb"
    source.write_text(json.dumps(_notebook(asked)), encoding="utf-8")
    session = Session(asked)
    try:
        papermill.execute_notebook(
            source,
            asked.scratch / "executed.ipynb",
            engine_name=ENGINE,
            kernel_name="python3",
            progress_bar=False,
            request_save_on_cell_execute=False,
            session=session,
        )
    except papermill.PapermillExecutionError:
        pass  # the session knows
    except KeyboardInterrupt:
        raise Interrupted("interrupted") from None
    except RuntimeError as error:
        if not session.started:
            raise _no_kernel(asked, error) from error
        raise
    return session.side()


def _no_kernel(asked: Straight, error: RuntimeError) -> Refused:
    log = asked.scratch / LOG
    lines = log.read_text("utf-8", "replace").splitlines() if log.exists() else []
    last = next((line for line in reversed(lines) if line.strip()), str(error))
    hint = f"{asked.python} -m pip install ipykernel" if "ipykernel" in last else None
    return Refused(f"no kernel starts with {asked.python}: {last}", hint=hint, code="no-kernel")


def _notebook(asked: Straight) -> dict[str, Any]:
    cells: list[dict[str, Any]] = [
        {
            "cell_type": "code",
            "execution_count": None,
            "id": f"cell-{cell.position}",
            "metadata": {"tags": ["raises-exception"] if cell.may_fail else []},
            "outputs": [],
            # a cell of which nothing is left to run has its number all the same
            "source": "pass" if cell.count and not cell.source.strip() else cell.source,
        }
        for cell in asked.cells
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": cells}


def _client() -> type[Any]:
    """papermill's own client, with a kernel of our choice and somebody who watches."""
    from jupyter_client.kernelspec import KernelSpec
    from nbclient.exceptions import CellExecutionError, DeadKernelError
    from papermill.clientwrap import PapermillNotebookClient  # type: ignore[import-untyped, unused-ignore]

    class Client(PapermillNotebookClient):  # type: ignore[misc, unused-ignore]
        """Executes the cells one by one and lets a session look on."""

        def __init__(self, manager: Any, session: Session) -> None:
            super().__init__(manager, kernel_name="python3", timeout=None, startup_timeout=120)
            self.session = session

        def create_kernel_manager(self) -> Any:
            manager = super().create_kernel_manager()
            command = [self.session.asked.python, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
            manager._kernel_spec = KernelSpec(argv=command, display_name="Python 3", language="python")
            return manager

        def quietly(self, code: str) -> None:
            """Have the kernel execute something that the notebook does not notice."""
            self.wait_for_reply(self.kc.execute(code, silent=True, store_history=False, allow_stdin=False))

        def papermill_execute_cells(self) -> None:
            session = self.session
            session.begin(self.quietly)
            for index in session.course():
                cell = self.nb.cells[index]
                try:
                    session.before(index)
                    self.nb_man.cell_start(cell, index)
                    self.execute_cell(cell, index)
                except (CellExecutionError, DeadKernelError) as error:
                    session.failed(index, error, cell)
                    self.nb_man.cell_exception(self.nb.cells[index], cell_index=index, exception=error)
                    if isinstance(error, DeadKernelError):
                        raise
                    break
                finally:
                    self.nb_man.cell_complete(self.nb.cells[index], cell_index=index)
                    session.after(self.nb.cells)
            else:
                session.end()

    return Client


def _engine() -> type[Any]:
    """An engine that papermill can be told to use."""
    from nbclient.exceptions import DeadKernelError
    from papermill.engines import Engine  # type: ignore[import-untyped, unused-ignore]

    client = _client()

    class Watched(Engine):  # type: ignore[misc, unused-ignore]
        """Runs the notebook of a session."""

        @classmethod
        def execute_managed_notebook(
            cls, nb_man: Any, kernel_name: str, session: Session, **other: Any
        ) -> None:
            asked = session.asked
            try:
                with (asked.scratch / LOG).open("wb") as log:
                    client(nb_man, session).execute(
                        cwd=str(asked.cwd), env=dict(asked.environ), stdout=log, stderr=log
                    )
            except DeadKernelError:
                if session.failure is None:
                    raise

    return Watched


@dataclass
class Session:
    """What is seen of a run while it goes on.

    Args:
        asked: what is run.
    """

    asked: Straight
    started: bool = False
    failure: Failure | None = None
    _quietly: Callable[[str], None] = print
    _outputs: dict[int, tuple[Output, ...]] = field(default_factory=dict)
    _counts: dict[int, int | None] = field(default_factory=dict)
    _values: dict[str, Told] | None = None
    _before: dict[str, Told] | None = None
    _at: int = 0  # the cell that runs or ran last
    _begun: set[int] = field(default_factory=set)  # the cells that the running round has begun
    _round: tuple[int, str] | None = None  # its number and its item
    _last: dict[int, tuple[Output, ...]] = field(default_factory=dict)  # by the running round
    _ended: set[int] = field(default_factory=set)  # the cells of steps all of whose rounds have run
    _untaken: dict[str, str] = field(default_factory=dict)
    _shown: dict[int, list[tuple[int, str, tuple[Output, ...]]]] = field(
        default_factory=dict
    )  # by earlier rounds

    def begin(self, quietly: Callable[[str], None]) -> None:
        """The kernel is there."""
        self.started, self._quietly = True, quietly
        self._inject(0)

    def course(self) -> Iterator[int]:
        """The cells that run, one after the other: those of a step that is taken, and of each of its rounds."""
        cells = self.asked.cells
        places = {cell.position: index for index, cell in enumerate(cells)}
        step_of = {cell.position: step for step in self.asked.pipeline.steps for cell in step.cells}
        taken: dict[str, bool] = {}
        over: set[str] = set()
        for index, cell in enumerate(cells):
            step = step_of[cell.position]
            if step.options.when is not None and step.name not in taken:
                answer = self._expand(do="decide", test=msgspec.to_builtins(step.options.when.test))
                if "error" in answer:
                    self.failure = Failure(
                        cell.position, "", f"when {step.options.when.text}: {answer['error']}"
                    )
                    return
                taken[step.name] = answer["holds"]
                if not answer["holds"]:
                    self._untaken[step.name] = f"when {step.options.when.text}: {answer['because']}"
            if not taken.get(step.name, True):
                self._expand(do="skip", cells=int(bool(cell.count)))
            elif step.options.each is None:
                yield index
            elif step.name not in over:
                over.add(step.name)
                yield from self._rounds(step, step.options.each, [places[one.position] for one in step.cells])
            if self.failure is not None:
                return

    def _rounds(self, step: Step, each: Each, places: list[int]) -> Iterator[int]:
        """The cells of a step that runs over a list, once for every item."""
        literals = [item.source for item in each.items or ()]
        answer = self._expand(
            do="begin",
            name=each.name,
            source=each.source,
            literals=literals,
            gathers=list(each.gathers),
            imports=list(each.imports),
        )
        if "error" in answer:
            message = f"each {each.text}: `{each.source}` {answer['error']}"
            self.failure = Failure(step.cells[0].position, "", message)
            return
        if not answer["items"]:
            self._untaken[step.name] = f"each {each.text}: the list is empty"
        for number, item in enumerate(answer["items"], 1):
            self._expand(do="round", index=number - 1)
            self._round, self._begun = (number, f"{each.name} = {item}"), set()
            yield from places
            if self.failure is not None:
                return
            for cell in step.cells:
                self._shown.setdefault(cell.position, []).append(
                    (*self._round, self._last.get(cell.position, ()))
                )
            changed = self._expand(do="end")["changed"]
            if changed:
                raise Refused(
                    f"verify cannot run the rounds of step {step.name} straight: `{changed[0]}` is changed in one, "
                    "and cannot be copied",
                    place=Place(cell=step.cells[0].position, step=step.name),
                    hint="keep what changes outside of functions and classes",
                    code="no-expansion",
                )
        self._round = None
        self._begun = set()
        self._ended.update(cell.position for cell in step.cells)
        self._expand(do="gather", cells=sum(bool(cell.count) for cell in step.cells))

    def before(self, index: int) -> None:
        """A cell is about to run."""
        cell = self.asked.cells[index]
        self._at = cell.position
        self._begun.add(cell.position)
        if cell.position == self.asked.watched:
            self._before = self._survey()
        self.asked.on_cell(cell.position)
        self._outputs.setdefault(cell.position, ())

    def after(self, cells: list[Any]) -> None:
        """A cell has run; it may have changed what earlier ones display."""
        for cell, ran in zip(self.asked.cells, cells, strict=True):
            position = cell.position
            if position not in self._outputs or position in self._ended:
                continue
            if self._round is not None and position in self._shown and position not in self._begun:
                continue  # it shows what the round before has shown
            self._last[position] = tuple(json.loads(json.dumps(ran.outputs)))
            self._outputs[position] = self._joined(position)
            self._counts[position] = ran.get("execution_count")
        if self.failure is None:
            self._inject(self._at)

    def _joined(self, position: int) -> tuple[Output, ...]:
        """What a cell has shown so far, in all rounds of its step."""
        if self._round is None or position not in self._begun:
            return self._last[position]
        number, item = self._round
        return joined([*self._shown.get(position, ()), (number, item, self._last[position])])

    def failed(self, index: int, error: Any, shown: Any) -> None:
        """A cell has failed, or the kernel has died in it."""
        cell = self.asked.cells[index]
        ename, evalue = str(getattr(error, "ename", "")), str(getattr(error, "evalue", ""))
        found = [output for output in shown.get("outputs", ()) if output["output_type"] == "error"]
        lines = tuple("\n".join(found[-1]["traceback"]).splitlines()) if found else ()
        line = _line(lines, shown.get("execution_count"))
        self.failure = Failure(cell.position, ename, evalue if ename else "", line, lines)

    def end(self) -> None:
        """All cells have run that are to run."""
        if self.failure is None:
            self._values = self._survey()

    def side(self) -> Side:
        """What was seen."""
        return Side(
            outputs=self._outputs,
            counts=self._counts,
            failure=self.failure,
            values=self._values,
            before=self._before,
            untaken=self._untaken,
        )

    def _inject(self, position: int) -> None:
        values = self.asked.given.get(position, {})
        if values:
            self._quietly("\n".join(f"{name} = {literal(value)}" for name, value in values.items()))

    def _expand(self, **said: object) -> dict[str, Any]:
        """Have the kernel decide a condition, or change rounds.

        Raises:
            Refused: it cannot; the notebook has broken what that takes.
        """
        answer = self.asked.scratch / "expansion.json"
        answer.unlink(missing_ok=True)
        self._quietly(_expansion_code(said, answer))
        if not answer.exists():
            what = "verify cannot run steps under a condition or over a list straight in this notebook"
            raise Refused(what, code="no-expansion")
        found: dict[str, Any] = json.loads(answer.read_bytes())
        return found

    def _survey(self) -> dict[str, Told]:
        answer = self.asked.scratch / "survey.json"
        answer.unlink(missing_ok=True)
        self._quietly(_survey_code(answer))
        if not answer.exists():  # the notebook has broken what it takes
            return {}
        told = json.loads(answer.read_bytes())
        return {name: (kind, digest, text) for name, (kind, digest, text) in told.items()}


def _line(traceback: tuple[str, ...], count: int | None) -> int | None:
    """The last line of the cell that the error passed through."""
    plain = "\n".join(ESCAPES.sub("", line) for line in traceback)
    found = [int(line) for number, line in PLACE.findall(plain) if number == str(count)]
    return found[-1] if found else None


def _survey_code(answer: Path) -> str:
    """Code for a kernel that writes what all names hold, without binding a name or using one of the notebook's."""
    source = SURVEY.read_text(encoding="utf-8")
    script = (
        "import json, pathlib\n"
        "from IPython import get_ipython\n"
        "shell = get_ipython()\n"
        "told = json.dumps(survey(shell.user_ns, shell.user_ns_hidden))\n"
        f"pathlib.Path({str(answer)!r}).write_text(told, encoding='utf-8')\n"
    )
    scope = "{'__name__': 'survey'}"
    return f"__import__('builtins').exec({source!r} + {script!r}, {scope})"


_EXPANSION = """
import importlib, importlib.util, json, pathlib, sys
from IPython import get_ipython
if name not in sys.modules:
    spec = importlib.util.spec_from_file_location(name, folder + "/__init__.py", submodule_search_locations=[folder])
    sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])
expansion = importlib.import_module(name + ".expansion")
if not hasattr(expansion, "current"):
    expansion.current = expansion.Expansion(get_ipython())
pathlib.Path(answer).write_text(json.dumps(expansion.current.call(json.loads(said))), encoding="utf-8")
"""


def _expansion_code(said: Mapping[str, object], answer: Path) -> str:
    """Code for a kernel that has `runtime.expansion` do something."""
    names = {
        "name": "nbvertex_runtime",
        "folder": str(RUNTIME),
        "answer": str(answer),
        "said": json.dumps(said),
    }
    scope = {"__name__": "expansion", **names}
    return f"__import__('builtins').exec({_EXPANSION!r}, {scope!r})"
