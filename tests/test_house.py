"""The house itself: closed home and network, one door for each third party, light doors, and what is installed."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import closing
import pytest
from places import ROOT

PACKAGE = ROOT / "nbvertex"
MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))

ANYWHERE = None
OURS = {*sys.stdlib_module_names, "nbvertex", *(path.stem for path in (PACKAGE / "runtime").glob("*.py"))}
COMMANDS = {
    "cli",
    "commandline",
    "console",
    "magics",
    "verbs",
    "verbs_convert",
    "verbs_emulator",
    "verbs_remote",
    "verbs_run",
    "verbs_submit",
    "verbs_verify",
}
DOORS = {
    "IPython": {"ipython_syntax", "magics"},
    "anywidget": {"live"},
    "click": COMMANDS,
    "cronsim": {"schedules"},
    "cryptography": {"emulator"},
    "fsspec": {"bucket"},
    "google": {"vertex", "emulator"},
    "google_crc32c": {"emulator"},
    "grpc": {"emulator"},
    "jinja2": {"templating"},
    "jupyter_client": {"straight"},
    "jupyter_core": {"doctor"},
    "jupytext": {"notebook"},
    "markupsafe": {"templating"},
    "msgspec": ANYWHERE,  # the model's own language
    "nbclient": {"straight"},
    "nbformat": {"notebook", "papermill_engine"},
    "packaging": {"emulator"},  # of the environment that an image is mapped to, where it has it
    "papermill": {"papermill_engine", "straight"},
    "pytest": {"pytest_plugin"},
    "requests": {"vertex"},
    "rich": {"live"},
    "sqlite3": {"database", "doctor", "emulator"},
    "yaml": {"config", "drafts", "kfp_spec", "parameters"},
}
"""Each package that is not nbvertex's own, and the modules that may import it."""

IN_A_STEP = {"IPython", "matplotlib_inline", "traitlets"}
THE_USERS = {"PIL", "comm", "keras", "matplotlib", "numpy", "pandas", "spacy", "tensorflow", "torch"}
"""What a step's process has, and what it may ask for where the user's code has loaded it."""

HEAVY = [
    "IPython", "fsspec", "jinja2", "jsonschema", "jupytext", "matplotlib", "nbformat", "numpy", "pandas", "pyarrow", "rich",
    "sqlite3", "yaml",
]  # fmt: skip


def imported(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """The top names of all absolute imports, with their lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.partition(".")[0], node.lineno
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0], node.lineno


def parsed(module: str) -> ast.Module:
    """A module's syntax tree."""
    return ast.parse((PACKAGE / module).read_text(encoding="utf-8"))


def test_third_parties_stand_behind_their_doors() -> None:
    """A package is imported by the modules that DOORS names, by no other."""
    wrong = []
    for module in MODULES:
        room = module.removesuffix(".py").partition("/")[0]
        for name, line in imported(parsed(module)) if room != "runtime" else ():
            allowed = DOORS.get(name, ANYWHERE if name in OURS else set())
            if allowed is not ANYWHERE and room not in allowed:
                wrong.append(f"nbvertex/{module}:{line} imports {name}")
    assert wrong == []


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith("runtime/")])
def test_the_runtime_travels_alone(module: str) -> None:
    """It starts on the standard library and IPython, in any environment, and imports nothing of nbvertex at all."""
    tree = parsed(module)
    at_start = {
        name
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name, _ in imported(node)
    }
    assert {name for name, _ in imported(tree)} <= (OURS - {"nbvertex"}) | IN_A_STEP | THE_USERS
    assert at_start <= OURS | IN_A_STEP


def test_a_module_says_what_it_is_for() -> None:
    """It opens with one line."""
    first = {module: (ast.get_docstring(parsed(module)) or "").partition("\n")[0] for module in MODULES}
    assert [module for module, line in first.items() if not line.endswith((".", ":", ";"))] == []


def test_a_module_is_read_in_one_sitting() -> None:
    """It has at most five hundred lines."""
    lines = {module: (PACKAGE / module).read_text(encoding="utf-8").count("\n") for module in MODULES}
    assert {module: count for module, count in lines.items() if count > 500} == {}


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Its lines, without those of its docstring."""
    said = function.body[0] if ast.get_docstring(function) else None
    lines = (function.end_lineno or 0) - function.lineno + 1
    return lines - ((said.end_lineno or 0) - said.lineno + 1 if said else 0)


def test_a_function_fits_a_screen() -> None:
    """No function is longer than seventy lines."""
    long = []
    for module in MODULES:
        functions = [
            f for f in ast.walk(parsed(module)) if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef)
        ]
        long += [f"{module}: {f.name} has {length(f)}" for f in functions if length(f) > 70]
    assert long == []


def test_the_command_line_starts_light() -> None:
    """Importing it loads nothing that only some verbs need."""
    code = f"import sys, nbvertex.cli; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


CLOSE_HOME = """
import sys
from pathlib import Path
import closing
home = Path(sys.argv[1])
closing.close(home, home / "project")
(home / "project" / "written").write_text("")
(home / "written").write_text("")
"""


def test_the_real_home_is_closed(tmp_path: Path) -> None:
    """The home folder that programs see is a temporary one; to write to the real one is an error."""
    assert Path.home().name.startswith("nbvertex-home-")
    (tmp_path / "project").mkdir()
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
    command = [sys.executable, "-c", CLOSE_HOME, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ)
    assert f"a test writes to the home folder: {tmp_path / 'written'}" in done.stderr
    assert (tmp_path / "project/written").exists()
    assert not (tmp_path / "written").exists()


def test_the_network_is_closed() -> None:
    """An address elsewhere is refused before a packet leaves, this machine's own is not."""
    with socket.socket() as sock, pytest.raises(closing.Closed):
        sock.connect(("192.0.2.1", 80))
    with pytest.raises(closing.Closed):
        socket.getaddrinfo("example.org", 80)
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        pass


