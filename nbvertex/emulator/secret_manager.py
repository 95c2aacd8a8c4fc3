"""Secret Manager: secrets, their versions, and what those hold."""

from __future__ import annotations

import base64
import re

from nbvertex.emulator.calls import Call, Table
from nbvertex.emulator.digests import crc32c
from nbvertex.emulator.problem import ApiError
from nbvertex.emulator.schema import Message
from nbvertex.emulator.store import not_found
from nbvertex.emulator.world import World

SERVICE = "google.cloud.secretmanager.v1.SecretManagerService"
VERSION = "google.cloud.secretmanager.v1.SecretVersion"
ENABLED, DISABLED, DESTROYED = 1, 2, 3
NAMES = {ENABLED: "ENABLED", DISABLED: "DISABLED", DESTROYED: "DESTROYED"}
SECRET_ID = re.compile(r"[A-Za-z0-9_-]{1,255}")
MOST = 65536
PAYLOADS = "secrets"


class Secrets:
    """The secrets of all projects.

    Args:
        world: the emulator.
    """

    def __init__(self, world: World) -> None:
        self._world, self._store = world, world.store

    def serve(self, table: Table) -> None:
        """Answer what concerns versions; secrets themselves are as every resource."""
        table.serve(
            SERVICE,
            CreateSecret=self._create,
            DeleteSecret=self._delete,
            AddSecretVersion=self._add,
            GetSecretVersion=lambda call: self.version(call.request.name),
            AccessSecretVersion=self._access,
            ListSecretVersions=self._list,
            EnableSecretVersion=lambda call: self._turn(call, ENABLED),
            DisableSecretVersion=lambda call: self._turn(call, DISABLED),
            DestroySecretVersion=lambda call: self._turn(call, DESTROYED),
        )

    def version(self, name: str) -> Message:
        """A version by its number, an alias of the secret's, or ``latest``.

        Raises:
            ApiError: there is none.
        """
        secret, _, wanted = name.rpartition("/versions/")
        versions = self._store.children(secret, "versions")
        if wanted == "latest":
            if not versions:
                raise not_found(name)
            return versions[-1]
        kept = self._store.get(secret)
        if wanted in kept.version_aliases:
            wanted = str(kept.version_aliases[wanted])
        return self._store.get(f"{secret}/versions/{wanted}")

    def _create(self, call: Call) -> Message:
        if not SECRET_ID.fullmatch(call.request.secret_id):
            raise ApiError(
                "INVALID_ARGUMENT",
                f"The provided Secret ID [{call.request.secret_id}] does not match the expected format [[a-zA-Z_0-9]+].",
            )
        if not call.request.secret.HasField("replication"):
            raise ApiError(
                "INVALID_ARGUMENT",
                "Invalid resource field value in the request: secret.replication is required.",
            )
        return self._world.crud.create(call)

    def _delete(self, call: Call) -> Message:
        name = self._store.canonical(call.request.name)
        with self._store.transaction():
            for version in self._store.children(name, "versions"):
                self._store.remove_note(PAYLOADS, version.name)
            self._store.delete(name)
        return call.reply()

    def _add(self, call: Call) -> Message:
        data = call.request.payload.data
        if len(data) > MOST:
            raise ApiError("INVALID_ARGUMENT", f"The secret payload is larger than {MOST} bytes.")
        if not data:
            raise ApiError("INVALID_ARGUMENT", "The secret payload is required.")
        if call.request.payload.HasField("data_crc32c") and call.request.payload.data_crc32c != crc32c(data):
            raise ApiError("INVALID_ARGUMENT", "The secret payload does not match its checksum.")
        with self._store.transaction():
            secret = self._store.get(call.request.parent)
            # A destroyed version stays in the list, so numbers are never given twice.
            number = len(self._store.children(secret.name, "versions")) + 1
            version = call.new(VERSION, name=f"{secret.name}/versions/{number}", state=ENABLED)
            self._world.crud.stamp(version, "create_time")
            self._store.add(version)
            self._store.set_note(PAYLOADS, version.name, base64.b64encode(data).decode())
        return version

    def _access(self, call: Call) -> Message:
        version = self.version(call.request.name)
        if version.state != ENABLED:
            raise ApiError(
                "FAILED_PRECONDITION", f"Secret Version [{version.name}] is in {NAMES[version.state]} state."
            )
        data = base64.b64decode(self._store.note(PAYLOADS, version.name))
        return call.reply(name=version.name, payload={"data": data, "data_crc32c": crc32c(data)})

    def _list(self, call: Call) -> Message:
        return self._world.crud.list(
            call, self._store.children(self._store.get(call.request.parent).name, "versions")
        )

    def _turn(self, call: Call, state: int) -> Message:
        def change(version: Message) -> None:
            if version.state == DESTROYED:
                raise ApiError(
                    "FAILED_PRECONDITION", f"Secret Version [{version.name}] is in DESTROYED state."
                )
            version.state = state
            if state == DESTROYED:
                self._world.crud.stamp(version, "destroy_time")

        with self._store.transaction():
            name = self.version(call.request.name).name
            version = self._store.update(name, change)
            if state == DESTROYED:
                self._store.remove_note(PAYLOADS, name)
        return version


def serve(world: World, table: Table) -> None:
    """Register Secret Manager."""
    Secrets(world).serve(table)
