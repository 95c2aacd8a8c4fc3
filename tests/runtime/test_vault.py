"""Secrets are fetched by reference, again where the service is out of reach, and never told."""

from __future__ import annotations

import base64
import email.message
import json
import urllib.error
import urllib.request
from typing import Any

import pytest

from nbvertex.runtime import vault

REFERENCE = "projects/p/secrets/db/versions/3"


def reply(value: bytes) -> bytes:
    """What Secret Manager answers."""
    return json.dumps({"payload": {"data": base64.b64encode(value).decode()}}).encode()


FOUND, TOKEN = reply(b"s3cret"), b'{"access_token": "t0ken"}'


class Web:
    """Answers addresses; an exception or a status is raised, a list is answered one after the other."""

    def __init__(self, answer: Any = FOUND, token: Any = TOKEN) -> None:
        self.answers = answer if isinstance(answer, list) else [answer]
        self.tokens = token if isinstance(token, list) else [token]
        self.asked: list[urllib.request.Request] = []
        self.slept: list[float] = []

    def __call__(self, request: urllib.request.Request) -> bytes:
        self.asked.append(request)
        queue = self.tokens if request.full_url.startswith("http://") else self.answers
        said = queue.pop(0) if len(queue) > 1 else queue[0]
        if isinstance(said, int):
            raise urllib.error.HTTPError(request.full_url, said, "No", email.message.Message(), None)
        if isinstance(said, Exception):
            raise said
        found: bytes = said
        return found

    def values(self, *references: str, **environ: str) -> dict[str, str]:
        """What a step finds in its environment."""
        return vault.values(references, environ, fetch=self, sleep=self.slept.append)


def test_a_secret_is_an_environment_variable() -> None:
    """Read with the token of the machine's own account."""
    web = Web()
    assert web.values(f"DB={REFERENCE}") == {"DB": "s3cret"}
    token, secret = web.asked
    assert token.full_url.startswith("http://metadata.google.internal/")
    assert token.get_header("Metadata-flavor") == "Google"
    assert secret.full_url == f"https://secretmanager.googleapis.com/v1/{REFERENCE}:access"
    assert secret.get_header("Authorization") == "Bearer t0ken"


def test_no_secret_asks_nobody() -> None:
    """A step without secrets needs no identity."""
    web = Web()
    assert web.values() == {}
    assert web.asked == []


def test_the_machine_may_be_elsewhere() -> None:
    """Where the environment says so, as Google's own clients have it."""
    web = Web()
    web.values(f"DB={REFERENCE}", GCE_METADATA_HOST="127.0.0.1:99")
    assert web.asked[0].full_url.startswith("http://127.0.0.1:99/")


@pytest.mark.parametrize("fault", [429, 500, 503, TimeoutError("slow"), urllib.error.URLError("gone")])
def test_what_passes_is_waited_for(fault: Any) -> None:
    """A machine that is paid for does not fail for a service that is out of reach for a moment."""
    web = Web([fault, fault, reply(b"x")], [fault, b'{"access_token": "t"}'])
    assert web.values(f"DB={REFERENCE}") == {"DB": "x"}
    assert web.slept == [1.0, 1.0, 2.0]


@pytest.mark.parametrize(
    "answer, said",
    [(403, "roles/secretmanager.secretAccessor"), (404, "there is no projects/p/secrets/db"), (500, "500"),
     (b"no json", "cannot be read"), (b"{}", "cannot be read"), (reply(b"\xff\xfe"), "no text"),
     (TimeoutError("slow"), "TimeoutError")],
)  # fmt: skip
def test_what_cannot_be_had_is_named(answer: Any, said: str) -> None:
    """The variable and the reference, and what to do."""
    with pytest.raises(vault.NoSecret, match=said) as caught:
        Web(answer).values(f"DB={REFERENCE}")
    assert "DB" in str(caught.value)


def test_no_identity_is_said() -> None:
    """A step outside Google's cloud has none."""
    with pytest.raises(vault.NoSecret, match="no identity"):
        Web(token=urllib.error.URLError("no such host")).values(f"DB={REFERENCE}")
