"""Python components of kfp, without a network: what they would install is looked up instead."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

INSTALLS = re.compile(r"\bpip3? install\b")
GOES_ON = re.compile(r"&&\s*\"\$0\"\s+\"\$@\"\s*$")
WITH_VALUE = frozenset(
    {
        "--index-url",
        "-i",
        "--extra-index-url",
        "--trusted-host",
        "--find-links",
        "-f",
        "--timeout",
        "--retries",
    }
)
SHELLS = frozenset({"sh", "bash", "/bin/sh", "/bin/bash"})
ENDS = frozenset({"&&", "||", ";", "|", "&"})


SCRIPT = """
program_path=$(mktemp -d)
printf "%s" "$0" > "$program_path/ephemeral_component.py"
_KFP_RUNTIME=true python3 -m kfp.dsl.executor_main
    --component_module_path "$program_path/ephemeral_component.py" "$@"
""".split()


def component_of(words: Sequence[str]) -> tuple[str, list[str]] | None:
    """A Python component of kfp that a command runs in the way that kfp itself writes down.

    Args:
        words: of the command, without what installs packages.

    Returns:
        its source, and the arguments of kfp's executor; None where the command is another.
    """
    if len(words) < 4 or list(words[:2]) != ["sh", "-ec"] or words[2].split() != SCRIPT:
        return None
    return words[3], list(words[4:])


def without_installation(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Take away what installs packages before the command proper.

    Args:
        words: of a container's command and arguments.

    Returns:
        the command proper, and the requirements that it wants to be fulfilled.
    """
    rest, requirements = list(words), []
    while len(rest) > 3 and rest[0] in SHELLS and rest[1] == "-c" and _only_installs(rest[2]):
        requirements += _requirements(rest[2])
        rest = rest[3:]
    return rest, requirements


def _only_installs(script: str) -> bool:
    return INSTALLS.search(script) is not None and GOES_ON.search(script) is not None


def _requirements(script: str) -> list[str]:
    found: list[str] = []
    for line in script.splitlines():
        if not INSTALLS.search(line):
            continue
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words = list(lexer)
        for place, word in enumerate(words):
            if word == "install" and place and words[place - 1] in ("pip", "pip3"):
                found += _named(words[place + 1 :])
    return found


def _named(words: Sequence[str]) -> list[str]:
    found, skip = [], False
    for word in words:
        if word in ENDS:
            break
        if skip or word.startswith("-"):
            skip = word in WITH_VALUE
            continue
        found.append(word)
    return found
