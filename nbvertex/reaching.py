"""The way to Vertex AI: Google's own, or for the profile `emulator` the one on this machine, started where none is up."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, MutableMapping
from pathlib import Path

from nbvertex import home
from nbvertex.config import Profile
from nbvertex.errors import Refused
from nbvertex.profiles import EMULATED
from nbvertex.vertex import Door, Google


@contextlib.contextmanager
def reached(
    profile: Profile, *, stays: bool = False, environ: MutableMapping[str, str] = os.environ
) -> Iterator[Door]:
    """A door to the service of a profile, as long as the block lasts.

    Args:
        profile: where and as whom.
        stays: what is asked for must go on when the block has ended.
        environ: this process's; while the block lasts, it is that of a program that reaches the emulator.

    Raises:
        RemoteError: Google's clients are not installed, or no emulator could be started.
        Refused: an emulator would end with the block.
    """
    if profile.project != EMULATED.project or profile.service_account != EMULATED.service_account:
        yield Google(str(profile.project), str(profile.region), profile.impersonate)
        return
    with _emulator(profile, environ, stays=stays):
        yield Google(str(profile.project), str(profile.region), profile.impersonate)


@contextlib.contextmanager
def _emulator(profile: Profile, environ: MutableMapping[str, str], *, stays: bool) -> Iterator[None]:
    from nbvertex.emulator import hosting
    from nbvertex.emulator.environment import FORGOTTEN

    kept = home.find(Path.cwd() / "notebook")
    kept.prepare()
    bucket = str(profile.bucket).removeprefix("gs://").partition("/")[0]
    wanted = hosting.Wanted(kept.folder / "emulator", project=str(profile.project), bucket=bucket)
    running = hosting.running(wanted)
    if running is None and stays:
        raise Refused(
            "no emulator is running, and one that is started now would end with this command",
            hint="start one first, in another terminal: nbvertex emulator start --any-image python3",
        )
    if running is None:
        wanted = hosting.Wanted(
            wanted.folder, project=wanted.project, bucket=bucket, any_image=sys.executable
        )
    with hosting.held(wanted) as found:
        before = dict(environ)
        environ.update(found.environ({}))
        for name in FORGOTTEN:
            if name not in found.environment:
                environ.pop(name, None)
        try:
            yield
        finally:
            environ.clear()
            environ.update(before)
