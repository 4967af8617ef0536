"""k3s server."""

from __future__ import annotations

import json
import shutil
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from .. import process
from ..api.access.authorizing import Authorizer
from ..api.api import Api
from ..api.node_passwords import check_node_password
from ..built import VERSION
from ..connections.pki import server_context
from ..controllers.manager import control
from ..datastore.etcd import Etcd
from ..datastore.store import Store
from ..failures import API_NOT_READY, CORE_NOT_READY
from ..journal import noise_agent, noise_etcd, noise_server
from ..journal.noise import make_noise
from ..journal.noise_agent import UNPACKING
from ..journal.pace import API_SERVER_S, CERTIFICATES_S, UNPACK_S, take
from ..listeners.api_handler import ApiHandler
from ..listeners.serving import listen
from ..logs import Fatal, log
from ..manifests.deploying import deploy
from ..process import spawn
from ..settings.options import Options
from ..shapes import Obj, Reply
from ..snapshots.snapshots import Snapshots
from ..versions import COMMIT, WHAT_THIS_IS, refuse_downgrade
from .apiserver_files import read_files
from .bootstrap import Bootstrap, invitation_of
from .credentials import Credentials
from .defaults import ensure_defaults
from .encryption import UNREADABLE
from .membership import Membership
from .node import run_kubelet
from .reset import reset_cluster
from .settings import ServerSettings, flannel_backend

NOT_READY_S = 0.3
"""Minimum time that its API answers 503 during a start."""


