"""Pipeline jobs as aiplatform sees them."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ir import component, pipeline, task

exceptions = pytest.importorskip("google.api_core.exceptions")
ROOT = "gs://test-bucket/root"

WRITE = """
import json, os, sys
told = json.loads(sys.argv[1])
given = told["inputs"]["parameterValues"]
if given.get("fail"): sys.exit(f"no {given['fail']}")
if given.get("sleep"):
    import time
    print("sleeping", flush=True); time.sleep(given["sleep"])
for one in told["outputs"]["artifacts"].values():
    path = one["artifacts"][0]["uri"].replace("gs://", "/gcs/")
    open(path, "w").write(str(given["n"]))
    one["artifacts"][0]["metadata"] = {"n": given["n"]}
json.dump({"parameterValues": {"Output": given["n"]}, "artifacts": told["outputs"]["artifacts"]},
          open(told["outputs"]["outputFile"], "w"))
print("wrote", given["n"])
"""

OPTIONAL = {"parameterType": "STRING", "isOptional": True}
STEP = component(
    ["python3", "-c", WRITE, "{{$}}"],
    inputs={
        "n": "NUMBER_INTEGER",
        "fail": OPTIONAL,
        "sleep": {"parameterType": "NUMBER_INTEGER", "isOptional": True},
    },
    outputs={"Output": "NUMBER_INTEGER"},
    artifacts_out={"data": "system.Dataset"},
)
TWO = pipeline(
    {"first": task("step", n="input.n"), "second": task("step", n=("first", "Output"))},
    inputs={"n": {"parameterType": "NUMBER_INTEGER", "defaultValue": 3.0}},
    name="two-steps",
    step=STEP,
)


def failing(**more: Any) -> Any:
    """A pipeline whose first task fails."""
    bad = task("step", n=1, fail="luck", more=more)
    return pipeline(
        {"bad": bad, "later": task("step", n=2, after=("bad",)), "beside": task("step", n=3)},
        name="failing",
        step=STEP,
    )


SLEEPING = pipeline(
    {"sleeps": task("step", n=1, sleep=600), "later": task("step", n=2, after=("sleeps",))},
    name="sleeping",
    step=STEP,
)
Submit = Callable[..., Any]


@pytest.fixture
def submit(aiplatform: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Submit:
    """`submit(document, n=3)` as a user's program does it; the job, looked at ten times a second."""
    monkeypatch.setattr("google.cloud.aiplatform.pipeline_jobs._JOB_WAIT_TIME", 0.1)

    def call(document: Any, *, wait: bool = True, **more: Any) -> Any:
        path = tmp_path / "pipeline.json"
        path.write_text(json.dumps(document))
        given = {key: more.pop(key) for key in ("n",) if key in more}
        name = document["pipelineInfo"]["name"]
        more = {
            "display_name": "shown",
            "pipeline_root": ROOT,
            "job_id": f"{name}-{uuid.uuid4().hex[:12]}",
            **more,
        }
        submission = {key: more.pop(key) for key in ("service_account", "experiment") if key in more}
        job = aiplatform.PipelineJob(template_path=str(path), parameter_values=given, **more)
        job.submit(**submission)
        if wait:
            job.wait()
        return job

    return call


def states(job: Any) -> dict[str, str]:
    """The states of a job's tasks, without the job's own."""
    return {one.task_name: one.state.name for one in job.task_details if one.parent_task_id}


def test_a_pipeline_runs(submit: Submit, emulator: Any) -> None:
    """Its tasks, their outputs, times, and where they lie."""
    job = submit(TWO, n=5, labels={"a": "b"})
    assert job.state.name == "PIPELINE_STATE_SUCCEEDED"
    assert states(job) == {"first": "SUCCEEDED", "second": "SUCCEEDED"}
    details = {one.task_name: one for one in job.task_details}
    first = details["first"]
    (data,) = first.outputs["data"].artifacts
    number = job.resource_name.split("/")[1]
    assert data.uri == f"{ROOT}/{number}/{job.name}/first_{first.task_id}/data"
    assert data.schema_title == "system.Dataset"
    assert data.metadata["n"] == 5
    assert emulator.file(data.uri).read_text() == "5"
    assert [one.state.name for one in first.pipeline_task_status] == ["PENDING", "RUNNING", "SUCCEEDED"]
    assert first.create_time <= first.start_time <= first.end_time <= details["second"].start_time
    assert details[job.name].state.name == "SUCCEEDED"
    assert first.parent_task_id == details[job.name].task_id
    assert job.labels["a"] == "b"
    assert job.gca_resource.start_time <= job.gca_resource.end_time


