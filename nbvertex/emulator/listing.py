"""One page of a bucket's objects: prefixes, delimiters, offsets, patterns, page tokens."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from typing import Any

from nbvertex.emulator.preconditions import StorageError

MOST = 1000


def page_of(objects: Iterable[Mapping[str, Any]], said: Mapping[str, str]) -> dict[str, Any]:
    """What a list call is answered.

    Args:
        objects: those with the prefix, in the order of their names.
        said: the fields of the query.

    Raises:
        StorageError: a field cannot be understood.
    """
    most = _most(said)
    after = _read_token(said.get("pageToken", ""))
    glob = _glob(said["matchGlob"]) if said.get("matchGlob") else None
    items: list[Mapping[str, Any]] = []
    prefixes: list[str] = []
    last = ""
    for data in objects:
        name = data["name"]
        if not _within(name, said) or (glob is not None and not glob.fullmatch(name)):
            continue
        folded = _folded(name, said)
        shown = folded or _key(data, said)
        if shown.encode() <= after.encode() or folded in prefixes:
            continue
        if len(items) + len(prefixes) >= most:
            break
        if folded is not None:
            prefixes.append(folded)
        if folded is None or (folded == name and said.get("includeTrailingDelimiter", "").lower() == "true"):
            items.append(data)
        last = shown
    else:
        return _page(items, prefixes, None)
    return _page(items, prefixes, last)


def _page(items: list[Mapping[str, Any]], prefixes: list[str], last: str | None) -> dict[str, Any]:
    made: dict[str, Any] = {"kind": "storage#objects"}
    if last is not None:
        made["nextPageToken"] = base64.urlsafe_b64encode(last.encode()).decode()
    if prefixes:
        made["prefixes"] = prefixes
    if items:
        made["items"] = items
    return made


def _within(name: str, said: Mapping[str, str]) -> bool:
    start, end = said.get("startOffset", ""), said.get("endOffset", "")
    return name.encode() >= start.encode() and (not end or name.encode() < end.encode())


def _key(data: Mapping[str, Any], said: Mapping[str, str]) -> str:
    """What comes before what: of one object's generations the older one."""
    return (
        f"{data['name']}\0{int(data['generation']):020}"
        if said.get("versions", "").lower() == "true"
        else str(data["name"])
    )


def _folded(name: str, said: Mapping[str, str]) -> str | None:
    """The prefix under which a name is not listed on its own."""
    delimiter, prefix = said.get("delimiter", ""), said.get("prefix", "")
    if not delimiter:
        return None
    found = name.find(delimiter, len(prefix))
    return name[: found + len(delimiter)] if found >= 0 else None


def _most(said: Mapping[str, str]) -> int:
    try:
        most = int(said.get("maxResults") or MOST)
    except ValueError:
        raise StorageError(
            400, "invalid", f"Invalid unsigned integer value: '{said['maxResults']}'."
        ) from None
    if most < 1:
        raise StorageError(400, "invalid", "maxResults must be positive.")
    return min(most, MOST)


def _read_token(token: str) -> str:
    try:
        return base64.b64decode(token.encode(), b"-_", validate=True).decode()
    except ValueError:
        raise StorageError(400, "invalid", f"Invalid page token: {token}") from None


def _glob(pattern: str) -> re.Pattern[str]:
    """`*` within a folder, `**` over folders, `?`, `[...]` and `{a,b}`, as Cloud Storage has them."""
    made, at, depth = "", 0, 0
    while at < len(pattern):
        char = pattern[at]
        end = pattern.find("]", at + 2) if char == "[" else -1
        if pattern.startswith("**", at):
            made, at = made + ".*", at + 2
            continue
        if end > 0:
            inner = pattern[at + 1 : end].replace("\\", r"\\")
            made, at = made + f"[{'^' + inner[1:] if inner.startswith('!') else inner}]", end + 1
            continue
        depth += {"{": 1, "}": -1}.get(char, 0)
        special = {"*": "[^/]*", "?": "[^/]", "{": "(?:", "}": ")"}
        made += "|" if char == "," and depth else special.get(char, re.escape(char))
        at += 1
    try:
        return re.compile(made, re.DOTALL)
    except re.error:
        raise StorageError(400, "invalid", f"Invalid matchGlob: {pattern}") from None
