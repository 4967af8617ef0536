"""Whole commands over broken answers: what is odd and yet readable must not end planning either."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from bootstrap.commands.reports.clusters import all_clusters
from bootstrap.commands.reports.doctor import diagnose
from bootstrap.commands.reports.status import cluster_status
from bootstrap.commands.verbs.down import Down
from bootstrap.commands.verbs.template import list_templates
from bootstrap.commands.verbs.up import Up
from bootstrap.commands.verbs.upgrade import Upgrade
from bootstrap.model.cluster import TemplateRef
from bootstrap.model.ids import MachineName
from bootstrap.ports import Ports
from bootstrap.proxmox.reading.configs import smbios_uuid
from bootstrap.proxmox.rights.grants import GUEST_PRIVILEGES
from bootstrap.records.vms.lock import parse_lock, render_lock
from bootstrap.records.vms.machine import read_record, render_record
from bootstrap.records.vms.seal import Bearer
from tests.fakes.keys import KEYS
from tests.fakes.specs import cluster
from tests.fakes.world import World
from tests.fuzz.guests import ENDPOINT, built
from tests.fuzz.guests import SPEC as BUILT
from tests.fuzz.mutations import Mutator
from tests.fuzz.proxmox import MARKER, PVE1, Answers, CannedApi, connected, recorded
from tests.fuzz.running import Area

EVERYTHING = (
    "VM.Audit", "VM.Clone", "VM.Monitor", "VM.GuestAgent.Unrestricted", "Datastore.AllocateSpace", "Datastore.Audit",
    "Sys.Audit", "Sys.Modify", "SDN.Use", "Mapping.Use",
)  # fmt: skip
SPEC = replace(cluster(servers=1, agents=1), template=TemplateRef(name="debian-12-k3s"))


class TrustingApi(CannedApi):
    """One whose token may do everything."""

    def send(self, method: str, path: str, *, what: str, parameters: Mapping[str, str | int]) -> Any:
        if path == "access/permissions":
            return {str(parameters.get("path", "/")): dict.fromkeys((*GUEST_PRIVILEGES, *EVERYTHING), 1)}
        return super().send(method, path, what=what, parameters=parameters)


@cache
def signed() -> Answers:
    """The recording, with machines that are of the cluster."""
    answers = dict(recorded())
    for kind, vmid in (("qemu", 7001), ("lxc", 7002)):
        key = f"GET nodes/pve1/{kind}/{vmid}/config"
        record = read_record(answers[key]["description"])
        vm = connected(CannedApi(recorded()))
        vm.machines()
        assert record is not None
        identity = vm.read_vm(record.vmid, pve_node=PVE1).identity
        description = render_record(record, key=KEYS.need(record.cluster), identity=identity)
        answers[key] = {**answers[key], "description": description}
    marker = f"GET nodes/pve1/qemu/{MARKER}/config"
    lock = parse_lock(answers[marker]["description"])
    assert lock is not None
    identity = smbios_uuid(answers[marker])
    bearer = Bearer(vmid=MARKER, name=answers[marker]["name"], identity=identity or "")
    description = render_lock(lock, key=KEYS.need(lock.cluster), bearer=bearer)
    answers[marker] = {**answers[marker], "description": description}
    return answers


COMMANDS: Mapping[str, Callable[[Ports], object]] = {
    "status": lambda ports: cluster_status(SPEC, ports),
    "clusters": all_clusters,
    "doctor": lambda ports: diagnose(SPEC, ENDPOINT, ports),
    "up": lambda ports: Up().plan(SPEC, ports),
    "down": lambda ports: Down().plan(SPEC, ports),
    "templates": list_templates,
}


def _area(name: str) -> Area:
    def make(mutator: Mutator) -> Answers:
        key = mutator.random.choice(sorted(signed()))
        return {**signed(), key: mutator.value(signed()[key])}

    def read(answers: Answers) -> object:
        hypervisor = connected(TrustingApi(answers))
        return COMMANDS[name](
            replace(World().ports, hypervisor=hypervisor, markers=hypervisor.markers, templates=hypervisor.templates)
        )

    return Area(name=f"command {name}", make=make, read=read, inputs=80)


OF_NODES: Mapping[str, Callable[[Ports], object]] = {
    "status": lambda ports: cluster_status(BUILT, ports),
    "doctor": lambda ports: diagnose(BUILT, ENDPOINT, ports),
    "up": lambda ports: Up().plan(BUILT, ports),
    "upgrade": lambda ports: Upgrade().plan(BUILT, ports),
    "down": lambda ports: Down().plan(BUILT, ports),
}


def _of_nodes(name: str) -> Area:
    """What a Kubernetes node says of itself as texts, which its machine's kubelet writes."""

    def make(mutator: Mutator) -> tuple[MachineName, dict[str, object]]:
        node = mutator.random.choice(list(built().kube_nodes.values()))
        texts = {key: mutator.text(str(getattr(node, key))) for key in ("version", "os_image", "problem", "uid")}
        labels = {"labels": ((mutator.text("a"), mutator.text("b")),), "args": (mutator.text("server"),)}
        chosen = mutator.one_of((*texts, *labels))
        return node.name, {key: value for key, value in {**texts, **labels}.items() if key == chosen}

    def read(broken: tuple[MachineName, dict[str, object]]) -> object:
        node, changes = broken
        world = built()
        before = world.kube_nodes[node]
        world.kube_nodes[node] = replace(before, **changes)  # type: ignore[arg-type]
        try:
            return OF_NODES[name](world.ports)
        finally:
            world.kube_nodes[node] = before

    return Area(name=f"command {name} of nodes", make=make, read=read, inputs=40)


AREAS = (*map(_area, COMMANDS), *map(_of_nodes, OF_NODES))
