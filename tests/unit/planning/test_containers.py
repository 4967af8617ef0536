"""Pools of containers: what they are made of, where they go, what they are told."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.errors import CapacityError, PreflightError
from bootstrap.k3s.config import render_config
from bootstrap.model.cluster import ClusterSpec, MacPolicy, NetworkSpec, StaticAddresses, StorageNetwork
from bootstrap.model.hardware import Hardware
from bootstrap.model.ids import PveNodeName, StorageName
from bootstrap.model.ipv6 import IPv6Spec
from bootstrap.model.machine import MachineKind, NodePool, PoolNetwork
from bootstrap.model.observed import Observed, OsTemplate, PveNodeFacts, StorageFacts
from bootstrap.planning.checks.drift import notes_on_drift
from bootstrap.planning.members.desired_machines import MACHINE_LABEL, machine_states, wanted_machines
from bootstrap.planning.plan import Plan
from bootstrap.planning.steps import CloneVm, CreateContainer
from bootstrap.planning.templates.machine_images import container_bases
from bootstrap.planning.verbs.up import plan_up
from bootstrap.planning.view import ClusterView
from bootstrap.proxmox.container_settings import container_settings
from tests.fakes.seen import kube_node, seen, vm
from tests.fakes.specs import cluster, workers
from tests.fakes.world import PVE1, pve_node

ROOTS = StorageFacts(
    name=StorageName("tank"), kind="zfspool", shared=False, active=True, content=frozenset({"rootdir"}), free_gib=100
)
DEBIAN = "debian-13-standard_13.1-2_amd64.tar.zst"


def ostemplate(name: str = DEBIAN, *, on: str = "pve1") -> OsTemplate:
    return OsTemplate(pve_node=PveNodeName(on), volume=f"local:vztmpl/{name}")


def light(count: int = 1, *, ostemplate: str | None = None) -> NodePool:
    return replace(workers(count, name="light"), kind=MachineKind.LXC, ostemplate=ostemplate, disk_gib=8)


def mixed(lights: int = 1, agents: int = 1) -> ClusterSpec:
    spec = cluster(1, agents)
    return replace(spec, workers=(*spec.workers, light(lights)))


def node(name: str = "pve1", *, storages: tuple[StorageFacts, ...] = (ROOTS,)) -> PveNodeFacts:
    plain = pve_node(name)
    return replace(plain, storages=(*plain.storages, *storages))


def observed(*pve_nodes: PveNodeFacts, ostemplates: tuple[OsTemplate, ...] = (ostemplate(),)) -> Observed:
    return replace(seen(), pve_nodes=pve_nodes or (node(),), ostemplates=ostemplates)


def creations(plan: Plan) -> list[CreateContainer]:
    steps = (lane_step.step for lane in plan.lanes for lane_step in lane.steps)
    return [step for step in steps if isinstance(step, CreateContainer)]


def test_containers_are_created_and_vms_cloned() -> None:
    plan = plan_up(ClusterView(mixed(), observed()), version="v1.33.3+k3s1")
    (step,) = creations(plan)
    assert (step.machine.name, step.pve_node, step.bridge) == ("demo-light-1", PVE1, "vmbr0")
    assert (step.ostemplate, step.storage) == (f"local:vztmpl/{DEBIAN}", "tank")
    clones = [s.step for lane in plan.lanes for s in lane.steps if isinstance(s.step, CloneVm)]
    assert [clone.machine.name for clone in clones] == ["demo-cp-1", "demo-workers-1"]
    assert [note for note in plan.notes if "docs/lxc.md" in note]


def test_a_lane_of_a_container_has_nothing_to_configure() -> None:
    plan = plan_up(ClusterView(mixed(), observed()), version="v1.33.3+k3s1")
    lane = next(lane for lane in plan.lanes if lane.name == "demo-light-1")
    assert [step.step.phase for step in lane.steps] == ["create", "start", "boot", "install", "join", "ready"]


def test_a_pool_of_containers_needs_no_template_of_vms() -> None:
    """Only the container is missing, and the VMs' template is gone."""
    spec = mixed()
    there = [vm(spec.control_plane, 1), vm(spec.workers[0], 1)]
    world = replace(seen(*there), pve_nodes=(node(),), ostemplates=(ostemplate(),), templates=())
    (step,) = creations(plan_up(ClusterView(spec, world), version="v1.33.3+k3s1"))
    assert step.machine.name == "demo-light-1"


def test_containers_go_to_proxmox_nodes_that_have_their_template() -> None:
    world = observed(node("pve1"), node("pve2"), ostemplates=(ostemplate(on="pve2"),))
    steps = creations(plan_up(ClusterView(mixed(lights=3), world), version="v1.33.3+k3s1"))
    assert [step.pve_node for step in steps] == ["pve2"] * 3


