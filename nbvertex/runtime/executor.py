"""A step as a task of a KFP v2 pipeline: what the launcher says goes in, what it wants to know goes out."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from . import alone, orders

_SCHEMES = ("gs://", "minio://", "s3://")
STATE, PAGE, METRICS, KIT = "state", "page", "metrics", "kit"
BEFORE = "after_"  # inputs of that name are what earlier steps left
ROUNDS, ITEM = "rounds", "item"  # what the rounds of a step left, and which of them a container is
HOLDS, ITEMS = alone.HOLDS, "items"  # the answers to tasks


def main(arguments: Sequence[str], kit: str) -> int:
    """Run the step that a launcher asks for; gives the exit code.

    Args:
        arguments: the executor input as JSON, where the step's state goes, the step as JSON, and the
            sources of its cells, each as ``json:`` and a JSON string or as ``text:`` and the text.
        kit: the folder that holds this runtime, and what lies beside the notebook.
    """
    asked, state, said, *texts = arguments
    launcher = Launcher(json.loads(asked), state)
    order = orders.read(json.loads(said), orders.joined(texts))
    ran = alone.run(order, launcher.given(order, kit), state)
    archive = os.path.join(kit, KIT)
    if not launcher.ancestors() and os.path.exists(archive):
        shutil.copyfile(archive, os.path.join(state, KIT))  # later steps find it there
    launcher.tell(order, ran)
    return ran.code


class Launcher:
    """What a KFP launcher says, and where it wants its answers.

    Args:
        asked: the executor input.
        state: the path of the output artifact ``state``: paths of others follow from it.
    """

    def __init__(self, asked: Mapping[str, Any], state: str) -> None:
        self.inputs: Mapping[str, Any] = asked.get("inputs", {})
        self.outputs: Mapping[str, Any] = asked.get("outputs", {})
        uri = self._artifact(self.outputs, STATE)["uri"]
        scheme = next((scheme for scheme in _SCHEMES if uri.startswith(scheme)), "")
        rest = uri[len(scheme) :]
        self.scheme = scheme
        self.mount = state[: -len(rest)] if scheme and state.endswith(rest) else f"/{scheme[:-3]}/"

    @staticmethod
    def _artifact(side: Mapping[str, Any], name: str) -> dict[str, Any]:
        found: dict[str, Any] = side["artifacts"][name]["artifacts"][0]
        return found

    def path(self, uri: str) -> str:
        """Where an artifact lies for this process: a bucket is mounted, or the launcher has brought it."""
        if self.scheme and uri.startswith(self.scheme):
            return self.mount + uri[len(self.scheme) :]
        scheme = next((scheme for scheme in _SCHEMES if uri.startswith(scheme)), None)
        return f"/{scheme[:-3]}/{uri[len(scheme) :]}" if scheme else uri

    def given(self, order: orders.Order, kit: str) -> alone.Given:
        """What a step finds."""
        found = self.inputs.get("artifacts", {})
        item = self.inputs.get("parameterValues", {}).get(ITEM, "") if order.kind == "round" else ""
        return alone.Given(
            ancestors=self.ancestors(),
            rounds=self._paths(ROUNDS) if ROUNDS in found else (),
            values=self._values(order),
            item=str(item),
            kit=kit,
        )

    def ancestors(self) -> list[str]:
        """The folders that earlier steps left."""
        names = sorted(self.inputs.get("artifacts", {}))
        return [path for name in names if name.startswith(BEFORE) for path in self._paths(name)]

    def _paths(self, name: str) -> list[str]:
        return [self.path(artifact["uri"]) for artifact in self.inputs["artifacts"][name]["artifacts"]]

    def _values(self, order: orders.Order) -> dict[str, Any]:
        given = self.inputs.get("parameterValues", {})
        wanted = {parameter.given or parameter.name for parameter in order.parameters}
        return {name: value for name, value in given.items() if name in wanted and value is not None}

    def tell(self, order: orders.Order, ran: alone.Ran) -> None:
        """Hand the artifacts over, and what is known about them."""
        told: dict[str, Any] = {}
        for name, one in self.outputs.get("artifacts", {}).items():
            artifact = one["artifacts"][0]
            path = self.path(artifact["uri"])
            self._deliver(name, path, ran)
            told[name] = {"artifacts": [self._about(name, artifact, order, ran)]}
        for name, one in self.outputs.get("parameters", {}).items():
            path = self.path(one["outputFile"])
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                json.dump(answer(name, ran.told), file)
        target = self.outputs.get("outputFile")
        if target and ran.code == alone.DONE:
            path = self.path(target)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                json.dump({"artifacts": told}, file)

    def _deliver(self, name: str, path: str, ran: alone.Ran) -> None:
        state = self.path(self._artifact(self.outputs, STATE)["uri"])
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if name == PAGE:
            page = os.path.join(state, alone.PAGE)
            if os.path.exists(page):
                shutil.copyfile(page, path)
        elif name == METRICS:
            with open(path, "w", encoding="utf-8") as file:
                json.dump(dict(ran.metrics), file, indent=1, sort_keys=True)

    def _about(
        self, name: str, artifact: Mapping[str, Any], order: orders.Order, ran: alone.Ran
    ) -> dict[str, Any]:
        metadata: dict[str, Any] = dict(artifact.get("metadata", {}))
        uri = artifact["uri"]
        if name == METRICS:
            metadata.update(ran.metrics)
        elif name == STATE:
            metadata.update(notebook=order.notebook, step=order.step)
        elif name != PAGE:
            uri, more = self._value(name.removeprefix("value_"), uri, ran)
            metadata.update(more)
        return {"name": artifact.get("name", ""), "uri": uri, "metadata": metadata}

    def _value(self, name: str, uri: str, ran: alone.Ran) -> tuple[str, dict[str, Any]]:
        """The artifact of one name: it lies in the state, and is not stored twice."""
        if ran.delta is None:
            return uri, {}
        entry = ran.delta.names.get(name)
        for held in ran.delta.held:
            if entry in held.entries:
                state = self._artifact(self.outputs, STATE)["uri"]
                about = {
                    "name": name,
                    "type": held.types.get(entry or "", ""),
                    "format": held.format,
                    "sha256": held.digest,
                }
                return f"{state}/values/{held.digest}", about
        return uri, {"name": name}


def answer(name: str, told: Mapping[str, Any]) -> Any:
    """The answer to a task as a parameter."""
    if name == ITEMS:
        return [f"{number}: {one['shown']}" for number, one in enumerate(told.get(ITEMS, ()))]
    return bool(told.get(name))
