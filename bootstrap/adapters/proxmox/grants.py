"""What the token must be allowed, what it is allowed, and the command that mends the difference. Pure.

Sources: Proxmox VE 8.4 as recorded, and the permission rules of 9's API schema. A token has no more rights than
its user, so every grant names both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bootstrap.model.observed import PveVersion
from bootstrap.ports import BuildRights, RightsNeeded

ROLE = "homelab-k8s"
"""The role our documentation has the user make."""

GUEST_PRIVILEGES = (
    "VM.Allocate",
    "VM.Audit",
    "VM.Config.CPU",
    "VM.Config.Cloudinit",
    "VM.Config.Disk",
    "VM.Config.HWType",
    "VM.Config.Memory",
    "VM.Config.Network",
    "VM.Config.Options",
    "VM.PowerMgmt",
)
"""For VMs of ours: clone into, configure, grow, start, stop and destroy."""

TEMPLATE_PRIVILEGES = ("VM.Audit", "VM.Clone")
BUILDER_PRIVILEGES = ("VM.Config.CDROM", "VM.Clone")
"""For VMs of ours that become templates: our ISO in their drive, and clones of them."""
AGENT_UNRESTRICTED = "VM.GuestAgent.Unrestricted"
NETWORK_ZONE = "/sdn/zones/localnetwork"
"""Where Proxmox VE keeps the rights to plain bridges; those to a vnet are below its own zone."""

Held = Mapping[str, Mapping[str, int]]
"""`GET /access/permissions`: path to privilege to whether it holds below the path too."""


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Privileges that lack on a path."""

    path: str
    privileges: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Need:
    """Privileges needed on a path.

    Attributes:
        path: Where Proxmox VE checks them.
        say: Path to name in a report; where a grant is best made.
    """

    path: str
    privileges: tuple[str, ...]
    say: str


def agent_privileges(version: PveVersion, *, reads_files: bool) -> tuple[str, ...]:
    """What the guest-agent calls need: Proxmox VE 9 dropped VM.Monitor for finer ones."""
    if version.major < 9:
        return ("VM.Monitor",)
    return ("VM.GuestAgent.Audit", "VM.GuestAgent.FileRead") if reads_files else ("VM.GuestAgent.Audit",)


def bridges_of(rights: RightsNeeded) -> tuple[str, ...]:
    """All bridges and vnets that machines and templates are put on."""
    of_templates = {template.bridge for template in rights.templates if template.bridge is not None}
    return tuple(sorted({*rights.bridges, *of_templates, *(rights.builds.bridges if rights.builds else ())}))


def needs(rights: RightsNeeded, *, version: PveVersion, zones: Mapping[str, str] | None = None) -> tuple[Need, ...]:
    """All that `up` and `down` need, the paths in a fixed order.

    A linked clone's disk is on the template's storage, so that counts as well as `rights.storages`.

    Args:
        rights: What for.
        version: Decides what the guest-agent calls need.
        zones: The zone of each SDN vnet that the token may read the configuration of.
    """
    templates = rights.templates
    guests = f"/pool/{rights.resource_pool}" if rights.resource_pool else "/vms"
    for_agent = agent_privileges(version, reads_files=rights.reads_guest_files)
    found = [Need(path=guests, say=guests, privileges=GUEST_PRIVILEGES + for_agent)]
    found += [
        Need(path=f"/vms/{template.vmid}", say=f"/vms/{template.vmid}", privileges=TEMPLATE_PRIVILEGES)
        for template in templates
    ]
    on_template = {template.storage for template in templates if template.storage is not None}
    found += [
        Need(path=f"/storage/{storage}", say=f"/storage/{storage}", privileges=("Datastore.AllocateSpace",))
        for storage in sorted({*rights.storages, *on_template})
    ]
    found += [
        # Either right on the storage lets a token make containers of its templates (PVE::Storage: check_volume_access).
        Need(path=f"/storage/{storage}", say=f"/storage/{storage}", privileges=("Datastore.Audit",))
        for storage in rights.ostemplate_storages
    ]
    found += _network_needs(rights, zones or {})
    found += [
        Need(path=f"/mapping/pci/{name}", say="/mapping/pci", privileges=("Mapping.Use",)) for name in rights.mappings
    ]
    if rights.builds is not None:
        found += _build_needs(rights.builds, guests=guests)
    pve_nodes = sorted({template.pve_node for template in templates})
    found += [Need(path=f"/nodes/{name}", say="/nodes", privileges=("Sys.Audit",)) for name in pve_nodes]
    return tuple(found)


def _network_needs(rights: RightsNeeded, zones: Mapping[str, str]) -> Iterator[Need]:
    """SDN.Use on each bridge and vnet.

    A vnet is shown to who has SDN.Audit or SDN.Use on it, and its configuration to who has SDN.Audit or SDN.Allocate
    (PVE::Network::SDN::get_local_vnets, PVE::API2::Network::SDN::Vnets): one shown without its zone may be used.
    """
    for bridge in bridges_of(rights):
        if bridge in zones:
            zone = f"/sdn/zones/{zones[bridge]}"
        elif bridge in rights.vnets:
            continue
        else:
            zone = NETWORK_ZONE
        yield Need(path=f"{zone}/{bridge}", say=zone, privileges=("SDN.Use",))


