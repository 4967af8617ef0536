"""The role and the token that the tool needs, as commands. Pure; the rights are those of `grants`."""

from __future__ import annotations

from bootstrap.adapters.proxmox.grants import ROLE, Need, blind_needs, build_needs, needs
from bootstrap.model.observed import PveVersion
from bootstrap.ports import RightsNeeded


def role_needs(major: int) -> tuple[Need, ...]:
    """What the tool needs of a Proxmox VE of a major version, on the widest paths that are wanted for it."""
    version = PveVersion(major=major, minor=0, text=str(major))
    return (*needs(RightsNeeded(), version=version), *blind_needs(), *build_needs())


def role_commands(*, major: int, user: str, token: str) -> tuple[str, ...]:
    """The `pveum` commands, a line each, to be run once as root on a Proxmox node; the last one shows the secret.

    One role on each path, rather than one on `/`: a privilege counts only where it is checked, so none of them
    reaches what the tool has no business with.

    Args:
        major: Of Proxmox VE: 9 dropped VM.Monitor for the VM.GuestAgent privileges.
        user: `user@realm`.
        token: The token's name.
    """
    wanted = role_needs(major)
    privileges = dict.fromkeys(name for need in wanted for name in need.privileges)
    return (
        f'pveum role add {ROLE} --privs "{" ".join(privileges)}"',
        f"pveum user add {user}",
        *(f"pveum acl modify {path} --users {user} --roles {ROLE}" for path in dict.fromkeys(n.say for n in wanted)),
        # Without separated privileges a token has its user's rights: one list to keep, not two.
        f"pveum user token add {user} {token} --privsep 0",
    )
