"""The cache of templates, shared by processes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

CACHE_VARIABLE = "HOMELAB_K8S_LAB_CACHE"
"""Environment variable for another directory of the lab's cache."""

_BUILDING = ".building-"


def cache_dir() -> Path:
    """The lab's cache: `$HOMELAB_K8S_LAB_CACHE`, else `homelab-k8s/lab` in the user's cache directory."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen)
    from platformdirs import user_cache_path  # `make demo` builds a template before there are any packages

    return user_cache_path("homelab-k8s") / "lab"


@contextlib.contextmanager
def locked(cache: Path) -> Iterator[int]:
    """Hold the cache's lock; waits for another process's build. Yields the lock's file descriptor.

    A build passes the descriptor on to the tools it runs: should the build be killed, the lock is held
    until the last of them is gone too, so no other process removes a directory that is still written to.
    """
    cache.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(cache / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def building(cache: Path, target: Path) -> Iterator[Path]:
    """A directory that becomes `target` when the block succeeds, and is removed when it fails.

    The caller holds the lock, so any other such directory belongs to a dead build and is removed first.
    """
    for leftover in cache.glob(f"{_BUILDING}*"):
        shutil.rmtree(leftover)
    workspace = cache / f"{_BUILDING}{target.name}"
    workspace.mkdir(mode=0o755)
    try:
        yield workspace
        workspace.rename(target)
    finally:
        if workspace.exists():
            shutil.rmtree(workspace)
