"""Delays: bounds, scale, and draws that depend on nothing but the seed."""

from __future__ import annotations

import re

import pytest

from bootstrap.lab.delays import SPANS, Delays, parse_delays
from bootstrap.lab.options import LabOptions


def test_each_default_has_bounds_and_a_source() -> None:
    for name, span in SPANS.items():
        assert 0 <= span.low_s <= span.high_s, name
        assert re.search(r"seen|estimated|Fabric|paramiko|the same", span.source), name


def test_changes_to_the_defaults() -> None:
    bounds = parse_delays("agent=3, join=1..2")
    assert (bounds["agent"], bounds["join"]) == ((3.0, 3.0), (1.0, 2.0))
    assert bounds["clone"] == (SPANS["clone"].low_s, SPANS["clone"].high_s)
    assert set(parse_delays("none").values()) == {(0.0, 0.0)}


@pytest.mark.parametrize("text", ["agent", "agent=x", "agent=1..", "nope=1", "agent=-1"])
def test_what_is_no_delay_is_named(text: str) -> None:
    problems = LabOptions(delays=text).problems()
    assert len(problems) == 1
    assert text.partition("=")[0] in problems[0]


def test_the_same_seed_gives_the_same_delays_in_any_order() -> None:
    one, other = Delays(seed=7), Delays(seed=7)
    first = {vmid: [one.lab_s("agent", vmid) for _ in range(3)] for vmid in (201, 202)}
    second: dict[int, list[float]] = {201: [], 202: []}
    for _ in range(3):
        for vmid in (202, 201):
            other.lab_s("clone", vmid)
            second[vmid].append(other.lab_s("agent", vmid))
    assert first == second
    assert Delays(seed=8).lab_s("agent", 201) != first[201][0]
    assert len({*first[201], *first[202]}) == 6


def test_draws_keep_to_their_bounds_and_scale() -> None:
    delays = Delays(seed=1, scale=0.1)
    drawn = [delays.lab_s("agent", vmid) for vmid in range(500)]
    assert SPANS["agent"].low_s <= min(drawn) < max(drawn) <= SPANS["agent"].high_s
    assert Delays("agent=4", scale=0.5).real_s("agent", 201) == 2.0
    assert Delays(scale=0.0).real_s("agent", 201) == 0.0
