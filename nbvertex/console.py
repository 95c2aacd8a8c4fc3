"""What a terminal is told: errors as lines, and the one place where an error becomes an exit code."""

from __future__ import annotations

import errno
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator

import click

from nbvertex.errors import Exit, NbvertexError, Problem, ProblemsFound, visible

COLOUR = re.compile(r"(\x1b\[[0-9;]*m)")


def guarded(command: Callable[[], int | None], debugging: Callable[[], bool]) -> int:
    """Run a command, say on stderr what goes wrong, and return the exit code.

    Args:
        command: returns its exit code; None means all is well.
        debugging: whether a traceback is wanted; asked when something has gone wrong.
    """
    try:
        code = int(command() or Exit.OK)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        return _reader_gone()
    except BaseException as error:  # the border: whatever comes out is told here, and nowhere else
        if debugging():
            traceback.print_exc()
        for line in told(error):
            click.echo(line, err=True)
        return exit_code(error)


def _reader_gone() -> int:
    """Whoever read our output has enough, as ``head`` does; Python must not complain of it on its way out."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return Exit.OK


def exit_code(error: BaseException) -> int:
    """The exit code that an exception stands for."""
    if isinstance(error, NbvertexError):
        return error.exit_code
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return Exit.INTERRUPTED
    return Exit.REFUSED if isinstance(error, click.ClickException) or _of_a_file(error) else Exit.FAILED


def _of_a_file(error: BaseException) -> bool:
    """Whether the system refused something about a file, or there is no room: nothing is wrong with nbvertex then."""
    return isinstance(error, OSError) and (
        error.filename is not None or error.errno == errno.ENOSPC or _lost(error)
    )


def _lost(error: BaseException) -> bool:
    """Whether the system cannot tell where we are."""
    return isinstance(error, FileNotFoundError) and error.filename is None


def told(error: BaseException) -> Iterator[str]:
    """The lines that tell an exception to a user."""
    if isinstance(error, ProblemsFound):
        for problem in error.problems:
            yield from problem_lines(problem)
        return
    message, hint = explained(error)
    yield from _lines("error", message, hint)


def problem_lines(problem: Problem) -> Iterator[str]:
    """A problem as ``error: PLACE: MESSAGE`` and its hint."""
    yield from _lines(problem.severity, str(problem), problem.hint)


def explained(error: BaseException) -> tuple[str, str | None]:
    """What went wrong, with its place, and what to do about it."""
    if isinstance(error, NbvertexError):
        return str(error), error.hint
    if isinstance(error, click.ClickException):
        context = getattr(error, "ctx", None)
        return _sentence(error.format_message()), f"{context.command_path} --help" if context else None
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return "interrupted", None
    if _lost(error):
        return "the current folder has been removed", "go to another one"
    if isinstance(error, OSError) and _of_a_file(error):
        return ": ".join(str(part) for part in (error.filename, error.strerror) if part), None
    said = str(error).partition("\n")[0]
    return f"unexpected {type(error).__name__}: {said}", "run it again with --debug for the traceback"


def _lines(kind: str, message: str, hint: str | None) -> Iterator[str]:
    yield f"{kind}: {visible(message)}"
    if hint:
        yield f"hint: {visible(hint)}"


def _sentence(message: str) -> str:
    """Click's message in our manner: no capital at the start, no full stop at the end."""
    start = message[:1] if message[1:2].isupper() else message[:1].lower()
    return start + message[1:].rstrip(".")


def coloured(line: str) -> str:
    """A line of a traceback: its colours stay (a stream that is no terminal drops them), all else is visible."""
    return "".join(part if COLOUR.fullmatch(part) else visible(part) for part in COLOUR.split(line))
