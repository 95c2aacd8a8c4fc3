"""The one door to Google Cloud: a call as plain data goes in, plain data or a `Fault` comes out; nothing is asked twice here."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from nbvertex.errors import RemoteError
from nbvertex.patience import Fault, Kind

Json: TypeAlias = dict[str, Any]
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
SECONDS = 60.0  # for one call
INSTALL = "pip install 'nbvertex[vertex]'"


@dataclass(frozen=True, slots=True)
class Call:
    """One thing that is asked of a service.

    Args:
        method: of Vertex AI, like ``PipelineService.CreatePipelineJob``; or ``GET https://...``, ``POST https://...``.
        resource: what it is about.
        body: what is sent, as its JSON says it.
    """

    method: str
    resource: str = ""
    body: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Upload:
    """An object that is to lie in a bucket; its name says what it holds, so one that is there already is the same."""

    bucket: str
    name: str
    data: bytes

    @property
    def url(self) -> str:
        return f"gs://{self.bucket}/{self.name}"


class Door(Protocol):
    """What stands between nbvertex and Google Cloud; every method raises `Fault`."""

    def ask(self, call: Call) -> Json:
        """The reply to a call; of a list, one page."""
        ...

    def put(self, upload: Upload) -> bool:
        """Upload an object; False where it is there already."""
        ...

    def read(self, url: str) -> bytes | None:
        """The bytes of an object; None where there is none."""
        ...

    def refresh(self) -> None:
        """Take the credentials anew, as they are now."""
        ...


class Google:
    """The door with Google's clients behind it.

    Args:
        region: where Vertex AI is asked.
        project: who pays for calls that belong to no project.
        impersonate: the service account that asks; None: whoever is logged in.

    Raises:
        RemoteError: the clients are not installed.
    """

    def __init__(self, project: str, region: str, impersonate: str | None = None) -> None:
        try:
            import google.auth
            import google.cloud.aiplatform_v1
            import google.cloud.storage  # noqa: F401 - whether it is there is known before anything is asked
        except ImportError as error:
            raise RemoteError(
                f"the client of Vertex AI is not installed: {error}", hint=INSTALL, code="no-client"
            ) from error
        self._project, self._region, self._impersonate = project, region, impersonate
        self._clients: dict[str, Any] = {}
        self._credentials: Any = None

    # --- the door -----------------------------------------------------------------------------------------

    def ask(self, call: Call) -> Json:
        with _translated(call.method):
            verb, _, url = call.method.partition(" ")
            return self._fetched(verb, url, call.body) if url else self._asked(call)

    def put(self, upload: Upload) -> bool:
        with _translated(f"upload of {upload.url}"):
            blob = self._storage().bucket(upload.bucket).blob(upload.name)
            if blob.exists(retry=None, timeout=SECONDS):
                return False
            try:
                blob.upload_from_string(
                    upload.data, "application/octet-stream", if_generation_match=0, retry=None, timeout=SECONDS
                )  # fmt: skip
            except (
                Exception
            ) as error:  # its classes are loaded only with the client; the border is `_translated`
                if getattr(error, "code", None) == 412:
                    return False
                raise
            return True

    def read(self, url: str) -> bytes | None:
        bucket, _, name = url.removeprefix("gs://").partition("/")
        try:
            with _translated(f"download of {url}"):
                blob = self._storage().bucket(bucket).blob(name)
                data: bytes = blob.download_as_bytes(retry=None, timeout=SECONDS)
                return data
        except Fault as fault:
            if fault.kind == "missing":
                return None
            raise

    def refresh(self) -> None:
        self._clients.clear()
        self._credentials = None

    # --- behind it ----------------------------------------------------------------------------------------

    def _asked(self, call: Call) -> Json:
        """A method of Vertex AI by its own client, which checks what is sent."""
        from google.cloud import aiplatform_v1
        from google.protobuf import json_format

        service, _, method = call.method.partition(".")
        kind = getattr(aiplatform_v1, f"{method}Request")
        request = kind(json_format.ParseDict(dict(call.body), kind.pb(kind())))
        client = self._client(service, lambda: self._vertex(getattr(aiplatform_v1, f"{service}Client")))
        reply = getattr(client, _snake(method))(request, retry=None, timeout=SECONDS)
        if reply is None:
            return {}
        if hasattr(reply, "pages"):
            reply = next(iter(reply.pages))
        message = reply.operation if hasattr(reply, "operation") else type(reply).pb(reply)
        told: Json = json_format.MessageToDict(message)
        return told

    def _vertex(self, client: Callable[..., Any]) -> Any:
        options = {"api_endpoint": f"{self._region}-aiplatform.googleapis.com"}
        return client(credentials=self._known(), transport="rest", client_options=options)

    def _storage(self) -> Any:
        from google.cloud import storage

        return self._client("storage", lambda: storage.Client(self._project, credentials=self._known()))

    def _fetched(self, verb: str, url: str, body: Mapping[str, Any]) -> Json:
        from google.auth.transport.requests import AuthorizedSession

        session = self._client("web", lambda: AuthorizedSession(self._known(), max_refresh_attempts=0))
        reply = session.request(verb, url, json=dict(body) or None, timeout=SECONDS)
        if reply.status_code >= 400:
            raise _of_reply(reply.status_code, reply.text, _after(reply.headers))
        told: Json = reply.json() if reply.content else {}
        return told

    def _client(self, name: str, make: Callable[[], Any]) -> Any:
        if name not in self._clients:
            self._clients[name] = make()
        return self._clients[name]

    def _known(self) -> Any:
        """The credentials; a token is fetched when it is needed."""
        import google.auth
        from google.auth import impersonated_credentials

        if self._credentials is None:
            own, _ = google.auth.default(scopes=[SCOPE], quota_project_id=None)
            self._credentials = (
                impersonated_credentials.Credentials(own, self._impersonate, [SCOPE])
                if self._impersonate
                else own
            )
        return self._credentials


# --- what goes wrong, in our words ------------------------------------------------------------------------

_KINDS: Mapping[int, Kind] = {401: "credentials", 404: "missing", 408: "unsure", 409: "exists", 429: "busy"}


def _of_reply(status: int, text: str, after: float | None = None, message: str = "") -> Fault:
    """The fault that a reply is; of two that got in each other's way, the one that was turned down may try again."""
    said = _said(text)
    kind = _KINDS.get(status, "unsure" if status >= 500 else "refused")
    if said.get("status") == "ABORTED":
        kind = "busy"
    return Fault(kind, message or str(said.get("message") or " ".join(text.split())[:300]), after=after)


