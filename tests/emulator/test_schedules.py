"""Schedules as aiplatform sees them, on a clock that the test moves; and notebooks, which they may execute."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from ir import component, pipeline, task

exceptions = pytest.importorskip("google.api_core.exceptions")
PARENT = "projects/test-project/locations/us-central1"
OPTIONS = {"api_endpoint": "us-central1-aiplatform.googleapis.com"}
QUICK = pipeline({"quick": task("quick")}, name="quick", quick=component(["true"]))
LONG = pipeline({"long": task("long")}, name="long", long=component(["sleep", "600"]))
Make = Callable[..., Any]


@pytest.fixture
def client(emulator: Any) -> Any:
    """The client of schedules, which says more than aiplatform's own class."""
    from google.cloud import aiplatform_v1

    return aiplatform_v1.ScheduleServiceClient(client_options=OPTIONS)


@pytest.fixture
def schedule(aiplatform: Any, client: Any, tmp_path: Path) -> Any:
    """`schedule(document, "*/5 * * * *", ...)`, deleted after the test with its runs."""
    made = []

    def call(document: Any, cron: str, **more: Any) -> Any:
        path = tmp_path / "pipeline.json"
        path.write_text(json.dumps(document))
        job = aiplatform.PipelineJob(
            display_name="run", template_path=str(path), pipeline_root="gs://test-bucket/s"
        )
        one = job.create_schedule(cron=cron, display_name="shown", **{"max_concurrent_run_count": 1, **more})
        made.append(one)
        return one

    yield call
    for one in made:
        for job in one.list_jobs():
            if not job.done():
                job.cancel()
        client.delete_schedule(name=one.resource_name)


def runs(one: Any, count: int, *, ended: bool = True) -> list[Any]:
    """The runs of a schedule, once there are so many (and not one more)."""
    last = time.monotonic() + 20
    while True:
        jobs = one.list_jobs()
        if len(jobs) >= count and (not ended or all(job.done() for job in jobs)):
            assert len(jobs) == count
            return list(jobs)
        assert time.monotonic() < last, [job.state.name for job in jobs]
        time.sleep(0.05)


def due(client: Any, one: Any) -> float:
    """When the next run is due, in the emulator's seconds."""
    return float(client.get_schedule(name=one.resource_name).next_run_time.timestamp())


def to_next(emulator: Any, client: Any, one: Any, more: float = 0.0) -> None:
    """Move the clock to when the next run is due, or so many seconds further."""
    now = emulator._ask("GET", "/clock")["now"]
    emulator.advance(due(client, one) - now + 0.5 + more)


def test_it_runs_when_it_is_due(schedule: Make, client: Any, emulator: Any) -> None:
    """Again and again, until it has run as often as it may."""
    one = schedule(QUICK, "TZ=America/New_York 0 9 * * *", max_run_count=2)
    for count in (1, 2):
        assert len(one.list_jobs()) == count - 1
        to_next(emulator, client, one)
        jobs = runs(one, count)
    assert {job.state.name for job in jobs} == {"PIPELINE_STATE_SUCCEEDED"}
    kept = client.get_schedule(name=one.resource_name)
    assert (kept.state.name, kept.started_run_count) == ("COMPLETED", 2)
    assert kept.last_scheduled_run_response.run_response in {job.resource_name for job in jobs}
    assert not kept.next_run_time


def test_every_time_that_a_jump_passes(schedule: Make, client: Any, emulator: Any) -> None:
    """One after the other, since no more than one may run at once."""
    one = schedule(QUICK, "0 * * * *", max_run_count=10)
    to_next(emulator, client, one, 2 * 3600)
    jobs = runs(one, 3)
    spans = sorted((job.gca_resource.create_time, job.gca_resource.end_time) for job in map(full, jobs))
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))


def full(job: Any) -> Any:
    """A job with all that the list leaves out."""
    job._sync_gca_resource()
    return job


