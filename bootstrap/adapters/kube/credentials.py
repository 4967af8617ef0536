"""What a kubeconfig says about reaching a cluster, as values."""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import ssl
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from bootstrap.errors import KubernetesError


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """A kubeconfig's only context.

    Attributes:
        server: `https://address:6443`.
        authority: The CA's certificate as PEM, or None for the system's.
        certificate: Our own certificate as PEM, or None.
        key: Its private key.
        token: A bearer token, or None.
    """

    server: str
    authority: str | None = None
    certificate: str | None = None
    key: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)


def parse_kubeconfig(text: str) -> Credentials:
    """Read a kubeconfig that embeds all it needs, as k3s writes it. Raises KubernetesError."""
    try:
        config: Any = yaml.safe_load(text)
        contexts = {entry["name"]: entry["context"] for entry in config["contexts"]}
        context = contexts[config.get("current-context") or next(iter(contexts))]
        cluster = next(entry["cluster"] for entry in config["clusters"] if entry["name"] == context["cluster"])
        user = next(entry["user"] for entry in config["users"] if entry["name"] == context["user"])
        return Credentials(
            server=str(cluster["server"]).rstrip("/"),
            authority=_decoded(cluster, "certificate-authority-data"),
            certificate=_decoded(user, "client-certificate-data"),
            key=_decoded(user, "client-key-data"),
            token=user.get("token"),
        )
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, StopIteration, binascii.Error, ValueError) as error:
        # Neither the text nor the error's own words are told: either may hold the key.
        raise KubernetesError("the kubeconfig cannot be used", details=type(error).__name__) from None


def tls_context(credentials: Credentials) -> ssl.SSLContext:
    """A TLS context that trusts the cluster's CA alone and shows our certificate. Raises KubernetesError."""
    try:
        context = ssl.create_default_context(cadata=credentials.authority)
        # Python 3.13 asks for extensions that the CAs k3s makes need not have; kubectl does not ask for them.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if credentials.certificate and credentials.key:
            # OpenSSL's interface takes files only: these have no name, so that none is left of them, however we end.
            with _nameless(credentials.certificate) as certificate, _nameless(credentials.key) as key:
                context.load_cert_chain(certificate, key)
    except (ssl.SSLError, UnicodeError) as error:
        raise KubernetesError("the kubeconfig's certificates cannot be used", details=str(error)) from error
    return context


@contextlib.contextmanager
def _nameless(text: str) -> Iterator[str]:
    """A file that is in no directory, and on Linux on no disk either: a path that opens it in this process."""
    in_memory = hasattr(os, "memfd_create")
    with os.fdopen(os.memfd_create("pem"), "w") if in_memory else tempfile.TemporaryFile("w") as file:
        file.write(text)
        file.flush()
        file.seek(0)  # elsewhere /dev/fd opens nothing anew, and is read on from where it is
        yield f"{'/proc/self/fd' if in_memory else '/dev/fd'}/{file.fileno()}"


def _decoded(mapping: dict[str, Any], key: str) -> str | None:
    data = mapping.get(key)
    return None if data is None else base64.b64decode(data, validate=True).decode("ascii")
