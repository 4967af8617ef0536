"""The settings of a server, before it has a datastore."""

from __future__ import annotations

import time

from ..connections.pki import Pki
from ..logs import log
from ..settings.machine import Machine, check_families
from ..settings.options import Options


def flannel_backend(options: Options) -> str:
    """Of the cluster; `none` leaves its network to another CNI."""
    return options.one("flannel-backend", "vxlan")


class ServerSettings:
    """A server's settings, addresses and paths, and its state on disk."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.machine = Machine(options)
        self.pods = options.many("cluster-cidr") or ["10.42.0.0/16"]
        self.services = options.many("service-cidr") or ["10.43.0.0/16"]
        check_families(self.pods, self.services, self.machine.addresses)
        self.port = int(options.one("https-listen-port", "6443"))
        self.data = options.data / "server"
        self.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.pki = Pki(self.data / "tls")
        self.join_url = options.one("server")
        if (self.data / "db/etcd/tombstone").exists():
            log("info", "tombstone file has been detected, removing data dir to rejoin the cluster")
            self.set_aside()
        self.joined = self.data / "db/etcd/joined"  # an interrupted join has left only a name, and starts again
        self.has_etcd = self.joined.exists()
        self.joining = bool(self.join_url) and not self.has_etcd
        self.reset_flag = self.data / "db/reset-flag"

    def set_aside(self) -> None:
        """Rename etcd's data directory."""
        folder = self.data / "db/etcd"
        if folder.exists():
            folder.rename(folder.with_name(f"etcd-old-{time.time():.0f}"))
