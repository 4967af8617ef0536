"""What the token must be allowed, and what it is allowed. Pure; the commands that fix the difference.

Sources: Proxmox VE 8.4 as recorded, and the checks of qemu-server, pve-container, pve-storage and pve-guest-common.
Proxmox VE itself resolves ACLs (propagation, pools, groups, a token's separated privileges): it is asked for each path
that it will check, and no ACL is interpreted here.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from bootstrap.model.access.rights import BuildRights, RightsNeeded
from bootstrap.model.ids import Vmid
from bootstrap.model.observed import PveVersion, TemplateFacts

ROLE = "homelab-k8s"
"""The role our documentation has the user make."""
CLONE_ROLE = "homelab-k8s-clone"
"""On a template that is not to be changed or removed."""
STORAGE_ROLE = "homelab-k8s-storage"
STORAGE_PRIVILEGE = "Datastore.Allocate"
"""To remove ISOs; it lets its holder change the storage's configuration too, so it is granted on one storage alone."""
ROOT_USER = "root@pam"

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
"""For our VMs: clone into, configure, grow, start, stop and destroy."""

TEMPLATE_PRIVILEGES = ("VM.Audit", "VM.Clone")
BUILDER_PRIVILEGES = ("VM.Config.CDROM", "VM.Clone")
"""For our VMs that become templates: our ISO in their drive, and clones of them."""
FILE_WRITE = "VM.GuestAgent.FileWrite"
"""For `adopt` alone, which adds an SSH key: in no role that is printed, and asked for only then."""
AGENT_UNRESTRICTED = "VM.GuestAgent.Unrestricted"
NETWORK_ZONE = "/sdn/zones/localnetwork"
"""Where Proxmox VE keeps the rights to plain bridges; those to a vnet are below its own zone."""

ANY_VM = Vmid(999_999_999)
"""Stands for a VM that no ACL names: the highest vmid there is."""
_ACCESS_NETWORK_SINCE = (8, 2)
"""libpve-access-control 8.1.2 added Sys.AccessNetwork."""
_CPU_MAPPINGS_SINCE = (9, 2)
"""qemu-server 9.1.13 checks Mapping.Use on the custom CPU model; before it was Sys.Audit on /nodes."""