def test_lines_are_log_entries_of_their_task(submit: Submit) -> None:
    """Under the job that the task's details name."""
    from google.cloud import logging

    job = submit(TWO, n=7)
    first = next(one for one in job.task_details if one.task_name == "first")
    ident = first.executor_detail.container_detail.main_job.rpartition("/")[2]
    client = logging.Client(project="test-project")
    entries = list(
        client.list_entries(filter_=f'resource.type="ml_job" AND resource.labels.job_id="{ident}"')
    )
    assert [(one.payload, one.severity) for one in entries] == [("wrote 7", "INFO")]
    assert entries[0].labels["task_name"] == "first"


def test_lineage(submit: Submit, aiplatform: Any) -> None:
    """Executions and artifacts of a run are in its context, and linked."""
    job = submit(TWO, n=4)
    context = aiplatform.Context(job.gca_resource.job_detail.pipeline_run_context.name)
    assert context.schema_title == "system.PipelineRun"
    detail = next(one for one in job.task_details if one.task_name == "first")
    execution = aiplatform.Execution(detail.execution.name)
    assert execution.state.name == "COMPLETE"
    assert execution.metadata["input:n"] == 4
    assert [one.uri for one in execution.get_output_artifacts()] == [detail.outputs["data"].artifacts[0].uri]
    assert len(context.get_artifacts()) == 2


def test_a_run_of_an_experiment(submit: Submit, aiplatform: Any) -> None:
    """With its parameters, and the metrics of its tasks."""
    pytest.importorskip("pandas")
    aiplatform.init(project="test-project", location="us-central1", experiment="exp-pipelines")
    aiplatform.init(project="test-project", location="us-central1")
    document = json.loads(json.dumps(TWO).replace("system.Dataset", "system.Metrics"))
    job = submit(document, n=6, experiment="exp-pipelines")
    (row,) = aiplatform.get_experiment_df("exp-pipelines").to_dict("records")
    assert (row["run_type"], row["run_name"], row["state"]) == ("system.PipelineRun", job.name, "COMPLETE")
    assert (row["param.n"], row["metric.n"]) == (6, 6)


SHOW = """
import json, sys
told = json.loads(sys.argv[1])
(data,) = told["inputs"]["artifacts"]["data"]["artifacts"]
said = open(data["uri"].replace("gs://", "/gcs/")).read() + " " + data["metadata"]["who"]
json.dump({"parameterValues": {"Output": said}}, open(told["outputs"]["outputFile"], "w"))
"""


def test_an_artifact_is_given(submit: Submit, aiplatform: Any) -> None:
    """To the pipeline as a whole, by its id in the metadata store; a pipeline that wants one is refused without."""
    from google.cloud import storage

    show = component(
        ["python3", "-c", SHOW, "{{$}}"],
        outputs={"Output": "STRING"},
        artifacts_in={"data": "system.Dataset"},
    )
    document = pipeline({"show": task("show", artifacts={"data": "data"})}, name="given", show=show)
    document["root"]["inputDefinitions"]["artifacts"] = {
        "data": {"artifactType": {"schemaTitle": "system.Dataset"}}
    }
    with pytest.raises(exceptions.InvalidArgument, match="'data' is required"):
        submit(document)
    storage.Client(project="test-project").bucket("test-bucket").blob("given.txt").upload_from_string("hello")
    artifact = aiplatform.Artifact.create(
        "system.Dataset", uri="gs://test-bucket/given.txt", metadata={"who": "me"}
    )
    job = submit(document, input_artifacts={"data": artifact.name})
    detail = next(one for one in job.task_details if one.task_name == "show")
    assert aiplatform.Execution(detail.execution.name).metadata["output:Output"] == "hello me"


def test_the_second_time_is_from_the_cache(submit: Submit) -> None:
    """Where the client asks for it."""
    document = json.loads(json.dumps(TWO))
    document["pipelineInfo"]["name"] = "remembered"
    submit(document, enable_caching=True)
    job = submit(document, enable_caching=True)
    assert states(job) == {"first": "SKIPPED", "second": "SKIPPED"}
    assert (
        next(one for one in job.task_details if one.task_name == "first")
        .outputs["data"]
        .artifacts[0]
        .metadata["n"]
        == 3
    )
    assert states(submit(document, enable_caching=False)) == {"first": "SUCCEEDED", "second": "SUCCEEDED"}


