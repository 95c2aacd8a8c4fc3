"""Artifacts on a URL: whole, checked when they come back, and no reason to fail without a word."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pretend
import pytest
from pretend import chain

from nbvertex.artifacts import SMALL, Damaged, Store
from nbvertex.bucket import Bucket
from nbvertex.database import Database
from nbvertex.errors import StoreError
from nbvertex.home import Home
from nbvertex.runner import run


@pytest.fixture(params=["memory", "file"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"memory://{tmp_path}" if request.param == "memory" else f"file://{tmp_path}/far"


@pytest.fixture
def store(tmp_path: Path, url: str) -> Iterator[Store]:
    home = Home(tmp_path / "home")
    home.prepare()
    database = Database(home.database)
    yield Store(database, home.artifacts, Bucket(url))
    database.close()


DATA = os.urandom(SMALL + 1)


def test_large_ones_are_there_too(store: Store, url: str) -> None:
    """What is lost here comes back from there."""
    digest = store.put(DATA)
    store.place(digest).unlink()
    assert store.holds([(digest, len(DATA))])
    store.place(digest).unlink()
    assert store.get(digest) == DATA
    assert Bucket(url).has(digest)


def test_damage_there_is_noticed(store: Store, url: str, tmp_path: Path) -> None:
    """What comes back is checked before it counts."""
    digest = store.put(DATA)
    store.place(digest).unlink()
    (tmp_path / "bad").write_bytes(DATA[:-1] + b"\0")
    Bucket(url).remove(digest)
    assert not Bucket(url).has(digest)
    Bucket(url).put(digest, tmp_path / "bad")
    with pytest.raises(Damaged, match="missing"):
        store.get(digest)
    assert list(store.files()) == []


def test_removed_here_and_there(store: Store, url: str) -> None:
    """What nobody needs goes in both places; removing it twice is no error."""
    digest = store.put(DATA)
    store.remove([digest])
    store.remove([digest])
    assert not Bucket(url).has(digest)


def test_unknown_kind_of_url(tmp_path: Path) -> None:
    """An address that nobody knows is named."""
    with pytest.raises(StoreError, match="nope://x"):
        Bucket("nope://x/y")


def test_place_that_cannot_be_written(tmp_path: Path) -> None:
    """A place that refuses is named, with the bytes needed."""
    (tmp_path / "far").write_text("a file")
    (tmp_path / "data").write_bytes(DATA)
    with pytest.raises(StoreError, match=r"far .65,537 bytes needed"):
        Bucket(f"file://{tmp_path}/far").put("ab", tmp_path / "data")


def test_run_with_a_bucket(tmp_path: Path, url: str) -> None:
    """A run's large values are kept there, and found there when they are gone here."""
    made = chain(("a", "x = ['y' * 100000]"), ("b", "print(len(x[0]))"))
    other = chain(("a", "x = ['y' * 100000]"), ("b", "print(len(x))"))
    home = Home(tmp_path / "home")
    run(made, home=home, pool_factory=pretend.Pool(), jobs=1, bucket=url)
    for path in home.artifacts.rglob("*"):
        if path.is_file():
            path.unlink()
    pool = pretend.Pool()
    result = run(other, home=home, pool_factory=pool, jobs=1, bucket=url)
    assert (result.steps["a"].state, pool.started) == ("cached", ["b"])
