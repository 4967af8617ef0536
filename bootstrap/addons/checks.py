"""Checks of add-ons' values against what is known of the cluster. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from bootstrap.addons.facts import Facts
from bootstrap.addons.finding import Finding
from bootstrap.addons.format import Addon
from bootstrap.addons.forms import AddressRange, parse_range

_Check: TypeAlias = Callable[[Mapping[str, Any], Facts], Iterator[Finding]]


def check_values(addon: Addon, values: Mapping[str, Any], facts: Facts) -> Iterator[Finding]:
    """All that values contradict, each with its path; their forms are right."""
    for key in addon.values:
        if key.form == "address-ranges" and values[key.name] is not None:
            yield from _check_ranges(f"values.{key.name}", values[key.name], facts)
    check = _CHECKS.get(addon.name)
    if check is not None:
        yield from check(values, facts)


def _check_ranges(path: str, texts: Sequence[str], facts: Facts) -> Iterator[Finding]:
    ranges = [found for found in map(parse_range, texts) if found is not None]
    for number, each in enumerate(ranges):
        yield from _check_range(f"{path}[{number}]", each, facts)
        if any(each.overlaps(other.first, other.last) for other in ranges[:number]):
            yield Finding(path=f"{path}[{number}]", message=f"{each} overlaps an earlier range of the list")


def _check_range(path: str, found: AddressRange, facts: Facts) -> Iterator[Finding]:
    for taken in facts.taken:
        if found.overlaps(taken.first, taken.last):
            where = f"{taken.first}" if taken.first == taken.last else f"{taken.first}-{taken.last}"
            hint = f"choose a range without {where}, which DHCP does not hand out"
            yield Finding(path=path, message=f"{found} overlaps {taken.whose}", hint=hint)
    if facts.subnets and not any(found.first in net and found.last in net for net in facts.subnets):
        nets = " and ".join(map(str, facts.subnets))
        hint = "other hosts find service addresses only in the machines' own network"
        yield Finding(path=path, message=f"{found} is outside of {nets}", hint=hint)


_CHECKS: Final[Mapping[str, _Check]] = {}
