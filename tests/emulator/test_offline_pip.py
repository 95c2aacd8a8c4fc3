"""What `pip` is within a job."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from nbvertex.emulator.inside import offline_pip

PIP = [sys.executable, offline_pip.__file__]


@pytest.fixture
def archives(tmp_path: Path) -> Path:
    """A folder with a source distribution, a wheel, and one that needs what is not there."""
    files = {
        "plain-1.0/setup.py": "raise SystemExit('setup.py is not run')",
        "plain-1.0/plain/__init__.py": "WORD = 'plain'",
        "plain-1.0/plain.egg-info/requires.txt": "pytest>=1\n\n[extra]\nnot-there\n",
    }
    needy = {"needy-1.0/needy.py": "", "needy-1.0/needy.egg-info/requires.txt": "not-there>=2\n"}
    for name, held in (("plain-1.0", files), ("needy-1.0", needy)):
        with tarfile.open(tmp_path / f"{name}.tar.gz", "w:gz") as archive:
            for path, text in held.items():
                entry = tarfile.TarInfo(path)
                entry.size = len(text)
                archive.addfile(entry, io.BytesIO(text.encode()))
    with zipfile.ZipFile(tmp_path / "wheeled-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("wheeled.py", "WORD = 'wheeled'")
        archive.writestr("wheeled-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nRequires-Dist: pytest\n")
    return tmp_path


def run(words: list[str], home: Path) -> tuple[int, str]:
    environ = {**os.environ, "HOME": str(home), "PIP_NO_INDEX": "1"}
    done = subprocess.run([*PIP, *words], capture_output=True, text=True, check=False, env=environ)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    "words, module",
    [
        (["install", "-q", "--user", "plain-1.0.tar.gz"], "plain"),
        (["install", "--upgrade", "pip", "pytest>=1", "wheeled-1.0-py3-none-any.whl"], "wheeled"),
        (["install", "-r", "wanted.txt"], "plain"),
    ],
)
def test_what_is_here_is_installed(archives: Path, words: list[str], module: str, tmp_path: Path) -> None:
    """Below the home, where each new interpreter finds it; the environment is as it was, and no setup.py was run."""
    (archives / "wanted.txt").write_text(f"# ours\n{archives}/plain-1.0.tar.gz\npytest >= 1 # here\n")
    words = [str(archives / word) if (archives / word).exists() else word for word in words]
    assert run(words, tmp_path) == (0, "")
    environ = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(Path(offline_pip.__file__).parent)}
    code = f"import {module}; print({module}.WORD)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environ
    )
    assert done.stdout == f"{module}\n"


@pytest.mark.parametrize("word", ["not-there", "pytest<1", "needy-1.0.tar.gz"])
def test_what_is_lacking_is_named(archives: Path, word: str, tmp_path: Path) -> None:
    """Nothing is downloaded, and nothing is installed in part."""
    words = [
        "install",
        str(archives / word) if (archives / word).exists() else word,
        f"{archives}/plain-1.0.tar.gz",
    ]
    code, said = run(words, tmp_path)
    assert (code, "lacks" in said) == (1, True)
    assert not (tmp_path / "packages").exists()


def test_a_condition_that_does_not_hold_asks_for_nothing(tmp_path: Path) -> None:
    """As in files of requirements for several systems."""
    pytest.importorskip("packaging")
    assert run(["install", "not-there; python_version < '3'"], tmp_path) == (0, "")


def test_more_is_left_to_the_environments_own(tmp_path: Path) -> None:
    """Or refused where it has none."""
    code, said = run(["--version"], tmp_path)
    assert code == 0 or "has no pip" in said


def test_a_local_script_runs_as_a_job(aiplatform: object, tmp_path: Path) -> None:
    """The client packs it, and its container installs it; what it requires must be there."""
    script = tmp_path / "train.py"
    script.write_text("import sys\nprint('trained', sys.argv[1:])\n")
    for required, state in ((["pytest"], "JOB_STATE_SUCCEEDED"), (["not-there"], "JOB_STATE_FAILED")):
        job = aiplatform.CustomJob.from_local_script(
            display_name="script",
            script_path=str(script),
            container_uri="any:1",
            args=["x"],
            requirements=required,
        )
        try:
            job.run()
        except RuntimeError as error:
            assert "Install it there" in str(error)
        assert job.state.name == state
