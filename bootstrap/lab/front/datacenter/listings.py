"""Lists that fakepve invents or shortens, as Proxmox VE 8.4.21 and 9.2.11 answer them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from fakepve import PveError

from bootstrap.lab.front.configs.options_table import cpu_types
from bootstrap.lab.front.datacenter import sdn
from bootstrap.lab.front.gateway.call import Answer, Call, Handler
from bootstrap.lab.front.gateway.context import MIB, Front
from bootstrap.lab.front.gateway.tasks import visible_row

_AMD = ("EPYC", "Opteron", "athlon", "phenom")
_ANY_VENDOR = re.compile(r"(kvm|qemu)\d\d|host|max|x86-64-v.*")
_ABSTRACT = re.compile(r"x86-64-v.*")
_PRESSURES = tuple(f"pressure{what}{how}" for what in ("cpu", "io", "memory") for how in ("full", "some"))
_LINKED = re.compile(r"[^:]+:(?P<base>\d+/base-[^/]+)/\d+/.*")
_WRITTEN_BYTES = 200 * 1024
"""Space used by a new qcow2 file."""


class Listings:
    """Guests' figures, images, CPU models, the cluster's tasks; and lists that are empty in a new cluster."""

    def __init__(self, front: Front) -> None:
        self.front = front

    def handlers(self) -> Mapping[tuple[str, str], Handler]:
        """What this part answers or fixes."""
        return {
            ("GET", "/cluster/tasks"): self.cluster_tasks,
            ("GET", "/cluster/ha/groups"): self.ha_groups,
            ("GET", "/cluster/ha/rules"): self.nothing,
            ("GET", "/cluster/mapping/dir"): self.nothing,
            ("GET", "/cluster/mapping/pci"): self.nothing,
            ("GET", "/cluster/mapping/usb"): self.nothing,
            ("GET", "/cluster/sdn/zones"): self.zones,
            ("GET", "/nodes/{node}/capabilities/qemu/cpu"): self.cpu_models,
            ("GET", "/nodes/{node}/dns"): self.dns,
            ("GET", "/nodes/{node}/qemu"): self.machines,
            ("GET", "/nodes/{node}/qemu/{vmid}/status/current"): self.machine,
            ("GET", "/nodes/{node}/storage/{storage}/content"): self.content,
        }

    async def nothing(self, _call: Call) -> Answer:
        """None of them."""
        return Answer([])

    async def ha_groups(self, _call: Call) -> Answer:
        """None in version 8; version 9 has rules instead, and says so."""
        if self.front.options.pve_version >= 9:
            raise PveError(500, "cannot index groups: ha groups have been migrated to rules")
        return Answer([])

    async def zones(self, call: Call) -> Answer:
        """The zone of the lab's vnet, if there is one and the caller may audit it."""
        zone = {"digest": "0" * 40, "type": "simple", "zone": sdn.ZONE}
        return Answer([zone] if sdn.vnet_configs(self.front, call.user) else [])

    async def cluster_tasks(self, call: Call) -> Answer:
        """The newest tasks of all Proxmox nodes that the caller may see; ended tasks are `saved`."""
        rows = [visible_row(self.front, call, task) for task in reversed(self.front.pve.tasklog)]
        return Answer([_saved(row) for row in rows if row is not None])

    async def cpu_models(self, _call: Call) -> Answer:
        """The CPU types of QEMU; types that name a level instead of a CPU are `abstract` since version 9."""
        return Answer([self._cpu_model(name) for name in sorted(cpu_types(self.front.options.pve_version))])

    async def dns(self, call: Call) -> Answer:
        """The name servers, without a search domain."""
        answer = await self.front.passer.call(call.request)
        return Answer({key: value for key, value in answer.data.items() if key != "search"})

    async def machines(self, call: Call) -> Answer:
        """The VMs of a Proxmox node, with figures from the config and, for running VMs, from the host."""
        answer = await self.front.passer.call(call.request)
        return Answer([self._figures(row) for row in answer.data])

    async def machine(self, call: Call) -> Answer:
        """The status of one VM; without QEMU's figures while it is off."""
        answer = await self.front.passer.call(call.request)
        row = self._figures(answer.data)
        config = self.front.pve.find(call.pve_node, call.vmid).config
        unknown = set() if "vga" in config else {"clipboard"}
        if row["status"] == "stopped":
            unknown |= {"balloon", "diskread", "diskwrite"}
        else:
            nets = sorted(key[3:] for key in config if re.fullmatch(r"net\d+", key))
            row["nics"] = {f"tap{call.vmid}i{number}": {"netin": 0, "netout": 0} for number in nets}
        return Answer({key: value for key, value in row.items() if key not in unknown})

    async def content(self, call: Call) -> Answer:
        """The volumes of a storage; images with their parent and used space."""
        answer = await self.front.passer.call(call.request)
        return Answer([_image(row) if row["content"] == "images" else row for row in answer.data])

    def _cpu_model(self, name: str) -> dict[str, Any]:
        vendor = "AuthenticAMD" if name.startswith(_AMD) else "GenuineIntel"
        row = {"custom": 0, "name": name, "vendor": "default" if _ANY_VENDOR.fullmatch(name) else vendor}
        if self.front.options.pve_version >= 9 and _ABSTRACT.fullmatch(name):
            row["abstract"] = 1
        return row

    def _figures(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A VM's figures; its pid is invented."""
        vmid = int(row["vmid"])
        config = self.front.pve.vm(vmid).config
        found = dict(row)
        if "balloon" in config:
            found["balloon_min"] = int(config["balloon"]) * MIB
        if "shares" in config:
            found["shares"] = int(config["shares"])
        if row["status"] == "running":
            found["pid"] = 100_000 + vmid
            if self.front.options.pve_version >= 9:
                found |= dict.fromkeys(_PRESSURES, 0)
        return found


def _saved(row: Mapping[str, Any]) -> dict[str, Any]:
    """A task's row: without a status while it runs, and without its process once it has ended."""
    if "endtime" in row:
        return {key: value for key, value in row.items() if key not in ("pid", "pstart")} | {"saved": "1"}
    return {key: value for key, value in row.items() if key != "status"}


def _image(row: Mapping[str, Any]) -> dict[str, Any]:
    linked = _LINKED.fullmatch(str(row["volid"]))
    used = min(int(row.get("size", 0)), _WRITTEN_BYTES)
    return {**row, "parent": f"../{linked['base']}" if linked else None, "used": used}