Held = Mapping[str, Mapping[str, int]]
"""`GET /access/permissions`: path to privilege to whether it holds below the path too."""


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Privileges that are missing on a path."""

    path: str
    privileges: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Need:
    """Privileges needed on a path.

    Attributes:
        path: Where Proxmox VE checks them.
        say: Path to name in a report; where a grant is best made.
        also: Paths on which each of the privileges counts as well.
        instead: Other privileges on another path that do for all of these.
    """

    path: str
    privileges: tuple[str, ...]
    say: str
    also: tuple[str, ...] = ()
    instead: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def paths(self) -> tuple[str, ...]:
        """All paths that what is held has to be known of."""
        return (self.path, *self.also, *(path for path, _ in self.instead))


def agent_privileges(version: PveVersion, *, reads_files: bool, writes_files: bool = False) -> tuple[str, ...]:
    """What the guest-agent calls need: Proxmox VE 9 dropped VM.Monitor for finer ones."""
    if version.major < 9:
        return ("VM.Monitor",)
    read = ("VM.GuestAgent.FileRead",) if reads_files or writes_files else ()
    return ("VM.GuestAgent.Audit", *read, *((FILE_WRITE,) if writes_files else ()))


def bridges_of(rights: RightsNeeded) -> tuple[str, ...]:
    """All bridges and vnets that machines and templates are put on, with the VLAN tag where there is one."""
    of_templates = {template.bridge for template in rights.templates if template.bridge is not None}
    return tuple(sorted({*rights.bridges, *of_templates, *(rights.builds.bridges if rights.builds else ())}))


def needs(rights: RightsNeeded, *, version: PveVersion, zones: Mapping[str, str] | None = None) -> tuple[Need, ...]:
    """All that `up` and `down` need, the paths in a fixed order.

    Args:
        rights: What for.
        version: Decides what the guest-agent calls, downloads and custom CPU models need.
        zones: The zone of each SDN vnet that the token may read the configuration of.
    """
    templates = rights.templates
    found = [*_guest_needs(rights, version)]
    found += [
        Need(path=f"/vms/{template.vmid}", say=f"/vms/{template.vmid}", privileges=TEMPLATE_PRIVILEGES)
        for template in templates
    ]
    on_template = {storage for template in templates for storage in _disk_storages(template)}
    found += [_on_storage(storage, "Datastore.AllocateSpace") for storage in sorted({*rights.storages, *on_template})]
    # Either right on the storage lets a token make containers of its templates (PVE::Storage: check_volume_access).
    found += [_on_storage(storage, "Datastore.Audit") for storage in rights.ostemplate_storages]
    found += _network_needs(rights, zones or {})
    found += _mapping_needs(rights, version)
    if rights.builds is not None:
        found += _build_needs(rights.builds, version)
    pve_nodes = sorted({template.pve_node for template in templates})
    found += [Need(path=f"/nodes/{name}", say="/nodes", privileges=("Sys.Audit",)) for name in pve_nodes]
    return tuple(found)


def _on_storage(storage: str, *privileges: str) -> Need:
    return Need(path=f"/storage/{storage}", say=f"/storage/{storage}", privileges=privileges)


def _disk_storages(template: TemplateFacts) -> frozenset[str]:
    """Where a linked clone's disks are: EFI variables and TPM state count, the cloud-init drive and CD-ROMs do not.

    (PVE::API2::Qemu: check_storage_access_clone.)
    """
    return frozenset(filter(None, (*template.disk_storages, template.storage)))


def _guest_needs(rights: RightsNeeded, version: PveVersion) -> Iterator[Need]:
    """For our VMs and containers.

    What is yet to be made may have its rights on its pool or on its vmid; an existing one has its pool's if it is in
    it, and Proxmox VE counts that when it is asked for the vmid (PVE::RPCEnvironment: check_vm_perm, permissions).
    """
    pool = rights.resource_pool
    privileges = GUEST_PRIVILEGES + agent_privileges(
        version, reads_files=rights.reads_guest_files, writes_files=rights.writes_guest_files
    )
    if rights.builds is not None:
        privileges += BUILDER_PRIVILEGES
    say = f"/pool/{pool}" if pool else "/vms"
    need = Need(path=say, say=say, privileges=privileges)
    in_pool = (f"/pool/{pool}",) if pool else ()
    for vmid in rights.vmids or (() if rights.own_vmids else (ANY_VM,)):
        yield replace(need, path=f"/vms/{vmid}", also=in_pool)
    for vmid in rights.own_vmids:
        yield replace(need, path=f"/vms/{vmid}")


def _network_needs(rights: RightsNeeded, zones: Mapping[str, str]) -> Iterator[Need]:
    """SDN.Use on each bridge and vnet; with a VLAN tag, on that tag of it, which a right to the whole bridge covers.

    A vnet is shown to who has SDN.Audit or SDN.Use on it, and its configuration to who has SDN.Audit or SDN.Allocate
    (PVE::Network::SDN::get_local_vnets, PVE::API2::Network::SDN::Vnets): one shown without its zone may be used.
    """
    for each in bridges_of(rights):
        bridge, _, _vlan = each.partition("/")
        if bridge in zones:
            zone = f"/sdn/zones/{zones[bridge]}"
        elif bridge in rights.vnets:
            continue
        else:
            zone = NETWORK_ZONE
        yield Need(path=f"{zone}/{each}", say=zone, privileges=("SDN.Use",))


def _mapping_needs(rights: RightsNeeded, version: PveVersion) -> Iterator[Need]:
    """Mapping.Use on what machines get by resource mapping, of their own or with the template."""
    devices = {f"pci/{name}" for name in rights.mappings}
    models = set(rights.cpu_models)
    by_mapping = (version.major, version.minor) >= _CPU_MAPPINGS_SINCE
    for template in rights.templates:
        devices |= template.mappings
        if template.cpu_model and by_mapping:  # cloning is checked since then, setting the type always was
            models.add(template.cpu_model)
    for each in sorted(devices):
        yield Need(path=f"/mapping/{each}", say=f"/mapping/{each.partition('/')[0]}", privileges=("Mapping.Use",))
    for name in sorted(models):
        if by_mapping:
            yield Need(path=f"/mapping/cpu/{name}", say="/mapping/cpu", privileges=("Mapping.Use",))
        else:
            yield Need(path="/nodes", say="/nodes", privileges=("Sys.Audit",))


def _build_needs(builds: BuildRights, version: PveVersion) -> Iterator[Need]:
    """What making templates takes beside their VMs: images, ISOs, and downloads."""
    for storage in builds.disks:
        yield _on_storage(storage, "Datastore.AllocateSpace")
    for storage in builds.files:
        # To put files there, and to use them (PVE::Storage: check_volume_access).
        yield _on_storage(storage, "Datastore.AllocateTemplate", "Datastore.Audit")
    everywhere = ("Sys.Audit", "Sys.Modify")
    for name in builds.downloads_on:
        if has_access_network(version):
            need = Need(path=f"/nodes/{name}", say="/nodes", privileges=("Sys.AccessNetwork",))
            yield replace(need, instead=(("/", everywhere),))
        else:
            yield Need(path="/", say="/", privileges=everywhere)


def has_access_network(version: PveVersion) -> bool:
    """Whether this Proxmox VE knows the privilege Sys.AccessNetwork."""
    return (version.major, version.minor) >= _ACCESS_NETWORK_SINCE


def build_needs(version: PveVersion) -> tuple[Need, ...]:
    """What making templates takes, on the widest paths; downloads only where a right for them alone exists."""
    needed = (
        Need(path="/vms", say="/vms", privileges=BUILDER_PRIVILEGES),
        Need(path="/storage", say="/storage", privileges=("Datastore.AllocateTemplate",)),
    )
    if not has_access_network(version):
        return needed
    return (*needed, Need(path="/nodes", say="/nodes", privileges=("Sys.AccessNetwork",)))


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

    The entry of the longest path that leads to a path decides, since an ACL on a path replaces what it would inherit.
    """
    if any(not _not_held(privileges, path, held) for path, privileges in need.instead):
        return ()
    missing = need.privileges
    for path in (need.path, *need.also):
        missing = _not_held(missing, path, held)
    return missing


