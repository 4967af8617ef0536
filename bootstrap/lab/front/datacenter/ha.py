"""`/cluster/ha/...`: which VMs Proxmox HA manages. A token with the role that `init` prints has no access."""
# ruff: noqa: ANN401 - fakepve has no types, and JSON has any shape

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fakepve import PveError
from fakepve.lxc import FakeCt

from bootstrap.lab.front.gateway.call import Answer, Call, Handler
from bootstrap.lab.front.gateway.context import Front
from bootstrap.lab.front.gateway.tasks import Log, start_task

ONE = "/cluster/ha/resources/{sid}"


async def ha_task(front: Front, call: Call, vm: Any, *, state: str, graceful_s: float = 0.0) -> Answer:
    """A start or stop of a managed VM: a task that leaves a request and ends at once (`hastart`, `hastop`)."""
    verb = "start" if state == "started" else "stop"

    async def body(log: Log) -> None:
        log(f"Requesting HA {verb} for {_word(vm)} {vm.vmid}")
        front.ha.request(vm, state, graceful_s=graceful_s)

    return Answer(await start_task(front, call, kind=f"ha{verb}", vmid=vm.vmid, body=body))


class Ha:
    """The resources of Proxmox HA."""

    def __init__(self, front: Front) -> None:
        self.front = front

    def handlers(self) -> Mapping[tuple[str, str], Handler]:
        """What this part answers."""
        return {
            ("GET", "/cluster/ha/resources"): self.listing,
            ("POST", "/cluster/ha/resources"): self.add,
            ("GET", ONE): self.read,
            ("PUT", ONE): self.change,
            ("DELETE", ONE): self.remove,
            ("GET", "/cluster/ha/status/current"): self.status,
        }

    async def listing(self, _call: Call) -> Answer:
        """All of them."""
        return Answer([self._row(vm) for vm in self.front.ha.managed()])

    async def add(self, call: Call) -> Answer:
        """Add a resource; `sid` is `vm:7001`, `ct:7001` or only the VMID."""
        vm = self._guest(str(call.values["sid"]))
        if vm is None:
            raise PveError(500, f"unable to add resource - VM/CT {_vmid(str(call.values['sid']))} does not exist")
        if vm.ha_managed:
            raise PveError(500, f"resource ID '{_sid(vm)}' already defined")
        self.front.ha.manage(vm, str(call.values.get("state", "started")))
        return Answer()

    async def read(self, call: Call) -> Answer:
        """One of them."""
        return Answer(self._row(self._managed(call)))

    async def change(self, call: Call) -> Answer:
        """Set its requested state."""
        vm = self._managed(call)
        if "state" in call.values:
            self.front.ha.manage(vm, str(call.values["state"]))
        return Answer()

    async def remove(self, call: Call) -> Answer:
        """Remove the resource; the VM stays as it is."""
        self.front.ha.forget(self._managed(call))
        return Answer()

    async def status(self, _call: Call) -> Answer:
        """The status of the manager and its resources."""
        quorum = {
            "id": "quorum",
            "node": next(iter(self.front.pve.nodes)),
            "quorate": 1,
            "status": "OK",
            "type": "quorum",
        }
        rows = [
            {**self._row(vm), "id": f"service:{_sid(vm)}", "node": vm.node, "type": "service"}
            for vm in self.front.ha.managed()
        ]
        return Answer([quorum, *rows])

    def _managed(self, call: Call) -> Any:
        sid = str(call.values["sid"])
        vm = self._guest(sid)
        if vm is None or not vm.ha_managed:
            raise PveError(500, f"no such resource '{sid}'")
        return vm

    def _guest(self, sid: str) -> Any:
        return self.front.pve.guest(_vmid(sid))

    def _row(self, vm: Any) -> dict[str, Any]:
        return {"sid": _sid(vm), "type": _sid(vm)[:2], "state": self.front.ha.wanted(vm)}


def _vmid(sid: str) -> int:
    return int(sid.rpartition(":")[2])


def _sid(vm: Any) -> str:
    return f"{'ct' if isinstance(vm, FakeCt) else 'vm'}:{vm.vmid}"


def _word(vm: Any) -> str:
    return "CT" if isinstance(vm, FakeCt) else "VM"
