"""How long starts take: on two busy cores a first server 7 to 19 s, one that joins 21 to 31 s, an agent 6 to 10 s."""

from __future__ import annotations

from .. import process

UNPACK_S = 2.0
CERTIFICATES_S = 3.0
API_SERVER_S = 7.0
JOIN_S = 12.0
CONTAINERD_S = 4.0


def take(seconds: float) -> None:
    """Wait as long as k3s needs for this, times the pace."""
    if process.LIFE.pace > 0:
        process.LIFE.pause(seconds * process.LIFE.pace)
