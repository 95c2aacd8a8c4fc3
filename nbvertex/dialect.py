"""Marks on cells, tags and magics alike, as typed directives; the grammar is one table."""

from __future__ import annotations

import re
import shlex
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from nbvertex.errors import Place, Problem, nearest
from nbvertex.notebook import SourceCell
from nbvertex.options import BY_NAME, ON_OFF, Given, Wrong, add, step_name


@dataclass(frozen=True, slots=True)
class Marks:
    """What the marks on one code cell say.

    Args:
        source: the cell without our magic lines; they are blank or a `#`, so no line moves.
        step: the step that it names, or empty.
        marked: some mark says where the cell belongs.
        setup, parameters, skip, varies, may_fail: the marks of that name.
        given: options for its step.
        problems: marks that are wrong, and those that mean nothing here.
    """

    source: str
    step: str = ""
    marked: bool = False
    setup: bool = False
    parameters: bool = False
    skip: bool = False
    varies: bool = False
    may_fail: bool = False
    given: Given = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Header:
    """What the notebook's own metadata says (Kale's ``kubeflow_notebook``).

    Args:
        name, description: of the pipeline, or empty.
        given: options for every step, below what its cells say.
        problems: what is wrong, and what means nothing here.
    """

    name: str = ""
    description: str = ""
    given: Given = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


class _Reading:
    """The marks of one cell while they are read."""

    def __init__(self, notebook: str, cell: int | None) -> None:
        self.notebook, self.cell = notebook, cell
        self.said: dict[str, str] = {}  # flags and the step's name, with the mark that said so
        self.given: dict[str, Any] = {}
        self.problems: list[Problem] = []

    def problem(
        self,
        code: str,
        message: str,
        hint: str | None = None,
        *,
        warning: bool = False,
        line: int | None = None,
    ) -> None:
        place = Place(notebook=self.notebook, cell=self.cell, line=line)
        severity = "warning" if warning else "error"
        self.problems.append(Problem(code, message, place, hint, severity))

    def step(self, text: str, line: int | None = None) -> None:
        try:
            name = step_name(text)
        except Wrong as wrong:
            self.problem("step-name", str(wrong), "a name has letters, digits, `_`, `-` and `.`", line=line)
            name = ""
        before = self.said.setdefault("step", name)
        if before != name and before and name:
            self.problem("two-steps", f"the cell is marked for two steps, `{before}` and `{name}`", line=line)
        self.said["marked"] = "step"

    def option(self, name: str, text: str, line: int | None = None) -> None:
        option = BY_NAME[name]
        try:
            add(self.given, option, option.read(text))
        except Wrong as wrong:
            self.problem("option", str(wrong), wrong.hint, line=line)


# The grammar of tags: one row a tag, its key before the colon. What is not here is an option of the table in
# `options`, or somebody else's.

_Rule = Callable[[_Reading, str, str], None]


def _flag(name: str, *, places: bool = True) -> _Rule:
    def rule(reading: _Reading, tag: str, rest: str) -> None:
        reading.said[name] = tag
        if places:
            reading.said["marked"] = tag

    return rule


def _step(reading: _Reading, tag: str, rest: str) -> None:
    if rest:
        reading.step(rest)
    else:
        reading.said["marked"] = tag  # Kale: an empty name goes on with the step above


def _prev(reading: _Reading, tag: str, rest: str) -> None:
    reading.option("after", rest)


def _limit(reading: _Reading, tag: str, rest: str) -> None:
    resource, _, amount = rest.rpartition(":")
    name = {"nvidia.com/gpu": "gpu", "amd.com/gpu": "gpu", "gpu": "gpu", "cpu": "cpu", "memory": "memory",
            "ephemeral-storage": "disk"}.get(resource)  # fmt: skip
    if name is None:
        _nothing(reading, tag, f"the resource {resource!r} is not known")
    else:
        reading.option(name, amount)


def _cut(reading: _Reading, tag: str, rest: str) -> None:
    _nothing(reading, tag, "every run keeps its output notebook")


def _sub_pipeline(reading: _Reading, tag: str, rest: str) -> None:
    _nothing(reading, tag, "a notebook within a notebook is not run")


def _metrics(reading: _Reading, tag: str, rest: str) -> None:
    """The cell prints metrics; it runs like any other, and what it prints by name is a metric."""


_PRINTED = re.compile(r"^print\(\s*([^\W\d]\w*)\s*\)\s*(?:#.*)?$", re.MULTILINE)


def _nothing(reading: _Reading, what: str, why: str) -> None:
    reading.problem("no-meaning", f"`{what}` means nothing here: {why}", warning=True)


FLAGS: Mapping[str, _Rule] = MappingProxyType({
    "parameters": _flag("parameters", places=False),
    "pipeline-parameters": _flag("parameters", places=False),
    "injected-parameters": _flag("parameters", places=False),
    "pipeline-metrics": _metrics,
    "imports": _flag("setup"),
    "functions": _flag("setup"),
    "setup": _flag("setup"),
    "skip": _flag("skip"),
    "varies": _flag("varies", places=False),
    "raises-exception": _flag("may_fail", places=False),
    "spot": lambda reading, tag, rest: reading.option("spot", "true"),
})  # fmt: skip
KEYS: Mapping[str, _Rule] = MappingProxyType({
    "step": _step,
    "block": _step,
    "prev": _prev,
    "limit": _limit,
    "report": _cut,
    "notebook": _sub_pipeline,
})  # fmt: skip


def read_marks(notebook: str, cell: SourceCell) -> Marks:
    """What the marks on a code cell say.

    Args:
        notebook: the file as the user named it, for problems.
        cell: the code cell.
    """
    reading = _Reading(notebook, cell.position)
    _check_tags(reading, cell.metadata.get("tags"))
    for tag in cell.tags:
        _tag(reading, tag)
    source = _magics(reading, cell.source)
    if "pipeline-metrics" in cell.tags:
        for name in _PRINTED.findall(cell.source):
            reading.option("metric", name)
    said = reading.said
    _check_together(reading)
    return Marks(
        source=source,
        step="" if "skip" in said else said.get("step", ""),
        marked="marked" in said,
        setup="setup" in said,
        parameters="parameters" in said,
        skip="skip" in said,
        varies="varies" in said,
        may_fail="may_fail" in said,
        given={} if "skip" in said else reading.given,
        problems=tuple(reading.problems),
    )


def _check_tags(reading: _Reading, tags: object) -> None:
    if tags is None or isinstance(tags, str):
        return
    if not isinstance(tags, list):
        reading.problem(
            "tags", f"the cell's tags are no list but {tags!a:.60}; they are not read", warning=True
        )
        return
    for tag in tags:
        if not isinstance(tag, str):
            reading.problem("tags", f"the tag {tag!a:.60} is no text; it is not read", warning=True)


def _check_together(reading: _Reading) -> None:
    said = reading.said
    if "skip" in said:
        others = [said[mark] for mark in ("setup", "parameters") if mark in said]
        others += [f"step:{said['step']}"] if said.get("step") else []
        others += [f"{name}:{_text(value)}" for name, value in reading.given.items()]
        if others:
            reading.problem(
                "skipped-mark", f"the cell is skipped, so {', '.join(f'`{o}`' for o in others)} says nothing",
                "take off `skip` or the other marks", warning=True,
            )  # fmt: skip
    elif "setup" in said and said.get("step", "setup") != "setup":
        reading.problem(
            "two-steps",
            f"the cell is marked for the set-up (`{said['setup']}`) and for step `{said['step']}`",
            "keep one of the marks",
        )


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _tag(reading: _Reading, tag: str) -> None:
    key, colon, rest = (part.strip() for part in tag.partition(":"))
    if not colon and key in FLAGS:
        FLAGS[key](reading, tag, "")
    elif colon and key in KEYS:
        KEYS[key](reading, tag, rest)
    elif colon and key in BY_NAME:
        reading.option(key, rest)
    else:
        _near_miss(reading, tag, key, rest, colon=bool(colon))


def _near_miss(reading: _Reading, tag: str, key: str, rest: str, *, colon: bool) -> None:
    """Other people's tags are theirs; one that is nearly ours is named."""
    meant = None
    typed = re.fullmatch(r"(step|block|after|prev)s?\s*[=\s]\s*(\S+)", tag, re.IGNORECASE)
    if typed and not colon:
        meant = f"{typed[1].lower()}:{typed[2]}"
    elif colon and rest:
        near = _misspelt(key, [*KEYS, *BY_NAME])
        meant = f"{near}:{rest}" if near else None
    elif not colon:
        meant = _misspelt(key, FLAGS)
    if meant:
        reading.problem(
            "near-miss", f"the tag `{tag}` is not known", f"did you mean `{meant}`?", warning=True
        )


def _misspelt(word: str, known: Collection[str]) -> str | None:
    """The word of ours that this one is a slip of: a letter too many, too few, changed or swapped."""
    folded = word.casefold().replace("_", "-").strip("-: ")
    for name in known:
        if folded == name:
            return name
    near = nearest(folded, known) if len(folded) > 3 else None
    return near if near and len(near) > 3 and _slip(folded, near) else None


def _slip(a: str, b: str) -> bool:
    while a and b and a[0] == b[0]:
        a, b = a[1:], b[1:]
    while a and b and a[-1] == b[-1]:
        a, b = a[:-1], b[:-1]
    return len(a) + len(b) == 1 or (len(a) == len(b) <= 2 and (len(a) == 1 or a == b[::-1]))


# Magics: `%%step NAME [options]` and `%%parameters`, on the first lines of a cell.

_MAGIC = re.compile(r"\s*%%(step|parameters)(?![\w.:-])(.*)", re.DOTALL)


