"""Settings of a living cluster that the inventory has otherwise: told, planned, rolled out, or refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
import yaml

from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.reports.status import cluster_status
from bootstrap.commands.verbs.replace import Replace
from bootstrap.commands.verbs.scale import Scale
from bootstrap.commands.verbs.up import Up
from bootstrap.errors import HomelabError, PreflightError
from bootstrap.inventory import load_inventory
from bootstrap.inventory.keys.pools import NOT_SCHEDULABLE
from bootstrap.model.cluster import BackupSpec, ClusterSpec, K3sSpec, S3Spec, VipSpec
from bootstrap.model.ids import MachineName, PoolName
from bootstrap.model.machine import Taint
from bootstrap.planning.day2_steps import ApplySettings
from bootstrap.planning.plan import steps_of
from bootstrap.planning.verbs.replace import ReplaceOptions
from bootstrap.ports import GuestScript
from tests.fakes.specs import cluster
from tests.fakes.world import World

THREE = cluster(3, 2)
NO_TRAEFIK = replace(THREE, k3s=K3sSpec(disable=("traefik",)))
BUCKET = S3Spec(endpoint="minio.home:9000", bucket="snaps", folder="lab", access_key="AK", secret_key="OLD-SECRET")
SAVED = replace(THREE, backup=BackupSpec(schedule="0 */6 * * *", retention=14, s3=BUCKET))
WORKER = MachineName("demo-workers-1")
USERS = "config.yaml.d/50-mine.yaml"


def up(world: World, spec: ClusterSpec) -> None:
    Up().run(Up().plan(spec, world.ports), spec, world.ports, sink=lambda _event: None, options=RunOptions())


def built(spec: ClusterSpec = THREE) -> World:
    world = World()
    up(world, spec)
    world.journal.clear()
    world.looked_into.clear()
    return world


def labelled(spec: ClusterSpec, **labels: str) -> ClusterSpec:
    return replace(spec, workers=tuple(replace(pool, labels=tuple(sorted(labels.items()))) for pool in spec.workers))


def tainted(spec: ClusterSpec, *taints: Taint) -> ClusterSpec:
    return replace(spec, workers=tuple(replace(pool, taints=taints) for pool in spec.workers))


def stated(directory: Path, control_plane: str) -> ClusterSpec:
    """The cluster of a file with a control plane like that."""
    path = directory / "lab.yaml"
    path.write_text(f"cluster: demo\ncontrol_plane: {control_plane}\nworkers: 2\n", encoding="utf-8")
    environ = {"PROXMOX_VE_ENDPOINT": "https://192.0.2.10:8006", "PROXMOX_VE_API_TOKEN": "a@pve!b=c"}
    return replace(THREE, control_plane=load_inventory(path, environ=environ).spec.control_plane)


def restarts(world: World) -> list[str]:
    return [call.removeprefix("restart ") for call in world.journal if call.startswith("restart ")]


def restart_by_itself(world: World, name: str) -> None:
    """As k3s does after it died, or with its machine."""
    vm = world.vm_named(name)
    assert vm is not None
    shell = world.ports.shells.connect(MachineName(name), vm.address, user="debian", host_key=None, timeout_s=1)
    vm.unit = ""
    unit = "k3s" if "-cp-" in name else "k3s-agent"
    shell.run(GuestScript(name="start-k3s.sh", env=(("UNIT", unit), ("RESTART", "0"))), timeout_s=1)


def node_labels(world: World, name: str = WORKER) -> dict[str, str]:
    return dict(world.kube_nodes[MachineName(name)].labels)


CHANGES: list[tuple[ClusterSpec, str, list[str]]] = [
    (NO_TRAEFIK, "k3s.disable: none -> traefik", ["demo-cp-2", "demo-cp-3", "demo-cp-1"]),
    (
        replace(THREE, k3s=K3sSpec(tls_san=("k8s.home",))),
        "k3s.tls_san: none -> k8s.home",
        ["demo-cp-2", "demo-cp-3", "demo-cp-1"],
    ),
    (
        replace(THREE, backup=BackupSpec(retention=3)),
        "backup.retention: none -> 3",
        ["demo-cp-2", "demo-cp-3", "demo-cp-1"],
    ),
    (labelled(THREE, disk="ssd"), "labels: none -> disk=ssd", ["demo-workers-1", "demo-workers-2"]),
    (
        tainted(THREE, Taint(key="gpu", effect="NoSchedule")),
        "taints: none -> gpu:NoSchedule",
        ["demo-workers-1", "demo-workers-2"],
    ),
]


@pytest.mark.parametrize(("spec", "change", "machines"), CHANGES, ids=[change for _, change, _ in CHANGES])
def test_a_changed_setting_is_told_planned_and_rolled_out_once(
    spec: ClusterSpec, change: str, machines: list[str]
) -> None:
    world = built()
    told = cluster_status(spec, world.ports).problems
    assert len(told) == 1
    assert change in told[0]
    assert all(name in told[0] for name in machines)
    assert "homelab-k8s up" in told[0]
    plan = Up().plan(spec, world.ports)
    shown = {machine.spec.name: machine for machine in plan.machines if machine.action == "restart"}
    assert sorted(shown) == sorted(machines)
    assert all(change in machine.reason for machine in shown.values())
    assert world.journal == []
    up(world, spec)
    assert restarts(world) == machines
    assert cluster_status(spec, world.ports).healthy
    assert Up().plan(spec, world.ports).empty


def test_servers_stop_and_begin_to_take_pods(tmp_path: Path) -> None:
    world = built(stated(tmp_path, "{count: 3}"))
    up(world, stated(tmp_path, "{count: 3, schedulable: false}"))
    assert restarts(world) == ["demo-cp-2", "demo-cp-3", "demo-cp-1"]
    servers = [MachineName(f"demo-cp-{number}") for number in (1, 2, 3)]
    assert [world.kube_nodes[name].taints for name in servers] == [(NOT_SCHEDULABLE,)] * 3
    assert world.kube_nodes[WORKER].taints == ()
    restart_by_itself(world, "demo-cp-1")
    assert Up().plan(stated(tmp_path, "{count: 3, schedulable: false}"), world.ports).empty
    up(world, stated(tmp_path, "{count: 3}"))
    assert [world.kube_nodes[name].taints for name in servers] == [()] * 3


def test_each_machine_waits_for_the_one_before() -> None:
    world = built()
    plan = Up().plan(NO_TRAEFIK, world.ports)
    steps = {lane.name: {type(each.step): each for each in lane.steps} for lane in plan.lanes}
    needs = {
        name: {str(gate) for gate in own[ApplySettings].needs} for name, own in steps.items() if ApplySettings in own
    }
    assert "settings_applied(demo-cp-2)" in needs["demo-cp-3"]
    assert "settings_applied(demo-cp-3)" in needs["demo-cp-1"]
    assert all(f"guest_known(demo-cp-{number})" in needs["demo-cp-2"] for number in (1, 2, 3))


def test_where_nothing_differs_no_machine_is_looked_into() -> None:
    world = built(replace(NO_TRAEFIK, backup=BackupSpec(retention=3)))
    spec = replace(NO_TRAEFIK, backup=BackupSpec(retention=3))
    assert cluster_status(spec, world.ports).healthy
    assert Up().plan(spec, world.ports).empty
    assert world.looked_into == []


def test_another_order_is_no_change() -> None:
    spec = replace(THREE, k3s=K3sSpec(disable=("traefik", "servicelb"), tls_san=("a.home", "b.home")))
    world = built(spec)
    assert (
        Up()
        .plan(replace(THREE, k3s=K3sSpec(disable=("servicelb", "traefik"), tls_san=("b.home", "a.home"))), world.ports)
        .empty
    )


def test_a_label_is_on_the_node_and_in_the_settings_so_that_no_restart_flips_it() -> None:
    world = built(labelled(THREE, disk="ssd"))
    up(world, labelled(THREE, disk="hdd"))
    assert node_labels(world)["disk"] == "hdd"
    restart_by_itself(world, WORKER)
    assert node_labels(world)["disk"] == "hdd"


def test_labels_and_taints_of_ours_go_and_the_users_own_stay() -> None:
    gpu, own = Taint(key="gpu", effect="NoSchedule"), Taint(key="mine", effect="PreferNoSchedule")
    world = built(tainted(labelled(THREE, disk="ssd", rack="r1"), gpu))
    node = world.kube_nodes[WORKER]
    labels = {**dict(node.labels), "mine": "yes", "rack": "changed"}
    world.kube_nodes[WORKER] = replace(node, labels=tuple(sorted(labels.items())), taints=(*node.taints, own))
    up(world, labelled(THREE))
    assert node_labels(world) == {"mine": "yes", "rack": "changed"}
    assert world.kube_nodes[WORKER].taints == (own,)
    restart_by_itself(world, WORKER)
    assert "disk" not in node_labels(world)
    assert Up().plan(labelled(THREE), world.ports).empty


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        (replace(THREE, k3s=K3sSpec(cluster_cidr=IPv4Network("10.99.0.0/16"))), "k3s.cluster_cidr"),
        (replace(THREE, k3s=K3sSpec(service_cidr=IPv4Network("10.98.0.0/16"))), "k3s.service_cidr"),
    ],
)
def test_what_k3s_cannot_change_is_refused_before_anything_is_touched(spec: ClusterSpec, name: str) -> None:
    world = built()
    with pytest.raises(PreflightError) as refused:
        Up().plan(replace(spec, k3s=replace(spec.k3s, disable=("traefik",))), world.ports)
    assert name in refused.value.details
    assert "rebuild" in refused.value.resolution
    assert world.journal == []
    told = [problem for problem in cluster_status(spec, world.ports).problems if name in problem]
    assert len(told) == 1
    assert "cannot" in told[0]


def test_no_machine_joins_with_what_the_cluster_cannot_become() -> None:
    """k3s would refuse a server, and an agent would serve pods at addresses that nobody routes to."""
    world = built()
    spec = replace(THREE, k3s=K3sSpec(cluster_cidr=IPv4Network("10.99.0.0/16")))
    with pytest.raises(PreflightError, match="cannot change"):
        Scale(counts={PoolName("workers"): 3}).plan(spec, world.ports)
    with pytest.raises(PreflightError, match="cannot change"):
        Replace(ReplaceOptions(pool=PoolName("workers"))).plan(spec, world.ports)
    assert world.journal == []


def test_what_a_user_has_set_himself_is_nothing_that_changes() -> None:
    """He has chosen the pods' range in config.yaml.d; the inventory says nothing of it."""
    world = World()
    up(world, THREE)
    for vm in world.vms.values():
        if "-cp-" in vm.name:
            vm.files[USERS] = "cluster-cidr: 10.99.0.0/16\n"
            restart_by_itself(world, vm.name)
    assert Up().plan(THREE, world.ports).empty
    assert cluster_status(THREE, world.ports).healthy


