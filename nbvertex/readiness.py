"""What a first submission needs at Google Cloud: each thing asked for with the call that would need it, and the command that mends it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from nbvertex import service
from nbvertex.config import Profile
from nbvertex.patience import Fault, Patience
from nbvertex.profiles import borrowed
from nbvertex.vertex import Call, Door

OF_CALLER = ("aiplatform.pipelineJobs.create", "aiplatform.pipelineJobs.get", "aiplatform.pipelineJobs.cancel",
             "aiplatform.customJobs.create", "aiplatform.customJobs.get", "aiplatform.customJobs.list",
             "logging.logEntries.list")  # fmt: skip
IN_BUCKET = ("storage.objects.create", "storage.objects.get", "storage.objects.list")
OF_STEPS = (  # each role, and those that hold as much
    ("roles/aiplatform.user", ("roles/aiplatform.admin", "roles/editor", "roles/owner")),
    ("roles/logging.logWriter", ("roles/logging.admin", "roles/editor", "roles/owner")),
)
BUCKET_ROLES = (
    "roles/storage.objectAdmin",
    "roles/storage.objectUser",
    "roles/storage.admin",
    "roles/storage.legacyBucketOwner",
)
REGIONS = {"us": "us", "eu": "europe", "asia": "asia"}  # multi-regions, and how the regions in them begin


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Args:
        name: what.
        state: ``ok``; ``missing``: it may do without, or nobody may look; ``wrong``: a submission would fail.
        found: what is there.
        use: what it is for.
        mend: the command that mends it.
    """

    name: str
    state: Literal["ok", "missing", "wrong"]
    found: str = ""
    use: str = ""
    mend: str = ""