def test_a_root_file_system_counts_with_its_whole_size() -> None:
    """100 GiB, less a reserve of 5, take eleven of 8 GiB."""
    spec = replace(mixed(lights=11), sizing=replace(mixed().sizing, cpu_overcommit=99.0))
    assert len(creations(plan_up(ClusterView(spec, observed()), version="v1.33.3+k3s1"))) == 11
    more = replace(spec, workers=(*spec.workers[:-1], light(12)))
    with pytest.raises(CapacityError, match="demo-light-12") as raised:
        plan_up(ClusterView(more, observed()), version="v1.33.3+k3s1")
    assert "8 GiB needed on tank, 7 GiB free" in raised.value.details


@given(
    versions=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=6, unique=True),
    data=st.data(),
)
def test_the_newest_version_is_taken_in_whatever_order_they_are_listed(
    versions: list[tuple[int, int]], data: st.DataObject
) -> None:
    names = [f"debian-13-standard_13.{minor}-{build}_amd64.tar.zst" for minor, build in versions]
    others = ["debian-13-standard_13.99-9_arm64.tar.zst", "debian-12-standard_99.1-1_amd64.tar.zst", "alpine.tar.xz"]
    listed = data.draw(st.permutations([*names, *others]))
    world = observed(ostemplates=tuple(map(ostemplate, listed)))
    minor, build = max(versions)
    (base,) = container_bases(ClusterView(mixed(), world), light()).values()
    assert base.ostemplate == f"local:vztmpl/debian-13-standard_13.{minor}-{build}_amd64.tar.zst"


@pytest.mark.parametrize("name", ["my.tar.xz", "local:vztmpl/my.tar.xz"])
def test_a_template_can_be_named(name: str) -> None:
    world = observed(ostemplates=(ostemplate(), ostemplate("my.tar.xz")))
    (base,) = container_bases(ClusterView(mixed(), world), light(ostemplate=name)).values()
    assert base.ostemplate == "local:vztmpl/my.tar.xz"


def test_without_a_template_it_is_said_how_to_get_one() -> None:
    with pytest.raises(PreflightError, match="no Proxmox node can run containers of the pool light") as raised:
        plan_up(
            ClusterView(mixed(), observed(ostemplates=(ostemplate("debian-12-standard_12.7-1_amd64.tar.zst"),))),
            version="",
        )
    assert "pve1 has no container template debian-13-standard" in raised.value.details
    assert "debian-12-standard_12.7-1" in raised.value.details
    assert "pveam download" in raised.value.resolution


def test_without_a_storage_for_containers_it_is_said_which_content_one_needs() -> None:
    with pytest.raises(PreflightError) as raised:
        plan_up(ClusterView(mixed(), observed(node(storages=()))), version="")
    assert "rootdir" in raised.value.details
    assert "light" in raised.value.resolution


def test_a_named_storage_has_to_take_containers() -> None:
    spec = mixed()
    spec = replace(spec, placement=replace(spec.placement, storage=StorageName("local")))
    with pytest.raises(PreflightError) as raised:
        plan_up(ClusterView(spec, observed()), version="")
    assert "local of pve1 is not for containers (its content: images, iso)" in raised.value.details


def test_containers_carry_a_label_and_vms_do_not() -> None:
    labels = {str(machine.name): dict(machine.labels) for machine in wanted_machines(ClusterView(mixed(), observed()))}
    assert labels["demo-light-1"] == {MACHINE_LABEL: "lxc"}
    assert MACHINE_LABEL not in labels["demo-workers-1"]


def test_only_a_container_tells_its_kubelet_where_it_is() -> None:
    texts = {
        machine.kind: yaml.safe_load(
            render_config(mixed(), machine, address=IPv4Address("192.0.2.9"), etcd=False, join=IPv4Address("192.0.2.8"))
        )
        for machine in wanted_machines(ClusterView(mixed(), observed()))[1:]
    }
    assert texts[MachineKind.LXC]["kubelet-arg"] == ["feature-gates=KubeletInUserNamespace=true"]
    assert "kubelet-arg" not in texts[MachineKind.VM]


def test_a_machine_stays_what_it_is_when_its_pool_becomes_another_kind() -> None:
    spec = mixed()
    there = [vm(spec.control_plane, 1), vm(spec.workers[0], 1), vm(spec.workers[1], 1)]
    world = replace(seen(*there), pve_nodes=(node(),), ostemplates=(ostemplate(),))
    plan = plan_up(ClusterView(spec, world), version="v1.33.3+k3s1")
    assert plan.lanes == ()
    (note,) = notes_on_drift(ClusterView(spec, world), machine_states(ClusterView(spec, world)))
    assert note == ("demo-light-1 is a VM, and the inventory says machine: lxc: `homelab-k8s replace demo-light-1`")


