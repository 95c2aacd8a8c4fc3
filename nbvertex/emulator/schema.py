"""What the services say: message classes, methods and routes, without importing any client.

A child process asks the installed google-cloud-aiplatform once (`dump`); its answer is kept in the user's cache folder,
one file for each version of the client. v1beta1 is asked for when it is first used.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from nbvertex.emulator import described
from nbvertex.emulator.problem import ApiError
from nbvertex.emulator.routes import Match, Routes
from nbvertex.errors import Refused

Message: TypeAlias = Any  # a google.protobuf.message.Message, of a class that is made at start
MessageClass: TypeAlias = Any
CLIENT = "google-cloud-aiplatform"
FORMAT = 1  # of the cached file
BETA, STABLE = "google.cloud.aiplatform.v1beta1.", "google.cloud.aiplatform.v1."


@dataclass(frozen=True, slots=True)
class Method:
    """One method of a service.

    Args:
        path: as gRPC has it, ``/package.Service/Method``.
        kind: ``unary``, ``stream`` (of replies) or ``other``.
        request: the full name of its request.
        response: the full name of its response.
    """

    path: str
    kind: str
    request: str
    response: str

    @property
    def service(self) -> str:
        return self.path[1:].rpartition("/")[0]

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def version(self) -> str:
        return "v1beta1" if self.path.startswith(f"/{BETA}") else "v1"


class Schema:
    """All messages and methods.

    Args:
        cache: the folder in which the answers of clients are kept.
        python: an interpreter that has the client.
    """

    def __init__(self, cache: Path, python: str = sys.executable) -> None:
        from google.protobuf import descriptor_pool

        self._cache, self._python = cache, python
        self._lock, self._asking = threading.RLock(), threading.Lock()
        self._children: list[subprocess.Popen[str]] = []
        self._vertex = _with_known_types(descriptor_pool.DescriptorPool())
        self._beside = _with_known_types(descriptor_pool.DescriptorPool())
        self._classes: dict[str, MessageClass] = {}
        self._templates: dict[str, list[str]] = {}
        self.methods: dict[str, Method] = {}
        self.routes = Routes()
        self._loaded: set[str] = set()
        for text in described.FILES:
            self._beside.AddSerializedFile(described.file_of(text).SerializeToString())
        for one in described.methods():
            self._add(Method(one.path, "unary", one.request, one.response), one.bindings)
        self.client = _client_version()
        if self.client is not None:
            self.load("v1")

    def load(self, version: str) -> None:
        """Make sure that a version of Vertex AI is known.

        Raises:
            Refused: the client could not be asked.
        """
        with self._lock:
            if version in self._loaded or self.client is None:
                return
            said = self._read(version)
            _add_files(self._vertex, base64.b64decode(said["files"]))
            for one in said["methods"]:
                response = one["response"]
                if one["path"].endswith("/WaitOperation"):  # the client leaves its reply undecoded
                    response = "google.longrunning.Operation"
                self._add(Method(one["path"], one["kind"], one["request"], response), one["http"])
            self._loaded.add(version)

    def prepare(self) -> None:
        """Ask the client for what will be wanted later, aside and at leisure, where that was never asked before."""
        if self.client is not None and not self._kept("v1beta1").exists():
            threading.Thread(target=self._ahead, name="v1beta1", daemon=True).start()

    def close(self) -> None:
        """Ask nobody any more."""
        for child in self._children:
            child.kill()

    def method(self, path: str) -> Method | None:
        """The method that gRPC calls by this path."""
        if path.startswith(f"/{BETA}"):
            self.load("v1beta1")
        return self.methods.get(path)

    def route(self, verb: str, path: str) -> Match | None:
        """What a request over HTTP means."""
        if path.startswith("/v1beta1/"):
            self.load("v1beta1")
        return self.routes.find(verb, path)

    def templates(self, method: Method) -> list[str]:
        """The templates of the method's paths."""
        return self._templates.get(method.path, [])

    def message(self, name: str) -> MessageClass:
        """The class of a message.

        Args:
            name: its full name.

        Raises:
            ApiError: no client that knows it is installed.
        """
        found = self._classes.get(name)
        if found is not None:
            return found
        from google.protobuf import message_factory

        for pool in (self._vertex, self._beside):
            try:
                made = message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
            except KeyError:
                continue
            self._classes[name] = made
            return made
        raise ApiError("UNIMPLEMENTED", f"{name} is unknown: install {CLIENT} beside nbvertex")

    def beside(self, name: str) -> MessageClass:
        """The class of a message of the described services, also where Vertex AI has one of that name."""
        from google.protobuf import message_factory

        return message_factory.GetMessageClass(self._beside.FindMessageTypeByName(name))

    def stable(self, name: str) -> str:
        """The v1 name of a v1beta1 message or method where there is one; everything is kept and served as v1."""
        if not name.lstrip("/").startswith(BETA):
            return name
        other = name.replace(BETA, STABLE, 1)
        if name.startswith("/"):
            return other if other in self.methods else name
        try:
            self._vertex.FindMessageTypeByName(other)
        except KeyError:
            return name
        return other

    def recast(self, message: Message, name: str) -> Message:
        """The same bytes as another message: v1 and v1beta1 number their fields alike, and unknown ones stay."""
        if message.DESCRIPTOR.full_name == name:
            return message
        return self.message(name).FromString(message.SerializeToString())

    def _read(self, version: str) -> dict[str, Any]:
        """What the client says of a version; a file that somebody has damaged is written anew."""
        for last in (False, True):
            kept = self._asked(version)
            try:
                said: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
                return said
            except ValueError:
                if last:
                    raise
                kept.unlink()
        raise AssertionError("the second reading returns or raises")

    def _add(self, method: Method, bindings: Iterable[Iterable[str]]) -> None:
        self.methods.setdefault(method.path, method)
        templates = self._templates.setdefault(method.path, [])
        for verb, template, body in bindings:
            templates.append(template)
            self.routes.add(verb, template, body, method)

    def _ahead(self) -> None:
        try:
            self._asked("v1beta1", 10)
        except Refused:  # whoever needs it will be told
            pass

    def _kept(self, version: str) -> Path:
        return self._cache / f"{CLIENT}-{self.client}-{version}-{FORMAT}.json"

    def _asked(self, version: str, patience: int = 0) -> Path:
        """What the client says, asked once however many want it; `patience` is how nice the child is."""
        with self._asking:
            kept = self._kept(version)
            if not kept.exists():
                self._ask(version, kept, patience)
            return kept

    def _ask(self, version: str, kept: Path, patience: int) -> None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        script = Path(__file__).with_name("dump.py")
        environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        command = [self._python, str(script), version, str(kept)]
        child = subprocess.Popen(
            ["nice", "-n", str(patience), *command] if patience else command,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environ,
        )  # fmt: skip
        self._children.append(child)
        _, told = child.communicate()
        self._children.remove(child)
        if child.returncode:
            last = (told.strip().splitlines() or ["no message"])[-1]
            raise Refused(
                f"{CLIENT} {self.client} cannot be asked for its {version} methods: {last}",
                hint=f"try `{self._python} -c 'import google.cloud.aiplatform'`",
            )


