"""The emulator as a whole: its world behind its doors, in one process."""

from __future__ import annotations

import errno
import threading

from nbvertex.emulator import batch, metadata_server, services
from nbvertex.emulator.control import Control
from nbvertex.emulator.dispatcher import Dispatcher
from nbvertex.emulator.grpc_door import GrpcDoor
from nbvertex.emulator.http_door import HERE, Door, Ways
from nbvertex.emulator.leases import Leases
from nbvertex.emulator.pages import Pages
from nbvertex.emulator.part_uploads import PartUploads
from nbvertex.emulator.plain_storage import PlainStorage
from nbvertex.emulator.rest import Rest
from nbvertex.emulator.storage_api import StorageApi
from nbvertex.emulator.uploads import Uploads
from nbvertex.emulator.web import Reply, Request
from nbvertex.emulator.world import Settings, World

PORTS = "ports"


class Server:
    """A running emulator.

    Args:
        settings: what it is started with.
    """

    def __init__(self, settings: Settings) -> None:
        self.world = World(settings)
        self.dispatcher = Dispatcher(self.world)
        self.world.certificates.prepare()
        services.register(self.world)
        uploads = Uploads(self.world.buckets, self.world.store)
        self._storage = StorageApi(self.world.buckets, uploads, self.world.store.number)
        self._plain_storage = PlainStorage(
            self.world.buckets, uploads, PartUploads(self.world.buckets, self.world.store)
        )
        self._rest = Rest(self.world.schema, self.dispatcher)
        self.leases = Leases()
        self._control = Control(self.world, self.dispatcher, self.leases)
        self._pages = Pages(self.world)
        self._grpc = GrpcDoor(self.world, self.dispatcher)
        self._doors: dict[str, Door] = {}
        self._lock = threading.Lock()
        certificates = self.world.certificates
        self._ways = Ways(
            self.answer,
            str(certificates.certificate),
            str(certificates.key),
            self._grpc.secure_port,
            self._grpc.plain_port,
        )
        self.world.open_door = self.open_door

    def start(self) -> None:
        """Open the doors, make what was asked for at start, and let executors begin."""
        world, settings = self.world, self.world.settings
        self._grpc.start()
        self.open_door(settings.account)
        world.store.number(settings.project)
        if settings.bucket:
            world.buckets.ensure(settings.project, settings.bucket)
        world.background.start()
        world.schema.prepare()

    def close(self) -> None:
        """End executors, then close the doors."""
        self.world.background.close()
        for door in self._doors.values():
            door.shutdown()
            door.server_close()
        self._grpc.close()
        self.world.schema.close()
        self.world.store.close()

    def open_door(self, identity: str) -> int:
        """The port at which callers without a token are taken for a service account; opened when first asked for."""
        with self._lock:
            door = self._doors.get(identity)
            if door is None:
                door = self._doors[identity] = self._opened(identity)
                self.world.store.set_note(PORTS, identity, door.port)
                door.open()
            return door.port

    def _opened(self, identity: str) -> Door:
        """Where it was before a restart, if that is free, so that programs that were started before find it again."""
        own = identity == self.world.settings.account
        if own and self.world.settings.port:
            return Door(self.world.settings.port, identity, self._ways)
        try:
            return Door(int(self.world.store.note(PORTS, identity) or 0), identity, self._ways)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return Door(0, identity, self._ways)

    def answer(self, request: Request) -> Reply:
        """Answer a request over HTTP, whatever it is for.

        Raises:
            ApiError: as Google's services do.
        """
        if metadata_server.is_ours(request):
            return metadata_server.answer(self.world, request)
        if request.path in ("/token", "/oauth2/v4/token"):
            return self.dispatcher.guarded(
                "OAuth.Token", "", None, request.door, "rest",
                lambda identity: metadata_server.exchange(self.world, request),
            )  # fmt: skip
        if (
            request.host in HERE
            and (own := self._control.answer(request) or self._pages.answer(request)) is not None
        ):
            return own
        if "/storage/v1/" in request.path:
            method, about, serve = self._storage.find(request)
            return self.dispatcher.guarded(
                method, about, request.authorization, request.door, "storage", serve
            )
        if request.path.startswith("/batch"):
            return batch.answer(request, self.answer)
        plain = self._plain_storage.find(request)
        if plain is not None:
            method, about, serve = plain
            return self.dispatcher.guarded(
                method, about, request.authorization, request.door, "storage", serve
            )
        return self._rest(request)
