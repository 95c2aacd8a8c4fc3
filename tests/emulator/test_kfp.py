"""Pipelines as kfp compiles them, run by the emulator's engine; one for each thing that kfp can say."""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("kfp", exc_type=ImportError)

from nbvertex.emulator.compiled import parse
from nbvertex.emulator.container_step import ContainerSteps
from nbvertex.emulator.dag import Order, Run
from nbvertex.emulator.images import Images
from nbvertex.emulator.inputs import Inputs
from nbvertex.emulator.memory import Memory
from nbvertex.emulator.parameters import run_parameters
from nbvertex.emulator.processes import Command, Processes, Surroundings
from nbvertex.emulator.spawning import Spawning
from nbvertex.emulator.tasks import Outputs, Record, TaskFailed
from nbvertex.emulator.times import Timer

pytestmark = pytest.mark.filterwarnings("ignore")


class Journal:
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.records: dict[int, Record] = {}
        self._numbers = itertools.count(1)

    def changed(self, record: Record) -> None:
        self.records[record.id] = record

    def artifact_name(self) -> str:
        return f"artifacts/{next(self._numbers)}"

    def imported(self, uri: str, schema: Mapping[str, str]) -> str | None:
        return None

    def states(self) -> dict[str, str]:
        """By name; of several with one name, the last."""
        return {record.name: record.state for record in self.records.values()}


class Bench:
    """Runs compiled pipelines."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lines: list[str] = []

    def run(self, document: Any, **given: Any) -> tuple[Any, Journal]:
        """Run a pipeline; its outputs or its failure, and its tasks."""
        pipeline = parse(document)
        journal = Journal()
        name = "projects/1/locations/l/pipelineJobs/run-1"
        facts = {"pipeline_job_name": "run-1", "pipeline_root": "gs://b/runs"}
        order = Order(name, pipeline, Inputs(run_parameters(pipeline.root, given)), "gs://b/runs", facts)

        async def main() -> Outputs:
            spawning, timer = Spawning(self.folder / "shims", self.folder / "buckets"), Timer()
            around = Surroundings(self.folder / "attempts", self.folder / "buckets")
            around.buckets.mkdir(exist_ok=True)
            processes = Processes(Images(any_image=sys.executable), around, spawning, timer, self._heard)
            steps = ContainerSteps(order, processes, Memory(self.folder / "cache"), journal, timer)
            try:
                return await Run(order, steps, journal, timer.now).go()
            finally:
                spawning.close()

        try:
            return dict(asyncio.run(main()).parameters), journal
        except TaskFailed as error:
            return error, journal

    def _heard(self, command: Command, stream: str, lines: list[str]) -> None:
        self.lines += lines


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Where pipelines run in this test."""
    return Bench(tmp_path)


def compiled(name: str, folder: Path) -> Any:
    """A pipeline of `kfp_features` as kfp compiles it."""
    import kfp_features
    import yaml
    from kfp import compiler

    path = folder / f"{name}.yaml"
    compiler.Compiler().compile(getattr(kfp_features, name), str(path))
    return next(yaml.safe_load_all(path.read_text()))


@pytest.mark.parametrize(
    "name,given,wanted",
    [
        ("chain", {"n": 4}, "4 of 4"),
        ("all_types", {"i": 3}, "3 1.0 True 'x {{y}}' [1, 2.5, 'a'] {'k': [1]} None"),
        ("branches", {"n": 11}, "big"),
        ("branches", {"n": 7}, "middle"),
        ("branches", {"n": 2}, "small 2"),
        ("loops", {}, 6),
        ("loop_over_output", {}, 3),
        ("artifacts_of_a_loop", {}, 6),
        ("nested", {"n": 5}, "0 0.5 True '' ['5', '2'] {'a': '5'} None"),
        ("containers", {"greeting": "it's me"}, "it's me"),
        ("settings", {}, "hello"),
        ("where", {}, "run-1 text gs://b/runs"),
        ("several_outputs", {}, "3 3.5 False '' [] {} None"),
    ],
)
def test_what_kfp_can_say(bench: Bench, tmp_path: Path, name: str, given: Any, wanted: Any) -> None:
    """The pipeline's own output is what its tasks make of what it was given."""
    outputs, journal = bench.run(compiled(name, tmp_path), **given)
    assert outputs == {"Output": wanted}, (outputs, bench.lines)
    assert set(journal.states().values()) <= {"SUCCEEDED", "SKIPPED", "NOT_TRIGGERED"}


def test_words_that_depend_on_inputs(bench: Bench, tmp_path: Path) -> None:
    """`IfPresent` and `Concat` in the arguments of a container."""
    bench.run(compiled("containers", tmp_path), greeting="x")
    assert {"--name <me>", "--anonymous"} <= set(bench.lines)


def test_an_imported_file(bench: Bench, tmp_path: Path) -> None:
    """What lies in a bucket already is read where it lies."""
    (bench.folder / "buckets" / "b").mkdir(parents=True)
    (bench.folder / "buckets" / "b" / "in.txt").write_text("1\n2")
    assert bench.run(compiled("imports", tmp_path), uri="gs://b/in.txt")[0] == {"Output": "2 of 2"}


def test_the_exit_task_is_told(bench: Bench, tmp_path: Path) -> None:
    """The failure is in the log of the task that failed, its name in that of the pipeline."""
    error, journal = bench.run(compiled("exits", tmp_path))
    assert "[exit-handler-1]" in error.message
    told = next(record for record in journal.records.values() if record.name == "told")
    assert told.outputs.parameters == {"log": "FAILED exit-handler-1 9"}
    failed = next(record for record in journal.records.values() if record.name == "fail")
    assert failed.error is not None
    assert (
        "exited with a non-zero status of 1. Its last line was: ValueError: on purpose"
        in failed.error.message
    )
    assert "Traceback (most recent call last):" in bench.lines
    assert not [line for line in bench.lines if "spawner" in line]


