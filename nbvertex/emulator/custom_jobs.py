"""JobService, custom jobs: containers and Python packages, on one machine or several."""

from __future__ import annotations

import asyncio
from pathlib import Path

from nbvertex.emulator.calls import Call, Table
from nbvertex.emulator.cluster import Cluster, Replica
from nbvertex.emulator.container_step import exit_message
from nbvertex.emulator.engine import Engine
from nbvertex.emulator.images import Unmapped
from nbvertex.emulator.packages import lay_out
from nbvertex.emulator.placeholders import expand
from nbvertex.emulator.problem import ApiError
from nbvertex.emulator.processes import CannotStart, Command
from nbvertex.emulator.schema import Message
from nbvertex.emulator.spawning import SpawnerDied
from nbvertex.emulator.states import FINAL, PENDING, Jobs
from nbvertex.emulator.surroundings import demand_bucket, surroundings
from nbvertex.emulator.tasks import TaskFailed
from nbvertex.emulator.world import World

WEEK = 7 * 86400.0
MOST_RESTARTS = 3
INVALID, DEADLINE, UNAVAILABLE = 3, 4, 14


class Preempted(Exception):
    """The machine of a replica was taken away."""


class CustomJobs:
    """The custom jobs.

    Args:
        world: the emulator.
        engine: runs them.
    """

    def __init__(self, world: World, engine: Engine) -> None:
        self._world = world
        self._engine = engine
        self.jobs = Jobs(world, engine, "customJobs")

    def serve(self, table: Table) -> None:
        """Answer what is special about them."""
        table.serve(
            "JobService",
            CreateCustomJob=self._create,
            CancelCustomJob=self._cancel,
            DeleteCustomJob=self._delete,
        )

    def _create(self, call: Call) -> Message:
        check(call.request.custom_job)
        job = self._world.crud.create(call, state=PENDING)
        self.jobs.begin(job.name, lambda: self.run(job.name, job.job_spec))
        return job

    def _cancel(self, call: Call) -> Message:
        self.jobs.cancel(call.request.name)
        return call.new("google.protobuf.Empty")

    def _delete(self, call: Call) -> Message:
        name = call.request.name
        if self._world.store.get(name).state not in FINAL:
            raise ApiError(
                "FAILED_PRECONDITION", f"The CustomJob {name} is not in a final state: cancel it first."
            )
        self._world.store.delete(name)
        return self._world.operations.done(call, call.new("google.protobuf.Empty"), name)

    async def run(self, name: str, spec: Message) -> None:
        """Run what a job specification asks for, until it has ended well.

        Args:
            name: the custom job's resource name.
            spec: a CustomJobSpec.

        Raises:
            TaskFailed: it has not.
        """
        demand_bucket(self._world, spec.base_output_directory.output_uri_prefix)
        limit = spec.scheduling.timeout.ToNanoseconds() / 1e9 or WEEK
        again = spec.scheduling.restart_job_on_worker_restart and not spec.scheduling.disable_retries
        running = asyncio.get_running_loop().create_task(
            self._restarting(name, spec, MOST_RESTARTS if again else 0)
        )
        alarm = asyncio.get_running_loop().create_task(self._engine.timer.sleep(limit))
        running.add_done_callback(lambda _: alarm.cancel())
        try:
            await asyncio.wait([alarm])
            late = not running.done()
        finally:
            alarm.cancel()
            running.cancel()
            await asyncio.wait([running])
        if late:
            raise TaskFailed(f"The job has run longer than its timeout of {limit:g} seconds.", DEADLINE)
        running.result()

    async def _restarting(self, name: str, spec: Message, restarts: int) -> None:
        attempt = 1
        while True:
            try:
                await self._once(name, spec, attempt)
            except Preempted as gone:
                if attempt > restarts:
                    raise TaskFailed(str(gone), UNAVAILABLE) from gone
                attempt += 1
            else:
                return

    async def _once(self, name: str, spec: Message, attempt: int) -> None:
        """Run every replica; the job has ended when those have that do not only serve the others, or one failed."""
        cluster = Cluster.of(
            [int(pool.replica_count or 1) * _wanted(pool) for pool in spec.worker_pool_specs]
        )
        loop = asyncio.get_running_loop()
        tasks = {
            loop.create_task(self._replica(name, spec, cluster, replica, attempt)): replica
            for replica in cluster.replicas
        }
        left = set(tasks)
        try:
            while any(not tasks[task].is_server for task in left):
                done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        finally:
            for task in left:
                task.cancel()
            if left:
                await asyncio.wait(left)

    async def _replica(
        self, name: str, spec: Message, cluster: Cluster, replica: Replica, attempt: int
    ) -> None:
        command = await asyncio.to_thread(self._command, name, spec, cluster, replica, attempt)
        try:
            ended = await self._engine.processes.run_now(command)
        except (Unmapped, CannotStart, SpawnerDied) as error:
            raise TaskFailed(str(error), INVALID) from error
        if ended.stopped == "preempted":
            raise Preempted(exit_message(ended, replica.name))
        if ended.code:
            raise TaskFailed(exit_message(ended, replica.name))

    def _command(self, name: str, spec: Message, cluster: Cluster, replica: Replica, attempt: int) -> Command:
        ident = name.rpartition("/")[2]
        folder = f"custom/{ident}/{replica.name}.{attempt}"
        env = {
            **surroundings(self._world, name, spec.service_account).env,
            **cluster.variables(replica),
            **_outputs(spec.base_output_directory.output_uri_prefix),
        }
        pool = spec.worker_pool_specs[replica.pool]
        if pool.WhichOneof("task") == "python_package_spec":
            package = pool.python_package_spec
            files = [(uri, self._world.path(uri)) for uri in package.package_uris]
            root = self._world.settings.folder / "attempts" / f"{folder}.packages"
            env["PYTHONPATH"] = ":".join(lay_out(files, Path(root)))
            image, words, args, given = (
                package.executor_image_uri, ("python3", "-m", package.python_module), package.args, package.env,
            )  # fmt: skip
        else:
            container = pool.container_spec
            image, words, args, given = (
                container.image_uri, tuple(container.command), container.args, container.env,
            )  # fmt: skip
        for one in given:
            env[one.name] = expand(one.value, env)
        return Command(
            image=image,
            words=words,
            args=tuple(args),
            env=env,
            folder=folder,
            job=name,
            log=replica.name,
            preempted=self._engine.preempted(name),
        )


