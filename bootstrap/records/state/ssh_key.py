"""SSH keys that are made here and kept in the state directory: the cluster's, and a deploy key."""

from __future__ import annotations


def new_ssh_key() -> str:
    """A new Ed25519 key, in OpenSSH's own format."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
