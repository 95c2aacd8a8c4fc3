"""All that executes what is submitted, made known to the emulator."""

from __future__ import annotations

from nbvertex.emulator.calls import Table
from nbvertex.emulator.custom_jobs import CustomJobs
from nbvertex.emulator.engine import Engine
from nbvertex.emulator.pipeline_jobs import PipelineJobs
from nbvertex.emulator.training_pipelines import TrainingPipelines
from nbvertex.emulator.world import World


def serve(world: World, table: Table) -> None:
    """Answer the calls that begin and end work, and do the work."""
    engine = Engine(world)
    pipelines = PipelineJobs(world, engine)
    custom = CustomJobs(world, engine)
    training = TrainingPipelines(world, engine, custom)
    for kind in (pipelines, custom, training):
        kind.serve(table)
        kind.jobs.recover()
    world.background.add(lambda now: None, engine.close)
