"""Each check of doctor: ok on a world that is well, and each thing that can be wrong found once, in its words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network

import pytest

from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.reports.doctor import Diagnosis, diagnose
from bootstrap.commands.verbs.up import Up
from bootstrap.errors import ArtifactError, AuthenticationError, PreflightError
from bootstrap.model.access.endpoint import ApiToken, PveEndpoint, TlsSpec
from bootstrap.model.access.rights import MissingPrivileges
from bootstrap.model.cluster import CloneMode, ClusterSpec, HostKeyPolicy, NetworkSpec, StaticAddresses, VipSpec
from bootstrap.model.ids import StorageName, Vmid
from bootstrap.planning.checks.doctor import Check, Verdict
from bootstrap.records.vms.lock import LockRecord
from tests.fakes.specs import DEMO, cluster
from tests.fakes.world import ENDPOINT, FINGERPRINT, PVE1, STORAGE, TEMPLATE, World, pve_node
from tests.fakes.world.markers import marker_vm

TOKEN = ApiToken(user="test@pve", name="doctor", secret="11111111-2222-3333-4444-555555555555")
PINNED = PveEndpoint(url="https://192.0.2.1:8006", token=TOKEN, tls=TlsSpec(fingerprint=FINGERPRINT))
NAMES = (
    *(
        "endpoint",
        "tls",
        "token",
        "quorum",
        "version",
        "privileges",
        "kvm",
        "template",
        "storage",
        "bridges",
        "capacity",
        "addresses",
    ),
    "ssh-key",
    *(
        "k3s",
        "state",
        "lock",
        "cluster",
        "spread",
        "machines",
        "logins",
        "clocks",
        "pve-certificate",
        "api-certificate",
        "etcd-disk",
    ),
    "worker-token",
)
LOCKED = PreflightError(
    "cannot use the SSH key /home/me/.ssh/id",
    details="it is protected by a passphrase, and no SSH agent is running",
    resolution='eval "$(ssh-agent)" && ssh-add /home/me/.ssh/id',
)
STATIC = replace(
    cluster(agents=1),
    network=replace(
        cluster().network,
        addresses=StaticAddresses(
            first=IPv4Address("192.0.2.50"), last=IPv4Address("192.0.2.59"), subnet=IPv4Network("192.0.2.0/24")
        ),
    ),
)
LACKING = MissingPrivileges(path="/vms", privileges=("VM.Clone",), remedy="pveum role modify homelab-k8s ...")


def built(servers: int = 3) -> World:
    """A world with a cluster."""
    world, spec = World(), cluster(servers=servers, agents=1)
    Up().run(Up().plan(spec, world.ports), spec, world.ports, sink=lambda _event: None, options=RunOptions())
    world.journal.clear()
    return world


def look(world: World, spec: ClusterSpec | None = None, endpoint: PveEndpoint = PINNED) -> Diagnosis:
    found = diagnose(spec or cluster(agents=1), endpoint, world.ports)
    assert tuple(check.name for check in found.checks if check.name != "pool") == NAMES
    assert world.journal == [], "doctor touches nothing"
    return found


def check(found: Diagnosis, name: str) -> Check:
    return next(check for check in found.checks if check.name == name)


def test_before_a_cluster_all_is_ok_or_skipped_with_the_reason() -> None:
    found = look(World())
    assert found.verdict is Verdict.OK
    skipped = {check.name: check.says for check in found.checks if check.verdict is Verdict.SKIPPED}
    assert set(skipped) == {
        *("addresses", "cluster", "spread", "machines", "logins", "api-certificate", "etcd-disk", "worker-token")
    }
    assert "machine-id is empty" in skipped["machines"]
    assert not [check for check in found.checks if check.remedy]
    assert "pve1: 32768 MiB - 1024 reserve - 0 of guests = 31744 MiB" in check(found, "capacity").says
    assert FINGERPRINT in check(found, "tls").says


@pytest.mark.parametrize(
    ("qemu", "server", "verdict"),
    [
        ("10.2.0-1", "9.1.17", Verdict.WARNING),
        ("11.0.0-2", "9.1.4", Verdict.WARNING),
        ("11.0.0-2", "9.1.18", Verdict.OK),
        ("11.0.0-2", "9.2.6~bpo1", Verdict.OK),
        ("10.1.2-3", "9.0.30", Verdict.OK),
        ("9.2.0-5", "8.3.12", Verdict.OK),
        ("11.0.0-2", "", Verdict.OK),
    ],
)
def test_a_qemu_that_loses_packets_of_pods_is_warned_of(qemu: str, server: str, verdict: Verdict) -> None:
    """QEMU's UDP tunnel offload breaks VXLAN on some network cards; qemu-server 9.1.18 takes it off."""
    world = World(packages={PVE1: {"pve-qemu-kvm": qemu, "qemu-server": server}})
    found = check(look(world), "version")
    assert found.verdict is verdict
    if verdict is Verdict.WARNING:
        assert "pve1 may lose packets between pods" in found.says
        assert "apt install qemu-server" in found.remedy


