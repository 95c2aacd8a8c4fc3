"""What cells do, found without running them."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from nbvertex.dataflow import analyse

TABLES = Path(__file__).parent / "cases"
NAMES = ("reads", "binds", "surely", "mutates", "touches", "deletes", "outside", "imports", "stars")
LISTS = ("requirements", "files_read", "files_written")


def cases(table: str) -> list[Any]:
    """The cases of a table, named, without those that need a later Python."""
    loaded = tomllib.loads((TABLES / f"{table}.toml").read_text())["case"]
    return [pytest.param(case, id=case["name"]) for case in loaded if _fits(case.get("python", "3.0"))]


def _fits(version: str) -> bool:
    return sys.version_info >= tuple(int(part) for part in version.split("."))


def expected(case: dict[str, Any]) -> dict[str, Any]:
    """What a case says, in full."""
    out: dict[str, Any] = {name: tuple(case.get(name, "").split()) for name in NAMES}
    if "surely" not in case:
        out["surely"] = out["binds"]
    for name in LISTS:
        given = case.get(name, ())
        out[name] = tuple(given.split() if isinstance(given, str) else given)
    return out | {"everything": case.get("everything", False), "is_async": case.get("is_async", False)}


@pytest.mark.parametrize("case", [*cases("dataflow"), *cases("dataflow_ipython"), *cases("dataflow_outside")])
def test_facts(case: dict[str, Any]) -> None:
    """A cell does what its case says, and nothing else."""
    found = analyse(case["source"], case.get("modules"))
    facts = {name: getattr(found.facts, name) for name in found.facts.__struct_fields__}
    assert facts == expected(case)
    assert sorted(found.late) == case.get("late", "").split()
    assert sorted(found.optional) == case.get("optional", "").split()
    assert found.problem is None