def _not_held(privileges: tuple[str, ...], path: str, held: Held) -> tuple[str, ...]:
    on_the_way = [each for each in held if _leads_to(each, path)]
    if not on_the_way:
        return privileges
    deepest = max(on_the_way, key=len)
    here = {name for name, below in held[deepest].items() if below or deepest == path}
    return tuple(name for name in privileges if name not in here and not covered(name, here))


def covered(name: str, here: Collection[str]) -> bool:
    """Whether another privilege does as well."""
    if name == "Datastore.Audit":
        return any(other in here for other in ("Datastore.AllocateSpace", "Datastore.Allocate"))
    return name.startswith("VM.GuestAgent.") and AGENT_UNRESTRICTED in here


def _leads_to(path: str, target: str) -> bool:
    return path in ("/", target) or target.startswith(path.rstrip("/") + "/")


def parse_refusal(text: str) -> Refusal | None:
    """What a 403 lacks: `Permission check failed (/vms/201, VM.Audit)`, with alternatives joined by `|`.

    A bare `Permission check failed` comes from a clone without VM.Allocate on the new vmid or its pool.
    None where the text says neither (`pool 'x' does not exist`).
    """
    found = re.search(r"Permission check failed \((/\S*), ([\w.|]+)\)", text)
    if found is None:
        bare = re.search(r"Permission check failed\s*$", text)
        return Refusal(path="/vms", privileges=("VM.Allocate",)) if bare else None
    names = tuple(name for name in found[2].split("|") if name != AGENT_UNRESTRICTED)
    # A config call passes with any of the VM.Config rights and is then checked key by key; else one is enough.
    wanted = names if found[2].startswith("VM.Config.") else names[:1]
    return Refusal(path=found[1], privileges=wanted or (AGENT_UNRESTRICTED,))


def likely_paths(path: str, parameters: Mapping[str, str | int]) -> tuple[str, ...]:
    """What a request needs rights on, the likeliest first; for a 403 that says no more than that.

    Args:
        path: Of the request: `nodes/pve1/qemu/9000/clone`.
        parameters: Its parameters.
    """
    found = [f"VM.Allocate on /vms/{parameters[key]}" for key in ("newid", "vmid") if key in parameters]
    vm = re.search(r"^nodes/[^/]+/(?:qemu|lxc)/(\d+)(/clone)?", path)
    if vm:
        found.append(f"{'VM.Clone' if vm[2] else 'a right'} on /vms/{vm[1]}")
    storage = re.search(r"^nodes/[^/]+/storage/([^/]+)", path)
    names = [storage[1]] if storage else []
    names += [str(parameters["storage"])] if "storage" in parameters else []
    found += [f"a right on /storage/{name}" for name in names]
    found += [f"a right on /pool/{parameters['pool']}"] if "pool" in parameters else []
    return tuple(dict.fromkeys(found))


def grant_remedy(refusal: Refusal, *, token: str) -> str:
    """The commands, to be run as root on a Proxmox node, that give a token (and its user) what it lacks."""
    # Machines are many and new ones come: a right on one VM would only move the failure to the next.
    path = re.sub(r"^/vms/\d+$", "/vms", refusal.path)
    command = grant_command(path, refusal.privileges, token=token)
    return f"as root on a Proxmox node: {command} (`pveum acl list` shows the role's name, if it is not {ROLE})"


def grant_command(path: str, privileges: tuple[str, ...], *, token: str) -> str:
    """The `pveum` commands that add privileges to our role and give it to a token and its user on a path.

    They widen the role rather than add one: an ACL on a path replaces what the user would inherit there, so a second
    role with only the missing right would take all others away. `role add` fails where the role is there, which does no
    harm. Datastore.Allocate, with which a storage itself can be changed, has a role of its own and one path.
    """
    user = token.partition("!")[0]
    # root@pam may do everything, and has no ACLs.
    who = f"--tokens '{token}'" if user == ROOT_USER else f"--users {user} --tokens '{token}'"
    roles = ROLE
    commands = f"pveum role add {ROLE} 2>/dev/null; "
    common = [name for name in privileges if name != STORAGE_PRIVILEGE]
    if STORAGE_PRIVILEGE in privileges:
        commands += f"pveum role add {STORAGE_ROLE} --privs {STORAGE_PRIVILEGE} 2>/dev/null; "
        roles = f"{ROLE},{STORAGE_ROLE}"
    if common:
        commands += f'pveum role modify {ROLE} --append 1 --privs "{" ".join(common)}" && '
    return f"{commands}pveum acl modify {path} --roles {roles} {who}"
