"""What a kubeconfig says about reaching a cluster, as values."""

from __future__ import annotations

import base64
import contextlib
import os
import ssl
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

from bootstrap.errors import KubernetesError, UnreadableObjectError
from bootstrap.model.reading import Reading, Source
from bootstrap.model.reading_yaml import read_yaml

# Errors show no values: one of them is a private key.
_SOURCE = Source(call="use the kubeconfig", who="it", error=UnreadableObjectError, secret=True)


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """A kubeconfig's only context.

    Attributes:
        server: `https://address:6443`.
        authority: The CA's certificate as PEM, or None for the system's.
        certificate: The client certificate as PEM, or None.
        key: Its private key.
        token: A bearer token, or None.
    """

    server: str
    authority: str | None = None
    certificate: str | None = None
    key: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)


def parse_kubeconfig(text: str) -> Credentials:
    """Read a kubeconfig that embeds all it needs, as k3s writes it. Raises UnreadableObjectError."""
    config = read_yaml(text, _SOURCE)
    current = config.at("current-context").text("")
    context = _entry(config, "contexts", "context", current)
    cluster = _entry(config, "clusters", "cluster", context.at("cluster").text())
    user = _entry(config, "users", "user", context.at("user").text())
    return Credentials(
        server=cluster.at("server").word(r"https?://[!-~]{1,500}", "a URL").rstrip("/"),
        authority=_decoded(cluster.at("certificate-authority-data")),
        certificate=_decoded(user.at("client-certificate-data")),
        key=_decoded(user.at("client-key-data")),
        token=user.at("token").word(r"[!-~]{1,100000}", "a token") if not user.at("token").absent else None,
    )


def _entry(config: Reading, section: str, kind: str, name: str) -> Reading:
    """A section's entry of a name; the first one for an empty name."""
    entries = config.at(section).items()
    found = next((entry for entry in entries if name in ("", entry.at("name").text())), None)
    if found is None:
        raise config.at(section).wrong(f"a list with an entry called {name}" if name else "a list with an entry")
    return found.at(kind)


def tls_context(credentials: Credentials) -> ssl.SSLContext:
    """A TLS context that trusts only the cluster's CA and presents the client certificate. Raises KubernetesError."""
    try:
        context = ssl.create_default_context(cadata=credentials.authority)
        # Python 3.13 asks for extensions that the CAs k3s makes need not have; kubectl does not ask for them.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if credentials.certificate and credentials.key:
            # OpenSSL takes only files: these have no name, so that none is left, however the program ends.
            with _nameless(credentials.certificate) as certificate, _nameless(credentials.key) as key:
                context.load_cert_chain(certificate, key)
    except (ssl.SSLError, UnicodeError) as error:
        raise KubernetesError("the kubeconfig's certificates cannot be used", details=str(error)) from error
    return context


@contextlib.contextmanager
def _nameless(text: str) -> Iterator[str]:
    """A file that is in no directory, and on Linux on no disk either: a path that opens it in this process."""
    with _unlinked() as file:
        file.write(text)
        file.flush()
        file.seek(0)  # elsewhere /dev/fd opens nothing again, and is read on from where it is
        yield f"{'/proc/self/fd' if sys.platform == 'linux' else '/dev/fd'}/{file.fileno()}"


def _unlinked() -> IO[str]:
    file: IO[str]
    if sys.platform == "linux":
        file = os.fdopen(os.memfd_create("pem"), "w")
    else:
        file = tempfile.TemporaryFile("w")  # noqa: SIM115 - the caller closes it
    return file


def _decoded(data: Reading) -> str | None:
    return (
        None if data.absent else data.parsed(lambda text: base64.b64decode(text, validate=True).decode("ascii"), "PEM")
    )
