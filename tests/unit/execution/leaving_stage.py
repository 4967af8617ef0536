"""A cluster of the fake world from which machines leave."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from bootstrap.events import Event
from bootstrap.execution.context import Done, RunContext
from bootstrap.execution.dispatch import perform
from bootstrap.execution.guests.guest_agent_pacing import AgentPacing
from bootstrap.execution.run_facts import ClusterAccess, Findings
from bootstrap.model.cluster import VmidRange
from bootstrap.model.ids import MachineName, PoolName, Vmid
from bootstrap.model.machine import MachineRecord, RecordState, Role
from bootstrap.model.observed import OWNER_TAG, KubeNode, Pod
from bootstrap.planning.plan import Plan, VmPlace
from bootstrap.planning.steps import Step
from bootstrap.ports import KubeApi
from bootstrap.records.vms.machine import read_record
from tests.fakes.certificates import k3s_yaml
from tests.fakes.keys import sealed
from tests.fakes.specs import DEMO, cluster
from tests.fakes.world import PVE1, FakeVm, World
from tests.fakes.world.workloads import FakePod

CP1, CP2 = MachineName("demo-cp-1"), MachineName("demo-cp-2")
W1, W2 = MachineName("demo-workers-1"), MachineName("demo-workers-2")


@dataclass
class Stage:
    """A cluster of the fake world, and a run in it."""

    world: World = field(default_factory=World)
    events: list[Event] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        for number, name in enumerate((CP1, CP2, W1, W2), 7000):
            self._machine(name, Vmid(number))
        plan = Plan(
            command="scale",
            cluster=DEMO,
            machines=(),
            lanes=(),
            vmids=VmidRange(first=Vmid(7000), last=Vmid(7099)),
        )
        findings = Findings(plan)
        for vm in self.world.vms.values():
            place = VmPlace(machine=MachineName(vm.name), pve_node=PVE1, vmid=vm.vmid, identity=vm.smbios_uuid)
            findings.places.put(place.machine, place)
        address = self.vm(CP1).address
        kubeconfig = k3s_yaml("demo", f"https://{address}:6443")
        kube = self.world.ports.kube.connect(kubeconfig)
        findings.access.put(
            "cluster",
            ClusterAccess(address=address, token=f"K10{'ab' * 32}::server:x", kubeconfig=kubeconfig, kube=kube),
        )
        self.context = RunContext(
            spec=cluster(),
            ports=self.world.ports,
            findings=findings,
            pacing=AgentPacing(first_ask_s=0.0),
            token="x",
            deadline_s=10_000.0,
            emit=self.events.append,
            stop=self.stop,
            lane="lane",
        )

    def _machine(self, name: MachineName, vmid: Vmid) -> None:
        server = "-cp-" in name
        vm = FakeVm(vmid=vmid, name=name, pve_node=PVE1, tags=OWNER_TAG, running=True)
        vm.unit = "k3s" if server else "k3s-agent"
        vm.description = sealed(
            MachineRecord(
                cluster=DEMO,
                machine=name,
                role=Role.CONTROL_PLANE if server else Role.WORKER,
                pool=PoolName("control-plane" if server else "workers"),
                vmid=vmid,
                state=RecordState.MADE,
                address=IPv4Address("192.0.2.9"),
            ),
            vm.smbios_uuid,
        )
        self.world.vms[vmid] = vm
        self.world.kube_nodes[name] = KubeNode(
            name=name,
            ready=True,
            address=vm.address,
            roles=frozenset({"control-plane", "etcd"} if server else set()),
            unschedulable=server,
        )

    def vm(self, name: MachineName) -> FakeVm:
        vm = self.world.vm_named(name)
        assert vm is not None
        return vm

    def state(self, name: MachineName) -> RecordState:
        record = read_record(self.vm(name).description)
        assert record is not None
        return record.state

    def put(self, *pods: FakePod) -> None:
        self.world.workloads.pods.extend(pods)

    @property
    def kube(self) -> KubeApi:
        return self.context.findings.access.need("cluster").kube

    def perform(self, step: Step) -> Done:
        return perform(step, self.context)

    def schedulable(self, name: MachineName = W1) -> bool:
        return not self.world.kube_nodes[name].unschedulable

    def on(self, name: MachineName = W1) -> set[str]:
        return {pod.name for pod in self.world.workloads.on(name, self.world)}

    def evicted(self) -> list[str]:
        return [entry.removeprefix("evict ") for entry in self.world.journal if entry.startswith("evict ")]


def pod(name: str, controller: str = "ReplicaSet", *, on: MachineName | None = W1, **more: bool) -> FakePod:
    value = Pod(namespace="default", name=name, uid=f"uid-{name}", controller=controller, **more)
    return FakePod(pod=value, on=on, app=name.partition("-")[0])
