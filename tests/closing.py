"""Keeps the tests to themselves: no write to the real home folder, no connection off this machine."""

from __future__ import annotations

import ipaddress
import os
import sys
from collections.abc import MutableMapping
from pathlib import Path

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
LOOPBACK = {"localhost", "", None}
FOR_TESTS = {"NBVERTEX_LAW_PROGRAMS"}  # says how much is tested, not how the product works


class Closed(AssertionError):
    """A test reached for what is closed to it."""


def redirect(environ: MutableMapping[str, str], home: Path) -> None:
    """Point everything that keeps files for a user, here and in child processes, to `home`; child processes find no proxy
    and no package index."""
    for name in [
        n
        for n in environ
        if n.startswith(("NBVERTEX_", "JUPYTER_", "IPYTHON", "XDG_", "GOOGLE_", "CLOUDSDK_"))
        and n not in FOR_TESTS
    ]:
        del environ[name]
    environ.update(
        HOME=str(home),
        USERPROFILE=str(home),
        IPYTHONDIR=str(home / ".ipython"),
        JUPYTER_PLATFORM_DIRS="1",
        MPLCONFIGDIR=str(home / ".matplotlib"),
        NO_COLOR="1",
        PIP_NO_INDEX="1",
        TZ="UTC",
        **dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9"),
        **dict.fromkeys(("no_proxy", "NO_PROXY"), "localhost,127.0.0.1,::1"),
    )


def close(home: Path, *allowed: Path) -> None:
    """From now on this process cannot write under `home` (but under `allowed` within it), nor connect off this machine.

    An audit hook: it cannot be taken out again, nor be gone round by mistake.
    """
    real = os.path.realpath(home) + os.sep
    open_folders = tuple(os.path.realpath(folder) + os.sep for folder in allowed)

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open":
            path, mode, flags = arguments
            writes = (
                any(c in mode for c in "wax+") if isinstance(mode, str) else bool(int(str(flags)) & WRITING)
            )
            if writes and isinstance(path, (str, bytes)):
                full = os.path.realpath(os.fsdecode(path))
                if full.startswith(real) and not full.startswith(open_folders):
                    raise Closed(f"a test writes to the home folder: {full}")
        elif event in ("socket.connect", "socket.sendto"):
            address = arguments[1]
            if isinstance(address, tuple) and not is_here(address[0]):
                raise Closed(f"a test connects to {address[0]}")
        elif event == "socket.getaddrinfo" and not is_here(arguments[0]):
            raise Closed(f"a test looks up {arguments[0]!r}")

    sys.addaudithook(hook)


def is_here(host: object) -> bool:
    """Whether that host is this machine itself."""
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    if host in LOOPBACK:
        return True
    try:
        address = ipaddress.ip_address(str(host))
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified
