"""`nbvertex emulator start|env|exec`: started, shared, stopped, killed and started again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("google.cloud.aiplatform_v1", exc_type=ImportError)
NBVERTEX = [sys.executable, "-m", "nbvertex"]
CREATE = """
import sys
from google.cloud import aiplatform_v1 as v1, storage
v = v1.EndpointServiceClient(client_options={"api_endpoint": "us-central1-aiplatform.googleapis.com"})
parent = "projects/own-project/locations/us-central1"
if sys.argv[1] == "make":
    v.create_endpoint(parent=parent, endpoint={"display_name": "kept"}).result()
    storage.Client().bucket("own-bucket").blob("x").upload_from_string("kept")
print([e.display_name for e in v.list_endpoints(parent=parent)])
print(storage.Client().bucket("own-bucket").blob("x").download_as_text())
"""


def run(*words: str, cwd: Path, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*NBVERTEX, "emulator", *words], cwd=cwd, capture_output=True, text=True, check=False, **more
    )


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Any]:
    """`started()` runs `nbvertex emulator start` here and gives the process; none is left."""
    made: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        words = ["emulator", "start", "--project", "own-project", "--bucket", "own-bucket"]
        process = subprocess.Popen(
            [*NBVERTEX, *words], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        made.append(process)
        assert "nbvertex emulator at http://127.0.0.1:" in process.stdout.readline()
        return process

    yield start
    for process in made:
        process.kill()
        process.wait()


def environment(tmp_path: Path) -> dict[str, str]:
    done = run("env", "--project", "own-project", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return {**os.environ, **json.loads(done.stdout)}


def test_a_kill_loses_nothing(tmp_path: Path, started: Any) -> None:
    """After kill -9 and a new start all is there, at the same address."""
    first = started()
    environ = environment(tmp_path)
    wanted = "['kept']\nkept\n"
    done = subprocess.run(
        [sys.executable, "-c", CREATE, "make"], env=environ, capture_output=True, text=True, check=True
    )
    assert done.stdout == wanted
    first.send_signal(signal.SIGKILL)
    first.wait()
    started()
    done = subprocess.run(
        [sys.executable, "-c", CREATE, "look"], env=environ, capture_output=True, text=True, check=True
    )
    assert done.stdout == wanted


def test_a_folder_has_one_emulator(tmp_path: Path, started: Any) -> None:
    """A second one is refused, a program takes the one that is there, and `env` tells a shell of it."""
    assert run("env", cwd=tmp_path).returncode == 2
    process = started()
    again = run("start", cwd=tmp_path)
    assert (again.returncode, "an emulator is running" in again.stderr) == (2, True)
    told = run("env", "--project", "own-project", cwd=tmp_path).stdout
    url = next(line for line in told.splitlines() if "NBVERTEX_EMULATOR_URL" in line).partition("=")[2]
    inside = run(
        "exec",
        "--",
        sys.executable,
        "-c",
        "import os; print(os.environ['NBVERTEX_EMULATOR_URL'])",
        cwd=tmp_path,
    )
    assert inside.stdout.strip() == url
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert run("env", cwd=tmp_path).returncode == 2


def test_a_program_runs_with_its_own(tmp_path: Path) -> None:
    """Its words, its output and its exit code are its own; nothing is left running, state stays in the home."""
    code = "import os, sys; print(os.environ['GOOGLE_CLOUD_PROJECT'], sys.argv[1:]); sys.exit(7)"
    done = run(
        "exec",
        "--project",
        "p-123456",
        "--bucket",
        "b-123456",
        "--",
        sys.executable,
        "-c",
        code,
        "--project",
        "x",
        cwd=tmp_path,
    )
    assert (done.returncode, done.stdout, done.stderr) == (7, "p-123456 ['--project', 'x']\n", "")
    home = tmp_path / ".nbvertex/emulator"
    assert (home / "buckets/b-123456").is_dir()
    assert not (home / "running.json").exists()
    assert (tmp_path / ".nbvertex/.gitignore").read_text() == "*\n"
    assert all(oct(key.stat().st_mode & 0o077) == "0o0" for key in (home / "keys").iterdir())


def test_programs_share_one(tmp_path: Path) -> None:
    """However they come and go: each finds it, none loses it, and the last one ends it."""
    code = """
import http.client, os, sys, time, urllib.parse
place = urllib.parse.urlsplit(os.environ["NBVERTEX_EMULATOR_URL"]).netloc
until = time.monotonic() + float(sys.argv[1])
while True:
    connection = http.client.HTTPConnection(place)
    connection.request("GET", "/clock")
    assert connection.getresponse().status == 200
    if time.monotonic() > until:
        break
    time.sleep(0.05)
"""
    words = [*NBVERTEX, "emulator", "exec", "--", sys.executable, "-c", code]
    made = [
        subprocess.Popen([*words, seconds], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        for seconds in ("0", "0.3", "0.6", "1.5", "0", "1")
    ]
    assert [(process.communicate()[1], process.returncode) for process in made] == [("", 0)] * 6
    gone(tmp_path)


def gone(tmp_path: Path) -> None:
    """Wait until no emulator runs here."""
    until = time.monotonic() + 20
    while (tmp_path / ".nbvertex/emulator/running.json").exists():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_what_cannot_run_is_said(tmp_path: Path) -> None:
    """A program that is not there, an interpreter that is not there."""
    done = run("exec", "--", "no-such-program", cwd=tmp_path)
    assert (done.returncode, "no-such-program" in done.stderr) == (2, True)
    done = run("exec", "--any-image", "no-such-python", "--", "true", cwd=tmp_path)
    assert (done.returncode, "no-such-python" in done.stderr) == (2, True)


def test_a_program_that_dies_takes_its_emulator_along(tmp_path: Path) -> None:
    """Also when `exec` itself is killed: the emulator sees that nobody holds it."""
    code = "import os, time; print(os.environ['NBVERTEX_EMULATOR_URL'], flush=True); time.sleep(600)"
    words = [*NBVERTEX, "emulator", "exec", "--", sys.executable, "-c", code]
    process = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, text=True, start_new_session=True)
    process.stdout.readline()
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    gone(tmp_path)


def test_a_warm_start_is_quick_and_small(tmp_path: Path) -> None:
    """It never loads the client: little memory, and no module of it."""
    code = """
import os, urllib.request, json, pathlib
pid = json.loads(pathlib.Path(".nbvertex/emulator/running.json").read_text())["pid"]
maps = pathlib.Path(f"/proc/{pid}/status").read_text()
print(next(line.split()[1] for line in maps.splitlines() if line.startswith("VmRSS")))
"""
    run("exec", "--", "true", cwd=tmp_path)
    done = run("exec", "--", sys.executable, "-c", code, cwd=tmp_path)
    assert int(done.stdout) < 120 * 1024


def test_the_help_starts_light() -> None:
    """`nbvertex emulator --help` loads nothing of the emulator."""
    code = "import sys, nbvertex.verbs; print([m for m in sys.modules if m.startswith(('nbvertex.emulator', 'grpc', 'google.protobuf'))])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
