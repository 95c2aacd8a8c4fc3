"""The one place through which every call goes, whichever door it came by: faults, identity, versions, the record of calls."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from nbvertex.emulator.calls import Call
from nbvertex.emulator.crud import unserved
from nbvertex.emulator.faults import error_of
from nbvertex.emulator.problem import ApiError, Dropped
from nbvertex.emulator.schema import Message, Method
from nbvertex.emulator.world import World

KEPT = 20_000
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Record:
    """A call that was made, for tests to look at.

    Args:
        time: when, on the emulator's clock.
        method: `Service.Method`.
        identity: who called.
        transport: ``grpc``, ``rest`` or ``storage``.
        name: the resource that it was about.
        status: how it ended.
    """

    time: float
    method: str
    identity: str
    transport: str
    name: str
    status: str


class Dispatcher:
    """Serves calls.

    Args:
        world: what they work on.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._records: deque[Record] = deque(maxlen=KEPT)
        self._lock = threading.Lock()

    def call(
        self, method: Method, request: Message, authorization: str | None, door: str, transport: str
    ) -> Any:
        """Serve a method of a service that has messages.

        Args:
            method: as it was called.
            request: its message, in the version that was called.
            authorization: the header that says who calls.
            door: who calls where it says nothing.
            transport: ``grpc`` or ``rest``.

        Returns:
            the response in that version, or an iterable of responses for a stream.

        Raises:
            ApiError: as Google's service would.
            Dropped: it was served and its reply is to be lost.
        """
        schema = self._world.schema
        served = schema.methods[schema.stable(method.path)]
        service = served.service.rpartition(".")[2]
        about = about_of(request)

        def serve(identity: str) -> Any:
            cast = schema.recast(request, served.request)
            call = Call(served, cast, identity, transport, method.version, schema)
            handler = self._world.table.find(served.path)
            made = handler(call) if handler is not None else self._world.crud(call)
            if method.kind == "stream":
                return (schema.recast(one, method.response) for one in made)
            if method.kind != "unary":
                raise unserved(call)
            return schema.recast(made, method.response)

        return self.guarded(f"{service}.{served.name}", about, authorization, door, transport, serve)

    def guarded(
        self, method: str, about: str, authorization: str | None, door: str, transport: str,
        serve: Callable[[str], Made],
    ) -> Made:  # fmt: skip
        """Serve any call: with the faults that were asked for, in the caller's name, noted.

        Args:
            method: `Service.Method`.
            about: the resource that it is about.
            authorization: the header that says who calls.
            door: who calls where it says nothing.
            transport: for the record.
            serve: does it, given who calls.
        """
        identity, status = door, "OK"
        try:
            identity = self._world.identities.of(authorization, door)
            fault = self._world.faults.strike(method, identity, about)
            if fault is not None and fault.delay:
                time.sleep(fault.delay)
            if fault is not None and fault.status is not None and not fault.drop:
                raise error_of(fault)
            made = serve(identity)
            if fault is not None and fault.drop:
                raise Dropped(method)
            return made
        except ApiError as error:
            status = error.status
            raise
        except Dropped:
            status = "DROPPED"
            raise
        except Exception as error:  # a fault of ours is answered as Google answers its own, and told
            status = "INTERNAL"
            traceback.print_exc(file=sys.stderr)
            raise ApiError("INTERNAL", f"{type(error).__name__}: {error}") from error
        finally:
            record = Record(self._world.clock.now(), method, identity, transport, about, status)
            with self._lock:
                self._records.append(record)

    def records(self) -> list[dict[str, Any]]:
        """The calls that were made, oldest first."""
        with self._lock:
            return [asdict(record) for record in self._records]

    def forget(self) -> None:
        """Forget them."""
        with self._lock:
            self._records.clear()


def about_of(request: Message) -> str:
    """The resource that a request is about, as far as its usual fields say."""
    for field in ("name", "parent", "endpoint", "context", "execution", "artifact", "resource"):
        if field in request.DESCRIPTOR.fields_by_name:
            value = getattr(request, field)
            if isinstance(value, str):
                return value
    return ""
