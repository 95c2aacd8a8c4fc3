"""Which files are told to hold a secret."""

from __future__ import annotations

import json

import pytest
from locksmith import access_key, pem, word

from nbvertex import keys

SERVICE = json.dumps({"type": "service_account", "private_key": pem(), "client_email": "a@b"})
USER = json.dumps({"client_id": "x", "client_secret": word(), "refresh_token": word()})

SECRETS = [
    ("key.json", SERVICE),
    ("renamed.txt", SERVICE),
    ("deep/in/a/folder/sa.json", SERVICE),
    ("list.json", json.dumps([{"a": {"private_key": word()}}])),
    ("adc.json", USER),
    ("server.pem", pem("RSA ")),
    ("server.txt", pem("EC ")),
    ("module.py", f"KEY = '''{pem('OPENSSH ')}'''"),
    ("one_line.py", f"KEY = {pem()!r}"),
    ("id_rsa", "anything"),
    ("store.p12", "\0\1"),
    (".env", f"DEBUG=1\nDB_PASSWORD={word()}\n"),
    ("prod.env", f"export API_KEY='{word()}'"),
    (".env.local", f"SECRET_KEY={word()}"),
    (".netrc", f"machine x login y password {word()}"),
    ("credentials", f"[default]\naws_secret_access_key = {word()}"),
    ("settings.yaml", f"db:\n  password: {word()}\n"),
    ("kaggle.json", "{}"),
    ("notes.md", f"use {access_key()} for it"),
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


@pytest.mark.parametrize("path, text", SECRETS, ids=[path for path, _ in SECRETS])
def test_a_secret_is_told(path: str, text: str) -> None:
    """The file is named for what it holds, whatever it is called."""
    assert keys.told(path, text.encode())


@pytest.mark.parametrize("path, text", HARMLESS)
def test_what_only_looks_like_a_secret_may_travel(path: str, text: str) -> None:
    """Words about secrets are no secrets."""
    assert keys.told(path, text.encode()) is None
