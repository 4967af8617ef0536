"""Starts, stops and destroys VMs and containers, also those that Proxmox HA manages.

For a managed VM a start or stop is only a request: the task (`hastart`, `hastop`) ends well while the VM keeps running
for 10 to 20 s, so the VM is waited for. `overrule-shutdown` is refused for it, and so is its removal without `purge`,
which removes it from HA's configuration (all seen on Proxmox VE 9.2).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from bootstrap.adapters.proxmox.client.api import Api
from bootstrap.adapters.proxmox.client.tasks import Tasks
from bootstrap.adapters.proxmox.client.upid import parse_upid
from bootstrap.adapters.proxmox.guests.registry import GuestAt, GuestRegistry
from bootstrap.errors import HypervisorError, TaskFailedError, VmNotFoundError
from bootstrap.model.ids import PveNodeName, Vmid
from bootstrap.model.machine import MachineKind
from bootstrap.model.reading import Reading
from bootstrap.ports import Warn
from bootstrap.proxmox.reading.configs import ha_managed
from bootstrap.waiting import Condition, NotYet

HA_WAIT_S = 180.0
"""HA checks every 10 s, and the start or stop itself takes time as well."""
_OVERRULE_SINCE = (8, 3)
"""Since then `stop` can end a `shutdown` that is under way, instead of waiting for its lock in vain."""

_LOOK_S = 0.5
_STOPPING = ("request_stop", "stopped", "disabled")

logger = logging.getLogger(__name__)


class GuestPower:
    """Switches guests on and off, and removes them: these methods of `bootstrap.ports.Hypervisor`.

    Args:
        api: The Proxmox VE API.
        tasks: Awaits its tasks.
        guests: Names guests, and finds those that moved.
        ha_wait_s: How long Proxmox HA may take to do what it was asked.
    """

    def __init__(self, api: Api, tasks: Tasks, guests: GuestRegistry, *, ha_wait_s: float = HA_WAIT_S) -> None:
        self._api = api
        self._tasks = tasks
        self._guests = guests
        self._ha_wait_s = ha_wait_s

    def start(self, vmid: Vmid, *, pve_node: PveNodeName, warn: Warn) -> None:
        """See `Hypervisor.start`."""
        try:
            self._power("start", self._guests.at(vmid, pve_node), {}, warn)
        except TaskFailedError as error:
            if "already running" not in error.exit_status:
                raise
        except HypervisorError as error:
            # For a container the request itself is refused (pve-container: API2/LXC/Status.pm).
            if f"CT {vmid} already running" not in error.details:
                raise

    def resume(self, vmid: Vmid, *, pve_node: PveNodeName, warn: Warn) -> None:
        """See `Hypervisor.resume`. For a VM that HA manages too it is a task of its own: HA knows nothing of pauses."""
        self._power("resume", self._guests.at(vmid, pve_node), {}, warn)

    def shutdown(self, vmid: Vmid, *, pve_node: PveNodeName, timeout_s: int, warn: Warn) -> None:
        """See `Hypervisor.shutdown`."""
        parameters = {"timeout": timeout_s, "forceStop": 1}
        self._off("shutdown", self._guests.at(vmid, pve_node), parameters, warn, wait_s=timeout_s)

    def stop(self, vmid: Vmid, *, pve_node: PveNodeName, warn: Warn) -> None:
        """See `Hypervisor.stop`. A shutdown that is under way is overruled, where this Proxmox VE can."""
        guest, version = self._guests.at(vmid, pve_node), self._api.version()
        if (version.major, version.minor) < _OVERRULE_SINCE or self._guests.is_ha_managed(vmid):
            self._off("stop", guest, {}, warn)
            return
        try:
            self._off("stop", guest, {"overrule-shutdown": 1}, warn)
        except HypervisorError as error:
            if "Not applicable for HA resources" not in error.details:
                raise
            self._off("stop", guest, {}, warn)

    def destroy(self, vmid: Vmid, *, pve_node: PveNodeName, warn: Warn) -> None:
        """See `Hypervisor.destroy`. Disks that the guest's config does not name are left alone."""
        guest = self._guests.at(vmid, pve_node)
        # Proxmox VE's default for disks that no config names has changed over time; they may belong to other guests.
        parameters: dict[str, str | int] = {"purge": 1, "destroy-unreferenced-disks": 0}

        def act(now: GuestAt) -> None:
            self._tasks.repeat("delete", now.path, what=f"destroy {now}", parameters=parameters, warn=warn)

        try:
            self._guests.follow(vmid, pve_node, act)
        except VmNotFoundError as error:
            logger.info("%s", error)
        except HypervisorError as error:
            if "is running" in error.details and ha_managed(self._status(guest)):
                raise self._started_again(guest, "destroy", error.details) from error
            raise
        # Not by its config: a token with rights on a pool alone gets a 403 for a VM that is gone.
        left = self._guests.locate(vmid, was_on=self._guests.latest(vmid, pve_node).pve_node)
        if left is not None:
            raise HypervisorError(
                f"cannot destroy {self._guests.at(vmid, left)}",
                details="the task ended well, but the VM is still listed",
            )
        self._guests.forget(vmid)

    def _off(
        self, verb: str, guest: GuestAt, parameters: Mapping[str, str | int], warn: Warn, *, wait_s: float = 0.0
    ) -> None:
        """Power off; a guest that is off already is fine, whichever way this Proxmox VE says so.

        It says the same of a container that runs on another Proxmox node, since it looks at its own processes only
        (pve-container: API2/LXC/Status.pm).
        """
        try:
            self._power(verb, guest, parameters, warn, wait_s=wait_s)
        except HypervisorError as error:
            if not any(f"{word} {guest.vmid} not running" in error.details for word in ("VM", "CT")):
                raise
            if self._runs(guest):
                self._power(verb, guest, parameters, warn, wait_s=wait_s)

    def _power(
        self, verb: str, guest: GuestAt, parameters: Mapping[str, str | int], warn: Warn, *, wait_s: float = 0.0
    ) -> None:
        def act(now: GuestAt) -> str:
            path = f"{now.path}/status/{verb}"
            return self._tasks.repeat("post", path, what=f"{verb} {now}", parameters=parameters, warn=warn)

        upid = self._guests.follow(guest.vmid, guest.pve_node, act)
        task = parse_upid(upid)
        if task is not None and task.kind in ("hastart", "hastop"):
            self._await_ha(verb, guest, wait_s=self._ha_wait_s + wait_s)

    def _await_ha(self, verb: str, guest: GuestAt, *, wait_s: float) -> None:
        """Wait until Proxmox HA has done what it was asked."""
        seen: set[str] = set()
        running = verb == "start"

        def poll() -> bool | NotYet:
            status = self._status(guest)
            state = status.at("ha").at("state").text("")
            if (status.at("status").value == "running") is running:
                return True
            if not running and state == "started" and seen.intersection(_STOPPING):
                raise self._started_again(guest, verb, "its HA state is started again")
            seen.add(state)
            return NotYet(f"it is {status.at('status').text('unknown')}, its HA state is {state or 'unknown'}")

        self._api.wait(
            Condition(
                what=f"Proxmox HA to {verb} {self._guests.latest(guest.vmid, guest.pve_node)}",
                poll=poll,
                every_s=_LOOK_S,
                resolution="`ha-manager status` on a Proxmox node shows what HA does (it does nothing to a VM in state "
                f"error: `ha-manager set {self._sid(guest)} --state disabled`); then run the command again",
            ),
            timeout_s=wait_s,
        )

    def _runs(self, guest: GuestAt) -> bool:
        try:
            return self._status(guest).at("status").value == "running"
        except VmNotFoundError as error:
            logger.info("%s", error)
            return False

    def _status(self, guest: GuestAt) -> Reading:
        def act(now: GuestAt) -> Reading:
            return self._api.read(f"{now.path}/status/current", what=f"read {now}")

        return self._guests.follow(guest.vmid, guest.pve_node, act)

    def _started_again(self, guest: GuestAt, verb: str, details: str) -> HypervisorError:
        return HypervisorError(
            f"cannot {verb} {self._guests.latest(guest.vmid, guest.pve_node)}: Proxmox HA was set to start it again",
            details=details,
            resolution=f"take it out of HA (`ha-manager remove {self._sid(guest)}` on a Proxmox node), then run the "
            "command again",
        )

    def _sid(self, guest: GuestAt) -> str:
        """Proxmox HA's name for a guest."""
        return f"{'vm' if self._guests.kind(guest.vmid) is MachineKind.VM else 'ct'}:{guest.vmid}"