@contextlib.contextmanager
def _translated(what: str) -> Iterator[None]:
    """The border: every error of Google's libraries and of what they rest on becomes a `Fault`."""
    from google.api_core import exceptions as api
    from google.auth import exceptions as auth
    from google.protobuf import json_format
    from requests import exceptions as http

    try:
        yield
    except Fault as fault:
        raise Fault(fault.kind, fault.message, what=what, after=fault.after) from fault
    except api.GoogleAPICallError as error:
        reply = getattr(error, "response", None)
        after = _after(getattr(reply, "headers", {}))
        text = str(getattr(reply, "text", ""))
        told = _of_reply(int(error.code or 500), text, after, str(error.message))
        raise Fault(told.kind, told.message, what=what, after=after) from error
    except auth.TransportError as error:
        raise Fault("unsure", _short(error), what=what) from error
    except auth.GoogleAuthError as error:
        raise Fault("credentials", _short(error), what=what) from error
    except (api.RetryError, http.RequestException, OSError) as error:
        raise Fault("unsure", f"no connection: {_short(error)}", what=what) from error
    except json_format.ParseError as error:
        raise Fault("refused", f"this client does not know what is to be sent: {error}", what=what) from error


def _said(text: str) -> Mapping[str, Any]:
    """What a reply says of its error; nothing where something else than the service has written it."""
    try:
        said = json.loads(text)["error"]
    except (ValueError, KeyError, TypeError):
        return {}
    return said if isinstance(said, dict) else {}


def _after(headers: Any) -> float | None:
    said = str(headers.get("Retry-After", "")) if headers else ""
    return float(said) if said.isdecimal() else None


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def _snake(name: str) -> str:
    """``CreatePipelineJob`` as ``create_pipeline_job``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
