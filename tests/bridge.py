"""Labs with container or QEMU guests share one bridge on this machine: one test file at a time has it."""

from __future__ import annotations

import fcntl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def bridge() -> Iterator[None]:
    """Wait until no other test process has the lab's bridge, and have it."""
    with (Path(tempfile.gettempdir()) / "homelab-k8s-tests-bridge.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
