"""For papermill: ``papermill IN OUT --engine nbvertex`` runs a notebook as isolated steps. papermill loads this."""

from __future__ import annotations

import functools
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from nbvertex.actions.reading import Opened
    from nbvertex.errors import NbvertexError, Problem
    from nbvertex.events import Output, RunEvent, RunResult

NAMELESS = "notebook.ipynb"  # what a notebook is called that did not come from a file here


def __getattr__(name: str) -> Any:
    if (
        name == "Engine"
    ):  # made when papermill asks for it: this module may be imported before papermill, or without
        return _engine()
    raise AttributeError(name)


@functools.cache
def _engine() -> type[Any]:
    from papermill.engines import Engine as Base  # type: ignore[import-untyped, unused-ignore]

    class Engine(Base):  # type: ignore[misc, unused-ignore]
        """Runs a notebook's steps, and tells papermill of its cells."""

        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **said: Any) -> None:
            """What papermill calls."""
            execute(nb_man, kernel_name, **said)

    return Engine


def execute(
    manager: Any,
    kernel: str,
    *,
    log_output: bool = False,
    stdout_file: TextIO | None = None,
    stderr_file: TextIO | None = None,
    input_path: str | None = None,
    execution_timeout: float | None = None,
    **other: Any,
) -> None:
    """Run the notebook, whose parameters papermill has injected.

    Args:
        manager: papermill's, of the notebook.
        kernel: the kernel whose Python the steps run in.
        log_output: log what cells print.
        stdout_file, stderr_file: where what they print goes as well.
        input_path: where the notebook came from.
        execution_timeout: refused: a step has the option ``timeout``.
        other: what papermill's own engine understands.
    """
    from papermill.exceptions import PapermillException  # type: ignore[import-untyped, unused-ignore]

    from nbvertex.errors import Interrupted, NbvertexError, ProblemsFound

    if execution_timeout:
        raise PapermillException("engine nbvertex: say `timeout` on a step, not for every cell")
    cells = Cells(manager, _Log(log_output, stdout_file, stderr_file))
    try:
        result = cells.run(_path(input_path), kernel)
    except ProblemsFound as error:
        cells.problems(error.problems)
    except NbvertexError as error:
        cells.error(error)
    else:
        if isinstance(result.error, Interrupted):
            raise KeyboardInterrupt
        cells.finish(result)


class Cells:
    """The cells of papermill's notebook while its steps run.

    Args:
        manager: papermill's.
        log: where outputs go as well.
    """

    def __init__(self, manager: Any, log: _Log) -> None:
        from nbvertex.report import Follower

        self._manager, self._log = manager, log
        self._follower = Follower({})

    def run(self, path: Path, kernel: str) -> RunResult:
        """Run the notebook as it is now.

        Raises:
            NbvertexError: it has errors, or cannot be run.
        """
        from nbvertex import config, runner
        from nbvertex.home import find

        opened = self._open(path)
        return runner.run(
            opened.pipeline,
            home=find(path),
            notebook=path,
            jobs=config.load(path).jobs,
            python=_python(kernel),
            on_event=self._hear,
        )

    def _open(self, path: Path) -> Opened:
        import nbformat
        from papermill.log import logger  # type: ignore[import-untyped, unused-ignore]

        from nbvertex import notebook
        from nbvertex.actions import reading

        text: str = nbformat.writes(self._manager.nb)  # type: ignore[no-untyped-call, unused-ignore]
        opened = reading.converted(notebook.parse(str(path), text))
        for problem in opened.warnings:
            logger.warning(str(problem))
        return opened

    def _hear(self, event: RunEvent) -> None:
        from nbvertex.events import CellEnded, CellOutput, CellStarted

        self._follower(event)
        match event:
            case CellStarted():
                self._cell(event.position).outputs = []
                self._manager.cell_start(self._cell(event.position), event.position - 1)
            case CellOutput():
                self._show(event.step, event.position)
                self._log(event.step, event.output)
                self._manager.autosave_cell()
            case CellEnded():
                self._log.end(event.step)
                self._show(event.step, event.position)
                cell = self._cell(event.position)
                cell.execution_count = event.count
                if event.state == "failed" and "raises-exception" not in cell.metadata.get("tags", ()):
                    self._manager.cell_exception(cell, event.position - 1)
                self._manager.cell_complete(cell, event.position - 1)

    def _show(self, step: str, position: int) -> None:
        self._put(position, self._follower.shown(step, position))

    def _put(self, position: int, outputs: Sequence[Output]) -> None:
        import nbformat

        told: Any = [dict(output) for output in outputs]
        self._cell(position).outputs = nbformat.from_dict(told)  # type: ignore[no-untyped-call, unused-ignore]

    def _cell(self, position: int) -> Any:
        return self._manager.nb.cells[position - 1]

    def finish(self, result: RunResult) -> None:
        """Write what every cell did into the notebook, cached ones included, and how it failed."""
        from nbvertex import report

        self._manager.nb.metadata.papermill["exception"] = True if result.error is not None else None
        for step in result.steps.values():
            for did in step.cells.values():
                cell = self._cell(did.position)
                self._put(did.position, did.outputs)
                cell.execution_count = did.count
                if did.state == "skipped":  # what it did before its turn was thrown away
                    cell.metadata.papermill = {**dict.fromkeys(cell.metadata.papermill), "status": "pending"}
                state = "cached" if step.state == "cached" else did.state
                cell.metadata["nbvertex"] = {
                    "cell": did.position,
                    "step": step.name,
                    "state": state,
                    "run": step.source or result.run,
                    "attempt": step.attempt,
                }
        widgets = report.widget_state(result)
        if widgets:
            self._manager.nb.metadata["widgets"] = {report.WIDGET_STATE: widgets}
        if result.error is not None:
            self.error(result.error)

    def problems(self, problems: Sequence[Problem]) -> None:
        """Say in the notebook what keeps it from being run."""
        errors = [problem for problem in problems if problem.is_error]
        told = "\n".join(
            f"{problem}\nhint: {problem.hint}" if problem.hint else str(problem) for problem in errors
        )
        self._fail(errors[0].place.cell, "ProblemsFound", told)

    def error(self, error: NbvertexError) -> None:
        """Say in the notebook what went wrong, where no cell says it."""
        from nbvertex.errors import ProblemsFound

        if isinstance(error, ProblemsFound):
            self.problems(error.problems)
            return
        cell = self._cell(error.place.cell) if error.place.cell else None
        if cell is not None and any(output.output_type == "error" for output in cell.get("outputs", ())):
            return
        told = f"{error}\nhint: {error.hint}" if error.hint else str(error)
        self._fail(error.place.cell, type(error).__name__, told)

    def _fail(self, position: int | None, ename: str, evalue: str) -> None:
        import nbformat

        code = [place for place, cell in enumerate(self._manager.nb.cells, 1) if cell.cell_type == "code"]
        ran = [place for place in code if self._cell(place).execution_count]
        place = position or max(ran, default=code[0])
        cell = self._cell(place)
        error = {"output_type": "error", "ename": ename, "evalue": evalue, "traceback": evalue.splitlines()}
        cell.outputs.append(nbformat.from_dict(error))  # type: ignore[no-untyped-call, unused-ignore]
        self._manager.cell_exception(cell, place - 1)


