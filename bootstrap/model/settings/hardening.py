"""How far a cluster is hardened, and what a machine reports of that."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bootstrap.model.ids import MachineName


class Hardening(StrEnum):
    """Which guide a cluster follows."""

    NONE = "none"
    CIS = "cis"
    """k3s's CIS hardening guide."""


@dataclass(frozen=True, kw_only=True)
class GuestHardening:
    """What a machine reports of itself.

    Attributes:
        sysctls: The kernel's values of those that the kubelet checks, by name.
        checked: How many of k3s's files and directories were looked at.
        loose: Those of them that others than root can use: the path, and its mode and owner in words.
        audited: Whether the API server has written an audit log.
    """

    machine: MachineName
    sysctls: tuple[tuple[str, str], ...] = ()
    checked: int = 0
    loose: tuple[tuple[str, str], ...] = ()
    audited: bool = False