def test_of_a_cluster_that_is_well_all_is_ok() -> None:
    found = look(built(), cluster(servers=3, agents=1))
    assert {check.name for check in found.checks if check.verdict is not Verdict.OK} == {"addresses"}
    assert check(found, "cluster").says == "4 machines, all Ready"
    assert check(found, "etcd-disk").facts == (("demo-cp-1", 1.2), ("demo-cp-2", 1.2), ("demo-cp-3", 1.2))


def test_machines_are_told_in_one_order_however_proxmox_lists_them() -> None:
    world = built()
    world.vms = dict(reversed(world.vms.items()))
    assert [name for name, _ in check(look(world, THREE), "etcd-disk").facts] == [f"demo-cp-{n}" for n in (1, 2, 3)]


def test_sqlite_has_no_etcd_to_be_measured() -> None:
    assert "sqlite" in check(look(built(servers=1)), "etcd-disk").says


@dataclass
class Case:
    """One thing that is wrong: what is found, in which words, with which way out."""

    name: str
    verdict: Verdict
    words: str
    remedy: str
    world: Callable[[], World] = World
    spec: ClusterSpec = field(default_factory=lambda: cluster(agents=1))
    endpoint: PveEndpoint = PINNED
    skips: tuple[str, ...] = ()


def with_node(**changes: object) -> World:
    return World(pve_nodes=[replace(pve_node(), **changes)])  # type: ignore[arg-type]


def with_storage(**changes: object) -> World:
    return with_node(storages=(replace(STORAGE, **changes),))  # type: ignore[arg-type]


def with_template(**changes: object) -> World:
    return World(templates=[replace(TEMPLATE, **changes)])  # type: ignore[arg-type]


def with_certificate(**changes: object) -> World:
    certificate = replace(ENDPOINT.certificate, **changes)  # type: ignore[arg-type]
    return World(endpoint=replace(ENDPOINT, certificate=certificate))


def held(process: str = "") -> World:
    world = World()
    record = LockRecord(
        cluster=DEMO, who="you@laptop", pid=7, process=process, run="r", command="down", since="2025-03-01 11:00:00 UTC"
    )
    world.vms[Vmid(7999)] = marker_vm(record)
    return world


def changed(change: Callable[[World], None]) -> Callable[[], World]:
    def make() -> World:
        world = built()
        change(world)
        return world

    return make


def power_off(world: World) -> None:
    vm = world.vm_named("demo-workers-1")
    assert vm is not None
    vm.running = False


def hide_the_api(world: World) -> None:
    world.state.clear()


def twins(world: World) -> None:
    world.machine_ids.update({"demo-cp-1": "ab" * 16, "demo-workers-1": "ab" * 16})


