"""The lab's network: one bridge, a DHCP server on it, and rules that keep its packets on this machine.

Everything is found by name: the bridge's alias names its owner and the process that made it, so the leftovers of a
killed lab differ from a running lab and from other devices.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, Literal

from bootstrap.lab.guests.base import GuestError, LabNetwork
from bootstrap.lab.guests.host.cgroups import LabCgroups
from bootstrap.lab.guests.tools import run, tool_path

ROUTE_METRIC = 4_000_000_000
"""Metric of the `unreachable` route: any real route to the range wins over it."""

RULE_PRIORITY = 19_818
"""Priority of the rule that refuses to forward what comes from the bridge."""

DHCP_CGROUP = "dhcp"
"""Cgroup of the lab's DHCP server."""

_ALIAS = "homelab-k8s lab, owner "
_ENTER_CGROUP = Path(__file__).parent / "guests" / "enter-cgroup.sh"


class LabBridge:
    """The bridge of one lab with DHCP server, routes and rules. Made and removed with the lab.

    Args:
        network: Name and addresses.
        state_dir: The lab's own directory; the DHCP leases are kept in it.
    """

    def __init__(self, network: LabNetwork, state_dir: Path) -> None:
        self._network = network
        self._dhcp_dir = state_dir / "dhcp"
        self._cgroups = LabCgroups(network.bridge)
        self._dhcp: asyncio.subprocess.Process | None = None

    async def owner(self) -> Literal["none", "self", "other"]:
        """Which process the bridge belongs to; of a dead process: `none`.

        Raises:
            GuestError: A device of that name exists that is no lab's.
        """
        link = await find_link(self._network.bridge)
        if link is None:
            return "none"
        alias = str(link.get("ifalias", ""))
        if not alias.startswith(_ALIAS):
            raise GuestError(
                f"network device {self._network.bridge} exists and no lab made it; "
                "remove it, or give the lab another bridge name"
            )
        owner = alias.removeprefix(_ALIAS)
        if owner == _identity(os.getpid()):
            return "self"
        return "other" if owner == _identity(int(owner.split("/")[0])) else "none"

    async def up(self) -> None:
        """Make bridge, routes and DHCP server. No-op when this process made them already.

        Raises:
            GuestError: Another lab uses this bridge, or the device is no lab's.
        """
        name, gateway = self._network.bridge, self._network.gateway
        owner = await self.owner()
        if owner == "other":
            raise GuestError(f"another lab runs on {name}; stop it first (homelab-k8s lab stop)")
        if owner == "none":
            await self.down()
            # The route first: no packet may leave even before the bridge exists. One `ip` for bridge
            # and alias, so that a killed lab does not leave a bridge without an owner.
            await self._route("replace")
            await run(
                "ip",
                "-batch",
                "-",
                stdin=f"link add name {name} type bridge stp_state 0 forward_delay 0\n"
                f'link set dev {name} alias "{_ALIAS}{_identity(os.getpid())}"\n'
                f"address add {gateway} dev {name}\n"
                f"link set dev {name} up\n"
                f"rule add iif {name} priority {RULE_PRIORITY} unreachable\n",
            )
        if not self._cgroups.alive(DHCP_CGROUP):
            await self._start_dhcp()

    async def down(self) -> None:
        """Remove bridge, routes and DHCP server, and leftover ports. No-op without them."""
        await asyncio.to_thread(self._cgroups.remove, DHCP_CGROUP)
        if self._dhcp is not None:
            await self._dhcp.wait()
            self._dhcp = None
        shutil.rmtree(self._dhcp_dir, ignore_errors=True)
        await self._drop_rules()
        for port in await self._ports():
            await delete_link(port)
        await delete_link(self._network.bridge)
        if not await self._other_labs():  # they share the route
            await self._route("delete", missing_ok=True)

    async def attach(self, device: str) -> None:
        """Make a device a port of the bridge and switch it on."""
        await run("ip", "link", "set", "dev", device, "master", self._network.bridge, "up")

    def port_name(self, vmid: int) -> str:
        """Name of a guest's port on this machine; Linux allows 15 characters."""
        return f"{self._network.bridge}{vmid}"[:15]

    async def _other_labs(self) -> bool:
        links = json.loads(await run("ip", "-json", "link", "show") or "[]")
        return any(str(link.get("ifalias", "")).startswith(_ALIAS) for link in links)

    async def _ports(self) -> tuple[str, ...]:
        links = json.loads(await run("ip", "-json", "link", "show") or "[]")
        return tuple(
            link["ifname"]
            for link in links
            if link.get("master") == self._network.bridge and link["ifname"].startswith(self._network.bridge)
        )

    async def _route(self, verb: str, *, missing_ok: bool = False) -> None:
        target = str(_guarded_range(self._network))
        argv = ("ip", "route", verb, "unreachable", target, "metric", str(ROUTE_METRIC))
        try:
            await run(*argv)
        except GuestError as error:
            if not (missing_ok and "No such process" in str(error)):
                raise

    async def _drop_rules(self) -> None:
        for rule in json.loads(await run("ip", "-json", "rule", "show") or "[]"):
            if rule.get("iif") == self._network.bridge and rule.get("priority") == RULE_PRIORITY:
                await run("ip", "rule", "del", "iif", self._network.bridge, "priority", str(RULE_PRIORITY))

    async def _start_dhcp(self) -> None:
        self._dhcp_dir.mkdir(parents=True, exist_ok=True)
        group = self._cgroups.make(DHCP_CGROUP)
        network = self._network
        options = (
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--user=root",
            "--group=",
            "--port=0",  # DHCP only: the lab resolves no names
            f"--interface={network.bridge}",
            "--except-interface=lo",
            "--bind-interfaces",
            f"--dhcp-range={network.dhcp_first},{network.dhcp_last},{network.gateway.netmask},1h",
            f"--dhcp-option=option:router,{network.gateway.ip}",
            "--dhcp-authoritative",
            "--no-ping",  # only the lab uses the pool, and a ping per offer costs seconds
            f"--dhcp-leasefile={self._dhcp_dir / 'leases'}",
            "--pid-file=",
            "--log-facility=-",
        )
        with (self._dhcp_dir / "log").open("wb") as log:
            self._dhcp = await asyncio.create_subprocess_exec(
                "/bin/sh",
                str(_ENTER_CGROUP),
                str(group),
                "--",
                tool_path("dnsmasq"),
                *options,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        await self._await_dhcp()

    async def _await_dhcp(self) -> None:
        """Wait until dnsmasq listens: it either exits with a reason or says `started`."""
        log = self._dhcp_dir / "log"
        for _ in range(200):
            said = log.read_text(encoding="utf-8", errors="replace")
            if "DHCP, IP range" in said or "DHCP, sockets bound" in said:
                return
            if self._dhcp is not None and self._dhcp.returncode is not None:
                break
            await asyncio.sleep(0.02)
        raise GuestError(f"the lab's DHCP server does not start: {log.read_text(errors='replace').strip()}")


async def find_link(name: str) -> dict[str, Any] | None:
    """The kernel's data about a network device, or None without one."""
    links = json.loads(await run("ip", "-json", "-details", "link", "show") or "[]")
    return next((link for link in links if link.get("ifname") == name), None)


async def delete_link(name: str) -> None:
    """Remove a network device; no-op when it does not exist, or disappears at the same time."""
    try:
        await run("ip", "link", "delete", "dev", name)
    except GuestError as error:
        if "Cannot find device" not in str(error):
            raise


def _guarded_range(network: LabNetwork) -> IPv4Network:
    """The range the `unreachable` route covers: all of RFC 2544's for a lab in it."""
    own = network.gateway.network
    benchmarking = IPv4Network("198.18.0.0/15")
    return benchmarking if own.subnet_of(benchmarking) else own


def _identity(pid: int) -> str:
    """A process as `pid/start time`, which no later process of the same pid has; empty when it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
    fields = stat.rpartition(")")[2].split()
    return f"{pid}/{fields[19]}" if fields[0] != "Z" else ""
