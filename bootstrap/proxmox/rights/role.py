"""The role and the token that the tool needs, as commands. Pure; the rights are those of `grants`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bootstrap.model.access.rights import RightsNeeded
from bootstrap.model.ids import Vmid
from bootstrap.model.observed import PveVersion
from bootstrap.proxmox.rights.grants import (
    CLONE_ROLE,
    NETWORK_ZONE,
    ROLE,
    ROOT_USER,
    TEMPLATE_PRIVILEGES,
    Need,
    blind_needs,
    build_needs,
    needs,
)

_NEWEST_MINOR = 99


@dataclass(frozen=True, kw_only=True)
class Narrow:
    """What the token is kept to.

    Attributes:
        pool: Proxmox resource pool of all VMs.
        storages: Storages of disks, images and ISOs; none: all.
        bridge: The machines' bridge; None: all of the zone.
        template: A template that is there; None: they are built in the pool.
    """

    pool: str
    storages: tuple[str, ...] = ()
    bridge: str | None = None
    template: Vmid | None = None


def role_needs(version: PveVersion) -> tuple[Need, ...]:
    """What the tool needs of a version of Proxmox VE, on the widest paths that are wanted for it."""
    return (*needs(RightsNeeded(), version=version), *blind_needs(), *build_needs(version))


def role_commands(
    *, major: int, minor: int | None = None, user: str, token: str, narrow: Narrow | None = None
) -> tuple[str, ...]:
    """The `pveum` commands, a line each, to be run once as root on a Proxmox node; the last one shows the secret.

    One role on each path, rather than one on `/`: a privilege counts only where it is checked, so none of them
    reaches what the tool has no business with.

    Args:
        major: Of Proxmox VE: 9 dropped VM.Monitor for the VM.GuestAgent privileges.
        minor: 8.0 and 8.1 do not know Sys.AccessNetwork; None: the newest.
        user: `user@realm`. Of root@pam's token the privileges are separated, since root@pam itself may do everything.
        token: The token's name.
        narrow: Keeps the token to a resource pool.
    """
    minor = _NEWEST_MINOR if minor is None else minor
    wanted = role_needs(PveVersion(major=major, minor=minor, text=f"{major}"))
    grants = tuple(dict.fromkeys((need.say, ROLE) for need in wanted))
    if narrow is not None:
        wanted, grants = tuple(_wanted(narrow, wanted)), tuple(_narrowed(narrow, wanted))
    made = [role_line(ROLE, (name for need in wanted for name in need.privileges))]
    if narrow is not None:
        made += [role_line(CLONE_ROLE, TEMPLATE_PRIVILEGES)] if narrow.template is not None else []
        made.append(f"pveum pool add {narrow.pool}")
    return (*made, *token_commands(grants, user=user, token=token))


def token_commands(grants: Iterable[tuple[str, str]], *, user: str, token: str) -> tuple[str, ...]:
    """The commands that make the token and give it a role on each path."""
    separated = user == ROOT_USER
    who = f"--tokens '{user}!{token}'" if separated else f"--users {user}"
    acl = tuple(f"pveum acl modify {path} {who} --roles {role}" for path, role in grants)
    # Without separated privileges a token has its user's rights: one list to keep, not two.
    add_token = f"pveum user token add {user} {token} --privsep {int(separated)}"
    return (add_token, *acl) if separated else (f"pveum user add {user}", *acl, add_token)


def role_line(name: str, privileges: Iterable[str]) -> str:
    """The command that makes a role."""
    return f'pveum role add {name} --privs "{" ".join(dict.fromkeys(privileges))}"'


def _wanted(narrow: Narrow, wanted: Iterable[Need]) -> Iterable[Need]:
    """Without what is only for building templates, where one is there."""
    if narrow.template is None:
        return wanted
    builds = {"VM.Clone", "VM.Config.CDROM", "Datastore.AllocateTemplate", "Sys.AccessNetwork"}
    return (need for need in wanted if not set(need.privileges) <= builds)


def _narrowed(narrow: Narrow, wanted: Iterable[Need]) -> Iterable[tuple[str, str]]:
    """Paths with their roles. The role for machines would let the token change and remove the template."""
    storages = [f"/storage/{name}" for name in narrow.storages] or ["/storage"]
    network = f"{NETWORK_ZONE}/{narrow.bridge}" if narrow.bridge else NETWORK_ZONE
    places = {"/vms": [f"/pool/{narrow.pool}"], "/storage": storages, NETWORK_ZONE: [network]}
    paths = dict.fromkeys(path for need in wanted for path in places.get(need.say, [need.say]))
    yield from ((path, ROLE) for path in paths)
    if narrow.template is not None:
        yield f"/vms/{narrow.template}", CLONE_ROLE
