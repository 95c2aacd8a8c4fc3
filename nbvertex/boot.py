"""How a container begins: the runtime is unpacked from its own command line, or found where an earlier step has left it."""

from __future__ import annotations

import base64

_LINE = 120
_PIECE = 90_000  # characters of an argument: a system takes 128 KB
BOOT = '''\
"""Unpacks the runtime that nbvertex has sent along, and runs steps of the notebook with it.

Stands in for kfp.dsl.executor_main: what is to be done follows the word --
"""
import base64, hashlib, io, os, sys, tarfile, tempfile

digest, end = sys.argv[1], sys.argv.index("--")
given = "".join(sys.argv[2:end])
if "\\n" not in given:  # where an earlier step has left it
    with open(given, "rb") as file:
        kit = file.read()
else:
    kit = base64.b64decode(given)
if hashlib.sha256(kit).hexdigest() != digest:
    sys.exit("the runtime that was sent along is damaged")
folder = tempfile.mkdtemp(prefix="nbvertex-kit-")
with tarfile.open(fileobj=io.BytesIO(kit)) as archive:
    for member in archive:
        path = os.path.join(folder, member.name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(archive.extractfile(member).read())
with open(os.path.join(folder, "kit"), "wb") as file:
    file.write(kit)
os.execv(sys.executable, [sys.executable, os.path.join(folder, "runtime"), *sys.argv[end + 1:]])
'''


def pieces(kit: bytes) -> tuple[str, ...]:
    """The runtime as words of a command line: base64, in lines."""
    text = base64.b64encode(kit).decode("ascii")
    lines = [text[at : at + _LINE] for at in range(0, len(text), _LINE)]
    many = _PIECE // (_LINE + 1)
    return tuple("\n".join(lines[at : at + many]) + "\n" for at in range(0, len(lines), many))
