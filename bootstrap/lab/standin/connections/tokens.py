"""Join tokens and password hashes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Token:
    """A join token: the password and, in the full form, the CA's hash."""

    ca_hash: str
    password: str


def parse_token(text: str) -> Token:
    """Raises ValueError in k3s's words."""
    if not text.startswith("K10"):
        return Token("", text.partition(":")[2] or text)
    ca_hash, separator, credentials = text[3:].partition("::")
    if not separator:
        ca_hash, credentials = "", text[3:]
    if len(ca_hash) != 64:
        raise ValueError("invalid token CA hash length")
    password = credentials.partition(":")[2]
    if not password:
        raise ValueError("invalid token format")
    return Token(ca_hash, password)


def full_token(ca_pem: str, user: str, password: str) -> str:
    return f"K10{hashlib.sha256(ca_pem.encode()).hexdigest()}::{user}:{password}"


def check_ca(raw: bytes, token: Token, say: Callable[[str, str], None]) -> None:
    """Compare the body of /cacerts with the token. Raises ValueError in k3s's words."""
    found = hashlib.sha256(raw).hexdigest()
    if not token.ca_hash:
        say(
            "warning",
            "Cluster CA certificate is not trusted by the host CA bundle, but the token does not include a CA hash. "
            "Use the full token from the server's node-token file to enable Cluster CA validation.",
        )
    elif token.ca_hash != found:
        raise ValueError(f"token CA hash does not match the Cluster CA certificate hash: {token.ca_hash} != {found}")


def node_password_hash(salt: str, password: str) -> str:
    digest = hashlib.scrypt(password.encode(), salt=salt.encode(), n=1024, r=8, p=1)
    return f"$1:{salt}:{digest.hex()}"
