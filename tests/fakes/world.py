"""An in-memory Proxmox VE with guests and Kubernetes, as `Ports`: real implementations of the protocols.

Faults are switched on by attributes of `World`; nothing is scripted per test, so tests state what happens to the
world and read what became of it.
"""

from __future__ import annotations

import hashlib
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from pathlib import Path

import yaml

from bootstrap.errors import (
    AgentNotConfiguredError,
    AgentNotRunningError,
    HomelabError,
    HypervisorError,
    KeyRefusedError,
    KubeUnreachableError,
    ScriptError,
    SshUnreachableError,
    VmidTakenError,
    VmNotFoundError,
)
from bootstrap.model.cluster import K3sSpec, VmidRange
from bootstrap.model.endpoint import PveEndpoint
from bootstrap.model.ids import ClusterName, MachineName, PveNodeName, StorageName, Vmid
from bootstrap.model.machine import Taint
from bootstrap.model.observed import (
    GuestInterface,
    KubeNode,
    PveNodeFacts,
    PveVersion,
    StorageFacts,
    TemplateFacts,
    VmRecord,
)
from bootstrap.model.record import parse_record
from bootstrap.ports import (
    Artifact,
    CertificateFacts,
    CloneRequest,
    EndpointFacts,
    GuestScript,
    Marker,
    MissingPrivileges,
    Ports,
    Process,
    PveFacts,
    RightsNeeded,
    Warn,
)
from tests.fakes.clock import SteppingClock

PVE1 = PveNodeName("pve1")
LOCAL = StorageName("local")
VERSION = "v1.33.3+k3s1"
FINGERPRINT = ":".join(["AB"] * 32)
ENDPOINT = EndpointFacts(
    certificate=CertificateFacts(fingerprint=FINGERPRINT, days_left=300.0, trust="pinned"), clock_s=0.2
)

STORAGE = StorageFacts(
    name=LOCAL, kind="dir", shared=False, active=True, content=frozenset({"images", "iso"}), free_gib=500
)
TEMPLATE = TemplateFacts(
    vmid=Vmid(9000),
    name="debian-12",
    pve_node=PVE1,
    tags=frozenset({"homelab-k8s-template"}),
    agent_enabled=True,
    disk="scsi0",
    disk_gib=3,
    storage=LOCAL,
    linkable=True,
    cloud_init_drive="ide2",
    bridge="vmbr0",
    scsi_controller="virtio-scsi-single",
)


def pve_node(name: str = "pve1", *, cores: int = 8, memory_gib: int = 32) -> PveNodeFacts:
    """A roomy Proxmox node."""
    return PveNodeFacts(
        name=PveNodeName(name),
        online=True,
        cores=cores,
        memory_mib=memory_gib * 1024,
        cpu_model="Some CPU",
        bridges=frozenset({"vmbr0"}),
        storages=(STORAGE,),
    )


@dataclass
class FakeVm:
    """A VM: its Proxmox side and the guest in it."""

    vmid: Vmid
    name: str
    pve_node: PveNodeName
    settings: dict[str, str | int] = field(default_factory=dict)
    description: str = ""
    tags: str = ""
    running: bool = False
    lock: str | None = None
    disk_gib: int = 3
    smbios_uuid: str = field(default_factory=lambda: str(uuid.uuid4()))
    boots: int = 0
    k3s_sha256: str = ""
    unit: str = ""
    files: dict[str, str] = field(default_factory=dict)

    @property
    def mac(self) -> str:
        return "BC:24:11:00:{:02X}:{:02X}".format(*divmod(int(self.vmid) % 65536, 256))

    @property
    def address(self) -> IPv4Address:
        static = str(self.settings.get("ipconfig0", "ip=dhcp")).split(",")[0].removeprefix("ip=")
        if static != "dhcp":
            return IPv4Address(static.split("/")[0])
        return IPv4Address("192.0.2.0") + int(self.vmid) % 200 + 10

    def record(self) -> VmRecord:
        record = parse_record(self.description)
        return VmRecord(
            vmid=self.vmid,
            name=self.name,
            pve_node=self.pve_node,
            running=self.running,
            lock=self.lock,
            tags=frozenset(self.tags.split(";")) - {""},
            record=record,
            cores=int(self.settings.get("cores", 1)),
            memory_mib=int(self.settings.get("memory", 512)),
            disk="scsi0",
            disk_gib=self.disk_gib,
            mac=self.mac,
            net0=f"virtio={self.mac},bridge=vmbr0",
            onboot=bool(self.settings.get("onboot", 0)),
            smbios_uuid=self.smbios_uuid,
        )