def test_a_failure(submit: Submit) -> None:
    """The client raises it; the task says why, with its last line."""
    with pytest.raises(RuntimeError, match=r"The failed tasks are: \[bad\]"):
        submit(failing())


@pytest.mark.parametrize("policy", ["slow", "fast"])
def test_what_fails_and_what_goes_on(submit: Submit, policy: str) -> None:
    """What depends on a failure is not triggered."""
    job = submit(failing(), wait=False, failure_policy=policy)
    with pytest.raises(RuntimeError):
        job.wait()
    assert job.state.name == "PIPELINE_STATE_FAILED"
    assert states(job) == {"bad": "FAILED", "later": "NOT_TRIGGERED", "beside": "SUCCEEDED"}
    bad = next(one for one in job.task_details if one.task_name == "bad")
    assert bad.error.code == 9
    assert "exited with a non-zero status of 1. Its last line was: no luck" in bad.error.message
    assert job.gca_resource.error.code == 9


def test_retries(submit: Submit) -> None:
    """Each attempt is a job of its own; the pauses are by the emulator's clock."""
    again = {"retryPolicy": {"maxRetryCount": 2, "backoffDuration": "0.01s", "backoffFactor": 2.0}}
    job = submit(failing(**again), wait=False)
    with pytest.raises(RuntimeError):
        job.wait()
    detail = next(one for one in job.task_details if one.task_name == "bad").executor_detail.container_detail
    assert len(set(detail.failed_main_jobs)) == 3


def test_a_preempted_task_is_retried(submit: Submit, faults: Any) -> None:
    """A fault on demand takes its machine away."""
    faults(point="preempt", delay=0.3, count=1, name="*/pipelineJobs/spot-*/tasks/sleeps")
    document = pipeline(
        {"sleeps": task("step", n=1, sleep=1, more={"retryPolicy": {"maxRetryCount": 1}})},
        name="spot",
        step=STEP,
    )
    job = submit(document)
    detail = next(one for one in job.task_details if one.task_name == "sleeps")
    assert detail.state.name == "SUCCEEDED"
    assert len(detail.executor_detail.container_detail.failed_main_jobs) == 1


def running(job: Any, name: str) -> None:
    """Wait until a task of the job runs."""
    last = time.monotonic() + 30
    while states(job).get(name) != "RUNNING":
        assert time.monotonic() < last, states(job)
        time.sleep(0.05)
        job._sync_gca_resource()


def test_cancel(submit: Submit) -> None:
    """What runs is ended, what waits is not begun."""
    job = submit(SLEEPING, wait=False)
    running(job, "sleeps")
    with pytest.raises(exceptions.FailedPrecondition):
        job.delete()
    job.cancel()
    last = time.monotonic() + 10
    while not job.done() and time.monotonic() < last:
        time.sleep(0.05)
    assert job.state.name == "PIPELINE_STATE_CANCELLED"
    assert states(job) == {"sleeps": "CANCELLED"}
    with pytest.raises(exceptions.FailedPrecondition):
        job.cancel()
    job.delete()


@pytest.mark.parametrize(
    "change,said",
    [
        (lambda job: job.pipeline_spec.clear(), "pipeline_spec"),
        (lambda job: job.runtime_config.parameter_values.update({"zz": 1}), "'zz'"),
        (lambda job: job.runtime_config.parameter_values.update({"n": "many"}), "'n'"),
        (lambda job: setattr(job.runtime_config, "gcs_output_directory", ""), "gcs_output_directory"),
        (lambda job: setattr(job.runtime_config, "gcs_output_directory", "/tmp/x"), "gs://"),
        (lambda job: job.pipeline_spec.pop("root"), "root"),
    ],
)
def test_what_is_refused(emulator: Any, change: Any, said: str) -> None:
    """Before a job is made."""
    from google.cloud import aiplatform_v1

    job = aiplatform_v1.PipelineJob(pipeline_spec=TWO, runtime_config={"gcs_output_directory": ROOT})
    change(job)
    client = aiplatform_v1.PipelineServiceClient(
        client_options={"api_endpoint": "us-central1-aiplatform.googleapis.com"}
    )
    parent = "projects/test-project/locations/us-central1"
    with pytest.raises(exceptions.InvalidArgument, match=said):
        client.create_pipeline_job(parent=parent, pipeline_job=job)


