"""JobService, batch prediction: instances from files, through a model's server, to files."""

from __future__ import annotations

import asyncio
import csv
import glob
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from nbvertex.emulator.calls import Call, Table
from nbvertex.emulator.endpoints import predictions
from nbvertex.emulator.engine import Engine
from nbvertex.emulator.model_servers import ModelServers, Wanted, container_of
from nbvertex.emulator.models import Models
from nbvertex.emulator.problem import ApiError
from nbvertex.emulator.schema import Message, as_json
from nbvertex.emulator.states import FINAL, PENDING, Jobs
from nbvertex.emulator.tasks import TaskFailed
from nbvertex.emulator.world import World

BATCH = 64
FORMATS = ("jsonl", "csv", "file-list")


class BatchPredictions:
    """The batch prediction jobs.

    Args:
        world: the emulator.
        engine: runs them.
        servers: the models' servers.
    """

    def __init__(self, world: World, engine: Engine, servers: ModelServers) -> None:
        self._world = world
        self._servers = servers
        self._models = Models(world)
        self.jobs = Jobs(world, engine, "batchPredictionJobs")

    def serve(self, table: Table) -> None:
        """Answer what is special about them."""
        table.serve(
            "JobService",
            CreateBatchPredictionJob=self._create,
            CancelBatchPredictionJob=self._cancel,
            DeleteBatchPredictionJob=self._delete,
        )

    def _create(self, call: Call) -> Message:
        asked = call.request.batch_prediction_job
        if not asked.display_name:
            raise ApiError("INVALID_ARGUMENT", "display_name is required.")
        if asked.input_config.WhichOneof("source") != "gcs_source":
            raise ApiError("UNIMPLEMENTED", "The emulator reads batch predictions from Cloud Storage only.")
        if asked.output_config.WhichOneof("destination") != "gcs_destination":
            raise ApiError("UNIMPLEMENTED", "The emulator writes batch predictions to Cloud Storage only.")
        if asked.input_config.instances_format not in FORMATS:
            said = asked.input_config.instances_format
            raise ApiError("INVALID_ARGUMENT", f"instances_format {said!r} is none of: {', '.join(FORMATS)}.")
        if asked.generate_explanation:
            raise ApiError("UNIMPLEMENTED", "The emulator explains no predictions.")
        model = self._model(asked)
        container_of(model)
        job = self._world.crud.create(call, state=PENDING)
        self.jobs.begin(job.name, lambda: self._run(job, model))
        return job

    def _model(self, asked: Message) -> Message:
        if asked.model:
            return self._models.get(asked.model)
        model = self._world.schema.message("google.cloud.aiplatform.v1.Model")(display_name="unmanaged")
        model.artifact_uri = asked.unmanaged_container_model.artifact_uri
        model.container_spec.CopyFrom(asked.unmanaged_container_model.container_spec)
        return model

    async def _run(self, job: Message, model: Message) -> Callable[[Message], object]:
        ident = job.name.rpartition("/")[2]
        wanted = Wanted(ident, job.name, container_of(model), model.artifact_uri, job.service_account)
        stamp = time.strftime("%Y_%m_%dT%H_%M_%S_000Z", time.gmtime(self._world.clock.now()))
        prefix = job.output_config.gcs_destination.output_uri_prefix.rstrip("/")
        output = f"{prefix}/prediction-{model.display_name}-{stamp}"
        try:
            await self._servers.port(wanted)
            good, bad = await asyncio.to_thread(self._predict, job, wanted, self._world.path(output))
        except ApiError as error:
            raise TaskFailed(error.message, error.number) from error
        finally:
            await self._servers.stop(ident)
        if bad and not good:
            raise TaskFailed(f"No instance could be predicted; see {output}.", 3)

        def change(one: Message) -> None:
            one.output_info.gcs_output_directory = output
            one.completion_stats.successful_count, one.completion_stats.failed_count = good, bad
            one.model_version_id = model.version_id

        return change

    def _predict(self, job: Message, wanted: Wanted, folder: Path) -> tuple[int, int]:
        """Ask for all predictions and write them; how many came, and how many failed."""
        folder.mkdir(parents=True, exist_ok=True)
        good = bad = 0
        size = int(job.manual_batch_tuning_parameters.batch_size) or BATCH
        parameters = as_json(job).get("modelParameters")
        with (
            (folder / "prediction.results-00000-of-00001").open("w", encoding="utf-8") as results,
            (folder / "prediction.errors_stats-00000-of-00001").open("w", encoding="utf-8") as errors,
        ):
            for batch in _batches(self._instances(job), size):
                body: dict[str, Any] = {"instances": batch}
                if parameters is not None:
                    body["parameters"] = parameters
                try:
                    data = json.dumps(body).encode()
                    answer = self._servers.ask(wanted, wanted.predict_route, data, "application/json")
                    made = predictions(answer)["predictions"]
                    if len(made) != len(batch):
                        raise ApiError("INTERNAL", f"{len(batch)} instances got {len(made)} predictions.")
                except ApiError as error:
                    bad += len(batch)
                    errors.write(json.dumps({"error": error.message, "count": len(batch)}) + "\n")
                    continue
                good += len(batch)
                for instance, prediction in zip(batch, made, strict=True):
                    results.write(json.dumps({"instance": instance, "prediction": prediction}) + "\n")
        return good, bad

    def _instances(self, job: Message) -> Iterator[Any]:
        """All instances of the input files.

        Raises:
            ApiError: a file cannot be read.
        """
        config = job.input_config
        for uri in config.gcs_source.uris:
            found = sorted(glob.glob(str(self._world.path(uri)), recursive=True))
            if not found:
                raise ApiError("NOT_FOUND", f"No file matches {uri}.")
            for path in found:
                yield from _read(Path(path), config.instances_format)

    def _cancel(self, call: Call) -> Message:
        self.jobs.cancel(call.request.name)
        return call.new("google.protobuf.Empty")

    def _delete(self, call: Call) -> Message:
        name = call.request.name
        if self._world.store.get(name).state not in FINAL:
            raise ApiError("FAILED_PRECONDITION", f"The BatchPredictionJob {name} is not in a final state.")
        self._world.store.delete(name)
        return self._world.operations.done(call, call.new("google.protobuf.Empty"), name)


def _read(path: Path, kind: str) -> Iterator[Any]:
    with path.open(encoding="utf-8", newline="") as file:
        if kind == "csv":
            rows = csv.reader(file)
            next(rows, None)  # the header
            yield from ([_number(cell) for cell in row] for row in rows if row)
        elif kind == "file-list":
            yield from (line.strip() for line in file if line.strip())
        else:
            try:
                yield from (json.loads(line) for line in file if line.strip())
            except ValueError as error:
                raise ApiError("INVALID_ARGUMENT", f"{path.name} is not JSON Lines: {error}") from error


def _number(cell: str) -> float | str:
    try:
        return float(cell)
    except ValueError:
        return cell


def _batches(instances: Iterator[Any], size: int) -> Iterator[list[Any]]:
    batch: list[Any] = []
    for instance in instances:
        batch.append(instance)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
