"""The options of a lab, and the info of a running lab."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, fields
from ipaddress import ip_address
from typing import Any

from bootstrap.lab.delays import parse_delays
from bootstrap.lab.releases.choice import K3sChoice

CONTENT_TYPES = frozenset({"backup", "images", "import", "iso", "none", "rootdir", "snippets", "vztmpl"})
GUEST_KINDS = ("auto", "container", "qemu", "simulated", "none")


class LabError(Exception):
    """The lab could not be started, stopped or queried; the text says what to do."""


@dataclass(frozen=True, kw_only=True)
class LabOptions:
    """Options of a lab.

    Attributes:
        guests: One of `GUEST_KINDS`; `simulated` and `none` need no root. with `none` VMs have no guests: their guest
            agent is silent.
        pve_nodes: How many Proxmox nodes the lab shows: `pve1`, `pve2`, ...
        pve_version: 8 (8.4.21) or 9 (9.2.11); decides the reported version and the privileges of guest-agent calls.
        host: Loopback address the API listens on.
        port: Port to listen on, or the next free one. 0: any.
        cores: CPUs of each Proxmox node; None: what this machine has, and 128 with simulated guests.
        memory_mib: Memory of each Proxmox node; None: what this machine has, and 512 GiB with simulated guests.
        storage_gib: Size of the storage `local` when the lab starts; None: 100, and 16384 with simulated guests.
        shared_storage: Whether the Proxmox nodes share the storage `local`; then one of them has the template.
        storage_content: Content types of the storage `local`; a stock Proxmox VE has `backup,iso,vztmpl` there, and
            `import` nowhere.
        time_scale: Real seconds per Proxmox second, for Proxmox's own waits (a refused login's 3 s, a lock's
            10 s, a silent agent's 3 s) and for what simulated guests do. 0: every task ends before its request is
            answered, and guests have no delays.
        delays: Changes to how long things take with simulated guests (`bootstrap.lab.delays`):
            `agent=10..14,clone=0.3`, or `none`.
        seed: Random seed of delays: the same seed gives the same delays.
        vnet: Name of an SDN vnet in the zone `lab`, on the same network as the bridge vmbr0; empty: none.
        jump: Whether simulated guests are behind a jump host, the only one that reaches them.
    """

    guests: str = "auto"
    pve_nodes: int = 1
    pve_version: int = 9
    host: str = "127.0.0.1"
    port: int = 8006
    cores: int | None = None
    memory_mib: int | None = None
    storage_gib: int | None = None
    shared_storage: bool = False
    storage_content: str = "backup,images,import,iso,rootdir,snippets,vztmpl"
    time_scale: float = 1.0
    delays: str = ""
    seed: int = 0
    vnet: str = ""
    jump: bool = False

    @property
    def room_gib(self) -> int:
        """Size of the storage `local`: as requested, or what suits the kind of guests."""
        return self.storage_gib or (16384 if self.guests == "simulated" else 100)

    def problems(self) -> tuple[str, ...]:
        """The invalid settings, a line for each."""
        found = []
        if self.guests not in GUEST_KINDS:
            found.append(f"guests: {self.guests!r} is not one of {', '.join(GUEST_KINDS)}")
        if not 1 <= self.pve_nodes <= 32:
            found.append(f"pve_nodes: {self.pve_nodes} is not between 1 and 32")
        if self.pve_version not in (8, 9):
            found.append(f"pve_version: {self.pve_version} is neither 8 nor 9")
        if not _is_loopback(self.host):
            found.append(f"host: {self.host!r} is not a loopback address; the lab must not be reachable from a network")
        if not 0 <= self.port <= 65535:
            found.append(f"port: {self.port} is not between 0 and 65535")
        if self.cores is not None and self.cores < 1:
            found.append(f"cores: {self.cores} is less than 1")
        if self.memory_mib is not None and self.memory_mib < 512:
            found.append(f"memory_mib: {self.memory_mib} is less than 512")
        if self.jump and self.guests != "simulated":
            found.append(f"jump: only simulated guests can be behind a jump host, not {self.guests}")
        return (*found, *self._problems_of_names(), *self._problems_of_time())

    def _problems_of_names(self) -> tuple[str, ...]:
        found = []
        if self.vnet and not re.fullmatch("[a-z][a-z0-9]{0,7}", self.vnet):
            found.append(f"vnet: {self.vnet!r} is not a vnet name: at most 8 lowercase letters and digits")
        unknown = sorted(set(self.storage_content.split(",")) - CONTENT_TYPES)
        if unknown:
            found.append(f"storage_content: {', '.join(unknown)} is not one of {', '.join(sorted(CONTENT_TYPES))}")
        return tuple(found)

    def _problems_of_time(self) -> tuple[str, ...]:
        found = []
        if not 0 <= self.time_scale <= 100:
            found.append(f"time_scale: {self.time_scale} is not between 0 and 100")
        try:
            parse_delays(self.delays)
        except ValueError as error:
            found.append(f"delays: {error}")
        return tuple(found)

    def to_dict(self) -> dict[str, Any]:
        """The options as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> LabOptions:
        """The options from `to_dict`'s result; unknown keys of a newer lab are ignored."""
        known = {field.name for field in fields(cls)}
        return cls(**{key: value for key, value in data.items() if key in known})


