"""systemd's messages about the pods that a k3s unit leaves behind at its end: their shims keep running in its cgroup.

There are two lines for each shim and each command of a start (k3s units have two), one for each at an end. In a loop of
restarts the end of a journal consists of these (observed on k3s v1.36.3).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

SHIMS = 12
"""Pods of a machine that has been up for a while."""
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
        """The unit and its pods are up."""
        self._pids = self._pids or tuple(itertools.islice(_pids, SHIMS))

    def are_killed(self) -> None:
        """Killed by k3s-killall.sh, or by power-off."""
        self._pids = ()

    def at_start(self) -> Iterator[str]:
        """The lines for one command of a start."""
        for pid in self._pids:
            process = f"Found left-over process {pid} (containerd-shim) in control group while starting unit. Ignoring."
            yield f"{self._unit}: {process}"
            yield _HINT

    def at_end(self) -> Iterator[str]:
        """The lines for an end."""
        for pid in self._pids:
            yield f"{self._unit}: Unit process {pid} (containerd-shim) remains running after unit stopped."