def _client_version() -> str | None:
    from importlib import metadata

    try:
        return metadata.version(CLIENT)
    except metadata.PackageNotFoundError:
        return None


KNOWN = (
    "any",
    "api",
    "duration",
    "empty",
    "field_mask",
    "struct",
    "timestamp",
    "type",
    "wrappers",
    "descriptor",
)


def _with_known_types(pool: Any) -> Any:
    """The pool with the types that come with protobuf itself."""
    from importlib import import_module

    for name in ("descriptor", "any", "source_context", "type", "api", *KNOWN):
        file = import_module(f"google.protobuf.{name}_pb2").DESCRIPTOR
        pool.AddSerializedFile(file.serialized_pb)
    return pool


def _add_files(pool: Any, data: bytes) -> None:
    from google.protobuf import descriptor_pb2

    for file in descriptor_pb2.FileDescriptorSet.FromString(data).file:
        try:
            pool.FindFileByName(file.name)
        except KeyError:
            pool.Add(file) if hasattr(pool, "Add") else pool.AddSerializedFile(file.SerializeToString())


def as_json(message: Message, *, integers: bool = False) -> dict[str, Any]:
    """A message as Google's JSON.

    Args:
        message: any message.
        integers: enumerations as numbers, which clients may ask for.
    """
    from google.protobuf import json_format

    made: dict[str, Any] = json_format.MessageToDict(
        message, use_integers_for_enums=integers, descriptor_pool=message.DESCRIPTOR.file.pool
    )
    return made


def from_json(said: Mapping[str, Any], message: Message) -> Message:
    """Fill a message from JSON.

    Returns:
        the message.

    Raises:
        ApiError: the JSON does not fit it.
    """
    from google.protobuf import json_format

    try:
        json_format.ParseDict(
            dict(said), message, ignore_unknown_fields=True, descriptor_pool=message.DESCRIPTOR.file.pool
        )
    except json_format.ParseError as error:
        raise ApiError("INVALID_ARGUMENT", f"Invalid JSON payload received. {error}") from None
    return message
