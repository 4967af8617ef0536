"""Reads the token's privileges, and finds those that it lacks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from bootstrap.adapters.proxmox.client.api import Api
from bootstrap.adapters.proxmox.observe.named_things import vnet_zones
from bootstrap.model.access.rights import MissingPrivileges, RightsNeeded
from bootstrap.proxmox.reading import answers
from bootstrap.proxmox.reading.configs import tags
from bootstrap.proxmox.rights import grants, tag_rights

_POOL = r"/pool/[A-Za-z0-9._/-]{1,200}"


def missing(api: Api, rights: RightsNeeded) -> tuple[MissingPrivileges, ...]:
    """What the token lacks: one entry for each path to grant it on, and one for tags that it may not set."""
    held: dict[str, Mapping[str, int]] = {}
    lacking: dict[str, dict[str, None]] = {}

    def look(needs: Iterable[grants.Need]) -> None:
        for need in needs:
            for path in need.paths:
                if path not in held:
                    held[path] = _held(api, path)
            lacking.setdefault(need.say, {}).update(dict.fromkeys(grants.lacking(need, held)))

    look(grants.needs(rights, version=api.version(), zones=_zones(api, rights)))
    if not rights.templates and any("VM.Audit" in names for names in lacking.values()):
        look(grants.blind_needs())
    found = [_lack(api, path, names) for path, names in lacking.items() if names]
    if rights.resource_pool is None:
        found = [_with_pools(api, lack) for lack in found]
    on_tags = _tags(api, rights)
    return (*found, *([on_tags] if on_tags else []))


def _zones(api: Api, rights: RightsNeeded) -> Mapping[str, str]:
    """The zones of SDN vnets; read only where a vnet is among the bridges."""
    bridges = {each.partition("/")[0] for each in grants.bridges_of(rights)}
    return {} if rights.vnets.isdisjoint(bridges) else vnet_zones(api)


def held(api: Api) -> tuple[str, ...]:
    """All privileges that the token holds anywhere, in order. Proxmox VE lists its top paths and those with an ACL."""
    answer = api.read("access/permissions", what="read the token's rights").entries(optional=True)
    return tuple(sorted({name for _, on_path in answer for name, _ in on_path.entries(optional=True)}))


def _held(api: Api, path: str) -> Mapping[str, int]:
    """The privileges on a path. Proxmox VE has resolved propagation, pools, groups and separated privileges in them."""
    answer = api.read("access/permissions", what="read the token's rights", path=path)
    return {name: int(below.flag()) for name, below in answer.at(path).entries(optional=True)}


def _lack(api: Api, path: str, names: Iterable[str]) -> MissingPrivileges:
    wanted = set(names)
    privileges = tuple(name for name in names if not grants.covered(name, wanted - {name}))
    return MissingPrivileges(
        path=path, privileges=privileges, remedy=grants.grant_command(path, privileges, token=api.token)
    )


def _with_pools(api: Api, lack: MissingPrivileges) -> MissingPrivileges:
    """With the alternative, where the token may create VMs in a resource pool that the inventory does not name."""
    if lack.path != "/vms" or "VM.Allocate" not in lack.privileges:
        return lack
    everywhere = api.read("access/permissions", what="read the token's rights").entries(optional=True)
    pools = sorted(
        path.removeprefix("/pool/")
        for path, privileges in everywhere
        if re.fullmatch(_POOL, path, re.ASCII) and not privileges.at("VM.Allocate").absent
    )
    if not pools:
        return lack
    said = f"# or set proxmox.pool to {' or '.join(pools)} in the inventory: there the token may make VMs"
    return replace(lack, remedy=f"{lack.remedy}\n{said}")


def _tags(api: Api, rights: RightsNeeded) -> MissingPrivileges | None:
    """Why the token may not set the cluster's tags, if so."""
    if not rights.tags:
        return None
    on_top = _held(api, "/")
    if tag_rights.PRIVILEGE in on_top:
        return None
    options = api.read("cluster/options", what="read the datacenter's options")
    seen = {tag for template in rights.templates for tag in template.tags}
    if "Sys.Audit" not in on_top:
        listing = api.read("cluster/resources", what="list the VMs", type="vm")
        seen |= {tag for row in answers.rows(listing, lambda row: tags(row.at("tags").text(""))) for tag in row}
    return tag_rights.forbidden_tags(options, wanted=rights.tags, seen=seen, audits="Sys.Audit" in on_top)
