"""The servers of deployed models: each a process, started when it is needed, asked over HTTP."""

from __future__ import annotations

import asyncio
import http.client
import re
import socket
from dataclasses import dataclass
from typing import Any

from nbvertex.emulator.engine import Engine
from nbvertex.emulator.images import Unmapped
from nbvertex.emulator.placeholders import expand
from nbvertex.emulator.problem import ApiError
from nbvertex.emulator.processes import HERE, CannotStart, Command, Exit
from nbvertex.emulator.schema import Message
from nbvertex.emulator.spawning import SpawnerDied
from nbvertex.emulator.surroundings import surroundings
from nbvertex.emulator.world import World

PATIENCE = 300.0  # seconds of the machine until a server must be healthy
PAUSE = 0.05
LAST_BREATH = 1.0
PREBUILT = re.compile(r"\bvertex-ai/prediction/(sklearn|xgboost)-")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A server that is wanted.

    Args:
        ident: its own id.
        owner: the resource that it serves, in whose name it logs.
        container: how the model says that it is served.
        artifacts: the URI of the model's files.
        service_account: as which it runs.
        variables: more of them.
    """

    ident: str
    owner: str
    container: Message
    artifacts: str
    service_account: str
    variables: tuple[tuple[str, str], ...] = ()

    @property
    def predict_route(self) -> str:
        return (
            self.container.predict_route or f"/v1/endpoints/{self.ident}/deployedModels/{self.ident}:predict"
        )

    @property
    def health_route(self) -> str:
        return self.container.health_route or f"/v1/endpoints/{self.ident}/deployedModels/{self.ident}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered."""

    status: int
    content_type: str
    body: bytes


@dataclass(slots=True, eq=False)
class Serving:
    """A server under way."""

    wanted: Wanted
    port: int
    task: asyncio.Task[Exit]


class ModelServers:
    """All servers.

    Args:
        world: the emulator.
        engine: runs them.
    """

    def __init__(self, world: World, engine: Engine) -> None:
        self._world = world
        self._engine = engine
        self._serving: dict[str, Serving] = {}
        self._turns: dict[str, asyncio.Lock] = {}

    async def port(self, wanted: Wanted) -> int:
        """Where a server listens; it is started where it is not healthy yet.

        Raises:
            ApiError: it does not become healthy.
        """
        async with self._turns.setdefault(wanted.ident, asyncio.Lock()):
            known = self._serving.get(wanted.ident)
            if known is not None and not known.task.done():
                return known.port
            try:
                serving = self._started(wanted)
            except Unmapped as error:
                raise ApiError("FAILED_PRECONDITION", str(error)) from error
            self._serving[wanted.ident] = serving
            try:
                await self._healthy(serving)
            except BaseException:
                await self.stop(wanted.ident)
                raise
            return serving.port

    async def stop(self, ident: str) -> None:
        """End a server, if it runs."""
        serving = self._serving.pop(ident, None)
        if serving is not None and not serving.task.done():
            serving.task.cancel()
            await asyncio.wait([serving.task])

    def ask(self, wanted: Wanted, route: str, body: bytes, content_type: str) -> Answer:
        """Send a request to a server; from any thread but the engine's.

        Raises:
            ApiError: there is no server that answers.
        """
        port = self._engine.call(self.port(wanted))
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
        try:
            connection.request("POST", route, body, {"Content-Type": content_type})
            reply = connection.getresponse()
            said = reply.headers.get("Content-Type", "application/json")
            return Answer(reply.status, said, reply.read())
        except (OSError, http.client.HTTPException) as error:
            self._engine.call(self._settled(wanted.ident))
            raise ApiError("UNAVAILABLE", f"The model server does not answer: {error}") from error
        finally:
            connection.close()

    async def _settled(self, ident: str) -> None:
        """A server that does not answer may have died: wait until that is known, so that the next call starts one."""
        serving = self._serving.get(ident)
        if serving is not None:
            await asyncio.wait([serving.task], timeout=LAST_BREATH)

    def _started(self, wanted: Wanted) -> Serving:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = int(probe.getsockname()[1])
        container = wanted.container
        env = {
            **surroundings(self._world, wanted.owner, wanted.service_account).env,
            "AIP_MODE": "PREDICTION",
            "AIP_MODE_VERSION": "1.0.0",
            "AIP_HTTP_PORT": str(port),
            "AIP_PREDICT_ROUTE": wanted.predict_route,
            "AIP_HEALTH_ROUTE": wanted.health_route,
            "AIP_STORAGE_URI": wanted.artifacts,
            "AIP_PROJECT_NUMBER": wanted.owner.split("/")[1],
            **dict(wanted.variables),
        }
        for one in container.env:
            env[one.name] = expand(one.value, env)
        command = Command(
            image=container.image_uri,
            words=tuple(expand(word, env) for word in container.command)
            or self._prebuilt(container.image_uri),
            args=tuple(expand(word, env) for word in container.args),
            env=env,
            folder=f"servers/{wanted.ident}",
            job=wanted.owner,
            log="prediction_container",
        )
        task = asyncio.get_running_loop().create_task(self._engine.processes.run_now(command))
        return Serving(wanted, port, task)

    def _prebuilt(self, image: str) -> tuple[str, ...]:
        """What one of Google's own prediction containers runs; nothing where the table of images says it."""
        if not PREBUILT.search(image) or self._engine.images.find(image).entrypoint:
            return ()
        return ("python3", str(HERE / "inside" / "serve_model.py"))

    async def _healthy(self, serving: Serving) -> None:
        """Wait until it says so."""
        loop = asyncio.get_running_loop()
        last = loop.time() + PATIENCE
        while loop.time() < last:
            if serving.task.done():
                raise ApiError("FAILED_PRECONDITION", _why(serving.task))
            if await asyncio.to_thread(_is_healthy, serving.port, serving.wanted.health_route):
                return
            await asyncio.sleep(PAUSE)
        raise ApiError("FAILED_PRECONDITION", "The model server did not become healthy in time.")


def _is_healthy(port: int, route: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", route)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _why(task: asyncio.Task[Exit]) -> str:
    try:
        ended = task.result()
    except (Unmapped, CannotStart, SpawnerDied) as error:
        return str(error)
    said = f" Its last line was: {ended.last.rstrip('.')}." if ended.last else ""
    return f"Model server exited unexpectedly with status {ended.code}.{said} Its log: {ended.log}"


def container_of(model: Message) -> Any:
    """How a model is served.

    Raises:
        ApiError: it does not say.
    """
    if not model.container_spec.image_uri:
        raise ApiError("FAILED_PRECONDITION", f"The model {model.name} has no container_spec to serve it.")
    return model.container_spec
