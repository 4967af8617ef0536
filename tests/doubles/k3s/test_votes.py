"""The stand-in's etcd elects one leader in a term, and none that lacks what a majority has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bootstrap.lab.standin.connections.pki import Pki
from bootstrap.lab.standin.datastore.etcd import Etcd
from bootstrap.lab.standin.datastore.store import Store


@pytest.fixture
def member(tmp_path: Path) -> Iterator[Etcd]:
    pki = Pki(tmp_path / "tls")
    pki.path("server-ca.crt").parent.mkdir(parents=True, exist_ok=True)
    pki.make_ca("server-ca", "k3s-server-ca")
    pki.make_leaf("peer", "server-ca", "/CN=etcd-peer", "clientAuth,serverAuth")
    store = Store(tmp_path / "db")
    store.put([], 7, 3)
    yield Etcd(store=store, member="b", pki=pki, give_up_s=5)
    store.close()


def asked(candidate: str, *, term: int = 4, had: int = 3, rev: int = 7) -> dict[str, object]:
    return {"id": candidate, "term": term, "had": had, "rev": rev}


def test_one_candidate_gets_the_vote_of_a_term(member: Etcd) -> None:
    assert member.vote(asked("a")) == 200
    assert member.vote(asked("c")) == 409
    assert member.vote(asked("a")) == 200
    assert member.vote(asked("c", term=5)) == 200


def test_a_candidate_that_lacks_a_write_gets_none(member: Etcd) -> None:
    """Its last look at the others was a second ago: a write was lost that a majority had confirmed since."""
    assert member.vote(asked("a", rev=6)) == 409
    assert member.vote(asked("a", had=2, rev=9)) == 409
    assert member.vote(asked("a", term=3)) == 409


def test_nobody_is_elected_beside_a_leader_but_its_own_restarted_self(member: Etcd) -> None:
    leads = {"id": "c", "term": 3, "rev": 7, "leads": True}
    member.peers.seen["c"] = (float("inf"), leads)
    assert member.vote(asked("a")) == 409
    assert member.vote(asked("c")) == 200
