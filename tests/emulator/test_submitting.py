"""Notebooks submitted through Google's own client to the emulator: they show what they show here, once, or say where they failed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from places import ROOT

from nbvertex.actions import reading, remote, running, runs, submitting
from nbvertex.errors import Place, StepFailed
from nbvertex.events import RunEvent, StepChanged

NOTEBOOKS = ("quickstart", "subtract_numbers", "breast_cancer")
PROFILE = """
[profiles.dev]
project = "test-project"
region = "us-central1"
bucket = "gs://test-bucket/some/folder"
service-account = "runner@test-project.iam.gserviceaccount.com"
"""
FAILING = """\
# %% tags=["step:load"]
xs = [1, 2, 3]
# %% tags=["step:work"]
print("before")
total = sum(xs)
raise ValueError(f"total is {total}")
# %% tags=["step:after"]
print(total)
"""
SLOW = """\
# %% tags=["step:slow"]
import time
print("begun", flush=True)
time.sleep(60)
"""


@pytest.fixture
def folder(emulator: Any, tmp_path: Path) -> Path:
    """A project's folder with a profile that goes to the emulator."""
    (tmp_path / "nbvertex.toml").write_text(PROFILE, encoding="utf-8")
    return tmp_path


def prepared(path: Path, target: str = "vertex-pipeline", **given: Any) -> submitting.Prepared:
    """A notebook ready to be submitted."""
    pairs = tuple((name, str(value)) for name, value in given.items())
    wanted = submitting.Wanted(target, "dev", running.Given(typed=pairs))
    return submitting.prepare(reading.open_notebook(str(path)), wanted)


def shown(path: Path | None) -> list[Any]:
    """What each code cell of an output notebook shows, and its number."""
    assert path is not None
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [
        (cell["execution_count"], cell["outputs"], cell["metadata"]["nbvertex"].get("state"))
        for cell in cells
        if cell["cell_type"] == "code" and "varies" not in cell["metadata"].get("tags", [])
    ]


def jobs(aiplatform: Any, ident: str) -> list[Any]:
    """What a user sees of a submission through Google's client."""
    test = f'labels.nbv-submission="{ident}"'
    return [*aiplatform.PipelineJob.list(filter=test), *aiplatform.CustomJob.list(filter=test)]


