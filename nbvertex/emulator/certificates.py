"""The emulator's own certificate authority, made where there is none yet, and the certificate that it gives Google's names."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NAMES = (
    "localhost",
    "*.googleapis.com",
    "*.rep.googleapis.com",
    "*.p.googleapis.com",
    "accounts.google.com",
    "metadata.google.internal",
)
DAY = dt.timedelta(days=1)
VALID = 365 * DAY


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files of a certificate authority.

    Args:
        folder: where they lie.
    """

    folder: Path

    @property
    def authority(self) -> Path:
        return self.folder / "ca.pem"

    @property
    def certificate(self) -> Path:
        return self.folder / "cert.pem"

    @property
    def key(self) -> Path:
        return self.folder / "key.pem"

    def prepare(self) -> None:
        """Make them, or make them anew before they expire."""
        fresh = self.authority.exists() and self.certificate.exists() and self.key.exists()
        if fresh and time.time() - self.authority.stat().st_mtime < (VALID / 2).total_seconds():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        for path, data in zip((self.key, self.certificate, self.authority), _made(), strict=True):
            draft = path.with_name(f"{path.name}.new")
            draft.unlink(missing_ok=True)
            with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
                stream.write(data)
            os.replace(draft, path)


def _made() -> tuple[bytes, bytes, bytes]:
    """The server's key, its certificate with the authority's behind it, and the authority's."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    above, own = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    authority = _signed(
        "nbvertex emulator", above, above,
        (x509.BasicConstraints(True, None), True),
        (usage, True),
        (x509.SubjectKeyIdentifier.from_public_key(above.public_key()), False),
    )  # fmt: skip
    names = [x509.DNSName(name) for name in NAMES]
    certificate = _signed(
        "localhost", own, above,
        (x509.BasicConstraints(False, None), True),
        (x509.SubjectAlternativeName([*names, x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(above.public_key()), False),
        (x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]), False),
    )  # fmt: skip
    pem = serialization.Encoding.PEM
    key = own.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key, certificate.public_bytes(pem) + authority.public_bytes(pem), authority.public_bytes(pem)


def _signed(name: str, key: Any, above: Any, *extensions: tuple[Any, bool]) -> Any:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    def called(text: str) -> Any:
        return x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, text)])

    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(called(name))
        .issuer_name(called("nbvertex emulator"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + VALID)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(above, hashes.SHA256())