@dataclass
class World:
    """The state of everything outside, and the switches for what goes wrong.

    Attributes:
        journal: Each acting call, as `verb name`, in order.
        fail_clone: Machine names whose clone task fails.
        silent: Machine names whose guest agent never answers.
        refuses_key: Machine names whose sshd refuses our key.
        taken_while_cloning: Vmids that somebody takes between look and clone.
        broken_units: Machine name to the journal its k3s unit loops with.
        missing: What the token lacks.
        who, pid: Who acts; a host's processes are recognised by `<host>/<pid>`, other hosts' are not.
        endpoint, api_days, answering: What the network's probes see: Proxmox VE (None: nothing), the days that the
            API's certificate has left, addresses that somebody has.
        guest_clocks_s: Machine name to how far its clock is ahead.
        write_s: What a synced write takes on every guest.
        broken_scripts: Guest scripts that fail on every guest.
        machine_ids: Machine name to a machine-id other than its own.
        no_release: Why k3s cannot be had.
        observe_error: What a look at Proxmox VE ends in.
        dead: Marks of processes that have ended.
        on_look: Called at each look at a marker VM.
    """

    pve_nodes: list[PveNodeFacts] = field(default_factory=lambda: [pve_node()])
    templates: list[TemplateFacts] = field(default_factory=lambda: [TEMPLATE])
    vms: dict[Vmid, FakeVm] = field(default_factory=dict)
    kube_nodes: dict[MachineName, KubeNode] = field(default_factory=dict)
    clock: SteppingClock = field(default_factory=SteppingClock)
    journal: list[str] = field(default_factory=list)
    kubeconfigs: dict[str, str] = field(default_factory=dict)
    state: dict[tuple[str, str], str] = field(default_factory=dict)
    fail_clone: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)
    refuses_key: set[str] = field(default_factory=set)
    no_agent: set[str] = field(default_factory=set)
    taken_while_cloning: set[Vmid] = field(default_factory=set)
    broken_units: dict[str, str] = field(default_factory=dict)
    missing: tuple[MissingPrivileges, ...] = ()
    endpoint: EndpointFacts | None = ENDPOINT
    api_days: float | None = 364.0
    answering: set[IPv4Address] = field(default_factory=set)
    guest_clocks_s: dict[str, float] = field(default_factory=dict)
    write_s: float = 0.0012
    machine_ids: dict[str, str] = field(default_factory=dict)
    broken_scripts: set[str] = field(default_factory=set)
    no_release: HomelabError | None = None
    observe_error: HomelabError | None = None
    who: str = "me@here"
    pid: int = 1
    dead: set[str] = field(default_factory=set)
    on_look: Callable[[], None] = lambda: None
    on_call: Callable[[str], None] = lambda _call: None
    lock: threading.RLock = field(default_factory=threading.RLock)

    def log(self, call: str) -> None:
        with self.lock:
            self.journal.append(call)
        self.on_call(call)

    def vm_named(self, name: str) -> FakeVm | None:
        return next((vm for vm in self.vms.values() if vm.name == name), None)

    def by_address(self, address: IPv4Address) -> FakeVm:
        for vm in self.vms.values():
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
            kubeconfigs=FakeKubeconfigs(self),
            state=FakeState(self),
            clock=self.clock,
            markers=FakeMarkers(self),
            processes=FakeProcesses(self, self.who, self.pid),
            probes=FakeProbes(self),
        )


