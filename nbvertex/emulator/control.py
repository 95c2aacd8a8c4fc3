"""What tests ask of the emulator itself: its clock, faults, tokens, the calls that were made."""

from __future__ import annotations

from typing import Any

from nbvertex.emulator.dispatcher import Dispatcher
from nbvertex.emulator.leases import Leases
from nbvertex.emulator.problem import ApiError
from nbvertex.emulator.web import Reply, Request, json_reply
from nbvertex.emulator.world import World

FOREVER = 100 * 366 * 86400.0


class Control:
    """The emulator's own paths, on its plain port only.

    Args:
        world: the emulator.
        dispatcher: keeps the record of calls.
        leases: who holds the emulator.
    """

    def __init__(self, world: World, dispatcher: Dispatcher, leases: Leases) -> None:
        self._world, self._dispatcher, self._leases = world, dispatcher, leases

    def answer(self, request: Request) -> Reply | None:
        """The reply, or None where the path is not one of the emulator's own."""
        what, _, rest = request.path.strip("/").partition("/")
        serve = getattr(self, f"_on_{what}", None) if what.isalpha() else None
        return None if serve is None else serve(request, rest)

    def _on_clock(self, request: Request, rest: str) -> Reply:
        if rest == "advance" and request.verb == "POST":
            now = self._world.clock.advance(_number(request, "seconds"))
            self._world.background.settle()
            return json_reply({"now": now})
        return json_reply({"now": self._world.clock.now()})

    def _on_faults(self, request: Request, rest: str) -> Reply:
        if request.verb == "POST":
            return json_reply(self._world.faults.add(request.json()).json())
        if request.verb == "DELETE":
            self._world.faults.clear(int(rest) if rest.isdigit() else None)
        return json_reply([rule.json() for rule in self._world.faults.rules()])

    def _on_tokens(self, request: Request, rest: str) -> Reply:
        if rest == "expire" and request.verb == "POST":
            self._world.identities.expire()
        elif rest == "lifetime" and request.verb == "POST":
            self._world.identities.set_lifetime(_number(request, "seconds"))
        return json_reply({"lifetime": self._world.identities.lifetime})

    def _on_calls(self, request: Request, rest: str) -> Reply:
        made = self._dispatcher.records()
        if request.verb == "DELETE":
            self._dispatcher.forget()
        return json_reply(made)

    def _on_lease(self, request: Request, rest: str) -> Reply:
        return Reply(held=self._leases.taken())

    def _on_environment(self, request: Request, rest: str) -> Reply:
        """What a program needs to reach the emulator; its bucket is made where there is none."""
        world, said = self._world, request.said
        project = said.get("project") or world.settings.project
        if said.get("bucket"):
            world.buckets.ensure(project, said["bucket"])
        return json_reply(
            {
                "environment": world.environment(world.settings.account, project=project),
                "folder": str(world.settings.folder),
                "any_image": world.settings.any_image,
                "images": dict(world.settings.images),
            }
        )


def _number(request: Request, field: str) -> float:
    said: Any = request.said.get(field)
    if said is None:
        said = request.json().get(field)
    try:
        number = float(said)
    except (TypeError, ValueError):
        raise ApiError("INVALID_ARGUMENT", f"{field} must be a number, not {said!r}") from None
    if not 0 <= number < FOREVER:
        raise ApiError("INVALID_ARGUMENT", f"{field} must be between 0 and a hundred years, not {said!r}")
    return number