def claim_the_servers_address(world: World) -> None:
    server, worker = world.vm_named("demo-cp-1"), world.vm_named("demo-workers-1")
    assert server is not None
    assert worker is not None
    worker.moved = int(server.address) - int(worker.address)


def stating(key: str, value: object) -> ClusterSpec:
    """A cluster whose inventory states one key of its servers."""
    spec = cluster()
    stated = spec.control_plane.stated | {key}
    return replace(spec, control_plane=replace(spec.control_plane, stated=stated, **{key: value}))  # type: ignore[arg-type]


def in_pool(name: str) -> ClusterSpec:
    spec = cluster()
    return replace(spec, placement=replace(spec.placement, resource_pool=name))


VIP = IPv4Address("192.0.2.9")
JUMBO = replace(cluster(), network=NetworkSpec(mtu=9000))
THREE = cluster(servers=3, agents=1)
OF_ALL = tuple(name for name in NAMES[1:] if name not in ("ssh-key", "k3s", "state"))
OF_TLS = tuple(name for name in OF_ALL if name not in ("tls", "clocks", "pve-certificate"))
OF_TOKEN = tuple(name for name in OF_TLS if name != "token")
OF_TEMPLATE = ("storage", "bridges", "capacity", "addresses")
NO_TEMPLATE = "set `template:` in the inventory"
CASES = [
    Case("endpoint", Verdict.FAILED, "cannot reach Proxmox VE", "check", lambda: World(endpoint=None), skips=OF_ALL),
    Case("tls", Verdict.FAILED, "not to be trusted: it is not the pinned one", f'"{FINGERPRINT}"',
         lambda: with_certificate(trust="", problem="it is not the pinned one"), skips=OF_TLS),
    Case("tls", Verdict.FAILED, "this computer's clock says 2001", "timedatectl",
         lambda: with_certificate(trust="", problem="this computer's clock says 2001", remedy="timedatectl"),
         skips=OF_TLS),
    Case("tls", Verdict.WARNING, "NOT checked", "pvenode cert info",
         endpoint=replace(PINNED, tls=TlsSpec(insecure=True))),
    Case("token", Verdict.FAILED, "refuses the API token", "check the token's id",
         lambda: World(observe_error=AuthenticationError("Proxmox VE refuses the API token x", details="401",
                                                         resolution="check the token's id")), skips=OF_TOKEN),
    Case("token", Verdict.WARNING, "root@pam!all is accepted, but it belongs to root", "token remove root@pam all",
         lambda: World(held=("Permissions.Modify", "VM.Allocate")),
         endpoint=replace(PINNED, token=replace(TOKEN, user="root@pam", name="all"))),
    Case("token", Verdict.WARNING, "all rights of its user: Permissions.Modify, Sys.Console", "--privsep 1",
         lambda: World(held=("Permissions.Modify", "Sys.Console", "VM.Allocate"))),
    Case("logins", Verdict.WARNING, "accept-new: the first key seen at a new machine is trusted", "ssh.host_keys",
         spec=replace(cluster(agents=1), ssh=replace(cluster().ssh, host_keys=HostKeyPolicy.ACCEPT_NEW))),
    Case("logins", Verdict.WARNING, "demo-cp-1 lets debian, root log in with a password", "PasswordAuthentication no",
         changed(lambda world: world.passwords.update({"demo-cp-1": ("debian", "root")})), THREE),
    Case("privileges", Verdict.FAILED, "/vms: VM.Clone", "pveum role modify", lambda: World(missing=(LACKING,))),
    Case("template", Verdict.FAILED, "no template found", NO_TEMPLATE, lambda: World(templates=[]), skips=OF_TEMPLATE),
    Case("template", Verdict.FAILED, "no guest agent configured", "qm set 9000 --agent enabled=1",
         lambda: with_template(agent_enabled=False), skips=OF_TEMPLATE),
    Case("template", Verdict.FAILED, "no cloud-init drive", "qm set 9000 --ide2",
         lambda: with_template(cloud_init_drive=None), skips=OF_TEMPLATE),
    Case("template", Verdict.WARNING, "each machine is a full clone", "a storage with linked clones",
         lambda: with_template(linkable=False)),
    Case("storage", Verdict.FAILED, "local of pve1 is not active", "pvesm status",
         lambda: with_storage(active=False)),
    Case("storage", Verdict.FAILED, "not for disk images (its content: iso)", "pvesm status",
         lambda: with_storage(content=frozenset({"iso"}))),
    Case("storage", Verdict.FAILED, "has 4 GiB free, and 5 are reserved", "pvesm status",
         lambda: with_storage(free_gib=4)),
    Case("storage", Verdict.FAILED, "does not exist, or this token cannot see it", "pvesm status",
         lambda: with_node(storages=())),
    Case("bridges", Verdict.FAILED, "pve1 has no bridge vmbr0; it has vmbr7", "network.bridge",
         lambda: with_node(bridges=frozenset({"vmbr7"}))),
    Case("bridges", Verdict.SKIPPED, "may not list the networks of pve1", "",
         lambda: with_node(bridges=frozenset())),
    Case("template", Verdict.FAILED, "is locked (backup)", "qm unlock 9000",
         lambda: with_template(lock="backup"), skips=OF_TEMPLATE),
    Case("template", Verdict.WARNING, "has a disk of 30 GiB, which cannot be shrunk to 20 GiB", "a larger disk",
         lambda: with_template(disk_gib=30), stating("disk_gib", 20)),
    Case("kvm", Verdict.WARNING, "the CPU of pve1 lacks features of x86-64-v3 (abm, aes, avx, avx2", "x86-64-v2-AES",
         spec=stating("cpu_type", "x86-64-v3")),
    Case("kvm", Verdict.FAILED, "pve1 knows no CPU type x86-64-v5; near: x86-64-v4, x86-64-v3, x86-64-v2",
         "pvesh get /nodes/pve1/capabilities/qemu/cpu", spec=stating("cpu_type", "x86-64-v5")),
    Case("kvm", Verdict.FAILED, "no CPU type custom-avx, or this token may not see it", "leave `cpu` out",
         spec=stating("cpu_type", "custom-avx")),
    Case("pool", Verdict.FAILED, "there is no resource pool homelabs in Proxmox", "pveum pool add homelabs",
         spec=in_pool("homelabs"), skips=("privileges",)),
    Case("bridges", Verdict.FAILED, "vmbr0 on pve1 has an MTU of 1500, but the machines have", "lower the mtu",
         lambda: with_node(mtus=(("vmbr0", 1500),)), JUMBO),
    Case("bridges", Verdict.WARNING, "vmbr0 on pve1 states no MTU", "lower the mtu", spec=JUMBO),
    Case("addresses", Verdict.FAILED, "the VIP 192.0.2.9 is in use: another machine answers at it", "control_plane.vip",
         lambda: World(answering={IPv4Address("192.0.2.9")}), replace(cluster(), vip=VipSpec(address=VIP))),
    Case("capacity", Verdict.FAILED, "2048 MiB needed, 1024 MiB free", "use fewer or smaller machines",
         lambda: World(pve_nodes=[pve_node(memory_gib=2)]), skips=("addresses",)),
    Case("addresses", Verdict.WARNING, "other machines answer at 192.0.2.51 of network.addresses",
         "outside the DHCP server's range",
         lambda: World(answering={IPv4Address("192.0.2.51"), IPv4Address("192.0.2.55")}), spec=STATIC),
    Case("addresses", Verdict.WARNING, "`up` skips them; no other machine answers at the next 2 (192.0.2.50, 192."
         "0.2.52)", "limit the range",
         lambda: World(answering={IPv4Address("192.0.2.51"), IPv4Address("192.0.2.55")}), spec=STATIC),
    Case("addresses", Verdict.FAILED, "already in use by others: 192.0.2.50, 192.0.2.51", "widen network.addresses",
         lambda: World(answering={IPv4Address("192.0.2.0") + number for number in range(50, 120)}), spec=STATIC),
    Case("ssh-key", Verdict.FAILED, "no SSH agent", "ssh-add /home/me/.ssh/id", lambda: World(key_problem=LOCKED)),
    Case("k3s", Verdict.FAILED, "wrong checksum", "put the release's file there",
         lambda: World(no_release=ArtifactError("/k3s has the wrong checksum",
                                                resolution="put the release's file there"))),
    Case("state", Verdict.WARNING, "5 MiB are free in the file system of the state directory", "free some space there",
         lambda: World(state_room=5 << 20)),
    Case("state", Verdict.FAILED, "the disk with the state directory is full\n12 KiB are free", "free some space there",
         lambda: World(state_room=12 << 10)),
    Case("addresses", Verdict.WARNING, "network.gateway is not given: machines reach nothing outside 192.0.2.0/24",
         "add network.gateway", spec=STATIC),
    Case("lock", Verdict.WARNING, "held by you@laptop (process 7), running `down`", "the next `up` or `down`", held),
    Case("cluster", Verdict.FAILED, "demo-workers-1: powered off", "`homelab-k8s up`", changed(power_off), THREE),
    Case("cluster", Verdict.FAILED, "claim the address", "`homelab-k8s up`", changed(claim_the_servers_address), THREE),
    Case("cluster", Verdict.FAILED, "the Kubernetes API could not be reached", "`homelab-k8s up`",
         changed(hide_the_api), THREE),
    Case("machines", Verdict.FAILED, "demo-cp-1 and demo-workers-1 have the same machine-id", "truncate -s 0",
         changed(twins), THREE),
    Case("clocks", Verdict.WARNING, "Proxmox VE is 20 s behind this machine", "NTP",
         lambda: World(endpoint=replace(ENDPOINT, clock_s=-20.0))),
    Case("clocks", Verdict.FAILED, "demo-cp-2 is 3600 s ahead of this machine", "timedatectl",
         changed(lambda world: world.guest_clocks_s.update({"demo-cp-2": 3600.0})), THREE),
    Case("clocks", Verdict.SKIPPED, "does not report its time", "",
         lambda: World(endpoint=replace(ENDPOINT, clock_s=None))),
    Case("pve-certificate", Verdict.WARNING, "ends in 5 days", "pvenode acme cert renew",
         lambda: with_certificate(days_left=5.0)),
    Case("pve-certificate", Verdict.FAILED, "ended 3 days ago", "a pinned fingerprint changes with it",
         lambda: with_certificate(days_left=-3.0)),
    Case("api-certificate", Verdict.WARNING, "ends in 30 days", "systemctl restart k3s",
         changed(lambda world: setattr(world, "api_days", 30.0)), THREE),
    Case("api-certificate", Verdict.FAILED, "presents no certificate", "",
         changed(lambda world: setattr(world, "api_days", None)), THREE),
    Case("spread", Verdict.WARNING, "3 of 3 servers are on pve1: without this Proxmox node the Kubernetes API stops",
         "rebalance", changed(lambda world: world.pve_nodes.extend([pve_node("pve2"), pve_node("pve3")])), THREE),
    Case("etcd-disk", Verdict.WARNING, "demo-cp-1 25.0 ms", "SSD",
         changed(lambda world: setattr(world, "write_s", 0.025)), THREE),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[f"{case.name}-{case.words[:30]}" for case in CASES])
