"""Which method a path over HTTP means, by the templates of google.api.http."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote

VARIABLE = re.compile(r"\{([\w.]+)(?:=([^}]*))?\}")


class Route(NamedTuple):
    """What a template leads to.

    Args:
        target: the method.
        body: the field that the body of the request is: a name, ``*`` for the whole message, or nothing.
        variables: each field, with the first segment that it takes and the one after its last.
    """

    target: Any
    body: str
    variables: tuple[tuple[str, int, int], ...]


class Match(NamedTuple):
    """A path that is one of ours.

    Args:
        target: the method.
        body: as in `Route`.
        variables: the fields that the path gives.
    """

    target: Any
    body: str
    variables: Mapping[str, str]


class Routes:
    """All templates as a tree of segments: a literal wins over ``*``, and ``*`` over ``**``."""

    def __init__(self) -> None:
        self._root: dict[str, Any] = {}

    def add(self, verb: str, template: str, body: str, target: Any) -> None:
        """Let a template lead to a target; the first one that says the same wins."""
        segments: list[str] = []
        variables: list[tuple[str, int, int]] = []
        plain, _, action = template.partition("}:")
        plain, action = (f"{plain}}}", action) if action else _split(template)
        position = 0
        for found in VARIABLE.finditer(plain):
            segments += [part for part in plain[position : found.start()].split("/") if part]
            parts = (found[2] or "*").split("/")
            variables.append((found[1], len(segments), len(segments) + len(parts)))
            segments += parts
            position = found.end()
        segments += [part for part in plain[position:].split("/") if part]
        node = self._root
        for segment in segments:
            node = node.setdefault(segment, {})
        node.setdefault(f"{verb}:{action}", Route(target, body, tuple(variables)))

    def find(self, verb: str, path: str) -> Match | None:
        """What a request means, or None where no template fits.

        Args:
            verb: the HTTP method.
            path: as it came, percent signs and all.
        """
        for segments, action in _readings(path):
            found = _walk(self._root, segments, 0, f"{verb}:{action}", [])
            if found is not None:
                route, taken = found
                values = {name: "/".join(taken[first:last]) for name, first, last in route.variables}
                return Match(route.target, route.body, values)
        return None


def _split(template: str) -> tuple[str, str]:
    head, _, last = template.rpartition("/")
    name, _, action = last.partition(":")
    return f"{head}/{name}", action


def _readings(path: str) -> list[tuple[list[str], str]]:
    """The path with a colon in its last segment read as an action, and as part of a name."""
    segments = [part for part in path.split("/") if part]
    if segments and ":" in segments[-1]:
        name, _, action = segments[-1].rpartition(":")
        return [
            ([unquote(part) for part in [*segments[:-1], name]], action),
            ([unquote(part) for part in segments], ""),
        ]
    return [([unquote(part) for part in segments], "")]


def _walk(
    node: Mapping[str, Any], segments: list[str], at: int, wanted: str, taken: list[str]
) -> tuple[Route, list[str]] | None:
    """Follow the tree; `taken` is what each segment of the template has taken so far."""
    if at == len(segments):
        route = node.get(wanted)
        return (route, taken) if isinstance(route, Route) else None
    for key in (segments[at], "*"):
        child = node.get(key)
        if isinstance(child, dict):
            found = _walk(child, segments, at + 1, wanted, [*taken, segments[at]])
            if found is not None:
                return found
    child = node.get("**")
    if isinstance(child, dict):
        for end in range(len(segments), at, -1):
            found = _walk(child, segments, end, wanted, [*taken, "/".join(segments[at:end])])
            if found is not None:
                return found
    return None
