"""The small services beside Vertex AI, described by hand: what their messages hold and how they are called.

So a step may fetch its secret, and a test may read the log, where the client of that service is not installed. Each line
of a message is `name number type`; a type is a scalar, a message of the same package, a full name with a leading dot, an
enumeration, `repeated T` or `map K V`. `|` groups the names of a oneof.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

Descriptor = Any  # google.protobuf.descriptor_pb2.FileDescriptorProto


class Binding(NamedTuple):
    """One way to call a method over HTTP."""

    verb: str
    template: str
    body: str


class Described(NamedTuple):
    """One method as its client calls it."""

    path: str
    request: str
    response: str
    bindings: tuple[Binding, ...]


STATUS = """
package google.rpc
Status: code 1 int32; message 2 string; details 3 repeated .google.protobuf.Any
ErrorInfo: reason 1 string; domain 2 string; metadata 3 map string string
RetryInfo: retry_delay 1 .google.protobuf.Duration
BadRequest.FieldViolation: field 1 string; description 2 string
BadRequest: field_violations 1 repeated BadRequest.FieldViolation
QuotaFailure.Violation: subject 1 string; description 2 string
QuotaFailure: violations 1 repeated QuotaFailure.Violation
ResourceInfo: resource_type 1 string; resource_name 2 string; owner 3 string; description 4 string
"""

PROJECTS = """
package google.cloud.resourcemanager.v3
enum Project.State: STATE_UNSPECIFIED 0; ACTIVE 1; DELETE_REQUESTED 2
Project: name 1 string; parent 2 string; project_id 3 string; state 4 Project.State; display_name 5 string; create_time 6 .google.protobuf.Timestamp; update_time 7 .google.protobuf.Timestamp; delete_time 8 .google.protobuf.Timestamp; etag 9 string; labels 10 map string string
GetProjectRequest: name 1 string
SearchProjectsRequest: query 1 string; page_token 2 string; page_size 3 int32
SearchProjectsResponse: projects 1 repeated Project; next_page_token 2 string
Projects.GetProject(GetProjectRequest) Project: GET /v3/{name=projects/*}
Projects.TestIamPermissions(.google.iam.v1.TestIamPermissionsRequest) .google.iam.v1.TestIamPermissionsResponse: POST /v3/{resource=projects/*}:testIamPermissions *
Projects.GetIamPolicy(.google.iam.v1.GetIamPolicyRequest) .google.iam.v1.Policy: POST /v3/{resource=projects/*}:getIamPolicy *
Projects.SetIamPolicy(.google.iam.v1.SetIamPolicyRequest) .google.iam.v1.Policy: POST /v3/{resource=projects/*}:setIamPolicy *
Projects.SearchProjects(SearchProjectsRequest) SearchProjectsResponse: GET /v3/projects:search
"""

OLD_PROJECTS = """
package google.cloud.resourcemanager.v1
enum LifecycleState: LIFECYCLE_STATE_UNSPECIFIED 0; ACTIVE 1
Project: project_number 1 int64; project_id 2 string; lifecycle_state 3 LifecycleState; name 4 string
GetProjectRequest: project_id 1 string
ListProjectsRequest: page_token 1 string; page_size 2 int32; filter 3 string
ListProjectsResponse: projects 1 repeated Project; next_page_token 2 string
Projects.GetProject(GetProjectRequest) Project: GET /v1/projects/{project_id}
Projects.TestIamPermissions(.google.iam.v1.TestIamPermissionsRequest) .google.iam.v1.TestIamPermissionsResponse: POST /v1/projects/{resource}:testIamPermissions *
Projects.GetIamPolicy(.google.iam.v1.GetIamPolicyRequest) .google.iam.v1.Policy: POST /v1/projects/{resource}:getIamPolicy *
Projects.SetIamPolicy(.google.iam.v1.SetIamPolicyRequest) .google.iam.v1.Policy: POST /v1/projects/{resource}:setIamPolicy *
Projects.ListProjects(ListProjectsRequest) ListProjectsResponse: GET /v1/projects
"""

SECRETS = """
package google.cloud.secretmanager.v1
enum SecretVersion.State: STATE_UNSPECIFIED 0; ENABLED 1; DISABLED 2; DESTROYED 3
Replication.Automatic:
Replication.UserManaged.Replica: location 1 string
Replication.UserManaged: replicas 1 repeated Replication.UserManaged.Replica
Replication: automatic 1 Replication.Automatic |replication; user_managed 2 Replication.UserManaged |replication
Secret: name 1 string; replication 2 Replication; create_time 3 .google.protobuf.Timestamp; labels 4 map string string; expire_time 6 .google.protobuf.Timestamp |expiration; ttl 7 .google.protobuf.Duration |expiration; etag 8 string; version_aliases 11 map string int64; annotations 13 map string string
SecretVersion: name 1 string; create_time 2 .google.protobuf.Timestamp; destroy_time 3 .google.protobuf.Timestamp; state 4 SecretVersion.State; etag 6 string; client_specified_payload_checksum 7 bool
SecretPayload: data 1 bytes; data_crc32c 2 optional int64
CreateSecretRequest: parent 1 string; secret_id 2 string; secret 3 Secret
GetSecretRequest: name 1 string
ListSecretsRequest: parent 1 string; page_size 2 int32; page_token 3 string; filter 4 string
ListSecretsResponse: secrets 1 repeated Secret; next_page_token 2 string; total_size 3 int32
UpdateSecretRequest: secret 1 Secret; update_mask 2 .google.protobuf.FieldMask
DeleteSecretRequest: name 1 string; etag 2 string
AddSecretVersionRequest: parent 1 string; payload 2 SecretPayload
GetSecretVersionRequest: name 1 string
ListSecretVersionsRequest: parent 1 string; page_size 2 int32; page_token 3 string; filter 4 string
ListSecretVersionsResponse: versions 1 repeated SecretVersion; next_page_token 2 string; total_size 3 int32
AccessSecretVersionRequest: name 1 string
AccessSecretVersionResponse: name 1 string; payload 2 SecretPayload
EnableSecretVersionRequest: name 1 string; etag 2 string
DisableSecretVersionRequest: name 1 string; etag 2 string
DestroySecretVersionRequest: name 1 string; etag 2 string
SecretManagerService.CreateSecret(CreateSecretRequest) Secret: POST /v1/{parent=projects/*}/secrets secret
SecretManagerService.GetSecret(GetSecretRequest) Secret: GET /v1/{name=projects/*/secrets/*}
SecretManagerService.ListSecrets(ListSecretsRequest) ListSecretsResponse: GET /v1/{parent=projects/*}/secrets
SecretManagerService.UpdateSecret(UpdateSecretRequest) Secret: PATCH /v1/{secret.name=projects/*/secrets/*} secret
SecretManagerService.DeleteSecret(DeleteSecretRequest) .google.protobuf.Empty: DELETE /v1/{name=projects/*/secrets/*}
SecretManagerService.AddSecretVersion(AddSecretVersionRequest) SecretVersion: POST /v1/{parent=projects/*/secrets/*}:addVersion *
SecretManagerService.GetSecretVersion(GetSecretVersionRequest) SecretVersion: GET /v1/{name=projects/*/secrets/*/versions/*}
SecretManagerService.ListSecretVersions(ListSecretVersionsRequest) ListSecretVersionsResponse: GET /v1/{parent=projects/*/secrets/*}/versions
SecretManagerService.AccessSecretVersion(AccessSecretVersionRequest) AccessSecretVersionResponse: GET /v1/{name=projects/*/secrets/*/versions/*}:access
SecretManagerService.EnableSecretVersion(EnableSecretVersionRequest) SecretVersion: POST /v1/{name=projects/*/secrets/*/versions/*}:enable *
SecretManagerService.DisableSecretVersion(DisableSecretVersionRequest) SecretVersion: POST /v1/{name=projects/*/secrets/*/versions/*}:disable *
SecretManagerService.DestroySecretVersion(DestroySecretVersionRequest) SecretVersion: POST /v1/{name=projects/*/secrets/*/versions/*}:destroy *
"""

IAM_CREDENTIALS = """
package google.iam.credentials.v1
GenerateAccessTokenRequest: name 1 string; delegates 2 repeated string; scope 4 repeated string; lifetime 7 .google.protobuf.Duration
GenerateAccessTokenResponse: access_token 1 string; expire_time 3 .google.protobuf.Timestamp
GenerateIdTokenRequest: name 1 string; delegates 2 repeated string; audience 3 string; include_email 4 bool
GenerateIdTokenResponse: token 1 string
SignBlobRequest: name 1 string; delegates 3 repeated string; payload 5 bytes
SignBlobResponse: key_id 1 string; signed_blob 4 bytes
SignJwtRequest: name 1 string; delegates 3 repeated string; payload 5 string
SignJwtResponse: key_id 1 string; signed_jwt 2 string
IAMCredentials.GenerateAccessToken(GenerateAccessTokenRequest) GenerateAccessTokenResponse: POST /v1/{name=projects/*/serviceAccounts/*}:generateAccessToken *
IAMCredentials.GenerateIdToken(GenerateIdTokenRequest) GenerateIdTokenResponse: POST /v1/{name=projects/*/serviceAccounts/*}:generateIdToken *
IAMCredentials.SignBlob(SignBlobRequest) SignBlobResponse: POST /v1/{name=projects/*/serviceAccounts/*}:signBlob *
IAMCredentials.SignJwt(SignJwtRequest) SignJwtResponse: POST /v1/{name=projects/*/serviceAccounts/*}:signJwt *
"""

POLICIES = """
package google.iam.v1
Binding: role 1 string; members 2 repeated string
Policy: version 1 int32; bindings 4 repeated Binding; etag 3 bytes
GetIamPolicyRequest: resource 1 string
SetIamPolicyRequest: resource 1 string; policy 2 Policy
TestIamPermissionsRequest: resource 1 string; permissions 2 repeated string
TestIamPermissionsResponse: permissions 1 repeated string
"""

ACCOUNTS = """
package google.iam.admin.v1
ServiceAccount: name 1 string; project_id 2 string; unique_id 4 string; email 5 string; display_name 6 string; etag 7 bytes; description 8 string; oauth2_client_id 9 string; disabled 11 bool
CreateServiceAccountRequest: name 1 string; account_id 2 string; service_account 3 ServiceAccount
GetServiceAccountRequest: name 1 string
ListServiceAccountsRequest: name 1 string; page_size 2 int32; page_token 3 string
ListServiceAccountsResponse: accounts 1 repeated ServiceAccount; next_page_token 2 string
DeleteServiceAccountRequest: name 1 string
IAM.CreateServiceAccount(CreateServiceAccountRequest) ServiceAccount: POST /v1/{name=projects/*}/serviceAccounts *
IAM.GetServiceAccount(GetServiceAccountRequest) ServiceAccount: GET /v1/{name=projects/*/serviceAccounts/*}
IAM.ListServiceAccounts(ListServiceAccountsRequest) ListServiceAccountsResponse: GET /v1/{name=projects/*}/serviceAccounts
IAM.DeleteServiceAccount(DeleteServiceAccountRequest) .google.protobuf.Empty: DELETE /v1/{name=projects/*/serviceAccounts/*}
IAM.TestIamPermissions(.google.iam.v1.TestIamPermissionsRequest) .google.iam.v1.TestIamPermissionsResponse: POST /v1/{resource=projects/*/serviceAccounts/*}:testIamPermissions *
IAM.GetIamPolicy(.google.iam.v1.GetIamPolicyRequest) .google.iam.v1.Policy: POST /v1/{resource=projects/*/serviceAccounts/*}:getIamPolicy *
IAM.SetIamPolicy(.google.iam.v1.SetIamPolicyRequest) .google.iam.v1.Policy: POST /v1/{resource=projects/*/serviceAccounts/*}:setIamPolicy *
"""

USAGE = """
package google.api.serviceusage.v1
enum State: STATE_UNSPECIFIED 0; DISABLED 1; ENABLED 2
ServiceConfig: name 1 string; title 2 string
Service: name 1 string; config 2 ServiceConfig; state 4 State; parent 5 string
GetServiceRequest: name 1 string
ListServicesRequest: parent 1 string; page_size 2 int32; page_token 3 string; filter 4 string
ListServicesResponse: services 1 repeated Service; next_page_token 2 string
ServiceUsage.GetService(GetServiceRequest) Service: GET /v1/{name=projects/*/services/*}
ServiceUsage.ListServices(ListServicesRequest) ListServicesResponse: GET /v1/{parent=projects/*}/services
"""

LOGGING_TYPES = """
package google.logging.type
enum LogSeverity: DEFAULT 0; DEBUG 100; INFO 200; NOTICE 300; WARNING 400; ERROR 500; CRITICAL 600; ALERT 700; EMERGENCY 800
"""

MONITORED = """
package google.api
MonitoredResource: type 1 string; labels 2 map string string
"""

LOGGING = """
package google.logging.v2
LogEntryOperation: id 1 string; producer 2 string; first 3 bool; last 4 bool
LogEntrySourceLocation: file 1 string; line 2 int64; function 3 string
LogEntry: log_name 12 string; resource 8 .google.api.MonitoredResource; proto_payload 2 .google.protobuf.Any |payload; text_payload 3 string |payload; json_payload 6 .google.protobuf.Struct |payload; timestamp 9 .google.protobuf.Timestamp; receive_timestamp 24 .google.protobuf.Timestamp; severity 10 .google.logging.type.LogSeverity; insert_id 4 string; labels 11 map string string; operation 15 LogEntryOperation; trace 22 string; span_id 27 string; trace_sampled 30 bool; source_location 23 LogEntrySourceLocation
WriteLogEntriesRequest: log_name 1 string; resource 2 .google.api.MonitoredResource; labels 3 map string string; entries 4 repeated LogEntry; partial_success 5 bool; dry_run 6 bool
WriteLogEntriesResponse:
ListLogEntriesRequest: resource_names 8 repeated string; filter 2 string; order_by 3 string; page_size 4 int32; page_token 5 string
ListLogEntriesResponse: entries 1 repeated LogEntry; next_page_token 2 string
ListLogsRequest: parent 1 string; page_size 2 int32; page_token 3 string; resource_names 8 repeated string
ListLogsResponse: log_names 3 repeated string; next_page_token 2 string
DeleteLogRequest: log_name 1 string
LoggingServiceV2.WriteLogEntries(WriteLogEntriesRequest) WriteLogEntriesResponse: POST /v2/entries:write *
LoggingServiceV2.ListLogEntries(ListLogEntriesRequest) ListLogEntriesResponse: POST /v2/entries:list *
LoggingServiceV2.ListLogs(ListLogsRequest) ListLogsResponse: GET /v2/{parent=projects/*}/logs
LoggingServiceV2.DeleteLog(DeleteLogRequest) .google.protobuf.Empty: DELETE /v2/{log_name=projects/*/logs/*}
"""

FILES = (
    STATUS, POLICIES, PROJECTS, OLD_PROJECTS, SECRETS, ACCOUNTS, USAGE, IAM_CREDENTIALS, LOGGING_TYPES, MONITORED, LOGGING,
)  # fmt: skip
SCALARS = {"double": 1, "int64": 3, "int32": 5, "bool": 8, "string": 9, "bytes": 12}
MESSAGE, ENUM = 11, 14
METHOD = re.compile(r"(\w+)\.(\w+)\(([\w.]+)\) ([\w.]+): (\w+) (\S+)(?: (\S+))?")


def package_of(text: str) -> str:
    """The package that a description is about."""
    return text.split("\n", 2)[1].removeprefix("package ")


def methods() -> Iterator[Described]:
    """Every described method."""
    for text in FILES:
        package = package_of(text)
        for service, name, request, response, verb, template, body in METHOD.findall(text):
            yield Described(
                f"/{package}.{service}/{name}",
                _full(package, request),
                _full(package, response),
                (Binding(verb, template, body),),
            )


def _full(package: str, name: str) -> str:
    return name.removeprefix(".") if name.startswith(".") else f"{package}.{name}"


def file_of(text: str) -> Descriptor:
    """The description as a file descriptor, as a compiler of .proto files would give it."""
    from google.protobuf import descriptor_pb2

    package = package_of(text)
    made = descriptor_pb2.FileDescriptorProto(
        name=f"described/{package}.proto", package=package, syntax="proto3"
    )
    lines = [line for line in text.strip().splitlines()[1:] if not METHOD.match(line)]
    enums = {line.partition(":")[0].removeprefix("enum ") for line in lines if line.startswith("enum ")}
    # A nested message stands before the one round it, so those round it are made on the way to it.
    for line in lines:
        head, _, rest = line.partition(":")
        fields = [field.split() for field in rest.split(";") if field.strip()]
        if head.startswith("enum "):
            *outer, name = head.removeprefix("enum ").split(".")
            enum = _message(made, outer).enum_type.add(name=name)
            for word, number in fields:
                enum.value.add(name=word, number=int(number))
        else:
            message = _message(made, head.split("."))
            for words in fields:
                _add_field(message, package, head, words, enums)
    made.dependency.extend(sorted(_dependencies(text, package)))
    return made


def _message(made: Descriptor, names: list[str]) -> Any:
    here = made
    for name in names:
        known = here.message_type if here is made else here.nested_type
        here = next((one for one in known if one.name == name), None) or known.add(name=name)
    return here


def _add_field(message: Any, package: str, head: str, words: list[str], enums: set[str]) -> None:
    name, number, kind, *rest = words
    field = message.field.add(name=name, number=int(number), label=3 if kind in ("repeated", "map") else 1)
    if kind == "map":
        entry = message.nested_type.add(name="".join(part.title() for part in name.split("_")) + "Entry")
        entry.options.map_entry = True
        for position, (key, of) in enumerate(zip(("key", "value"), rest, strict=True), start=1):
            _type(entry.field.add(name=key, number=position, label=1), package, of, enums)
        field.type, field.type_name = MESSAGE, f".{package}.{head}.{entry.name}"
        return
    _type(field, package, rest[0] if kind in ("repeated", "optional") else kind, enums)
    oneof = rest[-1].removeprefix("|") if rest and rest[-1].startswith("|") else None
    if kind == "optional":  # proto3 keeps presence in a oneof of its own
        oneof, field.proto3_optional = f"_{name}", True
    if oneof is not None:
        names = [one.name for one in message.oneof_decl]
        if oneof not in names:
            message.oneof_decl.add(name=oneof)
            names.append(oneof)
        field.oneof_index = names.index(oneof)


def _type(field: Any, package: str, of: str, enums: set[str]) -> None:
    if of in SCALARS:
        field.type = SCALARS[of]
        return
    field.type = ENUM if of in enums or of == ".google.logging.type.LogSeverity" else MESSAGE
    field.type_name = of if of.startswith(".") else f".{package}.{of}"


KNOWN = {
    "Any": "any",
    "Duration": "duration",
    "Empty": "empty",
    "FieldMask": "field_mask",
    "Struct": "struct",
    "Timestamp": "timestamp",
}


def _dependencies(text: str, package: str) -> set[str]:
    found = set()
    fields = "\n".join(line for line in text.splitlines() if not METHOD.match(line))
    for name in re.findall(r"\s\.(google[\w.]+)", fields):
        if name.startswith("google.protobuf."):
            found.add(f"google/protobuf/{KNOWN[name.rpartition('.')[2]]}.proto")
        else:
            found.add(f"described/{name.rpartition('.')[0]}.proto")
    return found - {f"described/{package}.proto"}
