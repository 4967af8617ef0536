"""SSH key pairs in files: making one of our own, and telling a key's public half."""

from __future__ import annotations

from pathlib import Path

from bootstrap.adapters.files import ensure_private_directory, locked, write_private
from bootstrap.errors import PreflightError
from bootstrap.inventory.regular import read_regular

COMMENT = "homelab-k8s"


def make_key_pair(path: Path) -> None:
    """Make an Ed25519 key pair: the private half at `path` (OpenSSH format, 0600), the public one at `path`.pub.

    A key that is there already stays.

    Raises:
        PreflightError: The files cannot be written.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    if path.exists():
        return
    try:
        ensure_private_directory(path.parent)
        with locked(path.parent):
            if path.exists():
                return  # Another process was faster; its key may be on machines already.
            pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
            write_private(path, pem.decode())
            write_private(path.with_name(f"{path.name}.pub"), f"{public_key(path)}\n")
    except OSError as error:
        raise PreflightError(f"cannot write the SSH key {path}", details=str(error)) from error


def public_key(path: Path) -> str:
    """The public half of a private key's file as one `authorized_keys` line, with `homelab-k8s` as its comment.

    Raises:
        PreflightError: No such file, not a private key, protected by a passphrase, or of a type that SSH servers
            no longer take (DSA).
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    hint = "name a private key without a passphrase (ed25519, rsa or ecdsa), or none: one of our own is made then"
    try:
        key = _load(read_regular(path.expanduser()))
    except (OSError, ValueError, RuntimeError, UnsupportedAlgorithm) as error:  # RuntimeError: `~` of nobody
        raise PreflightError(f"cannot use the SSH key {path}", details=str(error), resolution=hint) from error
    except TypeError as error:
        # cryptography's way to say that the key is encrypted and no passphrase was given.
        raise PreflightError(
            f"cannot use the SSH key {path}", details="it is protected by a passphrase", resolution=hint
        ) from error
    if not isinstance(key, Ed25519PrivateKey | RSAPrivateKey | EllipticCurvePrivateKey):
        raise PreflightError(f"cannot use the SSH key {path}", details=f"it is a {type(key).__name__}", resolution=hint)
    line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    return f"{line} {COMMENT}"


def private_bytes(path: Path) -> bytes | None:
    """What a private key is, whatever form its file has; None where it is not there, or its bytes cannot be read.

    That is Ed25519's 32 bytes, and of others the unencrypted PKCS #8 form: another file format or a new passphrase
    leave them as they are. Security keys (`sk-*`) keep theirs, and a passphrase is asked for nowhere.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    try:
        key = _load(read_regular(path.expanduser()))
    except (OSError, ValueError, TypeError, RuntimeError, UnsupportedAlgorithm):
        return None
    if isinstance(key, Ed25519PrivateKey):
        return key.private_bytes_raw()
    if isinstance(key, RSAPrivateKey | EllipticCurvePrivateKey):
        return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return None


def _load(data: bytes) -> object:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key

    if b"BEGIN OPENSSH PRIVATE KEY" in data:
        return load_ssh_private_key(data, password=None)
    return load_pem_private_key(data, password=None)
