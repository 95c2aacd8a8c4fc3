"""Shell lines (`!command`) on a terminal of their own, as IPython runs them, but without keeping what they print."""

from __future__ import annotations

import codecs
import os
import pty
import select
import shutil
import signal
import sys
import time

_PIECE = 1 << 16
_SIZE = (24, 80)
_PATIENCE = 0.2  # seconds between an interrupt and the end


def run(command: str) -> int:
    """Run a shell command, its output to `sys.stdout` as it comes; gives its exit code, negative for a signal.

    Raises:
        OSError: there is no shell.
    """
    name = os.environ.get("SHELL", "sh")
    shell = shutil.which(name)
    if shell is None:
        raise OSError(f'"{name}" shell not found')
    pid, terminal = pty.fork()
    if pid == 0:
        _be(shell, command)
    try:
        _copy(terminal)
    except BaseException:  # an interrupt, or an error of whoever took the place of `sys.stdout`
        _end(pid, terminal)
        raise
    finally:
        os.close(terminal)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code if code <= 128 else 128 - code  # a shell tells the signal of its last command so


def _be(shell: str, command: str) -> None:
    """In the child: become the shell."""
    import fcntl
    import struct
    import termios

    try:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", *_SIZE, 0, 0))
        os.closerange(3, 256)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)  # which Python ignores, and programs do not expect to be
        os.execv(shell, [shell, "-c", command])
    finally:
        os._exit(127)


def _copy(terminal: int) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    while True:
        try:
            data = os.read(terminal, _PIECE)
        except OSError:  # Linux says so where the other side has gone
            data = b""
        text = decoder.decode(data, not data)
        if text:
            sys.stdout.write(text)
        if not data:
            sys.stdout.flush()
            return


def _end(pid: int, terminal: int) -> None:
    """Interrupt the command as a key would, then end it."""
    deadline = time.monotonic() + _PATIENCE
    try:
        os.write(terminal, b"\x03")
        while time.monotonic() < deadline and select.select([terminal], [], [], _PATIENCE)[0]:
            if not os.read(terminal, _PIECE):
                break
    except OSError:
        pass  # it has gone
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    os.waitpid(pid, 0)
