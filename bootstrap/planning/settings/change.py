"""A setting of k3s that changes, as the user reads it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bootstrap.k3s.dual_stack import PODS, SERVICES
from bootstrap.k3s.early.cni import BACKEND
from bootstrap.k3s.pass_through.flags import COMPONENTS
from bootstrap.k3s.registries import EMBEDDED, SETTING
from bootstrap.k3s.settings import SECRET

VARIABLE: Final = "environment "
"""What the keys of variables begin with; k3s has none of that form."""

BUCKET: Final = "etcd-s3"
"""What the names of a bucket's settings begin with."""

HARDENING: Final = "hardening"
"""In place of a setting of k3s: all that hardening brings, told as one."""

FIXED: Final[Mapping[str, tuple[str, str]]] = {
    "cluster-cidr": ("k3s.cluster_cidr", str(PODS)),
    "service-cidr": ("k3s.service_cidr", str(SERVICES)),
    "cluster-dns": ("k3s.server_config: cluster-dns", "10.43.0.10"),
    "flannel-ipv6-masq": ("flannel-ipv6-masq", "false"),
    BACKEND: ("network.cni (flannel-backend)", "vxlan"),
    "secrets-encryption": ("secrets-encryption", "false"),
}
"""What k3s does not change in a cluster that is there, each with its name in the inventory and k3s's default: nodes
keep their pod ranges and services their addresses, and all servers have to agree (k3s: `CriticalControlArgs`)."""

NAMES: Final[Mapping[str, str]] = {
    "tls-san": "k3s.tls_san",
    "disable": "k3s.disable",
    **{f"disable-{name}": f"k3s.disable_components ({name})" for name in COMPONENTS},
    EMBEDDED: "k3s.embedded_registry",
    SETTING: "k3s.registries",
    "etcd-snapshot-schedule-cron": "backup.schedule",
    "etcd-snapshot-retention": "backup.retention",
    "node-label": "labels",
    "node-taint": "taints",
    "server": "the address it joins at",
    **{key: name for key, (name, _) in FIXED.items()},
}
"""What settings are called in the inventory; of the bucket's it follows from their own."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """A setting that changes.

    Attributes:
        key: k3s's name of it.
        have, want: Its values, sorted; of secrets none that mean anything.
    """

    key: str
    have: tuple[str, ...]
    want: tuple[str, ...]

    @property
    def name(self) -> str:
        """As the inventory calls it."""
        if self.key.startswith(VARIABLE):
            return f"k3s.environment ({self.key.removeprefix(VARIABLE)})"
        if self.key.startswith(BUCKET):
            return f"backup.s3{self.key.removeprefix(BUCKET).replace('-', '.', 1).replace('-', '_')}"
        return NAMES.get(self.key, self.key)

    @property
    def way(self) -> str:
        """From what to what; never a secret."""
        if self.key in SECRET or self.key == SETTING or self.key.startswith(VARIABLE):
            return "a different one" if self.have and self.want else "none -> one" if self.want else "one -> none"
        return f"{shown_values(self.have)} -> {shown_values(self.want)}"

    def __str__(self) -> str:
        """As in `k3s.disable: none -> traefik`."""
        return f"{self.name}: {self.way}"


def shown_values(values: Sequence[str]) -> str:
    """Values as a text."""
    return ", ".join(values) or "none"
