"""The type of a datastore."""

from __future__ import annotations

from .etcd import Etcd
from .solo import Solo

Cluster = Solo | Etcd
