"""Long-running operations: what is answered at once, and what ends later."""

from __future__ import annotations

import random
import threading

from nbvertex.emulator.calls import Call, Table
from nbvertex.emulator.clock import Clock
from nbvertex.emulator.problem import ApiError
from nbvertex.emulator.schema import BETA, STABLE, Message, Schema
from nbvertex.emulator.store import Store

NAME = "google.longrunning.Operation"


class Operations:
    """Operations are resources like others, named ``RESOURCE/operations/NUMBER``.

    Args:
        schema: gives the classes.
        store: keeps them.
        clock: stamps them.
    """

    def __init__(self, schema: Schema, store: Store, clock: Clock) -> None:
        self._schema, self._store, self._clock = schema, store, clock
        self._ended = threading.Condition()

    def done(self, call: Call, response: Message, about: str) -> Message:
        """An operation that has ended well.

        Args:
            call: the call that it answers.
            response: what it gives.
            about: the resource that it is about.
        """
        operation = self._new(call, about)
        operation.done = True
        operation.response.Pack(self._as_called(response, call.version))
        return self._store.add(operation)

    def start(self, call: Call, about: str) -> Message:
        """An operation that is under way; `finish` or `fail` ends it.

        Args:
            call: the call that it answers.
            about: the resource that it is about.
        """
        operation = self._new(call, about)
        self._store.set_note("operations", operation.name, call.version)
        return self._store.add(operation)

    def finish(self, name: str, response: Message) -> None:
        """End an operation well, with what it gives."""
        version = self._store.note("operations", name) or "v1"
        self._end(name, lambda operation: operation.response.Pack(self._as_called(response, version)))

    def fail(self, name: str, error: ApiError) -> None:
        """End an operation with an error."""

        def change(operation: Message) -> None:
            operation.error.code, operation.error.message = error.number, error.message

        self._end(name, change)

    def serve(self, table: Table) -> None:
        """Get, wait for, list, cancel and delete them."""
        table.serve(
            "google.longrunning.Operations",
            GetOperation=lambda call: self._store.get(call.request.name),
            WaitOperation=self._wait,
            ListOperations=self._list,
            CancelOperation=self._cancel,
            DeleteOperation=self._delete,
        )

    def _new(self, call: Call, about: str) -> Message:
        number = random.randrange(10**18, 9 * 10**18)
        operation = self._schema.message(NAME)(name=self._store.canonical(f"{about}/operations/{number}"))
        name = f"google.cloud.aiplatform.{call.version}.{call.method.name}OperationMetadata"
        if name.startswith((BETA, STABLE)):
            operation.metadata.Pack(self._metadata(name))
        return operation

    def _metadata(self, name: str) -> Message:
        """What each operation tells besides: when it began, in the message of its method where there is one."""
        generic = name.rpartition(".")[0]
        for full in (name, f"{generic}.GenericOperationMetadata"):
            try:
                made = self._schema.message(full)()
            except ApiError:
                continue
            inner = made.generic_metadata if "generic_metadata" in made.DESCRIPTOR.fields_by_name else made
            for field in ("create_time", "update_time"):
                if field in inner.DESCRIPTOR.fields_by_name:
                    getattr(inner, field).FromNanoseconds(int(self._clock.now() * 1e6) * 1000)
            return made
        return self._schema.message("google.protobuf.Empty")()

    def _as_called(self, message: Message, version: str) -> Message:
        """The message in the version that the client knows, since it looks into `Any`."""
        name = message.DESCRIPTOR.full_name
        if version == "v1beta1" and name.startswith(STABLE):
            return self._schema.recast(message, name.replace(STABLE, BETA, 1))
        return message

    def _end(self, name: str, change: object) -> None:
        def ended(operation: Message) -> None:
            if not operation.done:
                operation.done = True
                change(operation)  # type: ignore[operator]

        self._store.update(name, ended)
        self._store.remove_note("operations", name)
        with self._ended:
            self._ended.notify_all()

    def _wait(self, call: Call) -> Message:
        timeout = call.request.timeout.ToNanoseconds() / 1e9 or 30.0
        with self._ended:
            self._ended.wait_for(lambda: self._store.get(call.request.name).done, timeout)
        return self._store.get(call.request.name)

    def _list(self, call: Call) -> Message:
        return call.reply(operations=self._store.children(call.request.name, "operations"))

    def _cancel(self, call: Call) -> Message:
        self._store.get(call.request.name)  # best effort, as documented: what is under way may still end well
        return call.reply()

    def _delete(self, call: Call) -> Message:
        self._store.delete(call.request.name)
        return call.reply()
