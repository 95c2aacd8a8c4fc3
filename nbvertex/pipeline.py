"""The model: a pipeline of steps as frozen, typed, versioned JSON; it knows no notebook file and no target."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, TypeAlias

import msgspec

FORMAT = "nbvertex.pipeline/2"
SETUP = "setup"  # the name of the step that set-up cells make

Json: TypeAlias = None | bool | int | float | str | list[Any] | dict[str, Any]
Kind: TypeAlias = Literal["any", "int", "float", "bool", "str", "list", "dict", "none"]
Operator: TypeAlias = Literal["==", "!=", "<", "<=", ">", ">=", "in", "not in", "is", "is not"]


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What every part of the model is: immutable, compared by value, strict when read."""


class Parameter(Record, frozen=True, kw_only=True):
    """A named input of the pipeline with a default.

    Args:
        name: the Python name in the parameters cell.
        kind: its type; ``any`` where the default does not tell (an expression).
        default: the default as JSON; None also where ``source`` is an expression.
        source: the default as written in the cell.
        optional: None is accepted beside ``kind``.
        choices: the values allowed, from ``# @param [...]``.
        minimum, maximum: the range allowed, from a Colab slider.
        description: the comment or markdown beside it.
        cell, line: where it is declared; a value that is given is injected after that cell.
        again: later cells that declare it anew (form fields are often repeated); it is injected after each.
    """

    name: str
    kind: Kind = "any"
    default: Json = None
    source: str = ""
    optional: bool = False
    choices: tuple[Json, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    description: str = ""
    cell: int = 0
    line: int = 0
    again: tuple[int, ...] = ()


class Why(Record, frozen=True, kw_only=True):
    """One line of a notebook that made a fact true (for ``show --why``)."""

    cell: int
    line: int
    text: str = ""


class Facts(Record, frozen=True, kw_only=True):
    """What a piece of code does to names and to the world, on the safe side; order of every tuple: sorted.

    Args:
        reads: names it reads that it has not surely bound before (functions' free names included).
        binds: names it may bind (import, def, class, assignment, del and bind again).
        surely: names that it has bound for certain when it ends well, before any read of them.
        mutates: names whose objects it changes in place, for all that can be seen (``x[0] = 1``, ``x += 1``,
            ``x.append(1)``, ``model.fit(...)``, ``del x.a``, ``f(x, inplace=True)``).
        touches: further names whose objects it hands to code that cannot be seen (``f(x)``, ``a = x``): the
            safe side for whoever cannot look at the objects themselves.
        deletes: names it may delete.
        everything: it may read and write any name (eval, exec, globals(), dir(), %who, unknown magics).
        outside: kinds of state outside the names it may touch: ``clock network random files environ cwd
            process display modules ipython threads signals input``.
        imports: modules named by its import statements, dotted and absolute (``os.path``).
        stars: those of them imported with ``*`` whose names cannot be told: any name may come from them.
        requirements: arguments of ``%pip install`` and ``!pip install`` lines, one requirement each.
        files_read, files_written: literal file names it opens (``%%writefile`` included).
        is_async: it has a top-level await.
    """

    reads: tuple[str, ...] = ()
    binds: tuple[str, ...] = ()
    surely: tuple[str, ...] = ()
    mutates: tuple[str, ...] = ()
    touches: tuple[str, ...] = ()
    deletes: tuple[str, ...] = ()
    everything: bool = False
    outside: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    stars: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    files_read: tuple[str, ...] = ()
    files_written: tuple[str, ...] = ()
    is_async: bool = False


class Cell(Record, frozen=True, kw_only=True):
    """A code cell as it will be executed.

    Args:
        position: place in the notebook, counted from 1, markdown included.
        source: the source, line for line as written; a ``%%step`` line is blank, and so are lines that only ask
            for packages.
        id: the cell's nbformat id, or empty.
        count: the number that Run All (without skipped cells) shows as ``In [count]``, counted from 1.
        digest: SHA-256 of the code's meaning: comments, blank lines and import order do not change it.
        may_fail: tagged ``raises-exception``.
        varies: tagged ``varies``: its outputs differ from run to run by intent.
        facts: what the analysis found.
    """

    position: int
    source: str
    id: str = ""
    count: int = 0
    digest: str = ""
    may_fail: bool = False
    varies: bool = False
    facts: Facts = Facts()


class Resources(Record, frozen=True, kw_only=True):
    """What a step asks of the machine it runs on; None: the target's default."""

    machine: str | None = None
    cpu: str | None = None
    memory: str | None = None
    gpu: str | None = None
    disk: str | None = None
    replicas: int | None = None
    spot: bool = False
    image: str | None = None
    runs_on: str | None = None
    service_account: str | None = None


class Compare(Record, frozen=True, kw_only=True, tag="compare", tag_field="is"):
    """``NAME OP LITERAL``.

    Args:
        name: whose value is compared.
        op: how.
        value: with what; a list for ``in`` and ``not in``.
    """

    name: str
    op: Operator
    value: Json


class AllOf(Record, frozen=True, kw_only=True, tag="all", tag_field="is"):
    """Conditions joined by ``and``."""

    of: tuple[Condition, ...]


class AnyOf(Record, frozen=True, kw_only=True, tag="any", tag_field="is"):
    """Conditions joined by ``or``."""

    of: tuple[Condition, ...]


class Not(Record, frozen=True, kw_only=True, tag="not", tag_field="is"):
    """A condition that must not hold."""

    of: Condition


Condition: TypeAlias = Compare | AllOf | AnyOf | Not


class When(Record, frozen=True, kw_only=True):
    """The condition under which a step runs.

    Args:
        text: as Python.
        test: the same, parsed; it is read from the left and no further than needed, as Python does.
    """

    text: str
    test: Condition


class Item(Record, frozen=True, kw_only=True):
    """One literal of a list.

    Args:
        source: as Python; it is what the round is given.
        value: as JSON, in which a tuple is a list.
    """

    source: str
    value: Json


class Each(Record, frozen=True, kw_only=True):
    """The list over which a step runs, once for every item.

    Args:
        text: as Python.
        name: what the item is bound to.
        items: the list, where it stands in the mark.
        source: the name that holds it, where it does not.
        gathers: the names that the step binds, which hold lists afterwards, ``name`` among them. What else
            a round turns out to change becomes a list too.
        imports: the names that the step only imports, which stay what they are.
        seeds: the random generators (``random``, ``numpy``, ``torch``) that every round seeds before it draws; what
            the last round leaves of them stays.
        ordered: a round may look at files that another one writes, or they all write the same: they run one after
            the other.
    """

    text: str
    name: str
    items: tuple[Item, ...] | None = None
    source: str = ""
    gathers: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    seeds: tuple[str, ...] = ()
    ordered: bool = False


class Options(Record, frozen=True, kw_only=True):
    """Everything else that marks on a step may say.

    Args:
        after: steps that must end before.
        retries: how many times to run it again after a failure.
        timeout: seconds for one attempt.
        cache: True, False or None (decide by what the code does).
        secrets: ``NAME=...`` references, never values.
        requires: further requirements of this step.
        inputs, outputs: files that the step reads and writes (``in:``, ``out:``).
        when: the condition under which it runs, decided once, before it begins.
        each: the list over which it runs.
        metrics: names whose numbers it is judged by.
        labels, annotations: Kale's, carried to targets that have them.
    """

    after: tuple[str, ...] = ()
    retries: int = 0
    timeout: float | None = None
    cache: bool | None = None
    secrets: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    when: When | None = None
    each: Each | None = None
    metrics: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class Step(Record, frozen=True, kw_only=True):
    """One step: cells that run in one process, in order.

    Args:
        name: unique in the pipeline.
        cells: its code cells, in notebook order.
        facts: the facts of the cells put together (``reads``: what must come from outside the step).
        needs: the sources of the flows into it that are not ``maybe``, in notebook order.
        live: names that later steps may read, so that are kept when it ends.
        title: the name as the user wrote it, where that is not ``name``.
    """

    name: str
    cells: tuple[Cell, ...]
    facts: Facts = Facts()
    needs: tuple[str, ...] = ()
    live: tuple[str, ...] = ()
    options: Options = Options()
    resources: Resources = Resources()
    title: str = ""


class Flow(Record, frozen=True, kw_only=True):
    """An arrow between two steps.

    Args:
        source, target: the steps.
        kind: ``value`` (names travel), ``order`` (an ``after`` mark) or ``state`` (outside state, or a race).
        names: the names that travel, or the kinds of state.
        written, read: the lines that made it so.
        maybe: only the safe side asks for it (``Facts.touches``, possible aliases): a runner that compares
            the objects may start the target before the source has ended.
    """

    source: str
    target: str
    kind: Literal["value", "order", "state"]
    names: tuple[str, ...] = ()
    written: tuple[Why, ...] = ()
    read: tuple[Why, ...] = ()
    maybe: bool = False


class Pipeline(Record, frozen=True, kw_only=True):
    """A whole notebook as steps.

    Args:
        name: from the notebook's metadata or file name, made safe.
        notebook: the file name (no folder).
        steps: in notebook order, the set-up first.
        flows: the arrows.
        parameters: in the order they are declared.
        parameters_cell: position of the cell tagged as the parameters cell, 0 where there is none; where each
            value is injected is `Parameter.cell`.
        parameters_step: the step that this cell belongs to.
        requirements: what ``%pip install`` lines ask for.
        kernel: the kernel's name that the notebook asks for.
        description: from metadata.
        format: this model's version.
    """

    name: str
    notebook: str
    steps: tuple[Step, ...]
    flows: tuple[Flow, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    parameters_cell: int = 0
    parameters_step: str = ""
    requirements: tuple[str, ...] = ()
    kernel: str = "python3"
    description: str = ""
    format: str = msgspec.field(default_factory=lambda: FORMAT)  # a factory: never left out of the JSON

    def step(self, name: str) -> Step:
        """The step of that name; KeyError where there is none."""
        for step in self.steps:
            if step.name == name:
                return step
        raise KeyError(name)


def dump(pipeline: Pipeline) -> bytes:
    """The pipeline as indented JSON; equal pipelines give equal bytes."""
    return msgspec.json.format(msgspec.json.encode(pipeline, order="deterministic"), indent=2) + b"\n"


def load(data: bytes) -> Pipeline:
    """The pipeline that `dump` wrote; msgspec.ValidationError says what does not fit."""
    return msgspec.json.decode(data, type=Pipeline)


def schema() -> dict[str, Any]:
    """The JSON schema of a pipeline, as published in docs/pipeline.schema.json."""
    return msgspec.json.schema(Pipeline)


def earlier(steps: Iterable[Step], name: str) -> list[Step]:
    """The steps before the one of that name, in notebook order."""
    out: list[Step] = []
    for step in steps:
        if step.name == name:
            return out
        out.append(step)
    raise KeyError(name)
