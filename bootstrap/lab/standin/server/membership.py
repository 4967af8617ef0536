"""A server's own member of etcd."""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
import sqlite3
import ssl
from pathlib import Path

from .. import process
from ..api.api import Api
from ..connections.pki import server_context
from ..datastore.cluster import Cluster
from ..datastore.etcd import QUORUM_LOST_EXIT_S, Etcd
from ..datastore.solo import Solo
from ..datastore.store import Store, number
from ..files import read_or_make, write_file
from ..journal import noise_etcd
from ..journal.noise import make_noise
from ..journal.pace import JOIN_S, take
from ..listeners.peer_handler import PeerHandler
from ..listeners.serving import listen
from ..logs import Fatal, die, log
from ..shapes import Obj
from .bootstrap import Invitation
from .settings import ServerSettings


class Membership:
    """The datastore of a server, and its member."""

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        self.name_file = settings.data / "db/etcd/name"
        self.migrated = False

    def database(self) -> Path:
        lone, member = self.settings.data / "db/state.db", self.settings.data / "db/etcd/member/state.db"
        if not (self.settings.has_etcd or self.settings.joining or self.settings.options.on("cluster-init")):
            return lone
        if lone.exists():
            if self.settings.joining:
                raise Fatal(f"this server has a datastore of its own ({lone}) and cannot join another")
            log("info", "Migrating content from sqlite to etcd")
            self.migrated = True
            member.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with sqlite3.connect(lone) as source:
                source.execute("VACUUM INTO ?", (str(member),))
            source.close()
            for leftover in self.settings.data.glob("db/state.db*"):
                leftover.rename(leftover.with_name(leftover.name + ".migrated"))
        return member

    def cluster(self, store: Store) -> Cluster:
        if self.database().parent.name != "member":
            return Solo(store)
        self.settings.pki.make_leaf("peer", "etcd/peer-ca", "/CN=etcd-peer", "clientAuth")
        give_up_s = self.settings.options.argument(
            "kube-controller-manager-arg", "leader-elect-renew-deadline", QUORUM_LOST_EXIT_S
        )
        return Etcd(store=store, member=self.name_and_id()[1], pki=self.settings.pki, give_up_s=give_up_s)

    def name_and_id(self) -> tuple[str, str]:
        """Name and id of this member of etcd; made on first use."""
        name = read_or_make(self.name_file, lambda: f"{self.settings.machine.name}-{secrets.token_hex(4)}")
        return name, hashlib.sha256(name.encode()).hexdigest()[:16]

    def member(self) -> Obj:
        name, member_id = self.name_and_id()
        address = self.settings.machine.addresses[0]
        return {"id": member_id, "name": name, "machine": self.settings.machine.name, "learner": False,
                "peer": f"https://{address}:2380", "client": f"https://{address}:{self.settings.port}"}  # fmt: skip

    def start(self, etcd: Etcd, api: Api, invitation: Invitation | None) -> None:
        """Open the peer port, join, and wait until this member may serve."""
        address = self.settings.machine.addresses[0]
        me = self.member()
        etcd.on_removed = lambda: self._removed(etcd)
        PeerHandler.etcd, PeerHandler.api = etcd, api
        listen((address, 2380), PeerHandler, server_context(self.settings.pki, ssl.CERT_REQUIRED, "etcd/peer-ca"))
        if invitation:
            self._join(etcd, me, invitation)
        elif not etcd.members():
            if self.settings.join_url:
                raise Fatal("this etcd member knows no other member; remove server/db to join again")
            etcd.store.put(number([("_members", "", etcd.id, me)], etcd.store.rev), etcd.store.rev + 1, 0)
        self._make_noise(etcd, noise_etcd.STARTING)
        for other in etcd.members():
            if other["id"] != etcd.id:
                self._make_noise(etcd, noise_etcd.PEER, peer=other["id"])
        if invitation:
            take(JOIN_S)
            self._make_noise(etcd, noise_etcd.APPLYING)
        etcd.start()
        if not invitation:
            write_file(self.settings.joined, "")
        waited = 0.0
        while not self._may_serve(etcd):
            process.LIFE.pause(0.05)
            waited += 0.05
            if round(waited / 0.05) % 100 == 0:
                log("info", "Waiting for etcd server to become available")
        write_file(self.settings.joined, "")
        etcd.serving = True
        self._make_noise(etcd, noise_etcd.JOINED)

    def _make_noise(self, etcd: Etcd, table: list[str], **facts: str) -> None:
        make_noise(table, {"member": etcd.id, "address": self.settings.machine.addresses[0], **facts})

    @staticmethod
    def _may_serve(etcd: Etcd) -> bool:
        me = etcd.store.get("_members", "", etcd.id)
        return bool(me and not me["learner"] and etcd.leader and (etcd.is_leader or etcd.synced))

    def _join(self, etcd: Etcd, me: Obj, invitation: Invitation) -> None:
        _, known = invitation.link.request("GET", "/db/info", None, invitation.headers)
        others = " ".join(f"{m['name']}={m['peerURLs'][0]}" for m in json.loads(known).get("members", []))
        log("info", f"Adding member {me['name']}={me['peer']} to etcd cluster [{others}]")
        data = json.dumps(me).encode()
        status, raw = invitation.link.request("POST", "/v1-k3s/etcd-member", data, invitation.headers)
        if status != 200:
            reason = json.loads(raw).get("message", raw.decode())
            shutil.rmtree(self.settings.data / "db/etcd")  # it never was a member, so the next start joins again
            raise Fatal(
                f"starting kubernetes: preparing server: start managed database: joining etcd cluster: {reason}"
            )
        members = [("_members", "", m["id"], m) for m in json.loads(raw)["members"]]
        etcd.store.load({"rev": 0, "term": 0, "objects": [list(member) for member in members]})

    def _removed(self, etcd: Etcd) -> None:
        write_file(self.settings.data / "db/etcd/tombstone", "")
        text = "this node has been removed from the cluster please restart k3s to rejoin the cluster"
        if not etcd.serving:
            die(text)
        log("info", text)