@pytest.mark.parametrize("queueing", [False, True])
def test_a_run_that_lasts(schedule: Make, client: Any, emulator: Any, queueing: bool) -> None:
    """The next one is passed over, or waits for its end where that is allowed."""
    one = schedule(LONG, "0 * * * *", max_run_count=5, **({"allow_queueing": True} if queueing else {}))
    to_next(emulator, client, one)
    (first,) = runs(one, 1, ended=False)
    to_next(emulator, client, one)
    time.sleep(0.5)
    runs(one, 1, ended=False)
    first.cancel()
    if queueing:
        runs(one, 2, ended=False)
    else:
        last = time.monotonic() + 10
        while not first.done():
            assert time.monotonic() < last
            time.sleep(0.05)
        time.sleep(0.3)
        runs(one, 1)


@pytest.mark.parametrize("catch_up,count", [(False, 0), (True, 3)])
def test_pause_and_resume(schedule: Make, client: Any, emulator: Any, catch_up: bool, count: int) -> None:
    """What was missed meanwhile is made up for where that is asked."""
    from google.cloud import aiplatform_v1

    one = schedule(QUICK, "0 * * * *", max_concurrent_run_count=3, max_run_count=20)
    one.pause()
    assert client.get_schedule(name=one.resource_name).state.name == "PAUSED"
    with pytest.raises(exceptions.FailedPrecondition):
        client.pause_schedule(name=one.resource_name)
    emulator.advance(3 * 3600)
    assert one.list_jobs() == []
    client.resume_schedule(aiplatform_v1.ResumeScheduleRequest(name=one.resource_name, catch_up=catch_up))
    runs(one, count)
    kept = client.get_schedule(name=one.resource_name)
    assert (kept.state.name, kept.catch_up) == ("ACTIVE", catch_up)
    assert due(client, one) > emulator._ask("GET", "/clock")["now"]


