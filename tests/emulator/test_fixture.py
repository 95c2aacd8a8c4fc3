"""The fixture `vertex_emulator`, as the tests of a user's own project have it."""

from __future__ import annotations

import pytest

pytest.importorskip("google.cloud.aiplatform_v1", exc_type=ImportError)
pytest_plugins = ["pytester"]

TESTS = """
import os, sys

PARENT = "projects/test-project/locations/us-central1"

def jobs():
    from google.cloud import aiplatform_v1 as v1
    return v1.JobServiceClient(client_options={"api_endpoint": "us-central1-aiplatform.googleapis.com"})

def test_a_job_runs(vertex_emulator):
    import time
    code = "import sys; from google.cloud import storage; storage.Client().bucket('test-bucket').blob('out').upload_from_string(sys.executable)"
    pool = {"machine_spec": {"machine_type": "n1-standard-4"}, "replica_count": 1,
            "container_spec": {"image_uri": "any:1", "command": ["python", "-c", code]}}
    made = jobs().create_custom_job(parent=PARENT, custom_job={"display_name": "j", "job_spec": {"worker_pool_specs": [pool]}})
    while made.state.name not in ("JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED"):
        made = jobs().get_custom_job(name=made.name)
        time.sleep(0.05)
    assert made.state.name == "JOB_STATE_SUCCEEDED", made.error
    assert os.path.samefile(vertex_emulator.file("gs://test-bucket/out").read_text(), sys.executable)
    assert vertex_emulator.calls("JobService.CreateCustomJob")[0]["identity"].startswith("developer@")
    vertex_emulator.fault(method="*", status="UNAVAILABLE")

def test_nothing_is_wrong_in_the_next_test(vertex_emulator):
    assert len(list(jobs().list_custom_jobs(parent=PARENT))) == 1

def test_without_it_nothing_is_set():
    assert "NBVERTEX_EMULATOR_URL" not in os.environ
"""


def test_a_project_has_it(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Google's clients reach the emulator in the tests that ask for it, and only there."""
    for name in ("NBVERTEX_EMULATOR_URL", "GOOGLE_CLOUD_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    pytester.makepyfile(TESTS)
    pytester.runpytest_subprocess("-p", "no:cacheprovider", "-W", "ignore").assert_outcomes(passed=3)
