"""Files that hold a key or a password, told by their name and by what is in them."""

from __future__ import annotations

import json
import re
from pathlib import PurePosixPath

_PEM = re.compile(r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----(?:\\[rn]|\s)*[A-Za-z0-9+/:]")
_JSON_KEYS = {
    "private_key": "a service account's key", "client_secret": "a client's secret",
    "refresh_token": "a user's refresh token", "private_key_id": "a service account's key",
}  # fmt: skip
_NAMES = (
    (re.compile(r"id_(rsa|dsa|ecdsa|ed25519)(\.bak|\.old)?"), "an SSH key"),
    (re.compile(r".*\.(p12|pfx|jks|keystore|kdbx|ppk)"), "a key store"),
    (re.compile(r"application_default_credentials\.json|\.?boto"), "Google credentials"),
    (re.compile(r"\.?(netrc|pgpass|my\.cnf|git-credentials|dockercfg|htpasswd)"), "a file of passwords"),
    (re.compile(r"kaggle\.json"), "a Kaggle key"),
)
_ENV = re.compile(r"(\.?env(\..+)?|.+\.env)")
_EXAMPLE = re.compile(r"\b(example|sample|template|dist)\b")
_ASSIGNED = re.compile(
    r"(?im)^[ \t]*(?:export[ \t]+)?[A-Z0-9_.-]*(secret|token|passw(?:or)?d|passwd|api_?key|access_?key|private_?key|credentials?|auth)"
    r"[A-Z0-9_.-]*[ \t]*[:=][ \t]*[\"']?(?P<value>[^\s\"'#]+)"
)
_TOKENS = re.compile(
    r"\b(AKIA[0-9A-Z]{16}|AIza[0-9A-Za-z_-]{35}|gh[pousr]_[A-Za-z0-9]{36,}|xox[abprs]-[A-Za-z0-9-]{10,}"
    r"|sk-(?:proj-)?[A-Za-z0-9_-]{32,}|hf_[A-Za-z0-9]{30,}|ya29\.[A-Za-z0-9_-]{30,}|glpat-[A-Za-z0-9_-]{20,})"
)
_NO_VALUE = re.compile(
    r"(\$\{?\w+\}?|<.*>|x+|\*+|\.+|changeme|none|null|your.*|todo|true|false|placeholder)", re.IGNORECASE
)


def told(path: str, data: bytes) -> str | None:
    """What secret a file holds, in a few words; None: none that can be seen.

    Args:
        path: where it lies, for its name.
        data: what is in it.
    """
    name = PurePosixPath(path).name.lower()
    for pattern, what in _NAMES:
        if pattern.fullmatch(name):
            return what
    text = data.decode("utf-8", "replace") if b"\0" not in data[:4096] else data.decode("latin-1")
    found = in_text(text)
    if found is not None:
        return found
    if name.endswith(".json") or text.lstrip()[:1] == "{":
        return _in_json(text)
    lines = name.endswith((".ini", ".cfg", ".properties", ".toml", ".yaml", ".yml")) or "credential" in name
    if _ENV.fullmatch(name) or lines or name in (".npmrc", ".pypirc", "credentials", "config"):
        return _assigned(name, text)
    return None


def in_text(text: str) -> str | None:
    """What secret a text holds that can be told from its form; None: none."""
    if _PEM.search(text):
        return "a private key"
    return "an access token" if _TOKENS.search(text) else None


def _in_json(text: str) -> str | None:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    queue = [content]
    for _ in range(10_000):
        if not queue:
            break
        one = queue.pop()
        if isinstance(one, list):
            queue += one
        elif isinstance(one, dict):
            for key, value in one.items():
                if (
                    key in _JSON_KEYS
                    and isinstance(value, str)
                    and len(value) > 8
                    and not _NO_VALUE.fullmatch(value)
                ):
                    return _JSON_KEYS[key]
            queue += one.values()
    return None


def _assigned(name: str, text: str) -> str | None:
    if _EXAMPLE.search(name):
        return None
    for found in _ASSIGNED.finditer(text):
        if not _NO_VALUE.fullmatch(found["value"]):
            return f"a secret ({found[0].strip().split('=')[0].split(':')[0].strip()})"
    return None
