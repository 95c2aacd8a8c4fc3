"""A hundred pipelines of ten steps at once: all end well, and the emulator stays small."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

dsl = pytest.importorskip("kfp.dsl")
PARENT = "projects/test-project/locations/us-central1"
PIPELINES, STEPS = 100, 10


@pytest.mark.slow
def test_none_is_lost(aiplatform: Any, emulator: Any, tmp_path: Any) -> None:
    """Each succeeds with all its tasks."""
    import yaml
    from google.cloud import aiplatform_v1 as v1
    from google.protobuf import struct_pb2
    from kfp import compiler

    @dsl.component(base_image="python:3.11")
    def one_more(number: int) -> int:
        return number + 1

    @dsl.pipeline(name="load")
    def chain() -> None:
        step = one_more(number=0)
        for _ in range(STEPS - 1):
            step = one_more(number=step.output)

    compiler.Compiler().compile(chain, str(tmp_path / "chain.yaml"))
    said = yaml.safe_load((tmp_path / "chain.yaml").read_text())
    for task in said["root"]["dag"]["tasks"].values():
        task.pop("cachingOptions", None)
    spec = struct_pb2.Struct()
    spec.update(said)
    jobs = v1.PipelineServiceClient(client_options={"api_endpoint": "us-central1-aiplatform.googleapis.com"})

    def submit(number: int) -> None:
        job = v1.PipelineJob(
            pipeline_spec=spec, runtime_config={"gcs_output_directory": "gs://test-bucket/load"}
        )
        jobs.create_pipeline_job(parent=PARENT, pipeline_job=job, pipeline_job_id=f"load-{number}")

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(submit, range(PIPELINES)))
    asked = {"parent": PARENT, "filter": 'pipeline_name="load"', "page_size": 200}
    until = time.monotonic() + 300
    while True:
        found = list(jobs.list_pipeline_jobs(request={**asked, "read_mask": {"paths": ["state"]}}))
        states = {job.state.name for job in found}
        if states <= {"PIPELINE_STATE_SUCCEEDED", "PIPELINE_STATE_FAILED"}:
            break
        assert time.monotonic() < until, states
        time.sleep(0.5)
    whole = list(jobs.list_pipeline_jobs(request=asked))
    tasks = [
        task for job in whole for task in job.job_detail.task_details if task.task_name.startswith("one-more")
    ]
    assert (len(whole), states) == (PIPELINES, {"PIPELINE_STATE_SUCCEEDED"})
    assert [task.state.name for task in tasks] == ["SUCCEEDED"] * PIPELINES * STEPS
