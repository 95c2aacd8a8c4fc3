"""The command `submit`, as a user types it: what goes to stdout, what is refused, and with which exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from nbvertex import commandline, verbs_remote
from nbvertex.actions import remote
from nbvertex.home import Home
from nbvertex.submissions import Job, StepSeen, Submission

PROFILE = """
[profiles.dev]
project = "my-project"
region = "europe-west4"
bucket = "gs://my-bucket"
service-account = "runner@my-project.iam.gserviceaccount.com"
"""
NOTEBOOK = """\
# %% tags=["parameters"]
n: int = 3
# %% tags=["step:sum"]
print(sum(range(n)))
"""


def typed(
    folder: Path, *words: str, profile: str = PROFILE, text: str = NOTEBOOK
) -> subprocess.CompletedProcess[str]:
    """What `nbvertex submit` does in a folder with a notebook and settings."""
    (folder / "nbvertex.toml").write_text(profile, encoding="utf-8")
    (folder / "it.py").write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "nbvertex", "submit", "it.py", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_a_dry_run_prints_requests(tmp_path: Path) -> None:
    """JSON on stdout, and nothing is written down."""
    done = typed(tmp_path, "--to", "vertex-pipeline", "--profile", "dev", "--dry-run", "-p", "n", "7")
    assert (done.returncode, done.stderr) == (0, "")
    upload, create = json.loads(done.stdout)
    assert upload["resource"].startswith("gs://my-bucket/nbvertex/objects/")
    assert create["method"] == "PipelineService.CreatePipelineJob"
    assert create["body"]["pipelineJob"]["runtimeConfig"]["parameterValues"] == {"n": 7}
    assert not (tmp_path / ".nbvertex").exists()


REFUSED = {
    "no profile": (("--to", "vertex-pipeline"), PROFILE, NOTEBOOK, "no profile is named"),
    "unknown profile": (("--to", "vertex-pipeline", "--profile", "dve"), PROFILE, NOTEBOOK, "did you mean dev?"),
    "no account": (("--to", "vertex-pipeline", "--profile", "dev"), PROFILE.replace("service-account", "# "), NOTEBOOK, "service account"),
    "unknown target": (("--to", "vertex-pipelin", "--profile", "dev"), PROFILE, NOTEBOOK, "did you mean vertex-pipeline?"),
    "other target": (("--to", "kubeflow", "--profile", "dev"), PROFILE, NOTEBOOK, "nbvertex convert --to kubeflow"),
    "unknown parameter": (("--to", "vertex-pipeline", "--profile", "dev", "-p", "m", "1"), PROFILE, NOTEBOOK, "m"),
    "wrong value": (("--to", "vertex-pipeline", "--profile", "dev", "-p", "n", "x"), PROFILE, NOTEBOOK, "int"),
    "not expressed": (("--to", "vertex-pipeline", "--profile", "dev"), PROFILE, NOTEBOOK.replace('"step:sum"', '"step:sum", "runs-on:here"'), "cell 2"),
    "a secret's value": (("--to", "vertex-pipeline", "--profile", "dev"), PROFILE, NOTEBOOK.replace('"step:sum"', '"step:sum", "secret:A=hunter2"'), "versions/NUMBER"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str, tmp_path: Path) -> None:
    """Exit code 2 with the reason and its mend, nothing on stdout, nothing written down."""
    words, profile, text, said = REFUSED[name]
    done = typed(tmp_path, *words, profile=profile, text=text)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "hint: " in done.stderr
    assert "hunter2" not in done.stderr
    assert not (tmp_path / ".nbvertex" / "lineage.db").exists()


def submission(**more: object) -> Submission:
    """One that is running."""
    said = {"id": "20261120-1200-abcdefgh", "notebook": "/n/it.ipynb", "name": "it", "target": "vertex-pipeline",
            "profile_name": "dev", "profile": {"project": "p", "region": "r", "bucket": "gs://b", "service_account": "a@p"},
            "parameters": {"n": 7}, "started": 1.0, "state": "done", "ended": 3.5,
            "jobs": (Job(part=1, kind="pipeline", where="projects/p/locations/r", ident="it-1", body={"labels": {}}, steps=("a", "b"),
                         resource="projects/1/locations/r/pipelineJobs/it-1", state="done"),),
            "seen": {"a": StepSeen(state="done", started="2026-11-20T12:00:00Z", ended="2026-11-20T12:00:02.5Z"),
                     "b": StepSeen(state="failed", attempt=2, error="it broke")}}  # fmt: skip
    return Submission(**{**said, **more})  # type: ignore[arg-type]


def test_a_submission_is_described(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where it is, as whom, its steps with their times and errors, and the link; as JSON without what was sent."""
    home = Home(tmp_path)
    verbs_remote.show(home, submission(), as_json=False)
    said = capsys.readouterr().out
    for part in (
        "run 20261120-1200-abcdefgh: done",
        "as a@p",
        "n = 7",
        "2.50 s",
        "attempt 2",
        "it broke",
        "console.cloud.google.com",
    ):
        assert part in said
    verbs_remote.show(home, submission(), as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert [(one["step"], one["state"]) for one in told["steps"]] == [("a", "done"), ("b", "failed")]
    assert "body" not in told["jobs"][0]


def test_it_stands_in_the_list_beside_runs_here(tmp_path: Path) -> None:
    """As a row that says where it ran."""
    row = verbs_remote.row(submission())
    assert row[:2] == ("20261120-1200-abcdefgh", "done")
    assert row[4] == "1 done, 1 failed"
    assert row[5].endswith("(at vertex-pipeline)")


def test_where_the_service_cannot_be_asked_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was seen last is shown, with the reason; the command does not fail for it."""
    if not _lacks_google():
        pytest.skip("Google's client is installed here")
    home = Home(tmp_path)
    running = submission(state="running", ended=None)
    verbs_remote.show(home, running, as_json=False)
    out, err = capsys.readouterr()
    assert "running" in out
    assert err.startswith(
        "as it was seen last; now it cannot be asked: the client of Vertex AI is not installed"
    )
    assert remote.shown(home, running)[0] == running


def _lacks_google() -> bool:
    import importlib.util

    try:
        return importlib.util.find_spec("google.cloud.aiplatform_v1") is None
    except ModuleNotFoundError:
        return True


def test_a_run_here_is_not_cancelled_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is stopped where it runs."""
    monkeypatch.chdir(tmp_path)
    command = [sys.executable, "-m", "nbvertex", "runs", "cancel", "20261120"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "no submission is called 20261120" in done.stderr
    assert commandline.Verb is type(verbs_remote.cancel)
