"""Whether somebody else has the addresses that new machines are to get."""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from ipaddress import IPv4Address

from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.observed import Observed
from bootstrap.planning.capacity.address_ranges import candidates
from bootstrap.planning.members.desired_machines import wanted_machines
from bootstrap.planning.view import ClusterView
from bootstrap.ports import Ports

_SPARE = 16
"""Addresses asked besides those needed, so that a few taken ones cost no second round."""
_ROUNDS = 2
"""A round takes as long as one probe, 0.7 s: in all it stays below 1.5 s, however many are taken."""
_AT_ONCE = 256


def with_conflicts(spec: ClusterSpec, ports: Ports, observed: Observed) -> Observed:
    """What was observed, and which addresses of our ranges somebody answers at. Reads only.

    Only what new machines would get is asked.

    Raises:
        PreflightError: A range is too small even if nobody else has any of it.
    """
    machines = wanted_machines(ClusterView(spec, observed))
    asked: set[IPv4Address] = set()
    for _ in range(_ROUNDS):
        # A first round asks spare ones too; a later one only what the first has not covered.
        verb_options = candidates(machines, ClusterView(spec, observed), spare=0)
        if set(verb_options) <= asked:
            break
        fresh = [each for each in candidates(machines, ClusterView(spec, observed), spare=_SPARE) if each not in asked]
        asked.update(fresh)
        observed = replace(observed, taken=observed.taken | _answering(fresh, ports))
    return observed


def _answering(addresses: Collection[IPv4Address], ports: Ports) -> frozenset[IPv4Address]:
    if not addresses:
        return frozenset()
    with ThreadPoolExecutor(max_workers=min(len(addresses), _AT_ONCE), thread_name_prefix="conflicts") as pool:
        answers = pool.map(ports.probes.answers, addresses)
        return frozenset(address for address, there in zip(addresses, answers, strict=True) if there)
