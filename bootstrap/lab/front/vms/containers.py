"""Containers (`/nodes/{node}/lxc`): fakepve keeps them, and here they get real guests.

Listing, config and deletion are fakepve's own.
"""
# ruff: noqa: ANN401 - fakepve has no types, and JSON has any shape

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from typing import Any

import asyncssh
from fakepve import PveError, TaskError

from bootstrap.lab.front.configs.vmconfig import Made
from bootstrap.lab.front.datacenter import sdn
from bootstrap.lab.front.datacenter.ha import ha_task
from bootstrap.lab.front.datacenter.tagging import Tagging
from bootstrap.lab.front.gateway.call import Answer, Call, Handler, bad_parameters
from bootstrap.lab.front.gateway.context import Front
from bootstrap.lab.front.gateway.tasks import Log, start_task
from bootstrap.lab.guests.base import ContainerDriver, GuestError, Interface

ONE = "/nodes/{node}/lxc/{vmid}"
NET = re.compile(r"net\d+")
NOT_DOWN = "container did not stop"


class Containers:
    """Creation and power of containers."""

    def __init__(self, front: Front) -> None:
        self.front = front
        self._tagging = Tagging(front)

    def handlers(self) -> Mapping[tuple[str, str], Handler]:
        """What this part answers or fixes."""
        return {
            ("POST", "/nodes/{node}/lxc"): self.create,
            ("POST", f"{ONE}/status/start"): self.start,
            ("POST", f"{ONE}/status/stop"): self.stop,
            ("POST", f"{ONE}/status/shutdown"): self.shutdown,
            ("GET", f"{ONE}/interfaces"): self.interfaces,
        }

    async def create(self, call: Call) -> Answer:
        """Create a container. Its key goes into the guest at the first start: fakepve only checks it."""
        driver, pve, delays = self.front.supervisor.driver, self.front.pve, self.front.delays
        if driver is not None and not isinstance(driver, ContainerDriver):
            raise PveError(
                500,
                f"unable to create CT {call.vmid} - this lab's guests are of the kind {driver.kind} and cannot be "
                "containers: start it with --guests container or simulated",
            )
        if "tags" in call.raw:  # checked before the container is in its pool (PVE::LXC, check_ct_modify_config_perm)
            self._tagging.require(call.user, call.vmid, old="", new=call.values["tags"])
        pve.ct_secs["create"] = delays.lab_s("container_create", call.vmid)
        answer = await self.front.passer.call(call.request)
        ct = pve.ct(call.vmid)
        if ct is not None:  # else its task has failed already
            self.front.supervisor.made[ct] = Made(
                machine_uuid=str(uuid.uuid4()),
                keys=str(call.values.get("ssh-public-keys", "")),
                host_key=self._make_host_key(str(answer.data), str(call.values.get("hostname") or "localhost")),
            )
            ct.start_secs = delays.lab_s("start", ct.vmid)
            ct.stop_secs = delays.lab_s("stop", ct.vmid)
            ct.shutdown_secs = delays.lab_s("shutdown", ct.vmid)
        return answer

    def _make_host_key(self, upid: str, name: str) -> str:
        """Make sshd's key as the Proxmox node does, and write its fingerprint to the task log.

        pve-container: PVE::LXC::Setup, rewrite_ssh_host_keys; the rsa and ecdsa keys, logged likewise, are left out.
        """
        comment = f"root@{name.partition('.')[0]}"
        key = asyncssh.generate_private_key("ssh-ed25519", comment=comment)
        self.front.pve.tasks[upid]["log"][0:0] = [
            "Creating SSH host key 'ssh_host_ed25519_key' - this may take some time ...",
            f"done: {key.get_fingerprint()} {comment}",
        ]
        return key.export_private_key().decode()

    async def start(self, call: Call) -> Answer:
        """Start a container; a running one is refused at once, unlike a VM (`API2/LXC/Status.pm`)."""
        ct = self._ct(call)
        if ct is None:
            return await self.front.passer.call(call.request)
        if ct.status == "running":
            raise PveError(500, f"CT {ct.vmid} already running")
        if ct.ha_managed:
            return await ha_task(self.front, call, ct, state="started")

        async def body(_log: Log) -> None:
            self._check_startable(ct)
            await self.front.pve.pause(ct.start_secs)
            if ct.start_error:
                raise TaskError(ct.start_error)
            try:
                await self.front.supervisor.power_on(ct)
            except GuestError as error:
                raise TaskError(f"startup for container '{ct.vmid}' failed: {error}") from error

        return Answer(await start_task(self.front, call, kind="vzstart", vmid=ct.vmid, body=body, vm=ct))

    def _check_startable(self, ct: Any) -> None:
        if ct.template:
            raise TaskError("you can't start a CT if it's a template")
        if ct.lock and ct.lock != "mounted":
            raise TaskError(f"CT is locked ({ct.lock})")
        for key in sorted(key for key in ct.config if NET.fullmatch(key)):
            problem = sdn.why_not_plugged(self.front, str(ct.config[key]))
            if problem:
                raise TaskError(problem)

    async def stop(self, call: Call) -> Answer:
        """Power off."""
        ct = self._running(call)
        if ct.ha_managed:
            if call.values.get("overrule-shutdown"):
                raise bad_parameters(**{"overrule-shutdown": "Not applicable for HA resources."})
            return await ha_task(self.front, call, ct, state="stopped")

        async def body(_log: Log) -> None:
            await self.front.pve.pause(ct.stop_secs)
            await self._power_off(ct, graceful_s=0.0)

        return Answer(await start_task(self.front, call, kind="vzstop", vmid=ct.vmid, body=body, vm=ct))

    async def shutdown(self, call: Call) -> Answer:
        """Ask the container to power off, for `timeout` seconds (Proxmox's default is 60)."""
        ct = self._running(call)
        pve = self.front.pve
        timeout_s = int(call.values.get("timeout", pve.shutdown_default_timeout))
        if ct.ha_managed:
            return await ha_task(self.front, call, ct, state="stopped", graceful_s=float(timeout_s))

        async def body(_log: Log) -> None:
            await pve.pause(min(ct.shutdown_secs, timeout_s))
            if ct.shutdown_secs > timeout_s and not int(call.values.get("forceStop", 0)):
                raise TaskError(NOT_DOWN)
            await self._power_off(ct, graceful_s=float(timeout_s))

        return Answer(await start_task(self.front, call, kind="vzshutdown", vmid=ct.vmid, body=body, vm=ct))

    async def interfaces(self, call: Call) -> Answer:
        """A container's network as Proxmox sees it from outside; empty when it is off or on another node."""
        ct = self._ct(call)
        driver: object = self.front.supervisor.driver
        if self.front.pve.ct(call.vmid) is None or not isinstance(driver, ContainerDriver):
            return await self.front.passer.call(call.request)
        if ct is None or ct.status != "running":
            return Answer()
        return Answer([_shown(interface) for interface in await driver.interfaces(ct.vmid)])

    def _ct(self, call: Call) -> Any:
        ct = self.front.pve.ct(call.vmid)
        return ct if ct is not None and ct.node == call.pve_node else None

    def _running(self, call: Call) -> Any:
        ct = self._ct(call)
        if ct is None or ct.status != "running":
            raise PveError(500, f"CT {call.vmid} not running")
        return ct

    async def _power_off(self, ct: Any, *, graceful_s: float) -> None:
        try:
            await self.front.supervisor.power_off(ct, graceful_s=graceful_s)
        except GuestError as error:
            raise TaskError(str(error)) from error


def _shown(interface: Interface) -> dict[str, Any]:
    """As `PVE::LXC::get_interfaces` reports it; `inet` holds the last of the addresses."""
    row: dict[str, Any] = {"name": interface.name, "hwaddr": interface.mac, "hardware-address": interface.mac}
    row["ip-addresses"] = [
        {"ip-address-type": "inet", "ip-address": str(address.ip), "prefix": str(address.network.prefixlen)}
        for address in interface.addresses
    ]
    if interface.addresses:
        row["inet"] = str(interface.addresses[-1])
    return row