class _Log:
    """Where papermill wants what cells print beside the notebook; its log gets whole lines.

    Args:
        wanted: log it.
        stdout, stderr: write it there.
        patience: seconds after which the beginning of a line is logged without its end.
    """

    def __init__(
        self, wanted: bool, stdout: TextIO | None, stderr: TextIO | None, patience: float = 1.0
    ) -> None:
        self._wanted, self._patience = wanted, patience
        self._files = {"stdout": stdout, "stderr": stderr}
        self._begun: dict[tuple[str, str], str] = {}  # (step, stream) -> a line that has not ended
        self._timers: dict[str, threading.Timer] = {}
        self._lock = threading.RLock()

    def __call__(self, step: str, output: Mapping[str, Any]) -> None:
        text = "".join(output.get("text") or output.get("data", {}).get("text/plain") or "")
        name = output.get("name", "")
        file = self._files.get(name)
        if file is not None:
            file.write(text)
            file.flush()
        if not (self._wanted and text):
            return
        with self._lock:
            if not name:
                self.end(step)
                self._tell(name, text)
                return
            begun = self._begun.pop((step, name), "") + text
            whole = max(begun.rfind("\n"), begun.rfind("\r")) + 1  # a progress bar's lines end in \r
            self._tell(name, begun[:whole])
            if begun[whole:]:
                self._begun[step, name] = begun[whole:]
                self._soon(step)

    def end(self, step: str) -> None:
        """Log what has been held back: no more comes now."""
        with self._lock:
            timer = self._timers.pop(step, None)
            if timer is not None:
                timer.cancel()
            for name in self._files:
                self._tell(name, self._begun.pop((step, name), ""))

    def _soon(self, step: str) -> None:
        if step not in self._timers:
            self._timers[step] = timer = threading.Timer(self._patience, self.end, (step,))
            timer.daemon = True
            timer.start()

    @staticmethod
    def _tell(name: str, text: str) -> None:
        from papermill.log import logger

        if text:
            (logger.warning if name == "stderr" else logger.info)(text)


def _path(given: str | None) -> Path:
    """The notebook's file as seen from the working folder, which papermill has changed to."""
    from papermill.iorw import papermill_io  # type: ignore[import-untyped, unused-ignore]

    if not given or "\n" in given or "://" in given or given == "-":
        return Path(NAMELESS)
    folder = getattr(papermill_io.get_handler("local"), "_cwd", None)
    path = Path(folder or ".") / given
    return path if path.is_file() else Path(NAMELESS)


def _python(kernel: str) -> str | None:
    """The interpreter of a kernel; None: this one."""
    from nbvertex.interpreters import resolve_python

    return None if kernel == "python3" else resolve_python(kernel)