def test_what_is_wrong_is_found_in_its_words(case: Case) -> None:
    found = look(case.world(), case.spec, case.endpoint)
    wrong = check(found, case.name)
    assert (wrong.verdict, case.words in wrong.says, case.remedy in wrong.remedy) == (case.verdict, True, True), wrong
    assert found.verdict is (Verdict.OK if case.verdict is Verdict.SKIPPED else case.verdict)
    for name in case.skips:
        assert check(found, name).verdict is Verdict.SKIPPED, name
        assert check(found, name).says == f"needs {case.name}, which failed"


def test_a_token_of_roots_with_separated_privileges_reaches_no_further_than_they_do() -> None:
    endpoint = replace(PINNED, token=replace(TOKEN, user="root@pam"))
    assert check(look(World(), endpoint=endpoint), "token").verdict is Verdict.OK


def test_a_warning_and_a_failure_are_a_failure() -> None:
    world = with_certificate(days_left=5.0)
    world.missing = (LACKING,)
    assert look(world).verdict is Verdict.FAILED


def test_a_token_that_sees_nothing_is_not_taken_for_an_empty_host() -> None:
    """Proxmox VE's lists are empty for it, so nothing may be concluded from them."""
    world = World(missing=(replace(LACKING, privileges=("VM.Audit", "VM.Clone")),), templates=[])
    found = look(world)
    assert [check.name for check in found.checks if check.verdict is Verdict.FAILED] == ["privileges"]
    assert check(found, "template").says == check(found, "cluster").says == "this token may not see VMs (VM.Audit)"
    assert check(found, "capacity").says == "needs privileges, which failed"


