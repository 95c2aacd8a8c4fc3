"""What ``nbvertex --help`` says; apart from the commands, so that it can be said without loading them."""

from __future__ import annotations

from nbvertex import __version__

VERBS = {
    "check": "Find every problem of notebooks without running them.",
    "show": "Show the steps, the parameters, and what flows between steps and why.",
    "params": "List the parameters: types, defaults, choices.",
    "run": "Run a notebook step by step and write a copy of it with the outputs.",
    "verify": "Run a notebook straight and as steps, and compare: cells, values, files.",
    "convert": "Write a notebook down for an engine: Vertex AI, Kubeflow, ...",
    "submit": "Submit a notebook to Vertex AI, and follow it to its end.",
    "runs": "List, show, resume, cancel and remove runs, here and at Vertex AI.",
    "emulator": "Serve Vertex AI and Cloud Storage on this machine, or run a program with them.",
    "doctor": "Say what is installed, what is missing, and the command that mends it.",
    "completion": "Print the completion script of a shell.",
}

TEXT = """\
Usage: nbvertex COMMAND [OPTIONS] ...

A Jupyter notebook goes to production without being rewritten: cells marked as
steps become isolated, parameterized steps.

Commands:
{commands}

Options:
  --version   Show the version.
  -h, --help  Show this help; after a command, the command's.

Exit codes: 0 good, 1 a step failed or verify found a difference (or nbvertex
itself has a fault), 2 wrong usage or notebook, 3 the remote side failed, 130
interrupted.
"""


def text() -> str:
    """The help."""
    return TEXT.format(commands="\n".join(f"  {name:<11} {said}" for name, said in VERBS.items()))


def version() -> str:
    """The line that ``--version`` prints."""
    return f"nbvertex {__version__}\n"
