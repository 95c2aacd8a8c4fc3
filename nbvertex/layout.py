"""Where the boxes of a drawing stand: layers from top to bottom, few crossings, no two boxes on one spot."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

SWEEPS = 8
MOST_BENDS = 600  # points of long arrows; beyond that the drawing is a hairball anyway


@dataclass(frozen=True, slots=True)
class Layout:
    """The places of a drawing.

    Args:
        centers: box -> (horizontal centre, layer).
        paths: arrow -> the horizontal centres it passes, one a layer, its two ends included.
        left_out: how many arrows that longer paths imply were not given a path.
        layers: how many layers there are.
        width: from the leftmost edge, which is 0, to the rightmost.
    """

    centers: dict[str, tuple[float, int]]
    paths: dict[tuple[str, str], tuple[float, ...]]
    left_out: int
    layers: int
    width: float


@dataclass(frozen=True, slots=True)
class _Point:
    """A place in a layer: a box, or a bend of a long arrow."""

    name: str
    arrow: tuple[str, str] | None = None
    layer: int = 0


def arrange(boxes: Mapping[str, float], arrows: Mapping[tuple[str, str], float], gap: float) -> Layout:
    """Places for boxes whose arrows all run forward in the order given.

    Args:
        boxes: name -> width, every arrow running from an earlier to a later one.
        arrows: (source, target) -> width of its label, which a long arrow bears at its first bend.
        gap: free room between neighbours in a layer.
    """
    layer = _layers(list(boxes), list(arrows))
    implied = implied_arrows(list(boxes), list(arrows))
    drawn = list(arrows)
    if sum(max(layer[b] - layer[a] - 1, 0) for a, b in arrows) > MOST_BENDS:
        drawn = [arrow for arrow in arrows if arrow not in implied]
    rows = _points(list(boxes), drawn, layer)
    links = _links(drawn, layer, implied)
    _untangle(rows, links)
    half = {point: _half(point, boxes, arrows, layer) for row in rows for point in row}
    x = _spread(rows, links, half, gap)
    paths = {}
    for a, b in drawn:
        bends = [x[_Point("", (a, b), level)] for level in range(layer[a] + 1, layer[b])]
        paths[a, b] = (x[_Point(a)], *bends, x[_Point(b)])
    centers = {name: (x[_Point(name)], layer[name]) for name in boxes}
    width = max((x[point] + half[point] for point in x), default=0.0)
    return Layout(centers, paths, len(arrows) - len(drawn), len(rows), width)


def _half(
    point: _Point,
    boxes: Mapping[str, float],
    arrows: Mapping[tuple[str, str], float],
    layer: Mapping[str, int],
) -> float:
    """Half the room that a point needs."""
    if point.arrow is None:
        return boxes[point.name] / 2
    first = point.layer == layer[point.arrow[0]] + 1
    return arrows[point.arrow] / 2 if first else 4.0


def implied_arrows(boxes: Sequence[str], arrows: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
    """The arrows whose target is reached from their source by a longer path as well."""
    bit = {name: 1 << i for i, name in enumerate(boxes)}
    sources = _sources(arrows)
    above: dict[str, int] = {}
    implied = set()
    for name in boxes:
        above[name] = 0
        for source in sources.get(name, ()):
            above[name] |= above[source]
        implied |= {(source, name) for source in sources.get(name, ()) if above[name] & bit[source]}
        for source in sources.get(name, ()):
            above[name] |= bit[source]
    return implied


def _sources(arrows: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    out: dict[str, list[str]] = {}
    for source, target in arrows:
        out.setdefault(target, []).append(source)
    return out


def _layers(boxes: Sequence[str], arrows: Sequence[tuple[str, str]]) -> dict[str, int]:
    """The length of the longest path to each box."""
    sources = _sources(arrows)
    layer: dict[str, int] = {}
    for name in boxes:
        layer[name] = max((layer[source] + 1 for source in sources.get(name, ())), default=0)
    return layer


def _points(
    boxes: Sequence[str], arrows: Sequence[tuple[str, str]], layer: Mapping[str, int]
) -> list[list[_Point]]:
    """The points of every layer; a long arrow has a bend in every layer it crosses."""
    rows: list[list[_Point]] = [[] for _ in range(max(layer.values(), default=-1) + 1)]
    for name in boxes:
        rows[layer[name]].append(_Point(name))
    for a, b in arrows:
        for level in range(layer[a] + 1, layer[b]):
            rows[level].append(_Point("", (a, b), level))
    return rows


@dataclass(frozen=True, slots=True)
class _Links:
    """The neighbours of each point in the layers above and below, with how much each counts."""

    up: dict[_Point, list[tuple[_Point, float]]]
    down: dict[_Point, list[tuple[_Point, float]]]


def _links(
    arrows: Sequence[tuple[str, str]], layer: Mapping[str, int], implied: Collection[tuple[str, str]]
) -> _Links:
    links = _Links({}, {})
    for a, b in arrows:
        weight = 1.0 if (a, b) in implied else 8.0
        points = [
            _Point(a),
            *(_Point("", (a, b), level) for level in range(layer[a] + 1, layer[b])),
            _Point(b),
        ]
        for upper, lower in itertools.pairwise(points):
            links.up.setdefault(lower, []).append((upper, weight))
            links.down.setdefault(upper, []).append((lower, weight))
    return links


def _untangle(rows: list[list[_Point]], links: _Links) -> None:
    """Order each layer by where its neighbours stand, down and up in turn."""
    for sweep in range(SWEEPS):
        toward, order = (links.up, rows[1:]) if sweep % 2 == 0 else (links.down, rows[-2::-1])
        place = {point: float(i) for row in rows for i, point in enumerate(row)}
        for row in order:
            wanted = {point: _mean(toward.get(point, ()), place, point) for point in row}
            row.sort(key=wanted.__getitem__)
            place.update((point, float(i)) for i, point in enumerate(row))


def _mean(neighbours: Sequence[tuple[_Point, float]], place: Mapping[_Point, float], point: _Point) -> float:
    """Where the neighbours stand on the average; where the point stands if it has none."""
    if not neighbours:
        return place[point]
    return sum(place[n] * weight for n, weight in neighbours) / sum(weight for _, weight in neighbours)


def _spread(
    rows: list[list[_Point]], links: _Links, half: Mapping[_Point, float], gap: float
) -> dict[_Point, float]:
    """Horizontal centres: as near to the neighbours' as the order and the widths allow; the leftmost edge is 0."""
    x: dict[_Point, float] = {}
    for row in rows:
        x.update(zip(row, _apart([0.0] * len(row), [half[p] for p in row], gap), strict=True))
    for sweep in range(SWEEPS):
        toward, order = (links.up, rows) if sweep % 2 == 0 else (links.down, rows[::-1])
        for row in order:
            wanted = [_mean(toward.get(point, ()), x, point) for point in row]
            x.update(zip(row, _apart(wanted, [half[p] for p in row], gap), strict=True))
    left = min((x[point] - half[point] for point in x), default=0.0)
    return {point: round(value - left, 1) for point, value in x.items()}


def _apart(wanted: Sequence[float], half: Sequence[float], gap: float) -> list[float]:
    """The centres nearest to those wanted (least squares) that keep the order and the distance."""
    offset, offsets = 0.0, []
    for i, width in enumerate(half):
        offset += 0.0 if i == 0 else half[i - 1] + gap + width
        offsets.append(offset)
    blocks: list[list[float]] = []  # pool adjacent violators: [sum, count]
    for target, shift in zip(wanted, offsets, strict=True):
        blocks.append([target - shift, 1])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] > blocks[-1][0] / blocks[-1][1]:
            total, count = blocks.pop()
            blocks[-1][0] += total
            blocks[-1][1] += count
    flat = [total / count for total, count in blocks for _ in range(int(count))]
    return [place + shift for place, shift in zip(flat, offsets, strict=True)]