def test_a_marker_whose_process_has_ended_is_told_as_left_over() -> None:
    world = held(process="here/7")
    world.dead.add("here/7")
    assert check(look(world), "lock").says.startswith("left behind by you@laptop (process 7)")


def test_a_disk_that_cannot_be_measured_is_no_broken_machine() -> None:
    world = built()
    world.broken_scripts.add("fsync.sh")
    found = look(world, THREE)
    assert check(found, "machines").verdict is Verdict.OK
    assert check(found, "etcd-disk").verdict is Verdict.SKIPPED
    assert "fsync.sh failed" in check(found, "etcd-disk").says


def test_a_machine_that_cannot_be_asked_is_named_once() -> None:
    world = built()
    world.broken_scripts.add("facts.sh")
    says = check(look(world, THREE), "machines").says
    assert says.splitlines()[0] == "demo-cp-1: facts.sh failed"


@pytest.mark.parametrize(
    ("world", "words", "details"),
    [
        (
            lambda: with_storage(active=False),
            "no usable storage for the machines' disks",
            "local of pve1 is not active",
        ),
        (
            lambda: with_storage(content=frozenset({"iso"})),
            "no usable storage",
            "not for disk images (its content: iso)",
        ),
        (
            lambda: with_node(bridges=frozenset({"vmbr7"})),
            "bridge is missing",
            "pve1 has no bridge vmbr0; it has vmbr7",
        ),
    ],
)
def test_up_refuses_what_could_not_start_before_anything_is_touched(
    world: Callable[[], World], words: str, details: str
) -> None:
    made = world()
    with pytest.raises(PreflightError, match=words) as refusal:
        Up().plan(cluster(), made.ports)
    assert details in refusal.value.details
    assert refusal.value.resolution
    assert (made.journal, made.vms) == ([], {})


def test_machines_go_where_the_storage_works() -> None:
    away = replace(pve_node("pve2"), storages=(replace(STORAGE, active=False),))
    second = replace(TEMPLATE, vmid=Vmid(9001), pve_node=away.name)
    world = World(pve_nodes=[pve_node(), away], templates=[TEMPLATE, second])
    plan = Up().plan(cluster(), world.ports)
    assert {machine.place.pve_node for machine in plan.machines} == {PVE1}


def test_full_clones_are_judged_by_the_storage_they_go_to() -> None:
    spec = replace(cluster(), clone=CloneMode.FULL, placement=replace(cluster().placement, storage=StorageName("fast")))
    with pytest.raises(PreflightError) as refusal:
        Up().plan(spec, World().ports)
    assert "fast of pve1 does not exist" in refusal.value.details
