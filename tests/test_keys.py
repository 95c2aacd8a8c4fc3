"""Which files are told to hold a secret."""

from __future__ import annotations

import json

import pytest

from nbvertex import keys

PEM = "-----BEGIN {kind}PRIVATE KEY-----\nMIIEvQIBADANBgkq\n-----END {kind}PRIVATE KEY-----\n"
SERVICE = json.dumps({"type": "service_account", "private_key": PEM.format(kind=""), "client_email": "a@b"})
USER = json.dumps({"client_id": "x", "client_secret": "d-1234567890", "refresh_token": "1//0gabcdefghij"})

SECRETS = [
    ("key.json", SERVICE),
    ("renamed.txt", SERVICE),
    ("deep/in/a/folder/sa.json", SERVICE),
    ("list.json", json.dumps([{"a": {"private_key": "0123456789abcdef"}}])),
    ("adc.json", USER),
    ("server.pem", PEM.format(kind="RSA ")),
    ("server.txt", PEM.format(kind="EC ")),
    ("module.py", f"KEY = '''{PEM.format(kind='OPENSSH ')}'''"),
    ("one_line.py", "KEY = '-----BEGIN PRIVATE KEY-----\\nMIIEvQIBADAN'"),
    ("id_rsa", "anything"),
    ("store.p12", "\0\1"),
    (".env", "DEBUG=1\nDB_PASSWORD=hunter2\n"),
    ("prod.env", "export API_KEY='abc'"),
    (".env.local", "SECRET_KEY=abc"),
    (".netrc", "machine x login y password z"),
    ("credentials", "[default]\naws_secret_access_key = abcdef"),
    ("settings.yaml", "db:\n  password: hunter2\n"),
    ("kaggle.json", "{}"),
    ("notes.md", "use AKIAIOSFODNN7EXAMPLQ for it"),
    ("application_default_credentials.json", "{}"),
]
HARMLESS = [
    ("data.csv", "token,count\na,1\n"),
    ("helper.py", "def password(x):\n    secret = x\n    return secret\n"),
    ("config.json", json.dumps({"key": "value", "private": True})),
    ("public.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"),
    ("public_key.pem", "-----BEGIN PUBLIC KEY-----\nMIIB\n"),
    ("test_pem.py", "assert text.startswith('-----BEGIN PRIVATE KEY-----')"),
    (".env.example", "API_KEY=put-yours-here"),
    (".env", "DEBUG=1\nAPI_KEY=\nSECRET=${SECRET}\nTOKEN=<token>\n"),
    ("settings.toml", "[auth]\nprovider = 'x'\n"),
    ("model.pkl", "\x80\x04\0\0"),
    ("huge.json", "[" * 5000),
    ("template.json", json.dumps({"client_secret": "${CLIENT_SECRET}"})),
]


@pytest.mark.parametrize("path, text", SECRETS)
def test_a_secret_is_told(path: str, text: str) -> None:
    """The file is named for what it holds, whatever it is called."""
    assert keys.told(path, text.encode())


@pytest.mark.parametrize("path, text", HARMLESS)
def test_what_only_looks_like_a_secret_may_travel(path: str, text: str) -> None:
    """Words about secrets are no secrets."""
    assert keys.told(path, text.encode()) is None
