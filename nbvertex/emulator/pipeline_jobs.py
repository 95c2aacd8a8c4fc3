"""PipelineService: pipeline jobs that run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from nbvertex.emulator.calls import Call, Table
from nbvertex.emulator.compiled import parse
from nbvertex.emulator.container_step import ContainerSteps
from nbvertex.emulator.dag import Order, Run
from nbvertex.emulator.engine import Engine
from nbvertex.emulator.inputs import Inputs
from nbvertex.emulator.lineage import Lineage
from nbvertex.emulator.parameters import run_parameters
from nbvertex.emulator.pipeline_journal import PipelineJournal
from nbvertex.emulator.placeholders import UnknownPlaceholder
from nbvertex.emulator.problem import ApiError
from nbvertex.emulator.schema import Message, as_json
from nbvertex.emulator.spec import InvalidSpec, Pipeline
from nbvertex.emulator.states import FINAL, PENDING, Jobs
from nbvertex.emulator.surroundings import demand_bucket, surroundings
from nbvertex.emulator.tasks import Artifact, TaskFailed, new_id
from nbvertex.emulator.world import World

FAIL_FAST = 2  # PIPELINE_FAILURE_POLICY_FAIL_FAST


class PipelineJobs:
    """The pipeline jobs.

    Args:
        world: the emulator.
        engine: runs them.
    """

    def __init__(self, world: World, engine: Engine) -> None:
        self._world = world
        self._engine = engine
        self.jobs = Jobs(world, engine, "pipelineJobs")

    def serve(self, table: Table) -> None:
        """Answer what is special about them; the rest is as for every resource."""
        table.serve(
            "PipelineService",
            CreatePipelineJob=self.create,
            CancelPipelineJob=self._cancel,
            DeletePipelineJob=self._delete,
            BatchCancelPipelineJobs=self._cancel_several,
            BatchDeletePipelineJobs=self._delete_several,
        )

    def create(self, call: Call, schedule: str = "", due: float | None = None) -> Message:
        """Keep a new job and begin it.

        Args:
            call: as the client made it.
            schedule: the schedule that made it.
            due: when that was to be.

        Raises:
            ApiError: the pipeline or what it is given is not valid.
        """
        asked = call.request.pipeline_job
        pipeline, inputs = self._checked(asked, call.request.parent)
        if not call.request.pipeline_job_id:
            stamp = time.strftime("%Y%m%d%H%M%S", time.gmtime(self._world.clock.now()))
            call.request.pipeline_job_id = f"{pipeline.name}-{stamp}-{new_id() % 10**6:06d}"
        job = self._world.crud.drafted(call, state=PENDING)
        if not job.display_name:
            job.display_name = job.name.rpartition("/")[2]
        job.labels["vertex-ai-pipelines-run-billing-id"] = str(new_id())
        if schedule:
            job.schedule_name = schedule
        location, ident = job.name.split("/pipelineJobs/")
        with self._world.store.transaction():
            kept = self._world.store.add(job)
            lineage = Lineage(self._world, location, pipeline.name, ident, dict(job.labels))
            detail = kept.job_detail
            detail.pipeline_context.CopyFrom(lineage.pipeline)
            detail.pipeline_run_context.CopyFrom(lineage.run)
            self._world.store.put(kept)
        order = self._order(kept, pipeline, inputs, due)
        self.jobs.begin(kept.name, lambda: self._run(order, lineage))
        return kept

    def _checked(self, asked: Message, location: str) -> tuple[Pipeline, Inputs]:
        if not asked.pipeline_spec.fields:
            if asked.template_uri:
                raise ApiError(
                    "UNIMPLEMENTED", "The emulator has no Artifact Registry: submit the pipeline itself."
                )
            raise ApiError("INVALID_ARGUMENT", "pipeline_spec is required.")
        if not _root(asked):
            raise ApiError("INVALID_ARGUMENT", "runtime_config.gcs_output_directory is required.")
        if not _root(asked).startswith("gs://"):
            raise ApiError("INVALID_ARGUMENT", f"{_root(asked)!r} is not a Cloud Storage path (gs://...).")
        given = as_json(asked.runtime_config).get("parameterValues", {})
        given.update(_old_parameters(asked.runtime_config))
        try:
            pipeline = parse(as_json(asked.pipeline_spec))
            parameters = run_parameters(pipeline.root, given)
        except InvalidSpec as error:
            raise ApiError("INVALID_ARGUMENT", str(error)) from error
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ApiError("INVALID_ARGUMENT", f"pipeline_spec is no pipeline: {error!r}") from error
        artifacts = self._artifacts(asked, location)
        for name, port in pipeline.root.artifacts.items():
            if name not in artifacts and not port.optional:
                raise ApiError("INVALID_ARGUMENT", f"Input artifact {name!r} is required but none is given.")
        return pipeline, Inputs(parameters, artifacts)

    def _artifacts(self, asked: Message, location: str) -> dict[str, tuple[Artifact, ...]]:
        """The input artifacts of the run, from the metadata store."""
        found: dict[str, tuple[Artifact, ...]] = {}
        for key, one in asked.runtime_config.input_artifacts.items():
            place = "" if "/" in one.artifact_id else f"{location}/metadataStores/default/artifacts/"
            kept = self._world.store.get(f"{place}{one.artifact_id}")
            said = as_json(kept)
            schema = {"schemaTitle": kept.schema_title, "schemaVersion": kept.schema_version}
            found[key] = (Artifact(kept.name, kept.uri, schema, said.get("metadata", {})),)
        return found

    def _order(self, job: Message, pipeline: Pipeline, inputs: Inputs, due: float | None) -> Order:
        _, number, _, location, _, ident = job.name.split("/")
        root = _root(job).rstrip("/")
        created = job.create_time.ToJsonString()
        around = surroundings(self._world, job.name, job.service_account)
        facts = {
            "pipeline_job_name": ident,
            "pipeline_job_resource_name": job.name,
            "pipeline_job_uuid": str(new_id()),
            "pipeline_root": root,
            "pipeline_job_create_time_utc": created,
            "pipeline_job_schedule_time_utc": created if due is None else _utc(due),
            "pipeline_google_cloud_location": location,
            "pipeline_google_cloud_project_id": self._world.store.project(number),
            "pipeline_service_account": around.identity,
            "pipeline_encryption_key_name": job.encryption_spec.kms_key_name,
            "pipeline_network": job.network,
            "pipeline_persistent_resource_id": "",
            "pipeline_job_labels": json.dumps(dict(job.labels)),
        }
        return Order(
            name=job.name,
            pipeline=pipeline,
            inputs=inputs,
            root=f"{root}/{number}/{ident}",
            facts=facts,
            fail_fast=job.runtime_config.failure_policy == FAIL_FAST,
            labels=dict(job.labels),
            env=around.env,
        )

    async def _run(self, order: Order, lineage: Lineage) -> Callable[[Message], object]:
        journal = PipelineJournal(self._world, order.name, lineage)
        engine = self._engine
        steps = ContainerSteps(
            order, engine.processes, engine.memory, journal, engine.timer, engine.preempted
        )
        demand_bucket(self._world, order.root)
        try:
            await Run(order, steps, journal, self._world.clock.now).go()
        except TaskFailed as error:
            raise TaskFailed(self._why(order, error), error.code) from error
        except UnknownPlaceholder as error:
            raise TaskFailed(str(error)) from error
        finally:
            last = journal.last()
            if not engine.closing:
                journal.flush()
        return last

    def _why(self, order: Order, error: TaskFailed) -> str:
        number = order.name.split("/")[1]
        uuid, project = order.facts["pipeline_job_uuid"], self._world.store.project(number)
        return (
            f"{error.message}; Job (project_id = {project}, job_id = {uuid}) is failed due to the above error.; "
            f"Failed to handle the job: {{project_number = {number}, job_id = {uuid}}}"
        )

    def _cancel(self, call: Call) -> Message:
        self.jobs.cancel(call.request.name)
        return call.new("google.protobuf.Empty")

    def _cancel_several(self, call: Call) -> Message:
        for name in call.request.names:
            self.jobs.cancel(name)
        jobs = [self._world.store.get(name) for name in call.request.names]
        made = call.new("BatchCancelPipelineJobsResponse", pipeline_jobs=jobs)
        return self._world.operations.done(call, made, call.request.parent)

    def _delete(self, call: Call) -> Message:
        self._remove(call.request.name)
        return self._world.operations.done(call, call.new("google.protobuf.Empty"), call.request.name)

    def _delete_several(self, call: Call) -> Message:
        jobs = [self._world.store.get(name) for name in call.request.names]
        for job in jobs:
            self._remove(job.name)
        made = call.new("BatchDeletePipelineJobsResponse", pipeline_jobs=jobs)
        return self._world.operations.done(call, made, call.request.parent)

    def _remove(self, name: str) -> None:
        if self._world.store.get(name).state not in FINAL:
            raise ApiError(
                "FAILED_PRECONDITION", f"The PipelineJob {name} is not in a final state: cancel it first."
            )
        self._world.store.delete(name)


def _root(job: Message) -> str:
    said = job.runtime_config.gcs_output_directory
    if not said and "defaultPipelineRoot" in job.pipeline_spec.fields:
        said = job.pipeline_spec["defaultPipelineRoot"]
    return str(said)


def _old_parameters(config: Message) -> Mapping[str, Any]:
    """Parameters as clients of schema 2.0.0 give them."""
    return {key: getattr(value, value.WhichOneof("value")) for key, value in config.parameters.items()}


def _utc(moment: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))
