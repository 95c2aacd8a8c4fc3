"""Custom jobs and training pipelines as aiplatform sees them."""

from __future__ import annotations

import io
import json
import tarfile
import time
from collections.abc import Callable
from typing import Any

import pytest

exceptions = pytest.importorskip("google.api_core.exceptions")
Run = Callable[..., Any]
MACHINE = {"machine_type": "n1-standard-4"}


def pool(code: str, count: int = 1, **container: Any) -> dict[str, Any]:
    """A worker pool whose replicas run some Python."""
    spec = {"image_uri": "gcr.io/p/train:1", "command": ["python3", "-c", code], **container}
    return {"machine_spec": MACHINE, "replica_count": count, "container_spec": spec}


@pytest.fixture
def job(aiplatform: Any, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`job(pool(...), ...)`: a custom job that was not run yet."""
    monkeypatch.setattr("google.cloud.aiplatform.jobs._JOB_WAIT_TIME", 0.05)
    monkeypatch.setattr("google.cloud.aiplatform.training_jobs._JOB_WAIT_TIME", 0.05)

    def call(*pools: Any, **more: Any) -> Any:
        return aiplatform.CustomJob(display_name="shown", worker_pool_specs=list(pools), **more)

    return call


def lines(one: Any) -> dict[str, list[str]]:
    """What each replica printed."""
    from google.cloud import logging

    wanted = f'resource.type="ml_job" AND resource.labels.job_id="{one.name}"'
    found: dict[str, list[str]] = {}
    for entry in logging.Client(project="test-project").list_entries(filter_=wanted):
        found.setdefault(entry.log_name.rpartition("/")[2], []).append(entry.payload)
    return found


def test_a_container(job: Run, emulator: Any) -> None:
    """Its variables, its outputs below the folder that was asked for, its states and times."""
    code = """
import os
print(os.environ["K"], os.environ["CLOUD_ML_PROJECT_ID"].isdigit())
folder = os.environ["AIP_MODEL_DIR"].replace("gs://", "/gcs/")
os.makedirs(folder)
open(folder + "model.txt", "w").write("made")
"""
    one = job(pool(code, env=[{"name": "K", "value": "v"}]), base_output_dir="gs://test-bucket/custom")
    one.run()
    assert one.state.name == "JOB_STATE_SUCCEEDED"
    assert one._gca_resource.create_time <= one._gca_resource.start_time <= one._gca_resource.end_time
    assert lines(one) == {"workerpool0-0": ["v True"]}
    assert emulator.file("gs://test-bucket/custom/model/model.txt").read_text() == "made"


def test_a_failure(job: Run) -> None:
    """The client raises it with the code and the message of the job."""
    one = job(pool("import sys; print('boom'); sys.exit('it broke')"))
    with pytest.raises(
        RuntimeError,
        match=r"code: 9\nmessage: \"The replica workerpool0-0 exited with a non-zero status of 1. Its last line was: it broke",
    ):
        one.run()
    assert one.state.name == "JOB_STATE_FAILED"
    assert sorted(lines(one)["workerpool0-0"]) == ["boom", "it broke"]


def test_an_image_that_is_not_mapped(tmp_path: Any, emulator: Any) -> None:
    """The job fails, and its message says what to do."""
    from test_pipeline_jobs import asked

    from nbvertex.emulator import hosting

    wanted = hosting.Wanted(tmp_path / "emulator", project="p", images={"gcr.io/p/other": "/usr/bin/python3"})
    spec = {"displayName": "x", "jobSpec": {"workerPoolSpecs": [
        {"machineSpec": {"machineType": "n1-standard-4"}, "replicaCount": "1", "containerSpec": {"imageUri": "gcr.io/p/train:1", "command": ["true"]}}
    ]}}  # fmt: skip
    with hosting.held(wanted) as reached:
        made = asked(f"{reached.url}/v1/projects/p/locations/us-central1/customJobs", spec)
        last = time.monotonic() + 20
        while (one := asked(f"{reached.url}/v1/{made['name']}"))["state"] != "JOB_STATE_FAILED":
            assert time.monotonic() < last, one
            time.sleep(0.05)
    assert "'gcr.io/p/train:1' is not in the emulator's table of images" in one["error"]["message"]
    assert "--any-image" in one["error"]["message"]


REPLICA = """
import json, os, socket
cluster, tf = json.loads(os.environ["CLUSTER_SPEC"]), json.loads(os.environ["TF_CONFIG"])
own = cluster["cluster"][cluster["task"]["type"]][cluster["task"]["index"]]
print(json.dumps([cluster["task"]["type"], cluster["task"]["index"], tf["task"]["type"], os.environ["RANK"], os.environ["WORLD_SIZE"]]))
"""


def test_several_machines(job: Run) -> None:
    """Each replica knows who it is and reaches the others; a server ends with the rest."""
    meet = (
        REPLICA
        + """
if cluster["task"]["type"] == "workerpool0":
    host, port = own.split(":")
    listener = socket.create_server((host, int(port)))
    for _ in range(2): listener.accept()[0].sendall(b"hello")
else:
    import time
    host, port = cluster["cluster"]["workerpool0"][0].split(":")
    for _ in range(200):
        try: s = socket.create_connection((host, int(port))); break
        except OSError: time.sleep(.05)
    assert s.recv(5) == b"hello"
"""
    )
    one = job(pool(meet), pool(meet, 2), pool(REPLICA + "import time; time.sleep(600)"))
    one.run()
    assert one.state.name == "JOB_STATE_SUCCEEDED"
    told = {log: json.loads(said[0]) for log, said in lines(one).items()}
    assert told.pop("workerpool2-0", None) in (
        None,
        ["workerpool2", 0, "ps", "3", "4"],
    )  # it may have had no time
    assert told == {
        "workerpool0-0": ["workerpool0", 0, "chief", "0", "4"],
        "workerpool1-0": ["workerpool1", 0, "worker", "1", "4"],
        "workerpool1-1": ["workerpool1", 1, "worker", "2", "4"],
    }


def test_one_of_several_fails(job: Run) -> None:
    """The others are ended, and the job says which it was."""
    with pytest.raises(RuntimeError, match="workerpool1-1 exited with a non-zero status of 7"):
        job(
            pool("import time; time.sleep(600)"),
            pool("import os, sys, time; time.sleep(600) if os.environ['RANK'] == '1' else sys.exit(7)", 2),
        ).run()


def test_cancel(job: Run) -> None:
    """It is ended at once."""
    one = job(pool("import time; print('on', flush=True); time.sleep(600)"))
    one.submit()
    while not lines(one):
        time.sleep(0.05)
    one.cancel()
    last = time.monotonic() + 10
    while one.state.name != "JOB_STATE_CANCELLED":
        assert time.monotonic() < last
        time.sleep(0.05)
    with pytest.raises(exceptions.FailedPrecondition):
        one.cancel()


def test_its_time_is_over(job: Run, emulator: Any) -> None:
    """By the emulator's clock."""
    one = job(pool("import time; print('on', flush=True); time.sleep(600)"))
    one.submit(timeout=7200)
    while not lines(one):
        time.sleep(0.05)
    emulator.advance(7201)
    last = time.monotonic() + 10
    while one.state.name != "JOB_STATE_FAILED":
        assert time.monotonic() < last
        time.sleep(0.05)
    assert one.error.code == 4


@pytest.mark.parametrize("restart", [True, False])
def test_its_machine_is_taken_away(job: Run, faults: Any, emulator: Any, restart: bool) -> None:
    """A job that restarts does so from the beginning; another has failed."""
    faults(point="preempt", delay=0.3, count=1)
    one = job(pool("import time; print('on', flush=True); time.sleep(0.6)"))
    if restart:
        one.run(restart_job_on_worker_restart=True)
        assert lines(one)["workerpool0-0"] == ["on", "on"]
    else:
        with pytest.raises(RuntimeError, match="preempted"):
            one.run()


@pytest.mark.parametrize(
    "pools,said",
    [
        ([], "worker_pool"),
        ([{**pool("x"), "machine_spec": {}}], "machine_type"),
        ([{"machine_spec": MACHINE, "replica_count": 1, "container_spec": {}}], "image"),
        ([pool("x", 2)], "replica_count must be 1"),
    ],
)
def test_what_is_refused(emulator: Any, pools: list[Any], said: str) -> None:
    """Before a job is made."""
    from google.cloud import aiplatform_v1

    client = aiplatform_v1.JobServiceClient(
        client_options={"api_endpoint": "us-central1-aiplatform.googleapis.com"}
    )
    wanted = aiplatform_v1.CustomJob(display_name="x", job_spec={"worker_pool_specs": pools})
    with pytest.raises(exceptions.InvalidArgument, match=said):
        client.create_custom_job(parent="projects/test-project/locations/us-central1", custom_job=wanted)


def packed(files: dict[str, str]) -> bytes:
    """A source distribution."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(f"trainer-0.1/{name}")
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    return data.getvalue()


@pytest.mark.parametrize("layout", ["trainer", "src/trainer"])
def test_a_python_package(job: Run, emulator: Any, layout: str) -> None:
    """It is laid out beside what its image has."""
    from google.cloud import storage

    files = {
        "setup.py": "",
        f"{layout}/__init__.py": "",
        f"{layout}/task.py": "import sys; print(__package__, sys.argv[1:])",
    }
    blob = storage.Client(project="test-project").bucket("test-bucket").blob("packages/trainer-0.1.tar.gz")
    blob.upload_from_string(packed(files))
    spec = {
        "executor_image_uri": "gcr.io/p/train:1",
        "package_uris": ["gs://test-bucket/packages/trainer-0.1.tar.gz"],
        "python_module": "trainer.task",
        "args": ["--a=1"],
    }
    one = job({"machine_spec": MACHINE, "replica_count": 1, "python_package_spec": spec})
    one.run()
    assert lines(one) == {"workerpool0-0": ["trainer ['--a=1']"]}
    spec["package_uris"] = ["gs://test-bucket/packages/missing.tar.gz"]
    with pytest.raises(RuntimeError, match=r"missing.tar.gz does not exist"):
        job({"machine_spec": MACHINE, "replica_count": 1, "python_package_spec": spec}).run()


def test_training_gives_a_model(job: Run, aiplatform: Any) -> None:
    """The pipeline's job is a custom job; what it made is in the registry."""
    training = aiplatform.CustomContainerTrainingJob(
        display_name="trains",
        container_uri="gcr.io/p/train:1",
        command=["python3", "-c", "print('trained')"],
        model_serving_container_image_uri="gcr.io/p/serve:1",
    )
    model = training.run(model_display_name="made", base_output_dir="gs://test-bucket/training")
    assert (model.display_name, model.uri, model.version_id) == (
        "made",
        "gs://test-bucket/training/model",
        "1",
    )
    assert training.state.name == "PIPELINE_STATE_SUCCEEDED"
    failing = aiplatform.CustomContainerTrainingJob(
        display_name="fails",
        container_uri="gcr.io/p/train:1",
        command=["python3", "-c", "raise SystemExit(3)"],
    )
    with pytest.raises(RuntimeError, match="non-zero status of 3"):
        failing.run()


def test_a_script_of_the_users(job: Run, aiplatform: Any, tmp_path: Any) -> None:
    """The client packs it; the job runs it with its arguments."""
    pytest.importorskip("setuptools")
    script = tmp_path / "train.py"
    script.write_text("import os, sys; print(sys.argv[1:], os.environ['LEVEL'])")
    training = aiplatform.CustomTrainingJob(
        display_name="script", script_path=str(script), container_uri="gcr.io/p/train:1"
    )
    training.run(
        args=["--a", "b"], environment_variables={"LEVEL": "3"}, base_output_dir="gs://test-bucket/script"
    )
    ident = dict(training._gca_resource.training_task_metadata)["backingCustomJob"]
    assert lines(aiplatform.CustomJob.get(ident)) == {"workerpool0-0": ["['--a', 'b'] 3"]}


def test_a_job_that_nobody_would_run(job: Run, aiplatform: Any) -> None:
    """It is refused, rather than kept and never begun."""
    from google.cloud.aiplatform import hyperparameter_tuning as tuning

    wanted = aiplatform.HyperparameterTuningJob(
        display_name="x",
        custom_job=job(pool("x")),
        metric_spec={"m": "maximize"},
        parameter_spec={"a": tuning.DoubleParameterSpec(min=0, max=1, scale="linear")},
        max_trial_count=1,
        parallel_trial_count=1,
    )
    with pytest.raises(exceptions.MethodNotImplemented):
        wanted.run()
