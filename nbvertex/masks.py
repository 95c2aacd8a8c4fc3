"""What in a text differs from run to run by nature: addresses, times that magics measure, names of temporary files."""

from __future__ import annotations

import re

from nbvertex.runtime.survey import steady

GONE = "..."  # stands where something was set aside
_NUMBER = r"\d[\d.,]*"
_SPAN = rf"{_NUMBER}\s?(?:[num\N{{MICRO SIGN}}\N{{GREEK SMALL LETTER MU}}]?s(?:ec(?:onds?)?)?|min|h)\b"
_UUID = r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}"


def text(value: str) -> str:
    """A text without what differs from run to run by nature."""
    value = steady(value)
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


def _compiled(rules: list[tuple[str, str]]) -> list[tuple[re.Pattern[str], str]]:
    return [(re.compile(pattern, re.MULTILINE), replacement) for pattern, replacement in rules]


_TEXT = _compiled(
    [
        # a cell's file
        (r"[^\s\"']*ipykernel_\d+[/\\]\d+\.py", "<cell>"),
        # %time, %timeit, %memit, bash's time
        (r"^(CPU times: )user.*$|^(Wall time: ).*$|^(peak memory: ).*MiB.*$", rf"\1\2\3{GONE}"),
        (rf"^(Compiler|Parser)( +: ){_SPAN}$", rf"\1\2{GONE}"),
        (r"^(real|user|sys)\t\d+m[\d.]+s$", rf"\1\t{GONE}"),
        (r"^.*\bper loop\b.*$", f"{GONE} per loop"),
        (r"^The slowest run took .*\n?|^This could mean that an intermediate result.*\n?", ""),
        # what TensorFlow and others log from C++: the time and the thread
        (r"^([IWEF])\d{4} \d\d:\d\d:[\d.]+ +\d+ (?=\w+\.(?:cc|cpp|h):\d+\])", r"\1 "),
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
        (r"\.\.\.x?[0-9a-f]{6,}(?=&gt;)", GONE),  # the end of an address, in what scikit-learn shows
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
