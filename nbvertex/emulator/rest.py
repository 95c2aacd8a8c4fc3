"""Calls over HTTP and JSON: found by their path, made messages, dispatched like those over gRPC."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nbvertex.emulator.dispatcher import Dispatcher
from nbvertex.emulator.filters import snake
from nbvertex.emulator.problem import ApiError
from nbvertex.emulator.routes import Match
from nbvertex.emulator.schema import Message, Schema, as_json, from_json
from nbvertex.emulator.web import Reply, Request, json_reply

SYSTEM = {"key", "alt", "prettyPrint", "access_token", "fields", "callback", "quotaUser", "uploadType"}


class Rest:
    """The door's way to the dispatcher.

    Args:
        schema: gives routes and messages.
        dispatcher: serves the calls.
    """

    def __init__(self, schema: Schema, dispatcher: Dispatcher) -> None:
        self._schema, self._dispatcher = schema, dispatcher

    def __call__(self, request: Request) -> Reply:
        """Answer a request.

        Raises:
            ApiError: there is no such method, or what it says itself.
        """
        found = self._schema.route(request.verb, request.path)
        if found is None:
            raise ApiError(
                "NOT_FOUND", f"The emulator has no method at {request.verb} {request.path} ({request.host})."
            )
        message = self._message(found, request)
        token = request.said.get("access_token")
        authorization = request.authorization or (f"Bearer {token}" if token else None)
        made = self._dispatcher.call(found.target, message, authorization, request.door, "rest")
        integers = request.said.get("$alt", "").endswith("enum-encoding=int")
        if found.target.kind == "stream" and found.target.response == "google.api.HttpBody":
            parts = list(made)
            kind = (parts[0].content_type if parts else "") or "application/json"
            return Reply(200, b"".join(part.data for part in parts), {"Content-Type": kind})
        if found.target.kind == "stream":
            return json_reply([as_json(one, integers=integers) for one in made])
        if made.DESCRIPTOR.full_name == "google.api.HttpBody":
            return Reply(200, made.data, {"Content-Type": made.content_type or "application/json"})
        return json_reply(as_json(made, integers=integers))

    def _message(self, found: Match, request: Request) -> Message:
        said: dict[str, Any] = {}
        message = self._schema.message(found.target.request)()
        if found.body == "*":
            if message.DESCRIPTOR.full_name.endswith("RawPredictRequest"):
                said = {}
            else:
                said = request.json()
        elif found.body:
            said = {found.body: request.json()}
        from_json(said, message)
        for name, values in _gathered(request.fields).items():
            if name not in SYSTEM and not name.startswith("$"):
                _put(message, name.split("."), values)
        for name, value in found.variables.items():
            _put(message, name.split("."), [value])
        if found.body == "*" and message.DESCRIPTOR.full_name.endswith("RawPredictRequest"):
            message.http_body.data = request.body.read()
            message.http_body.content_type = request.headers.get("content-type", "")
        return message


def _gathered(fields: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in fields:
        found.setdefault(name, []).append(value)
    return found


def _put(message: Message, names: list[str], values: list[str]) -> None:
    """Set a field that a query or path gives; what the message does not have is ignored, as Google does for system fields."""
    fields = message.DESCRIPTOR.fields_by_name
    name = next((one for one in (names[0], snake(names[0]), f"{names[0]}_") if one in fields), None)
    if name is None:
        raise ApiError(
            "INVALID_ARGUMENT",
            f'Invalid JSON payload received. Unknown name "{names[0]}": Cannot bind query parameter.',
        )
    field = fields[name]
    if len(names) > 1:
        _put(getattr(message, name), names[1:], values)
        return
    said: Any = values if field.is_repeated else values[-1]
    if field.type == field.TYPE_BOOL:
        said = (
            [value.lower() in ("true", "1", "") for value in values]
            if field.is_repeated
            else said.lower() in ("true", "1")
        )
    if field.enum_type is not None and not field.is_repeated and said.isdigit():
        said = int(said)
    from_json({name: said}, message)
