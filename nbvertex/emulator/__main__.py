"""The emulator's own process: `python -m nbvertex.emulator` reads its settings from stdin and says on stdout how it is reached."""

from __future__ import annotations

import json
import sys

from nbvertex.emulator import serving
from nbvertex.errors import NbvertexError


def main() -> int:
    """Serve; what hinders it is one line of JSON on stdout."""
    try:
        serving.serve(json.loads(sys.stdin.readline()), serving.tell, sys.stdin)
    except NbvertexError as error:
        sys.stdout.write(json.dumps({"error": error.message, "hint": error.hint, "code": error.code}) + "\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
