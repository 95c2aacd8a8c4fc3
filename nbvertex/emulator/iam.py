"""IAM: tokens that live shortly and stand for another service account, and policies that are kept but not enforced."""

from __future__ import annotations

import hashlib
import json

from nbvertex.emulator.calls import Call, Table
from nbvertex.emulator.identities import jwt
from nbvertex.emulator.problem import ApiError
from nbvertex.emulator.schema import Message, as_json, from_json
from nbvertex.emulator.world import World

CREDENTIALS = "google.iam.credentials.v1.IAMCredentials"
POLICIES = "google.iam.v1.IAMPolicy"
PROJECTS = "google.cloud.resourcemanager.v3.Projects"
ACCOUNTS = "google.iam.admin.v1.IAM"
HOUR, MOST = 3600.0, 43200.0


def serve(world: World, table: Table) -> None:
    """Register IAM Credentials, and the policies of Vertex AI's resources."""

    def email_of(call: Call) -> str:
        return str(call.request.name.rpartition("/serviceAccounts/")[2])

    def access_token(call: Call) -> Message:
        if not call.request.scope:
            raise ApiError("INVALID_ARGUMENT", "Request contains an invalid argument: scope is required.")
        lifetime = call.request.lifetime.ToNanoseconds() / 1e9 or HOUR
        if not 0 < lifetime <= MOST:
            raise ApiError("INVALID_ARGUMENT", f"lifetime must be at most {MOST:.0f}s.")
        token, expires = world.identities.token(email_of(call), lifetime)
        reply = call.reply(access_token=token)
        reply.expire_time.FromSeconds(int(expires))
        return reply

    def id_token(call: Call) -> Message:
        return call.reply(token=world.identities.id_token(email_of(call), call.request.audience))

    def sign_blob(call: Call) -> Message:
        signature = hashlib.sha256(call.request.name.encode() + call.request.payload).digest()
        return call.reply(key_id="emulator", signed_blob=signature)

    def sign_jwt(call: Call) -> Message:
        try:
            said = json.loads(call.request.payload)
        except ValueError:
            raise ApiError("INVALID_ARGUMENT", "The payload is no JSON.") from None
        return call.reply(key_id="emulator", signed_jwt=jwt(said))

    def get_policy(call: Call) -> Message:
        return from_json(
            world.store.note("policies", world.store.canonical(call.request.resource)) or {}, call.reply()
        )

    def set_policy(call: Call) -> Message:
        world.store.set_note(
            "policies", world.store.canonical(call.request.resource), as_json(call.request.policy)
        )
        return get_policy(call)

    def permissions(call: Call) -> Message:
        return call.reply(permissions=call.request.permissions)

    def account(call: Call) -> Message:
        project, _, email = call.request.name.removeprefix("projects/").partition("/serviceAccounts/")
        found = call.reply(email=email, project_id=email.partition("@")[2].partition(".")[0])
        found.name = f"projects/{found.project_id if project == '-' else project}/serviceAccounts/{email}"
        return found

    table.serve(
        CREDENTIALS,
        GenerateAccessToken=access_token,
        GenerateIdToken=id_token,
        SignBlob=sign_blob,
        SignJwt=sign_jwt,
    )
    table.serve(ACCOUNTS, GetServiceAccount=account, TestIamPermissions=permissions)
    table.serve(PROJECTS, GetIamPolicy=get_policy, SetIamPolicy=set_policy, TestIamPermissions=permissions)
    table.serve(POLICIES, GetIamPolicy=get_policy, SetIamPolicy=set_policy, TestIamPermissions=permissions)