def test_pinned_files_hold_hashes_and_no_address() -> None:
    """Each requirement is pinned with hashes; no index, no file of some machine."""
    for path in [*sorted((ROOT / "requirements").glob("*.txt")), ROOT / "binder/requirements.txt"]:
        text = path.read_text(encoding="utf-8")
        assert not re.search(
            r"https?:|file:|--(extra-)?index-url|--find-links|(^|[\s=])/", text, re.MULTILINE
        ), path
        entries = re.split(r"\n(?=\S)", re.sub(r"(?m)^\s*#.*\n", "", text))
        assert all("==" in entry and "--hash=sha256:" in entry for entry in entries), path


def test_pinned_files_fit_the_floors() -> None:
    """Every direct dependency is pinned in base.txt, and each extra or group in its file."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = {
        "base": project["project"]["dependencies"],
        "test": project["project"]["optional-dependencies"]["test"],
        "dev": [d for d in project["dependency-groups"]["dev"] if isinstance(d, str)],
    }
    for name, requirements in wanted.items():
        pinned = (ROOT / f"requirements/{name}.txt").read_text(encoding="utf-8")
        for requirement in requirements:
            package = re.match(r"[\w.-]+", requirement)[0]
            assert package == "nbvertex" or re.search(rf"(?m)^{package}==", pinned), (name, package)


TEMPLATE = "README.md"
PROBE = f"""
import json, sys
from nbvertex import __file__, templating
print(json.dumps([__file__, str(templating.templates_root()), (templating.templates_root() / {TEMPLATE!r}).read_text()]))
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the project is built from."""
    pytest.importorskip("hatchling", reason="the group `build` is not installed")
    copy = tmp_path_factory.mktemp("tree") / "nbvertex"
    ours = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"][
        "targets"
    ]["sdist"]["include"]
    for name in ["pyproject.toml", *(entry.strip("/") for entry in ours)]:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", ".nbvertex", "*.pyc")
            )
        else:
            copy.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    return copy


@pytest.fixture(scope="module")
def built(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist, and the wheel that is built from it."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(tree)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return out


def installed(distribution: Path, site: Path) -> tuple[Path, Path, str]:
    """Install into an empty folder, and ask a Python that sees nothing else where it finds the package and a template."""
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--no-build-isolation",
    ]
    subprocess.run(
        [*pip, "--target", str(site), str(distribution)], check=True, capture_output=True, text=True
    )
    code = f"import site; site.addsitedir({str(site)!r})\n{PROBE}"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], check=True, capture_output=True, text=True, cwd=site
    )
    package, root, text = json.loads(done.stdout)
    return Path(package), Path(root), text


def test_templates_are_found_from_the_wheel(built: Path, tmp_path: Path) -> None:
    """They lie inside the package."""
    (wheel,) = built.glob("*.whl")
    package, root, text = installed(wheel, tmp_path / "site")
    assert root == package.parent / "templates" == tmp_path / "site/nbvertex/templates"
    assert text == (ROOT / "templates" / TEMPLATE).read_text(encoding="utf-8")


def test_templates_are_found_from_the_sdist(built: Path, tmp_path: Path) -> None:
    """pip builds a wheel from the sdist alone, and the templates are still inside."""
    (sdist,) = built.glob("*.tar.gz")
    _, root, text = installed(sdist, tmp_path / "site")
    assert root == tmp_path / "site/nbvertex/templates"
    assert text == (ROOT / "templates" / TEMPLATE).read_text(encoding="utf-8")


def test_templates_are_found_from_an_editable_install(tree: Path, tmp_path: Path) -> None:
    """The repository's own files are used, as they are now: not the copies that the install made."""
    code = f"from hatchling.build import build_editable; print(build_editable({str(tmp_path)!r}))"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tree, capture_output=True, text=True)
    (wheel,) = tmp_path.glob("*.whl")
    template = tree / "templates" / TEMPLATE
    before = template.read_text(encoding="utf-8")
    template.write_text("changed since", encoding="utf-8")
    try:
        package, root, text = installed(wheel, tmp_path / "site")
    finally:
        template.write_text(before, encoding="utf-8")
    assert package.parent == tree / "nbvertex"
    assert root == tree / "templates"
    assert text == "changed since"


def test_the_wheel_holds_the_package_and_nothing_else(built: Path) -> None:
    """Every module, the mark of its types, the templates and the licence; no tests, no notebooks."""
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {f"nbvertex/{module}" for module in MODULES} <= names
    assert "nbvertex/py.typed" in names
    assert {name.partition("/")[0] for name in names} == {"nbvertex", "nbvertex-0.1.0.dist-info"}
    assert "nbvertex-0.1.0.dist-info/licenses/LICENSE" in names


def test_the_sdist_can_run_its_tests(built: Path) -> None:
    """It holds tests, notebooks and templates."""
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        "tests/conftest.py",
        "notebooks/quickstart.ipynb",
        f"templates/{TEMPLATE}",
        "README.md",
        "LICENSE",
    } <= names
