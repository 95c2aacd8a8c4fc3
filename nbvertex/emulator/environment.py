"""What a program has in its environment so that Google's clients in it reach the emulator, and nothing beyond it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Reached:
    """How a program reaches the emulator.

    Args:
        port: the door at which it is taken for its service account.
        control: the address for the emulator itself.
        authority: the certificate that it must trust.
        project: the project that it works in.
        key: the key file of its service account; None: it asks the metadata server, as within Google's cloud.
        config: the folder that gcloud takes for its own.
    """

    port: int
    control: str
    authority: Path
    project: str
    key: Path | None
    config: Path


def of_program(reached: Reached) -> dict[str, str]:
    """The variables; to be set on top of a program's own environment."""
    door, trusted = f"http://127.0.0.1:{reached.port}", str(reached.authority)
    here = "127.0.0.1,localhost,0.0.0.0,::1"
    environ = {
        "NBVERTEX_EMULATOR_URL": reached.control,
        "GOOGLE_CLOUD_PROJECT": reached.project,
        "CLOUDSDK_CORE_PROJECT": reached.project,
        # Every connection to another machine goes through our proxy, which knows Google's names and refuses all others.
        "http_proxy": door, "https_proxy": door, "HTTP_PROXY": door, "HTTPS_PROXY": door, "grpc_proxy": door,
        "all_proxy": door, "ALL_PROXY": door, "no_proxy": here, "NO_PROXY": here, "no_grpc_proxy": here,
        # And trusts us in Google's place.
        "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": trusted, "REQUESTS_CA_BUNDLE": trusted, "SSL_CERT_FILE": trusted,
        "CURL_CA_BUNDLE": trusted, "HTTPLIB2_CA_CERTS": trusted, "NODE_EXTRA_CA_CERTS": trusted,
        "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE": trusted,
        # gcsfs takes no proxy from the environment.
        "STORAGE_EMULATOR_HOST": door,
        "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
        # No key and no configuration of the user's is looked at.
        "CLOUDSDK_CONFIG": str(reached.config),
        "CLOUDSDK_PROXY_TYPE": "http", "CLOUDSDK_PROXY_ADDRESS": "127.0.0.1", "CLOUDSDK_PROXY_PORT": str(reached.port),
        "GCE_METADATA_HOST": f"127.0.0.1:{reached.port}", "GCE_METADATA_IP": f"127.0.0.1:{reached.port}",
        "GCE_METADATA_ROOT": f"127.0.0.1:{reached.port}",
    }  # fmt: skip
    if reached.key is not None:
        environ["GOOGLE_APPLICATION_CREDENTIALS"] = str(reached.key)
        environ["CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE"] = str(reached.key)
    return environ


FORGOTTEN = (
    "GOOGLE_APPLICATION_CREDENTIALS",
    "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE",
    "GOOGLE_API_KEY",
    "GEMINI_API_KEY",
)
"""What a program must not have from its parent where `of_program` does not set it."""