def _is_loopback(text: str) -> bool:
    try:
        return ip_address(text).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, kw_only=True)
class LabJump:
    """The jump host of a running lab.

    Attributes:
        place: `user@address:port`.
        host_key: Fingerprint of its host key, `SHA256:...`.
        identity: File of a private key that logs in there.
    """

    place: str
    host_key: str
    identity: str


@dataclass(frozen=True, kw_only=True)
class LabInfo:
    """A running lab, as `lab.json` keeps it (mode 0600, since it holds the token's secret).

    Attributes:
        endpoint: `https://ADDRESS:PORT`, without `/api2/json`.
        token_id: `USER@REALM!NAME` with the privileges of the README's role.
        token_secret: Its secret.
        fingerprint: SHA-256 of the certificate, `AA:BB:...`.
        kind: Kind of guests: `container`, `qemu`, `simulated` or `none`.
        reason: Why this kind.
        pve_nodes: Names of the Proxmox nodes.
        pve_version: Version of Proxmox VE that the API reports.
        bridge: Linux bridge the guests are on; empty where they have none.
        network: The guests' range in CIDR; empty where they have none.
        ssh_port: Where the guests' sshd listens.
        pid: Process of the lab.
        pid_start: That process's start time in clock ticks since boot, so that a re-used pid is no lab.
        started_at: Unix time in seconds.
        no_rights_token: Token id and secret, joined by `=`, of a token without privileges (for tests).
        root_token: The same of `root@pam!lab`, which may do anything (for tests).
        options: What the lab was started with.
        k3s: Which k3s its clusters run.
        jump: What guests are behind; None: they are reached directly.
    """

    endpoint: str
    token_id: str
    token_secret: str
    fingerprint: str
    kind: str
    reason: str
    pve_nodes: tuple[str, ...]
    pve_version: str
    bridge: str
    network: str
    ssh_port: int
    pid: int
    pid_start: int
    started_at: float
    no_rights_token: str
    root_token: str
    options: LabOptions
    k3s: K3sChoice
    jump: LabJump | None = None

    def to_json(self) -> str:
        """The info as a JSON object."""
        return json.dumps(asdict(self), indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> LabInfo:
        """The info from `to_json`'s result.

        Raises:
            LabError: The text is not this version's info.
        """
        try:
            data = json.loads(text)
            data["options"] = LabOptions.from_dict(data["options"])
            data["k3s"] = K3sChoice(**data["k3s"])
            data["pve_nodes"] = tuple(data["pve_nodes"])
            data["jump"] = LabJump(**data["jump"]) if data.get("jump") else None
            return cls(**data)
        except (ValueError, KeyError, TypeError) as error:
            raise LabError(f"lab.json is not this version's: {error}") from error
