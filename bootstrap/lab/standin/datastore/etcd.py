"""The datastore of several servers."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable

from .. import process
from ..connections.pki import Pki
from ..failures import ApiError
from ..logs import die, log
from ..process import spawn
from ..shapes import Change, Edit, Obj, Reply
from .peers import PEER_DEAD_AFTER_S, Peers
from .store import Store, number

QUORUM_LOST_EXIT_S = 2.0  # with the election timeout: the process exits within 5 s, as observed on k3s
ELECTION_S = 7.0
"""How long a request waits for a leader (etcd: EtcdServer.requestTimeout, 5 s and two election timeouts)."""
LEARNER_S = 1.5  # how long a member stays a learner, so that two simultaneous joins collide
LEARNER_EVICT_S = 300.0
LEARNERS = "etcdserver: too many learner members in cluster"


class Etcd:
    """The datastore of several servers. A stand-in for embedded etcd, not a Raft.

    Each member has all data. The leader takes the writes; a majority must confirm each of them. The leader is the
    member that already leads, else the living voter with the most recent data, lowest id first.
    """

    kind = "etcd"

    def __init__(self, *, store: Store, member: str, pki: Pki, give_up_s: float) -> None:
        self.store, self.id, self.give_up_s = store, member, give_up_s
        self.lock = threading.RLock()
        self.leader = ""
        self.had_quorum = False
        self.synced = False
        self.serving = False
        self.removed = False
        self.on_removed: Callable[[], None] = lambda: None
        self.peers = Peers(store=store, member=member, pki=pki, on_removed=self._leave)
        self._has: dict[str, tuple[int, int]] = {}  # the last known revision and term of each peer
        self._quorum_at = time.monotonic()
        self._learner_since: dict[str, float] = {}
        self._votes: dict[int, str] = {}  # who got this member's vote, by term

    @property
    def is_leader(self) -> bool:
        return self.leader == self.id

    def members(self) -> list[Obj]:
        return self.store.all("_members")

    def start(self) -> None:
        spawn(self._run)

    def has_living(self, machine: str) -> bool:
        """Whether a member of this machine answers now."""
        return any(m["machine"] == machine and self.peers.answers(m["id"]) for m in self.members())

    def status(self) -> Obj:
        return {"id": self.id, "term": self.store.term, "rev": self.store.rev, "leads": self.is_leader}

    # the leader's side

    def commit(self, edits: list[Edit]) -> None:
        """Send to the living members, and apply here once a majority has confirmed. The caller holds the lock."""
        store = self.store
        changes = number(edits, store.rev)
        body = {"term": store.term, "before": store.rev, "rev": store.rev + len(changes), "changes": changes}
        voters = {m["id"] for m in self.members() if not m["learner"]}
        confirmed = {self.id}
        for peer in self.peers.living() - {self.id}:
            if self.peers.post(peer, "/append", body) == 200:
                confirmed.add(peer)
                self._has[peer] = (store.rev + len(changes), store.term)
            else:
                self._has.pop(peer, None)
        if len(confirmed & voters) * 2 <= len(voters):
            raise ApiError(500, "InternalError", "etcdserver: request timed out")
        store.put(changes, store.rev + len(changes), store.term)
        if not store.get("_members", "", self.id):
            self.leader = ""  # it has just removed itself

    def member_add(self, body: Obj) -> Reply:
        """Add a learner; refused in etcd's words."""
        members = self.members()
        if any(m["id"] == body["id"] for m in members):
            return 200, {"members": members}
        if any(m["learner"] for m in members):
            raise ApiError(500, "InternalError", LEARNERS)
        if not all(self.peers.answers(m["id"]) for m in members):
            raise ApiError(500, "InternalError", "etcdserver: unhealthy cluster")
        self.commit([("_members", "", body["id"], {**body, "learner": True})])
        return 200, {"members": self.members()}

    def member_removal(self, machine: str) -> list[Edit]:
        """The edits that remove a machine's member; none for the only voter."""
        members = self.members()
        others = [m for m in members if m["machine"] != machine and not m["learner"]]
        return [("_members", "", m["id"], None) for m in members if m["machine"] == machine] if others else []

    def _lead(self) -> None:
        """Update members that lag, and promote learners."""
        for member in self.members():
            peer = member["id"]
            at, status = self.peers.seen.get(peer, (0.0, {}))
            living = time.monotonic() - at < PEER_DEAD_AFTER_S
            with self.lock:
                now = (self.store.rev, self.store.term)
                current = peer == self.id or now in (self._has.get(peer), (status.get("rev"), status.get("term")))
                if living and not current and self.peers.post(peer, "/snapshot", self.store.snapshot()) == 200:
                    self._has[peer], current = now, True
            if member["learner"]:
                self._promote_or_evict(member, current=living and current)

    def _promote_or_evict(self, member: Obj, *, current: bool) -> None:
        age = time.monotonic() - self._learner_since.setdefault(member["id"], time.monotonic())
        if current and age > LEARNER_S:
            value = {**member, "learner": False}
            log("info", f"Promoted learner member {member['name']} of the etcd cluster")
        elif age > LEARNER_EVICT_S:
            value = None
            log("warning", f"Removed learner member {member['name']} of the etcd cluster: it made no progress")
        else:
            return
        with self.lock:
            self.commit([("_members", "", member["id"], value)])
        self._learner_since.pop(member["id"], None)

    # the others' side

    def append(self, body: Obj) -> int:
        with self.lock:
            if body["term"] < self.store.term or body["before"] != self.store.rev:
                return 409
            changes: list[Change] = [(p, ns, n, obj, rev) for p, ns, n, obj, rev in body["changes"]]
            self.store.put(changes, body["rev"], body["term"])
            return 200

    def take_snapshot(self, body: Obj) -> int:
        with self.lock:
            if body["term"] < self.store.term:
                return 409
            self.store.load(body)
            self.synced = True
            return 200

    def vote(self, body: Obj) -> int:
        """Vote for a candidate: one in each term, none while a leader answers, none that lacks data of this member."""
        with self.lock:
            candidate, term = body["id"], int(body["term"])
            living = self.peers.living() - {candidate}
            led = self.is_leader or leading({p: s for p, s in self.peers.statuses().items() if p in living})
            lacks = (self.store.term, self.store.rev) > (body["had"], body["rev"])
            if led or lacks or term <= self.store.term or self._votes.setdefault(term, candidate) != candidate:
                return 409
            return 200

    def forward(self, op: Obj) -> Reply:
        """Have the leader do a write. During an election the write waits for its end, as etcd's requests do."""
        deadline = time.monotonic() + ELECTION_S
        while (link := self.peers.link(self.leader) if self.leader else None) is None:
            if time.monotonic() < deadline:
                process.LIFE.pause(0.05)
                continue
            raise ApiError(500, "InternalError", "etcdserver: no leader")
        try:
            status, raw = link.request("POST", "/write", json.dumps(op).encode())
        except (OSError, http.client.HTTPException) as error:
            raise ApiError(500, "InternalError", "etcdserver: request timed out") from error
        return status, json.loads(raw)

    # both

    def _run(self) -> None:
        while True:
            try:
                self._tick()
            except ApiError as error:
                log("warning", error.message)
            process.LIFE.pause(0.25)

    def _tick(self) -> None:
        members = self.members()
        self.peers.watch(members)
        is_member = any(m["id"] == self.id for m in members)
        if self.had_quorum and not is_member:
            self._leave()
        if self.removed:
            self.leader = next(iter(leading(self.peers.statuses())), "")
        elif is_member:
            self._take_part({m["id"] for m in members if not m["learner"]})

    def _leave(self) -> None:
        """It is no longer a member. The process stays up and forwards requests to the others."""
        if not self.removed:
            self.removed = True
            self.on_removed()

    def _take_part(self, voters: set[str]) -> None:
        """Elect a leader while a majority of the voters lives; the process exits after a long time without one."""
        living = self.peers.living() & voters
        if len(living) * 2 > len(voters):
            self._quorum_at, self.had_quorum = time.monotonic(), True
            self._elect(living, voters)
        else:
            self.leader = ""
            if self.had_quorum and time.monotonic() - self._quorum_at > self.give_up_s:
                die("leader election lost for k3s-etcd: etcdserver: no leader")
        if self.is_leader:
            self._lead()

    def _elect(self, living: set[str], voters: set[str]) -> None:
        others = {peer: status for peer, status in self.peers.statuses().items() if peer in living}
        claims = leading(others)
        if self.is_leader:
            rivals = [peer for peer, s in claims.items() if (s["term"], self.id) > (self.store.term, peer)]
            self.leader = "" if rivals else self.id
        elif claims:
            self.leader = max(claims, key=lambda peer: int(claims[peer]["term"]))
            ahead = claims[self.leader]
            self.synced = self.synced or (ahead["rev"], ahead["term"]) == (self.store.rev, self.store.term)
        else:
            self.leader = ""
            if self.id in living:
                self._stand(others, voters)

    def _stand(self, others: dict[str, Obj], voters: set[str]) -> None:
        """Lead if this member comes first among the living, and a majority votes for it.

        What it knows of the others is a second old: without votes two would lead in one term, and a write that one of
        them has committed would be lost.
        """
        candidates = {**others, self.id: self.status()}
        first = min(candidates, key=lambda peer: (-candidates[peer]["term"], -candidates[peer]["rev"], peer))
        if first != self.id:
            return
        with self.lock:
            term = max(*(int(status["term"]) for status in candidates.values()), *self._votes, 0) + 1
            self._votes[term] = self.id
            body = {"id": self.id, "term": term, "had": self.store.term, "rev": self.store.rev}
        votes = {self.id} | {peer for peer in others if self.peers.post(peer, "/vote", body) == 200}
        with self.lock:
            if len(votes & voters) * 2 <= len(voters) or self.store.term >= term:
                return
            self.store.put([], self.store.rev, term)
            self.leader, self.synced = self.id, True
        log("info", f"{self.id} became leader at term {term}")


def leading(statuses: dict[str, Obj]) -> dict[str, Obj]:
    """The members that say they lead."""
    return {peer: status for peer, status in statuses.items() if status["leads"]}
