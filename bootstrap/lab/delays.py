"""Delays of simulated guests: a table of delays, a scale and a seed.

Each draw depends only on the seed, the machine, the kind of delay and the number of draws before. In any order of
events the same seed gives the same delays.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from dataclasses import dataclass

NONE = "none"
_ENTRY = re.compile(r"([a-z_]+)=(\d+(?:\.\d+)?)(?:\.\.(\d+(?:\.\d+)?))?")


@dataclass(frozen=True)
class Span:
    """A delay between two bounds in seconds, most often near the middle, and the source of the figures."""

    low_s: float
    high_s: float
    source: str


SPANS = {
    "clone": Span(0.15, 0.25, "PVE 8.4, seen: a linked clone 0.3 s with its cloud-init drive, eight at once 1.6 s"),
    "clone_drive": Span(0.05, 0.1, "the same: the cloud-init drive's part"),
    "full_clone": Span(1.9, 4.0, "PVE 8.4, seen: full clone 1.9 to 4 s"),
    "start": Span(0.8, 1.4, "PVE 8.4, seen: start 0.8 to 1.4 s"),
    "stop": Span(0.3, 0.7, "PVE 8.4, seen: stop 0.3 to 0.7 s"),
    "shutdown": Span(2.0, 3.5, "PVE 8.4, seen: shutdown 2 to 3.5 s"),
    "agent": Span(10.0, 14.0, "estimated for KVM and NVMe: 17 to 20 s from power-on to Ready with k3s in the template"),
    "address": Span(0.0, 1.0, "PVE 8.4, seen: the agent answers before there is any address"),
    "sshd": Span(0.5, 3.0, "estimated for KVM; on emulated CPUs 4 to 25 s after the address were seen"),
    "cloud_init": Span(1.0, 4.0, "seen on container guests: done 0.5 to 2 s after the first login; doubled for KVM"),
    "container_create": Span(4.0, 9.0, "estimated: unpacking a template of 130 MB into a new file system"),
    "container_boot": Span(0.5, 1.5, "seen on container guests: login 1.6 to 1.9 s after power-on"),
    "command": Span(0.008, 0.03, "Fabric 3.2: connect and run cost 8 to 12 ms; a shell script 10 to 20 ms"),
    "upload": Span(0.3, 0.6, "64 MiB over paramiko 5: 0.3 to 0.6 s"),
    "server": Span(5.0, 6.2, "k3s v1.21, seen: sqlite server, unit started after 5.6 s"),
    "server_etcd": Span(30.0, 36.0, "k3s v1.21, seen: first server with --cluster-init, unit started after 33 s"),
    "server_join": Span(26.0, 34.0, "k3s v1.21, seen: further server, unit started after 26 to 34 s"),
    "server_restart": Span(5.0, 8.0, "k3s v1.21, seen: restart to Ready 8.6 s"),
    "server_ready": Span(8.0, 15.0, "k3s v1.21, seen: Ready 14 s after the unit (sqlite), 6 to 10 s (others)"),
    "join": Span(2.0, 12.0, "k3s v1.21, seen: agent, unit started after 2 to 12 s"),
    "unit_ready": Span(4.0, 40.0, "k3s v1.36, seen: agent's unit active 17 s, 37 s, 277 s and more after it was Ready"),
    "ready": Span(8.0, 16.0, "k3s v1.21, seen: agent Ready 19 to 22 s after its start"),
}
"""All delays with their defaults."""


def parse_delays(text: str) -> dict[str, tuple[float, float]]:
    """Bounds in seconds by name, out of `agent=10..14,clone=0.3`; `none`: no delays.

    Raises:
        ValueError: An entry cannot be read, or names no delay; the text says which.
    """
    if text == NONE:
        return dict.fromkeys(SPANS, (0.0, 0.0))
    bounds = {name: (span.low_s, span.high_s) for name, span in SPANS.items()}
    for entry in filter(None, text.replace(" ", "").split(",")):
        found = _ENTRY.fullmatch(entry)
        if found is None:
            raise ValueError(f"{entry!r} is not NAME=SECONDS or NAME=LOW..HIGH")
        if found[1] not in SPANS:
            raise ValueError(f"{found[1]!r} is not one of {', '.join(SPANS)}")
        low_s = float(found[2])
        bounds[found[1]] = (low_s, max(low_s, float(found[3] or low_s)))
    return bounds


class Delays:
    """Draws delays.

    Args:
        text: Changes to the defaults, see `parse_delays`.
        seed: Of all draws.
        scale: Real seconds per second of the lab; 0: no delay at all.
    """

    def __init__(self, text: str = "", *, seed: int = 0, scale: float = 1.0) -> None:
        self.scale = scale
        self._seed = seed
        self._bounds = parse_delays(text)
        self._drawn: Counter[tuple[str, int]] = Counter()

    def lab_s(self, name: str, vmid: int) -> float:
        """The next delay of a kind for a machine, in the lab's seconds."""
        low_s, high_s = self._bounds[name]
        if low_s == high_s:
            return low_s
        self._drawn[name, vmid] += 1
        # Not a secret; a text as seed gives the same numbers in every process (unlike hash()).
        dice = random.Random(f"{self._seed}/{vmid}/{name}/{self._drawn[name, vmid]}")  # noqa: S311
        return dice.triangular(low_s, high_s)

    def real_s(self, name: str, vmid: int) -> float:
        """The next delay of a kind for a machine, in real seconds."""
        return self.lab_s(name, vmid) * self.scale
