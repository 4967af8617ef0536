"""Keeps the names of snapshots for shell completion. A name that cannot be kept fails nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from bootstrap.errors import HomelabError
from bootstrap.model.ids import ClusterName
from bootstrap.ports import Ports
from bootstrap.records.state.snapshot_names import parse_names, render_names
from bootstrap.records.state.state_items import SNAPSHOT_NAMES


def keep_names(names: Iterable[str], cluster: ClusterName, ports: Ports, *, further: bool = False) -> None:
    """Keep names that were seen on servers; `further`: those of before count, too."""
    with contextlib.suppress(HomelabError):
        now_s = ports.processes.unix_s()
        before = parse_names(ports.state.read(cluster, SNAPSHOT_NAMES), now_s=now_s) if further else {}
        text = render_names(names, now_s=now_s, before=before)
        if text or ports.state.read(cluster, SNAPSHOT_NAMES):
            ports.state.write(cluster, SNAPSHOT_NAMES, text)
