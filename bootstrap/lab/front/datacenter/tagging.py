"""The tags that a token may set: the datacenter's `user-tag-access` and `registered-tags`.

Follows PVE::GuestHelpers (get_allowed_tags, assert_tag_permissions) and PVE::API2::Cluster (get_options).
"""
# ruff: noqa: ANN401 - fakepve has no types

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from fakepve import PveError

from bootstrap.lab.front.configs.vmconfig import options_of
from bootstrap.lab.front.gateway.call import Answer, Call, Handler

FREE = "free"
_PARSED = ("user-tag-access", "registered-tags")
ONE_CONTAINER = "/nodes/{node}/lxc/{vmid}"


class Tagging:
    """`/cluster/options`, and the check of all changes of tags; `front` is a `Front`."""

    def __init__(self, front: Any) -> None:
        self.front = front

    def handlers(self) -> Mapping[tuple[str, str], Handler]:
        """What this part answers or fixes."""
        return {
            ("GET", "/cluster/options"): self.options,
            ("PUT", "/cluster/options"): self.change,
            ("PUT", f"{ONE_CONTAINER}/config"): self.configure_container,
        }

    async def options(self, call: Call) -> Answer:
        """The datacenter's options; without Sys.Audit on `/` little more than the tags that the caller may set."""
        found: dict[str, Any] = {}
        if self.front.pve.allowed(call.user, "/", "Sys.Audit"):
            found = {"mac_prefix": "BC:24:11", **self._stored}
            found |= {key: self._parsed(key) for key in _PARSED if key in found}
        return Answer({**found, "allowed-tags": sorted(self._allowed(call.user))})

    async def change(self, call: Call) -> Answer:
        """Set options, and delete those of `delete`."""
        for name in re.split(r"[,;\s]+", str(call.values.get("delete") or "")):
            self._stored.pop(name, None)
        self._stored.update({key: value for key, value in call.values.items() if key not in ("delete", "digest")})
        return Answer()

    async def configure_container(self, call: Call) -> Answer:
        """Change a container's config, after the check of its tags."""
        ct = self.front.pve.ct(call.vmid)
        if "tags" in call.values:
            self.require(call.user, call.vmid, old=ct.config.get("tags") if ct else "", new=call.values["tags"])
        answer: Answer = await self.front.passer.call(call.request)
        return answer

    def require(self, user: str, vmid: int, *, old: Any, new: Any) -> None:
        """Refuse callers that may not make this change of a guest's tags.

        A pool does not count before the guest is in it.

        Raises:
            PveError: 403.
        """
        pve = self.front.pve
        pve.require(user, f"/vms/{vmid}", "VM.Config.Options")
        if pve.allowed(user, "/", "Sys.Modify"):
            return
        allowed, free = self._allowed(user), self._user_allow == FREE
        for tag in sorted(tags_of(old) ^ tags_of(new)):
            if (tag not in allowed and not free) or tag in self._registered:
                raise PveError(403, f"Permission check failed (/, Sys.Modify for modifying tag '{tag}')")

    @property
    def _stored(self) -> dict[str, Any]:
        stored: dict[str, Any] = self.front.datacenter
        return stored

    @property
    def _user_allow(self) -> str:
        return options_of(str(self._stored.get("user-tag-access", ""))).get("user-allow", FREE)

    @property
    def _listed(self) -> frozenset[str]:
        return tags_of(options_of(str(self._stored.get("user-tag-access", ""))).get("user-allow-list"))

    @property
    def _registered(self) -> frozenset[str]:
        return tags_of(self._stored.get("registered-tags"))

    def _allowed(self, user: str) -> frozenset[str]:
        pve, mode = self.front.pve, self._user_allow
        privileged = pve.allowed(user, "/", "Sys.Modify")
        found = self._listed if mode != "none" or privileged else frozenset[str]()
        if mode in (FREE, "existing") or privileged:
            for guest in (*pve.vms, *pve.cts):
                if privileged or pve.allowed(user, f"/vms/{guest.vmid}", "VM.Audit"):
                    found |= tags_of(guest.config.get("tags"))
        return found | self._registered if privileged else found - self._registered

    def _parsed(self, key: str) -> Any:
        """As Proxmox VE reports it: the property string as an object, lists of tags as lists."""
        if key == "registered-tags":
            return sorted(self._registered)
        found: dict[str, Any] = {"user-allow": self._user_allow}
        return {**found, "user-allow-list": sorted(self._listed)} if self._listed else found


def tags_of(value: Any) -> frozenset[str]:
    """The tags of a list as a config has it."""
    return frozenset(tag for tag in re.split(r"[,;\s]+", str(value or "")) if tag)
