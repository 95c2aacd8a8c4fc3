"""Lone surrogates: in the names of files that are not UTF-8, and in what cells make."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from making import cell, write

from nbvertex import cli, half_characters
from nbvertex.database import Database

ANY = st.text(st.characters(exclude_categories=())).filter(
    lambda text: not any(c >= "\U00100000" for c in text)
)
NAME = os.fsdecode(b"caf\xe9")


@given(ANY)
def test_a_text_comes_back_as_it_was(text: str) -> None:
    """Kept as UTF-8, however broken."""
    kept = half_characters.whole(text)
    assert half_characters.read(kept.encode()) == half_characters.halved(kept) == text
    assert json.loads(half_characters.as_json([text])) == [text]
    half_characters.shown(text).encode()


def test_a_database_keeps_every_text(tmp_path: Path) -> None:
    """And finds it again."""
    database = Database(tmp_path / "x.db")
    with database.write() as tx:
        tx.execute("INSERT INTO notes (name, value) VALUES (?, ?)", (NAME, "\ud83d"))
        tx.many("INSERT INTO notes (name, value) VALUES (?, ?)", [("é\U0001f600", "b")])
    assert database.rows("SELECT value FROM notes WHERE name = ?", (NAME,)) == [("\ud83d",)]
    assert database.rows("SELECT name FROM notes ORDER BY value") == [("é\U0001f600",), (NAME,)]
    database.close()


def nbvertex(*words: str) -> None:
    """Call the program, which ends well."""
    with pytest.raises(SystemExit) as end:
        cli.main(words)
    assert not end.value.code


def test_files_whose_names_are_not_utf8(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A notebook, what it reads, and its values: run, taken from the cache, listed."""
    monkeypatch.chdir(tmp_path)
    try:
        (tmp_path / f"{NAME}.txt").write_text("read")
    except OSError:
        pytest.skip("the file system takes no such names")
    made = "import glob\n(name,) = glob.glob('*.txt')\nprint(open(name).read())\nhalf = '\\ud83d'"
    write(tmp_path / "nb.ipynb", [cell(made, "step:a"), cell("print(ascii(name + half))", "step:b")])
    (tmp_path / "nb.ipynb").rename(tmp_path / f"{NAME}.ipynb")
    for state in ("done", "cached"):
        nbvertex("run", f"{NAME}.ipynb", "out.ipynb", "--json")
        told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert {one["state"] for one in told if one["event"] == "step"} - {"running"} == {state}
        shown = [one["outputs"][0]["text"] for one in json.loads(Path("out.ipynb").read_text())["cells"]]
        assert shown == [["read\n"], ["'caf\\udce9.txt\\ud83d'\n"]]
    nbvertex("runs", "list", "--json")
    assert json.loads(capsys.readouterr().out)[0]["notebook"] == str(tmp_path / f"{NAME}.ipynb")
    nbvertex("runs", "show")
    assert "caf\\udce9.ipynb" in capsys.readouterr().out
