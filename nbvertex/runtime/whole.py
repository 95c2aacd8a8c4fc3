"""Several steps in one container, one after the other, each as if it were alone: what a job on one machine does."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from . import alone, attempt, deltas, executor, orders

ROOT, PARAMETERS = "NBVERTEX_ROOT", "NBVERTEX_PARAMETERS"
STATE = "state"


def main(arguments: Sequence[str], kit: str) -> int:
    """Run the steps that a job is told; gives the exit code.

    Args:
        arguments: words that carry the steps as JSON (see `orders.worded`): a list of ``{"step", "before": [names],
            "retries", "parts": [{"role", "said", "items", "texts"}]}``.
        kit: the folder that holds this runtime, and what lies beside the notebook.
    """
    (text,) = orders.joined(arguments)
    place = os.environ[ROOT]
    root = f"/gcs/{place.removeprefix('gs://')}" if place.startswith("gs://") else place
    values = json.loads(os.environ.get(PARAMETERS) or "{}")
    if _is_helper(os.environ.get("CLUSTER_SPEC")):  # a further replica: what it leaves is nobody's
        root, found = tempfile.mkdtemp(prefix="nbvertex-"), root
    else:
        found = root
    for said in json.loads(text):
        step = Steps(root, found, values, kit).step(said)
        if step.code != alone.DONE:
            return step.code
    return alone.DONE


def _is_helper(cluster: str | None) -> bool:
    """Whether this is another replica than the first of a job with several."""
    if not cluster:
        return False
    task = json.loads(cluster).get("task", {})
    return (task.get("type"), task.get("index")) not in (("workerpool0", 0), (None, None))


@dataclass(frozen=True)
class Steps:
    """Runs steps.

    Args:
        root: the folder below which each leaves its own.
        found: that below which earlier ones have left theirs.
        values: of parameters.
        kit: the folder with what came along.
        run_job: runs cells in a process.
    """

    root: str
    found: str
    values: Mapping[str, Any]
    kit: str | None
    run_job: attempt.RunsJobs = attempt.run

    def step(self, said: Mapping[str, Any]) -> alone.Ran:
        """Run a step, again if it may be; one that has left its state already is not run."""
        out = os.path.join(self.root, said["step"], STATE)
        if os.path.exists(os.path.join(out, deltas.STATE)):  # this machine was taken away, and given back
            return alone.Ran(alone.DONE)
        for number in range(said.get("retries", 0) + 1):
            if number:
                sys.stderr.write(f"nbvertex: step {said['step']} is run again\n")
                time.sleep(min(60, 10 * 2 ** (number - 1)))
                shutil.rmtree(out, ignore_errors=True)
            ran = self._parts(said, out)
            if ran.code != alone.FAILED:
                break
        if ran.metrics:
            with open(os.path.join(self.root, said["step"], "metrics.json"), "w", encoding="utf-8") as file:
                json.dump(dict(ran.metrics), file, indent=1, sort_keys=True)
        return ran

    def _parts(self, said: Mapping[str, Any], out: str) -> alone.Ran:
        parts = {part["role"]: part for part in said["parts"]}
        given = alone.Given(
            ancestors=[os.path.join(self.found, name, STATE) for name in said["before"]],
            values=self.values,
            kit=self.kit,
        )
        aside = os.path.join(os.path.dirname(out), "parts")
        ran = alone.Ran(alone.DONE)
        if "decide" in parts:
            ran = self.part(parts["decide"], given, os.path.join(aside, "when"))
            if ran.code != alone.DONE or not ran.told[alone.HOLDS]:
                return ran if ran.code != alone.DONE else self.part(parts["skip"], given, out)
        if "round" not in parts:
            return self.part(parts["run"], given, out)
        if "list" in parts:
            ran = self.part(parts["list"], given, os.path.join(aside, "items"))
            if ran.code != alone.DONE:
                return ran
        return self._rounds(parts, given, ran.told, aside, out)

    def _rounds(
        self,
        parts: Mapping[str, Any],
        given: alone.Given,
        told: Mapping[str, Any],
        aside: str,
        out: str,
    ) -> alone.Ran:
        rounds: list[str] = []
        for item in parts["round"]["items"] or executor.answer(executor.ITEMS, told):
            rounds.append(os.path.join(aside, str(len(rounds))))
            ran = self.part(parts["round"], replace(given, item=item), rounds[-1])
            if ran.code != alone.DONE:
                return ran
        return self.part(parts["gather"], replace(given, rounds=rounds), out)

    def part(self, said: Mapping[str, Any], given: alone.Given, out: str) -> alone.Ran:
        """Do one part of a step."""
        return alone.run(orders.read(said["said"], said["texts"]), given, out, self.run_job)
