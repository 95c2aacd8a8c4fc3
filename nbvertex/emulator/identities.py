"""Who calls: tokens, the keys that are made up for service accounts, and what a token says."""

from __future__ import annotations

import base64
import json
import math
import os
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nbvertex.emulator.problem import ApiError
from nbvertex.emulator.store import Store

LIFETIME = 3600.0
TOKENS = "tokens"


class Identities:
    """Service accounts, their keys and their tokens.

    Args:
        folder: where keys lie, readable by the owner only.
        store: keeps the tokens.
        machine: the machine's clock, since clients look at theirs.
    """

    def __init__(self, folder: Path, store: Store, machine: Callable[[], float] = time.time) -> None:
        self._folder, self._store, self._machine = folder, store, machine
        self._lock = threading.Lock()
        self.lifetime = float(store.note("identities", "lifetime") or LIFETIME)
        self._revoked = float(store.note("identities", "revoked") or 0)

    def token(self, email: str, lifetime: float | None = None) -> tuple[str, float]:
        """A new access token.

        Args:
            email: the service account that it stands for.
            lifetime: seconds; None: what tests have set, an hour at first.

        Returns:
            the token, and when it expires.
        """
        expires = self._machine() + (self.lifetime if lifetime is None else lifetime)
        token = f"ya29.c.{secrets.token_urlsafe(48)}"
        self._store.set_note(TOKENS, token, {"email": email, "expires": expires, "issued": self._machine()})
        return token, expires

    def id_token(self, email: str, audience: str) -> str:
        """An OpenID token; its signature is nobody's."""
        now = int(self._machine())
        said = {"iss": "https://accounts.google.com", "aud": audience, "email": email, "email_verified": True}
        return jwt({**said, "sub": email, "iat": now, "exp": now + int(LIFETIME)})

    def expire(self) -> None:
        """Let every token that was given so far be expired.

        What a client signs itself says the second only, so this returns when the next one has begun.
        """
        self._revoked = self._machine()
        self._store.set_note("identities", "revoked", self._revoked)
        time.sleep(math.floor(self._revoked) + 1 - self._revoked)

    def set_lifetime(self, seconds: float) -> None:
        """Let tokens live as long from now on."""
        self.lifetime = seconds
        self._store.set_note("identities", "lifetime", seconds)

    def of(self, authorization: str | None, default: str) -> str:
        """Who calls.

        Args:
            authorization: the header of the call.
            default: who calls where nothing is said.

        Raises:
            ApiError: the token is expired or was never given.
        """
        if not authorization:
            return default
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise unauthenticated()
        return self._of_token(token.strip(), default)

    def _of_token(self, token: str, default: str) -> str:
        known = self._store.note(TOKENS, token)
        if known is not None:
            if known["expires"] <= self._machine() or known["issued"] < self._revoked:
                raise unauthenticated()
            return str(known["email"])
        said = payload(token)
        if said is None:  # what a user's own gcloud would send is not looked into
            return default
        signed = float(said.get("iat", self._machine()))
        ends = min(float(said.get("exp", math.inf)), signed + self.lifetime)
        if ends <= self._machine() or signed <= math.floor(self._revoked):
            raise unauthenticated()
        return str(said.get("email") or said.get("iss") or default)

    def key_file(self, email: str, project: str, token_uri: str) -> Path:
        """A key file made up for a service account; the same one whenever it is asked for.

        Args:
            email: the account.
            project: its project.
            token_uri: where clients exchange it for a token.
        """
        path = self._folder / f"{email.replace('/', '_')}.json"
        with self._lock:
            said = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
            if said.get("project_id") != project or said.get("token_uri") != token_uri:
                private = said.get("private_key") or _private_key()
                _write_private(path, json.dumps(_key(email, project, token_uri, private), indent=1))
        return path


def unauthenticated() -> ApiError:
    """The error for a token that does not hold."""
    return ApiError(
        "UNAUTHENTICATED",
        "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other"
        " valid authentication credential.",
        {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "ACCESS_TOKEN_EXPIRED",
            "domain": "googleapis.com",
        },
    )


def payload(token: str) -> Mapping[str, Any] | None:
    """What a signed token says, or None where it is none."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        said = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return None
    return said if isinstance(said, dict) else None


def jwt(said: Mapping[str, Any]) -> str:
    """A token in the form of a signed one."""
    parts = [{"alg": "RS256", "typ": "JWT", "kid": "emulator"}, dict(said)]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join([*encoded, secrets.token_urlsafe(32)])


def _private_key() -> str:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(65537, 2048)
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    made: bytes = key.private_bytes(encoding, form, serialization.NoEncryption())
    return made.decode()


def _key(email: str, project: str, token_uri: str, private: str) -> dict[str, str]:
    return {
        "type": "service_account",
        "project_id": project,
        "private_key_id": "emulator",
        "private_key": private,
        "client_email": email,
        "client_id": "1",
        "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        "token_uri": token_uri,
        "universe_domain": "googleapis.com",
    }


def _write_private(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
        stream.write(text)
    os.replace(draft, path)