def test_a_name_is_taken_once(submit: Submit) -> None:
    """As after a reply that was lost."""
    submit(TWO, job_id="only-once")
    with pytest.raises(exceptions.AlreadyExists):
        submit(TWO, job_id="only-once")


WHO = """
import json, os, sys, urllib.request
request = urllib.request.Request(
    "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/email",
    headers={"Metadata-Flavor": "Google"})
told = json.loads(sys.argv[1])
email = urllib.request.urlopen(request).read().decode()
json.dump({"parameterValues": {"Output": email}}, open(told["outputs"]["outputFile"], "w"))
"""


def test_a_task_runs_as_the_jobs_service_account(submit: Submit, aiplatform: Any) -> None:
    """What it asks of Google is asked in that name."""
    who = component(["python3", "-c", WHO, "{{$}}"], outputs={"Output": "STRING"})
    document = pipeline({"who": task("who")}, name="who", who=who)
    account = "runner@test-project.iam.gserviceaccount.com"
    job = submit(document, service_account=account)
    detail = next(one for one in job.task_details if one.task_name == "who")
    assert aiplatform.Execution(detail.execution.name).metadata["output:Output"] == account


@pytest.mark.slow
def test_a_hundred_at_once(emulator: Any) -> None:
    """A hundred pipelines of ten steps each: all end, none is lost."""
    steps = {f"s{n}": task("step", n=n, after=(f"s{n - 1}",) if n else ()) for n in range(10)}
    document = pipeline(steps, name="many", step=component(["true"], inputs={"n": "NUMBER_INTEGER"}))
    path = f"{emulator.url}/v1/projects/test-project/locations/us-central1/pipelineJobs"
    said = {"runtimeConfig": {"gcsOutputDirectory": ROOT}, "pipelineSpec": document}
    left = {asked(f"{path}?pipelineJobId=many-{uuid.uuid4().hex[:12]}", said)["name"] for _ in range(100)}
    last = time.monotonic() + 300
    while left:
        assert time.monotonic() < last, len(left)
        time.sleep(0.5)
        left -= {name for name in left if ended(asked(f"{emulator.url}/v1/{name}"))}


def ended(job: Any) -> bool:
    """Whether all of a job's tasks have ended well; it must not have failed."""
    assert job["state"] in ("PIPELINE_STATE_PENDING", "PIPELINE_STATE_RUNNING", "PIPELINE_STATE_SUCCEEDED")
    if job["state"] != "PIPELINE_STATE_SUCCEEDED":
        return False
    assert [one["state"] for one in job["jobDetail"]["taskDetails"]] == ["SUCCEEDED"] * 11
    return True


def test_a_kill_loses_no_job(emulator: Any, tmp_path: Path) -> None:
    """What had ended stands, what was under way has failed and says why; no process of it is left."""
    from nbvertex.emulator import hosting

    wanted = hosting.Wanted(tmp_path / "emulator", project="p", bucket="bucket-b", any_image=sys.executable)
    path = "/v1/projects/p/locations/us-central1/pipelineJobs"
    document = {"runtimeConfig": {"gcsOutputDirectory": "gs://bucket-b/root"}}

    def until(url: str, name: str, state: str) -> Any:
        last = time.monotonic() + 30
        while (job := asked(f"{url}{path}/{name}"))["state"] != state:
            assert time.monotonic() < last, job
            time.sleep(0.05)
        return job

    with hosting.held(wanted) as reached:
        for name, spec in (("two", TWO), ("sleeping", SLEEPING)):
            asked(f"{reached.url}{path}?pipelineJobId={name}", {**document, "pipelineSpec": spec})
        until(reached.url, "two", "PIPELINE_STATE_SUCCEEDED")
        until(reached.url, "sleeping", "PIPELINE_STATE_RUNNING")
        os.kill(json.loads((wanted.folder / "running.json").read_text())["pid"], signal.SIGKILL)
    with hosting.held(wanted) as reached:
        until(reached.url, "two", "PIPELINE_STATE_SUCCEEDED")
        job = until(reached.url, "sleeping", "PIPELINE_STATE_FAILED")
        assert "stopped while the job was under way" in job["error"]["message"]
    last = time.monotonic() + 5
    while any(str(tmp_path).encode() in _read(one) for one in Path("/proc").glob("[0-9]*/cmdline")):
        assert time.monotonic() < last
        time.sleep(0.05)


def asked(url: str, said: Any = None) -> Any:
    """A call over plain HTTP."""
    data = None if said is None else json.dumps(said).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as reply:
        return json.loads(reply.read())


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
