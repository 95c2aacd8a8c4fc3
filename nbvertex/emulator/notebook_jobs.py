"""NotebookService: notebooks that are executed in a mapped environment, and put where they were asked for."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from nbvertex.emulator.calls import Call, Table
from nbvertex.emulator.engine import Engine
from nbvertex.emulator.images import Unmapped
from nbvertex.emulator.problem import ApiError
from nbvertex.emulator.processes import HERE, CannotStart, Command
from nbvertex.emulator.schema import Message
from nbvertex.emulator.spawning import SpawnerDied
from nbvertex.emulator.states import PENDING, Jobs
from nbvertex.emulator.surroundings import demand_bucket, surroundings
from nbvertex.emulator.tasks import TaskFailed
from nbvertex.emulator.world import World

IMAGE = "notebook-execution"
"""What stands in the table of images for the environment of notebooks: such a job names no image."""

DAY = 86400.0
INVALID, DEADLINE, MISSING = 3, 4, 5


class NotebookJobs:
    """The notebook execution jobs.

    Args:
        world: the emulator.
        engine: runs them.
    """

    def __init__(self, world: World, engine: Engine) -> None:
        self._world = world
        self._engine = engine
        self.jobs = Jobs(world, engine, "notebookExecutionJobs", state="job_state", error="status")

    def serve(self, table: Table) -> None:
        """Answer what is special about them."""
        table.serve(
            "NotebookService",
            CreateNotebookExecutionJob=self.create,
            DeleteNotebookExecutionJob=self._delete,
        )

    def create(self, call: Call, schedule: str = "") -> Message:
        """Keep a new job and begin it.

        Args:
            call: as the client made it.
            schedule: the schedule that made it.

        Returns:
            an operation that has ended; the job goes on.

        Raises:
            ApiError: it names no notebook, no place for the result, or nobody who runs it.
        """
        asked = call.request.notebook_execution_job
        for choice in ("notebook_source", "execution_sink", "execution_identity"):
            if asked.WhichOneof(choice) is None:
                raise ApiError("INVALID_ARGUMENT", f"{choice} is required.")
        if asked.WhichOneof("notebook_source") == "dataform_repository_source":
            raise ApiError("UNIMPLEMENTED", "The emulator has no Dataform repositories.")
        if not asked.gcs_output_uri.startswith("gs://"):
            raise ApiError("INVALID_ARGUMENT", f"gcs_output_uri {asked.gcs_output_uri!r} is not a gs:// URI.")
        job = self._world.crud.create(call, job_state=PENDING, schedule_resource_name=schedule)
        self.jobs.begin(job.name, lambda: self._run(job))
        return self._world.operations.done(call, job, job.name)

    async def _run(self, job: Message) -> None:
        ident = job.name.rpartition("/")[2]
        folder = self._world.settings.folder / "attempts" / "notebooks"
        source, made = folder / f"{ident}.source.ipynb", folder / f"{ident}.ipynb"
        demand_bucket(self._world, job.gcs_output_uri)
        await asyncio.to_thread(self._fetch, job, source)
        around = surroundings(self._world, job.name, job.service_account or job.execution_user)
        command = Command(
            image=IMAGE,
            words=(
                "python3",
                str(HERE / "inside" / "execute_notebook.py"),
                str(source),
                str(made),
                job.kernel_name,
            ),
            env={**around.env, "MPLBACKEND": "module://matplotlib_inline.backend_inline"},
            folder=f"notebooks/{ident}",
            job=job.name,
            log="notebook",
            timeout=job.execution_timeout.ToNanoseconds() / 1e9 or DAY,
        )
        try:
            ended = await self._engine.processes.run_now(command)
        except (Unmapped, CannotStart, SpawnerDied) as error:
            raise TaskFailed(str(error), INVALID) from error
        if made.exists():
            target = Path(
                self._engine.processes.path(f"{job.gcs_output_uri.rstrip('/')}/{ident}/{ident}.ipynb")
            )
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(made, target)
        if ended.stopped:
            raise TaskFailed("The execution ran longer than its timeout.", DEADLINE)
        if ended.code:
            raise TaskFailed(ended.last or f"The execution ended with status {ended.code}.")

    def _fetch(self, job: Message, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        if job.WhichOneof("notebook_source") == "direct_notebook_source":
            target.write_bytes(job.direct_notebook_source.content)
            return
        uri = job.gcs_notebook_source.uri
        try:
            shutil.copyfile(self._world.path(uri), target)
        except OSError as error:
            raise TaskFailed(f"The notebook {uri} cannot be read: {error.strerror}.", MISSING) from error

    def _delete(self, call: Call) -> Message:
        name = self._world.store.get(call.request.name).name
        self._engine.cancel(name)
        self._world.store.delete(name)
        return self._world.operations.done(call, call.new("google.protobuf.Empty"), name)
