"""The command ``emulator``: Vertex AI, Cloud Storage and their like on this machine."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nbvertex import usage
from nbvertex.commandline import Verbs, as_json, print_json, say
from nbvertex.errors import ConfigError, Refused, UsageError

if TYPE_CHECKING:
    from nbvertex.emulator.server import Server

Command = Callable[..., Any]


@click.group("emulator", cls=Verbs, help=usage.VERBS["emulator"])
def emulator() -> None:
    """`start` serves, `env` prints, `exec` runs a program."""


def where(command: Command) -> Command:
    """The options that say which emulator is meant."""
    for option in (
        click.option("--dir", "folder", metavar="DIR", type=click.Path(file_okay=False),
                     help="Keep its state here; else in .nbvertex/emulator."),
        click.option("--bucket", metavar="B", help="Make this bucket where there is none."),
        click.option("--project", metavar="P", default="emulator", show_default=True,
                     help="The project that programs find in their environment."),
    ):  # fmt: skip
        command = option(command)
    return command


def images(command: Command) -> Command:
    """The options that say how container images are run here."""
    for option in (
        click.option("--images", metavar="FILE", type=click.Path(dir_okay=False),
                     help="A JSON table: image -> interpreter, or its entry point and environment."),
        click.option("--any-image", metavar="PYTHON", help="Run images that the table does not have in this interpreter."),
    ):  # fmt: skip
        command = option(command)
    return command


def _wanted(folder: str | None, images: str | None = None, any_image: str | None = None, **said: Any) -> Any:
    from nbvertex import home
    from nbvertex.emulator import hosting

    if folder is None:
        kept = home.find(Path.cwd() / "notebook")
        kept.prepare()
        folder = str(kept.folder / "emulator")
    return hosting.Wanted(
        Path(folder).absolute(), any_image=_python(any_image), images=_table(images), **said
    )


def _python(said: str | None) -> str | None:
    """The interpreter as a path that holds in any folder.

    Raises:
        UsageError: there is no such program.
    """
    import shutil

    if said is None:
        return None
    found = shutil.which(said)
    if found is None:
        raise UsageError(f"--any-image: there is no program {said!r}")
    return os.path.abspath(found)


def _table(path: str | None) -> dict[str, Any] | None:
    """The table of images.

    Raises:
        ConfigError: the file is no JSON object.
    """
    if path is None:
        return None
    try:
        made = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read as JSON: {error}") from None
    if not isinstance(made, dict):
        raise ConfigError(f"{path} must hold a JSON object: image -> how it is run")
    return made


@emulator.command("start")
@where
@images
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    help="Listen here; 0: the port that it had last, or a free one.",
)
def start(**said: Any) -> None:
    """Serve until Ctrl-C."""
    from nbvertex.emulator import serving

    wanted = _wanted(**said)

    def ready(server: Server) -> None:
        say([f"nbvertex emulator at {server.world.url}, project {wanted.project}, state in {wanted.folder}"])
        say(['eval "$(nbvertex emulator env)" lets the programs of a shell use it; Ctrl-C ends it'], err=True)
        sys.stdout.flush()

    serving.serve(wanted.settings(), ready)


@emulator.command("env", short_help="Print what lets a shell's programs use the emulator.")
@where
@as_json
def env(as_json: bool, **said: Any) -> None:
    """Print what lets a shell's programs use the emulator that is running."""
    from nbvertex.emulator import hosting

    found = hosting.running(_wanted(**said))
    if found is None:
        raise Refused("no emulator is running here", hint="`nbvertex emulator start` starts one")
    if as_json:
        print_json(dict(found.environment))
    else:
        say(f"export {name}={shlex.quote(value)}" for name, value in found.environment.items())


@emulator.command(
    "exec",
    short_help="Run a program that reaches the emulator.",
    context_settings={"ignore_unknown_options": False, "allow_interspersed_args": False},
)
@where
@images
@click.argument("command", metavar="-- CMD", nargs=-1, required=True, type=click.UNPROCESSED)
def execute(command: Sequence[str], **said: Any) -> int:
    """Run a program that reaches the emulator, and nothing beyond; starts one where none is running."""
    from nbvertex.emulator import hosting

    with hosting.held(_wanted(**said)) as found:
        try:
            process = subprocess.Popen(command, env=found.environ(os.environ))
        except OSError as error:
            raise UsageError(f"cannot run {command[0]!r}: {error.strerror}") from None
        previous = signal.signal(signal.SIGTERM, lambda number, _: process.send_signal(number))
        try:
            code = _waited(process)
        finally:
            signal.signal(signal.SIGTERM, previous)
    return code if code >= 0 else 128 - code


def _waited(process: subprocess.Popen[bytes]) -> int:
    """Its exit code; a Ctrl-C is for it to deal with."""
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue
