"""What in a text differs from run to run by nature: addresses, times that magics measure, names of temporary files."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

GONE = "\N{HORIZONTAL ELLIPSIS}"  # stands where something was set aside
_PAGE = 1 << 32  # addresses below are taken for numbers
_NUMBER = r"\d[\d.,]*"
_SPAN = rf"{_NUMBER}\s?(?:[num\N{{MICRO SIGN}}\N{{GREEK SMALL LETTER MU}}]?s(?:ec(?:onds?)?)?|min|h)\b"
_UUID = r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}"

Replacement: TypeAlias = str | Callable[[re.Match[str]], str]


def text(value: str) -> str:
    """A text without what differs from run to run by nature."""
    for pattern, replacement in _TEXT:
        value = pattern.sub(replacement, value)
    return value


def stream(value: str) -> str:
    """What a stream shows in the end: what carriage returns and backspaces wipe out is gone, and so are times."""
    return text("\n".join(_line(line) for line in value.split("\n")))


def markup(value: str) -> str:
    """HTML, SVG or JavaScript without times, addresses and ids that are made up."""
    value = text(value)
    for pattern, replacement in _MARKUP:
        value = pattern.sub(replacement, value)
    return _renumbered(value)


def _line(line: str) -> str:
    """A line as a terminal shows it in the end."""
    line = line.rstrip("\r")
    if "\r" in line:
        shown = ""
        for part in line.split("\r"):
            shown = part + shown[len(part) :]
        line = shown.rstrip()
    while "\b" in line.lstrip("\b"):
        line = re.sub("[^\b]\b", "", line)
    return line


def _address(match: re.Match[str]) -> str:
    number = int(match[0], 16)
    return f"0x{GONE}" if _PAGE <= number < 1 << 48 and number % 8 == 0 else match[0]


def _identity(match: re.Match[str]) -> str:
    """What `id` gives on 64 bits; other numbers of that size are seldom whole sixteens."""
    number = int(match[0])
    return GONE if 0x5000_0000_0000 <= number < 1 << 48 and number % 16 == 0 else match[0]


def _compiled(rules: list[tuple[str, Replacement]]) -> list[tuple[re.Pattern[str], Replacement]]:
    return [(re.compile(pattern, re.MULTILINE), replacement) for pattern, replacement in rules]


_TEXT = _compiled(
    [
        (r"\b0x[0-9a-fA-F]{9,16}\b", _address),
        (r"(?<![\d.])\d{14,15}(?![\d.])", _identity),
        # a cell's file, and what tempfile calls what it makes
        (r"[^\s\"']*ipykernel_\d+[/\\]\d+\.py", "<cell>"),
        (r"(?<=[/\\])tmp[a-z0-9_]{8}(?![a-z0-9_])", f"tmp{GONE}"),
        # %time, %timeit, %memit, bash's time
        (r"^(CPU times: )user.*$|^(Wall time: ).*$|^(peak memory: ).*MiB.*$", rf"\1\2\3{GONE}"),
        (rf"^(Compiler|Parser)( +: ){_SPAN}$", rf"\1\2{GONE}"),
        (r"^(real|user|sys)\t\d+m[\d.]+s$", rf"\1\t{GONE}"),
        (r"^.*\bper loop\b.*$", f"{GONE} per loop"),
        (r"^The slowest run took .*\n?|^This could mean that an intermediate result.*\n?", ""),
        # tqdm, keras, pytest
        (r"\[(?:\d+:)?\d+:\d+<[^\],]*,[^\]]*\]|\[(?:\d+:)?\d+:\d+, [^\]]*\]", f"[{GONE}]"),
        (rf"{_NUMBER}\s?(?:[num\N{{MICRO SIGN}}]?s)/(?:step|sample|epoch|it|iter)\b", f"{GONE}/step"),
        (rf"(?<=\s-\s){_SPAN}|(?<=\bETA: )[\d:]+s?", GONE),
        (rf"\b((?:passed|failed|errors?|skipped|warnings?)\b.*? in ){_SPAN}(?: \([\d:]+\))?", rf"\1{GONE}"),
    ]
)
_MARKUP = _compiled(
    [
        (r"<dc:date>[^<]*</dc:date>", ""),
        (_UUID, "uuid"),
        (r"\b(sk-(?:container|estimator)-id)-\d+", r"\1"),
        (r"\bT_[0-9a-f]{5}(?=[_\" #{])", "T"),
        (r"\b(altair-viz|vega-embed|plotly|mpld3|fig_el|df|bk)-?[0-9a-f]{8,}", r"\1"),
        (r"\bp\d{4,}\b", "p"),
    ]
)


def _renumbered(value: str) -> str:
    """Ids that matplotlib makes of chance in an SVG, by the order in which they come."""
    met: dict[str, str] = {}
    return re.sub(
        r"(?<=[\"#])([a-zA-Z]?[0-9a-f]{10})(?=[\")_])",
        lambda found: met.setdefault(found[1], f"id{len(met)}"),
        value,
    )
