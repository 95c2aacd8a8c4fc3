"""TensorBoards: time series of runs, kept point by point and given back."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from nbvertex.emulator.calls import Call, Table
from nbvertex.emulator.crud import new_id
from nbvertex.emulator.problem import ApiError
from nbvertex.emulator.schema import Message, as_json, from_json
from nbvertex.emulator.world import World

POINTS = "points"
MOST = 1000


class Tensorboards:
    """The time series of all projects; what holds them is as every resource.

    Args:
        world: the emulator.
    """

    def __init__(self, world: World) -> None:
        self._world, self._store = world, world.store

    def serve(self, table: Table) -> None:
        """Answer what concerns points, and what makes several at once."""
        table.serve(
            "TensorboardService",
            WriteTensorboardRunData=self._write_run,
            WriteTensorboardExperimentData=self._write_experiment,
            ReadTensorboardTimeSeriesData=self._read,
            BatchReadTensorboardTimeSeriesData=self._read_several,
            BatchCreateTensorboardRuns=lambda call: self._create_several(call, "run", "runs"),
            BatchCreateTensorboardTimeSeries=lambda call: self._create_several(
                call, "time_series", "timeSeries"
            ),
        )

    def _create_several(self, call: Call, field: str, collection: str) -> Message:
        reply = call.reply()
        made = reply.DESCRIPTOR.fields[0].name
        with self._store.transaction():
            for request in call.request.requests:
                message = type(getattr(request, field))()
                message.CopyFrom(getattr(request, field))
                ident = getattr(request, f"tensorboard_{field}_id")
                message.name = f"{request.parent}/{collection}/{ident or new_id()}"
                self._world.crud.stamp(message, "create_time", "update_time")
                getattr(reply, made).append(self._store.add(message))
        return reply

    def _write_run(self, call: Call) -> Message:
        self._write(call.request.tensorboard_run, call.request.time_series_data)
        return call.reply()

    def _write_experiment(self, call: Call) -> Message:
        for request in call.request.write_run_data_requests:
            self._write(request.tensorboard_run, request.time_series_data)
        return call.reply()

    def _write(self, run: str, series: Iterable[Message]) -> None:
        run = self._store.get(run).name
        with self._store.transaction():
            for data in series:
                name = f"{run}/timeSeries/{data.tensorboard_time_series_id}"
                kept = self._store.get(name)
                if data.value_type != kept.value_type:
                    raise ApiError("INVALID_ARGUMENT", f"Time series {name} holds values of another type.")
                for value in data.values:
                    self._store.set_note(f"{POINTS} {name}", f"{value.step:020}", as_json(value))
                steps = [value.step for value in data.values]
                self._store.update(name, partial(_tell, steps))

    def _data(self, call: Call, series: Message, most: int) -> Message:
        """The points in the order of their steps; of too many, some that are as far from each other."""
        points = list(self._store.notes(f"{POINTS} {series.name}").values())
        if len(points) > most:
            points = [points[i * (len(points) - 1) // max(1, most - 1)] for i in range(most)]
        data = call.new("TimeSeriesData", tensorboard_time_series_id=series.name.rpartition("/")[2])
        data.value_type = series.value_type
        for point in points:
            from_json(point, data.values.add())
        return data

    def _read(self, call: Call) -> Message:
        series = self._store.get(call.request.tensorboard_time_series)
        return call.reply(time_series_data=self._data(call, series, call.request.max_data_points or MOST))

    def _read_several(self, call: Call) -> Message:
        names = call.request.time_series
        return call.reply(time_series_data=[self._data(call, self._store.get(name), MOST) for name in names])


def _tell(steps: list[int], series: Message) -> None:
    """What a time series says of its points."""
    series.metadata.max_step = max([series.metadata.max_step, *steps])


def serve(world: World, table: Table) -> None:
    """Register TensorBoards."""
    Tensorboards(world).serve(table)
