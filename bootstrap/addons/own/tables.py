"""Which add-on has checks and values of its own. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from bootstrap.addons.facts import Facts
from bootstrap.addons.finding import Finding
from bootstrap.addons.format import Addon
from bootstrap.addons.own.addresses import check_ranges, ranges_of
from bootstrap.addons.own.ingress import check_traefik, traefik_names
from bootstrap.addons.own.proxmox import api_names, check_ccm, check_csi, csi_names
from bootstrap.addons.own.storage import longhorn_names, nfs_names

_Check: TypeAlias = Callable[[Mapping[str, Any], Facts], Iterator[Finding]]
_Names: TypeAlias = Callable[[Mapping[str, Any], Facts], dict[str, Any]]

_CHECKS: Final[Mapping[str, _Check]] = {
    "proxmox-ccm": check_ccm,
    "proxmox-csi": check_csi,
    "traefik": check_traefik,
}
_NAMES: Final[Mapping[str, _Names]] = {
    "kube-vip": ranges_of,
    "longhorn": longhorn_names,
    "metallb": ranges_of,
    "nfs": nfs_names,
    "proxmox-ccm": api_names,
    "proxmox-csi": csi_names,
    "traefik": traefik_names,
}


def check_values(addon: Addon, values: Mapping[str, Any], facts: Facts) -> Iterator[Finding]:
    """All that values contradict, each with its path; their forms are right."""
    for key in addon.values:
        if key.form == "address-ranges" and values[key.name] is not None:
            yield from check_ranges(f"values.{key.name}", values[key.name], facts)
    check = _CHECKS.get(addon.name)
    if check is not None:
        yield from check(values, facts)


def names_of(addon: Addon, values: Mapping[str, Any], facts: Facts) -> dict[str, Any]:
    """What an add-on's templates use besides its values and the facts."""
    found = _NAMES.get(addon.name)
    return found(values, facts) if found is not None else {}
