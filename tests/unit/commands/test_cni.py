"""The CNI plugin is chosen at a cluster's birth: what `up` does then, and what it refuses later."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bootstrap.commands.reports.status import cluster_status
from bootstrap.commands.verbs.up import Up
from bootstrap.errors import PreflightError, RunFailedError
from bootstrap.events import StepFinished
from bootstrap.model.cluster import ClusterSpec, K3sSpec, NetworkSpec
from bootstrap.model.settings.cni import CniSpec, CniType, FlannelBackend
from tests.fakes.specs import cluster
from tests.fakes.world import World
from tests.unit.commands.test_up_and_down import up
from tests.unit.planning.test_cni import REAL

FLANNEL = cluster(servers=3, agents=1)


def of(kind: CniType = CniType.FLANNEL, backend: FlannelBackend = FlannelBackend.VXLAN) -> ClusterSpec:
    return replace(FLANNEL, network=NetworkSpec(cni=CniSpec(type=kind, backend=backend)))


CILIUM, CALICO, NONE = of(CniType.CILIUM), of(CniType.CALICO), of(CniType.NONE)
WIREGUARD = of(backend=FlannelBackend.WIREGUARD)


def changes(world: World, spec: ClusterSpec) -> str:
    """Why `up` refuses another CNI plugin; empty where it does not."""
    try:
        Up().plan(spec, world.ports)
    except PreflightError as error:
        return error.details
    return ""


@pytest.mark.parametrize("spec", [FLANNEL, WIREGUARD, CILIUM, CALICO, NONE])
def test_a_cluster_keeps_what_it_was_born_with(spec: ClusterSpec) -> None:
    world = World()
    up(world, spec)
    manifests = {vm.name: name for vm in world.vms.values() for name in vm.files if name.startswith("manifests/")}
    assert manifests == ({"demo-cp-1": "manifests/homelab-k8s-cni.yaml"} if spec in (CILIUM, CALICO) else {})
    assert Up().plan(spec, world.ports).empty
    assert cluster_status(spec, world.ports).healthy


@pytest.mark.parametrize(
    ("born", "now", "words"),
    [
        (FLANNEL, CILIUM, "network.cni (flannel-backend) is vxlan, and the inventory says none: k3s cannot change"),
        (FLANNEL, WIREGUARD, "is vxlan, and the inventory says wireguard-native"),
        (WIREGUARD, FLANNEL, "is wireguard-native, and the inventory says vxlan"),
        (NONE, FLANNEL, "is none, and the inventory says vxlan"),
        (CALICO, CILIUM, "network.cni is cilium, and the servers run with kube-proxy"),
        (CILIUM, NONE, "network.cni is none, and the servers run without kube-proxy"),
        (CILIUM, CALICO, "network.cni is calico, and the servers run without kube-proxy"),
    ],
)
def test_another_one_is_refused_with_the_reason(born: ClusterSpec, now: ClusterSpec, words: str) -> None:
    world = World()
    up(world, born)
    assert words in changes(world, now)
    assert any(words in problem for problem in cluster_status(now, world.ports).problems)


WITHOUT_PROXY = K3sSpec(disable_components=("kube-proxy",))


def test_kube_proxy_may_be_off_beside_others_and_go_with_a_plugin_of_the_users() -> None:
    world = World()
    up(world, replace(CALICO, k3s=WITHOUT_PROXY))
    assert changes(world, replace(CALICO, k3s=WITHOUT_PROXY)) == ""
    world = World()
    up(world, NONE)
    assert changes(world, replace(NONE, k3s=WITHOUT_PROXY)) == ""
    world = World()
    up(world, CILIUM)
    assert changes(world, replace(NONE, k3s=WITHOUT_PROXY)) == "", "from now on it is the user's"


def test_none_is_not_waited_for_and_the_next_run_goes_on() -> None:
    world = World(no_cni=REAL)
    plan = Up().plan(NONE, world.ports)
    assert any("nodes stay NotReady until you install a CNI plugin" in note for note in plan.notes)
    _report, events = up(world, NONE)
    notes = [event.note for event in events if isinstance(event, StepFinished) and "NotReady" in event.note]
    assert notes == ["NotReady until you install a CNI plugin"] * 4
    assert world.clock.now_s() < 60
    problems = cluster_status(NONE, world.ports).problems
    assert [each for each in problems if "no CNI plugin runs there: install yours" in each]
    world.no_cni = ""
    for name, node in world.kube_nodes.items():
        world.kube_nodes[name] = replace(node, ready=True, problem="")
    assert Up().plan(NONE, world.ports).empty
    assert cluster_status(NONE, world.ports).healthy


def test_a_chart_is_waited_for_longer_and_its_job_is_named() -> None:
    world = World(no_cni=REAL)
    with pytest.raises(RunFailedError, match="to be Ready") as caught:
        up(world, CILIUM)
    assert "logs job/helm-install-cilium" in str(caught.value.details)
    assert world.clock.now_s() > 1200
