"""Sessions for those who work on nbvertex: `nox -l` lists them, `nox` runs what CI runs."""

from __future__ import annotations

import nox

nox.needs_version = ">=2024.10.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["lint", "types", "imports", "tests"]

LOCKS = {
    "requirements/base.txt": [],
    "requirements/test.txt": ["--extra", "test", "--group", "build"],
    "requirements/dev.txt": ["--extra", "test", "--group", "dev"],
    "requirements/libraries.txt": "--extra test --group libraries --no-universal --python-platform linux".split(),
    "requirements/vertex.txt": [
        "--extra",
        "kfp",
        "--extra",
        "test",
        "--extra",
        "vertex",
        "--group",
        "clients",
    ],
    "binder/requirements.txt": ["--extra", "lab", "--extra", "notebooks"],
}
"""What each pinned file holds: the base always, and these."""


def prepare(session: nox.Session, lock: str) -> None:
    """Install the pinned packages and, on top, this working tree as it is."""
    session.install("--require-hashes", "-r", f"requirements/{lock}.txt")
    session.install("--no-deps", "-e", ".")


@nox.session
def lint(session: nox.Session) -> None:
    """Style and format; `nox -s lint -- --fix` mends what can be mended."""
    session.install("--require-hashes", "-r", "requirements/dev.txt")
    if "--fix" in session.posargs:
        session.run("ruff", "check", "--fix", ".")
        session.run("ruff", "format", ".")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """The strict types of the package."""
    prepare(session, "dev")
    session.run("mypy")


@nox.session
def imports(session: nox.Session) -> None:
    """The import law of docs/architecture.md."""
    prepare(session, "dev")
    session.run("lint-imports")


@nox.session(python=["3.11", "3.12", "3.13"])
def tests(session: nox.Session) -> None:
    """The tests, on every Python that is there; words after `--` go to pytest."""
    prepare(session, "test")
    session.run("pytest", *session.posargs)


@nox.session
def law(session: nox.Session) -> None:
    """Ten thousand drawn programs as steps and as Run All; `-- 2500 --hypothesis-seed=N` is a part of them."""
    prepare(session, "test")
    words = list(session.posargs)
    count = words.pop(0) if words and words[0].isdigit() else "10000"
    session.run("pytest", "tests/law/test_programs.py", *words, env={"NBVERTEX_LAW_PROGRAMS": count})


@nox.session(python="3.11")
def libraries(session: nox.Session) -> None:
    """Objects of all the libraries of tests/cases/library_classes.toml, handed from step to step; prints the counts."""
    prepare(session, "libraries")
    # uv knows where torch is without CUDA; where that is out of reach, its cases are left out
    session.install("uv")
    session.run("uv", "pip", "install", "--torch-backend", "cpu", "torch", success_codes=(0, 1, 2))
    session.run("python", "tests/law/library_classes.py", env={"PYTHONPATH": "tests"})


@nox.session
def vertex(session: nox.Session) -> None:
    """The emulator, driven by Google's own clients, and what is written for KFP, by its own."""
    prepare(session, "vertex")
    session.run("pytest", "tests/emulator", "tests/targets", *session.posargs)


@nox.session
def vertex_oldest(session: nox.Session) -> None:
    """The emulator and what is submitted to it, with the oldest client that is served."""
    clients = nox.project.load_toml("pyproject.toml")["dependency-groups"]["clients"]
    session.install("-e", ".[kfp,test,vertex]", "google-cloud-aiplatform==1.133.0", *clients)
    session.run("pytest", "tests/emulator", *session.posargs)


@nox.session
def wheel(session: nox.Session) -> None:
    """The tests against the built wheel, not the working tree."""
    session.install("--require-hashes", "-r", "requirements/dev.txt")
    out = session.create_tmp()
    session.run("python", "-m", "build", "--no-isolation", "--outdir", out)
    session.install("--no-deps", "--no-index", "--find-links", out, "--force-reinstall", "nbvertex")
    session.run("pytest", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """The figures of the README, against papermill in the same run."""
    prepare(session, "test")
    session.run("python", "benchmarks/all.py", *session.posargs)


@nox.session
def full(session: nox.Session) -> None:
    """Everything that a release needs."""
    parts = [
        "lint",
        "types",
        "imports",
        "tests",
        "law",
        "libraries",
        "vertex",
        "vertex_oldest",
        "wheel",
        "bench",
    ]
    for name in parts:
        session.notify(name)


@nox.session
def lock(session: nox.Session) -> None:
    """Write the pinned files anew: newest versions, hashes, no address of an index and no path of a machine."""
    session.install("uv")
    for name, chosen in LOCKS.items():
        session.run(
            "uv", "pip", "compile", "--quiet", "--upgrade", "--universal", "--python-version", "3.11",
            "--generate-hashes", "--no-emit-index-url", "--no-emit-find-links",
            "--custom-compile-command", "nox -s lock",
            *chosen, "pyproject.toml", "--output-file", name,
        )  # fmt: skip
