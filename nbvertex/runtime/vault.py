"""Secrets of a step, fetched by its own identity when it begins: only what they are called has travelled."""

from __future__ import annotations

import base64
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from typing import Any

ASKS = 4  # times that a service which is out of reach is asked
MACHINE = "metadata.google.internal"
TOKEN = "/computeMetadata/v1/instance/service-accounts/default/token"
ACCESS = "https://secretmanager.googleapis.com/v1/{}:access"
Open = Callable[[urllib.request.Request], bytes]


class NoSecret(Exception):
    """A secret cannot be had; the message says which and why, never what it holds."""


def values(
    references: Iterable[str],
    environ: Mapping[str, str],
    *,
    fetch: Open | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, str]:
    """Environment variables that hold secrets.

    Args:
        references: each ``NAME=projects/P/secrets/S/versions/V``.
        environ: says where the metadata server is, if it is elsewhere (``GCE_METADATA_HOST``).
        fetch: gets the bytes at an address; None: over the network.
        sleep: waits before a service is asked again.

    Raises:
        NoSecret: one cannot be had.
    """
    wanted = [reference.partition("=") for reference in references]
    if not wanted:
        return {}
    asking = _Asking(fetch or _fetched, sleep)
    token = asking.token(environ.get("GCE_METADATA_HOST") or MACHINE)
    return {name: asking.secret(name, resource, token) for name, _, resource in wanted}


class _Asking:
    """Asks services, again where they are out of reach.

    Args:
        fetch, sleep: see `values`.
    """

    def __init__(self, fetch: Open, sleep: Callable[[float], None]) -> None:
        self._fetch, self._sleep = fetch, sleep

    def token(self, machine: str) -> str:
        request = urllib.request.Request(f"http://{machine}{TOKEN}", headers={"Metadata-Flavor": "Google"})
        try:
            return str(self._json(request)["access_token"])
        except (OSError, ValueError, KeyError) as error:
            raise NoSecret(
                f"the machine gives no identity with which secrets could be read: {error}"
            ) from error

    def secret(self, name: str, resource: str, token: str) -> str:
        request = urllib.request.Request(
            ACCESS.format(resource), headers={"Authorization": f"Bearer {token}"}
        )
        try:
            data = base64.b64decode(self._json(request)["payload"]["data"])
        except urllib.error.HTTPError as error:
            raise NoSecret(f"the secret of {name} cannot be read: {_why(error, resource)}") from error
        except (OSError, ValueError, KeyError) as error:
            raise NoSecret(
                f"the secret of {name} cannot be read: {type(error).__name__}: {resource}"
            ) from error
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            raise NoSecret(f"the secret of {name} is no text: {resource}") from None

    def _json(self, request: urllib.request.Request) -> Any:
        for again in range(ASKS):
            try:
                return json.loads(self._fetch(request))
            except OSError as error:
                passes = (
                    not isinstance(error, urllib.error.HTTPError) or error.code == 429 or error.code >= 500
                )
                if not passes or again == ASKS - 1:
                    raise
                self._sleep(2.0**again)
        raise AssertionError("unreachable")


def _why(error: urllib.error.HTTPError, resource: str) -> str:
    if error.code == 403:
        return (
            f"the step's service account lacks the role roles/secretmanager.secretAccessor on {resource}; "
            f"gcloud secrets add-iam-policy-binding grants it"
        )
    if error.code == 404:
        return f"there is no {resource}"
    return f"{error.code} {error.reason}: {resource}"


def _fetched(request: urllib.request.Request) -> bytes:
    near = request.full_url.startswith("http://")  # the machine itself: no proxy stands between
    opener = (
        urllib.request.build_opener(urllib.request.ProxyHandler({}))
        if near
        else urllib.request.build_opener()
    )
    with opener.open(request, timeout=30) as reply:
        data: bytes = reply.read()
        return data
