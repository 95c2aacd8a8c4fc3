"""The metadata server of a machine in Google's cloud, and the endpoint where keys become tokens."""

from __future__ import annotations

import json
import time
from urllib.parse import parse_qsl

from nbvertex.emulator.identities import payload
from nbvertex.emulator.problem import ApiError
from nbvertex.emulator.web import Reply, Request, json_reply
from nbvertex.emulator.world import World

FLAVOR = {"Metadata-Flavor": "Google", "Server": "Metadata Server for VM"}
SCOPES = ["https://www.googleapis.com/auth/cloud-platform"]
PREFIX = "/computeMetadata/v1/"


def is_ours(request: Request) -> bool:
    """Whether a request is for the metadata server."""
    asked = request.headers.get("metadata-flavor") == "Google"
    return request.path.startswith("/computeMetadata/") or (request.path in ("", "/") and asked)


def answer(world: World, request: Request) -> Reply:
    """What the machine's metadata says, for the service account of the door.

    Raises:
        ApiError: it has nothing there, or the header is missing that no browser sends.
    """
    if request.path in ("", "/", "/computeMetadata/", "/computeMetadata/v1", PREFIX):
        return Reply(200, b"0.1/\ncomputeMetadata/\n", {**FLAVOR, "Content-Type": "application/text"})
    if request.headers.get("metadata-flavor") != "Google":
        raise ApiError("PERMISSION_DENIED", "Missing Metadata-Flavor:Google header.")
    path = request.path.removeprefix(PREFIX).rstrip("/")
    number = world.store.number(world.settings.project)
    plain = {
        "universe/universe-domain": "googleapis.com",
        "universe/universe_domain": "googleapis.com",
        "project/project-id": world.settings.project,
        "project/numeric-project-id": number,
        "instance/id": "1",
        "instance/zone": f"projects/{number}/zones/us-central1-a",
        "instance/region": f"projects/{number}/regions/us-central1",
    }
    if path in plain:
        return Reply(200, plain[path].encode(), {**FLAVOR, "Content-Type": "application/text"})
    accounts, _, rest = path.partition("instance/service-accounts")
    if accounts or not path.startswith("instance/service-accounts"):
        raise ApiError("NOT_FOUND", f"The metadata server has nothing at {request.path}.")
    return _account(world, request, rest.strip("/"))


def _account(world: World, request: Request, rest: str) -> Reply:
    email = request.door
    text = {**FLAVOR, "Content-Type": "application/text"}
    if not rest:
        return Reply(200, f"default/\n{email}/\n".encode(), text)
    who, _, what = rest.partition("/")
    if who not in ("default", email):
        raise ApiError("NOT_FOUND", f"There is no service account {who}.")
    if what == "token":
        token, expires = world.identities.token(email)
        said = {
            "access_token": token,
            "expires_in": max(1, int(expires - time.time())),
            "token_type": "Bearer",
        }
        return json_reply(said, headers=FLAVOR)
    if what == "identity":
        return Reply(200, world.identities.id_token(email, request.said.get("audience", "")).encode(), text)
    if what == "email":
        return Reply(200, email.encode(), text)
    if what == "scopes":
        return Reply(200, "".join(f"{scope}\n" for scope in SCOPES).encode(), text)
    if what == "":
        said = {"aliases": ["default"], "email": email, "scopes": SCOPES}
        if request.said.get("recursive", "").lower() == "true":
            return json_reply(said, headers=FLAVOR)
        return Reply(200, b"aliases\nemail\nidentity\nscopes\ntoken\n", text)
    raise ApiError("NOT_FOUND", f"The metadata server has nothing at {request.path}.")


def exchange(world: World, request: Request) -> Reply:
    """A signed assertion, or a refresh token, becomes an access token."""
    data = request.body.read().decode("utf-8", "replace")
    said = json.loads(data) if data.lstrip().startswith("{") else dict(parse_qsl(data))
    claims = payload(str(said.get("assertion", ""))) or {}
    email = str(claims.get("iss") or request.door)
    if said.get("assertion") and not claims.get("iss"):
        return json_reply({"error": "invalid_grant", "error_description": "Invalid JWT."}, 400)
    if claims.get("exp", time.time() + 1) <= time.time():
        return json_reply({"error": "invalid_grant", "error_description": "Invalid JWT: token expired."}, 400)
    if claims.get("target_audience"):
        return json_reply({"id_token": world.identities.id_token(email, str(claims["target_audience"]))})
    token, expires = world.identities.token(email)
    seconds = max(1, int(expires - time.time()))
    return json_reply(
        {"access_token": token, "expires_in": seconds, "token_type": "Bearer", "scope": SCOPES[0]}
    )
