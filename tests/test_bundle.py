"""What travels with a notebook: the runtime, what lies beside it, what must be installed."""

from __future__ import annotations

import io
import os
import sys
import tarfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import locksmith
import making
import pytest

from nbvertex import bundle, convert, notebook
from nbvertex.bundle import Bundle
from nbvertex.environment import Packages, interpreter
from nbvertex.errors import ProblemsFound
from nbvertex.requirements import Installed

Make = Callable[..., Bundle]
NEEDS = "# a comment\nsurely-not-installed==3  # why\n-i x\n"
NO_FILES: Mapping[str, str] = MappingProxyType({})


class Notes(dict[str, str]):
    """What was found out, in memory."""

    def read(self, name: str) -> str | None:
        return self.get(name)

    def write(self, name: str, value: str) -> None:
        self[name] = value


@pytest.fixture(scope="module")
def installed() -> Installed:
    """The packages of this Python."""
    notes = Notes()
    return Installed(Packages(interpreter(sys.executable, notes), notes))


@pytest.fixture
def make(tmp_path: Path, installed: Installed) -> Make:
    """Bundles cells, with files beside the notebook."""

    def made(*cells: object, folder: str = "here", files: Mapping[str, str] = NO_FILES) -> Bundle:
        place = tmp_path / folder
        for name, text in files.items():
            path = place / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        path = making.write(place / "nb.ipynb", cells)  # type: ignore[arg-type]
        pipeline, problems = convert.check(notebook.read(path))
        assert pipeline is not None, problems
        return bundle.make(pipeline, place, installed, "3.12.4")

    return made


def names(made: Bundle) -> set[str]:
    """The files that came along, without the runtime's."""
    with tarfile.open(fileobj=io.BytesIO(made.kit)) as tar:
        return {name for name in tar.getnames() if not name.startswith("runtime/")}


def test_modules_beside_the_notebook_come_along(make: Make) -> None:
    """Those that it imports, what these import in turn, whole packages, scripts that it runs; nothing else."""
    made = make(
        making.cell("import a\nfrom pack.inner import f\n%run run_me.py", "step:x"),
        making.cell("def late():\n    from b import y\n    return y\nlate()", "step:y"),
        files={
            "a.py": "import c\nfrom pack import other",
            "b.py": "y = 1",
            "c.py": "import a",
            "unused.py": "import secret",
            "run_me.py": "import d",
            "d.py": "",
            "pack/__init__.py": "",
            "pack/inner.py": "from . import sibling\ndef f(): ...",
            "pack/sibling.py": "from .deep import z",
            "pack/deep/__init__.py": "z = 1",
            "pack/data.csv": "a,b",
        },
    )
    assert names(made) == {
        f"beside/{name}"
        for name in ("a.py", "b.py", "c.py", "d.py", "run_me.py", "pack/__init__.py", "pack/inner.py",
                     "pack/sibling.py", "pack/deep/__init__.py", "pack/data.csv")
    }  # fmt: skip


def test_declared_files_come_along(make: Make) -> None:
    """Files, folders and patterns, from the notebook's folder; what an earlier step writes need not be there yet."""
    made = make(
        making.cell("open('made.csv', 'w').write('')", "step:w", "out:made.csv"),
        making.cell("1", "step:x", "in:data.csv", "in:more", "in:made.csv", "in:gs://bucket/far.csv"),
        files={"data.csv": "1", "more/one.csv": "1", "more/deep/two.csv": "2", "other.csv": "3"},
    )
    assert names(made) == {"beside/data.csv", "beside/more/one.csv", "beside/more/deep/two.csv"}


@pytest.mark.parametrize(
    "tag, code",
    [
        ("in:absent.csv", "missing-file"),
        ("in:/etc/passwd", "outside-file"),
        ("in:../above.csv", "outside-file"),
        ("in:link.csv", "outside-file"),
        ("in:key.csv", "key-file"),
    ],
)
def test_what_must_not_travel_is_refused_by_name(make: Make, tmp_path: Path, tag: str, code: str) -> None:
    """A file that is not there, lies elsewhere, leads elsewhere, or holds a key."""
    (tmp_path / "here").mkdir()
    (tmp_path / "above.csv").write_text("x")
    (tmp_path / "here" / "link.csv").symlink_to(tmp_path / "above.csv")
    (tmp_path / "here" / "key.csv").write_text(locksmith.pem())
    with pytest.raises(ProblemsFound) as found:
        make(making.cell("1", "step:x", tag))
    (problem,) = found.value.problems
    assert problem.code == code
    assert tag.removeprefix("in:") in problem.message
    assert problem.place.step == "x"


