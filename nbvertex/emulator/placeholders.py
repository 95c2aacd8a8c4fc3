"""What `{{$...}}` in the commands, arguments and constants of a pipeline stands for."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

Json = Any
PLACEHOLDER = re.compile(r"\{\{\$(?P<path>(?:[^{}'\"]|'[^']*'|\"[^\"]*\")*)\}\}")
PART = re.compile(r"\.(?P<name>\w+)|\[(?:'(?P<single>[^']*)'|\"(?P<double>[^\"]*)\"|(?P<number>\d+))\]")


class UnknownPlaceholder(ValueError):
    """A placeholder that stands for nothing here."""


@dataclass(frozen=True, slots=True)
class Context:
    """What placeholders are filled from.

    Args:
        facts: values by name, for instance `pipeline_job_name`.
        executor_input: what the executor is told of its inputs and outputs.
        path: the file that a URI stands for inside the container.
        templates: parameters whose values hold placeholders themselves, because the component's author wrote them.
        blanks: what stands for parameters that are not given.
    """

    facts: Mapping[str, str]
    executor_input: Mapping[str, Json] = field(default_factory=dict)
    path: Callable[[str], str] = str
    templates: frozenset[str] = frozenset()
    blanks: Mapping[str, Json] = field(default_factory=dict)

    def fill(self, text: str) -> str:
        """The text with every placeholder filled.

        Raises:
            UnknownPlaceholder: one stands for nothing.
        """
        return PLACEHOLDER.sub(lambda match: self._value(match["path"]), text)

    def fill_all(self, value: Json) -> Json:
        """A JSON value with the placeholders in all its strings filled."""
        if isinstance(value, str):
            return self.fill(value)
        if isinstance(value, list):
            return [self.fill_all(item) for item in value]
        if isinstance(value, dict):
            return {self.fill(key): self.fill_all(item) for key, item in value.items()}
        return value

    def words(self, command: Iterable[str]) -> list[str]:
        """The words of a command: `Concat` and `IfPresent` worked out, placeholders filled."""
        return [self.fill(word) for raw in command for word in self._spread(raw)]

    def _spread(self, raw: str) -> list[str]:
        if raw.startswith(('{"Concat":', '{"IfPresent":')):
            try:
                return self._structure(json.loads(raw))
            except json.JSONDecodeError:
                return [raw]
        return [raw]

    def _structure(self, node: Json) -> list[str]:
        if isinstance(node, str):
            return [node]
        if isinstance(node, list):
            return [word for item in node for word in self._structure(item)]
        if "Concat" in node:
            return ["".join(self._structure(node["Concat"]))]
        choice = node["IfPresent"]
        chosen = choice.get("Then") if self._is_present(choice["InputName"]) else choice.get("Else")
        return [] if chosen is None else self._structure(chosen)

    def _is_present(self, name: str) -> bool:
        inputs = self.executor_input.get("inputs", {})
        return inputs.get("parameterValues", {}).get(name) is not None or bool(
            inputs.get("artifacts", {}).get(name)
        )

    def _value(self, path: str) -> str:
        parts = [m["name"] or m["single"] or m["double"] or m["number"] or "" for m in PART.finditer(path)]
        if sum(len(m.group()) for m in PART.finditer(path)) != len(path):
            raise UnknownPlaceholder(f"the placeholder {{{{${path}}}}} is not understood")
        escapes = 0
        if len(parts) >= 2 and parts[-2] == "json_escape":
            escapes = int(parts[-1])
            parts = parts[:-2]
        text = self._said(parts, path)
        for _ in range(escapes):
            text = json.dumps(text)[1:-1]
        return text

    def _said(self, parts: list[str], path: str) -> str:
        if not parts:
            return json.dumps(self.executor_input)
        if len(parts) == 1 and parts[0] in self.facts:
            return self.facts[parts[0]]
        outputs = self.executor_input.get("outputs", {})
        match parts:
            case ["outputs", "output_file"] | ["outputMetadataUri"]:
                return str(outputs.get("outputFile", ""))
            case ["inputs", "parameters", name, *deeper] if deeper in ([], ["value"]):
                return self._of_parameter(name)
            case ["outputs", "parameters", name, "output_file"]:
                return str(outputs.get("parameters", {}).get(name, {}).get("outputFile", ""))
            case ["inputs" | "outputs" as side, "artifacts", name, *deeper]:
                return self._of_artifact(self.executor_input.get(side, {}), name, deeper)
        raise UnknownPlaceholder(f"the placeholder {{{{${path}}}}} stands for nothing here")

    def _of_parameter(self, name: str) -> str:
        given = self.executor_input.get("inputs", {}).get("parameterValues", {})
        text = as_text(given.get(name, self.blanks.get(name, "")))
        return replace(self, templates=self.templates - {name}).fill(text) if name in self.templates else text

    def _of_artifact(self, side: Mapping[str, Json], name: str, parts: list[str]) -> str:
        held = side.get("artifacts", {}).get(name, {}).get("artifacts", [])
        if not parts:
            return json.dumps(held)
        first = held[0] if held else {}
        match parts:
            case ["path"]:
                return self.path(first["uri"]) if first else ""
            case ["uri" | "name" as key]:
                return str(first.get(key, ""))
            case ["metadata"]:
                return json.dumps(first.get("metadata", {}))
            case ["metadata", key]:
                return as_text(first.get("metadata", {}).get(key, ""))
        raise UnknownPlaceholder(f"artifact {name!r} has no {'.'.join(parts)!r}")


def as_text(value: Json) -> str:
    """A parameter as it stands in a command: a string as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


VARIABLE = re.compile(r"\$(?:\$|\((\w+)\))")


def expand(text: str, env: Mapping[str, str]) -> str:
    """The text with `$(NAME)` replaced as Kubernetes does: unknown names stay, `$$(NAME)` is `$(NAME)`."""

    def one(match: re.Match[str]) -> str:
        name = match[1]
        if name is None:
            return "$"
        return env.get(name, match[0])

    return VARIABLE.sub(one, text)
