"""Endpoints whose models are served, and batch predictions, as aiplatform sees them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

exceptions = pytest.importorskip("google.api_core.exceptions")

SERVER = """
import http.server, json, os, sys
factor = float(sys.argv[1])
class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *said): pass
    def do_GET(self):
        self.send_response(200 if self.path == os.environ["AIP_HEALTH_ROUTE"] else 404)
        self.end_headers()
    def do_POST(self):
        said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status, made = 200, {"error": "no number"}
        if self.path != os.environ["AIP_PREDICT_ROUTE"]: status = 404
        elif "die" in said["instances"]: os._exit(9)
        elif not all(isinstance(one, (int, float)) for one in said["instances"]): status = 400
        else:
            add = (said.get("parameters") or {}).get("add", 0)
            made = {"predictions": [one * factor + add for one in said["instances"]]}
        body = json.dumps(made).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
print("serving", os.environ["AIP_STORAGE_URI"], flush=True)
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["AIP_HTTP_PORT"])), Handler).serve_forever()
"""
Upload = Callable[..., Any]


@pytest.fixture
def upload(aiplatform: Any) -> Upload:
    """`upload(2)`: a model that doubles; with `of=model` a new version of it."""

    def call(factor: float, code: str = SERVER, *, of: Any = None) -> Any:
        return aiplatform.Model.upload(
            display_name="times",
            artifact_uri="gs://test-bucket/model",
            serving_container_image_uri="gcr.io/p/serve:1",
            serving_container_command=["python3", "-c", code],
            serving_container_args=[str(factor)],
            serving_container_predict_route="/predict",
            serving_container_health_route="/health",
            parent_model=of.resource_name if of is not None else None,
        )

    return call


@pytest.fixture
def endpoint(aiplatform: Any) -> Iterator[Any]:
    """An endpoint without models."""
    one = aiplatform.Endpoint.create(display_name="shown")
    yield one
    one.undeploy_all()
    one.delete()


def test_a_deployed_model_predicts(upload: Upload, endpoint: Any) -> None:
    """With parameters, raw, and what goes wrong as the client's own errors."""
    with pytest.raises(exceptions.FailedPrecondition):
        endpoint.predict(instances=[1])
    model = upload(2)
    model.deploy(endpoint=endpoint, machine_type="n1-standard-2")
    made = endpoint.predict(instances=[1, 2.5])
    assert made.predictions == [2, 5]
    assert (made.model_resource_name, made.model_version_id) == (model.resource_name, "1")
    assert endpoint.predict(instances=[1], parameters={"add": 10}).predictions == [12]
    raw = endpoint.raw_predict(body=b'{"instances": [4]}', headers={"Content-Type": "application/json"})
    assert json.loads(raw.text) == {"predictions": [8]}
    streamed = endpoint.stream_raw_predict(
        body=b'{"instances": [5]}', headers={"Content-Type": "application/json"}
    )
    assert json.loads(b"".join(line if isinstance(line, bytes) else line.encode() for line in streamed)) == {
        "predictions": [10]
    }
    with pytest.raises(exceptions.InvalidArgument, match="no number"):
        endpoint.predict(instances=["x"])
    with pytest.raises(exceptions.FailedPrecondition, match="deployed"):
        endpoint.delete()


def test_googles_own_container(aiplatform: Any, endpoint: Any) -> None:
    """It has no command: what it does with a model that was pickled is known."""
    import pickle

    from google.cloud import storage

    bucket = storage.Client(project="test-project").bucket("test-bucket")
    bucket.blob("sklearn/model.pkl").upload_from_string(pickle.dumps(None))
    model = aiplatform.Model.upload(
        display_name="sklearn",
        artifact_uri="gs://test-bucket/sklearn",
        serving_container_image_uri="us-docker.pkg.dev/vertex-ai/prediction/sklearn-cpu.1-3:latest",
    )
    model.deploy(endpoint=endpoint, machine_type="n1-standard-2")
    with pytest.raises(exceptions.InvalidArgument, match="'NoneType' object has no attribute 'predict'"):
        endpoint.predict(instances=[1])


def test_a_server_that_died_is_started_anew(upload: Upload, endpoint: Any) -> None:
    """The call that it died of fails; the next is answered."""
    upload(3).deploy(endpoint=endpoint, machine_type="n1-standard-2")
    with pytest.raises(exceptions.ServiceUnavailable):
        endpoint.predict(instances=["die"])
    assert endpoint.predict(instances=[1]).predictions == [3]