def test_a_key_in_a_cell_is_refused(make: Make) -> None:
    """It would be sent along in the open."""
    with pytest.raises(ProblemsFound) as found:
        make(making.cell(f"k = '''{locksmith.pem()}'''", "step:x"))
    assert found.value.problems[0].code == "key-in-cell"
    assert found.value.problems[0].place.cell == 1


def test_the_same_input_gives_the_same_bytes(make: Make) -> None:
    """Whenever and wherever it is made, and whatever the files' times and modes are."""
    cells = (making.cell("import a", "step:x"),)
    first = make(*cells, folder="one", files={"a.py": "x = 1"})
    path = make(*cells, folder="two", files={"a.py": "x = 1"}).pipeline.notebook
    assert path == "nb.ipynb"
    again = make(*cells, folder="two", files={"a.py": "x = 1"})
    assert first.kit == again.kit
    assert first.digest == again.digest
    assert make(*cells, folder="two", files={"a.py": "x = 2"}).digest != first.digest


def test_times_and_modes_do_not_count(make: Make, tmp_path: Path) -> None:
    """Two checkouts of one repository give one archive."""
    first = make(making.cell("import a", "step:x"), files={"a.py": "x = 1"})
    path = tmp_path / "here" / "a.py"
    os.utime(path, (time.time() + 100, 5))
    path.chmod(0o700)
    assert make(making.cell("import a", "step:x")).kit == first.kit


def test_requirements_are_pinned_to_what_is_installed(make: Make, installed: Installed) -> None:
    """The distributions behind the imports, by their metadata, with all that they need; IPython always."""
    made = make(
        making.cell("import pandas as pd", "setup"),
        making.cell("import sklearn.svm, yaml, os, no_such_module, local", "step:late"),
        making.cell("1", "step:first_of_all"),
        files={"local.py": "import jinja2"},
    )
    known = installed.named
    pandas, sklearn, yaml, jinja = (known(name) for name in ("pandas", "scikit-learn", "pyyaml", "jinja2"))
    assert pandas
    assert sklearn
    assert yaml
    assert jinja
    lines = made.requirements
    assert f"pandas=={pandas.version}" in lines["setup"]
    assert any(line.startswith("numpy==") for line in lines["setup"])
    assert any(line.startswith("ipython==") for line in lines["setup"])
    assert not any(line.startswith(("scikit-learn", "pyyaml")) for line in lines["setup"])
    late = {f"scikit-learn=={sklearn.version}", f"pyyaml=={yaml.version}", f"jinja2=={jinja.version}"}
    assert late | {f"pandas=={pandas.version}"} <= set(lines["late"])
    every = {line.partition("==")[0] for lines in made.requirements.values() for line in lines}
    assert every.isdisjoint({"no-such-module", "sklearn", "local", "yaml", "os", "nbvertex"})


@pytest.mark.parametrize(
    "line, found",
    [
        ("%pip install pyyaml", "pyyaml=={pyyaml}"),
        ("!pip install -q 'PyYAML>=5'", "pyyaml=={pyyaml}"),
        ("%pip install pyyaml==1.0", "pyyaml==1.0"),
        ("%pip install surely-not-installed~=2.0", "surely-not-installed~=2.0"),
        ("%pip install -r needs.txt", "surely-not-installed==3"),
        ("%pip install 'pyyaml @ https://example.org/x.whl'", "pyyaml @ https://example.org/x.whl"),
    ],
)
def test_lines_of_pip_are_requirements(make: Make, installed: Installed, line: str, found: str) -> None:
    """In the user's words, pinned to what is installed where that is what they allow."""
    yaml = installed.named("pyyaml")
    assert yaml
    made = make(making.cell(line, "step:x"), files={"needs.txt": NEEDS})
    assert found.format(pyyaml=yaml.version) in made.requirements["x"]


def test_a_notebook_that_loads_nbvertex_does_without(make: Make) -> None:
    """A stand-in takes the line, so that nothing of nbvertex has to be installed."""
    made = make(making.cell("%load_ext nbvertex", "setup"), making.cell("1", "step:x"))
    assert names(made) == {"site/nbvertex/__init__.py"}
    assert not any(line.startswith("msgspec") for line in made.requirements["setup"])


def test_files_that_nobody_declares_are_named(make: Make) -> None:
    """A file beside the notebook that a cell reads does not come along by itself; one that a step writes is none."""
    made = make(
        making.cell("open('made.csv', 'w').write('x')", "step:w"),
        making.cell("a = open('data.csv').read() + open('made.csv').read()", "step:x"),
        making.cell("open('declared.csv').read()", "step:y", "in:declared.csv"),
        making.cell("open('declared.csv').read()", "step:z"),
        files={"data.csv": "1", "made.csv": "2", "declared.csv": "3"},
    )
    found = [(one.code, one.place.cell, one.severity) for one in made.warnings]
    assert found == [("undeclared-file", 2, "warning")]
    assert "`data.csv`" in made.warnings[0].message
