"""Every command of README.md, run in order in a fresh copy, prints what README.md says.

A block ```console holds commands after `$ ` and what they print; a line `...` stands for any lines. Times, run ids and the like are compared as
what they are, not by their digits. `pytest --update-golden` writes the outputs into README.md anew, to be read in the diff.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from places import ROOT

README = ROOT / "README.md"
BLOCK = re.compile(r"^```(console|bash)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CHANGING = [
    (r"\b\d{8}-\d{4}-[0-9a-z]+\b", "RUN"),
    (r"\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?\b", "WHEN"),
    (r"\b\d+(\.\d+)? ?(ms|s|min)\b", "TIME"),
    (r"\b[0-9a-f]{12,64}\b", "DIGEST"),
    (r"/bin/python[\d.]* \(3\.\d+\.\d+\)", "/bin/python (VERSION)"),
]
PROGRESS = re.compile(r"\w+: (running|done|cached|failed)\b")


@dataclass(frozen=True)
class Example:
    """A command, what should follow it, and where that stands in README.md."""

    command: str
    output: str
    start: int
    end: int


def examples(text: str) -> list[Example]:
    """The commands of all console blocks, in order."""
    found = []
    for block in BLOCK.finditer(text):
        if block[1] != "console":
            continue
        for part in re.finditer(r"^\$ (.*(?:\\\n.*)*)\n((?:(?!\$ ).*\n)*)", block[2], re.MULTILINE):
            start = block.start(2) + part.start(2)
            found.append(Example(part[1], part[2], start, block.start(2) + part.end(2)))
    return found


def set_ups(text: str) -> list[str]:
    """The commands that a fresh clone needs: those in the blocks ```bash."""
    return [block[2].strip().replace("\\\n", "") for block in BLOCK.finditer(text) if block[1] == "bash"]


def normalised(text: str) -> str:
    """Without what changes from run to run; runs of blanks count as one, since columns follow what stands in them."""
    for pattern, word in CHANGING:
        text = re.sub(pattern, word, text)
    lines = [re.sub(r" {2,}|─{2,}|-{2,}", " ", line).rstrip() for line in text.strip("\n").splitlines()]
    settled: list[str] = []
    for progress, group in itertools.groupby(lines, lambda line: PROGRESS.match(line) is not None):
        # Which of two steps side by side is first, and whether one began too early, is a matter of luck.
        part = list(group)
        settled += sorted(line for line in part if "running again" not in line) if progress else part
    return "\n".join(settled)


def matches(wanted: str, found: str) -> bool:
    """Equal; a line `...` in what is wanted stands for any lines."""
    parts = [re.escape(part) for part in re.split(r"(?m)^\.\.\.$", normalised(wanted))]
    return re.fullmatch(r"(?s:.*)".join(parts), normalised(found)) is not None


class Copy:
    """A copy of the repository as a user has it, and a shell in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("notebooks", "pyproject.toml", "README.md"):
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns(".*"))
            else:
                shutil.copy(source, folder / name)
        self.environ = {
            **{name: value for name, value in os.environ.items() if name != "NBVERTEX_HOME"},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "COLUMNS": "100",
        }

    def shell(self, command: str) -> str:
        """What a command prints, on both streams."""
        done = subprocess.run(
            ["bash", "-c", command], cwd=self.folder, env=self.environ, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        ours = done.stdout.replace(str(self.folder), "~/nbvertex")
        return ours.replace(str(Path(sys.executable).parent), "~/nbvertex/.venv/bin")


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    """A fresh copy."""
    (tmp_path / "nbvertex").mkdir()
    return Copy(tmp_path / "nbvertex")


def test_the_tour_prints_what_it_says(copy: Copy, request: pytest.FixtureRequest) -> None:
    """All console blocks, one after another, in one copy."""
    text = README.read_text(encoding="utf-8")
    found = [(example, copy.shell(example.command)) for example in examples(text)]
    assert found
    if request.config.getoption("--update-golden"):
        for example, output in reversed(found):
            if not matches(example.output, output):
                text = (
                    text[: example.start]
                    + output.rstrip("\n")
                    + "\n" * bool(output.strip())
                    + text[example.end :]
                )
        README.write_text(text, encoding="utf-8")
        return
    for example, output in found:
        if not matches(example.output, output):
            assert normalised(output) == normalised(example.output), f"$ {example.command}"


def test_the_first_command_runs_the_main_job(copy: Copy) -> None:
    """After its installation, which the tests cannot do without a network: the reference notebook, and where the result lies."""
    first, _ = set_ups(README.read_text(encoding="utf-8"))
    set_up, run = first.rsplit(" && ", 1)
    assert "requirements/test.txt" in set_up
    assert run.startswith(".venv/bin/nbvertex run notebooks/")
    output = copy.shell(run.removeprefix(".venv/bin/"))
    (path,) = re.findall(r"\S+\.ipynb$", output.strip())
    assert (copy.folder / path.replace("~/nbvertex/", "")).exists()


def test_the_second_command_is_what_ci_runs() -> None:
    """The same pins and the same pytest."""
    first, second = set_ups(README.read_text(encoding="utf-8"))
    assert second.rsplit(" && ", 1)[0] == first.rsplit(" && ", 1)[0]
    assert second.rsplit(" && ", 1)[1] == ".venv/bin/python -m pytest"
    assert "python -m pytest" in (ROOT / ".ci/run").read_text(encoding="utf-8")
