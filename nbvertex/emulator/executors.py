"""All that executes what is submitted, made known to the emulator."""

from __future__ import annotations

from nbvertex.emulator.batch_predictions import BatchPredictions
from nbvertex.emulator.calls import Call, Table
from nbvertex.emulator.crud import unserved
from nbvertex.emulator.custom_jobs import CustomJobs
from nbvertex.emulator.endpoints import Endpoints
from nbvertex.emulator.engine import Engine
from nbvertex.emulator.model_servers import ModelServers
from nbvertex.emulator.notebook_jobs import NotebookJobs
from nbvertex.emulator.pipeline_jobs import PipelineJobs
from nbvertex.emulator.problem import ApiError
from nbvertex.emulator.schedules import Schedules
from nbvertex.emulator.schema import Message
from nbvertex.emulator.training_pipelines import TrainingPipelines
from nbvertex.emulator.world import World

REFUSED = {
    "JobService": ("HyperparameterTuningJob", "NasJob", "DataLabelingJob", "ModelDeploymentMonitoringJob"),
    "GenAiTuningService": ("TuningJob",),
    "PersistentResourceService": ("PersistentResource",),
}
"""Resources that would have to do something, and would only be kept: better none than one that never ends."""


def _refuse(call: Call) -> Message:
    raise unserved(call)


def serve(world: World, table: Table) -> None:
    """Answer the calls that begin and end work, and do the work."""
    engine = Engine(world)
    pipelines = PipelineJobs(world, engine)
    custom = CustomJobs(world, engine)
    training = TrainingPipelines(world, engine, custom)
    notebooks = NotebookJobs(world, engine)
    servers = ModelServers(world, engine)
    Endpoints(world, engine, servers).serve(table)
    batches = BatchPredictions(world, engine, servers)
    for kind in (pipelines, custom, training, notebooks, batches):
        kind.serve(table)
        kind.jobs.recover()
    schedules = Schedules(world, pipelines, notebooks)
    schedules.serve(table)
    schedules.recover()
    for operation in world.store.all("operations"):
        if not operation.done:
            stopped = ApiError("UNAVAILABLE", "The emulator was stopped while the operation was under way.")
            world.operations.fail(operation.name, stopped)
    for service, kinds in REFUSED.items():
        table.serve(service, **{f"Create{kind}": _refuse for kind in kinds})
    world.background.add(schedules.turn, engine.close)
