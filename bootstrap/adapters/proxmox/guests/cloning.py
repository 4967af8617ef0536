"""Clones and new containers: requests that must not be repeated without a look at what the first one made."""

from __future__ import annotations

from collections.abc import Mapping

from bootstrap.adapters.proxmox.client.api import Api
from bootstrap.adapters.proxmox.client.tasks import POLL_EVERY_S, Tasks
from bootstrap.errors import TaskFailedError, TransientError, VmidTakenError, VmNotFoundError
from bootstrap.model.ids import PveNodeName, Vmid
from bootstrap.ports import CloneRequest, ContainerRequest, Warn
from bootstrap.proxmox.failures import AnswerLostError
from bootstrap.proxmox.reading import configs, containers
from bootstrap.waiting import Condition, NotYet

Request = CloneRequest | ContainerRequest

KILLED = "unexpected status"
"""The exit status of a task whose worker was killed; what it had created remains."""


class Cloning:
    """Clones templates and creates containers; after a lost answer it looks for the guest before it asks again.

    Args:
        api: The Proxmox VE API.
        tasks: Awaits its tasks.
    """

    def __init__(self, api: Api, tasks: Tasks) -> None:
        self._api = api
        self._tasks = tasks
        self._asked: set[str] = set()

    def was_asked_for(self, description: str) -> bool:
        """Whether this process has asked for a clone with that record."""
        return description.rstrip("\n") in self._asked

    def clone(self, request: CloneRequest, *, what: str, warn: Warn) -> None:
        """Clone and await it.

        Raises:
            VmidTakenError: The VMID is another guest's.
        """
        path = f"nodes/{request.template_pve_node}/qemu/{request.template}/clone"
        self._asked.add(request.description.rstrip("\n"))
        try:
            self._make(request, path, _parameters(request), what=what, warn=warn)
        except VmNotFoundError as error:
            error.resolution = (
                f"the template {request.template} was removed: put it back, or name another one in the inventory "
                "(template)"
            )
            raise
        except TaskFailedError as error:
            if error.exit_status == KILLED:
                error.resolution = _resolution(request)
            raise

    def create(self, request: ContainerRequest, *, what: str, warn: Warn) -> None:
        """Make a container and await it.

        Raises:
            VmidTakenError: The VMID is another guest's.
        """
        parameters: dict[str, str | int] = {
            **request.settings,
            "vmid": request.vmid,
            "hostname": request.name,
            "description": request.description,
        }
        if request.resource_pool is not None:
            parameters["pool"] = request.resource_pool
        path = f"nodes/{request.pve_node}/lxc"
        self._make(request, path, parameters, what=what, warn=warn)

    def _make(self, request: Request, path: str, parameters: Mapping[str, str | int], *, what: str, warn: Warn) -> None:
        """Send the request, and send it again only where the first one has made nothing."""
        self.ask_for(request.vmid, what=what)
        lost = False

        def attempt() -> None:
            nonlocal lost
            if lost and self._made(request, what=what):
                return
            try:
                self._tasks.run("post", path, what=what, parameters=parameters, warn=warn)
            except AnswerLostError:
                lost = True
                raise
            except VmidTakenError:
                # Our own lost request can have taken it, and its VM may only have appeared after we looked.
                if not (lost and self._made(request, what=what)):
                    raise

        self._api.retry(attempt)

    def ask_for(self, vmid: Vmid, *, what: str) -> None:
        """Raise where a VMID is in use, also by VMs that the token cannot see; needs no privilege.

        Proxmox VE finds a vmid of another Proxmox node only in a clone's task (PVE 9.2, observed).

        Raises:
            VmidTakenError: It is not.
        """
        self._api.read("cluster/nextid", what=what, vmid=vmid)

    def _made(self, request: Request, *, what: str) -> bool:
        """Whether the guest exists and is the requested one, by description and name; waits until its task is done.

        Raises:
            TransientError: It disappeared: the task failed and was cleaned up.
        """
        if self._look(request) is None:
            return False
        found = self._api.wait(
            Condition(
                what=f"the Proxmox task to {what}",
                poll=lambda: self._poll(request),
                every_s=POLL_EVERY_S,
                resolution=_resolution(request),
            ),
            timeout_s=self._tasks.timeout_s,
        )
        if not found:
            raise TransientError(f"cannot {what}", details="it disappeared before it was finished")
        return True

    def _poll(self, request: Request) -> bool | NotYet:
        lock = self._look(request)
        if lock is None:
            return False
        return NotYet(f"the VM is locked ({lock})") if lock else True

    def _look(self, request: Request) -> str | None:
        """The config lock of the guest, empty where it has none; None where there is no guest, or another one.

        A clone to another Proxmox node is on the template's until it is done (`PVE/API2/Qemu.pm`, clone_vm).
        """
        places = [request.pve_node, *([request.template_pve_node] if isinstance(request, CloneRequest) else [])]
        for pve_node in dict.fromkeys(places):
            found = self._look_on(request, pve_node)
            if found is not None:
                return found
        return None

    def _look_on(self, request: Request, pve_node: PveNodeName) -> str | None:
        kind, key = ("qemu", "name") if isinstance(request, CloneRequest) else ("lxc", "hostname")
        path = f"nodes/{pve_node}/{kind}/{request.vmid}/config"
        try:
            config = configs.scalars(self._api.read(path, what=f"look for VM {request.vmid} on {pve_node}"))
        except VmNotFoundError:
            return None
        # The record comes after the lock: until then it may be the requested one.
        if configs.unfinished(config) if kind == "qemu" else containers.unfinished(config):
            return configs.setting(config, "lock")
        ours = (request.description.rstrip("\n"), str(request.name))
        if (configs.setting(config, "description").rstrip("\n"), configs.setting(config, key)) != ours:
            return None
        return configs.setting(config, "lock")


def _resolution(request: Request) -> str:
    """How to remove one whose creation was interrupted; a clone is on the template's Proxmox node until it is done."""
    pve_node, tool = (
        (request.template_pve_node, "qm") if isinstance(request, CloneRequest) else (request.pve_node, "pct")
    )
    return (
        f"if no task is working on it, as root on {pve_node}: {tool} unlock {request.vmid} && "
        f"{tool} destroy {request.vmid}"
    )


def _parameters(request: CloneRequest) -> dict[str, str | int]:
    """The request as Proxmox VE takes it; it refuses `storage` with a linked clone."""
    parameters: dict[str, str | int] = {
        "newid": request.vmid,
        "name": request.name,
        "description": request.description,
        "full": int(request.full),
    }
    if request.template_pve_node != request.pve_node:
        parameters["target"] = request.pve_node
    if request.full and request.storage is not None:
        parameters["storage"] = request.storage
    if request.resource_pool is not None:
        parameters["pool"] = request.resource_pool
    return parameters
