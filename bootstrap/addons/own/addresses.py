"""Address ranges of services: free, and in the machines' network. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bootstrap.addons.facts import Facts
from bootstrap.addons.finding import Finding
from bootstrap.addons.forms import AddressRange, parse_range


def check_ranges(path: str, texts: Sequence[str], facts: Facts) -> Iterator[Finding]:
    """All that is wrong with ranges: whose addresses they take, and where they are."""
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


def ranges_of(values: Mapping[str, Any], _facts: Facts) -> dict[str, Any]:
    """The ranges as FIRST-LAST: MetalLB takes no single addresses, and kube-vip one text for all."""
    ranges = [str(parse_range(text)) for text in values["addresses"]]
    return {"ranges": ranges, "ranges_text": ",".join(ranges)}
