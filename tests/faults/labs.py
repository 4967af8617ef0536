"""Several labs at once, each with a process that plays entries in it: faults mostly make clients wait."""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from multiprocessing.queues import Queue
from pathlib import Path

from bootstrap.lab import control
from bootstrap.lab.options import LabInfo, LabOptions
from bootstrap.lab.standin_release import make_artifacts
from tests.faults.cluster import FaultyCluster
from tests.faults.entries import Entry
from tests.faults.trial import Trial, Unbroken, play, unbroken

LABS = 4
TIME_SCALE = 0.02

Place = tuple[Path, LabInfo]


@contextmanager
def playing(directory: Path, entries: Iterable[Entry]) -> Iterator[dict[str, Future[Trial]]]:
    """All entries being played, by name."""
    context = multiprocessing.get_context("spawn")
    free: Queue[Place] = context.Queue()
    with ExitStack() as stack:
        for number in range(LABS):
            free.put(stack.enter_context(simulated_lab(directory / str(number))))
        pool = ProcessPoolExecutor(LABS, mp_context=context, initializer=_claim, initargs=(free,))
        try:
            yield {entry.name: pool.submit(_play, entry) for entry in entries}
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def simulated_lab(directory: Path) -> Iterator[Place]:
    """A lab of its own in a new directory, with a release of the stand-in beside it."""
    directory.mkdir()
    make_artifacts(directory / "k3s")
    before = dict(os.environ)
    os.environ.update(_environ(directory))
    try:
        yield (
            directory,
            control.start(LabOptions(guests="simulated", time_scale=TIME_SCALE, port=0), progress=lambda _line: None),
        )
    finally:
        os.environ.update(_environ(directory))
        control.stop()
        os.environ.clear()
        os.environ.update(before)
        shutil.rmtree(directory, ignore_errors=True)


def _environ(directory: Path) -> dict[str, str]:
    return {
        "HOME": str(directory),
        "XDG_STATE_HOME": str(directory / "state"),
        "XDG_CACHE_HOME": str(directory / "cache"),
        "HOMELAB_K8S_LAB_DIR": str(directory / "lab"),
    }


_mine: list[tuple[FaultyCluster, Unbroken]] = []
"""A worker process's own lab."""


def _claim(free: Queue[Place]) -> None:
    """In a worker process: take a lab, and see what an unbroken run makes of it."""
    directory, info = free.get()
    os.environ.update(_environ(directory))
    cluster = FaultyCluster(info, directory)
    _mine.append((cluster, unbroken(cluster)))


def _play(entry: Entry) -> Trial:
    cluster, whole = _mine[0]
    return play(cluster, entry, whole)