def test_a_failure_that_is_ignored(bench: Bench, tmp_path: Path) -> None:
    """What comes after it runs."""
    _, journal = bench.run(compiled("goes_on", tmp_path))
    assert journal.states()["number"] == "SUCCEEDED"


def cacheable(document: Any) -> Any:
    """Whether kfp wants the tasks cached is its default's business."""
    for one in document["root"]["dag"]["tasks"].values():
        one["cachingOptions"] = {"enableCache": True}
    return document


def test_results_are_remembered(bench: Bench, tmp_path: Path) -> None:
    """The same component on the same inputs in a pipeline of the same name; artifacts by their names."""
    document = cacheable(compiled("chain", tmp_path))
    assert bench.run(document, n=2)[1].states()["make"] == "SUCCEEDED"
    outputs, journal = bench.run(document, n=2)
    assert outputs == {"Output": "2 of 2"}
    assert (journal.states()["make"], journal.states()["read"]) == ("SKIPPED", "SKIPPED")
    assert bench.run(document, n=3)[1].states()["make"] == "SUCCEEDED"
    other = json.loads(json.dumps(document))
    other["pipelineInfo"]["name"] = "other"
    assert bench.run(other, n=2)[1].states()["make"] == "SUCCEEDED"
    for executor in document["deploymentSpec"]["executors"].values():
        executor["container"]["image"] = "python:3.12"
    assert bench.run(document, n=2)[1].states()["make"] == "SUCCEEDED"


def test_metadata_of_artifacts(bench: Bench, tmp_path: Path) -> None:
    """What a component logs is the artifact's metadata; its bytes lie where its URI says."""
    _, journal = bench.run(compiled("chain", tmp_path), n=2)
    made = next(record for record in journal.records.values() if record.name == "make")
    ((data,), (scores,)) = (made.outputs.artifacts[key] for key in ("data", "scores"))
    assert (data.metadata["rows"], scores.metadata["rows"]) == (2, 2.0)
    assert data.uri == f"gs://b/runs/make_{made.id}/data"
    assert (bench.folder / "buckets" / data.uri[5:]).read_text() == "0\n1"
    assert data.type["schemaTitle"] == "system.Dataset"


PROBE = """
import kfp
from kfp import dsl
from kfp.dsl import *
from typing import *

def probe(data: Output[Dataset]) -> str:
    import atexit, json, logging, os, random, signal, sys, tempfile, threading
    atexit.register(print, "at the end")
    hidden = ("_", "PWD", "OLDPWD", "SHLVL", "TMPDIR", "HOME")
    return json.dumps({
        "path": [one.replace(os.getcwd(), "here") for one in sys.path[1:]], "prefix": sys.prefix,
        "environ": {k: v for k, v in os.environ.items() if k not in hidden},
        "argv": len(sys.argv), "main": sys.modules["__main__"].__spec__.name,
        "handlers": [len(logging.getLogger().handlers), logging.getLogger().level],
        "signals": {s.name: repr(signal.getsignal(s)).split(" at ")[0] for s in signal.valid_signals()
                    if isinstance(s, signal.Signals)},
        "temporary": os.path.dirname(tempfile.gettempdir()) == os.path.dirname(os.getcwd()),
        "threads": threading.active_count(), "leader": os.getsid(0) == os.getpgid(0),
        "files": sorted(os.listdir("/proc/self/fd"), key=int)[:3],
        "stdin": sys.stdin.read(), "buffered": [sys.stdout.line_buffering, sys.stderr.line_buffering],
        "mount": data.path.startswith(os.environ.get("NBVERTEX_EMULATOR_BUCKETS", "/gcs/b/")),
        "modules": sorted(m for m in sys.modules if m.partition(".")[0] in ("kfp", "yaml", "google", "runpy")),
        "hash": sys.flags.hash_randomization, "umask": os.umask(0o22), "random": random.random() != 0.5,
    })
"""


def test_a_fork_is_like_a_new_process(bench: Bench, tmp_path: Path) -> None:
    """A Python component may run in a fork of an interpreter that knows kfp; it cannot tell."""
    document = compiled("chain", tmp_path)
    said = {}
    for kind in ("forked", "new"):
        one = json.loads(json.dumps(document))
        tasks = one["root"]["dag"]["tasks"]
        tasks.pop("read")
        one["root"]["dag"]["outputs"] = {}
        one["root"]["outputDefinitions"] = {}
        one["components"]["comp-make"]["outputDefinitions"] = {
            "parameters": {"Output": {"parameterType": "STRING"}},
            "artifacts": {"data": {"artifactType": {"schemaTitle": "system.Dataset"}}},
        }
        container = one["deploymentSpec"]["executors"]["exec-make"]["container"]
        container["command"][-1] = PROBE
        container["args"][-1] = "probe"
        if kind == "new":  # a word that kfp does not write: it is run as it stands
            place = container["command"].index("-ec") + 1
            container["command"][place] = f": new\n{container['command'][place]}"
        _, journal = bench.run(one, n=1)
        made = next(record for record in journal.records.values() if record.name == "make")
        assert made.state == "SUCCEEDED", bench.lines
        said[kind] = json.loads(made.outputs.parameters["Output"])
        said[kind]["environ"].pop("CLOUD_ML_JOB_ID")
    assert said["forked"] == said["new"]
    assert bench.lines.count("at the end") == 2
