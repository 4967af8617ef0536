"""SSH key pairs in files: creates one, and checks whether a user's key can be used."""

from __future__ import annotations

import base64
import os
import shlex
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bootstrap.adapters.local.files import ensure_private_directory, locked, write_private
from bootstrap.errors import PreflightError
from bootstrap.inventory.regular import read_regular, read_regular_text
from bootstrap.records.state.ssh_key import new_ssh_key

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    PrivateKey = Ed25519PrivateKey | RSAPrivateKey | EllipticCurvePrivateKey

COMMENT = "homelab-k8s"
_SED = "sed -i ''" if sys.platform == "darwin" else "sed -i"
"""Edits a file in place, as BSD has it and as GNU does."""
_BEGIN, _END = b"-----BEGIN OPENSSH PRIVATE KEY-----", b"-----END OPENSSH PRIVATE KEY-----"
_MAGIC = b"openssh-key-v1\0"
_ON_DEVICE = "sk-"
_TAKEN = ("ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp", _ON_DEVICE)
"""Prefixes of the key types that SSH servers accept (OpenSSH no longer has DSA)."""


@dataclass(frozen=True, kw_only=True)
class KeyFile:
    """A private key's file.

    Attributes:
        path: Where it is.
        public: Its public half, as `type base64`.
        locked: Why only an SSH agent can log in with it; empty where the file is enough.
    """

    path: Path
    public: str
    locked: str = ""

    @property
    def kind(self) -> str:
        """Its type, such as `ssh-ed25519`."""
        return self.public.partition(" ")[0]

    @property
    def blob(self) -> bytes:
        """The public half as SSH sends it."""
        return base64.b64decode(self.public.split()[1])

    @property
    def line(self) -> str:
        """The public half as one `authorized_keys` line."""
        return f"{self.public} {COMMENT}"


def make_key_pair(path: Path) -> None:
    """Create an Ed25519 key pair: the private half at `path` (OpenSSH format, 0600), the public one at `path`.pub.

    An existing key is kept.

    Raises:
        PreflightError: The files cannot be written.
    """
    if path.exists():
        return
    try:
        ensure_private_directory(path.parent)
        with locked(path.parent):
            if path.exists():
                return  # Another process was faster; its key may be on machines already.
            write_private(path, new_ssh_key())
            write_private(path.with_name(f"{path.name}.pub"), f"{read_key(path).line}\n")
    except OSError as error:
        raise PreflightError(f"cannot write the SSH key {path}", details=str(error)) from error


def read_key(path: Path) -> KeyFile:
    """Read a private key's file in OpenSSH or PEM format; never asks for a passphrase.

    Raises:
        PreflightError: No such file, not a private key, one that OpenSSH would not read or would not use since others
            may read it, or of a type that SSH servers no longer take (DSA).
    """
    try:
        path = path.expanduser()
        data = read_regular(path)
        mode = path.stat()
    except (OSError, RuntimeError) as error:  # RuntimeError: `~` of an unknown user
        raise no_use(path, str(error)) from error
    # As OpenSSH asks (authfile.c, sshkey_perm_ok).
    if mode.st_uid == os.getuid() and mode.st_mode & 0o077:
        raise no_use(
            path,
            f"other users can read it (mode {stat.S_IMODE(mode.st_mode):04o}); ssh ignores such keys, too",
            f"chmod 600 {shlex.quote(str(path))}",
        )
    _check_form(path, data)
    found = _openssh(path, data) if _BEGIN in data else _pem(path, data)
    if not found.kind.startswith(_TAKEN):
        raise no_use(path, f"it is a key of type {found.kind}, which SSH servers no longer accept")
    return found


def _check_form(path: Path, data: bytes) -> None:
    """Refuse what OpenSSH could not read: `ssh` and `logs --follow` use it (sshkey.c: MARK_BEGIN)."""
    if _BEGIN not in data:
        return
    file = shlex.quote(str(path))
    if b"\r" in data:
        fix = f"{_SED} \"s/$(printf '\\r')\\$//\" {file}"
        raise no_use(path, "it has line ends of Windows, which ssh cannot read", fix)
    if not data.startswith(_BEGIN + b"\n"):
        raise no_use(
            path,
            "there is text before its first line, so ssh cannot read it",
            f"{_SED} '/-----BEGIN/,$!d; s/^.*-----BEGIN/-----BEGIN/' {file}",
        )
    if _END + b"\n" not in data:
        raise no_use(path, "its last line is cut off or has no line end, so ssh cannot read it", f"echo >>{file}")


