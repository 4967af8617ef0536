"""Starting, stopping and destroying VMs and containers, those that Proxmox HA manages too.

Of a managed VM a start or stop is no more than a request: the task (`hastart`, `hastop`) has ended well while the VM
runs on for 10 to 20 s. So the VM is waited for. `overrule-shutdown` is refused for it, and so is its removal without
`purge`, which takes it out of HA's configuration (all seen on Proxmox VE 9.2).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bootstrap.adapters.proxmox.client.api import Api
from bootstrap.adapters.proxmox.client.tasks import Tasks
from bootstrap.adapters.proxmox.guests.locations import WORDS, Whereabouts
from bootstrap.errors import HypervisorError, TaskFailedError, VmNotFoundError
from bootstrap.model.ids import PveNodeName, Vmid
from bootstrap.model.machine import MachineKind
from bootstrap.model.reading import Reading
from bootstrap.ports import Clock, Warn
from bootstrap.proxmox.reading.configs import ha_managed
from bootstrap.waiting import Condition, NotYet, WaitContext, wait_for

HA_WAIT_S = 180.0
"""HA looks every 10 s, and a start or stop on its own takes its time on top."""

_LOOK_S = 0.5
_HA_TASKS = ("hastart", "hastop")
_NO_OVERRULE = "Not applicable for HA resources"
_STOPPING = ("request_stop", "stopped", "disabled")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Guest:
    """A VM or container as calls name it.

    Attributes:
        pve_node: Where it was seen.
        name: How errors name it on a Proxmox node: `VM 7001 (demo-cp-1) on pve1`.
    """

    vmid: Vmid
    kind: MachineKind
    pve_node: PveNodeName
    name: Callable[[PveNodeName], str]

    def path(self, pve_node: PveNodeName) -> str:
        """Its path in the API."""
        return f"nodes/{pve_node}/{WORDS[self.kind]}/{self.vmid}"


class Power:
    """Switches guests on and off, and removes them.

    Args:
        api: The Proxmox VE API.
        tasks: Awaits its tasks.
        whereabouts: Follows guests that moved.
        clock: For pauses and deadlines.
        stop: Ends waits early.
        ha_wait_s: How long Proxmox HA may take to do what it was asked.
    """

    def __init__(
        self,
        api: Api,
        tasks: Tasks,
        whereabouts: Whereabouts,
        *,
        clock: Clock,
        stop: threading.Event,
        ha_wait_s: float = HA_WAIT_S,
    ) -> None:
        self._api = api
        self._tasks = tasks
        self._whereabouts = whereabouts
        self._clock = clock
        self._stop = stop
        self._ha_wait_s = ha_wait_s

    def start(self, guest: Guest, *, warn: Warn) -> None:
        """See `Hypervisor.start`."""
        try:
            self._power("start", guest, {}, warn, wait_s=0.0)
        except TaskFailedError as error:
            if "already running" not in error.exit_status:
                raise
        except HypervisorError as error:
            # Of a container the request itself is refused (pve-container: API2/LXC/Status.pm).
            if f"CT {guest.vmid} already running" not in error.details:
                raise

    def resume(self, guest: Guest, *, warn: Warn) -> None:
        """See `Hypervisor.resume`. Of a managed VM too it is a task of its own: HA knows nothing of pauses."""
        self._power("resume", guest, {}, warn, wait_s=0.0)

    def shutdown(self, guest: Guest, *, timeout_s: int, warn: Warn) -> None:
        """See `Hypervisor.shutdown`."""
        self._off("shutdown", guest, {"timeout": timeout_s, "forceStop": 1}, warn, wait_s=timeout_s)

    def stop(self, guest: Guest, *, overrule: bool, warn: Warn) -> None:
        """See `Hypervisor.stop`.

        Args:
            guest: Which.
            overrule: Whether to end a `shutdown` that is under way, which not every Proxmox VE can, nor HA.
            warn: Takes warnings.
        """
        if not overrule:
            self._off("stop", guest, {}, warn)
            return
        try:
            self._off("stop", guest, {"overrule-shutdown": 1}, warn)
        except HypervisorError as error:
            if _NO_OVERRULE not in error.details:
                raise
            self._off("stop", guest, {}, warn)

    def destroy(self, guest: Guest, *, warn: Warn) -> None:
        """See `Hypervisor.destroy`."""
        # Proxmox VE's own default for disks that no config names has changed over time; they may be anybody's.
        parameters: dict[str, str | int] = {"purge": 1, "destroy-unreferenced-disks": 0}

        def act(pve_node: PveNodeName) -> None:
            what = f"destroy {guest.name(pve_node)}"
            self._run("delete", guest.path(pve_node), what, pve_node, parameters, warn)

        try:
            self._whereabouts.follow(guest.vmid, guest.pve_node, act, kind=guest.kind)
        except VmNotFoundError as error:
            logger.info("%s", error)
        except HypervisorError as error:
            if "is running" in error.details and self._is_managed(guest):
                raise self._started_again(guest, "destroy", error.details) from error
            raise
        was_on = self._whereabouts.of(guest.vmid, guest.pve_node)
        # Not by its config: a token with rights on a pool alone gets a 403 for a VM that is gone.
        left = self._whereabouts.locate(guest.vmid, kind=guest.kind, was_on=was_on)
        if left is not None:
            raise HypervisorError(
                f"cannot destroy {guest.name(left)}", details="the task ended well, but the VM is still listed"
            )
        self._whereabouts.forget(guest.vmid)

    def _off(
        self, verb: str, guest: Guest, parameters: Mapping[str, str | int], warn: Warn, *, wait_s: float = 0.0
    ) -> None:
        """Power off; a guest that is off already is fine, whichever way this Proxmox VE says so.

        Of a container that runs on another Proxmox node it says so too: only its own processes are looked at there
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
        self, verb: str, guest: Guest, parameters: Mapping[str, str | int], warn: Warn, *, wait_s: float
    ) -> None:
        def act(pve_node: PveNodeName) -> str:
            path = f"{guest.path(pve_node)}/status/{verb}"
            return self._run("post", path, f"{verb} {guest.name(pve_node)}", pve_node, parameters, warn)

        upid = self._whereabouts.follow(guest.vmid, guest.pve_node, act, kind=guest.kind)
        if _task_type(upid) in _HA_TASKS:
            self._await_ha(verb, guest, running=verb == "start", wait_s=self._ha_wait_s + wait_s)

    def _await_ha(self, verb: str, guest: Guest, *, running: bool, wait_s: float) -> None:
        """Wait until Proxmox HA has done what it was asked."""
        seen: set[str] = set()

        def poll() -> bool | NotYet:
            status = self._status(guest)
            state = _ha_state(status)
            if (status.at("status").value == "running") is running:
                return True
            if not running and state == "started" and seen.intersection(_STOPPING):
                raise self._started_again(guest, verb, "its HA state is started again")
            seen.add(state)
            return NotYet(f"it is {status.at('status').text('unknown')}, its HA state is {state or 'unknown'}")

        where = guest.name(self._whereabouts.of(guest.vmid, guest.pve_node))
        wait_for(
            Condition(
                what=f"Proxmox HA to {verb} {where}",
                poll=poll,
                every_s=_LOOK_S,
                resolution="`ha-manager status` on a Proxmox node shows what HA does (it does nothing to a VM in state "
                f"error: `ha-manager set {_sid(guest)} --state disabled`); then run the command again",
            ),
            WaitContext(
                clock=self._clock,
                deadline_s=self._clock.now_s() + wait_s,
                stop=self._stop,
                say=lambda waited_for, problem, seconds: logger.info("%s: %s (%.0f s)", waited_for, problem, seconds),
            ),
        )

    def _runs(self, guest: Guest) -> bool:
        try:
            return self._status(guest).at("status").value == "running"
        except VmNotFoundError as error:
            logger.info("%s", error)
            return False

    def _is_managed(self, guest: Guest) -> bool:
        return ha_managed(self._status(guest))

    def _status(self, guest: Guest) -> Reading:
        def act(pve_node: PveNodeName) -> Reading:
            return self._api.read(f"{guest.path(pve_node)}/status/current", what=f"read {guest.name(pve_node)}")

        return self._whereabouts.follow(guest.vmid, guest.pve_node, act, kind=guest.kind)

    def _started_again(self, guest: Guest, verb: str, details: str) -> HypervisorError:
        where = guest.name(self._whereabouts.of(guest.vmid, guest.pve_node))
        return HypervisorError(
            f"cannot {verb} {where}: Proxmox HA was told to start it again",
            details=details,
            resolution=f"take it out of HA (`ha-manager remove {_sid(guest)}` on a Proxmox node), then run the command "
            "again",
        )

    def _run(
        self,
        method: str,
        path: str,
        what: str,
        pve_node: PveNodeName,
        parameters: Mapping[str, str | int],
        warn: Warn,
    ) -> str:
        """Start a task that may be started twice, await it, and retry what is transient."""
        return self._api.retry(
            lambda: self._tasks.run(method, path, what=what, pve_node=pve_node, parameters=parameters, warn=warn)
        )


def _task_type(upid: str) -> str:
    """`UPID:node:pid:pstart:starttime:type:id:user:`."""
    parts = upid.split(":")
    return parts[5] if len(parts) > 5 else ""


def _ha_state(status: Reading) -> str:
    return status.at("ha").at("state").text("")


def _sid(guest: Guest) -> str:
    return f"{'vm' if guest.kind is MachineKind.VM else 'ct'}:{guest.vmid}"
