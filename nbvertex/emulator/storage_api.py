"""Cloud Storage's JSON API: buckets, objects and their bytes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from nbvertex.emulator import digests
from nbvertex.emulator.buckets import Buckets, Found, check_name
from nbvertex.emulator.downloads import download
from nbvertex.emulator.listing import page_of
from nbvertex.emulator.preconditions import Conditions, StorageError
from nbvertex.emulator.uploads import Uploads
from nbvertex.emulator.web import BLOCK, Reply, Request, json_reply

PREFIX = re.compile(r"/(?:(upload|download|resumable/upload)/)?storage/v1/(.*)", re.DOTALL)


class Asked(NamedTuple):
    """One call of the API.

    Args:
        request: as it came.
        said: the fields of its query.
        bucket: the bucket that the path names.
        name: the object that it names.
        identity: who calls.
    """

    request: Request
    said: Mapping[str, str]
    bucket: str
    name: str
    identity: str


class StorageApi:
    """All methods of the API.

    Args:
        buckets: what they work on.
        uploads: those that are under way.
        number: gives the number of a project.
    """

    def __init__(self, buckets: Buckets, uploads: Uploads, number: Callable[[str], str]) -> None:
        self._buckets, self._uploads, self._number = buckets, uploads, number
        b, o = r"b/(?P<b>[^/]+)", r"b/(?P<b>[^/]+)/o/(?P<o>[^/]+)"
        self._methods: list[tuple[str, re.Pattern[str], str, Callable[[Asked], Reply]]] = [
            (verb, re.compile(pattern), name, serve)
            for verb, pattern, name, serve in (
                ("GET", "b", "Storage.ListBuckets", self._list_buckets),
                ("POST", "b", "Storage.InsertBucket", self._insert_bucket),
                ("GET", b, "Storage.GetBucket", self._get_bucket),
                ("PATCH", b, "Storage.PatchBucket", self._patch_bucket),
                ("PUT", b, "Storage.UpdateBucket", self._patch_bucket),
                ("DELETE", b, "Storage.DeleteBucket", self._delete_bucket),
                ("GET", f"{b}/storageLayout", "Storage.GetStorageLayout", self._layout),
                ("GET", f"{b}/iam", "Storage.GetBucketIamPolicy", self._get_policy),
                ("PUT", f"{b}/iam", "Storage.SetBucketIamPolicy", self._set_policy),
                ("GET", f"{b}/iam/testPermissions", "Storage.TestBucketIamPermissions", self._permissions),
                ("GET", f"{b}/o", "Storage.ListObjects", self._list_objects),
                ("POST", f"{b}/o", "Storage.InsertObject", self._insert),
                ("PUT", f"{b}/o", "Storage.InsertObject", self._insert),
                ("DELETE", f"{b}/o", "Storage.CancelUpload", self._cancel),
                ("GET", o, "Storage.GetObject", self._get),
                ("PATCH", o, "Storage.PatchObject", self._patch),
                ("PUT", o, "Storage.UpdateObject", self._update),
                ("DELETE", o, "Storage.DeleteObject", self._delete),
                ("POST", f"{o}/compose", "Storage.ComposeObject", self._compose),
                ("POST", f"{o}/copyTo/b/(?P<db>[^/]+)/o/(?P<do>[^/]+)", "Storage.CopyObject", self._copy),
                (
                    "POST",
                    f"{o}/rewriteTo/b/(?P<db>[^/]+)/o/(?P<do>[^/]+)",
                    "Storage.RewriteObject",
                    self._rewrite,
                ),
                ("POST", f"{o}/moveTo/o/(?P<do>[^/]+)", "Storage.MoveObject", self._move),
                ("GET", "projects/(?P<b>[^/]+)/serviceAccount", "Storage.GetServiceAccount", self._account),
            )
        ]

    def find(self, request: Request) -> tuple[str, str, Callable[[str], Reply]]:
        """What a request means.

        Returns:
            `Service.Method`, the object or bucket that it is about, and what answers it, given who calls.

        Raises:
            StorageError: there is no such method.
        """
        found = PREFIX.fullmatch(request.path)
        rest = found[2].rstrip("/") if found else ""
        for verb, pattern, name, serve in self._methods:
            match = pattern.fullmatch(rest) if verb == request.verb else None
            if match is not None:
                parts = {key: unquote(value) for key, value in match.groupdict().items()}
                bucket, given = parts.get("b", ""), parts.get("o", "")
                said = request.said | {key: parts[key] for key in ("db", "do") if key in parts}
                about = f"gs://{bucket}/{given or said.get('name', '')}".rstrip("/")
                return name, about, self._bound(serve, request, said, bucket, given)
        raise StorageError(404, "notFound", f"The emulator has no method at {request.verb} {request.path}.")

    def _bound(
        self,
        serve: Callable[[Asked], Reply],
        request: Request,
        said: Mapping[str, str],
        bucket: str,
        name: str,
    ) -> Callable[[str], Reply]:
        return lambda identity: serve(Asked(request, said, bucket, name, identity))

    # Buckets.

    def _list_buckets(self, asked: Asked) -> Reply:
        project = asked.said.get("project")
        if project is None:
            raise StorageError(400, "required", "Required parameter: project")
        prefix = asked.said.get("prefix", "")
        items = [data for data in self._buckets.all(project) if data["name"].startswith(prefix)]
        return json_reply({"kind": "storage#buckets", "items": items})

    def _insert_bucket(self, asked: Asked) -> Reply:
        return json_reply(self._buckets.create(asked.said.get("project", ""), asked.request.json()))

    def _get_bucket(self, asked: Asked) -> Reply:
        data = self._buckets.bucket(asked.bucket)
        conditions(asked.said).check(
            {"generation": 0, "metageneration": data["metageneration"]}, reading=True
        )
        return json_reply({**data, "etag": etag(data)})

    def _patch_bucket(self, asked: Asked) -> Reply:
        return json_reply(self._buckets.change(asked.bucket, asked.request.json(), conditions(asked.said)))

    def _delete_bucket(self, asked: Asked) -> Reply:
        self._buckets.remove(asked.bucket, conditions(asked.said))
        return Reply(204)

    def _layout(self, asked: Asked) -> Reply:
        data = self._buckets.bucket(asked.bucket)
        said = {key: data[key] for key in ("location", "locationType")}
        return json_reply({"kind": "storage#storageLayout", "bucket": asked.bucket, **said})

    def _get_policy(self, asked: Asked) -> Reply:
        return json_reply(_policy(self._buckets.bucket(asked.bucket)))

    def _set_policy(self, asked: Asked) -> Reply:
        policy = asked.request.json()
        data = self._buckets.bucket(asked.bucket)
        if policy.get("etag", _policy(data)["etag"]) != _policy(data)["etag"]:
            raise StorageError(412, "conditionNotMet", "The etag of the policy does not match.")
        said = {"bindings": policy.get("bindings", []), "version": policy.get("version", 1)}
        return json_reply(_policy(self._buckets.change(asked.bucket, {"policy": said}, Conditions())))

    def _permissions(self, asked: Asked) -> Reply:
        self._buckets.bucket(asked.bucket)
        wanted = [value for name, value in asked.request.fields if name == "permissions"]
        return json_reply({"kind": "storage#testIamPermissionsResponse", "permissions": wanted})

    def _account(self, asked: Asked) -> Reply:
        email = f"service-{self._number(asked.bucket)}@gs-project-accounts.iam.gserviceaccount.com"
        return json_reply({"kind": "storage#serviceAccount", "email_address": email})

    # Objects.

    def _list_objects(self, asked: Asked) -> Reply:
        every = (
            self._buckets.versions
            if asked.said.get("versions", "").lower() == "true"
            else self._buckets.objects
        )
        return json_reply(page_of(every(asked.bucket, asked.said.get("prefix", "")), asked.said))

    def _insert(self, asked: Asked) -> Reply:
        return self._uploads.serve(asked.request, asked.bucket, asked.said, conditions(asked.said))

    def _cancel(self, asked: Asked) -> Reply:
        self._uploads.cancel(asked.said.get("upload_id", ""))
        return Reply(499)

    def _get(self, asked: Asked) -> Reply:
        with self._buckets.alone():
            found = self._found(asked)
            conditions(asked.said).check(found.data, reading=True)
            if asked.said.get("alt") == "media" or asked.request.path.startswith("/download/"):
                return download(found, asked.request.headers)
        return json_reply(linked(found.data, asked.request))

    def _patch(self, asked: Asked, *, whole: bool = False) -> Reply:
        made = self._buckets.patch(
            asked.bucket, asked.name, asked.request.json(), conditions(asked.said),
            generation=number(asked.said, "generation"), whole=whole,
        )  # fmt: skip
        return json_reply(linked(made, asked.request))

    def _update(self, asked: Asked) -> Reply:
        return self._patch(asked, whole=True)

    def _delete(self, asked: Asked) -> Reply:
        generation = number(asked.said, "generation")
        self._buckets.delete(asked.bucket, asked.name, conditions(asked.said), generation)
        return Reply(204)

    def _compose(self, asked: Asked) -> Reply:
        said = asked.request.json()
        sources = said.get("sourceObjects", [])
        if not 1 <= len(sources) <= 32:
            raise StorageError(
                400, "invalid", "The number of source components provided must be between 1 and 32."
            )
        with self._buckets.alone():
            parts: list[Found] = []
            for one in sources:
                part = self._buckets.get(asked.bucket, one["name"], number(one, "generation"))
                wanted = number(one.get("objectPreconditions", {}), "ifGenerationMatch")
                Conditions(generation=wanted).check(part.data)
                parts.append(part)
            draft = self._uploads.draft()
            digesting = digests.Digesting()
            with draft.open("wb") as stream:
                for part in parts:
                    with part.path.open("rb") as source:
                        while block := source.read(BLOCK):
                            digesting.add(block)
                            stream.write(block)
            count = sum(int(part.data.get("componentCount", 1)) for part in parts)
            fields = {
                "contentType": parts[0].data["contentType"],
                **said.get("destination", {}),
                "componentCount": count,
            }
            made = self._buckets.keep(
                asked.bucket,
                asked.name,
                draft,
                digesting.made(),
                _without_sums(fields),
                conditions(asked.said),
            )
        return json_reply(linked(made, asked.request))

    def _copied(self, asked: Asked) -> Mapping[str, Any]:
        said = asked.request.json()
        with self._buckets.alone():
            found = self._found(asked, "sourceGeneration")
            conditions(asked.said, "ifSource").check(found.data)
            check_name(asked.said["do"])
            draft = self._uploads.draft()
            with found.path.open("rb") as source, draft.open("wb") as stream:
                while block := source.read(BLOCK):
                    stream.write(block)
            fields = {**found.data, **said} if not said.get("contentType") else {**said}
            return self._buckets.keep(
                asked.said.get("db", asked.bucket), asked.said["do"], draft, digests.of_file(draft),
                _without_sums(fields), conditions(asked.said),
            )  # fmt: skip

    def _copy(self, asked: Asked) -> Reply:
        return json_reply(linked(self._copied(asked), asked.request))

    def _rewrite(self, asked: Asked) -> Reply:
        made = self._copied(asked)
        said = {"kind": "storage#rewriteResponse", "done": True, "resource": linked(made, asked.request)}
        return json_reply({**said, "totalBytesRewritten": made["size"], "objectSize": made["size"]})

    def _move(self, asked: Asked) -> Reply:
        with self._buckets.alone():
            made = self._copied(asked)
            if asked.said["do"] != asked.name:
                self._buckets.delete(asked.bucket, asked.name)
        return json_reply(linked(made, asked.request))

    def _found(self, asked: Asked, field: str = "generation") -> Found:
        return self._buckets.get(asked.bucket, asked.name, number(asked.said, field))


def _without_sums(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if key not in ("md5Hash", "crc32c")}


def _policy(data: Mapping[str, Any]) -> dict[str, Any]:
    kept = {"bindings": [], "version": 1, **data.get("policy", {})}
    return {
        "kind": "storage#policy",
        "resourceId": f"projects/_/buckets/{data['name']}",
        "etag": etag(data),
        **kept,
    }


def etag(data: Mapping[str, Any]) -> str:
    """The etag of a bucket."""
    return f"CA{data['metageneration']}"


def number(said: Mapping[str, Any], field: str) -> int | None:
    """A number that a query may say.

    Raises:
        StorageError: it is none.
    """
    if said.get(field) in (None, ""):
        return None
    try:
        return int(said[field])
    except ValueError:
        raise StorageError(400, "invalid", f"Invalid unsigned integer value: '{said[field]}'.") from None


def conditions(said: Mapping[str, str], begin: str = "if") -> Conditions:
    """The preconditions in a query."""
    names = ("GenerationMatch", "GenerationNotMatch", "MetagenerationMatch", "MetagenerationNotMatch")
    return Conditions(*(number(said, f"{begin}{name}") for name in names))


def linked(data: Mapping[str, Any], request: Request) -> dict[str, Any]:
    """An object with the links that Cloud Storage adds."""
    path = f"b/{data['bucket']}/o/{quote(data['name'], safe='')}"
    own = f"{request.address}/storage/v1/{path}"
    media = f"{request.address}/download/storage/v1/{path}?generation={data['generation']}&alt=media"
    return {**data, "selfLink": own, "mediaLink": media}
