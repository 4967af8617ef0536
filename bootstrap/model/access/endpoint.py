"""How the Proxmox VE API is reached (apart from `ClusterSpec`, since it holds a secret), and the jump host."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class ApiToken:
    """An API token; its secret never shows in a repr.

    Attributes:
        user: `user@realm`.
        name: The token's id.
        secret: The UUID Proxmox showed once.
    """

    user: str
    name: str
    secret: str = field(repr=False)

    def __str__(self) -> str:
        """Without the secret: `user@realm!name`."""
        return f"{self.user}!{self.name}"


@dataclass(frozen=True, kw_only=True)
class TlsSpec:
    """How the API's certificate is checked; with nothing set, by the system's CAs.

    Attributes:
        fingerprint: SHA-256 of the certificate, upper-case hex pairs with colons, as Proxmox shows it.
        ca_file: PEM file with the CA, such as a copy of /etc/pve/pve-root-ca.pem.
        insecure: No check at all; every run says so.
    """

    fingerprint: str | None = None
    ca_file: Path | None = None
    insecure: bool = False


@dataclass(frozen=True, kw_only=True)
class PveEndpoint:
    """The Proxmox VE API: `https://host:8006` and how to log in."""

    url: str
    token: ApiToken
    tls: TlsSpec = field(default_factory=TlsSpec)


@dataclass(frozen=True, kw_only=True)
class JumpHost:
    """The SSH server over which machines are reached.

    Attributes:
        user: Who logs in there.
        host: Its name or address.
        port: Where its sshd listens.
    """

    user: str
    host: str
    port: int = 22

    def __str__(self) -> str:
        """As in the inventory: `user@host`, `user@host:port`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.user}@{host}" + (f":{self.port}" if self.port != 22 else "")
