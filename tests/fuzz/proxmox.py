"""Proxmox VE's answers, broken: everything that the adapter reads, over the recording of a small cluster."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from bootstrap.adapters.proxmox.client.api import Api
from bootstrap.adapters.proxmox.hypervisor import ProxmoxHypervisor
from bootstrap.errors import HypervisorError
from bootstrap.model.access.endpoint import ApiToken, PveEndpoint, TlsSpec
from bootstrap.model.access.rights import RightsNeeded
from bootstrap.model.cluster import VmidRange
from bootstrap.model.ids import ClusterName, PveNodeName, StorageName, Vmid
from tests.fakes.clock import SteppingClock
from tests.fakes.keys import KEYS
from tests.fuzz.mutations import Mutator
from tests.fuzz.running import Area

RECORDING = Path(__file__).parent / "recordings" / "proxmox.json"
PVE1 = PveNodeName("pve1")
VM, CT, MARKER = Vmid(7001), Vmid(7002), Vmid(7999)
VMIDS = VmidRange(first=Vmid(7000), last=Vmid(7999))
ENDPOINT = PveEndpoint(
    url="https://192.0.2.1:8006", token=ApiToken(user="a@pve", name="b", secret="c"), tls=TlsSpec(insecure=True)
)

Answers = Mapping[str, Any]
Act = Callable[[ProxmoxHypervisor], object]


@cache
def recorded() -> Answers:
    answers: Answers = json.loads(RECORDING.read_text(encoding="utf-8"))
    return answers


class CannedApi(Api):
    """Answers from a recording; what is not in it is refused.

    Attributes:
        asked: The keys of what was asked for.
    """

    def __init__(self, answers: Answers) -> None:
        super().__init__(
            ENDPOINT,
            clock=SteppingClock(),
            stop=threading.Event(),
            connect_timeout_s=1.0,
            request_timeout_s=1.0,
            retry_for_s=1.0,
        )
        self.answers = answers
        self.asked: set[str] = set()

    def send(self, method: str, path: str, *, what: str, parameters: Mapping[str, str | int]) -> Any:
        query = "&".join(f"{key}={value}" for key, value in sorted(parameters.items()))
        key = f"{method.upper()} {path}" + (f"?{query}" if query and method == "get" else "")
        self.asked.add(key)
        if key not in self.answers:
            raise HypervisorError(f"cannot {what}", details="it is not recorded")
        return self.answers[key]


def connected(api: Api) -> ProxmoxHypervisor:
    """The adapter over an API, with waits that end soon."""
    return ProxmoxHypervisor(api, keys=KEYS, pools={}, task_timeout_s=2.0, ha_wait_s=2.0)


def _read_container(hypervisor: ProxmoxHypervisor) -> object:
    hypervisor.machines()
    return hypervisor.read_vm(CT, pve_node=PVE1), hypervisor.guest_interfaces(CT, pve_node=PVE1)


def _warn(message: str) -> None:
    del message


ACTS: Mapping[str, tuple[int, Act]] = {
    "observe": (400, lambda hypervisor: hypervisor.observe(cluster=ClusterName("demo"), vmids=VMIDS)),
    "machines": (300, lambda hypervisor: hypervisor.machines()),
    "templates": (300, lambda hypervisor: hypervisor.templates.templates()),
    "vm": (300, lambda hypervisor: hypervisor.read_vm(VM, pve_node=PVE1)),
    "container": (300, _read_container),
    "guest agent": (300, lambda hypervisor: hypervisor.guest_interfaces(VM, pve_node=PVE1)),
    "guest file": (
        100,
        lambda hypervisor: hypervisor.read_guest_file(VM, pve_node=PVE1, path="/etc/ssh/ssh_host_ed25519_key.pub"),
    ),
    "marker": (150, lambda hypervisor: hypervisor.markers.find(MARKER)),
    "ostemplates": (150, lambda hypervisor: hypervisor.ostemplates()),
    "volumes": (100, lambda hypervisor: hypervisor.templates.volumes(PVE1, StorageName("local"), content="iso")),
    "packages": (100, lambda hypervisor: hypervisor.package_versions(PVE1)),
    "rights": (
        200,
        lambda hypervisor: hypervisor.missing_privileges(
            RightsNeeded(vnets=frozenset({"vn1"}), bridges=("vn1",), tags=("homelab-k8s",), own_vmids=(VM,))
        ),
    ),
    "task": (200, lambda hypervisor: hypervisor.start(VM, pve_node=PVE1, warn=_warn)),
}


@cache
def _asked_by(name: str) -> tuple[str, ...]:
    """What an act asks for; without breakage none of it fails."""
    api = CannedApi(recorded())
    ACTS[name][1](connected(api))
    return tuple(sorted(api.asked & api.answers.keys()))


def _area(name: str) -> Area:
    inputs, act = ACTS[name]

    def make(mutator: Mutator) -> Answers:
        key = mutator.random.choice(_asked_by(name))
        return {**recorded(), key: mutator.value(recorded()[key])}

    return Area(
        name=f"proxmox {name}", make=make, read=lambda answers: act(connected(CannedApi(answers))), inputs=inputs
    )


AREAS = tuple(map(_area, ACTS))