WAYS = {  # what is added to the settings: steps that want different machines are a job each
    "pipeline": ("vertex-pipeline", ""),
    "one-job": ("vertex-job", ""),
    "a-job-a-step": ("vertex-job", "[steps.setup]\ncpu = 8\n"),
}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_reference_notebook_shows_the_same_there(
    name: str, way: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every cell of the output notebook is as after `nbvertex run`: as a pipeline, as one job, as a job for each step."""
    if name == "breast_cancer":
        pytest.importorskip("sklearn")
        pytest.importorskip("matplotlib")
    target, more = WAYS[way]
    path = folder / f"{name}.ipynb"
    shutil.copy(ROOT / "notebooks" / path.name, path)
    monkeypatch.chdir(folder)
    (folder / "nbvertex.toml").write_text(PROFILE + more, encoding="utf-8")
    here = running.run(reading.open_notebook(str(path)))
    assert here.result.error is None
    ready = prepared(path, target)
    there = submitting.submit(ready)
    assert there.error is None, there.error
    assert (len(ready.submission.jobs) > 1) == (way == "a-job-a-step")
    assert shown(there.output) == shown(here.output)


def test_a_submission_is_one_job_with_its_label(folder: Path, aiplatform: Any) -> None:
    """With our id, the profile's account, and the parameters that were given; steps are told as they go."""
    path = folder / "quickstart.ipynb"
    shutil.copy(ROOT / "notebooks" / path.name, path)
    ready = prepared(path, limit=100)
    heard: list[RunEvent] = []
    done = submitting.submit(ready, ears=submitting.Ears(heard.append))
    (job,) = jobs(aiplatform, done.submission.id)
    assert job.name.endswith(done.submission.id)
    assert job._gca_resource.service_account == "runner@test-project.iam.gserviceaccount.com"
    assert dict(job._gca_resource.runtime_config.parameter_values) == {"limit": 100.0}
    told = [(one.step, one.state) for one in heard if isinstance(one, StepChanged)]
    assert [told.count((step, "done")) for step in ready.steps] == [1] * len(ready.steps)
    assert told.index(("setup", "done")) < told.index(("sieve", "done")) < told.index(("report", "done"))


@pytest.mark.parametrize("way", WAYS)
def test_a_failure_there_names_the_cell_and_the_line(way: str, folder: Path) -> None:
    """As a failure here does; cells that were reached keep their outputs."""
    target, more = WAYS[way]
    path = folder / "bad.py"
    path.write_text(FAILING, encoding="utf-8")
    (folder / "nbvertex.toml").write_text(PROFILE + more.replace("setup", "load"), encoding="utf-8")
    done = submitting.submit(prepared(path, target))
    assert isinstance(done.error, StepFailed)
    assert (done.error.message, done.error.place) == ("ValueError: total is 6", Place("bad.py", 2, 3, "work"))
    assert [seen.state for seen in done.submission.seen.values()][:2] == ["done", "failed"]
    assert "after" not in done.submission.seen or done.submission.seen["after"].state == "skipped"
    assert [state for _, _, state in shown(done.output)][:2] == ["done", "failed"]


FAULTS = [
    ("JobService.CreateCustomJob", {"drop": True}),
    ("JobService.CreateCustomJob", {"status": "UNAVAILABLE"}),
    ("JobService.GetCustomJob", {"drop": True}),
    ("PipelineService.CreatePipelineJob", {"drop": True}),
    ("PipelineService.CreatePipelineJob", {"status": "UNAVAILABLE"}),
    ("PipelineService.CreatePipelineJob", {"status": "DEADLINE_EXCEEDED"}),
    ("PipelineService.CreatePipelineJob", {"status": "RESOURCE_EXHAUSTED"}),
    ("PipelineService.CreatePipelineJob", {"status": "UNAUTHENTICATED"}),
    ("PipelineService.GetPipelineJob", {"status": "INTERNAL"}),
    ("PipelineService.GetPipelineJob", {"status": "UNAUTHENTICATED"}),
    ("PipelineService.GetPipelineJob", {"drop": True}),
    ("*ListLogEntries", {"status": "UNAVAILABLE"}),
    ("Storage.*", {"status": "UNAVAILABLE"}),
]


@pytest.mark.parametrize("method, fault", FAULTS, ids=str)
def test_one_fault_on_the_way_makes_one_job(
    method: str, fault: Mapping[str, Any], folder: Path, faults: Callable[..., Any], aiplatform: Any
) -> None:
    """The reply is lost, or the service is out of reach once: the run ends well, and there is one job."""
    path = folder / "one.py"
    path.write_text('# %% tags=["step:only"]\nprint(6 * 7)\n', encoding="utf-8")
    faults(method=method, count=1, **fault)
    target = "vertex-job" if method.startswith("JobService") else "vertex-pipeline"
    done = submitting.submit(prepared(path, target))
    assert done.error is None
    assert len(jobs(aiplatform, done.submission.id)) == 1


def test_a_submission_that_is_not_waited_for_is_seen_later(folder: Path) -> None:
    """`runs show` asks how it is, `runs logs` what it printed."""
    path = folder / "one.py"
    path.write_text('# %% tags=["step:only", "cache:disabled"]\nprint(6 * 7)\n', encoding="utf-8")
    ready = prepared(path)
    sent = submitting.submit(ready, wait=False)
    assert sent.submission.state in ("queued", "running")
    home = runs.home_of(str(path))
    until = time.monotonic() + 60
    found, trouble = remote.shown(home, sent.submission)
    while not found.over and time.monotonic() < until:
        time.sleep(0.2)
        found, trouble = remote.shown(home, found)
    assert (found.state, trouble) == ("done", None)
    assert [(step, line.text) for step, line in remote.logs(home, found)] == [("only", "42")]
    assert remote.named(home, "last") == found


def test_a_submission_is_cancelled(folder: Path, aiplatform: Any) -> None:
    """`runs cancel` names what it asked for, and the service stops it."""
    path = folder / "slow.py"
    path.write_text(SLOW, encoding="utf-8")
    sent = submitting.submit(prepared(path), wait=False)
    home = runs.home_of(str(path))
    said: list[str] = []
    assert remote.cancel(home, sent.submission, said.append)
    (job,) = jobs(aiplatform, sent.submission.id)
    assert said == [f"asked Vertex AI to cancel {job.resource_name}"]
    until = time.monotonic() + 30
    found, _ = remote.shown(home, sent.submission)
    while not found.over and time.monotonic() < until:
        time.sleep(0.2)
        found, _ = remote.shown(home, found)
    assert found.state == "interrupted"


def test_what_is_there_already_is_not_uploaded_again(folder: Path, emulator: Any) -> None:
    """Objects are named by what they hold."""
    path = folder / "one.py"
    path.write_text(f'# %% tags=["step:only"]\nprint("{folder}")\n', encoding="utf-8")  # nobody else's
    ready = prepared(path)
    (upload,) = ready.draft.uploads
    from nbvertex.reaching import reached

    with reached(ready.chosen.profile) as door:
        assert [door.put(upload), door.put(upload)] == [True, False]
        assert door.read(upload.url) == upload.data
        assert door.read(f"{upload.url}.not") is None


SECRET = """\
# %% tags=["step:use", "secret:DB=projects/test-project/secrets/db/versions/1"]
import os
print(len(os.environ["DB"]))
# %% tags=["step:after"]
print("DB" in os.environ)
"""


def test_a_secret_reaches_its_step_and_nothing_else(folder: Path, emulator: Any) -> None:
    """It is in no file that the submission left, here or in the bucket, and in no other step's environment."""
    from google.cloud import secretmanager

    client = secretmanager.SecretManagerServiceClient(transport="rest")
    client.create_secret(
        parent="projects/test-project", secret_id="db", secret={"replication": {"automatic": {}}}
    )
    value = "correct-horse-battery"
    client.add_secret_version(parent="projects/test-project/secrets/db", payload={"data": value.encode()})
    path = folder / "secret.py"
    path.write_text(SECRET, encoding="utf-8")
    done = submitting.submit(prepared(path))
    assert done.error is None
    printed = ["".join(outputs[0]["text"]) for _, outputs, _ in shown(done.output)]
    assert printed == [f"{len(value)}\n", "False\n"]
    places = [folder, emulator.file("gs://test-bucket/some")]
    held = [
        file
        for place in places
        for file in place.rglob("*")
        if file.is_file() and value.encode() in file.read_bytes()
    ]
    assert held == []


EXPERIMENT = """\
# %% tags=["parameters"]
rate = 0.5
# %% tags=["step:train"]
metrics = {"accuracy": rate * 1.5, "loss": {"test": 0.25}}
"""


def test_runs_here_and_there_are_told_to_the_experiment(
    folder: Path, aiplatform: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both stand in the table that Google's client makes of it, with what they were given and their numbers."""
    pytest.importorskip("pandas")
    (folder / "nbvertex.toml").write_text(
        f'profile = "dev"\n{PROFILE}experiment = "rates"\n', encoding="utf-8"
    )
    path = folder / "rates.py"
    path.write_text(EXPERIMENT, encoding="utf-8")
    monkeypatch.chdir(folder)
    given = running.Given(typed=(("rate", "0.4"),))
    here = running.run(reading.open_notebook(str(path)), given=given)
    again = running.run(reading.open_notebook(str(path)), given=given)  # from the cache
    there = submitting.submit(prepared(path, rate=0.4))
    assert (here.warning, again.warning, there.error) == (None, None, None)
    table = aiplatform.get_experiment_df("rates").sort_values("run_name")
    assert sorted(table["run_name"]) == sorted(
        [here.result.run, again.result.run, there.submission.jobs[0].ident]
    )
    assert list(table["param.rate"]) == [0.4] * 3
    assert list(table["metric.accuracy"].round(6)) == [0.6] * 3
    assert list(table["metric.loss/test"]) == [0.25] * 3


ROUNDS = """\
# %% tags=["step:load"]
rates = [0.1, 0.2]
accuracy = 0.5
# %% tags=["step:train", "each:lr in rates"]
score = lr * 2
print("train", lr)
# %% tags=["step:boast", "when:accuracy > 0.9"]
print("good")
# %% tags=["step:moan", "when:accuracy <= 0.9"]
print("bad", score)
"""


@pytest.mark.parametrize("target", ["vertex-pipeline", "vertex-job"])
def test_conditions_and_lists_are_steps_there_too(
    target: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever they are made of at the service: as many steps are told, and the cells show the same."""
    path = folder / "rounds.py"
    path.write_text(ROUNDS, encoding="utf-8")
    monkeypatch.chdir(folder)
    here = running.run(reading.open_notebook(str(path)))
    heard: list[RunEvent] = []
    there = submitting.submit(prepared(path, target), ears=submitting.Ears(heard.append))
    assert (here.result.error, there.error) == (None, None)
    assert [one[:2] for one in shown(there.output)] == [one[:2] for one in shown(here.output)]
    ended = {one.step: one.state for one in heard if isinstance(one, StepChanged)}
    assert ended == {"load": "done", "train": "done", "boast": "skipped", "moan": "done"}


def test_the_profile_of_the_emulator_starts_one(emulator: Any, tmp_path: Path) -> None:
    """As typed, in a folder where none is running: the path of the notebook on stdout, and no emulator is left."""
    (tmp_path / "nbvertex.toml").touch()
    (tmp_path / "one.py").write_text('# %% tags=["step:only"]\nprint(6 * 7)\n', encoding="utf-8")
    environ = {name: value for name, value in os.environ.items() if name not in emulator.environment}

    def typed(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "nbvertex", *words]
        return subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)

    refused = typed("submit", "one.py", "--to", "vertex-pipeline", "--profile", "emulator", "--no-wait")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "nbvertex emulator start" in refused.stderr
    done = typed("submit", "one.py", "--to", "vertex-pipeline", "--profile", "emulator")
    assert done.returncode == 0, done.stderr
    assert "only | 42" in done.stderr
    assert [outputs[0]["text"] for _, outputs, _ in shown(Path(done.stdout.strip()))] == [["42\n"]]
    assert "no emulator is running" in typed("emulator", "env").stderr
    assert typed("doctor", "--profile", "emulator").returncode == 0