def test_traffic_is_shared(upload: Upload, endpoint: Any) -> None:
    """Of any hundred calls each model has exactly its share."""
    first = upload(1)
    first.deploy(endpoint=endpoint, machine_type="n1-standard-2")
    upload(2, of=first).deploy(endpoint=endpoint, machine_type="n1-standard-2", traffic_percentage=30)
    assert sorted(endpoint.traffic_split.values()) == [30, 70]
    assert Counter(endpoint.predict(instances=[1]).predictions[0] for _ in range(50)) == {1: 35, 2: 15}
    one, two = sorted(endpoint.list_models(), key=lambda deployed: int(deployed.model_version_id))
    with pytest.raises(exceptions.InvalidArgument):
        endpoint.update(traffic_split={one.id: 50})
    endpoint.update(traffic_split={one.id: 0, two.id: 100})
    assert Counter(endpoint.predict(instances=[1]).predictions[0] for _ in range(10)) == {2: 10}
    endpoint.undeploy(deployed_model_id=one.id)
    assert [deployed.id for deployed in endpoint.list_models()] == [two.id]


@given(
    st.lists(st.integers(0, 100), min_size=1, max_size=5)
    .map(lambda xs: [*xs, 100 - sum(xs)])
    .filter(lambda xs: xs[-1] >= 0)
)
def test_shares_are_exact(shares: list[int]) -> None:
    """Whatever they are."""
    from nbvertex.emulator.endpoints import turn

    split = {str(number): share for number, share in enumerate(shares)}
    owed: dict[str, float] = {}
    turns = Counter(turn(owed, split) for _ in range(200))
    assert turns == {ident: 2 * share for ident, share in split.items() if share}


@pytest.mark.parametrize(
    "code,said",
    [("import sys; sys.exit('no model')", "status 1. Its last line was: no model")],
    ids=["exits"],
)
def test_a_server_that_does_not_start(upload: Upload, endpoint: Any, code: str, said: str) -> None:
    """The operation fails, and nothing is deployed."""
    with pytest.raises(exceptions.FailedPrecondition, match=said):
        upload(1, code).deploy(endpoint=endpoint, machine_type="n1-standard-2")
    assert endpoint.list_models() == []


@pytest.mark.parametrize(
    "name,text,instances,predictions",
    [
        ("a.jsonl", "\n".join(map(str, range(150))), list(range(150)), [2.0 * n for n in range(150)]),
        ("b.jsonl", '1\n"x"\n3\n', None, None),
    ],
)
def test_batch_predictions(
    upload: Upload,
    emulator: Any,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    text: str,
    instances: Any,
    predictions: Any,
) -> None:
    """Each instance with its prediction; what a batch of them went wrong of stands beside."""
    from google.cloud import storage

    monkeypatch.setattr("google.cloud.aiplatform.jobs._JOB_WAIT_TIME", 0.1)
    storage.Client(project="test-project").bucket("test-bucket").blob(f"in/{name}").upload_from_string(text)
    job = upload(2).batch_predict(
        job_display_name="shown",
        gcs_source=f"gs://test-bucket/in/{name}",
        gcs_destination_prefix="gs://test-bucket/out",
        machine_type="n1-standard-2",
        batch_size=1 if instances is None else None,
    )
    folder = job.output_info.gcs_output_directory
    lines = [
        json.loads(line)
        for line in emulator.file(f"{folder}/prediction.results-00000-of-00001").read_text().splitlines()
    ]
    errors = emulator.file(f"{folder}/prediction.errors_stats-00000-of-00001").read_text()
    if instances is None:
        assert [(one["instance"], one["prediction"]) for one in lines] == [(1, 2), (3, 6)]
        assert "no number" in errors
        assert (job.completion_stats.successful_count, job.completion_stats.failed_count) == (2, 1)
    else:
        assert [one["instance"] for one in lines] == instances
        assert [one["prediction"] for one in lines] == predictions
        assert errors == ""


def test_a_batch_prediction_of_nothing(upload: Upload, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is not there fails it."""
    monkeypatch.setattr("google.cloud.aiplatform.jobs._JOB_WAIT_TIME", 0.1)
    with pytest.raises(RuntimeError, match="No file matches gs://test-bucket/in/none"):
        upload(2).batch_predict(
            job_display_name="shown",
            gcs_source="gs://test-bucket/in/none",
            gcs_destination_prefix="gs://test-bucket/out",
            machine_type="n1-standard-2",
        )
