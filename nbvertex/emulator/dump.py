"""Run as a child, apart from the server: writes what a version of google-cloud-aiplatform says and how it is called.

`python dump.py v1 FILE` writes JSON: `files` (a FileDescriptorSet, base64) and `methods` (path of the call, types, kind,
REST bindings). The client ships neither service descriptors nor annotations, so its transports are asked.
"""

from __future__ import annotations

import base64
import importlib
import inspect
import json
import os
import pkgutil
import sys
from collections.abc import Callable, Iterator
from typing import Any


class Recorder:
    """A channel that only notes which methods a transport would call, and with which types."""

    def __init__(self) -> None:
        self.methods: list[tuple[str, str, Any, Any]] = []

    def _noting(self, kind: str) -> Callable[..., Any]:
        def stub(
            path: str, request_serializer: Any = None, response_deserializer: Any = None, **_: Any
        ) -> Any:
            self.methods.append((kind, path, request_serializer, response_deserializer))
            return lambda *args, **kwargs: None

        return stub

    @property
    def unary_unary(self) -> Callable[..., Any]:
        return self._noting("unary")

    @property
    def unary_stream(self) -> Callable[..., Any]:
        return self._noting("stream")

    @property
    def stream_unary(self) -> Callable[..., Any]:
        return self._noting("other")

    @property
    def stream_stream(self) -> Callable[..., Any]:
        return self._noting("other")

    def close(self) -> None:
        """A channel can be closed."""


def descriptor(function: Any) -> Any:
    """That of the message which a serializer or deserializer belongs to; None where the function does not tell."""
    owner = getattr(function, "__self__", None)
    return (owner.pb() if hasattr(owner, "pb") else owner).DESCRIPTOR if owner is not None else None


def transports(version: str) -> Iterator[tuple[Any, Any]]:
    """Of each service: the class of its gRPC transport and that of its REST bindings."""
    package = importlib.import_module(f"google.cloud.aiplatform_{version}.services")
    for found in pkgutil.iter_modules(package.__path__):
        grpc = importlib.import_module(f"{package.__name__}.{found.name}.transports.grpc")
        rest = importlib.import_module(f"{package.__name__}.{found.name}.transports.rest_base")
        yield _own(grpc, "GrpcTransport"), _own(rest, "RestTransport")


def _own(module: Any, ending: str) -> Any:
    return next(
        value
        for name, value in vars(module).items()
        if inspect.isclass(value) and name.endswith(ending) and value.__module__ == module.__name__
    )


def bindings(base: Any, name: str) -> list[tuple[str, str, str]]:
    """(verb, template, body) of one method, as the client's own REST transport has them."""
    options = getattr(getattr(base, f"_Base{name}", None), "_get_http_options", None)
    return [(o["method"].upper(), o["uri"], o.get("body", "")) for o in options()] if options else []


def methods(version: str) -> Iterator[tuple[dict[str, Any], list[Any]]]:
    """Each method with the descriptors of its messages, as far as the functions tell.

    What a plain message is serialized with does not: its name follows from the method's. What is thrown away is empty.
    """
    for transport, base in transports(version):
        channel = Recorder()
        made = transport.__new__(transport)
        made._stubs = {}
        made._logged_channel = made._grpc_channel = channel
        for name, _ in inspect.getmembers(transport, lambda value: isinstance(value, property)):
            try:
                getattr(made, name)
            except (AttributeError, TypeError):  # a property that needs a real channel names no method
                continue
        for kind, path, serializer, deserializer in channel.methods:
            request, response = descriptor(serializer), descriptor(deserializer)
            service, _, name = path.strip("/").rpartition("/")
            method = {
                "path": path,
                "kind": kind,
                "request": request.full_name if request else f"{service.rpartition('.')[0]}.{name}Request",
                "response": response.full_name if response else "google.protobuf.Empty",
                "http": bindings(base, name),
            }
            yield method, [one for one in (request, response) if one is not None]


def files_of(descriptors: list[Any]) -> bytes:
    """The files that define the messages, each after those that it needs."""
    from google.protobuf import descriptor_pb2

    found, seen = descriptor_pb2.FileDescriptorSet(), set()

    def add(file: Any) -> None:
        if file.name not in seen:
            seen.add(file.name)
            for needed in file.dependencies:
                add(needed)
            file.CopyToProto(found.file.add())

    for descriptor in descriptors:
        add(descriptor.file)
    data: bytes = found.SerializeToString()
    return data


def main(version: str, target: str) -> None:
    """Write the file, whole or not at all."""
    types = importlib.import_module(f"google.cloud.aiplatform_{version}.types")
    descriptors = [value.pb().DESCRIPTOR for value in vars(types).values() if hasattr(value, "pb")]
    named: dict[str, dict[str, Any]] = {}
    for method, told in methods(version):
        descriptors += told
        known = named.setdefault(method["path"], method)
        known["http"] += [binding for binding in method["http"] if binding not in known["http"]]
    said = {"files": base64.b64encode(files_of(descriptors)).decode(), "methods": list(named.values())}
    draft = f"{target}.{os.getpid()}"
    with open(draft, "w", encoding="utf-8") as stream:
        json.dump(said, stream)
    os.replace(draft, target)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
