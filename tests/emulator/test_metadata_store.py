"""Vertex ML Metadata and experiments, as aiplatform sees them."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

exceptions = pytest.importorskip("google.api_core.exceptions")


@pytest.fixture
def experiment(aiplatform: Any, request: pytest.FixtureRequest) -> str:
    """A new experiment, which is that of the client."""
    name = request.node.name.replace("_", "-")[:60]
    aiplatform.init(project="test-project", location="us-central1", experiment=name)
    yield name
    aiplatform.init(project="test-project", location="us-central1")
    aiplatform.metadata.metadata._experiment_tracker.reset()


def test_an_experiment_holds_what_its_runs_logged(aiplatform: Any, experiment: str) -> None:
    """Parameters and metrics of each run, one row a run."""
    pytest.importorskip("pandas")
    for name, rate in (("one", 0.1), ("two", 0.2)):
        with aiplatform.start_run(name):
            aiplatform.log_params({"rate": rate, "kind": "sgd"})
            aiplatform.log_metrics({"accuracy": 1 - rate})
    found = aiplatform.get_experiment_df(experiment).sort_values("run_name")
    assert list(found["run_name"]) == ["one", "two"]
    assert list(found["param.rate"]) == [0.1, 0.2]
    assert list(found["metric.accuracy"]) == [0.9, 0.8]
    assert set(found["state"]) == {"COMPLETE"}
    again = aiplatform.ExperimentRun("one", experiment=experiment)
    assert (again.get_params(), again.get_metrics()) == ({"rate": 0.1, "kind": "sgd"}, {"accuracy": 0.9})


def test_a_run_goes_on_and_is_deleted(aiplatform: Any, experiment: str) -> None:
    """`resume` adds to it, `delete` takes it out of the experiment."""
    with aiplatform.start_run("one"):
        aiplatform.log_params({"a": 1})
    with aiplatform.start_run("one", resume=True):
        aiplatform.log_metrics({"m": 2})
    run = aiplatform.ExperimentRun("one", experiment=experiment)
    assert (run.get_params(), run.get_metrics()) == ({"a": 1}, {"m": 2})
    run.delete()
    assert aiplatform.ExperimentRun.list(experiment=experiment) == []


def test_a_run_knows_what_went_in_and_out(aiplatform: Any, experiment: str) -> None:
    """Executions and artifacts of a run, and which artifact was in and which was out."""
    with aiplatform.start_run("one") as run:
        data = aiplatform.Artifact.create(schema_title="system.Dataset", uri="gs://b/d", display_name="data")
        with aiplatform.start_execution(
            schema_title="system.ContainerExecution", display_name="train"
        ) as execution:
            execution.assign_input_artifacts([data])
            model = aiplatform.Artifact.create(
                schema_title="system.Model", uri="gs://b/m", display_name="model"
            )
            execution.assign_output_artifacts([model])
        assert [one.display_name for one in run.get_executions()] == ["train"]
        assert {one.display_name for one in run.get_artifacts()} >= {"data", "model"}
        assert [one.display_name for one in execution.get_input_artifacts()] == ["data"]
        assert [one.display_name for one in execution.get_output_artifacts()] == ["model"]
        assert execution.state.name == "COMPLETE"


def test_lineage_is_followed(aiplatform: Any, emulator: Any) -> None:
    """From an artifact as many hops as were asked for, over the client's own stub."""
    from google.cloud import aiplatform_v1 as v1

    made = [
        aiplatform.Artifact.create(schema_title="system.Dataset", uri=f"gs://b/{i}", display_name=f"d{i}")
        for i in range(3)
    ]
    for source, target in itertools.pairwise(made):
        with aiplatform.start_execution(schema_title="system.Run", display_name="step") as step:
            step.assign_input_artifacts([source])
            step.assign_output_artifacts([target])
    client = v1.MetadataServiceClient(
        client_options={"api_endpoint": "us-central1-aiplatform.googleapis.com"}
    )

    def reached(**asked: Any) -> list[str]:
        said = v1.QueryArtifactLineageSubgraphRequest(artifact=made[0].resource_name, **asked)
        found = client.query_artifact_lineage_subgraph(said)
        return sorted(one.display_name for one in found.artifacts)

    assert reached(max_hops=2) == ["d0", "d1"]
    assert reached() == ["d0", "d1", "d2"]
    assert reached(filter='display_name="d1"') == ["d0", "d1"]


def test_artifacts_are_listed_by_what_they_hold(aiplatform: Any) -> None:
    """Filters on schema, metadata and context, as the client's documentation has them."""
    for number in (1, 2):
        aiplatform.Artifact.create(
            schema_title="system.Dataset",
            display_name=f"filtered {number}",
            metadata={"rows": number, "kind": "csv"},
        )
    listed = aiplatform.Artifact.list
    assert len(listed(filter='schema_title="system.Dataset" AND display_name="filtered*"')) == 2
    assert [a.display_name for a in listed(filter="metadata.rows.number_value>1")] == ["filtered 2"]
    assert len(listed(filter='metadata.kind.string_value="csv" AND display_name="filtered 1"')) == 1
    with pytest.raises(exceptions.InvalidArgument):
        listed(filter="no_such_field=1")


def test_a_context_holds_its_own(aiplatform: Any) -> None:
    """Children know their parents; a circle is refused."""
    above = aiplatform.Context.create(
        schema_title="system.Experiment", resource_id="above", display_name="above"
    )
    below = aiplatform.Context.create(
        schema_title="system.ExperimentRun", resource_id="below", display_name="below"
    )
    above.add_context_children([below])
    found = aiplatform.Context.list(filter=f'parent_contexts:"{above.resource_name}"')
    assert [one.display_name for one in found] == ["below"]
    assert list(aiplatform.Context("below").gca_resource.parent_contexts) == [above.resource_name]
    with pytest.raises(exceptions.InvalidArgument):
        below.add_context_children([above])
    again = aiplatform.Context.create(schema_title="system.Experiment", display_name="named by the service")
    again.update(metadata={"a": 1}, description="said later")
    assert aiplatform.Context(again.name).metadata == {"a": 1}
    again.delete()
    with pytest.raises(exceptions.NotFound):
        aiplatform.Context(again.name)


def test_time_series_are_given_back(aiplatform: Any, experiment: str) -> None:
    """Metrics by step, in the TensorBoard that the client made for the experiment."""
    pandas = pytest.importorskip("pandas")
    with aiplatform.start_run("one") as run:
        for step in (1, 2, 3):
            aiplatform.log_time_series_metrics({"loss": 1 / step}, step=step)
        found = run.get_time_series_data_frame()
    assert isinstance(found, pandas.DataFrame)
    assert list(found["step"]) == [1, 2, 3]
    assert list(found["loss"]) == pytest.approx([1, 1 / 2, 1 / 3])


def test_what_holds_it_must_be_there(aiplatform: Any) -> None:
    """A run of an experiment that is not there is refused."""
    with pytest.raises(exceptions.NotFound):
        aiplatform.TensorboardExperiment.create(tensorboard_experiment_id="e", tensorboard_name="123")