def test_between_its_start_and_its_end(aiplatform: Any, client: Any, emulator: Any, schedule: Make) -> None:
    """Nothing before, nothing after."""
    now = emulator._ask("GET", "/clock")["now"]

    def stamp(hours: float) -> str:
        return datetime.fromtimestamp(now + 3600 * hours, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    one = schedule(QUICK, "30 * * * *", start_time=stamp(5), end_time=stamp(7), max_concurrent_run_count=5)
    assert due(client, one) >= now + 5 * 3600 - 1
    emulator.advance(24 * 3600)
    runs(one, 2)
    assert client.get_schedule(name=one.resource_name).state.name == "COMPLETED"


def test_update(schedule: Make, client: Any) -> None:
    """A new time counts from now."""
    one = schedule(QUICK, "0 9 * * 1")
    before = due(client, one)
    one.update(cron="0 10 * * 1", max_run_count=7)
    assert due(client, one) == before + 3600
    assert one.max_run_count == 7
    with pytest.raises(exceptions.InvalidArgument):
        one.update(cron="61 * * * *")
    assert due(client, one) == before + 3600


@pytest.mark.parametrize("cron", ["every day", "TZ=Mars/Base 0 * * * *", "0 0 30 2 *"])
def test_what_is_refused(schedule: Make, cron: str) -> None:
    """Before a schedule is made."""
    with pytest.raises(exceptions.InvalidArgument, match="cron"):
        schedule(QUICK, cron)


# --- notebooks ---------------------------------------------------------------------------------------------


def notebook(*cells: str) -> bytes:
    """A notebook of code cells."""
    said = [
        {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [], "source": one}
        for one in cells
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return json.dumps(
        {"cells": said, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 4}
    ).encode()


def wanted(content: bytes, **more: Any) -> Any:
    """A job that executes a notebook."""
    from google.cloud import aiplatform_v1

    return aiplatform_v1.NotebookExecutionJob(
        display_name="shown",
        direct_notebook_source={"content": content},
        gcs_output_uri="gs://test-bucket/notebooks",
        service_account="runner@test-project.iam.gserviceaccount.com",
        custom_environment_spec={"machine_spec": {"machine_type": "e2-standard-4"}},
        **more,
    )


@pytest.fixture
def notebooks(emulator: Any) -> Any:
    """The client of notebooks."""
    pytest.importorskip("nbclient")
    from google.cloud import aiplatform_v1

    return aiplatform_v1.NotebookServiceClient(client_options=OPTIONS)


def executed(notebooks: Any, job: Any) -> Any:
    """The job at its end."""
    name = notebooks.create_notebook_execution_job(parent=PARENT, notebook_execution_job=job).result().name
    last = time.monotonic() + 60
    while (one := notebooks.get_notebook_execution_job(name=name)).job_state.name in (
        "JOB_STATE_PENDING",
        "JOB_STATE_RUNNING",
    ):
        assert time.monotonic() < last
        time.sleep(0.1)
    return one


def test_a_notebook_is_executed(notebooks: Any, emulator: Any) -> None:
    """It lies with its outputs where they were asked for, also what a failure left of it."""
    good = executed(notebooks, wanted(notebook("x = 20 + 1", "print(2 * x)")))
    assert good.job_state.name == "JOB_STATE_SUCCEEDED"
    bad = executed(notebooks, wanted(notebook("print('before')", "1 / 0", "print('after')")))
    assert bad.job_state.name == "JOB_STATE_FAILED"
    assert bad.status.message == "ZeroDivisionError: division by zero"
    outputs = []
    for job in (good, bad):
        ident = job.name.rpartition("/")[2]
        made = json.loads(emulator.file(f"gs://test-bucket/notebooks/{ident}/{ident}.ipynb").read_text())
        outputs.append(
            [[one.get("text", one["output_type"]) for one in cell["outputs"]] for cell in made["cells"]]
        )
    assert outputs == [[[], [["42\n"]]], [[["before\n"]], ["error"], []]]


def test_a_notebook_in_a_bucket(notebooks: Any, emulator: Any) -> None:
    """And one that is not there."""
    from google.cloud import aiplatform_v1, storage

    storage.Client(project="test-project").bucket("test-bucket").blob("in/nb.ipynb").upload_from_string(
        notebook("print(1)")
    )
    for name, state in (("nb", "JOB_STATE_SUCCEEDED"), ("missing", "JOB_STATE_FAILED")):
        job = wanted(b"")
        job.gcs_notebook_source = aiplatform_v1.NotebookExecutionJob.GcsNotebookSource(
            uri=f"gs://test-bucket/in/{name}.ipynb"
        )
        assert executed(notebooks, job).job_state.name == state


def test_a_schedule_of_notebooks(notebooks: Any, client: Any, emulator: Any) -> None:
    """Each run is a job of its own, which says whose it is."""
    from google.cloud import aiplatform_v1

    request = aiplatform_v1.CreateNotebookExecutionJobRequest(
        parent=PARENT, notebook_execution_job=wanted(notebook("print(1)"))
    )
    kept = client.create_schedule(
        parent=PARENT,
        schedule=aiplatform_v1.Schedule(
            display_name="nb",
            cron="0 * * * *",
            max_concurrent_run_count=1,
            create_notebook_execution_job_request=request,
        ),
    )
    now = emulator._ask("GET", "/clock")["now"]
    emulator.advance(kept.next_run_time.timestamp() - now + 1)
    asked = aiplatform_v1.ListNotebookExecutionJobsRequest(
        parent=PARENT, filter=f'schedule_resource_name="{kept.name}"'
    )
    last = time.monotonic() + 60
    while [one.job_state.name for one in notebooks.list_notebook_execution_jobs(asked)] != [
        "JOB_STATE_SUCCEEDED"
    ]:
        assert time.monotonic() < last
        time.sleep(0.1)
    client.delete_schedule(name=kept.name)