def check(job: Message) -> None:
    """Refuse a custom job that cannot be one.

    Raises:
        ApiError: it has no name, no container, ...
    """
    if not job.display_name:
        raise ApiError("INVALID_ARGUMENT", "display_name is required.")
    check_spec(job.job_spec)


def check_spec(spec: Message) -> None:
    """Refuse a job specification that cannot be one."""
    pools = spec.worker_pool_specs
    if not pools or not _wanted(pools[0]):
        raise ApiError("INVALID_ARGUMENT", "worker_pool_specs must have at least one pool.")
    for number, pool in enumerate(pools):
        if not _wanted(pool):
            continue
        task = pool.WhichOneof("task")
        image = pool.container_spec.image_uri or pool.python_package_spec.executor_image_uri
        if task is None or not image:
            raise ApiError("INVALID_ARGUMENT", f"worker_pool_specs[{number}] names no container image.")
        if not pool.machine_spec.machine_type:
            raise ApiError(
                "INVALID_ARGUMENT", f"worker_pool_specs[{number}].machine_spec.machine_type is required."
            )
        if task == "python_package_spec" and not pool.python_package_spec.python_module:
            raise ApiError(
                "INVALID_ARGUMENT",
                f"worker_pool_specs[{number}].python_package_spec.python_module is required.",
            )
        if number == 0 and pool.replica_count > 1:
            raise ApiError("INVALID_ARGUMENT", "worker_pool_specs[0].replica_count must be 1.")


def _wanted(pool: Message) -> int:
    """Whether a pool is asked for at all: an empty one keeps a place."""
    return int(pool.WhichOneof("task") is not None)


def _outputs(base: str) -> dict[str, str]:
    """Where a job may put what it makes."""
    if not base:
        return {}
    base = base.rstrip("/")
    return {
        "AIP_MODEL_DIR": f"{base}/model/",
        "AIP_CHECKPOINT_DIR": f"{base}/checkpoints/",
        "AIP_TENSORBOARD_LOG_DIR": f"{base}/logs/",
    }