@dataclass
class FakeHypervisor:
    world: World

    def observe(self, *, cluster: ClusterName, vmids: VmidRange) -> PveFacts:
        world = self.world
        if world.observe_error is not None:
            raise world.observe_error
        with world.lock:
            records = [vm.record() for vm in world.vms.values()]
            running = [vm for vm in records if vm.running or vm.onboot]
        nodes = [
            replace(
                facts,
                committed_cores=facts.committed_cores + sum(vm.cores for vm in running if vm.pve_node == facts.name),
                committed_memory_mib=facts.committed_memory_mib
                + sum(vm.memory_mib for vm in running if vm.pve_node == facts.name),
            )
            for facts in world.pve_nodes
        ]
        return PveFacts(
            version=PveVersion(major=9, minor=0, text="9.0"),
            pve_nodes=tuple(nodes),
            templates=tuple(world.templates),
            vms=tuple(
                vm for vm in records if vm.vmid in vmids or vm.record is not None or vm.name.startswith(f"{cluster}-")
            ),
            used_vmids=frozenset(world.vms) | {template.vmid for template in world.templates},
        )

    def missing_privileges(self, rights: RightsNeeded) -> tuple[MissingPrivileges, ...]:
        return self.world.missing

    def read_vm(self, vmid: Vmid, *, pve_node: PveNodeName) -> VmRecord:
        with self.world.lock:
            return self._vm(vmid, pve_node).record()

    def _vm(self, vmid: Vmid, pve_node: PveNodeName) -> FakeVm:
        vm = self.world.vms.get(vmid)
        if vm is None or vm.pve_node != pve_node:
            raise VmNotFoundError(f"there is no VM {vmid} on {pve_node}")
        return vm

    def clone(self, request: CloneRequest, *, warn: Warn) -> None:
        world = self.world
        world.log(f"clone {request.name}")
        with world.lock:
            if request.vmid in world.taken_while_cloning:
                world.vms.setdefault(
                    request.vmid, FakeVm(vmid=request.vmid, name="somebody-elses", pve_node=request.pve_node)
                )
            if request.vmid in world.vms:
                raise VmidTakenError(f"vmid {request.vmid} is taken")
            if request.name in world.fail_clone:
                raise HypervisorError(f"{request.name}: clone failed", details="clone failed: no space left")
            vm = FakeVm(
                vmid=request.vmid, name=request.name, pve_node=request.pve_node, description=request.description
            )
            vm.tags = "homelab-k8s-template"
            world.vms[request.vmid] = vm
        world.on_call(f"cloned {request.name}")

    def configure(self, vmid: Vmid, *, pve_node: PveNodeName, settings: Mapping[str, str | int]) -> None:
        with self.world.lock:
            vm = self._vm(vmid, pve_node)
        self.world.log(f"configure {vm.name}")
        with self.world.lock:
            vm.settings.update(settings)
            vm.description = str(settings.get("description", vm.description))
            vm.tags = str(settings.get("tags", vm.tags))

    def grow_disk(self, vmid: Vmid, *, pve_node: PveNodeName, disk: str, size_gib: int, warn: Warn) -> None:
        vm = self._vm(vmid, pve_node)
        self.world.log(f"grow {vm.name}")
        vm.disk_gib = max(vm.disk_gib, size_gib)

    def start(self, vmid: Vmid, *, pve_node: PveNodeName, warn: Warn) -> None:
        vm = self._vm(vmid, pve_node)
        self.world.log(f"start {vm.name}")
        vm.running = True
        vm.boots += 1

    def shutdown(self, vmid: Vmid, *, pve_node: PveNodeName, timeout_s: int, warn: Warn) -> None:
        self.stop(vmid, pve_node=pve_node, warn=warn)

    def stop(self, vmid: Vmid, *, pve_node: PveNodeName, warn: Warn) -> None:
        vm = self._vm(vmid, pve_node)
        self.world.log(f"stop {vm.name}")
        vm.running = False

    def destroy(self, vmid: Vmid, *, pve_node: PveNodeName, warn: Warn) -> None:
        vm = self._vm(vmid, pve_node)
        self.world.log(f"destroy {vm.name}")
        if vm.running:
            raise HypervisorError(f"VM {vmid} is running - destroy failed")
        with self.world.lock:
            del self.world.vms[vmid]

    def guest_interfaces(self, vmid: Vmid, *, pve_node: PveNodeName) -> tuple[GuestInterface, ...]:
        vm = self._vm(vmid, pve_node)
        if vm.name in self.world.no_agent:
            raise AgentNotConfiguredError(f"{vm.name}: No QEMU guest agent configured")
        if not vm.running or vm.name in self.world.silent:
            self.world.clock.sleep(3.0)
            raise AgentNotRunningError(f"{vm.name}: no answer", details="QEMU guest agent is not running")
        loopback = GuestInterface(name="lo", mac="00:00:00:00:00:00", addresses=(IPv4Address("127.0.0.1"),))
        pods = GuestInterface(name="cni0", mac="0A:00:00:00:00:01", addresses=(IPv4Address("10.42.0.1"),))
        return (loopback, pods, GuestInterface(name="eth0", mac=vm.mac, addresses=(vm.address,)))

    def read_guest_file(self, vmid: Vmid, *, pve_node: PveNodeName, path: str) -> str:
        return f"ssh-ed25519 AAAA{vmid} root@guest\n"


