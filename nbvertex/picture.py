"""A pipeline as a picture: text for a terminal, mermaid for a README, SVG for a notebook or a page."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nbvertex.errors import many, visible
from nbvertex.layout import Layout, arrange, implied_arrows
from nbvertex.pipeline import SETUP, Cell, Flow, Parameter, Pipeline, Resources, Step, Why

LONGEST_NAME = 28  # characters of a step's name in a box
LONGEST_MARK = 40  # of a condition or a list
BEHIND = 5  # how far the box behind that of a step over a list stands out
NAMES_ON_ARROW = 3
MOST_RANGES = 5  # of cells; more are summed up
FONT, SMALL = 13, 11
BOX, LAYER, GAP, EDGE = 54, 112, 36, 20  # height of a box, distance of layers, room between boxes, margin


@dataclass(frozen=True, slots=True)
class Arrow:
    """All flows between two steps, as one line of a drawing.

    Args:
        source, target: the steps.
        label: the names that travel, shortened.
        kind: ``value``, ``state`` or ``order``: the strongest of its flows.
        maybe: only the safe side asks for it.
    """

    source: str
    target: str
    label: str
    kind: str
    maybe: bool


def arrows(pipeline: Pipeline) -> list[Arrow]:
    """One arrow for each pair of steps between which something flows, in notebook order."""
    pairs: dict[tuple[str, str], list[Flow]] = {}
    for flow in pipeline.flows:
        pairs.setdefault((flow.source, flow.target), []).append(flow)
    place = {step.name: i for i, step in enumerate(pipeline.steps)}
    out = []
    for source, target in sorted(pairs, key=lambda pair: (place[pair[1]], place[pair[0]])):
        flows = pairs[source, target]
        kinds = [kind for kind in ("value", "state", "order") if any(f.kind == kind for f in flows)]
        label = _shortened(_names(flows)) or ("after" if kinds[0] == "order" else "")
        out.append(Arrow(source, target, label, kinds[0], all(f.maybe for f in flows)))
    return out


def _names(flows: Iterable[Flow]) -> list[str]:
    out: dict[str, None] = {}
    for flow in flows:
        out.update(dict.fromkeys(f"({name})" if flow.kind == "state" else name for name in flow.names))
    return list(out)


def _shortened(names: Sequence[str]) -> str:
    shown = ", ".join(names[:NAMES_ON_ARROW])
    more = len(names) - NAMES_ON_ARROW
    return f"{shown} +{more}" if more > 0 else shown


# --- text ---------------------------------------------------------------------------------------------


def text(pipeline: Pipeline, *, why: bool = False) -> str:
    """The pipeline as lines of text: parameters, then every step with what flows into it.

    Args:
        why: name for each name that flows the lines that wrote it and that read it.
    """
    steps, parameters = len(pipeline.steps), len(pipeline.parameters)
    head = f"{pipeline.notebook}: {many(steps, 'step')}"
    lines = [head + (f", {many(parameters, 'parameter')}" if parameters else "")]
    if parameters:
        declared = sorted({p.cell or pipeline.parameters_cell for p in pipeline.parameters})
        lines += ["", f"parameters ({_at(declared)})"]
        lines += columns([("  " + p.name, describe(p), p.description) for p in pipeline.parameters])
    lines += ["", "steps"]
    into: dict[str, list[Flow]] = {}
    for flow in pipeline.flows:
        into.setdefault(flow.target, []).append(flow)
    rows = []
    for step in pipeline.steps:
        rows.append(("  " + step.name, cells(step.cells), " ".join(extras(step))))
    for step, line in zip(pipeline.steps, columns(rows), strict=True):
        lines.append(line)
        lines += _inflow(into.get(step.name, []), why=why)
    return "\n".join(_one_line(line) for line in lines) + "\n"


def _inflow(flows: Sequence[Flow], *, why: bool) -> list[str]:
    if not why:
        return [
            f"      {_source(flow)}{': ' + ', '.join(flow.names) if flow.names else ''}" for flow in flows
        ]
    lines = []
    for flow in flows:
        for name in flow.names or ("",):
            lines.append(f"      {_source(flow)}{': ' + name if name else ''}")
            lines += [f"          written {_because(reason)}" for reason in _about(flow.written, name)]
            lines += [f"          read    {_because(reason)}" for reason in _about(flow.read, name)]
    return lines


def _source(flow: Flow) -> str:
    how = {"value": "from {}", "state": "after {} for its state", "order": "after {} as marked"}[flow.kind]
    return how.format(flow.source) + (" (perhaps)" if flow.maybe else "")


def _about(reasons: Sequence[Why], name: str) -> list[Why]:
    """The reasons whose line speaks of the name; all of them where none does."""
    word = re.compile(rf"(?<!\w){re.escape(name)}(?!\w)")
    return [reason for reason in reasons if name and word.search(reason.text)] or list(reasons)


def _because(why: Why) -> str:
    place = f"cell {why.cell}, line {why.line}"
    return f"{place}: {why.text.strip()}" if why.text else place


def describe(parameter: Parameter) -> str:
    """Type, default and what is allowed, in one line: ``int = 10  (1 to 100)``."""
    kind = parameter.kind + (" or None" if parameter.optional and parameter.kind != "none" else "")
    default = parameter.source or repr(parameter.default)
    allowed = ""
    if parameter.choices:
        allowed = "  (one of " + ", ".join(repr(choice) for choice in parameter.choices) + ")"
    elif parameter.minimum is not None or parameter.maximum is not None:
        low = "" if parameter.minimum is None else f"{parameter.minimum:g}"
        high = "" if parameter.maximum is None else f"{parameter.maximum:g}"
        allowed = (
            f"  ({low} to {high})"
            if low and high
            else f"  (at least {low})"
            if low
            else f"  (at most {high})"
        )
    return f"{kind} = {default}{allowed}"


def cells(of: Sequence[Cell]) -> str:
    """Where cells are: ``cells 4-6, 9``."""
    return _at(sorted(cell.position for cell in of))


def _at(places: Sequence[int]) -> str:
    ranges: list[list[int]] = []
    for place in places:
        if ranges and place == ranges[-1][1] + 1:
            ranges[-1][1] = place
        else:
            ranges.append([place, place])
    if len(ranges) > MOST_RANGES:
        return f"{len(places)} cells in {places[0]}-{places[-1]}"
    shown = ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in ranges)
    return f"cell {shown}" if len(places) == 1 else f"cells {shown}"


def extras(step: Step) -> list[str]:
    """What the marks of a step ask for, as ``key:value`` words."""
    wanted = {**_asked(step.resources), **_options(step)}
    return [f"{key}:{value}" for key, value in wanted.items()]


def _asked(resources: Resources) -> dict[str, str]:
    out = {}
    for field in resources.__struct_fields__:
        value = getattr(resources, field)
        if value is not None and value is not False:
            out[field.replace("_", "-")] = "yes" if value is True else str(value)
    return out


def _options(step: Step) -> dict[str, str]:
    options = step.options
    out: dict[str, str] = {}
    if options.retries:
        out["retries"] = str(options.retries)
    if options.timeout is not None:
        out["timeout"] = f"{options.timeout:g}s"
    if options.cache is not None:
        out["cache"] = "enabled" if options.cache else "disabled"
    several = {
        "requires": options.requires,
        "secret": options.secrets,
        "in": options.inputs,
        "out": options.outputs,
    }
    out.update({key: ",".join(values) for key, values in several.items() if values})
    out.update({key: f'"{one.text}"' for key, one in (("when", options.when), ("each", options.each)) if one})
    return out


def _one_line(text: str) -> str:
    return visible(text, keep="")


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of text with their columns one under another."""
    if not rows:
        return []
    widths = [max(len(_one_line(row[i])) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(_one_line(c).ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


# --- mermaid ------------------------------------------------------------------------------------------


def mermaid(pipeline: Pipeline) -> str:
    """The pipeline as a mermaid flowchart."""
    number = {step.name: f"s{i}" for i, step in enumerate(pipeline.steps, 1)}
    lines = ["flowchart TD"]
    lines += [f"    {number[step.name]}{_node(step)}" for step in pipeline.steps]
    for step in pipeline.steps:
        if step.options.each is not None:
            label = _entities(f"each {_mark(step.options.each.text)}")
            lines.append(f'    {number[step.name]} -->|"{label}"| {number[step.name]}')
    for arrow in arrows(pipeline):
        line = "-->" if arrow.kind == "value" and not arrow.maybe else "-.->"
        label = f'|"{_entities(arrow.label)}"|' if arrow.label else ""
        lines.append(f"    {number[arrow.source]} {line}{label} {number[arrow.target]}")
    return "\n".join(lines) + "\n"


def _node(step: Step) -> str:
    """A step as a box; under a condition as a hexagon, over a list as a box with double sides."""
    label = _entities(step.title or step.name)
    if step.options.when is not None:
        return f'{{{{"{label}<br/>when {_entities(_mark(step.options.when.text))}"}}}}'
    return f'[["{label}"]]' if step.options.each is not None else f'["{label}"]'


def _mark(text: str) -> str:
    """A condition or a list, shortened."""
    return text if len(text) <= LONGEST_MARK else text[: LONGEST_MARK - 1] + "…"


def _marks(step: Step) -> str:
    """The condition and the list of a step in one line."""
    options = (("each", step.options.each), ("when", step.options.when))
    return ", ".join(f"{key} {_mark(one.text)}" for key, one in options if one is not None)


def _entities(label: str) -> str:
    """Text as mermaid's ``#NNN;`` entities wherever it could mean something."""
    return "".join(
        c if c.isascii() and (c.isalnum() or c in " _.,+()-") else f"#{ord(c)};" for c in _one_line(label)
    )


# --- svg ----------------------------------------------------------------------------------------------

STYLE = """
text{font-family:system-ui,"Segoe UI",Helvetica,Arial,sans-serif;fill:#202124}
.name{font-size:13px;font-weight:600}.sub{font-size:11px;fill:#5f6368}.label{font-size:11px;fill:#3c4043}
.box{fill:#fff;stroke:#1a73e8;stroke-width:1.5}.setup{stroke:#9aa0a6;fill:#f8f9fa}
.when{stroke-dasharray:7 4}
.value{stroke:#5f6368}.state,.order,.maybe{stroke:#80868b;stroke-dasharray:5 4}.implied{stroke:#bdc1c6}
.back{fill:#fff;fill-opacity:.85}path{fill:none;stroke-width:1.4}.tip{fill:#5f6368}
""".strip()


@dataclass(frozen=True, slots=True)
class _Drawing:
    """What the parts of an SVG share.

    Args:
        layout: where the boxes stand.
        arrows: those that are drawn.
        implied: the arrows whose target is reached by a longer path as well; they are drawn light.
        given: step -> what the set-up gives it, where an arrow for that would only cross the others.
        leaving, coming: step -> how many arrows are drawn from it and to it.
    """

    layout: Layout
    arrows: list[Arrow]
    implied: set[tuple[str, str]]
    given: dict[str, str]
    leaving: Counter[str]
    coming: Counter[str]

    def at(self, name: str) -> tuple[float, float]:
        x, layer = self.layout.centers[name]
        return EDGE + x, EDGE + layer * LAYER


def _drawing(pipeline: Pipeline) -> _Drawing:
    found = arrows(pipeline)
    names = [step.name for step in pipeline.steps]
    implied = implied_arrows(names, [(a.source, a.target) for a in found])
    given = {a.target: a.label for a in found if a.source == SETUP and (a.source, a.target) in implied}
    shown = [a for a in found if a.source != SETUP or a.target not in given]
    boxes = {step.name: _box_width(step, given.get(step.name, "")) for step in pipeline.steps}
    layout = arrange(boxes, {(a.source, a.target): _wide(a.label, SMALL) + 8 for a in shown}, GAP)
    drawn = [a for a in shown if (a.source, a.target) in layout.paths]
    return _Drawing(
        layout, drawn, implied, given, Counter(a.source for a in drawn), Counter(a.target for a in drawn)
    )


def svg(pipeline: Pipeline) -> str:
    """The pipeline as one SVG file: no script, no font and no address outside it; equal pipelines, equal bytes."""
    drawing = _drawing(pipeline)
    layout = drawing.layout
    body = [_line(arrow, drawing) for arrow in drawing.arrows]
    body += [_box(step, drawing) for step in pipeline.steps]
    body += [_label(arrow, drawing) for arrow in drawing.arrows if arrow.label]
    note = f"{many(layout.left_out, 'arrow')} that longer paths imply not drawn" if layout.left_out else ""
    width = max(layout.width, _wide(note, SMALL)) + 2 * EDGE
    height = 2 * EDGE + max(layout.layers - 1, 0) * LAYER + BOX + (20 if note else 0)
    if note:
        body.append(f'<text class="sub" x="{EDGE}" y="{height - 8:g}">{note}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" '
        f'viewBox="0 0 {width:g} {height:g}" role="img" style="max-width:100%;height:auto">\n'
        f"<title>{_xml(pipeline.notebook)}: {many(len(pipeline.steps), 'step')}</title>\n<style>{STYLE}</style>\n"
        '<defs><marker id="nbvertex-tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path class="tip" d="M0,0 L8,4 L0,8 z"/></marker></defs>\n'
        f'<rect width="{width:g}" height="{height:g}" rx="8" fill="#ffffff"/>\n'
        + "\n".join(body)
        + "\n</svg>\n"
    )


def _shown(step: Step) -> str:
    name = _one_line(step.title or step.name)
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"


def _wide(label: str, size: float) -> float:
    """About how wide a label is drawn: letters of East Asia take a whole square."""
    return sum(size * (0.58 if ord(c) < 0x1100 else 1.0) for c in label)


def _box_lines(step: Step, given: str) -> list[str]:
    marks = _marks(step)
    about = [cells(step.cells), f"{SETUP}: {given}"] if given else [cells(step.cells)]
    return [", ".join(about), marks] if marks else about


def _box_width(step: Step, given: str) -> float:
    widest = max(_wide(line, SMALL) for line in _box_lines(step, given))
    return round(max(96.0, _wide(_shown(step), FONT) + 28, widest + 24))


def _box(step: Step, drawing: _Drawing) -> str:
    x, y = drawing.at(step.name)
    given = drawing.given.get(step.name, "")
    width = _box_width(step, given)
    style = "box setup" if step.name == SETUP else "box"
    style += " when" if step.options.when is not None else ""
    behind = ""
    if step.options.each is not None:
        behind = (
            f'<rect class="box" x="{x - width / 2 + BEHIND:g}" y="{y - BEHIND:g}" width="{width:g}" '
            f'height="{BOX}" rx="6"/>'
        )
    hint = " ".join([step.title or step.name, cells(step.cells), *extras(step)])
    lines = [("name", _shown(step)), *(("sub", line) for line in _box_lines(step, given))]
    top = y + BOX / 2 + 4 - 7.5 * (len(lines) - 1)
    texts = [
        f'<text class="{kind}" x="{x:g}" y="{top + 15 * i:g}" text-anchor="middle">{_xml(line)}</text>'
        for i, (kind, line) in enumerate(lines)
    ]
    return (
        f'<g><title>{_xml(hint)}</title>{behind}<rect class="{style}" x="{x - width / 2:g}" y="{y:g}" '
        f'width="{width:g}" height="{BOX}" rx="6"/>{"".join(texts)}</g>'
    )


def _corners(arrow: Arrow, drawing: _Drawing) -> list[tuple[float, float]]:
    """The points an arrow runs through: curves from layer to layer, straight beside the boxes it passes."""
    path = drawing.layout.paths[arrow.source, arrow.target]
    x, y = drawing.at(arrow.source)
    points = [(x, y + BOX)]
    for bend in path[1:-1]:
        y += LAYER
        points += [(EDGE + bend, y), (EDGE + bend, y + BOX)]
    return [*points, drawing.at(arrow.target)]


def _line(arrow: Arrow, drawing: _Drawing) -> str:
    points = _corners(arrow, drawing)
    parts = [f"M{points[0][0]:g},{points[0][1]:g}"]
    for i, ((x1, y1), (x2, y2)) in enumerate(itertools.pairwise(points)):
        half = (y1 + y2) / 2
        parts.append(f"L{x2:g},{y2:g}" if i % 2 else f"C{x1:g},{half:g} {x2:g},{half:g} {x2:g},{y2:g}")
    style = "maybe" if arrow.maybe else arrow.kind
    style += " implied" if (arrow.source, arrow.target) in drawing.implied else ""
    hint = _xml(f"{arrow.source} to {arrow.target}: {arrow.label}")
    return f'<path class="{style}" d="{" ".join(parts)}" marker-end="url(#nbvertex-tip)"><title>{hint}</title></path>'


def _label(arrow: Arrow, drawing: _Drawing) -> str:
    points = _corners(arrow, drawing)
    (x1, y1), (x2, y2) = points[:2]
    if len(points) > 2:  # beside the first box it passes there is room kept for it
        x, y = x2, y2 + BOX / 2
    else:  # nearer to the end that has fewer arrows
        crowd = (drawing.leaving[arrow.source] > 1) - (drawing.coming[arrow.target] > 1)
        t = 0.5 + 0.26 * crowd
        x, y = x1 + (x2 - x1) * (3 * t**2 - 2 * t**3), y1 + (y2 - y1) * (1.5 * t - 1.5 * t**2 + t**3)
    room = _wide(arrow.label, SMALL) + 6
    return (
        f'<g><rect class="back" x="{x - room / 2:g}" y="{y - 8:g}" width="{room:g}" height="15" rx="3"/>'
        f'<text class="label" x="{x:g}" y="{y + 4:g}" text-anchor="middle">{_xml(arrow.label)}</text></g>'
    )


def _xml(label: str) -> str:
    """Text as XML text or attribute; what XML cannot hold is spelled out."""
    escaped = _one_line(label).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return escaped.replace('"', "&quot;").replace("'", "&#39;")
