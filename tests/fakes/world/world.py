"""The state of everything outside, as `Ports`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path

from bootstrap.errors import HomelabError, PreflightError, SshUnreachableError
from bootstrap.model.access.rights import MissingPrivileges
from bootstrap.model.ids import ClusterName, MachineName, PveNodeName, StorageName, Vmid
from bootstrap.model.observed import KubeNode, LostQuorum, OsTemplate, PveNodeFacts, PveVersion, Snapshot, TemplateFacts
from bootstrap.ports import CommandOutcome, EndpointFacts, Ports
from bootstrap.records.vms.template import parse_template
from tests.fakes.clock import SteppingClock
from tests.fakes.keys import FakeKeys
from tests.fakes.world.datastore import Datastore
from tests.fakes.world.facts import ENDPOINT, PVE_9, TEMPLATE, pve_node
from tests.fakes.world.hypervisor import FakeHypervisor
from tests.fakes.world.kube import FakeKubeApis
from tests.fakes.world.local import (
    FakeArtifacts,
    FakeKubeconfigs,
    FakeNotices,
    FakeProbes,
    FakeState,
    FakeTimers,
    FakeWays,
)
from tests.fakes.world.markers import FakeMarkers, FakeProcesses
from tests.fakes.world.objects import FakeManifests, ObjectStore
from tests.fakes.world.shells import FakeShells
from tests.fakes.world.templates import FakeTemplates, template_doubt
from tests.fakes.world.users import FakeUsers
from tests.fakes.world.vm import FakeVm
from tests.fakes.world.workloads import Workloads


@dataclass
class World:
    """The state of everything outside, and the switches for what goes wrong.

    Attributes:
        version: Proxmox VE's.
        packages: Versions of each Proxmox node's packages, where the token may see them.
        keys: What this computer seals and checks records with.
        cpu_types: The CPU types that every Proxmox node knows.
        resource_pools: The resource pools that there are.
        pools: The resource pools that clusters' machines have to be in.
        journal: Each acting call, as `verb name`, in order.
        looked_into: Machine names whose settings files were read, in order.
        fail_clone: Machine names whose clone task fails.
        paused_once_joined: Machine names whose VM is paused (`io-error`) as soon as Kubernetes has a node of it.
        silent: Machine names whose guest agent never answers.
        refuses_key: Machine names whose sshd refuses our key.
        may_not_write_files: Whether the token may not write files in guests.
        key_in_vain: Whether sshd refuses our key though it is in authorized_keys.
        cuts_writes: Machine name to how much of the next file comes before its guest agent dies.
        taken_while_cloning: Vmids that somebody takes between look and clone.
        hidden: Vmids of VMs that the token may not see.
        broken_units: Machine name to what its k3s says again and again, or ends with each time.
        way: What OpenSSH's client needs to get to machines.
        no_ssh: Machines on which nothing listens on port 22.
        host_keys: Machine name to another host key than its own: somebody else answers there.
        made_with: Vmid to the host key that Proxmox VE made with the container.
        markers_stay: Whether markers cannot be removed.
        tells_made_keys: Whether it tells them (the task is ours, and its log is still there).
        lets_anybody_in: Machine names whose SSH server asks for no authentication.
        starts_at_s: Machine name to when the k3s that starts there now is up, in the clock's seconds.
        lease_ages_s: Kubernetes node to how long ago its kubelet was last heard of, though it says Ready.
        heals_after_s: Machine name to when after its start such a unit comes up after all.
        late_units: Machine names whose agent's unit stays activating for minutes, though its node is Ready.
        missing, missing_to_build: What the token lacks, and what it lacks besides to build templates.
        who, pid: Who acts; a host's processes are recognised by `<host>/<pid>`, other hosts' are not.
        endpoint, api_days, answering: What the network's probes see: Proxmox VE (None: nothing), the days that the
            API's certificate has left, addresses that somebody has.
        dns: The addresses that names lead to.
        guest_clocks_s: Machine name to how far its clock is ahead.
        moves: By how much the addresses differ that DHCP gives to machines that are made from now on.
        write_s: What a synced write takes on every guest.
        broken_scripts: Guest scripts that fail on every guest.
        manager: The package manager of every guest.
        failing_hooks: Machines on which the user's hooks fail.
        hooks: The hooks that were run: machine, name, parameters.
        key_problem: Why our SSH key cannot be used.
        machine_ids: Machine name to a machine-id other than its own.
        no_release: Why k3s cannot be had.
        gone_releases: K3s releases that can no longer be fetched.
        channels: What k3s's channels point to; one that is not there is no channel, but for `stable`.
        releases: Checksum of each k3s binary that was fetched to its version.
        volumes: Images and ISOs on the storages of a Proxmox node.
        tampered: Those of them that somebody has put something else into.
        no_checksums: Whether publishers of images tell none.
        image_checksum: What they tell otherwise, of whichever image.
        converted: VMs that are templates now.
        baked: Checksum of the k3s binary that clones of the template have, empty for none.
        users: Template to the linked clones that stand on it.
        keeps_volumes: Whether the token may not remove volumes.
        directory: Where state items go that a program wants as files.
        answer: How a user's command ends, from the machine's name and the command.
        observe_error: What a look at Proxmox VE ends in.
        node_passwords: Name of a Kubernetes node to the machine (SMBIOS UUID) whose node password Kubernetes keeps.
        vip: The API's own address; the machine that has `holds_vip` names it before its own.
        held_nodes: Names of Kubernetes nodes that a finalizer holds when they are deleted.
        hiccups: How many requests Kubernetes still asks to repeat, as while etcd has no leader.
        selinux_lacks: Packages that SELinux, which enforces then, lacks on all machines.
        snapshots: What k3s tells of its snapshots.
        objects: Kubernetes objects of any kind.
        manifests: Files with objects, on this computer.
        lies: Guest scripts to what every guest makes of their answers.
        unasked: Proxmox nodes that cannot be asked, with why; those of their VMs keep running.
        nameless: Whether the names of VMs on these are forgotten, as after five minutes.
        dead: Marks of processes that have ended.
        on_look: Called at each look at a marker VM.
        unreachable: Proxmox nodes that cannot be asked in mid-run.
        later_s: How much later it is than usual, by the clock of this computer and of all guests.
        ha_starts_again: Machine names that somebody tells Proxmox HA to start once they are stopped.
    """

    version: PveVersion = PVE_9
    packages: dict[PveNodeName, dict[str, str]] = field(default_factory=dict)
    pve_nodes: list[PveNodeFacts] = field(default_factory=lambda: [pve_node()])
    templates: list[TemplateFacts] = field(default_factory=lambda: [TEMPLATE])
    ostemplates: tuple[OsTemplate, ...] = ()
    vms: dict[Vmid, FakeVm] = field(default_factory=dict)
    keys: FakeKeys = field(default_factory=FakeKeys)
    cpu_types: frozenset[str] = frozenset({"host", "kvm64", "x86-64-v2", "x86-64-v2-AES", "x86-64-v3", "x86-64-v4"})
    resource_pools: set[str] = field(default_factory=lambda: {"kpool"})
    pools: dict[ClusterName, str] = field(default_factory=dict)
    kube_nodes: dict[MachineName, KubeNode] = field(default_factory=dict)
    workloads: Workloads = field(default_factory=Workloads)
    datastore: Datastore = field(default_factory=Datastore)
    node_passwords: dict[str, str] = field(default_factory=dict)
    held_nodes: set[str] = field(default_factory=set)
    hiccups: int = 0
    selinux_lacks: str = ""
    snapshots: tuple[Snapshot, ...] = ()
    objects: ObjectStore = field(default_factory=ObjectStore)
    manifests: FakeManifests = field(default_factory=FakeManifests)
    clock: SteppingClock = field(default_factory=SteppingClock)
    journal: list[str] = field(default_factory=list)
    looked_into: list[str] = field(default_factory=list)
    kubeconfigs: dict[str, str] = field(default_factory=dict)
    kubeconfig_switches: list[str] = field(default_factory=list)
    lies: dict[str, Callable[[str], str]] = field(default_factory=dict)
    state: dict[tuple[str, str], str] = field(default_factory=dict)
    directory: Path = Path("/nonexistent")
    lost_quorum: LostQuorum | None = None
    fail_clone: set[str] = field(default_factory=set)
    paused_once_joined: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)
    refuses_key: set[str] = field(default_factory=set)
    may_not_write_files: bool = False
    key_in_vain: bool = False
    cuts_writes: dict[str, int] = field(default_factory=dict)
    key_problem: PreflightError | None = None
    no_agent: set[str] = field(default_factory=set)
    taken_while_cloning: set[Vmid] = field(default_factory=set)
    hidden: set[Vmid] = field(default_factory=set)
    broken_units: dict[str, str] = field(default_factory=dict)
    no_ssh: set[str] = field(default_factory=set)
    way: tuple[str, ...] = ()
    jump: str = ""
    jump_problem: HomelabError | None = None
    host_keys: dict[str, str] = field(default_factory=dict)
    made_with: dict[Vmid, str] = field(default_factory=dict)
    tells_made_keys: bool = True
    markers_stay: bool = False
    lets_anybody_in: set[str] = field(default_factory=set)
    starts_at_s: dict[str, float] = field(default_factory=dict)
    lease_ages_s: dict[str, float] = field(default_factory=dict)
    heals_after_s: dict[str, float] = field(default_factory=dict)
    late_units: set[str] = field(default_factory=set)
    no_cni: str = ""  # what nodes without a CNI plugin say
    missing: tuple[MissingPrivileges, ...] = ()
    missing_to_build: tuple[MissingPrivileges, ...] = ()
    held: tuple[str, ...] = ("VM.Allocate", "VM.Audit")
    passwords: dict[str, tuple[str, ...]] = field(default_factory=dict)
    loose: dict[str, tuple[str, ...]] = field(default_factory=dict)
    users_of_kube: FakeUsers = field(default_factory=FakeUsers)
    endpoint: EndpointFacts | None = ENDPOINT
    api_days: float | None = 364.0
    state_room: int = 1 << 40
    dns: dict[str, tuple[IPv4Address, ...]] = field(default_factory=dict)
    answering: set[IPv4Address] = field(default_factory=set)
    guest_clocks_s: dict[str, float] = field(default_factory=dict)
    moves: int = 0
    write_s: float = 0.0012
    machine_ids: dict[str, str] = field(default_factory=dict)
    broken_scripts: set[str] = field(default_factory=set)
    manager: str = "apt-get"
    failing_hooks: set[str] = field(default_factory=set)
    hooks: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    no_release: HomelabError | None = None
    gone_releases: set[str] = field(default_factory=set)
    channels: dict[str, str] = field(default_factory=dict)
    releases: dict[str, str] = field(default_factory=dict)
    observe_error: HomelabError | None = None
    vip: IPv4Address | None = None
    who: str = "me@here"
    pid: int = 1
    unasked: dict[PveNodeName, str] = field(default_factory=dict)
    nameless: bool = False
    dead: set[str] = field(default_factory=set)
    answer: Callable[[str, str], CommandOutcome] = lambda name, _command: CommandOutcome(
        status=0, stdout=f"{name}\n", stderr=""
    )
    on_look: Callable[[], None] = lambda: None
    on_call: Callable[[str], None] = lambda _call: None
    volumes: set[tuple[PveNodeName, str]] = field(default_factory=set)
    tampered: set[tuple[PveNodeName, str]] = field(default_factory=set)
    no_checksums: bool = False
    image_checksum: str = "ab" * 64
    converted: set[Vmid] = field(default_factory=set)
    users: dict[Vmid, tuple[str, ...]] = field(default_factory=dict)
    baked: str = ""
    keeps_volumes: bool = False
    unreachable: set[PveNodeName] = field(default_factory=set)
    later_s: float = 0.0
    notices: FakeNotices = field(default_factory=FakeNotices)
    timers: FakeTimers = field(default_factory=FakeTimers)
    ha_starts_again: set[str] = field(default_factory=set)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def log(self, call: str) -> None:
        with self.lock:
            self.journal.append(call)
        self.on_call(call)

    def made_templates(self) -> tuple[TemplateFacts, ...]:
        """The templates that were built."""
        with self.lock:
            made = [vm for vmid, vm in sorted(self.vms.items()) if vmid in self.converted]
        parsed = [(vm, parse_template(vm.description, vmid=vm.vmid)) for vm in made]
        found = [(vm, None if template_doubt(vm, self.keys) else record) for vm, record in parsed]
        claims = {vm.vmid: record.image for vm, record in parsed if record and template_doubt(vm, self.keys)}
        return tuple(
            replace(
                TEMPLATE,
                vmid=vm.vmid,
                name=vm.name,
                pve_node=vm.pve_node,
                tags=frozenset(vm.tags.split(";")),
                storages=frozenset({StorageName(str(vm.settings[_cloud_init_drive(vm)]).partition(":")[0])}),
                cloud_init_drive=_cloud_init_drive(vm),
                image=record.image if record else "",
                k3s=record.k3s if record else "",
                recipe=record.recipe if record else "",
                recipe_version=record.version if record else 0,
                packages=record.packages if record else (),
                made=record.made if record else 0,
                claims=claims.get(vm.vmid, ""),
            )
            for vm, record in found
        )

    def now(self) -> datetime:
        """The machines' time."""
        return datetime.fromtimestamp(1740830400 + self.clock.now_s(), tz=UTC)

    def settle(self) -> None:
        """Have the k3s up whose time has come."""
        with self.lock:
            for name, at_s in list(self.starts_at_s.items()):
                vm = self.vm_named(name)
                if vm is not None and self.clock.now_s() >= at_s:
                    del self.starts_at_s[name]
                    vm.unit = "k3s"

    def move(self, name: str, pve_node: PveNodeName) -> None:
        """Move a VM to another Proxmox node, as somebody else does."""
        vm = self.vm_named(name)
        assert vm is not None
        with self.lock:
            vm.pve_node = pve_node

    def host_key(self, vm: FakeVm) -> str:
        """What its SSH server shows."""
        return self.host_keys.get(vm.name, f"ssh-ed25519 AAAA{vm.vmid}")

    def vm_named(self, name: str) -> FakeVm | None:
        return next((vm for vm in self.vms.values() if vm.name == name), None)

    def is_alive(self, name: str | None) -> bool:
        """Whether a Kubernetes node's kubelet runs."""
        named = [vm for vm in tuple(self.vms.values()) if name and vm.name == name]  # others may have made one
        return any(vm.running and not vm.halted and vm.unit for vm in named)

    def began(self, vm: FakeVm) -> None:
        """K3s was started on a machine, by hand or with it: its kubelet, if it has one, tells of itself."""
        vm.since_s, vm.restarts = self.clock.now_s(), 0
        with self.lock:
            node = self.kube_nodes.get(MachineName(vm.name))
            if node is not None and not vm.alone:
                self.kube_nodes[node.name] = replace(node, heartbeat=self.now())

    def ends_again(self, vm: FakeVm) -> bool:
        """Whether its k3s says READY=1 and ends, over and over: its node has an address that the machine has not."""
        node = self.kube_nodes.get(MachineName(vm.name))
        return not vm.alone and node is not None and node.address not in (None, vm.address)

    def by_address(self, address: IPv4Address) -> FakeVm:
        for vm in tuple(self.vms.values()):  # other lanes may make one meanwhile
            if vm.running and vm.address == address:
                return vm
        raise SshUnreachableError(f"no SSH on {address}", details="Connection refused")

    def api_address(self) -> IPv4Address | None:
        return next((vm.address for vm in self.vms.values() if vm.running and vm.unit == "k3s"), None)

    @property
    def ports(self) -> Ports:
        return Ports(
            hypervisor=FakeHypervisor(self),
            shells=FakeShells(self),
            kube=FakeKubeApis(self),
            artifacts=FakeArtifacts(self),
            manifests=self.manifests,
            kubeconfigs=FakeKubeconfigs(self),
            state=FakeState(self),
            keys=self.keys,
            clock=self.clock,
            markers=FakeMarkers(self),
            processes=FakeProcesses(self, self.who, self.pid),
            probes=FakeProbes(self),
            templates=FakeTemplates(self),
            ways=FakeWays(self),
            notices=self.notices,
            timers=self.timers,
        )


def _cloud_init_drive(vm: FakeVm) -> str:
    return next(key for key, value in vm.settings.items() if str(value).endswith(":cloudinit"))