def _build_needs(builds: BuildRights, *, guests: str) -> Iterator[Need]:
    """What making templates takes beside it: images, ISOs, a CD-ROM drive, and clones of what is yet to be.

    Sys.AccessNetwork lets Proxmox VE download into import content (8.4 and newer; older ones cannot).
    """
    yield Need(path=guests, say=guests, privileges=BUILDER_PRIVILEGES)
    for storage in builds.disks:
        yield Need(path=f"/storage/{storage}", say=f"/storage/{storage}", privileges=("Datastore.AllocateSpace",))
    for storage in builds.files:
        yield Need(path=f"/storage/{storage}", say=f"/storage/{storage}", privileges=("Datastore.AllocateTemplate",))
    for name in builds.downloads_on:
        yield Need(path=f"/nodes/{name}", say="/nodes", privileges=("Sys.AccessNetwork",))


def build_needs() -> tuple[Need, ...]:
    """What making templates takes, on the widest paths."""
    return (
        Need(path="/vms", say="/vms", privileges=BUILDER_PRIVILEGES),
        Need(path="/storage", say="/storage", privileges=("Datastore.AllocateTemplate",)),
        Need(path="/nodes", say="/nodes", privileges=("Sys.AccessNetwork",)),
    )


def blind_needs() -> tuple[Need, ...]:
    """What else is needed, on the widest paths, where a token sees so little that no template can be named."""
    return (
        Need(path="/vms", say="/vms", privileges=("VM.Clone",)),
        Need(path="/storage", say="/storage", privileges=("Datastore.AllocateSpace",)),
        Need(path=NETWORK_ZONE, say=NETWORK_ZONE, privileges=("SDN.Use",)),
        Need(path="/nodes", say="/nodes", privileges=("Sys.Audit",)),
    )


def lacking(need: Need, held: Held) -> tuple[str, ...]:
    """Which privileges of `need` are not held.

    The entry of the longest path that leads to `need.path` decides, since an ACL on a path replaces what it
    would inherit.
    """
    on_the_way = [path for path in held if _leads_to(path, need.path)]
    if not on_the_way:
        return need.privileges
    deepest = max(on_the_way, key=len)
    here = {name for name, below in held[deepest].items() if below or deepest == need.path}
    return tuple(name for name in need.privileges if name not in here and not _covered(name, here))


def _covered(name: str, here: set[str]) -> bool:
    """Whether another privilege does as well."""
    if name == "Datastore.Audit":
        return "Datastore.AllocateSpace" in here
    return name.startswith("VM.GuestAgent.") and AGENT_UNRESTRICTED in here


def _leads_to(path: str, target: str) -> bool:
    return path in ("/", target) or target.startswith(path.rstrip("/") + "/")


def parse_refusal(text: str) -> Refusal | None:
    """What a 403 lacks: `Permission check failed (/vms/201, VM.Audit)`, with alternatives joined by `|`.

    A bare `Permission check failed` comes from a clone without VM.Allocate on the new vmid or its pool.
    None where the text tells neither (`pool 'x' does not exist`).
    """
    found = re.search(r"Permission check failed \((/\S*), ([\w.|]+)\)", text)
    if found is None:
        bare = re.search(r"Permission check failed\s*$", text)
        return Refusal(path="/vms", privileges=("VM.Allocate",)) if bare else None
    names = tuple(name for name in found[2].split("|") if name != AGENT_UNRESTRICTED)
    # A config call passes with any of the VM.Config rights and is then checked key by key; else one is enough.
    wanted = names if found[2].startswith("VM.Config.") else names[:1]
    return Refusal(path=found[1], privileges=wanted or (AGENT_UNRESTRICTED,))


def mend_grant(refusal: Refusal, *, token: str) -> str:
    """The commands, to be run as root on a Proxmox node, that give a token (and its user) what it lacks.

    They widen the role rather than add one: an ACL on a path replaces what the user would inherit there, so a
    second role with only the missing right would take all others away.
    """
    # Machines are many and new ones come: a right on one VM would only move the failure to the next.
    path = re.sub(r"^/vms/\d+$", "/vms", refusal.path)
    command = grant_command(path, refusal.privileges, token=token)
    return f"as root on a Proxmox node: {command} (`pveum acl list` shows the role's name, if it is not {ROLE})"


def grant_command(path: str, privileges: tuple[str, ...], *, token: str) -> str:
    """The `pveum` commands that add privileges to our role and give it to a token and its user on a path."""
    user = token.partition("!")[0]
    return (
        f'pveum role modify {ROLE} --append 1 --privs "{" ".join(privileges)}" && '
        f"pveum acl modify {path} --roles {ROLE} --users {user} --tokens '{token}'"
    )
