"""Lines that ask for packages: read as requirements, and not run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

_PIP = re.compile(r"(?:.*/)?pip[\d.]*$|\{?(?:sys\.)?executable\}?$")
_PYTHON = re.compile(r"(?:.*/)?python[\d.]*$|\{sys\.executable\}$|\$\{?sys\.executable\}?$|\$PYTHON$")
_CONDA = frozenset({"conda", "mamba", "micromamba"})
_QUIET = frozenset({"tail", "head", "grep", "cat", "tee"})  # what only shortens what pip says
_VALUED = frozenset(  # options that the next word belongs to
    "-i --index-url --extra-index-url -f --find-links -t --target --prefix --root --src --platform "
    "--python-version --implementation --abi --no-binary --only-binary --progress-bar --timeout --retries "
    "--trusted-host --proxy --cache-dir --log --upgrade-strategy --exists-action --cert --client-cert "
    "--use-feature --use-deprecated --config-settings --global-option --install-option --report "
    "-n --name -p --python --channel --override-channels --solver".split()
)
_FILES = {"-r": "-r", "--requirement": "-r", "-c": "-c", "--constraint": "-c", "-e": "-e", "--editable": "-e"}
_UNKNOWN = re.compile(r"[{}$`*]")


def asked(text: str) -> tuple[str, ...] | None:
    """What a shell line asks to be installed, one requirement each.

    Args:
        text: the line without its ``!`` or ``%``.

    Returns:
        None where the line does anything else too, or where what it asks for is known only as it runs.
    """
    if "install" not in text:
        return None
    try:
        words = list(_lexer(text))
    except ValueError:  # quotes that do not match
        return None
    out: list[str] = []
    for number, command in enumerate(_commands(words)):
        if command.before == "|" and number and command.words[:1] and command.words[0] in _QUIET:
            continue
        if command.before in {"|", "||", "&"}:
            return None
        found = _install(command.words)
        if found is None:
            return None
        out.extend(found)
    return tuple(out)


class _Command:
    def __init__(self, before: str, words: list[str]) -> None:
        self.before = before
        self.words = words


def _lexer(text: str) -> shlex.shlex:
    lexer = shlex.shlex(text.replace("\\\n", " "), posix=True, punctuation_chars="();|&\n")
    lexer.whitespace = " \t\r"
    lexer.whitespace_split = True
    lexer.commenters = ""
    return lexer


def _commands(words: Sequence[str]) -> list[_Command]:
    """The line cut at ``&& ; |``; comments and redirections left out."""
    out = [_Command("", [])]
    skip = False
    for word in words:
        if word.startswith("#"):
            break
        if set(word) <= set("();|&\n"):
            out.append(_Command(word.strip("\n") or ";", []))
        elif skip or re.match(r"\d?>>?|\d?<", word):
            skip = not skip and bool(re.fullmatch(r"\d?>>?|\d?<", word))
        else:
            out[-1].words.append(word)
    return [command for command in out if command.words]


def _install(words: list[str]) -> list[str] | None:
    """What one command asks for; None where it is no installation."""
    while words and (words[0] == "sudo" or re.fullmatch(r"[A-Z_][A-Z0-9_]*=\S*", words[0])):
        words = words[1:]
    if len(words) > 3 and _PYTHON.match(words[0]) and words[1:3] == ["-m", "pip"]:
        words = words[2:]
    elif words[:2] == ["uv", "pip"]:
        words = words[1:]
    while len(words) > 1 and _PIP.match(words[0]) and words[1].startswith("-"):
        words = [words[0], *words[2:]]
    if words[1:2] != ["install"]:
        return None
    if words[0] in _CONDA:
        return _arguments(words[2:], conda=True)
    return _arguments(words[2:], conda=False) if _PIP.match(words[0]) else None


def _arguments(words: Sequence[str], *, conda: bool) -> list[str] | None:
    out: list[str] = []
    rest = iter(words)
    for word in rest:
        option, equals, value = word.partition("=")
        if not conda and option in _FILES:
            value = value if equals else next(rest, "")
            if _UNKNOWN.search(value):
                return None
            out.append(f"{_FILES[option]} {value}")
        elif word in _VALUED or (conda and word == "-c"):
            next(rest, None)
        elif word.startswith("-") or re.fullmatch(r"\$\{?\w+\}?|\{\w+\}", word):
            continue  # an option, or a placeholder for options such as `{USER_FLAG}`
        elif _UNKNOWN.search(word.partition("[")[0]) or _UNKNOWN.search(word):
            return None
        else:
            out.append(_from_conda(word) if conda else word)
    return out


def _from_conda(spec: str) -> str:
    """conda's ``name=1.2`` in pip's words."""
    name = spec.rpartition("::")[2]
    return re.sub(r"^([\w.-]+)=([\w.]+)(=.*)?$", r"\1==\2.*", name)
