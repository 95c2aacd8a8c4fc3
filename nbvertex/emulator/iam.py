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
ACCOUNTS = "google.iam.admin.v1.IAM"
USAGE = "google.api.serviceusage.v1.ServiceUsage"
PROJECTS = ("google.cloud.resourcemanager.v3.Projects", "google.cloud.resourcemanager.v1.Projects")
SERVED = (
    "aiplatform",
    "cloudresourcemanager",
    "iam",
    "iamcredentials",
    "logging",
    "secretmanager",
    "storage",
)
ENABLED = 2
HOUR, MOST = 3600.0, 43200.0


def serve(world: World, table: Table) -> None:
    """Register IAM Credentials, and the policies of Vertex AI's resources."""

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

    def held_by(call: Call) -> str:
        """The resource that has the policy; version 1 says a project by its id alone."""
        said = call.request.resource
        return world.store.canonical(said if "/" in said else f"projects/{said}")

    def get_policy(call: Call) -> Message:
        return from_json(world.store.note("policies", held_by(call)) or {}, call.reply())

    def set_policy(call: Call) -> Message:
        world.store.set_note("policies", held_by(call), as_json(call.request.policy))
        return get_policy(call)

    def permissions(call: Call) -> Message:
        return call.reply(permissions=call.request.permissions)

    table.serve(
        CREDENTIALS,
        GenerateAccessToken=access_token,
        GenerateIdToken=id_token,
        SignBlob=sign_blob,
        SignJwt=sign_jwt,
    )
    for service in (POLICIES, ACCOUNTS, *PROJECTS):
        table.serve(service, GetIamPolicy=get_policy, SetIamPolicy=set_policy, TestIamPermissions=permissions)
    _serve_accounts(world, table)


def _serve_accounts(world: World, table: Table) -> None:
    """Service accounts, which are there when they are first named, and the services of a project, which are all on."""

    def account(call: Call, email: str, **said: object) -> Message:
        """`projects/-` is the project that the account's own name says."""
        project = email.partition("@")[2].partition(".")[0]
        name = f"projects/{project}/serviceAccounts/{email}"
        number = str(int(hashlib.sha256(email.encode()).hexdigest()[:16], 16))
        kind = "google.iam.admin.v1.ServiceAccount"
        return call.new(
            kind, **{"name": name, "email": email, "project_id": project, "unique_id": number, **said}
        )

    def create(call: Call) -> Message:
        project = world.store.project(call.request.name.split("/")[1])
        email = f"{call.request.account_id}@{project}.iam.gserviceaccount.com"
        if world.store.note(ACCOUNTS, email) is not None:
            raise ApiError(
                "ALREADY_EXISTS",
                f"Service account {call.request.account_id} already exists within project projects/{project}.",
            )
        said = {"display_name": call.request.service_account.display_name}
        world.store.set_note(ACCOUNTS, email, {**said, "project_id": project})
        return account(call, email, **said)

    def get(call: Call) -> Message:
        email = email_of(call)
        return account(call, email, **(world.store.note(ACCOUNTS, email) or {}))

    def listed(call: Call) -> Message:
        project = world.store.project(call.request.name.split("/")[1])
        found = world.store.notes(ACCOUNTS)
        kept = {email: said for email, said in found.items() if said["project_id"] == project}
        return call.reply(accounts=[account(call, email, **said) for email, said in kept.items()])

    def delete(call: Call) -> Message:
        world.store.remove_note(ACCOUNTS, email_of(call))
        return call.reply()

    def service(call: Call, parent: str, name: str) -> Message:
        said = {
            "name": f"{parent}/services/{name}",
            "parent": parent,
            "config": {"name": name},
            "state": ENABLED,
        }
        return call.new(f"{USAGE.rpartition('.')[0]}.Service", **said)

    def get_service(call: Call) -> Message:
        parent, _, name = call.request.name.partition("/services/")
        return service(call, parent, name)

    def services(call: Call) -> Message:
        return call.reply(
            services=[service(call, call.request.parent, f"{name}.googleapis.com") for name in SERVED]
        )

    table.serve(
        ACCOUNTS, CreateServiceAccount=create, GetServiceAccount=get, ListServiceAccounts=listed,
        DeleteServiceAccount=delete,
    )  # fmt: skip
    table.serve(USAGE, GetService=get_service, ListServices=services)


def email_of(call: Call) -> str:
    """The service account that a request names."""
    return str(call.request.name.rpartition("/serviceAccounts/")[2])
