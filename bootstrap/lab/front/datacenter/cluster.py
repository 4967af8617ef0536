"""Proxmox nodes: capacity, load, networks."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from bootstrap.lab.faults.state import FORGETS_AT
from bootstrap.lab.front.configs.vmconfig import memory_mib
from bootstrap.lab.front.datacenter import sdn
from bootstrap.lab.front.gateway.call import Answer, Call, Handler
from bootstrap.lab.front.gateway.context import MIB, Front

MANAGER = {8: "pve-manager/8.4.21/2606ac8500000000", 9: "pve-manager/9.2.11/2606ac8500000000"}

SHOWS_VNETS = ("any_bridge", "include_sdn", "vnet")
"""Filters with which Proxmox VE also lists SDN vnets; without a filter it does not (PVE::API2::Network, index)."""


class Cluster:
    """`/nodes`, `/nodes/{node}/status`, `/nodes/{node}/network`, `/cluster/resources`."""

    def __init__(self, front: Front) -> None:
        self.front = front
        self._started = time.time()

    def handlers(self) -> Mapping[tuple[str, str], Handler]:
        """What this part answers or fixes."""
        return {
            ("GET", "/nodes"): self.nodes,
            ("GET", "/nodes/{node}/status"): self.status,
            ("GET", "/nodes/{node}/network"): self.network,
            ("GET", "/cluster/resources"): self.resources,
            ("GET", "/cluster/status"): self.quorum,
            ("GET", "/cluster/sdn/vnets"): self.vnets,
        }

    async def nodes(self, call: Call) -> Answer:
        """All Proxmox nodes; without Sys.Audit only their names."""
        answer = await self.front.passer.call(call.request)
        return Answer([self._with_usage(call, item) for item in answer.data])

    async def resources(self, call: Call) -> Answer:
        """Resources of the cluster, nodes with the same figures as in `nodes`."""
        answer = await self.front.passer.call(call.request)
        items = [
            self._with_hastate(self._with_usage(call, item)) if item["type"] == "node" else item for item in answer.data
        ]
        items = [self._as_known(item) if item["type"] in ("qemu", "lxc") else item for item in items]
        if not self.front.pve.allowed(call.user, "/storage/local", "Datastore.Audit"):
            items = [item for item in items if item["type"] != "storage"]
        return Answer(items)

    def _as_known(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """A guest's entry. On an offline node the config (with the tags) is known, but no figures.

        Figures come from the node's own broadcasts, as does the name, which expires after a few minutes (9.2).
        """
        guest = self.front.pve.guest(int(item["vmid"]))
        tags = str(guest.config.get("tags") or "").strip() if guest is not None else ""
        known = {**item, "tags": tags} if tags else dict(item)
        pve_node = self.front.pve.nodes.get(item["node"], {})
        if pve_node.get("online", True):
            return known
        forgotten = time.monotonic() >= pve_node.get(FORGETS_AT, float("inf"))
        kept = ("id", "type", "node", "vmid", "status", "tags", "pool", "lock", "hastate")
        return {key: known[key] for key in (kept if forgotten else (*kept, "name", "template")) if key in known}

    async def quorum(self, call: Call) -> Answer:
        """Members and votes; a standalone node has no row of votes. Without quorum the other nodes are off."""
        answer = await self.front.passer.call(call.request)
        alone = self.front.pve.quorate and len(self.front.pve.nodes) == 1
        rows = [row for row in answer.data if not (alone and row["type"] == "cluster")]
        if not self.front.pve.quorate:
            rows = [{**row, "online": int(bool(row["local"]))} if row["type"] == "node" else row for row in rows]
        return Answer(rows)

    async def status(self, call: Call) -> Answer:
        """Capacity and load of a Proxmox node."""
        capacity, free = self.front.capacity, self._free_bytes(call.pve_node)
        storage = self.front.options.room_gib * 1024**3
        used = capacity.memory_bytes - free
        version = self.front.options.pve_version
        flags = self._cpu_flags(call.pve_node)
        return Answer(
            {
                "cpu": 0.02,
                "cpuinfo": {
                    "cores": capacity.cores,
                    "cpus": capacity.cores,
                    "flags": " ".join(flags),
                    "hvm": "1" if {"vmx", "svm"} & set(flags) else "0",
                    "mhz": capacity.mhz,
                    "model": capacity.cpu_model,
                    "sockets": 1,
                    "user_hz": 100,
                },
                "current-kernel": {
                    "machine": os.uname().machine.replace("arm64", "aarch64"),  # macOS's word, and Linux's
                    "release": os.uname().release,
                    "sysname": "Linux",
                    "version": os.uname().version,
                },
                "boot-info": {"mode": "legacy-bios"},
                "idle": 0,
                "ksm": {"shared": 0},
                "kversion": f"Linux {os.uname().release}",
                "loadavg": [f"{load:.2f}" for load in os.getloadavg()],
                "memory": {"available": free, "free": free, "total": capacity.memory_bytes, "used": used},
                "pveversion": MANAGER[version],
                "rootfs": {"avail": storage, "free": storage, "total": storage * 2, "used": storage},
                "swap": {"free": 0, "total": 0, "used": 0},
                "uptime": int(time.time() - self._started) + 3600,
                "wait": 0,
            }
        )

    async def network(self, call: Call) -> Answer:
        """Interfaces of a Proxmox node; bridges only for callers that may see them."""
        eth = {
            "active": 1, "exists": 1, "families": ["inet"], "iface": "eth0", "method": "manual",
            "method6": "manual", "priority": 3, "type": "eth",
        }  # fmt: skip
        bridge = {
            "active": 1, "address": "198.18.0.1", "autostart": 1, "bridge_fd": "0", "bridge_ports": "",
            "bridge_stp": "off", "cidr": "198.18.0.1/16", "families": ["inet"], "iface": "vmbr0",
            "method": "static", "method6": "manual", "netmask": "16", "priority": 4, "type": "bridge",
        }  # fmt: skip
        sees = any(
            self.front.pve.allowed(call.user, path, privilege)
            for path, privilege in (
                (f"/nodes/{call.pve_node}", "Sys.Audit"),
                ("/sdn/zones/localnetwork/vmbr0", "SDN.Use"),
                ("/sdn/zones/localnetwork/vmbr0", "SDN.Audit"),
            )
        )
        wanted = call.values.get("type")
        rows = [row for row in ([eth, bridge] if sees else [eth]) if _is_wanted(row, wanted)]
        if wanted in SHOWS_VNETS:
            rows += sdn.local_vnets(self.front, call.user)
        return Answer(rows)

    async def vnets(self, call: Call) -> Answer:
        """The configuration of the SDN vnets that the caller may audit."""
        return Answer(sdn.vnet_configs(self.front, call.user))

    def _with_usage(self, call: Call, item: Mapping[str, Any]) -> dict[str, Any]:
        """A node's entry with real figures; only its name without Sys.Audit, or when it is off."""
        name = str(item["node"])
        bare = {key: item[key] for key in ("node", "id", "status", "type", "level") if key in item}
        if call.template == "/cluster/resources" and item["status"] == "online":
            bare["cgroup-mode"] = 2
        if "ssl_fingerprint" in item:
            bare["ssl_fingerprint"] = self.front.fingerprint
        if item["status"] != "online" or not self.front.pve.allowed(call.user, f"/nodes/{name}", "Sys.Audit"):
            return bare
        capacity, free = self.front.capacity, self._free_bytes(name)
        storage = self.front.options.room_gib * 1024**3
        return {
            **bare,
            "cpu": 0.02,
            "disk": storage,
            "maxcpu": capacity.cores,
            "maxdisk": storage * 2,
            "maxmem": capacity.memory_bytes,
            "mem": capacity.memory_bytes - free,
            "uptime": int(time.time() - self._started) + 3600,
        }

    def _with_hastate(self, item: dict[str, Any]) -> dict[str, Any]:
        """The entry with the node's HA state, which `/nodes` does not report."""
        state = self.front.ha.node_state(str(item["node"]))
        return item if state is None else {**item, "hastate": state}

    def _cpu_flags(self, pve_node: str) -> list[str]:
        """Flags of the node's CPUs: always with virtualization, unless a fault removes it."""
        flags = [flag for flag in self.front.capacity.cpu_flags.split() if flag not in ("vmx", "svm")]
        missing = self.front.faults.strike("kvm-missing", pve_node=pve_node)
        return flags if missing else [*flags, "vmx"]

    def _free_bytes(self, pve_node: str) -> int:
        """Memory not configured for running VMs of the node, minus a tenth for the node itself."""
        taken = sum(
            memory_mib(vm.config) * MIB for vm in self.front.pve.vms if vm.node == pve_node and vm.status == "running"
        )
        return max(0, int(self.front.capacity.memory_bytes * 0.9) - taken)


def _is_wanted(row: Mapping[str, Any], wanted: str | None) -> bool:
    if wanted in (None, "include_sdn"):
        return True
    kinds = ("bridge",) if wanted in ("any_bridge", "any_local_bridge", "bridge") else (wanted,)
    return row["type"] in kinds