@dataclass
class FakeShells:
    world: World
    public_key: str = "ssh-ed25519 AAAAtest homelab-k8s"

    def connect(
        self, machine: MachineName, address: IPv4Address, *, user: str, host_key: str | None, timeout_s: float
    ) -> FakeShell:
        vm = self.world.by_address(address)
        if vm.name in self.world.refuses_key:
            raise KeyRefusedError(f"{machine}: cannot log in", details="the machine refused our SSH key")
        assert host_key is None or host_key == f"ssh-ed25519 AAAA{vm.vmid}"
        return FakeShell(self.world, vm)


@dataclass
class FakeShell:
    world: World
    vm: FakeVm
    sent: set[str] = field(default_factory=set)

    def run(self, script: GuestScript, *, timeout_s: float) -> str:
        if script.name in self.world.broken_scripts:
            raise ScriptError(f"{self.vm.name}: {script.name} failed", status=1)
        handler = getattr(self, "_" + script.name.removesuffix(".sh").replace("-", "_"))
        return str(handler(dict(script.env), dict(script.secret_files)))

    def upload(self, source: Path, *, name: str) -> None:
        self.world.log(f"upload {self.vm.name}")
        self.sent.add(name)

    def close(self) -> None:
        self.sent.clear()

    def _facts(self, _env: dict[str, str], _files: dict[str, str]) -> str:
        state = "active" if self.vm.unit else ""
        own = hashlib.md5(self.vm.smbios_uuid.encode()).hexdigest()
        machine_id = self.world.machine_ids.get(self.vm.name, own)
        time_s = 1740830400 + round(self.world.guest_clocks_s.get(self.vm.name, 0.0))
        return (
            f"arch=amd64\nmachine_id={machine_id}\nk3s_sha256={self.vm.k3s_sha256}\nactive_state={state}\n"
            f"time={time_s}\n"
        )

    def _fsync(self, _env: dict[str, str], _files: dict[str, str]) -> str:
        return f"write_s={self.world.write_s}\n" * 3

    def _cloud_init_result(self, _env: dict[str, str], _files: dict[str, str]) -> str:
        return "done=1\nstatus=done\n"

    def _install_k3s(self, env: dict[str, str], files: dict[str, str]) -> str:
        assert self.vm.k3s_sha256 == env["SHA256"] or "k3s.bin" in self.sent
        changed = self.vm.k3s_sha256 != env["SHA256"] or any(
            self.vm.files.get(name) != text for name, text in files.items()
        )
        self.vm.k3s_sha256 = env["SHA256"]
        self.vm.files.update(files)
        if changed:
            self.world.log(f"install {self.vm.name}")
        return f"changed={int(changed)}\n"

    def _start_k3s(self, env: dict[str, str], _files: dict[str, str]) -> str:
        config = yaml.safe_load(self.vm.files["config.yaml"])
        if self.vm.name not in self.world.broken_units:
            self.vm.unit = env["UNIT"]
            self._register(config, server=env["UNIT"] == "k3s")
        return "time=0\n"

    def _register(self, config: Mapping[str, object], *, server: bool) -> None:
        name = MachineName(str(config["node-name"]))
        roles = frozenset({"control-plane"} if server else set())
        etcd = any("cluster-init" in vm.files.get("config.yaml", "") for vm in self.world.vms.values())
        if server and etcd:
            roles |= {"etcd"}
        labels = tuple(tuple(str(label).split("=", 1)) for label in config.get("node-label", []))  # type: ignore[attr-defined]
        with self.world.lock:
            self.world.kube_nodes.setdefault(
                name,
                KubeNode(name=name, ready=True, version=VERSION, address=self.vm.address, roles=roles, labels=labels),  # type: ignore[arg-type]
            )

    def _unit_state(self, _env: dict[str, str], _files: dict[str, str]) -> str:
        state = "active" if self.vm.unit else "activating"
        return f"active_state={state}\nsub_state=running\nrestarts=0\nresult=success\n"

    def _journal(self, _env: dict[str, str], _files: dict[str, str]) -> str:
        return self.world.broken_units.get(self.vm.name, "")

    def _readyz(self, _env: dict[str, str], _files: dict[str, str]) -> str:
        if self.vm.unit != "k3s":
            raise ScriptError(f"{self.vm.name}: readyz.sh failed", status=1, details="connection refused")
        return "ok\n"

    def _read_token(self, _env: dict[str, str], _files: dict[str, str]) -> str:
        if self.vm.unit != "k3s":
            raise ScriptError(f"{self.vm.name}: read-token.sh failed", status=1, details="No such file")
        token = self.vm.files["service.env"].split("'")[1].rpartition(":")[2]
        return f"K10{'ab' * 32}::server:{token}\n"

    def _read_kubeconfig(self, _env: dict[str, str], _files: dict[str, str]) -> str:
        return yaml.safe_dump(
            {
                "clusters": [{"name": "default", "cluster": {"server": "https://127.0.0.1:6443"}}],
                "users": [{"name": "default", "user": {"client-key-data": "c2VjcmV0"}}],
                "contexts": [{"name": "default", "context": {"cluster": "default", "user": "default"}}],
                "current-context": "default",
            }
        )


