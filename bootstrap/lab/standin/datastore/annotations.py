"""Names of k3s's annotations about etcd."""

from __future__ import annotations

ETCD_NOTE = "etcd.k3s.cattle.io/"
SNAPSHOTS_NOTE = "local-snapshots-timestamp"
