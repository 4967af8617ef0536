"""Verdicts of `doctor` on what lets others in: the token's reach, host keys, passwords. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from bootstrap.advice import Advice, joined
from bootstrap.errors import few_lines
from bootstrap.model.access.endpoint import ApiToken
from bootstrap.model.cluster import HostKeyPolicy
from bootstrap.model.ids import MachineName
from bootstrap.planning.checks.doctor import Check, ok, skipped, warning
from bootstrap.planning.checks.runtime import GuestSeen, named_or_counted

ADMINISTRATORS = (
    *("Permissions.Modify", "User.Modify", "Group.Allocate", "Realm.Allocate", "Realm.AllocateUser"),
    *("Sys.Console", "Sys.PowerMgmt"),
)
"""Privileges of Proxmox VE with which one gives oneself all others, has a shell on a Proxmox node, or switches it off.
None of them is in a role that `init --pveum` prints."""
ROOT_USER = "root@pam"
_ROLE_REMEDY = Advice(
    "`homelab-k8s init --pveum` prints the commands for a user, a role and a token with the rights needed"
)
_NO_PASSWORDS = Advice(
    "homelab-k8s exec -- \"printf 'PasswordAuthentication no\\nKbdInteractiveAuthentication no\\n' | "
    'sudo tee /etc/ssh/sshd_config.d/00-keys-only.conf; sudo systemctl reload ssh || sudo systemctl reload sshd"'
)


def check_token(token: ApiToken, held: Sequence[str]) -> Check:
    """Whether a stolen token gives access to the VMs alone, or to the Proxmox nodes too.

    Args:
        token: The token; it was accepted.
        held: The privileges it holds, on whichever path.
    """
    reach = [name for name in ADMINISTRATORS if name in held]
    if reach and token.user == ROOT_USER:
        return warning(
            f"{token} is accepted, but it belongs to root, without privilege separation: with it, anyone controls the "
            "Proxmox nodes",
            Advice(
                "{}; then, as root on a Proxmox node:\npveum user token remove {} {}",
                _ROLE_REMEDY,
                token.user,
                token.name,
            ),
        )
    if reach:
        return warning(
            f"{token} is accepted, but has administrator rights, since a token without privilege separation has all "
            f"rights of its user: {', '.join(reach)}",
            Advice(
                "{}; or enable privilege separation for this one, and grant it these rights, as root on a Proxmox "
                "node:\npveum user token modify {} {} --privsep 1",
                _ROLE_REMEDY,
                token.user,
                token.name,
            ),
        )
    return ok(f"{token} is accepted, and has no administrator rights")


def check_logins(policy: HostKeyPolicy, guests: Sequence[GuestSeen]) -> Check:
    """Whether the machines that are logged in to are ours for sure, and whether others could log in with a password."""
    weak = {guest.machine: guest.passwords for guest in guests if guest.passwords}
    asked = [guest.machine for guest in guests if guest.passwords is not None]
    found = dict(_login_problems(policy, weak))
    if found:
        facts = tuple((name, " ".join(users)) for name, users in weak.items())
        return warning(joined("\n", found), joined("\n", found.values()), facts=facts)
    if not asked:
        return skipped("no machine's SSH settings could be checked")
    return ok(f"{named_or_counted(asked, 'machine')}: SSH accepts no passwords")


def _login_problems(
    policy: HostKeyPolicy, weak: Mapping[MachineName, tuple[str, ...]]
) -> Iterator[tuple[str, str | Advice]]:
    """What lets others in, each with what to do."""
    if policy is HostKeyPolicy.ACCEPT_NEW:
        trusted = "the first key seen at a new machine is trusted, even if another machine answers there"
        remedy = "remove ssh.host_keys from the inventory: keys are then read through the guest agent"
        yield f"ssh.host_keys is accept-new: {trusted}", remedy
    if weak:
        yield (
            few_lines([f"{name} lets {', '.join(users)} log in with a password" for name, users in weak.items()]),
            Advice("allow SSH keys only, on all machines and in the template:\n{}", _NO_PASSWORDS),
        )
