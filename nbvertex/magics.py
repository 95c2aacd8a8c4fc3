"""In a notebook: ``%%step`` marks a cell, which runs as it would without it; ``%nbvertex`` takes the shell's words."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.completer import CompletionContext, SimpleMatcherResult

    from nbvertex.dialect import Marks
    from nbvertex.pipeline import Pipeline

REFUSE = "_nbvertex_refuse"  # the line magic that a cell with a wrong mark becomes a call of
IN_A_STEP = "nbvertex_runtime"  # the module that a step's process has loaded, and no other
CELL_MAGIC = re.compile(r"\s*%%(step|parameters)(?![\w.:-])")
STEP_LINE = re.compile(r"\s*%%step\s+(.*)")
LINE_MAGIC = re.compile(r"\s*%nbvertex\s+(.*)")


def load(shell: Any) -> None:
    """Make the magics known to a shell; once more changes nothing."""
    if getattr(shell, "_nbvertex", None) is None:
        shell._nbvertex = Door(shell)


def unload(shell: Any) -> None:
    """Take them away again."""
    door = getattr(shell, "_nbvertex", None)
    if door is not None:
        door.close()
        del shell._nbvertex


class Door:
    """The magics of one shell.

    Args:
        shell: IPython's.
    """

    def __init__(self, shell: Any) -> None:
        from IPython.core.completer import context_matcher

        self.shell = shell
        self.steps: dict[str, None] = {}  # those of the cells that ran, in order
        self.lines = {"nbvertex": _plain(self.nbvertex), REFUSE: _plain(self.refuse)}
        for name, magic in self.lines.items():
            shell.register_magic_function(magic, "line", name)
        shell.input_transformers_cleanup.append(self.transform)
        shell.events.register("pre_run_cell", self.remember)
        # IPython writes attributes on a matcher, which a bound method does not take.
        self.matcher: Any = context_matcher(identifier="nbvertex")(lambda context: self.complete(context))  # noqa: PLW0108
        if shell.Completer is not None:
            shell.Completer.custom_matchers.append(self.matcher)

    def close(self) -> None:
        """Leave the shell as it was."""
        self.shell.input_transformers_cleanup.remove(self.transform)
        self.shell.events.unregister("pre_run_cell", self.remember)
        for name in self.lines:
            self.shell.magics_manager.magics["line"].pop(name, None)
        if self.shell.Completer is not None:
            self.shell.Completer.custom_matchers.remove(self.matcher)

    # --- %%step and %%parameters -------------------------------------------------------------------------

    def transform(self, lines: list[str]) -> list[str]:
        """The cell without our first lines, which become blank; a wrong one becomes a call that says so.

        IPython calls this more than once for a cell, so it changes nothing but its answer.
        """
        if not lines or not CELL_MAGIC.match(lines[0]):
            return lines
        marks = _marks("".join(lines))
        wrong = self._wrong(marks)
        if wrong:
            call = f"get_ipython().run_line_magic({REFUSE!r}, {wrong!r})\n"
            return [call, *["\n"] * (len(lines) - 1)]
        rest = marks.source.splitlines(keepends=True)
        first = next((place for place, line in enumerate(rest) if line.strip()), 0)
        # A cell magic below ours is one only at the very top; IPython itself drops blank lines above it.
        return rest[first:] if rest[first:] and rest[first].startswith("%%") else rest

    def refuse(self, line: str) -> None:
        """What a cell with a wrong mark does instead of running."""
        from IPython.core.error import UsageError

        raise UsageError(line)

    def remember(self, info: Any) -> None:
        """Before a cell runs: keep the name of its step."""
        cell = info.raw_cell or ""
        if CELL_MAGIC.match(cell):
            marks = _marks(cell)
            if marks.step and not self._wrong(marks):
                self.steps[marks.step] = None

    def _wrong(self, marks: Marks) -> str:
        """What is wrong with the marks of a cell, in one line; empty where nothing is."""
        from nbvertex.errors import nearest

        for problem in marks.problems:
            if problem.is_error:
                return problem.message + (f" ({problem.hint})" if problem.hint else "")
        after = marks.given.get("after", ())
        for name in after if isinstance(after, tuple) else ():
            known = self.known() if name not in self.steps else [name]
            if known and name not in known:
                near = nearest(str(name), known)
                meant = f"did you mean `{near}`?" if near else f"known: {', '.join(known)}"
                return f"`--after {name}`: there is no step `{name}`; {meant}"
        return ""

    def known(self) -> list[str]:
        """The steps of this notebook, as far as can be told: those that ran, and those in the saved file."""
        from nbvertex.actions import reading
        from nbvertex.errors import NbvertexError

        try:
            saved = reading.step_names(self.notebook())
        except NbvertexError:  # not saved, or not readable now; what ran is known all the same
            saved = []
        return list({**dict.fromkeys(saved), **self.steps})

    # --- %nbvertex ---------------------------------------------------------------------------------------

    def nbvertex(self, line: str) -> None:
        """The command line within the notebook: %nbvertex check, %nbvertex run -p epochs 3, %nbvertex --help.

        It reads the notebook as it was saved last; --notebook PATH names another one.
        """
        import click
        from IPython.core.error import UsageError

        from nbvertex import console, verbs
        from nbvertex.commandline import Session

        session = Session(notebook=self.notebook, draw=self.draw, progress=sys.stdout)
        try:
            words = _words(line)
            _not_within_a_run(words)
            code = verbs.call(words, session, "%nbvertex")
        except Exception as error:
            if session.debug:
                raise
            for problem in getattr(error, "problems", ()):
                click.echo("\n".join(console.problem_lines(problem)), err=True)
            message, hint = console.explained(error)
            raise UsageError(f"{message} ({hint})" if hint else message) from None
        if code:
            raise UsageError("the above is not good")

    def draw(self, pipeline: Pipeline, text: str) -> None:
        """Show a pipeline as a picture, and as text where there are none."""
        from nbvertex import picture

        self.shell.display_pub.publish({"image/svg+xml": picture.svg(pipeline), "text/plain": text})

    def notebook(self) -> str:
        """The saved notebook that this shell belongs to.

        Raises:
            UsageError: nobody says which it is.
        """
        from nbvertex.errors import UsageError

        named = os.environ.get("JPY_SESSION_NAME") or self.shell.user_ns.get("__vsc_ipynb_file__")
        if named and Path(named).is_file():
            return str(named)
        what = f"{named} is not there" if named else "Jupyter does not say which notebook this is"
        raise UsageError(what, hint="name it with --notebook PATH")

    # --- completion --------------------------------------------------------------------------------------

    def complete(self, context: CompletionContext) -> SimpleMatcherResult:
        """Options, their values and names of steps, on a line that is ours."""
        from IPython.core.completer import SimpleCompletion

        line = context.text_until_cursor
        if found := LINE_MAGIC.fullmatch(line):
            words = self._shell_words(found[1])
        elif context.cursor_line == 0 and (found := STEP_LINE.fullmatch(line)):
            words = self._step_words(found[1])
        else:
            return {"completions": [], "suppress": False}
        # IPython replaces its own token, which may begin within a word of ours (after a dash, a comma).
        typed = re.split(r"[\s]", line)[-1]
        kept = len(typed) - len(context.token) if typed.endswith(context.token) else 0
        completions = [
            SimpleCompletion(text=word[kept:], type="param") for word in words if word.startswith(typed)
        ]
        return {"completions": completions, "suppress": bool(completions)}

    def _step_words(self, text: str) -> Iterable[str]:
        from nbvertex.options import TABLE

        *before, typed = ["", *re.split(r"\s+", text)]
        if before[-1] == "--after":
            done = typed.rpartition(",")[0]
            return [f"{done},{name}" if done else name for name in self.known()]
        if len(before) < 2:
            return self.known()
        return [f"--{option.name}" for option in TABLE]

    def _shell_words(self, text: str) -> Iterable[str]:
        from click.shell_completion import ShellComplete

        from nbvertex import verbs
        from nbvertex.commandline import Session

        *before, typed = re.split(r"\s+", text)
        session = Session(notebook=self.notebook)
        shell = ShellComplete(verbs.commands, {"obj": session}, "%nbvertex", "")
        found = shell.get_completions(before, typed)
        return [item.value for item in found if item.type == "plain"]


def _marks(cell: str) -> Marks:
    from nbvertex.dialect import read_marks
    from nbvertex.notebook import SourceCell

    return read_marks("", SourceCell(position=0, kind="code", source=cell))


def _plain(method: Any) -> Any:
    """The method as a magic whose line is taken as it stands: no ``{x}`` and ``$x`` is replaced in it."""
    from IPython.core.magic import no_var_expand

    def magic(line: str) -> None:
        method(line)

    magic.__doc__ = method.__doc__
    return no_var_expand(magic)


def _not_within_a_run(words: Sequence[str]) -> None:
    """A cell that runs its own notebook must not do so when that run comes to it."""
    from nbvertex.errors import UsageError

    if IN_A_STEP in sys.modules and (words[0] == "run" or list(words[:2]) == ["runs", "resume"]):
        raise UsageError(
            f"this is a run already, so %nbvertex {words[0]} is refused", hint="tag the cell `skip`"
        )


def _words(line: str) -> list[str]:
    """The words as the shell would have them: what ``--notebook`` names stands where the command takes a notebook."""
    import click

    from nbvertex import verbs
    from nbvertex.errors import UsageError

    try:
        words = shlex.split(line)
    except ValueError as error:
        raise UsageError(f"the line cannot be read: {str(error).lower()}") from None
    command = verbs.commands.commands.get(words[0]) if words else None
    if command is None or not any(
        isinstance(p, click.Argument) and p.name == "notebook" for p in command.params
    ):
        return words or ["--help"]
    kept: list[str] = []
    named: list[str] = []
    rest = iter(words)
    for word in rest:
        name, equals, path = word.partition("=")
        if name != "--notebook":
            kept.append(word)
            continue
        named = [path if equals else next(rest, "")]
        if not named[0]:
            raise UsageError("--notebook needs the path of a notebook")
    return [*kept[:1], *named, *kept[1:]]