@dataclass
class FakeKubeApis:
    world: World

    def connect(self, kubeconfig: str) -> FakeKube:
        server = str(yaml.safe_load(kubeconfig)["clusters"][0]["cluster"]["server"])
        return FakeKube(self.world, IPv4Address(server.removeprefix("https://").rpartition(":")[0]))


@dataclass
class FakeKube:
    world: World
    address: IPv4Address

    def _check(self) -> None:
        servers = [vm for vm in self.world.vms.values() if vm.running and vm.unit == "k3s"]
        if not any(vm.address == self.address for vm in servers):
            raise KubeUnreachableError(f"no Kubernetes API on {self.address}", details="Connection refused")

    def ready(self) -> bool:
        return any(vm.running and vm.unit == "k3s" and vm.address == self.address for vm in self.world.vms.values())

    def kube_nodes(self) -> tuple[KubeNode, ...]:
        self._check()
        with self.world.lock:
            return tuple(self._seen(node) for node in self.world.kube_nodes.values())

    def _seen(self, node: KubeNode) -> KubeNode:
        vm = self.world.vm_named(node.name)
        alive = vm is not None and vm.running and bool(vm.unit)
        return node if alive else replace(node, ready=False, problem="its lease has expired")

    def await_node(
        self, name: MachineName, *, accept: Callable[[KubeNode | None], bool], timeout_s: float
    ) -> KubeNode | None:
        node = next((node for node in self.kube_nodes() if node.name == name), None)
        if not accept(node):
            self.world.clock.sleep(timeout_s)
        return node

    def set_node_metadata(self, name: MachineName, *, labels: Mapping[str, str], taints: Iterable[Taint]) -> bool:
        with self.world.lock:
            node = self.world.kube_nodes[name]
            after = replace(
                node,
                labels=tuple(sorted((dict(node.labels) | dict(labels)).items())),
                taints=tuple(sorted({*node.taints, *taints})),
            )
            self.world.kube_nodes[name] = after
        return set(after.labels) != set(node.labels) or set(after.taints) != set(node.taints)

    def delete_kube_node(self, name: MachineName, *, timeout_s: float) -> None:
        with self.world.lock:
            self.world.kube_nodes.pop(name, None)

    def close(self) -> None:
        """Nothing is held."""


@dataclass
class FakeArtifacts:
    world: World

    def resolve(self, k3s: K3sSpec) -> str:
        return k3s.version or VERSION

    def check(self, k3s: K3sSpec, *, version: str, arch: str) -> str:
        if self.world.no_release is not None:
            raise self.world.no_release
        return "in the cache, with the right checksum"

    def fetch(self, k3s: K3sSpec, *, version: str, arch: str) -> Artifact:
        return Artifact(version=version, arch=arch, binary=Path(__file__), sha256="12" * 32)


@dataclass
class FakeKubeconfigs:
    world: World

    def merge(self, kubeconfig: str, *, name: ClusterName, path: Path | None) -> Path:
        self.world.kubeconfigs[name] = kubeconfig
        return path or Path("/home/user/.kube/config")

    def remove(self, *, name: ClusterName, path: Path | None) -> Path | None:
        gone = self.world.kubeconfigs.pop(name, None)
        return (path or Path("/home/user/.kube/config")) if gone else None


@dataclass
class FakeState:
    world: World

    def read(self, cluster: ClusterName, item: str) -> str | None:
        return self.world.state.get((cluster, item))

    def write(self, cluster: ClusterName, item: str, text: str) -> None:
        self.world.state[cluster, item] = text

    def forget(self, cluster: ClusterName) -> bool:
        keys = [key for key in self.world.state if key[0] == cluster]
        for key in keys:
            del self.world.state[key]
        return bool(keys)


@dataclass
class FakeMarkers:
    """Marker VMs among the world's VMs; a config's digest is its content's."""

    world: World

    def find(self, vmid: Vmid) -> Marker | None:
        self.world.on_look()
        with self.world.lock:
            vm = self.world.vms.get(vmid)
            return None if vm is None else self._marker(vm)

    def _marker(self, vm: FakeVm) -> Marker:
        return Marker(
            vmid=vm.vmid,
            pve_node=vm.pve_node,
            name=vm.name,
            description=vm.description,
            lock=vm.lock,
            digest=hashlib.sha1(f"{vm.name}\n{vm.tags}\n{vm.description}".encode()).hexdigest(),
        )

    def create(
        self,
        vmid: Vmid,
        *,
        pve_nodes: tuple[PveNodeName, ...],
        name: str,
        description: str,
        tags: tuple[str, ...],
        resource_pool: str | None,
    ) -> None:
        with self.world.lock:
            if vmid in self.world.vms:
                raise VmidTakenError(f"vmid {vmid} is taken")
            allowed = [facts.name for facts in self.world.pve_nodes if not pve_nodes or facts.name in pve_nodes]
            self.world.vms[vmid] = FakeVm(
                vmid=vmid, name=name, pve_node=allowed[0], description=description, tags=";".join(tags)
            )

    def rewrite(self, marker: Marker, *, name: str, description: str, tags: tuple[str, ...]) -> bool:
        with self.world.lock:
            vm = self.world.vms.get(marker.vmid)
            if vm is None or self._marker(vm).digest != marker.digest:
                return False
            vm.name, vm.description, vm.tags = name, description, ";".join(tags)
            return True

    def remove(self, marker: Marker) -> None:
        with self.world.lock:
            self.world.vms.pop(marker.vmid, None)


@dataclass
class FakeProcesses:
    world: World
    who: str
    pid: int

    def this(self) -> Process:
        return Process(who=self.who, pid=self.pid, mark=f"{self.who.partition('@')[2]}/{self.pid}")

    def state(self, mark: str) -> bool | None:
        host = mark.partition("/")[0]
        return mark not in self.world.dead if host == self.who.partition("@")[2] else None

    def utc_text(self) -> str:
        return "2025-03-01 12:00:00 UTC"

    def unix_s(self) -> float:
        return 1740830400.0


@dataclass
class FakeProbes:
    world: World

    def endpoint(self, endpoint: PveEndpoint) -> EndpointFacts:
        if self.world.endpoint is None:
            raise HypervisorError("cannot reach Proxmox VE at 192.0.2.1:8006", details="timed out", resolution="check")
        return self.world.endpoint

    def certificate(self, address: IPv4Address, port: int) -> CertificateFacts:
        if self.world.api_days is None:
            raise HomelabError(f"{address}:{port} shows no certificate", details="Connection refused")
        return CertificateFacts(fingerprint=FINGERPRINT, days_left=self.world.api_days)

    def answers(self, address: IPv4Address) -> bool:
        return address in self.world.answering