def test_another_secret_of_the_bucket_is_rolled_out_and_shown_nowhere() -> None:
    world = built(SAVED)
    spec = replace(SAVED, backup=replace(SAVED.backup, s3=replace(BUCKET, secret_key="NEW-SECRET")))
    problems = cluster_status(spec, world.ports).problems
    plan = Up().plan(spec, world.ports)
    assert any("backup.s3.secret_key: a different one" in problem for problem in problems)
    assert "SECRET" not in repr((problems, plan))
    up(world, spec)
    assert restarts(world) == ["demo-cp-2", "demo-cp-3", "demo-cp-1"]
    server = world.vm_named("demo-cp-1")
    assert server is not None
    assert "NEW-SECRET" in server.files["config.yaml"]
    assert Up().plan(spec, world.ports).empty


def test_without_an_inventory_file_a_cluster_keeps_its_settings() -> None:
    """`up --cluster demo` in another directory says nothing of them, and so takes nothing back."""
    world = built(labelled(NO_TRAEFIK, disk="ssd"))
    assert Up().plan(replace(THREE, states_settings=False), world.ports).empty
    assert cluster_status(replace(THREE, states_settings=False), world.ports).healthy


def test_keys_that_are_not_in_the_environment_here_are_no_change() -> None:
    """Anyone who looks or labels agents without the bucket's keys takes them from no server."""
    world = built(SAVED)
    unknown = replace(SAVED, backup=replace(SAVED.backup, s3=replace(BUCKET, access_key="", secret_key="")))
    assert cluster_status(unknown, world.ports).healthy
    assert Up().plan(unknown, world.ports).empty
    up(world, labelled(unknown, disk="ssd"))
    assert restarts(world) == ["demo-workers-1", "demo-workers-2"]
    with pytest.raises(PreflightError, match="keys"):
        Up().plan(replace(unknown, k3s=K3sSpec(disable=("traefik",))), world.ports)


