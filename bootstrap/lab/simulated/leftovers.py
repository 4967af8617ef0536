"""What systemd writes of the pods that a unit of k3s leaves behind when it ends: their shims live on in its cgroup.

Two lines for each shim and each command of a start (k3s units have two), one for each at an end; in a loop of
restarts the last lines of a journal are nothing else (seen on k3s v1.36.3).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

SHIMS = 12
"""Of the pods of a machine that has been up for a while."""
_HINT = "This usually indicates unclean termination of a previous run, or service implementation deficiencies."
_pids = itertools.count(700)


class LeftOvers:
    """The shims of one unit.

    Args:
        unit: Its name, with `.service`.
    """

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._pids: tuple[int, ...] = ()

    def have_begun(self) -> None:
        """The unit is up, and so are its pods."""
        self._pids = self._pids or tuple(itertools.islice(_pids, SHIMS))

    def are_killed(self) -> None:
        """By k3s-killall.sh, or with the machine's power."""
        self._pids = ()

    def at_start(self) -> Iterator[str]:
        """The lines of one of a start's commands."""
        for pid in self._pids:
            process = f"Found left-over process {pid} (containerd-shim) in control group while starting unit. Ignoring."
            yield f"{self._unit}: {process}"
            yield _HINT

    def at_end(self) -> Iterator[str]:
        """The lines of an end."""
        for pid in self._pids:
            yield f"{self._unit}: Unit process {pid} (containerd-shim) remains running after unit stopped."
