"""What a job's containers find in their environment: who they are, and the way to the emulator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nbvertex.emulator.preconditions import StorageError
from nbvertex.emulator.tasks import TaskFailed
from nbvertex.emulator.world import World

NOT_FOUND = 5


@dataclass(frozen=True, slots=True)
class Around:
    """A job's identity and its variables."""

    identity: str
    env: Mapping[str, str]


def surroundings(world: World, job: str, service_account: str = "") -> Around:
    """What the containers of a job find.

    Args:
        world: the emulator.
        job: the job's resource name.
        service_account: as which it runs; "": the project's default one.
    """
    _, number, _, location, *_ = job.split("/")
    identity = service_account or f"{number}-compute@developer.gserviceaccount.com"
    project = world.store.project(number)
    env = {
        **world.environment(identity, project=project),
        "CLOUD_ML_PROJECT_ID": number,
        "CLOUD_ML_REGION": location,
        "CLOUD_ML_JOB_ID": job.rpartition("/")[2],
    }
    return Around(identity, env)


def demand_bucket(world: World, uri: str) -> None:
    """Make sure that there is a bucket to write to.

    Args:
        world: the emulator.
        uri: of what is to be written; "": nothing is.

    Raises:
        TaskFailed: there is none.
    """
    if not uri:
        return
    name = uri.removeprefix("gs://").partition("/")[0]
    try:
        world.buckets.bucket(name)
    except StorageError as error:
        raise TaskFailed(f"The Cloud Storage bucket of {uri!r} does not exist.", NOT_FOUND) from error