def _magics(reading: _Reading, source: str) -> str:
    if "%%" not in source:
        return source
    lines = source.split("\n")
    blank: list[int] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        magic = _MAGIC.fullmatch(line)
        if magic is None:
            word = re.match(r"\s*%%(\w+)", line)
            meant = _misspelt(word[1], ("step", "parameters")) if word else None
            if word and meant:
                reading.problem("near-miss", f"the magic `%%{word[1]}` is not known",
                                f"did you mean `%%{meant}`?", warning=True, line=number)  # fmt: skip
            break
        lines[number - 1] = ""
        blank.append(number - 1)
        if magic[1] == "step":
            _step_line(reading, magic[2], number)
        else:
            reading.said["parameters"] = "%%parameters"
            if magic[2].strip():
                reading.problem(
                    "option", f"`%%parameters` takes nothing, not {magic[2].strip()!r}", line=number
                )
    below = next((line.lstrip() for line in lines if line.strip()), "%%")
    if blank and not below.startswith("%%"):
        lines[blank[0]] = "#"  # IPython drops leading blank lines, and its line numbers would move
    return "\n".join(lines)


def _step_line(reading: _Reading, text: str, line: int) -> None:
    try:
        words = shlex.split(text)
    except ValueError as error:
        reading.problem("option", f"the `%%step` line cannot be read: {str(error).lower()}", line=line)
        words = text.split()[:1]
    if not words or words[0].startswith("-"):
        reading.problem(
            "step-name", "`%%step` needs the name of the step first", "%%step NAME --after OTHER", line=line
        )
    else:
        reading.step(words.pop(0), line)
    for name, value in _options(reading, words, line):
        reading.option(name, value, line)


def _options(reading: _Reading, words: list[str], line: int) -> Iterator[tuple[str, str]]:
    """The options on a ``%%step`` line: ``--key value``, ``--key=value``, ``--key`` alone, ``--no-cache``."""
    rest = deque(words)
    while rest:
        word = rest.popleft()
        name, equals, value = word.partition("=")
        option = BY_NAME.get(name.removeprefix("--"))
        if word == "--no-cache":
            yield "cache", "disabled"
        elif not name.startswith("--"):
            reading.problem(
                "option", f"{word!a} on the `%%step` line is no option", "options begin with --", line=line
            )
        elif option is None:
            near = nearest(name[2:], BY_NAME)
            hint = f"did you mean `--{near}`?" if near else f"known: {', '.join(BY_NAME)}"
            reading.problem("option", f"`%%step` has no option `{name}`", hint, line=line)
            if not equals and rest and not rest[0].startswith("--"):
                rest.popleft()  # its value is no option either
        elif equals:
            yield option.name, value
        elif option.bare is not None and (not rest or rest[0].lower() not in ON_OFF):
            yield option.name, "true"
        elif rest:
            yield option.name, rest.popleft()
        else:
            reading.problem("option", f"`{name}` needs a value: {option.takes}", line=line)


# Kale's metadata. What a value there means here; the rest is named in one warning.


def read_header(notebook: str, metadata: Mapping[str, Any]) -> Header:
    """What the notebook's metadata says about the pipeline as a whole.

    Args:
        notebook: the file as the user named it, for problems.
        metadata: the notebook's own.
    """
    kale = metadata.get("kubeflow_notebook")
    reading = _Reading(notebook, None)
    if not isinstance(kale, dict):
        return Header()
    texts = {key: value.strip() for key, value in kale.items() if isinstance(value, str)}
    image = texts.get("base_image") or texts.get("docker_image")
    if image:
        reading.option("image", image)
    if kale.get("enable_caching") is False:
        reading.option("cache", "disabled")
    defaults = kale.get("steps_defaults")
    for tag in defaults if isinstance(defaults, list) else []:
        key = tag.partition(":")[0].strip() if isinstance(tag, str) else ""
        if key != "after" and (key in BY_NAME or key in ("limit", "report")):
            _tag(reading, tag)
        else:
            _nothing(reading, f"steps_defaults: {tag!a:.60}", "it is no option of a step")
    unused = [
        key for key, value in kale.items() if key not in _KALE_KEYS and value not in (None, "", [], {}, False)
    ]
    if unused:
        reading.problem(
            "no-meaning",
            f"in the metadata `kubeflow_notebook`, {', '.join(f'`{key}`' for key in unused)} "
            f"mean{'s' if len(unused) == 1 else ''} nothing here",
            warning=True,
        )
    return Header(
        name=texts.get("pipeline_name", ""),
        description=texts.get("pipeline_description", ""),
        given=reading.given,
        problems=tuple(reading.problems),
    )


_KALE_KEYS = frozenset(
    (
        "pipeline_name",
        "pipeline_description",
        "base_image",
        "docker_image",
        "enable_caching",
        "steps_defaults",
    )
)
