"""What docs/ says is what the code does; the generated pages are written anew by `pytest --update-golden`."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from places import ROOT

from nbvertex import dialect, options, pipeline, usage

DOCS = ROOT / "docs"


def nbvertex_help(*words: str) -> str:
    """What `nbvertex ... --help` prints."""
    command = [sys.executable, "-m", "nbvertex", *words, "--help"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.rstrip()


def test_the_schema_is_published(golden: Callable[[str, str | bytes], None]) -> None:
    """docs/pipeline.schema.json is the model's own schema."""
    golden("../../docs/pipeline.schema.json", json.dumps(pipeline.schema(), indent=2, sort_keys=True) + "\n")


def test_the_picture_is_what_show_draws(golden: Callable[[str, str | bytes], None]) -> None:
    """The SVG of the README."""
    command = [sys.executable, "-m", "nbvertex", "show", "notebooks/breast_cancer.ipynb", "--svg"]
    drawn = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    golden("../../docs/breast_cancer.svg", drawn)


def test_the_command_line_is_documented(golden: Callable[[str, str | bytes], None]) -> None:
    """docs/cli.md holds the help of every command."""
    page = ["# The command line", "", "What each `--help` says.", ""]
    for words in [(), *((verb,) for verb in usage.VERBS)]:
        said = nbvertex_help(*words)
        below = re.findall(r"^  (\w+)", said.partition("\nCommands:\n")[2], re.MULTILINE) if words else []
        for command, text in [(words, said), *(((*words, sub), nbvertex_help(*words, sub)) for sub in below)]:
            page += [f"## `{' '.join(('nbvertex', *command))}`", "", "```text", text, "```", ""]
    golden("../../docs/cli.md", "\n".join(page))


INDEX = "## Every module"


def test_every_module_is_described(golden: Callable[[str, str | bytes], None]) -> None:
    """docs/architecture.md ends with the first line of every module, floor by floor and folder by folder."""
    page = (DOCS / "architecture.md").read_text(encoding="utf-8").partition(INDEX)[0]
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    floors = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    package = ROOT / "nbvertex"
    page += f"{INDEX}\nWith the line that each opens with; those of the package itself floor by floor, the doors first.\n"
    for floor in floors:
        files = [package / f"{name}.py" for name in re.findall(r"\w+", floor)]
        page += "".join(["\n", *(described(file, package) for file in sorted(files) if file.exists())])
    for folder in sorted({file.parent for file in package.rglob("*.py")} - {package}):
        said = opening(folder / "__init__.py")
        page += f"\n`{folder.relative_to(package)}/`{f': {said}' if said else ''}\n\n"
        names = [file for file in sorted(folder.glob("*.py")) if file.name != "__init__.py"]
        page += "".join(described(file, folder) for file in names)
    golden("../../docs/architecture.md", page)


def described(file: Path, folder: Path) -> str:
    """A line of the index."""
    return f"- `{file.relative_to(folder).with_suffix('')}`: {opening(file)}\n"


def opening(file: Path) -> str:
    """What a module says it is for."""
    said = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) if file.exists() else ""
    assert said is not None, f"{file} does not say what it is for"
    return said.partition("\n")[0]


def code_words(text: str) -> set[str]:
    """What stands in backquotes."""
    return set(re.findall(r"`([^`\n]+)`", text))


@pytest.mark.parametrize("name", [option.name for option in options.TABLE])
def test_every_option_is_documented(name: str) -> None:
    """Each row of the table of options has its row in docs/dialect.md."""
    rows = [
        line
        for line in (DOCS / "dialect.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| `")
    ]
    assert any(name in code_words(row.split(" | ")[0]) for row in rows)


@pytest.mark.parametrize("tag", [*dialect.FLAGS, *(f"{key}:" for key in dialect.KEYS)])
def test_every_mark_is_documented(tag: str) -> None:
    """Each tag that is read is named in docs/dialect.md."""
    assert any(word.startswith(tag) for word in code_words((DOCS / "dialect.md").read_text(encoding="utf-8")))


PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(DOCS.glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every link to a file of the repository has that file."""
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []
