"""What the last run of a notebook tells of its files, as marks to add."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from making import cell, write

from nbvertex import cli
from nbvertex.footprint import gathered


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with files in it."""
    folder = tmp_path / "work"
    for name in ("raw.csv", "old.txt", "conf.yml", "helpers.py", *(f"img/{n}.png" for n in range(5))):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")
    (tmp_path / "beyond.txt").write_text("")
    monkeypatch.chdir(folder)
    return folder


def nbvertex(*words: str) -> int:
    """Call the program; gives its exit code."""
    try:
        cli.main(words)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@pytest.fixture
def learn(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """`check --learn` after a run of it: its exit code and what it printed."""

    def call(*words: str, run: bool = True) -> tuple[int, str]:
        if run:
            nbvertex("run", "nb.ipynb", "--no-progress-bar")
        capsys.readouterr()
        code = nbvertex("check", "nb.ipynb", "--learn", *words)
        found = capsys.readouterr()
        return code, found.out + found.err

    return call


def said(told: tuple[int, str]) -> list[str]:
    """The rows about files, each in single spaces."""
    assert told[0] == 0, told[1]
    return [" ".join(line.split()) for line in told[1].splitlines() if line.startswith("  ")]


CASES = {
    "read": ([cell("open('raw.csv').read()", "step:a")], ["a cell 1 add in:raw.csv"]),
    "written": ([cell("open('new.csv', 'w').close()", "step:a")], ["a cell 1 add out:new.csv"]),
    "has": ([cell("open('raw.csv').read()", "step:a", "in:raw.csv")], ["a cell 1 has in:raw.csv"]),
    "by-pattern": (
        [cell("open('raw.csv').read()", "step:a", "in:*.csv", "in:gs://b/x")],
        ["a cell 1 has in:*.csv", "has in:gs://b/x"],
    ),
    "not-needed": (
        [cell("x = 1", "step:a", "in:old.txt", "out:never.txt")],
        ["a cell 1 has in:old.txt, which was not read", "has out:never.txt, which was not written"],
    ),
    "flows": (
        [cell("open('new.csv', 'w').close()", "step:a"), cell("open('new.csv').read()", "step:b")],
        ["a cell 1 add out:new.csv", "b cell 2 reads new.csv, which step a writes"],
    ),
    "a-folder": (
        [cell("import glob\nx = [open(p, 'rb').read() for p in glob.glob('img/*')]", "step:a")],
        ["a cell 1 add in:img"],
    ),
    "beyond": (
        [cell("open('../beyond.txt').read()", "step:a")],
        ["a cell 1 outside {above}/beyond.txt: a run elsewhere does not find it there"],
    ),
    "comma": ([cell("open('a,b', 'w').close()", "step:a")], ["a cell 1 add out:a?b"]),
    "magic": (
        [cell("%%step a\nopen('raw.csv').read()\nopen('a b', 'w').close()")],
        ["a cell 1 add --in raw.csv", "add --out 'a b'"],
    ),
    "modules-packages-and-what-is-gone": (
        [
            cell(
                "import json, helpers, tempfile, os\nopen(os.devnull)\nopen('gone', 'w').close()\nos.remove('gone')\n"
                "with tempfile.NamedTemporaryFile() as file:\n    file.write(b'x')\n",
                "step:a",
            )
        ],
        [],
    ),
    "both": (
        [cell("with open('conf.yml', 'r+') as f:\n    f.write(f.read() + 'x')", "step:a")],
        ["a cell 1 add out:conf.yml", "both conf.yml: an input too, if it is there before the run"],
    ),
    "programs": (
        [cell("!true", "step:a")],
        ["a cell 1 ? it starts programs, and what those read and write is not seen"],
    ),
    "rounds": (
        [
            cell("names = ['raw.csv', 'old.txt']", "step:a"),
            cell("open(name).read()\nopen(name + '.out', 'w').close()", "step:b", "each:name in names"),
        ],
        ["b cell 2 add in:old.txt", "add in:raw.csv", "add out:old.txt.out", "add out:raw.csv.out"],
    ),
    "fails": (
        [cell("open('raw.csv').read()\n1 / 0", "step:a")],
        ["a cell 1 add in:raw.csv", "? it has not run to its end"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_marks_are_proposed(name: str, place: Path, learn: Callable[..., tuple[int, str]]) -> None:
    """For what a step was seen to touch and does not say; what it says is told too."""
    cells, expected = CASES[name]
    write(place / "nb.ipynb", cells)
    before = (place / "nb.ipynb").read_bytes()
    assert said(learn()) == [line.format(above=place.parent) for line in expected]
    assert (place / "nb.ipynb").read_bytes() == before


def test_what_is_proposed_is_enough(place: Path, learn: Callable[..., tuple[int, str]]) -> None:
    """With the marks that it proposes, nothing is left to propose; a cached run tells the same."""
    source = "open('raw.csv').read()\nopen('img/1.png', 'rb').read()\nopen('new.csv', 'w').close()"
    write(place / "nb.ipynb", [cell(source, "step:a")])
    (found,) = json.loads(learn("--json")[1])
    marks = found["files"]["steps"][0]["marks"]
    assert marks == ["in:img/1.png", "in:raw.csv", "out:new.csv"]
    write(place / "nb.ipynb", [cell(source, "step:a", *marks)])
    for _ in range(2):
        assert [row.split()[-2] for row in said(learn())] == ["has"] * 3


def test_a_notebook_that_has_not_been_run(place: Path, learn: Callable[..., tuple[int, str]]) -> None:
    """One line, with the command; and it is said where the code has changed since."""
    write(place / "nb.ipynb", [cell("x = 1", "step:a")])
    code, told = learn(run=False)
    assert (code, told.splitlines()) == (
        2, ["error: nb.ipynb has not been run here: `nbvertex run nb.ipynb` shows which files it needs"],
    )  # fmt: skip
    learn()
    write(place / "nb.ipynb", [cell("x = 2", "step:a"), cell("y = 1", "step:b")])
    assert said(learn(run=False)) == [
        "a cell 1 ? its code has changed since",
        "b cell 2 ? it has not run to its end",
    ]


@pytest.mark.parametrize(
    "there, meant, found",
    [
        ("d/1.x d/2.x d/3.x d/4.x", "*", ["d"]),
        ("d/1.x d/2.x d/3.x", "*", ["d/1.x", "d/2.x", "d/3.x"]),
        ("d/1.x d/2.x d/3.x d/4.x d/5.y", "d/1.x d/2.x d/3.x d/4.x", ["d/*.x"]),
        ("d/1.x d/2.x d/3.x d/4.x d/5.x", "d/1.x d/2.x d/3.x d/4.x", ["d/1.x", "d/2.x", "d/3.x", "d/4.x"]),
        ("d/a/1 d/a/2 d/b/1 d/b/2", "*", ["d"]),
        ("d/a/1 d/a/2 d/b/1 d/b/2 d/c", "d/a/1 d/a/2", ["d/a/1", "d/a/2"]),
        ("1.x 2.x 3.x 4.x", "*", ["*.x"]),
        ("1 2 3 4", "*", ["1", "2", "3", "4"]),
    ],
)
def test_many_files_become_few_words(there: str, meant: str, found: list[str], tmp_path: Path) -> None:
    """A folder or a pattern, only where it stands for these files and no other."""
    for name in there.split():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    wanted: Iterable[str] = there.split() if meant == "*" else meant.split()
    assert gathered(set(wanted), tmp_path) == found
