"""Which CNI plugin gives pods their network."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class CniType(StrEnum):
    """A CNI plugin."""

    FLANNEL = "flannel"
    """k3s's own."""
    NONE = "none"
    """One that the user installs."""
    CILIUM = "cilium"
    CALICO = "calico"


class FlannelBackend(StrEnum):
    """How flannel carries packets between nodes; the values are k3s's."""

    VXLAN = "vxlan"
    HOST_GW = "host-gw"
    """Plain routes: all machines must be in one layer 2 network."""
    WIREGUARD = "wireguard-native"


@dataclass(frozen=True, kw_only=True)
class CniSpec:
    """The cluster's CNI plugin, from its birth on.

    Attributes:
        type: Which one.
        backend: flannel's.
    """

    type: CniType = CniType.FLANNEL
    backend: FlannelBackend = FlannelBackend.VXLAN

    @property
    def is_flannel(self) -> bool:
        """Whether it is k3s's own."""
        return self.type is CniType.FLANNEL

    @property
    def has_chart(self) -> bool:
        """Whether we have k3s install it."""
        return self.type in (CniType.CILIUM, CniType.CALICO)

    @property
    def replaces_kube_proxy(self) -> bool:
        """Whether services are its business, too."""
        return self.type is CniType.CILIUM

    @property
    def kernel_modules(self) -> tuple[str, ...]:
        """What machines must load for it."""
        return ("wireguard",) if self.is_flannel and self.backend is FlannelBackend.WIREGUARD else ()

    def __str__(self) -> str:
        """As the inventory says it in short."""
        return f"{self.type} ({self.backend})" if self.is_flannel else self.type.value
