"""The door for gRPC: any method by its path, over TLS and, for channels without it, plain."""

from __future__ import annotations

from concurrent import futures
from typing import Any

from nbvertex.emulator.dispatcher import Dispatcher
from nbvertex.emulator.problem import ApiError, Dropped
from nbvertex.emulator.schema import Method, from_json
from nbvertex.emulator.world import World

WORKERS = 64
OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),
)


class GrpcDoor:
    """A gRPC server on two free ports of the loopback.

    Args:
        world: gives the methods and certificates.
        dispatcher: serves the calls.
    """

    def __init__(self, world: World, dispatcher: Dispatcher) -> None:
        import grpc

        self._world, self._dispatcher = world, dispatcher
        self._grpc = grpc
        executor = futures.ThreadPoolExecutor(WORKERS, thread_name_prefix="grpc")
        self._server = grpc.server(executor, handlers=(self,), options=OPTIONS)
        pair = (world.certificates.key.read_bytes(), world.certificates.certificate.read_bytes())
        self.secure_port = self._server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
        self.plain_port = self._server.add_insecure_port("127.0.0.1:0")

    def start(self) -> None:
        """Begin to serve."""
        self._server.start()

    def close(self) -> None:
        """End, without waiting for calls under way."""
        self._server.stop(0)

    def service(self, details: Any) -> Any:
        """What gRPC asks for each call: the handler of its path."""
        method = self._world.schema.method(details.method)
        if method is None or method.kind == "other":
            return None
        metadata = dict(details.invocation_metadata)
        authorization = metadata.get("authorization")
        serve = self._stream if method.kind == "stream" else self._unary
        make = (
            self._grpc.unary_stream_rpc_method_handler
            if method.kind == "stream"
            else self._grpc.unary_unary_rpc_method_handler
        )
        return make(
            lambda request, context: serve(method, request, context, authorization),
            request_deserializer=self._world.schema.message(method.request).FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )

    def _unary(self, method: Method, request: Any, context: Any, authorization: str | None) -> Any:
        try:
            door = self._world.settings.account
            return self._dispatcher.call(method, request, authorization, door, "grpc")
        except ApiError as error:
            self._abort(context, error)
        except (
            Dropped
        ):  # one stream of a connection cannot break; this is how a client tells that the connection did
            context.abort(self._grpc.StatusCode.UNAVAILABLE, "Socket closed")
        raise AssertionError("abort has raised")

    def _stream(self, method: Method, request: Any, context: Any, authorization: str | None) -> Any:
        yield from self._unary(method, request, context, authorization)

    def _abort(self, context: Any, error: ApiError) -> None:
        status = getattr(self._grpc.StatusCode, error.status)
        if error.details:
            told = {
                "code": error.number,
                "message": error.message,
                "details": [dict(d) for d in error.details],
            }
            data = from_json(told, self._world.schema.beside("google.rpc.Status")()).SerializeToString()
            context.set_trailing_metadata((("grpc-status-details-bin", data),))
        context.abort(status, error.message)