def _openssh(path: Path, data: bytes) -> KeyFile:
    """From OpenSSH's own format, which has the public half unencrypted (its PROTOCOL.key)."""
    try:
        cipher, public = _header(data)
        kind = _strings(public, 1)[0].decode()
    except ValueError as error:
        raise no_use(path, str(error)) from error
    encoded = f"{kind} {base64.b64encode(public).decode()}"
    if kind.startswith(_ON_DEVICE):
        return KeyFile(path=path, public=encoded, locked=f"its private half is in a security key ({kind})")
    if cipher != b"none":
        return KeyFile(path=path, public=encoded, locked="it is protected by a passphrase")
    if kind.startswith(_TAKEN):
        _loaded(path, data)  # a damaged one is reported before a machine is created for it
    return KeyFile(path=path, public=encoded)


def _header(data: bytes) -> tuple[bytes, bytes]:
    """The cipher's name and the public half. Raises ValueError."""
    blob = base64.b64decode(data.partition(_BEGIN)[2].partition(_END)[0])
    if not blob.startswith(_MAGIC):
        raise ValueError("it is damaged")
    cipher, _kdf, _options, rest = _strings(blob[len(_MAGIC) :], 3)
    return cipher, _strings(rest[4:], 1)[0]  # behind the number of keys, which is 1


def _strings(data: bytes, number: int) -> list[bytes]:
    """A number of strings as SSH encodes them (RFC 4251, section 5), and the rest. Raises ValueError."""
    found = []
    for _ in range(number):
        size = int.from_bytes(data[:4], "big")
        if len(data) < 4 + size:
            raise ValueError("it is cut off")
        found.append(data[4 : 4 + size])
        data = data[4 + size :]
    return [*found, data]


def _pem(path: Path, data: bytes) -> KeyFile:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    try:
        key = _loaded(path, data)
    except TypeError:
        # cryptography's way to say that the key is encrypted and no passphrase was given.
        return KeyFile(path=path, public=_public_beside(path), locked="it is protected by a passphrase")
    return KeyFile(path=path, public=key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode())


def _public_beside(path: Path) -> str:
    """The public half from `path`.pub: this format encrypts it, too."""
    beside = path.with_name(f"{path.name}.pub")
    try:
        fields = read_regular_text(beside).split()
        base64.b64decode("".join(fields[1:2]), validate=True)
    except (OSError, ValueError):  # no such file, no text, no key
        fields = []
    if len(fields) < 2 or not fields[0].startswith(_TAKEN):
        file = shlex.quote(str(path))
        raise no_use(
            path,
            f"it is protected by a passphrase, and {beside} does not contain its public half",
            f"ssh-keygen -yf {file} >{file}.pub",
        )
    return " ".join(fields[:2])


def _loaded(path: Path, data: bytes) -> PrivateKey:
    """The key itself. Raises PreflightError; TypeError where it is encrypted."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    try:
        key = _load(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise no_use(path, str(error)) from error
    if not isinstance(key, Ed25519PrivateKey | RSAPrivateKey | EllipticCurvePrivateKey):
        raise no_use(path, f"it is a {type(key).__name__}, which SSH servers do not accept")
    return key


def no_use(path: Path, why: str, remedy: str = "") -> PreflightError:
    """The error for a key that cannot be used, with the command that changes that."""
    hint = remedy or "set a private key (ed25519, rsa or ecdsa) as ssh.private_key"
    other = "or set another key, or none: then a new key is created"
    return PreflightError(f"cannot use the SSH key {path}", details=why, resolution=f"{hint}\n{other}")


def openssh_form(path: Path) -> str:
    """A private key in OpenSSH's own format, whatever its file has. Raises PreflightError."""
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    try:
        key = _loaded(path, read_regular(path.expanduser()))
    except (OSError, TypeError) as error:
        raise no_use(path, str(error)) from error
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()


def private_bytes(path: Path) -> bytes | None:
    """What a private key is, whatever form its file has; None where it is not there, or its bytes cannot be read.

    That is Ed25519's 32 bytes, and of others the unencrypted PKCS #8 form: another file format or a new passphrase
    leave them as they are. Security keys (`sk-*`) keep theirs, and a passphrase is asked for nowhere.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    try:
        key = _loaded(path, read_regular(path.expanduser()))
    except (OSError, TypeError, RuntimeError, PreflightError):
        return None
    if isinstance(key, Ed25519PrivateKey):
        return key.private_bytes_raw()
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def _load(data: bytes) -> object:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key

    if _BEGIN in data:
        return load_ssh_private_key(data, password=None)
    return load_pem_private_key(data, password=None)
