"""A notebook run straight: papermill executes all its cells in one kernel; the only user of papermill."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbvertex.errors import Interrupted, Refused
from nbvertex.pipeline import Cell, Pipeline
from nbvertex.report import literal
from nbvertex.sides import Failure, Output, Side, Told

ENGINE = "nbvertex-straight"
NEEDED = ("papermill", "ipykernel")
ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
PLACE = re.compile(r"Cell In ?\[(\d+)\], line (\d+)")
LOG = "kernel.log"
SURVEY = Path(__file__).parent / "runtime" / "survey.py"


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
            "source": cell.source,
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
            for index, cell in enumerate(self.nb.cells):
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

    def begin(self, quietly: Callable[[str], None]) -> None:
        """The kernel is there."""
        self.started, self._quietly = True, quietly
        self._inject(0)

    def before(self, index: int) -> None:
        """A cell is about to run."""
        cell = self.asked.cells[index]
        if cell.position == self.asked.watched:
            self._before = self._survey()
        self.asked.on_cell(cell.position)
        self._outputs[cell.position] = ()

    def after(self, cells: list[Any]) -> None:
        """A cell has run; it may have changed what earlier ones display."""
        for cell, ran in zip(self.asked.cells, cells, strict=True):
            if cell.position in self._outputs:
                self._outputs[cell.position] = tuple(json.loads(json.dumps(ran.outputs)))
                self._counts[cell.position] = ran.get("execution_count")
        if self.failure is None:
            self._inject(max(self._outputs))

    def failed(self, index: int, error: Any, shown: Any) -> None:
        """A cell has failed, or the kernel has died in it."""
        cell = self.asked.cells[index]
        ename, evalue = str(getattr(error, "ename", "")), str(getattr(error, "evalue", ""))
        found = [output for output in shown.get("outputs", ()) if output["output_type"] == "error"]
        lines = tuple("\n".join(found[-1]["traceback"]).splitlines()) if found else ()
        line = _line(lines, shown.get("execution_count"))
        self.failure = Failure(cell.position, ename, evalue if ename else "", line, lines)

    def end(self) -> None:
        """All cells have run."""
        self._values = self._survey()

    def side(self) -> Side:
        """What was seen."""
        return Side(
            outputs=self._outputs,
            counts=self._counts,
            failure=self.failure,
            values=self._values,
            before=self._before,
        )

    def _inject(self, position: int) -> None:
        values = self.asked.given.get(position, {})
        if values:
            self._quietly("\n".join(f"{name} = {literal(value)}" for name, value in values.items()))

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
