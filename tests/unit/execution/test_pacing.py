"""Whose guest agent is asked when."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bootstrap.execution.guests.guest_agent_pacing import AGAIN_AFTER_S, SCOUTS, AgentPacing
from bootstrap.model.ids import MachineName, PveNodeName

PVE1 = PveNodeName("pve1")


def names(count: int) -> list[MachineName]:
    return [MachineName(f"m{number}") for number in range(count)]


def paced(count: int, *, first_ask_s: float = 2.0) -> AgentPacing:
    pacing = AgentPacing(first_ask_s=first_ask_s)
    for number, name in enumerate(names(count)):
        pacing.started(name, PVE1, at_s=number * 0.1)
    return pacing


def asked(pacing: AgentPacing, count: int, now_s: float) -> list[str]:
    return [name for name in names(count) if not pacing.why_not_yet(name, PVE1, now_s=now_s)]


def test_a_machine_that_ran_before_is_asked_at_once() -> None:
    assert AgentPacing(first_ask_s=2.0).why_not_yet(MachineName("old"), PVE1, now_s=0.0) == ""


def test_nobody_is_asked_right_after_power_on() -> None:
    assert asked(paced(4), 4, 1.9) == []


def test_while_nobody_has_answered_one_of_the_first_is_asked_at_a_time() -> None:
    pacing = paced(10)
    for turn in range(7):
        assert asked(pacing, 10, 20.0) == [f"m{turn % SCOUTS}"]
        pacing.silent(names(10)[turn % SCOUTS], PVE1, now_s=20.0)


def test_the_first_boot_tells_when_the_others_are_worth_asking() -> None:
    pacing = paced(10)
    pacing.answered(MachineName("m0"), PVE1, asked_s=10.0, now_s=12.0)
    assert asked(pacing, 10, 12.5) == ["m0"]
    assert asked(pacing, 10, 14.5) == names(10)


def test_a_slower_boot_makes_us_more_patient_but_not_endlessly() -> None:
    pacing = paced(10)
    pacing.answered(MachineName("m0"), PVE1, asked_s=9.0, now_s=10.0)
    pacing.answered(MachineName("m1"), PVE1, asked_s=13.0, now_s=15.1)
    assert asked(pacing, 10, 15.5) == ["m0", "m1"]
    pacing.answered(MachineName("m2"), PVE1, asked_s=20.0, now_s=900.2)
    assert asked(pacing, 10, 40.0) == names(10)


def test_one_that_is_silent_when_it_should_be_up_lets_others_pass() -> None:
    pacing = paced(10)
    pacing.answered(MachineName("m0"), PVE1, asked_s=9.0, now_s=10.0)
    pacing.silent(MachineName("m1"), PVE1, now_s=20.0)
    assert "m1" not in asked(pacing, 10, 20.0 + AGAIN_AFTER_S - 0.1)
    assert "m1" in asked(pacing, 10, 20.0 + AGAIN_AFTER_S)


def test_proxmox_nodes_do_not_wait_for_each_other() -> None:
    pacing = paced(3)
    other = PveNodeName("pve2")
    pacing.started(MachineName("there"), other, at_s=0.0)
    assert pacing.why_not_yet(MachineName("there"), other, now_s=5.0) == ""


@given(st.integers(1, 12), st.sets(st.integers(0, 11)), st.lists(st.integers(0, 11), max_size=30))
def test_nobody_is_forgotten(count: int, gone: set[int], silences: list[int]) -> None:
    """Anyone who leaves or stays silent: some machine may always be asked before long."""
    pacing = paced(count)
    everyone = names(count)
    for number in silences:
        if number < count:
            pacing.silent(everyone[number], PVE1, now_s=100.0)
    for number in gone:
        if number < count:
            pacing.left(everyone[number], PVE1)
    waiting = [name for number, name in enumerate(everyone) if number not in gone]
    if waiting:
        assert [name for name in waiting if not pacing.why_not_yet(name, PVE1, now_s=200.0)]
