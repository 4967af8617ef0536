"""The pool and the users the suite makes on a real host: one without rights, one with rights on the pool alone."""

from __future__ import annotations

from typing import Final

from tests.contract.hosts import MARK, Host

POOL: Final = "contract-suite"
USERS: Final = {"norights": "contract-norights@pve", "pooled": "contract-pooled@pve"}
TOKEN: Final = "suite"


class Identities:
    """Users by role, each with a token; they carry the suite's mark as their comment."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def make(self) -> None:
        """Make the pool and the users, and tell the host their tokens."""
        host = self._host
        host.json("POST", "/pools", {"poolid": POOL, "comment": MARK})
        host.names["pool"] = POOL
        for role, user in USERS.items():
            host.json("POST", "/access/users", {"userid": user, "comment": MARK})
            made = host.json("POST", f"/access/users/{user}/token/{TOKEN}", {"privsep": 0})
            host.tokens[role] = f"{made['full-tokenid']}={made['value']}"
        for path, role in self._grants():
            host.json("PUT", "/access/acl", {"path": path, "users": USERS["pooled"], "roles": role})

    def sweep(self) -> None:
        """Remove those that carry the mark; what the ACL says of a user goes with it."""
        host = self._host
        for user in host.json("GET", "/access/users"):
            if user["userid"] in USERS.values() and user.get("comment") == MARK:
                host.json("DELETE", f"/access/users/{user['userid']}")
        for pool in host.json("GET", "/pools"):
            if pool["poolid"] == POOL and pool.get("comment") == MARK:
                host.json("DELETE", f"/pools/{POOL}")

    def _grants(self) -> list[tuple[str, str]]:
        """Built-in roles for `pooled`: all about VMs in the pool, and to clone the template with its storage."""
        names = self._host.names
        return [
            (f"/pool/{POOL}", "PVEVMAdmin"),
            (f"/vms/{names['template']}", "PVETemplateUser"),
            (f"/storage/{names['storage']}", "PVEDatastoreUser"),
            (f"/sdn/zones/localnetwork/{names['bridge']}", "PVESDNUser"),
        ]