@pytest.mark.parametrize("script", ["put-settings.sh", "start-k3s.sh"])
@pytest.mark.parametrize(
    "change",
    [
        lambda spec: replace(spec, k3s=K3sSpec(disable=("traefik",))),
        lambda spec: replace(spec, backup=replace(spec.backup, s3=replace(BUCKET, secret_key="NEW"))),
        lambda spec: labelled(spec, disk="ssd"),
    ],
    ids=["disable", "secret", "label"],
)
def test_a_roll_out_that_was_cut_off_is_continued(script: str, change: Callable[[ClusterSpec], ClusterSpec]) -> None:
    world, spec = built(SAVED), change(SAVED)
    world.broken_scripts.add(script)
    with pytest.raises(HomelabError):
        up(world, spec)
    world.broken_scripts.clear()
    assert restarts(world) == []
    up(world, spec)
    assert restarts(world)
    assert Up().plan(spec, world.ports).empty
    assert not any("pending" in vm.files for vm in world.vms.values())


def test_a_server_that_does_not_come_back_stops_the_roll_out_there() -> None:
    """The inventory is put right then, and the machine that failed is the first to get it."""
    world = built()
    fatal = 'time="now" level=fatal msg="Error: invalid value for etcd-snapshot-schedule-cron"'
    world.broken_units["demo-cp-2"] = fatal
    bad = replace(NO_TRAEFIK, backup=BackupSpec(schedule="99 * * * *"))
    with pytest.raises(HomelabError) as failed:
        up(world, bad)
    error = str(failed.value) + failed.value.details
    assert "demo-cp-2" in error
    assert "backup.schedule: none -> 99 * * * *" in error
    assert "not changed" in failed.value.resolution + failed.value.details + str(failed.value)
    assert restarts(world) == ["demo-cp-2"]
    assert not any("schedule" in (world.vms[vmid].files["config.yaml"]) for vmid in world.vms if vmid != 7001)
    world.broken_units.clear()
    up(world, THREE)
    assert Up().plan(THREE, world.ports).empty
    assert {call.split()[1] for call in world.journal if call.startswith("restart")} == {"demo-cp-2"}


