"""A jump host is checked before anything is changed, and `doctor` tells of it."""

from __future__ import annotations

import pytest

from bootstrap.commands.reports.doctor import diagnose
from bootstrap.commands.verbs.scale import Scale
from bootstrap.commands.verbs.up import Up
from bootstrap.errors import GuestSetupError
from bootstrap.model.ids import PoolName
from bootstrap.planning.checks.doctor import Check, Verdict
from tests.fakes.specs import cluster
from tests.fakes.world import World
from tests.unit.commands.test_doctor import PINNED, built

REFUSED = GuestSetupError(
    "the jump host me@bastion refuses to forward connections to 192.0.2.10:22",
    details="open failed",
    resolution="in sshd_config of bastion: AllowTcpForwarding has to be yes or local",
)


def checks(world: World) -> dict[str, Check]:
    return {check.name: check for check in diagnose(cluster(servers=3, agents=1), PINNED, world.ports).checks}


@pytest.mark.parametrize("verb", [Up(), Scale(counts={PoolName("workers"): 3})], ids=["up", "scale"])
def test_commands_that_change_machines_end_before_they_touch_any(verb: Up | Scale) -> None:
    world = built()
    world.jump, world.jump_problem = "me@bastion", REFUSED
    with pytest.raises(GuestSetupError, match="the jump host me@bastion refuses to forward"):
        verb.plan(cluster(servers=3, agents=1), world.ports)
    assert world.journal == []


def test_doctor_has_no_such_check_without_a_jump_host() -> None:
    assert "jump" not in checks(World())


def test_doctor_says_that_it_forwards() -> None:
    world = built()
    world.jump = "me@bastion"
    found = checks(world)
    assert (found["jump"].verdict, found["jump"].says) == (Verdict.OK, "me@bastion forwards connections to machines")
    assert found["machines"].verdict is Verdict.OK


def test_doctor_names_the_jump_host_as_the_cause_of_what_it_cannot_look_at() -> None:
    world = built()
    world.jump, world.jump_problem = "me@bastion", REFUSED
    found = checks(world)
    assert found["jump"].verdict is Verdict.FAILED
    assert "refuses to forward" in found["jump"].says
    assert "AllowTcpForwarding" in found["jump"].remedy
    skipped = [name for name, check in found.items() if "needs jump, which failed" in check.says]
    assert skipped == ["cluster", "machines", "logins", "api-certificate", "etcd-disk"]
