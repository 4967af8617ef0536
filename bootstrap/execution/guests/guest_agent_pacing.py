"""When to ask which guest agent for the first time after power-on.

An unanswered call holds one of a Proxmox node's three API workers for 3 s, and at most one such call may be under
way per Proxmox node (PVE 8.4, observed). With many machines booting there, asking each "are you up?" in turn makes the
last one wait for minutes. So while no guest of a Proxmox node has answered yet, only the few that were powered on first
are asked, in turn. How long the first took to boot then shows when the others are worth asking.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import dataclass, field

from bootstrap.model.ids import MachineName, PveNodeName

SCOUTS = 3
"""Machines asked in turn while none has answered: several, since one may never come up."""

MARGIN = 1.1
"""Others are asked when they have been on for as long as the slowest known boot took, and a tenth more."""

FEW = 2
"""So few that wait may be asked eagerly."""

ANSWERED_LATE_S = 0.3
"""A call that took this long came before the guest agent was up: its answer shows when that was."""

AGAIN_AFTER_S = 3.0
"""A guest that was silent when it should be up is not asked again sooner, while others wait."""


@dataclass
class _Host:
    """One Proxmox node: who was powered on when, who still waits, how long a boot takes (None: not known)."""

    started_s: dict[MachineName, float] = field(default_factory=dict)
    waiting: list[MachineName] = field(default_factory=list)
    not_before_s: dict[MachineName, float] = field(default_factory=dict)
    boot_s: float | None = None
    turn: int = 0


class AgentPacing:
    """Decides whose turn it is; thread-safe, does no I/O. Times are seconds of one monotonic clock."""

    def __init__(self, *, first_ask_s: float) -> None:
        self._first_ask_s = first_ask_s
        self._lock = threading.Lock()
        self._hosts: defaultdict[PveNodeName, _Host] = defaultdict(_Host)

    def started(self, name: MachineName, pve_node: PveNodeName, *, at_s: float) -> None:
        """A machine was powered on. One that this is never said of may be asked at any time."""
        with self._lock:
            host = self._hosts[pve_node]
            host.started_s[name] = at_s
            host.waiting.append(name)

    def why_not_yet(self, name: MachineName, pve_node: PveNodeName, *, now_s: float) -> str:
        """Why a machine's agent is better not asked now, or an empty text."""
        with self._lock:
            host = self._hosts[pve_node]
            if name not in host.waiting:
                return ""
            up_s = now_s - host.started_s[name]
            if up_s < self._first_ask_s:
                return "it has just been powered on"
            if now_s < host.not_before_s.get(name, 0.0):
                return "its guest agent did not answer a moment ago"
            if host.boot_s is None:
                scouts = host.waiting[:SCOUTS]
                return "" if name == scouts[host.turn % len(scouts)] else "the first machines have not booted yet"
            patient_s = host.boot_s * (MARGIN if len(host.waiting) > FEW else 1 / MARGIN)
            return "" if up_s >= patient_s else f"booting takes about {host.boot_s:.0f} s"

    def answered(self, name: MachineName, pve_node: PveNodeName, *, asked_s: float, now_s: float) -> None:
        """A machine's agent answered a question asked at `asked_s`."""
        with self._lock:
            host = self._hosts[pve_node]
            if name not in host.waiting:
                return
            host.waiting.remove(name)
            up_s = now_s - host.started_s[name]
            if host.boot_s is None:
                host.boot_s = up_s
            elif now_s - asked_s > ANSWERED_LATE_S:
                # Twice at most: waiting for its turn behind others counts in, and must not slow all down.
                host.boot_s = max(host.boot_s, min(up_s, 2 * host.boot_s))

    def left(self, name: MachineName, pve_node: PveNodeName) -> None:
        """A wait for a machine's agent has ended, in whichever way."""
        with self._lock:
            host = self._hosts[pve_node]
            if name in host.waiting:
                host.waiting.remove(name)

    def silent(self, name: MachineName, pve_node: PveNodeName, *, now_s: float) -> None:
        """A machine's agent did not answer."""
        with self._lock:
            host = self._hosts[pve_node]
            host.turn += 1
            if host.boot_s is not None and len(host.waiting) > FEW:
                host.not_before_s[name] = now_s + AGAIN_AFTER_S
