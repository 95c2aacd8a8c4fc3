"""What is sent for a target: the jobs, their labels and accounts, and parameters that arrive as they were given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import locksmith
import pytest

from nbvertex import drafts, once
from nbvertex.actions import reading, running, submitting
from nbvertex.errors import NbvertexError, ParameterError, ProblemsFound, Refused
from nbvertex.pipeline import Parameter

SETTINGS = """
[profiles.dev]
project = "my-project"
region = "europe-west4"
bucket = "gs://my-bucket/of/mine"
service-account = "runner@my-project.iam.gserviceaccount.com"
network = "projects/1/global/networks/inner"
kms-key = "projects/my-project/locations/europe-west4/keyRings/r/cryptoKeys/k"
"""
NOTEBOOK = """\
# %% tags=["parameters"]
n: int = 3
rate = 0.5
label = "a"
anything = [1][0]
# %% tags=["step:load"]
xs = list(range(n))
# %% tags=["step:sum"]
print(sum(xs), rate, label, anything)
"""


def prepared(
    folder: Path, text: str = NOTEBOOK, target: str = "vertex-pipeline", **given: Any
) -> submitting.Prepared:
    """A notebook ready to be submitted."""
    (folder / "nbvertex.toml").write_text(SETTINGS, encoding="utf-8")
    path = folder / "it.py"
    path.write_text(text, encoding="utf-8")
    pairs = tuple((name, str(value)) for name, value in given.items())
    wanted = submitting.Wanted(target, "dev", running.Given(typed=pairs))
    return submitting.prepare(reading.open_notebook(str(path)), wanted)


def body(ready: submitting.Prepared) -> dict[str, Any]:
    """The pipeline job that would be created."""
    (request,) = [one for one in submitting.requests(ready) if one["method"].endswith("CreatePipelineJob")]
    found: dict[str, Any] = request["body"]["pipelineJob"]
    return found


def test_a_pipeline_job_says_where_and_as_whom(tmp_path: Path) -> None:
    """All of the profile is in it, and the label by which it is found."""
    ready = prepared(tmp_path)
    sent = body(ready)
    assert sent["serviceAccount"] == "runner@my-project.iam.gserviceaccount.com"
    assert sent["network"] == "projects/1/global/networks/inner"
    assert sent["encryptionSpec"] == {
        "kmsKeyName": "projects/my-project/locations/europe-west4/keyRings/r/cryptoKeys/k"
    }
    assert sent["runtimeConfig"]["gcsOutputDirectory"] == "gs://my-bucket/of/mine/nbvertex"
    assert sent["labels"]["nbv-submission"] == ready.submission.id
    (upload,) = ready.draft.uploads
    assert upload.url.startswith("gs://my-bucket/of/mine/nbvertex/objects/")


def test_custom_jobs_say_it_too(tmp_path: Path) -> None:
    """The account of the profile unless a step has its own; values and folder in the environment."""
    text = NOTEBOOK.replace(
        '"step:sum"', '"step:sum", "service-account:other@my-project.iam.gserviceaccount.com"'
    )
    ready = prepared(tmp_path, text, "vertex-job", n=5)
    said = [
        one["body"]["customJob"] for one in submitting.requests(ready) if "CreateCustomJob" in one["method"]
    ]
    assert [one["jobSpec"]["serviceAccount"].partition("@")[0] for one in said][-1] == "other"
    assert {one["jobSpec"]["serviceAccount"].partition("@")[0] for one in said[:-1]} == {"runner"}
    for one in said:
        (pool,) = one["jobSpec"]["workerPoolSpecs"]
        environ = {pair["name"]: pair["value"] for pair in pool["containerSpec"]["env"]}
        assert environ["NBVERTEX_ROOT"].endswith(ready.submission.id)
        assert json.loads(environ["NBVERTEX_PARAMETERS"]) == {"n": 5}
    assert ready.submission.jobs[0].after == ()


def test_a_dry_run_is_json_and_asks_nobody(tmp_path: Path) -> None:
    """Every request, with what it is about."""
    told = json.loads(json.dumps(submitting.requests(prepared(tmp_path))))
    assert [one["method"] for one in told] == ["storage.objects.insert", "PipelineService.CreatePipelineJob"]
    assert not (tmp_path / ".nbvertex").exists()


def test_every_task_is_known_to_be_of_a_step(tmp_path: Path) -> None:
    """Whatever the service calls it."""
    ready = prepared(tmp_path)
    assert {part.step for part in ready.submission.tasks.values()} == set(ready.steps)


@pytest.mark.parametrize(
    "kind, value, sent",
    [("int", 3, 3), ("float", 0.5, 0.5), ("bool", True, True), ("str", "5", "5"), ("list", [1], [1]), ("dict", {"a": 1}, {"a": 1}),
     ("any", 5, "5"), ("any", 0.5, "0.5"), ("any", True, "True"), ("any", "text", "text")],
)  # fmt: skip
def test_values_are_sent_so_that_they_arrive(kind: Any, value: Any, sent: Any) -> None:
    """By the declared type; without one as the text that papermill would read."""
    assert drafts.sent(Parameter(name="x", kind=kind), value) == sent


@pytest.mark.parametrize("value", ["5", "True", "None", "1e3", [1], {"a": 1}])
def test_a_value_that_would_arrive_as_another_is_refused(value: Any) -> None:
    """A text that would be read as a number, a list that would be a text."""
    with pytest.raises(ParameterError, match="no type"):
        drafts.sent(Parameter(name="x"), value)


def test_none_is_not_what_none_given_means(tmp_path: Path) -> None:
    """Where the default is another value, None cannot be said."""
    text = NOTEBOOK.replace("n: int = 3", "n: int | None = 3")
    with pytest.raises(ParameterError, match="cannot be None"):
        prepared(tmp_path, text, n="None")


SECRETS = ["DB=hunter2", "DB=db:3", "DB=projects/p/secrets/db"]


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_is_named_in_full_or_not_at_all(secret: str, tmp_path: Path) -> None:
    """What stands there instead may be the secret itself: it is not repeated."""
    text = NOTEBOOK.replace('"step:sum"', f'"step:sum", "secret:{secret}"')
    with pytest.raises(ProblemsFound) as caught:
        prepared(tmp_path, text)
    (problem,) = [one for one in caught.value.problems if one.is_error]
    assert problem.code == "secret-reference"
    assert secret.partition("=")[2] not in f"{problem.message} {problem.hint}".replace(
        "projects/PROJECT/secrets/NAME", ""
    )
    assert (problem.place.step, problem.place.cell) == ("sum", 3)


@pytest.mark.parametrize(
    "text, code",
    [(NOTEBOOK.replace('"step:sum"', '"step:sum", "runs-on:here"'), "not-supported"),
     (NOTEBOOK + f"key = {locksmith.pem()!r}\n", "key-in-cell")],
    ids=["here", "key"],
)  # fmt: skip
def test_what_must_not_go_there_is_refused(text: str, code: str, tmp_path: Path) -> None:
    """By name, with the cell, before anything is sent."""
    with pytest.raises(ProblemsFound) as caught:
        prepared(tmp_path, text)
    problem = next(one for one in caught.value.problems if one.code == code)
    assert problem.place.cell == 3


def test_a_key_file_is_not_sent(tmp_path: Path) -> None:
    """Even where a step asks for it."""
    (tmp_path / "key.json").write_text(
        json.dumps({"type": "service_account", "private_key": locksmith.pem()}),
        encoding="utf-8",
    )
    text = NOTEBOOK.replace('"step:sum"', '"step:sum", "in:key.json"')
    with pytest.raises(ProblemsFound, match="1 problem"):
        prepared(tmp_path, text)


def test_only_some_targets_are_submitted_to(tmp_path: Path) -> None:
    """The others are written, and sent by their own means."""
    with pytest.raises(NbvertexError) as caught:
        prepared(tmp_path, target="kubeflow")
    assert caught.value.hint is not None
    assert "nbvertex convert --to kubeflow" in caught.value.hint


def test_jobs_that_wait_for_each_other_are_waited_for(tmp_path: Path) -> None:
    """Nobody else would create the next one."""
    text = NOTEBOOK.replace('"step:sum"', '"step:sum", "cpu:8"')
    with pytest.raises(Refused, match="must wait"):
        submitting.submit(prepared(tmp_path, text, "vertex-job"), wait=False)


def test_labels_are_what_the_service_takes() -> None:
    """Lower case, digits, hyphens and underscores, sixty-three at most."""
    assert drafts.label_of("Été 2026/Run_1!" + "x" * 80).startswith("t--2026-run_1")
    assert len(drafts.label_of("x" * 80)) == 63


def test_each_attempt_has_its_own_label(tmp_path: Path) -> None:
    """So that one that failed is not taken for the next."""
    job = prepared(tmp_path).submission.jobs[0]
    assert once.labels("s", job) == {"nbv-submission": "s", "nbv-job": "1-1"}
