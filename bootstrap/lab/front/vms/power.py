"""Starting, stopping and rebooting VMs: tasks that end when the guest is really on or off."""
# ruff: noqa: ANN401 - fakepve has no types, and JSON has any shape

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

from fakepve import PveError, TaskError

from bootstrap.lab.front.configs.vmconfig import memory_mib, options_of, vcpus
from bootstrap.lab.front.datacenter import sdn
from bootstrap.lab.front.datacenter.ha import ha_task
from bootstrap.lab.front.gateway.call import Answer, Call, Handler, bad_parameters, no_such_config
from bootstrap.lab.front.gateway.context import MIB, Front
from bootstrap.lab.front.gateway.tasks import Log, failing_task, start_task
from bootstrap.lab.guests.base import GuestError

_NET = re.compile(r"net\d+")
NO_KVM = "KVM virtualisation configured, but not available. Either disable in VM configuration or enable in BIOS."
NOT_DOWN = "VM quit/powerdown failed - got timeout"
NO_CONFIG_ON_NODE = "unable to find configuration file for VM {vmid} on node '{node}'"


class Power:
    """`/nodes/{node}/qemu/{vmid}/status/...`."""

    def __init__(self, front: Front) -> None:
        self.front = front

    def handlers(self) -> Mapping[tuple[str, str], Handler]:
        """What this part answers."""
        base = "/nodes/{node}/qemu/{vmid}/status"
        return {
            ("POST", f"{base}/start"): self.start,
            ("POST", f"{base}/stop"): self.stop,
            ("POST", f"{base}/shutdown"): self.shutdown,
            ("POST", f"{base}/reboot"): self.reboot,
            ("POST", f"{base}/suspend"): self.suspend,
            ("POST", f"{base}/resume"): self.resume,
        }

    async def start(self, call: Call) -> Answer:
        """Start a VM. All errors, also of a missing VM, are the task's and not the request's (seen on 8.4)."""
        vm = self._vm(call)
        if vm is None:
            return await failing_task(
                self.front, call, kind="qmstart", message=no_such_config(call.pve_node, call.vmid)
            )
        if vm.ha_managed:
            return await ha_task(self.front, call, vm, state="started")

        async def body(log: Log) -> None:
            self._check_startable(vm, log)
            await self.front.pve.pause(vm.start_secs)
            if vm.start_error:
                raise TaskError(vm.start_error)
            await self._power_on(vm)
            paused = self.front.faults.strike("paused", machine=vm.name, vmid=vm.vmid, pve_node=vm.node)
            if paused:
                vm.qmpstatus = paused.text("status")
            failure = self.front.faults.strike("start-fails-running", machine=vm.name, vmid=vm.vmid, pve_node=vm.node)
            if failure:
                raise TaskError(f"start failed: {failure.text('text')}")

        return Answer(await start_task(self.front, call, kind="qmstart", vmid=vm.vmid, body=body, vm=vm))

    async def stop(self, call: Call) -> Answer:
        """Power off; for a VM that is off, or has a leftover lock, the task succeeds."""
        vm = self._vm(call)
        if vm is None:
            return await self._missing(call, "qmstop")
        if vm.ha_managed:
            if call.values.get("overrule-shutdown"):
                raise bad_parameters(**{"overrule-shutdown": "Not applicable for HA resources."})
            return await ha_task(self.front, call, vm, state="stopped")

        async def body(_log: Log) -> None:
            await self.front.pve.pause(vm.stop_secs)
            await self._power_off(vm, graceful_s=0.0)

        return Answer(await start_task(self.front, call, kind="qmstop", vmid=vm.vmid, body=body, vm=vm))

    async def shutdown(self, call: Call) -> Answer:
        """Ask the guest to power off, for `timeout` seconds (Proxmox's default is 60)."""
        vm = self._vm(call)
        if vm is None:
            return await self._missing(call, "qmshutdown")
        if vm.ha_managed:
            timeout_s = float(call.values.get("timeout", self.front.pve.shutdown_default_timeout))
            return await ha_task(self.front, call, vm, state="stopped", graceful_s=timeout_s)

        async def body(log: Log) -> None:
            if vm.status == "running":
                await self._ask_to_power_off(vm, call, log)

        return Answer(await start_task(self.front, call, kind="qmshutdown", vmid=vm.vmid, body=body, vm=vm))

    async def reboot(self, call: Call) -> Answer:
        """Power off and on again, so that pending changes of the config apply."""
        vm = self.front.pve.find(call.pve_node, call.vmid)
        if vm.status != "running":
            raise PveError(500, f"VM {vm.vmid} not running")

        async def body(log: Log) -> None:
            await self._ask_to_power_off(vm, call, log)
            await self._power_on(vm)

        return Answer(await start_task(self.front, call, kind="qmreboot", vmid=vm.vmid, body=body, vm=vm))

    async def suspend(self, call: Call) -> Answer:
        """Pause a VM (its guest goes on; only the API shows it paused, and its agent is silent)."""
        vm = self.front.pve.find(call.pve_node, call.vmid)
        if call.values.get("todisk"):
            return await self.front.passer.call(call.request)
        if vm.status != "running":
            raise PveError(500, f"VM {vm.vmid} not running")

        async def body(_log: Log) -> None:
            vm.qmpstatus = "paused"

        return Answer(await start_task(self.front, call, kind="qmpause", vmid=vm.vmid, body=body, vm=vm))

    async def resume(self, call: Call) -> Answer:
        """Resume a paused VM; after an I/O error it is paused again while the storage is full."""
        vm = self.front.pve.find(call.pve_node, call.vmid)
        if vm.status != "running":
            raise PveError(500, f"VM {vm.vmid} not running")

        async def body(_log: Log) -> None:
            if not self.front.faults.strike("pause-stays", machine=vm.name, vmid=vm.vmid, pve_node=vm.node):
                vm.qmpstatus = "running"

        return Answer(await start_task(self.front, call, kind="qmresume", vmid=vm.vmid, body=body, vm=vm))

    def _vm(self, call: Call) -> Any:
        vm = self.front.pve.vm(call.vmid)
        return vm if vm is not None and vm.node == call.pve_node else None

    async def _missing(self, call: Call, kind: str) -> Answer:
        message = NO_CONFIG_ON_NODE.format(vmid=call.vmid, node=call.pve_node)
        return await failing_task(self.front, call, kind=kind, message=message)

    def _check_startable(self, vm: Any, log: Log) -> None:
        if vm not in self.front.pve.vms:
            raise TaskError(no_such_config(vm.node, vm.vmid))
        if vm.template:
            raise TaskError("you can't start a vm if it's a template")
        if vm.lock and vm.lock != "suspended":
            raise TaskError(f"VM is locked ({vm.lock})")
        if vm.status == "running":
            raise TaskError(f"VM {vm.vmid} already running")
        self._check_qemu(vm, log)
        pending = {key: value for key, value in vm.pending.items() if value is not None}
        self._check_config({**vm.config, **pending}, log)

    def _check_config(self, config: Mapping[str, Any], log: Log) -> None:
        missing = _missing_snippet(self.front, config)
        if missing:
            raise TaskError(f"volume '{missing}' does not exist")
        capacity = self.front.capacity
        if vcpus(config) > capacity.cores:
            raise TaskError(f"MAX {capacity.cores} vcpus allowed per VM on this node")
        if int(config.get("vcpus") or 0) > vcpus(config):
            log("kvm: Invalid CPU topology: maxcpus must be equal to or greater than smp")
            raise TaskError("start failed: QEMU exited with code 1")
        if memory_mib(config) * MIB > capacity.memory_bytes:
            log("kvm: cannot set up guest memory 'pc.ram': Cannot allocate memory")
            raise TaskError("start failed: QEMU exited with code 1")
        self._check_networks(config, log)

    def _check_networks(self, config: Mapping[str, Any], log: Log) -> None:
        for key in sorted(config):
            problem = sdn.why_not_plugged(self.front, str(config[key])) if _NET.fullmatch(key) else ""
            if problem and self.front.options.pve_version >= 9:
                raise TaskError(problem)
            if problem:
                log(problem)
                raise TaskError("start failed: QEMU exited with code 1")

    def _check_qemu(self, vm: Any, log: Log) -> None:
        """Errors of the faults about KVM and QEMU."""
        selected = {"machine": vm.name, "vmid": vm.vmid, "pve_node": vm.node}
        if str(vm.config.get("kvm", 1)) != "0" and self.front.faults.strike("kvm-missing", **selected):
            raise TaskError(NO_KVM)
        dies = self.front.faults.strike("start-dies", **selected)
        if dies:
            log("generating cloud-init ISO")
            log(dies.text("text"))
            raise TaskError("start failed: QEMU exited with code 1")

    async def _ask_to_power_off(self, vm: Any, call: Call, log: Log) -> None:
        pve = self.front.pve
        timeout_s = int(call.values.get("timeout", pve.shutdown_default_timeout))
        if vm.acpi and vm.shutdown_secs <= timeout_s:
            await pve.pause(vm.shutdown_secs)
            asked_at = time.monotonic()
            await self._power_off(vm, graceful_s=float(timeout_s))
            if time.monotonic() - asked_at < timeout_s or int(call.values.get("forceStop", 0)):
                return
            # The driver had to power off. Proxmox would have left the VM on; its task fails in both cases.
            raise TaskError(NOT_DOWN)
        await pve.pause(timeout_s)
        if not int(call.values.get("forceStop", 0)):
            raise TaskError(NOT_DOWN)
        log("VM still running - terminating now with SIGTERM")
        await self._power_off(vm, graceful_s=0.0)

    async def _power_on(self, vm: Any) -> None:
        try:
            await self.front.supervisor.power_on(vm)
        except GuestError as error:
            raise TaskError(f"start failed: {error}") from error

    async def _power_off(self, vm: Any, *, graceful_s: float) -> None:
        try:
            await self.front.supervisor.power_off(vm, graceful_s=graceful_s)
        except GuestError as error:
            raise TaskError(str(error)) from error


def _missing_snippet(front: Front, config: Mapping[str, Any]) -> str:
    """The first missing file of `cicustom`; empty if none is missing."""
    for volume in options_of(str(config.get("cicustom", ""))).values():
        storage, _, path = volume.partition(":")
        if path not in front.pve.storages.get(storage, {}).get("volumes", {}):
            return volume
    return ""
