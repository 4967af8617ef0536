"""TLS contexts that verify certificates: by the CAs of a file, or by those that this system trusts."""

from __future__ import annotations

import os
import ssl
import sys
from pathlib import Path
from typing import Final

OPENSSL_VARIABLES: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR")
"""Where the user names CAs instead of the system's: SSL_CTX_load_verify_locations(3)."""
_HASHED: Final = "????????.?"
"""A file of a directory that OpenSSL reads: it is called by its subject's hash (openssl-rehash(1))."""


def verifying_context(ca_file: Path | None = None) -> ssl.SSLContext:
    """A context that checks certificates and the names in them.

    Args:
        ca_file: The only CAs that count; None for the system's, with what the user has added to them.

    Raises:
        OSError: The file cannot be read, or has no CA.
    """
    if ca_file is None and not _openssl_finds_the_systems():
        return _keychain_context()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Python 3.13 requires extensions that Proxmox VE's own CA need not have (Basic Constraints marked as critical).
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.hostname_checks_common_name = False  # as requests has it
    if ca_file is None:
        context.load_default_certs()
    else:
        # What is in the file is trusted, whoever has signed it: Python 3.13's default, here for each Python.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(cafile=ca_file)
    return context


def _keychain_context() -> ssl.SSLContext:
    """One that asks the system, here macOS, or that knows where distributions keep their CAs.

    Not taken where OpenSSL finds them itself: truststore reads them again for each connection, and lets one TLS
    handshake wait for another (truststore/_api.py, `wrap_socket`): a server that hangs would hold up all lanes.
    """
    import truststore

    return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _openssl_finds_the_systems() -> bool:
    """Whether OpenSSL's own files are the system's CAs, or the user has named others by its variables."""
    there = ssl.get_default_verify_paths()
    found = bool(there.cafile) or (bool(there.capath) and any(Path(there.capath).glob(_HASHED)))
    # Homebrew's OpenSSL has a list that lacks what the user has added to macOS's keychain.
    return any(os.environ.get(name) for name in OPENSSL_VARIABLES) or (found and sys.platform != "darwin")
