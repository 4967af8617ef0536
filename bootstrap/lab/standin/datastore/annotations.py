"""Annotations that k3s keeps about etcd."""

from __future__ import annotations

ETCD_NOTE = "etcd.k3s.cattle.io/"
SNAPSHOTS_NOTE = "local-snapshots-timestamp"
