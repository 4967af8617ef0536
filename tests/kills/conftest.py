"""The cluster of each file here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kills.cluster import KillableCluster, killable_cluster
from tests.kills.sweeps import add_foreign


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KillableCluster]:
    with killable_cluster(tmp_path_factory.mktemp("k"), guests="simulated", servers=1, agents=2) as cluster:
        add_foreign(cluster)
        yield cluster