def test_an_agent_that_failed_gets_the_corrected_settings_while_it_still_looks_ready() -> None:
    """Its node is Ready for 40 s or more, with the settings it had before: those of the corrected inventory."""
    world = built()
    world.broken_units[WORKER] = 'level=fatal msg="Error: unknown flag: --kubelet-rag"'
    with pytest.raises(HomelabError):
        up(world, labelled(THREE, disk="ssd"))
    world.broken_units.clear()
    world.lease_ages_s[WORKER] = 5.0
    restarted_by_systemd = world.vm_named(WORKER)
    assert restarted_by_systemd is not None
    restarted_by_systemd.unit = "k3s-agent"
    assert world.kube_nodes[WORKER].settings_pending
    world.journal.clear()
    world.looked_into.clear()
    up(world, THREE)
    assert restarts(world) == [WORKER]
    assert not world.kube_nodes[WORKER].settings_pending
    assert Up().plan(THREE, world.ports).empty


def test_a_file_of_the_users_that_overrules_ours_is_named_and_nothing_is_restarted_for_it() -> None:
    world = built(NO_TRAEFIK)
    server = world.vm_named("demo-cp-2")
    assert server is not None
    server.files[USERS] = yaml.safe_dump({"disable": ["servicelb"], "kubelet-arg": ["max-pods=50"]})
    restart_by_itself(world, "demo-cp-2")
    world.journal.clear()
    told = [problem for problem in cluster_status(NO_TRAEFIK, world.ports).problems if "50-mine" in problem]
    assert len(told) == 1
    assert "demo-cp-2: /etc/rancher/k3s/config.yaml.d/50-mine.yaml sets disable" in told[0]
    plan = Up().plan(NO_TRAEFIK, world.ports)
    assert plan.empty
    assert told[0] in plan.notes
    up(world, replace(NO_TRAEFIK, backup=BackupSpec(retention=3)))
    assert "demo-cp-2" in restarts(world)
    assert yaml.safe_load(server.files[USERS])["disable"] == ["servicelb"]


def test_what_the_user_adds_to_ours_or_sets_beside_it_is_no_conflict() -> None:
    world = built(labelled(NO_TRAEFIK, disk="ssd"))
    for name in ("demo-cp-2", "demo-workers-1"):
        vm = world.vm_named(name)
        assert vm is not None
        added = {"disable+": ["servicelb"]} if "-cp-" in name else {"node-label+": ["mine=yes"]}
        vm.files[USERS] = yaml.safe_dump(added)
        restart_by_itself(world, name)
    assert Up().plan(labelled(NO_TRAEFIK, disk="ssd"), world.ports).empty
    assert cluster_status(labelled(NO_TRAEFIK, disk="ssd"), world.ports).healthy
    up(world, labelled(NO_TRAEFIK, disk="hdd"))
    assert node_labels(world) == {"disk": "hdd", "mine": "yes"}


