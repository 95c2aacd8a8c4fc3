"""Every service that the emulator has, in one list."""

from __future__ import annotations

from collections.abc import Callable

from nbvertex.emulator import executors, iam, metadata_store, models, projects, secret_manager, tensorboards
from nbvertex.emulator.calls import Table
from nbvertex.emulator.world import World

SERVICES: tuple[Callable[[World, Table], None], ...] = (
    projects.serve, iam.serve, secret_manager.serve, metadata_store.serve, models.serve,
    tensorboards.serve, executors.serve,
)  # fmt: skip
"""What each module registers; those that do work without a call add their turns to `world.background`."""


def register(world: World) -> None:
    """Fill the table of methods."""
    world.operations.serve(world.table)
    world.logs.serve(world.table)
    for serve in SERVICES:
        serve(world, world.table)