class Server:
    """One k3s server, from its settings to its listeners."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.settings = settings = ServerSettings(options)
        self.pods, self.services, self.port, self.pki = settings.pods, settings.services, settings.port, settings.pki
        self.ready = False
        self.credentials = Credentials(settings)
        self.membership = Membership(settings)
        self.actions: Mapping[tuple[str, str], Callable[[bytes], Reply]] = {
            ("POST", "/v1-k3s/etcd-member"): lambda data: self.api.write(
                {"method": "MEMBER", "body": json.loads(data)}
            ),
            ("PUT", "/v1-k3s/token"): self.rotate_token,
            ("GET", "/v1-k3s/encrypt/status"): lambda _data: (200, self.bootstrap.encryption.status()),
            ("PUT", "/v1-k3s/encrypt/config"): lambda _data: self.bootstrap.rotate_keys(self.api),
            ("POST", "/db/snapshot"): lambda data: self.snapshots.answer(data),
        }
        self.documents: Mapping[str, Callable[[], Any]] = {
            "/v1-k3s/config": self._agent_config,
            "/v1-k3s/apiservers": self.apiservers,
            "/v1-k3s/server-bootstrap": lambda: self.bootstrap.data(self.cluster.kind),
            "/db/info": self._members,
        }

    @property
    def authorizer(self) -> Authorizer:
        return self.api.authorizer

    @property
    def ca_pem(self) -> str:
        return self.credentials.ca_pem

    @property
    def passwords(self) -> dict[str, set[str]]:
        return self.credentials.passwords

    def run(self) -> NoReturn:
        settings = self.settings
        make_noise(UNPACKING)
        take(UNPACK_S)
        log("info", f"Starting k3s {VERSION} ({COMMIT}), {WHAT_THIS_IS}")
        restore = self.options.one("cluster-reset-restore-path")
        if self.options.on("cluster-reset"):
            reset_cluster(settings, restore)
            process.LIFE.end(0)
        if restore:
            raise Fatal("Error: invalid flag use; --cluster-reset required with --cluster-reset-restore-path")
        self._open()
        after_reset = settings.reset_flag.exists()
        settings.reset_flag.unlink(missing_ok=True)
        ensure_defaults(settings, self.api, self.apiservers())
        make_noise(noise_server.COMPONENTS, self._facts())
        read_files(self.options)
        take(API_SERVER_S)
        make_noise(noise_server.API_SERVER, self._facts())
        process.LIFE.pause(NOT_READY_S)
        while not self.bootstrap.readable:  # the API server never becomes ready, and k3s waits for it
            log("error", f"transformer.go:164] {UNREADABLE}")
            process.LIFE.pause(1)
        self.ready = True
        log("info", "Kube API server is now running")
        self.credentials.write_kubeconfig()
        process.LIFE.notify("READY=1")
        log("info", "k3s is up and running")
        make_noise(noise_server.UP, self._facts())
        if not self.options.on("disable-agent"):
            spawn(run_kubelet, settings, self.api, self.membership, after_reset)
        spawn(deploy, settings.data / "manifests", self.api)
        if isinstance(self.cluster, Etcd) and not self.options.on("etcd-disable-snapshots"):
            spawn(self.snapshots.run)
        control(self.options, self.api, self.pki)

    def _open(self) -> None:
        """Open the datastore and take over what the servers share."""
        settings, credentials, invitation = self.settings, self.credentials, None
        token = credentials.token()
        database = self.membership.database()
        if settings.joining:
            invitation = invitation_of(settings, token)
            shutil.rmtree(database.parent, ignore_errors=True)
        self.store = Store(database)
        self.bootstrap = Bootstrap(settings, self.store, migrating=self.membership.migrated)
        self.bootstrap.adopt(token)
        make_noise(noise_server.KINE if database.parent.name == "db" else noise_etcd.FIRST)
        take(CERTIFICATES_S)
        credentials.make_certificates()
        credentials.install(token)
        self.bootstrap.encryption.ensure()
        facts = self._facts()
        for table in (noise_server.CERTIFICATES, noise_server.SUPERVISOR, noise_agent.CONTAINERD):
            make_noise(table, facts)
        self.cluster = self.membership.cluster(self.store)
        self.api = Api(self.store, self.cluster, self.pods, self.services)
        self.snapshots = Snapshots(self.options, settings.machine.name, self.api)
        self._listen()
        if isinstance(self.cluster, Etcd):
            refuse_downgrade(self.store.note("version"), f"etcd's data in {settings.data / 'db/etcd'}")
            self.membership.start(self.cluster, self.api, invitation)
            self.store.note("version", VERSION)
        self.bootstrap.save(self.api, token)

    def _facts(self) -> dict[str, str]:
        machine = self.settings.machine
        return {"node": machine.name, "address": machine.addresses[0], "port": str(self.port), "version": VERSION,
                "now": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())}  # fmt: skip

    def _listen(self) -> None:
        """Open the port. Until the API server is ready only the supervisor answers there."""
        ApiHandler.served = self
        context = server_context(self.pki, ssl.CERT_OPTIONAL)
        bind = self.options.one("bind-address", process.LIFE.bind)
        listen((bind, self.port), ApiHandler, context)

    def rotate_token(self, data: bytes) -> Reply:
        """PUT /v1-k3s/token."""
        return self.bootstrap.rotate_token(self.api, self.ca_pem, data)

    def check_node_password(self, name: str, password: str) -> tuple[int, str] | None:
        """Check a node's password. None: accepted."""
        if not self.ready:
            return 503, CORE_NOT_READY
        return check_node_password(self.api, name, password)

    @property
    def flannel_backend(self) -> str:
        """Agents are told, too."""
        return flannel_backend(self.options)

    def _agent_config(self) -> Obj:
        defaults = {
            "cluster-domain": "cluster.local",
            "cluster-dns": "10.43.0.10",
            "flannel-backend": self.flannel_backend,
        }
        networks = {"cluster-cidr": ",".join(self.pods), "service-cidr": ",".join(self.services)}
        return networks | {name: self.options.one(name, default) for name, default in defaults.items()}

    def apiservers(self) -> list[str]:
        members = [
            member["client"].removeprefix("https://") for member in self.cluster.members() if not member["learner"]
        ]
        return members or [f"{self.settings.machine.addresses[0]}:{self.port}"]

    def _members(self) -> Obj:
        rows = []
        for m in self.cluster.members():
            row = {"ID": int(m["id"], 16), "name": m["name"], "peerURLs": [m["peer"]], "clientURLs": [m["client"]]}
            rows.append({**row, "isLearner": True} if m["learner"] else row)
        return {"members": rows}

    def problem(self) -> str:
        if not self.ready:
            return API_NOT_READY.message
        if isinstance(self.cluster, Etcd) and not self.cluster.leader:
            return "[-]etcd failed: reason withheld\nreadyz check failed"
        return ""
