"""Run a notebook, and write the output notebook while it runs."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from nbvertex import output_file
from nbvertex.actions.output import Copy, Ran
from nbvertex.actions.reading import Opened, open_notebook
from nbvertex.errors import ParameterError, StoreError, UsageError
from nbvertex.events import RunEvent
from nbvertex.home import Home, find
from nbvertex.pipeline import Json, Pipeline

if TYPE_CHECKING:
    from nbvertex.ahead import Ahead
    from nbvertex.config import Settings

STDOUT = "-"


@dataclass(frozen=True, slots=True)
class Given:
    """Values for parameters as the user gave them.

    Args:
        typed: NAME VALUE pairs, read by the type that the notebook declares (``-p``).
        raw: NAME VALUE pairs whose values are texts (``-r``).
        files, texts, encoded: YAML in files, as texts, and in base64.
    """

    typed: tuple[tuple[str, str], ...] = ()
    raw: tuple[tuple[str, str], ...] = ()
    files: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    encoded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class How:
    """How a notebook is run.

    Args:
        only: this step alone, on what an earlier run left.
        start: from this step on, on what an earlier run left.
        jobs: how many steps compute at the same time; None: what the settings say, else one a processor.
        cache: take results of earlier runs.
        cwd: the working folder; None: the current one.
        python: an interpreter, an environment's folder or a Jupyter kernel; None: this Python.
        overwrite: OUT may be the notebook itself.
    """

    only: str | None = None
    start: str | None = None
    jobs: int | None = None
    cache: bool = True
    cwd: str | None = None
    python: str | None = None
    overwrite: bool = False


def run(
    opened: Opened,
    out: str | None = None,
    *,
    given: Given | None = None,
    how: How | None = None,
    on_event: Callable[[RunEvent], None] = lambda event: None,
    pool_factory: Ahead | None = None,
) -> Ran:
    """Run a notebook as isolated steps.

    Args:
        opened: the notebook.
        out: where the output notebook goes; ``-``: nowhere, the caller prints it; None: into the run's folder.
        given: values for parameters.
        how: the rest of what may be said.
        on_event: hears what happens while it happens.
        pool_factory: what `ahead` gave.

    Raises:
        ParameterError, UsageError: before anything runs.
        StoreError: what is kept cannot be written.
    """
    from nbvertex import config, runner
    from nbvertex.interpreters import resolve_python

    how = how or How()
    path = Path(opened.notebook.path)
    values = resolve(opened.pipeline, given or Given())
    place = _place(out, path, overwrite=how.overwrite)
    settings = config.load(path)
    copy = Copy(opened, find(path), values, place, to_stdout=out == STDOUT)
    result = runner.run(
        opened.pipeline,
        home=find(path),
        notebook=path,
        parameters=values,
        cwd=_folder(how.cwd),
        jobs=how.jobs or settings.jobs,
        python=resolve_python(how.python) if how.python else None,
        cache=how.cache,
        only=how.only,
        start=how.start,
        on_event=_both(copy, on_event),
        pool_factory=pool_factory,
    )
    return _kept(copy.finish(result), find(path), settings)


def ahead(how: How) -> AbstractContextManager[Ahead | None]:
    """Start the processes of a run before its notebook is read; None where it is not known which they will be.

    Args:
        how: how it will be run.
    """
    if how.python is not None:
        return nullcontext()
    from nbvertex.ahead import Ahead

    return Ahead(sys.executable, Path(how.cwd or ""))


def resume(
    ident: str,
    home: Home,
    out: str | None = None,
    *,
    split: str | None = None,
    how: How | None = None,
    on_event: Callable[[RunEvent], None] = lambda event: None,
) -> Ran:
    """Go on with a run that ended too early; the steps that it has finished are not repeated.

    Args:
        ident: the run.
        home: where it is kept.
        out: where the output notebook goes; None: where the run said at first.
        split: how the notebook was cut.
        how: the rest of what may be said; the folder and the Python are the run's own.
        on_event: hears what happens while it happens.

    Raises:
        UsageError: there is no such run, it is still running, or it has ended well.
        Refused: a step that it has finished has changed since.
    """
    from nbvertex import config, runner
    from nbvertex.actions import runs

    how = how or How()
    old = runs.shown(home, ident).run
    path = Path(old.notebook)
    opened = open_notebook(near(path), split=split)
    settings = config.load(path)
    if out is None and old.output is not None and not Path(old.output).is_relative_to(home.runs.absolute()):
        out = near(old.output)
    place = _place(out, path, overwrite=how.overwrite)
    copy = Copy(opened, home, old.parameters, place, to_stdout=out == STDOUT)
    result = runner.run(
        opened.pipeline,
        home=home,
        notebook=Path(near(path)),
        jobs=how.jobs or settings.jobs,
        cache=how.cache,
        resume=old.id,
        on_event=_both(copy, on_event),
    )
    return _kept(copy.finish(result), home, settings)


def _kept(ran: Ran, home: Home, settings: Settings) -> Ran:
    """After a run: its experiment is told of it, and the store made to fit."""
    from nbvertex.actions import telling

    warning = telling.of_run(settings, ran.result)
    return replace(_within_limit(ran, home, settings.store_limit), warning=warning)


def _within_limit(ran: Ran, home: Home, limit: int | None) -> Ran:
    """After a run the store takes no more than the settings allow it."""
    from nbvertex import garbage

    if limit is None:
        return ran
    try:
        garbage.trim(home, limit)
    except StoreError as error:
        return replace(ran, trouble=ran.trouble or error)
    return ran


def _both(
    first: Callable[[RunEvent], None], second: Callable[[RunEvent], None]
) -> Callable[[RunEvent], None]:
    def tell(event: RunEvent) -> None:
        first(event)
        second(event)

    return tell


def near(path: str | Path) -> str:
    """The path as seen from the current folder, where that is shorter."""
    relative = os.path.relpath(path)
    return relative if len(relative) < len(str(path)) else str(path)


def resolve(pipeline: Pipeline, given: Given) -> dict[str, Json]:
    """The values given, typed and checked.

    Raises:
        ParameterError: a name is unknown or a value does not fit.
    """
    from nbvertex import parameters

    raw = [(name, text, False) for name, text in given.typed] + [
        (name, text, True) for name, text in given.raw
    ]
    texts = [*(_decoded(text) for text in given.encoded), *given.texts]
    try:
        return parameters.resolve(pipeline.parameters, raw, given.files, texts)
    except ParameterError as error:
        if error.place.cell:
            error.place = replace(error.place, notebook=pipeline.notebook)
        raise


def _decoded(text: str) -> str:
    import base64

    try:
        return base64.b64decode(text, validate=True).decode()
    except ValueError as error:
        raise UsageError(f"-b takes YAML in base64: {error}") from error


def _place(out: str | None, notebook: Path, *, overwrite: bool) -> Path | None:
    if out is None or out == STDOUT:
        return None
    output_file.check_place(Path(out), notebook, overwrite=overwrite)
    return Path(out)


def _folder(cwd: str | None) -> Path | None:
    if cwd is not None and not Path(cwd).is_dir():
        raise UsageError(f"--cwd: there is no folder {cwd}", hint=f"mkdir -p {shlex.quote(cwd)}")
    return Path(cwd) if cwd is not None else None