class Looking:
    """Looks at what a profile needs.

    Args:
        door: to Google Cloud.
        patience: how often it is asked.
        profile: complete.
    """

    def __init__(self, door: Door, patience: Patience, profile: Profile) -> None:
        self._door, self._patience, self._profile = door, patience, profile
        self._project, self._region = str(profile.project), str(profile.region)
        self._bucket = str(profile.bucket).removeprefix("gs://").partition("/")[0]
        self._account = str(profile.service_account)
        self._number = ""

    def all(self) -> Iterator[Finding]:
        """Everything, in the order in which it is needed; nothing more where nobody is logged in."""
        first = self.project()
        yield first
        if first.state == "wrong" and first.name == "credentials":
            return
        for look in (self.region, self.caller, self.bucket, self.writing, self.account, self.acting):
            yield look()
        yield from self.roles()
        yield self.log()

    # --- each ---------------------------------------------------------------------------------------------

    def project(self) -> Finding:
        try:
            told = self._get(f"https://cloudresourcemanager.googleapis.com/v3/projects/{self._project}")
        except Fault as fault:
            if fault.kind == "credentials":
                login = "gcloud auth application-default login"
                return Finding("credentials", "wrong", fault.message, "asking Google Cloud at all", login)
            mend = f"gcloud projects describe {self._project}"
            return self._wrong("project", fault, "everything", mend, "cloudresourcemanager.googleapis.com")
        self._number = str(told.get("name", "")).rpartition("/")[2]
        return Finding("project", "ok", f"{self._project}, number {self._number}", "everything")

    def region(self) -> Finding:
        call = Call(
            "PipelineService.ListPipelineJobs",
            body={"parent": service.parent(self._profile), "pageSize": 1},
        )
        try:
            self._patience.ask(lambda: self._door.ask(call))
        except Fault as fault:
            mend = self._grant(self._project, "user:YOU", "roles/aiplatform.user")
            return self._wrong("Vertex AI", fault, "jobs and pipelines", mend, "aiplatform.googleapis.com")
        return Finding("Vertex AI", "ok", self._region, "jobs and pipelines")

    def caller(self) -> Finding:
        url = f"https://cloudresourcemanager.googleapis.com/v3/projects/{self._project}:testIamPermissions"
        mend = self._grant(self._project, "user:YOU", "roles/aiplatform.user")
        return self._permissions("your roles", url, OF_CALLER, "submitting", mend)

    def bucket(self) -> Finding:
        use = "what steps leave"
        make = f"gcloud storage buckets create gs://{self._bucket} --location={self._region} --project={self._project}"
        try:
            told = self._get(f"https://storage.googleapis.com/storage/v1/b/{self._bucket}")
        except Fault as fault:
            if fault.kind == "missing":
                return Finding("bucket", "wrong", f"there is no gs://{self._bucket}", use, make)
            mend = self._grant_bucket("user:YOU", "roles/storage.legacyBucketReader")
            return self._wrong("bucket", fault, use, mend, "storage.googleapis.com")
        owner, where = str(told.get("projectNumber", "")), str(told.get("location", "")).lower()
        if self._number and owner and owner != self._number:
            found = f"gs://{self._bucket} belongs to another project ({owner})"
            return Finding("bucket", "wrong", found, use, make.replace(self._bucket, f"{self._bucket}-own"))
        if not covers(where, self._region, told):
            found = f"gs://{self._bucket} is in {where}, the jobs are in {self._region}"
            return Finding(
                "bucket", "wrong", found, use, make.replace(self._bucket, f"{self._bucket}-{self._region}")
            )
        return Finding("bucket", "ok", f"gs://{self._bucket} in {where}", use)

    def writing(self) -> Finding:
        asked = "&".join(f"permissions={name}" for name in IN_BUCKET)
        url = f"https://storage.googleapis.com/storage/v1/b/{self._bucket}/iam/testPermissions?{asked}"
        mend = self._grant_bucket("user:YOU", "roles/storage.objectUser")
        return self._permissions("your access to the bucket", url, IN_BUCKET, "uploading", mend, verb="GET")

    def account(self) -> Finding:
        use = "what the steps run as"
        for problem in borrowed(self._profile):
            return Finding(
                "service account", "wrong", problem.message, use, str(problem.hint).partition(": ")[2]
            )
        name, _, rest = self._account.partition("@")
        make = f"gcloud iam service-accounts create {name} --project={rest.partition('.')[0]}"
        try:
            self._get(f"https://iam.googleapis.com/v1/projects/-/serviceAccounts/{self._account}")
        except Fault as fault:
            if fault.kind == "missing":
                return Finding("service account", "wrong", f"there is no {self._account}", use, make)
            mend = self._grant_account()
            return self._wrong("service account", fault, use, mend, "iam.googleapis.com")
        return Finding("service account", "ok", self._account, use)

    def acting(self) -> Finding:
        url = f"https://iam.googleapis.com/v1/projects/-/serviceAccounts/{self._account}:testIamPermissions"
        return self._permissions(
            "acting as it",
            url,
            ("iam.serviceAccounts.actAs",),
            "submitting jobs that run as it",
            self._grant_account(),
        )

    def roles(self) -> Iterator[Finding]:
        """Of the service account, as far as whoever asks may see them."""
        member = f"serviceAccount:{self._account}"
        url = f"https://cloudresourcemanager.googleapis.com/v3/projects/{self._project}:getIamPolicy"
        held = self._held(Call(f"POST {url}", body={"options": {"requestedPolicyVersion": 3}}), member)
        for role, wider in OF_STEPS:
            yield self._role(role, held, {role, *wider}, self._grant(self._project, member, role))
        bucket = self._held(
            Call(f"GET https://storage.googleapis.com/storage/v1/b/{self._bucket}/iam"), member
        )
        both = None if held is None and bucket is None else (held or set()) | (bucket or set())
        mend = self._grant_bucket(member, BUCKET_ROLES[0])
        yield self._role(BUCKET_ROLES[0], both, {*BUCKET_ROLES, "roles/editor", "roles/owner"}, mend)

    def log(self) -> Finding:
        use = "showing what steps print"
        body = {
            "resourceNames": [f"projects/{self._project}"],
            "pageSize": 1,
            "filter": 'resource.type="ml_job"',
        }
        try:
            self._patience.ask(lambda: self._door.ask(Call(f"POST {service.LOGS}", body=body)))
        except Fault as fault:
            mend = self._grant(self._project, "user:YOU", "roles/logging.viewer")
            wrong = self._wrong("log", fault, use, mend, "logging.googleapis.com")
            return Finding(wrong.name, "missing", wrong.found, use, wrong.mend)
        return Finding("log", "ok", "can be read", use)

    # --- how ----------------------------------------------------------------------------------------------

    def _get(self, url: str) -> Mapping[str, Any]:
        return self._patience.ask(lambda: self._door.ask(Call(f"GET {url}")))

    def _permissions(
        self, name: str, url: str, wanted: tuple[str, ...], use: str, mend: str, *, verb: str = "POST"
    ) -> Finding:
        call = Call(f"{verb} {url}", body={"permissions": list(wanted)} if verb == "POST" else {})
        try:
            told = self._patience.ask(lambda: self._door.ask(call))
        except Fault as fault:
            return self._wrong(name, fault, use, mend, f"{url.split('/')[2]}")
        lacking = sorted(set(wanted) - set(told.get("permissions", ())))
        if lacking:
            return Finding(name, "wrong", f"lacks {', '.join(lacking)}", use, mend)
        return Finding(name, "ok", "enough", use)

    def _held(self, call: Call, member: str) -> set[str] | None:
        """The roles of somebody; None: they may not be seen."""
        try:
            told = self._patience.ask(lambda: self._door.ask(call))
        except Fault:
            return None
        return {
            binding["role"] for binding in told.get("bindings", ()) if member in binding.get("members", ())
        }

    @staticmethod
    def _role(role: str, held: set[str] | None, enough: set[str], mend: str) -> Finding:
        name, use = f"role {role.removeprefix('roles/')}", "of the service account"
        if held is None:
            return Finding(name, "missing", "you may not look at the policy", use, mend)
        if held & enough:
            return Finding(name, "ok", ", ".join(sorted(held & enough)), use)
        return Finding(
            name, "missing", "not granted by name; a group or a custom role may hold it", use, mend
        )

    def _wrong(self, name: str, fault: Fault, use: str, mend: str, api: str) -> Finding:
        disabled = "has not been used in project" in fault.message or "is disabled" in fault.message
        if disabled:
            return Finding(name, "wrong", f"the API {api} is not enabled", use,
                           f"gcloud services enable {api} --project={self._project}")  # fmt: skip
        return Finding(name, "wrong", fault.message, use, mend)

    def _grant(self, project: str, member: str, role: str) -> str:
        return (
            f"gcloud projects add-iam-policy-binding {project} --member={shlex.quote(member)} --role={role}"
        )

    def _grant_bucket(self, member: str, role: str) -> str:
        return (
            f"gcloud storage buckets add-iam-policy-binding gs://{self._bucket} "
            f"--member={shlex.quote(member)} --role={role}"
        )

    def _grant_account(self) -> str:
        return (
            f"gcloud iam service-accounts add-iam-policy-binding {self._account} "
            "--member=user:YOU --role=roles/iam.serviceAccountUser"
        )


def covers(location: str, region: str, bucket: Mapping[str, Any]) -> bool:
    """Whether a bucket's location is where the jobs are: the region itself, a pair with it, or a multi-region round it.

    Args:
        location: in lower case.
        region: of the jobs.
        bucket: as Cloud Storage tells of it.
    """
    pair = [str(one).lower() for one in bucket.get("customPlacementConfig", {}).get("dataLocations", ())]
    around = REGIONS.get(location, "nowhere")
    predefined = {"nam4": ("us-central1", "us-east1"), "eur4": ("europe-north1", "europe-west4"),
                  "asia1": ("asia-northeast1", "asia-northeast2")}  # fmt: skip
    return (
        location == region
        or region in pair
        or region in predefined.get(location, ())
        or region.startswith(f"{around}-")
    )
