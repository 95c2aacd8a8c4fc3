"""Keys and passwords that open nothing, made anew in every run: none stands in a file."""

from __future__ import annotations

import base64
import secrets
import string


def pem(kind: str = "") -> str:
    """A private key of that kind (``RSA ``), as far as its looks go."""
    body = base64.encodebytes(secrets.token_bytes(48)).decode("ascii")
    return f"-----BEGIN {kind}PRIVATE KEY-----\n{body}-----END {kind}PRIVATE KEY-----\n"


def word() -> str:
    """A password."""
    return secrets.token_hex(10)


def access_key() -> str:
    """What Amazon's access keys look like."""
    return "AKIA" + "".join(secrets.choice(string.ascii_uppercase) for _ in range(16))