def test_a_container_that_is_off_is_only_started() -> None:
    spec = mixed()
    off = replace(vm(spec.workers[1], 1, running=False), kind=MachineKind.LXC)
    nodes = (kube_node(vm(spec.control_plane, 1).record.machine), kube_node(vm(spec.workers[0], 1).record.machine))  # type: ignore[union-attr]
    world = replace(
        seen(vm(spec.control_plane, 1), vm(spec.workers[0], 1), off, nodes=nodes),
        pve_nodes=(node(),),
        ostemplates=(),
    )
    lane = next(
        lane for lane in plan_up(ClusterView(spec, world), version="v1.33.3+k3s1").lanes if lane.name == "demo-light-1"
    )
    assert [step.step.phase for step in lane.steps][:2] == ["start", "boot"]


def settings(network: NetworkSpec, *, stable: bool = False) -> dict[str, str | int]:
    network = replace(network, macs=MacPolicy.STABLE if stable else MacPolicy.PROXMOX)
    spec = replace(mixed(agents=0), network=network)
    machine = wanted_machines(ClusterView(spec, observed()))[1]
    return container_settings(
        spec,
        machine,
        ostemplate=f"local:vztmpl/{DEBIAN}",
        storage=StorageName("tank"),
        bridge=network.bridge or "vmbr0",
        public_key="ssh-ed25519 AAAA me\n",
    )


def test_a_container_is_unprivileged_with_nesting_and_nothing_else_that_a_token_may_not_set() -> None:
    told = settings(NetworkSpec())
    assert (told["unprivileged"], told["features"], told["swap"]) == (1, "nesting=1", 0)
    assert not [key for key in told if key.startswith(("dev", "mp", "lxc", "hookscript"))]
    assert (told["rootfs"], told["ssh-public-keys"]) == ("tank:8", "ssh-ed25519 AAAA me")
    assert told["net0"] == "name=eth0,bridge=vmbr0,ip=dhcp"
    assert told["tags"] == "demo;homelab-k8s"


def test_a_container_has_the_cpu_weight_of_its_pool() -> None:
    pool = replace(light(), hardware=Hardware(cpu_weight=50))
    spec = replace(mixed(), workers=(pool,))
    machine = wanted_machines(ClusterView(spec, observed()))[1]
    told = container_settings(
        spec, machine, ostemplate="x", storage=StorageName("tank"), bridge="vmbr0", public_key="ssh-ed25519 AAAA"
    )
    assert told["cpuunits"] == 50
    assert "cpuunits" not in settings(NetworkSpec())


def test_a_containers_network_is_what_a_vms_would_be() -> None:
    addresses = StaticAddresses(
        first=IPv4Address("192.0.2.10"),
        last=IPv4Address("192.0.2.20"),
        subnet=IPv4Network("192.0.2.0/24"),
        gateway=IPv4Address("192.0.2.1"),
    )
    network = NetworkSpec(
        bridge="vmbr7",
        vlan=12,
        mtu=9000,
        addresses=addresses,
        subnet=addresses.subnet,
        dns=(IPv4Address("192.0.2.2"),),
        search="home.arpa",
        storage=StorageNetwork(bridge="vmbr1", mtu=1),
    )
    told = settings(network, stable=True)
    assert str(told["net0"]).startswith("name=eth0,bridge=vmbr7,hwaddr=02:")
    assert str(told["net0"]).endswith(",ip=192.0.2.11/24,gw=192.0.2.1,mtu=9000,tag=12")
    assert str(told["net1"]).startswith("name=eth1,bridge=vmbr1,hwaddr=02:")
    assert "mtu" not in str(told["net1"]), "1 is a VM's word: of a container Proxmox VE refuses it"
    assert (told["nameserver"], told["searchdomain"]) == ("192.0.2.2", "home.arpa")


def test_a_container_has_its_pools_bridge_and_vlan_and_ipv6_as_vms_have() -> None:
    pool = replace(light(), network=PoolNetwork(bridge="vmbr5"))
    spec = replace(mixed(), workers=(pool,), network=NetworkSpec(bridge="vmbr0", vlan=12, ipv6=IPv6Spec()))
    machine = wanted_machines(ClusterView(spec, observed()))[1]
    told = container_settings(
        spec, machine, ostemplate="x", storage=StorageName("tank"), bridge="vmbr5", public_key="ssh-ed25519 AAAA"
    )
    assert told["net0"] == "name=eth0,bridge=vmbr5,ip=dhcp,ip6=auto", "the cluster's VLAN is not of this bridge"
