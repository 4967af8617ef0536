"""The lab that task pages are played in: three Proxmox nodes, simulated guests, a bucket."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bootstrap.lab.standin_release import make_artifacts
from tests.docs.playing import Player
from tests.doubles import s3
from tests.e2e.homes import Home, leftovers_of

DOCS = Path(__file__).parents[2] / "docs"
PAGES = tuple(
    DOCS / "tasks" / f"{name}.md"
    for name in (
        *("first-cluster", "add-a-worker", "upgrade", "three-servers"),
        *("back-up-off-site", "restore-after-a-disaster", "hand-to-gitops"),
    )
)
"""In the order in which a user gets to them: each begins with what those before have made."""
FAST = ("--time-scale", "0.05", "--delays", "none")
FIRST_RELEASE = "v1.34.1+k3s1"


@contextmanager
def player(*, write: bool = False) -> Iterator[Player]:
    """A new home with a lab; nothing of it is left afterwards."""
    with tempfile.TemporaryDirectory(prefix="hk8s-") as directory, s3.running("k3s-snapshots") as bucket:
        home = Home(Path(directory))
        make_artifacts(home.directory / "k3s" / FIRST_RELEASE, version=FIRST_RELEASE)
        home.run(
            *("lab", "start", "--guests", "simulated", "--pve-nodes", "3"),
            *("--time-scale", "0.05", "--delays", "none"),
        )
        try:
            yield Player(home=home, bucket=bucket, write=write)
        finally:
            home.run("lab", "stop")
        assert leftovers_of(home) == []
