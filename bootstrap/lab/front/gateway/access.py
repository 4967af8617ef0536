"""Permissions in the lab, by Proxmox VE's own rules; fakepve's are more lenient.

It follows PVE::AccessControl (roles) and PVE::RPCEnvironment (permissions, get_effective_permissions): an ACL on a
path replaces what the path would inherit, one without propagation applies to its path only, a pool's ACL applies to
its guests and storages, `NoAccess` removes all privileges, and a token with separated privileges is limited to its
user's.
"""
# ruff: noqa: ANN401 - fakepve has no types

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fakepve import shapes

from bootstrap.lab.front.gateway.call import Answer, Call, Handler

ROOT = "root@pam"
NO_ACCESS = "NoAccess"
TOP = ("/", "/access", "/access/groups", "/nodes", "/pool", "/sdn", "/storage", "/vms")
"""Paths that `GET /access/permissions` always lists, with or without an ACL."""

Privileges = dict[str, int]
"""Names of privileges, and whether each also applies below the path."""


class Access:
    """Answers `pve.allowed`, and `GET /access/permissions`.

    Grants are made with fakepve's `pve.grant`; `NoAccess` among the privileges is the role of that name. A token
    without separated privileges has its own ACLs and its user's.

    Attributes:
        local: User (or token) and path of each ACL that does not propagate.
        separated: Tokens with separated privileges.
    """

    def __init__(self, pve: Any) -> None:
        self._pve = pve
        self.local: set[tuple[str, str]] = set()
        self.separated: set[str] = set()
        pve.allowed = self.allowed

    def handlers(self) -> Mapping[tuple[str, str], Handler]:
        """What this part answers."""
        return {("GET", "/access/permissions"): self.permissions}

    async def permissions(self, call: Call) -> Answer:
        """The caller's privileges on a path, or on each path that an ACL or a pool names."""
        user, path = str(call.values.get("userid") or call.user), call.values.get("path")
        if path is not None:
            return Answer({str(path): self.privileges(user, str(path))})
        found = {each: self.privileges(user, each) for each in sorted(self._paths())}
        return Answer({each: privileges for each, privileges in found.items() if privileges})

    def allowed(self, user: str, path: str, privilege: str) -> bool:
        """Whether a user or token holds a privilege on a path."""
        return privilege in self.privileges(user, path)

    def privileges(self, user: str, path: str) -> Privileges:
        """All privileges of a user or token on a path."""
        owner = user.partition("!")[0]
        separated = user in self.separated
        if self._pve.acl is None or (owner == ROOT and not separated):
            return dict.fromkeys((*shapes.PRIVILEGES, "VM.Monitor"), 1)
        if not separated:
            return self._held((user, owner), path)
        own = self._held((user,), path)
        if owner == ROOT:
            return own
        of_user = self._held((owner,), path)
        return {name: below & of_user[name] for name, below in own.items() if name in of_user}

    def _held(self, users: tuple[str, ...], path: str) -> Privileges:
        found = self._by_acl(users, path)
        if NO_ACCESS in found:
            return {}
        for pool in self._pools_of(path):
            of_pool = self._by_acl(users, f"/pool/{pool}")
            if NO_ACCESS in of_pool:
                return {}
            found = {**dict.fromkeys(of_pool, 0), **found}
        return found

    def _by_acl(self, users: tuple[str, ...], path: str) -> Privileges:
        """Walk down to the path; the last ACL that applies to it counts."""
        found: Privileges = {}
        for step in _steps(path):
            here = [
                (privileges, (user, step) not in self.local)
                for user in users
                for granted, privileges in self._pve.acl.get(user, [])
                if granted == step and (step == path or (user, step) not in self.local)
            ]
            if here:
                found = {}
                for privileges, below in here:
                    found |= {name: max(found.get(name, 0), int(below)) for name in privileges}
        return found

    def _pools_of(self, path: str) -> Iterator[str]:
        _, kind, *rest = path.split("/")
        if len(rest) != 1:
            return
        for pool, vmids in self._pve.pools.items():
            storages = self._pve.pool_info.get(pool, {}).get("storage", ())
            members = map(str, vmids) if kind == "vms" else storages if kind == "storage" else ()
            if rest[0] in members:
                yield pool

    def _paths(self) -> set[str]:
        acl = self._pve.acl or {}
        named = {path for entries in acl.values() for path, _ in entries}
        guests = {f"/vms/{vmid}" for vmids in self._pve.pools.values() for vmid in vmids}
        storages = {f"/storage/{name}" for info in self._pve.pool_info.values() for name in info["storage"]}
        return {*TOP, *(step for path in named for step in _steps(path)), *guests, *storages}


def _steps(path: str) -> Iterator[str]:
    """`/vms/201` leads over `/` and `/vms`."""
    yield "/"
    parts = [part for part in path.split("/") if part]
    for number in range(1, len(parts) + 1):
        yield "/" + "/".join(parts[:number])