def test_what_no_restart_of_ours_would_change_is_told_and_left() -> None:
    """A flag in the unit's command line; or a file of the user's that k3s has not been restarted with yet."""
    world = built(NO_TRAEFIK)
    name = MachineName("demo-cp-2")
    node = world.kube_nodes[name]
    world.kube_nodes[name] = replace(node, args=(*(node.args or ()), "--disable", "servicelb"))
    plan = Up().plan(NO_TRAEFIK, world.ports)
    assert plan.empty
    told = [note for note in plan.notes if "k3s.disable: servicelb, traefik -> traefik" in note]
    assert len(told) == 1
    assert "homelab-k8s ssh demo-cp-2 -- sudo systemctl restart k3s" in told[0]
    assert told[0] in cluster_status(NO_TRAEFIK, world.ports).problems


def test_a_server_that_has_no_role_label_yet_differs_in_nothing() -> None:
    spec = replace(THREE, backup=BackupSpec(retention=3))
    world = built(spec)
    name = MachineName("demo-cp-2")
    world.kube_nodes[name] = replace(world.kube_nodes[name], roles=frozenset({"control-plane"}))
    assert Up().plan(spec, world.ports).empty


def test_a_vip_comes_to_a_cluster_that_is_there() -> None:
    """Servers get it into their certificates first, then it is served, then agents and kubeconfig go by it."""
    world, vip = built(), IPv4Address("192.0.2.5")
    world.vip = vip
    spec = replace(THREE, vip=VipSpec(address=vip))
    assert any("192.0.2.5" in problem for problem in cluster_status(spec, world.ports).problems)
    up(world, spec)
    order = restarts(world)
    assert order == ["demo-cp-2", "demo-cp-3", "demo-cp-1", "demo-workers-1", "demo-workers-2"]
    for vm in world.vms.values():
        config = yaml.safe_load(vm.files["config.yaml"])
        assert str(vip) in config["tls-san"] if "-cp-" in vm.name else config["server"] == f"https://{vip}:6443"
    assert any(vm.holds_vip for vm in world.vms.values())
    assert Up().plan(spec, world.ports).empty


def test_a_vip_that_is_taken_out_is_left_by_all_one_after_another() -> None:
    vip = IPv4Address("192.0.2.5")
    world = World(vip=vip)
    up(world, replace(THREE, vip=VipSpec(address=vip)))
    world.vip = None  # the guest agent tells it after the machine's own address, as it does for what keepalived adds
    world.journal.clear()
    up(world, THREE)
    assert restarts(world) == ["demo-cp-2", "demo-cp-3", "demo-cp-1", "demo-workers-1", "demo-workers-2"]
    servers = {str(vm.address) for vm in world.vms.values() if "-cp-" in vm.name}
    for vm in world.vms.values():
        config = yaml.safe_load(vm.files["config.yaml"])
        assert str(vip) not in str(config)
        assert "server" not in config or config["server"].removeprefix("https://").partition(":")[0] in servers
    assert Up().plan(THREE, world.ports).empty


def test_an_address_that_somebody_has_is_not_taken_as_vip() -> None:
    world, vip = built(), IPv4Address("192.0.2.5")
    world.answering.add(vip)
    with pytest.raises(PreflightError, match="is in use"):
        Up().plan(replace(THREE, vip=VipSpec(address=vip)), world.ports)
    assert world.journal == []


def test_a_machine_that_is_repaired_comes_before_the_roll_out() -> None:
    world = built()
    broken = world.vm_named("demo-cp-3")
    assert broken is not None
    broken.unit = ""
    plan = Up().plan(NO_TRAEFIK, world.ports)
    rolled = {step.machine.name for step in steps_of(plan, ApplySettings)}
    assert rolled == {"demo-cp-1", "demo-cp-2"}
    up(world, NO_TRAEFIK)
    assert Up().plan(NO_TRAEFIK, world.ports).empty
    first = next(call for call in world.journal if call.startswith(("settings", "install")))
    assert first == "install demo-cp-3"


def test_a_single_server_is_restarted_too() -> None:
    world = built(cluster(1, 1))
    spec = replace(cluster(1, 1), k3s=K3sSpec(disable=("traefik",)))
    up(world, spec)
    assert restarts(world) == ["demo-cp-1"]
    assert Up().plan(spec, world.ports).empty
