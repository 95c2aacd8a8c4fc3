"""One call as a method sees it, and the table of what each method does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from nbvertex.emulator.schema import Message, Method, Schema

Handler: TypeAlias = Callable[["Call"], Any]


@dataclass(frozen=True, slots=True)
class Call:
    """One call.

    Args:
        method: what is called; of the v1 that is served, also where v1beta1 was called.
        request: its message, as v1.
        identity: the service account that calls.
        transport: ``grpc`` or ``rest``.
        version: the version that was called.
        schema: gives the classes.
    """

    method: Method
    request: Message
    identity: str
    transport: str
    version: str
    schema: Schema

    def reply(self, **fields: object) -> Message:
        """The method's response with these fields."""
        return self.schema.message(self.method.response)(**fields)

    def new(self, name: str, /, **fields: object) -> Message:
        """A message of Vertex AI v1 by its short name, or any by its full one."""
        full = name if "." in name else f"google.cloud.aiplatform.v1.{name}"
        return self.schema.message(full)(**fields)


class Table:
    """What each method does; a method of none of ours is served by `crud` where its name tells what it means."""

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}

    def serve(self, service: str, **handlers: Handler) -> None:
        """Say what methods of a service do.

        Args:
            service: its full name, or the name alone where it is one of Vertex AI v1 (``JobService``).
            handlers: method -> what answers a call of it: a message, or an iterable of them for a stream.
        """
        full = service if "." in service else f"google.cloud.aiplatform.v1.{service}"
        self._handlers.update({f"/{full}/{name}": handler for name, handler in handlers.items()})

    def find(self, path: str) -> Handler | None:
        """What serves the method, or None."""
        return self._handlers.get(path)
