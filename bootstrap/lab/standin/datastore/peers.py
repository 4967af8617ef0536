"""The other members of etcd, as one member sees them."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable

from .. import process
from ..connections.link import Link, split_url
from ..connections.pki import Pki, client_context
from ..logs import log
from ..process import spawn
from ..shapes import Obj
from .store import Store

PEER_POLL_S = 1.0
PEER_DEAD_AFTER_S = 3.0


class Peers:
    """Connections to the others, and their last status."""

    def __init__(self, *, store: Store, member: str, pki: Pki, on_removed: Callable[[], None]) -> None:
        self.store, self.id, self._on_removed = store, member, on_removed
        self.seen: dict[str, tuple[float, Obj]] = {}
        pair = (pki.path("peer.crt"), pki.path("peer.key"))
        self._context = client_context(pki.path("server-ca.crt").read_text(), pair)
        self._links: dict[str, Link] = {}
        self._pollers: set[str] = set()

    def watch(self, members: list[Obj]) -> None:
        """Poll each of them every second."""
        for member in members:
            if member["id"] not in self._pollers and member["id"] != self.id:
                self._pollers.add(member["id"])
                spawn(self._poll, member["id"], member["peer"])

    def link(self, peer: str) -> Link | None:
        member = self.store.get("_members", "", peer)
        if peer not in self._links and member:
            self._links[peer] = Link(*split_url(member["peer"]), self._context, 2)
        return self._links.get(peer)

    def post(self, peer: str, path: str, body: Obj) -> int:
        link = self.link(peer)
        if link is None:
            return 0
        try:
            return link.request("POST", path, json.dumps(body).encode())[0]
        except (OSError, http.client.HTTPException):
            return 0

    def answers(self, peer: str) -> bool:
        link = self.link(peer)
        if peer == self.id or link is None:
            return peer == self.id
        try:
            return link.request("GET", "/status", None, {"X-Member": self.id})[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def _poll(self, peer: str, url: str) -> None:
        """Poll one peer every second while it is a member."""
        link = Link(*split_url(url), self._context, 1)
        while self.store.get("_members", "", peer):
            try:
                status, raw = link.request("GET", "/status", None, {"X-Member": self.id})
                if status == 410:
                    self._on_removed()
                self.seen[peer] = (time.monotonic(), json.loads(raw))
            except ConnectionRefusedError:
                self.seen.pop(peer, None)  # nothing listens: dead at once
            except (OSError, http.client.HTTPException) as error:
                if peer in self.living():
                    log("warning", f"etcd peer {peer} did not answer: {error}")
            process.LIFE.pause(PEER_POLL_S)
        self._pollers.discard(peer)
        self.seen.pop(peer, None)

    def statuses(self) -> dict[str, Obj]:
        """The last status of each of the others, by id."""
        return {peer: status for peer, (_, status) in list(self.seen.items())}

    def living(self) -> set[str]:
        """The members that answered lately, by id."""
        now = time.monotonic()
        return {self.id} | {peer for peer, (at, _) in self.seen.items() if now - at < PEER_DEAD_AFTER_S}
