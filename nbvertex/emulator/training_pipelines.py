"""PipelineService, training pipelines: a custom job, and the model that it made in the registry."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from nbvertex.emulator.calls import Call, Table
from nbvertex.emulator.custom_jobs import CustomJobs, check_spec
from nbvertex.emulator.engine import Engine
from nbvertex.emulator.models import Models
from nbvertex.emulator.problem import ApiError
from nbvertex.emulator.schema import Message, as_json, from_json
from nbvertex.emulator.states import CANCELLED, FAILED, FINAL, PENDING, RUNNING, SUCCEEDED, Jobs
from nbvertex.emulator.tasks import TaskFailed, new_id
from nbvertex.emulator.world import World


class TrainingPipelines:
    """The training pipelines.

    Args:
        world: the emulator.
        engine: runs them.
        custom: runs the jobs behind them.
    """

    def __init__(self, world: World, engine: Engine, custom: CustomJobs) -> None:
        self._world = world
        self._engine = engine
        self._custom = custom
        self.jobs = Jobs(world, engine, "trainingPipelines")

    def serve(self, table: Table) -> None:
        """Answer what is special about them."""
        table.serve(
            "PipelineService",
            CreateTrainingPipeline=self._create,
            CancelTrainingPipeline=self._cancel,
            DeleteTrainingPipeline=self._delete,
        )

    def _create(self, call: Call) -> Message:
        asked = call.request.training_pipeline
        if "custom_task" not in asked.training_task_definition:
            raise ApiError(
                "UNIMPLEMENTED", f"The emulator does not train {asked.training_task_definition!r}."
            )
        if asked.input_data_config.dataset_id:
            raise ApiError(
                "UNIMPLEMENTED", "The emulator does not split managed datasets for training pipelines."
            )
        spec = self._spec(call, asked)
        check_spec(spec)
        made = self._world.crud.create(call, state=PENDING)
        self.jobs.begin(made.name, lambda: self._run(call, made, spec))
        return made

    def _spec(self, call: Call, asked: Message) -> Message:
        said = as_json(asked).get("trainingTaskInputs", {})
        spec = from_json(said, call.new("CustomJobSpec"))
        for part in ("timeout", "restartJobOnWorkerRestart", "disableRetries"):
            if part in said:  # the first clients gave them here
                from_json({"scheduling": {part: said[part]}}, spec)
        return spec

    async def _run(self, call: Call, made: Message, spec: Message) -> Callable[[Message], object] | None:
        location = made.name.partition("/trainingPipelines/")[0]
        job = call.new(
            "CustomJob",
            name=f"{location}/customJobs/{new_id()}",
            display_name=f"{made.display_name}-custom-job",
            job_spec=spec,
            state=RUNNING,
        )
        self._world.crud.stamp(job, "create_time", "start_time", "update_time")
        self._world.store.add(job)
        self._world.store.update(
            made.name, lambda one: from_json({"trainingTaskMetadata": {"backingCustomJob": job.name}}, one)
        )
        try:
            await self._custom.run(job.name, spec)
        except TaskFailed as error:
            self._custom.jobs.end(job.name, FAILED, error)
            raise
        except asyncio.CancelledError:
            if not self._engine.closing:
                self._custom.jobs.end(job.name, CANCELLED)
            raise
        self._custom.jobs.end(job.name, SUCCEEDED)
        if not made.model_to_upload.display_name:
            return None
        model = self._uploaded(made, spec)
        return lambda one: one.model_to_upload.CopyFrom(model)

    def _uploaded(self, made: Message, spec: Message) -> Message:
        """The model in the registry.

        Raises:
            ApiError: the registry does not take it.
        """
        model = type(made.model_to_upload)()
        model.CopyFrom(made.model_to_upload)
        base = spec.base_output_directory.output_uri_prefix
        if not model.artifact_uri and base:
            model.artifact_uri = f"{base.rstrip('/')}/model"
        location = made.name.partition("/trainingPipelines/")[0]
        return Models(self._world).upload(location, model, made.model_id, made.parent_model)

    def _cancel(self, call: Call) -> Message:
        self.jobs.cancel(call.request.name)
        return call.new("google.protobuf.Empty")

    def _delete(self, call: Call) -> Message:
        name = call.request.name
        if self._world.store.get(name).state not in FINAL:
            raise ApiError("FAILED_PRECONDITION", f"The TrainingPipeline {name} is not in a final state.")
        self._world.store.delete(name)
        return self._world.operations.done(call, call.new("google.protobuf.Empty"), name)
