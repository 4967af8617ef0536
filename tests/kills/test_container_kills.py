"""`up` and `down` killed with SIGKILL at random instants on container guests, then run again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bootstrap.lab.guests.choose import why_not
from tests.bridge import bridge
from tests.kills.cluster import KillableCluster, killable_cluster
from tests.kills.sweeps import add_foreign, random_kills

pytestmark = pytest.mark.container


@pytest.fixture(scope="module")
def container(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KillableCluster]:
    reason = why_not("container")
    if reason is not None:
        pytest.skip(reason)
    directory = tmp_path_factory.mktemp("k")
    with bridge(), killable_cluster(directory, guests="container", servers=1, agents=2) as cluster:
        add_foreign(cluster)
        yield cluster


def test_up_and_down_killed_on_container_guests(container: KillableCluster) -> None:
    random_kills(container, kills=6, up_s=6.0, down_s=3.0)
