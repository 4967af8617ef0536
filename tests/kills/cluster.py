"""A cluster in a lab of simulated guests, and commands on it that can be killed at any instant.

A command runs in a forked child, which tells of each step's end over a pipe, so that it can be killed at
a step boundary; the parent has imported everything, so a child costs no start-up.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import requests
import yaml

from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.reports.status import cluster_status
from bootstrap.commands.verbs.down import Down
from bootstrap.commands.verbs.replace import Replace
from bootstrap.commands.verbs.scale import Scale
from bootstrap.commands.verbs.up import Up
from bootstrap.errors import HomelabError
from bootstrap.events import Event, EventSink, StepFinished
from bootstrap.execution.context import KubeconfigTarget, Timeouts
from bootstrap.homelab import Homelab
from bootstrap.inventory import Inventory
from bootstrap.lab import control
from bootstrap.lab.options import LabInfo, LabOptions
from bootstrap.lab.standin_release import make_artifacts
from bootstrap.lab.template.cache import CACHE_VARIABLE, cache_dir
from bootstrap.model.access.endpoint import ApiToken, PveEndpoint, TlsSpec
from bootstrap.model.cluster import ClusterSpec, TemplateRef
from bootstrap.model.machine import MachineKind
from bootstrap.planning.verbs.replace import ReplaceOptions
from bootstrap.planning.verbs.scale import with_counts
from tests.e2e.forking import CLIENTS
from tests.fakes.specs import cluster, workers

TIMEOUTS = Timeouts(first_ask_s=0.05, run_s=120.0)
PATIENCE_S = 60.0
WORKERS = workers().name
IMPORTED_LATE = (
    *CLIENTS,
    *("bootstrap.adapters.ssh.transport", "bootstrap.adapters.ssh.trust", "bootstrap.adapters.kube.api"),
    *("bootstrap.commands.verbs.up", "bootstrap.commands.verbs.down"),
)
"""What the program imports where it is used; children have it from the parent."""

Until = Callable[[int], bool]
"""Told how many step boundaries have passed (and called again every few ms); True: kill now."""


@dataclass(frozen=True)
class Ended:
    """How a command ended: killed after so many boundaries, or by itself with a code."""

    killed: bool
    boundaries: int
    code: int
    error: str


class KillableCluster:
    """The cluster `demo` in a running lab."""

    def __init__(
        self, info: LabInfo, directory: Path, *, servers: int, agents: int, kind: MachineKind = MachineKind.VM
    ) -> None:
        for name in IMPORTED_LATE:
            import_module(name)
        self._info = info
        self._kubeconfig = directory / "kubeconfig"
        self._api = requests.Session()
        self._api.trust_env = False
        self._api.verify = str(directory / "lab" / "lab.crt")
        self._api.headers["Authorization"] = f"PVEAPIToken={info.root_token}"
        user, _, name = info.token_id.partition("!")
        token = ApiToken(user=user, name=name, secret=info.token_secret)
        endpoint = PveEndpoint(url=info.endpoint, token=token, tls=TlsSpec(fingerprint=info.fingerprint))
        plain = cluster(servers, agents)
        self.spec: ClusterSpec = replace(
            plain,
            workers=tuple(replace(pool, kind=kind) for pool in plain.workers),
            template=TemplateRef(name="debian-12-k3s"),
            ssh=replace(plain.ssh, port=info.ssh_port),
            network=replace(plain.network, subnet=IPv4Network(info.network)),
            k3s=replace(plain.k3s, artifacts=directory / "k3s"),
        )
        self._inventory = Inventory(spec=self.spec, endpoint=endpoint, source="the test")

    def run(self, command: str, *, until: Until | None = None) -> Ended:
        """Run a command in a child; kill it with SIGKILL as soon as `until` says so.

        Args:
            command: `up`, `down`, `scale N` (workers), `replace` (the workers), `replace first` (old ones go first).
            until: When to kill it; None: never.
        """
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            self._child(command, writing)
        os.close(writing)
        try:
            return self._watch(child, reading, until)
        finally:
            os.close(reading)

    def _watch(self, child: int, reading: int, until: Until | None) -> Ended:
        boundaries, text = 0, b""
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            # Whoever kills between boundaries has to be asked often; others, when a boundary has passed.
            part = _part(reading, wait_s=1.0 if until is None else 0.004)
            if part == b"":
                _, status = os.waitpid(child, 0)
                return Ended(
                    killed=False, boundaries=boundaries, code=os.waitstatus_to_exitcode(status), error=text.decode()
                )
            boundaries += (part or b"").count(b"\n")
            text = (text + (part or b"").replace(b"\n", b""))[-4000:]
            if until is not None and until(boundaries):
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return Ended(killed=True, boundaries=boundaries, code=-signal.SIGKILL, error="")
            if time.monotonic() > deadline_s:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                raise AssertionError(f"a command did not end within {PATIENCE_S:.0f} s")

    def _child(self, command: str, writing: int) -> None:
        """The forked child's whole life; never returns, whatever happens, lest pytest runs twice."""
        code = 70
        try:
            code = self._act(command, writing)
        except BaseException as error:  # noqa: BLE001 - told to the parent; the child must end here
            os.write(writing, f"{type(error).__name__}: {error}"[:2000].replace("\n", " | ").encode())
        finally:
            os._exit(code)

    def _act(self, command: str, writing: int) -> int:
        def sink(event: Event) -> None:
            if isinstance(event, StepFinished):  # where the lane's next step begins, but for its last
                os.write(writing, b"\n")

        homelab = Homelab(self._inventory, environ={"HOME": str(self._kubeconfig.parent)})
        options = RunOptions(timeouts=TIMEOUTS, kubeconfig=KubeconfigTarget(path=self._kubeconfig))
        try:
            self._carry_out(command, homelab, sink, options)
        except HomelabError as error:
            said = f"{error.brief} / {error.details} / {error.resolution}"
            os.write(writing, said.replace("\n", " | ").encode())
            return error.exit_code
        return 0

    def _carry_out(self, command: str, homelab: Homelab, sink: EventSink, options: RunOptions) -> None:
        verb, _, number = command.partition(" ")
        match verb:
            case "up":
                plan = homelab.plan(Up())
                if not plan.empty:
                    homelab.run(Up(), plan, sink=sink, options=options)
            case "down":
                homelab.run(Down(), homelab.plan(Down()), sink=sink, options=options)
            case "scale":
                verb_options = Scale(counts={WORKERS: int(number)})
                plan = homelab.plan(verb_options)
                if not plan.empty:
                    homelab.run(verb_options, plan, sink=sink, options=options)
            case "replace":
                roll = ReplaceOptions(pool=WORKERS, surge=number != "first")
                homelab.run(Replace(roll), homelab.plan(Replace(roll)), sink=sink, options=options)
            case _:
                raise ValueError(command)

    def call(self, method: str, path: str, **values: str | int) -> object:
        """One request to the lab's Proxmox VE API as root."""
        answer = self._api.request(method, f"{self._info.endpoint}/api2/json{path}", data=values or None, timeout=30)
        answer.raise_for_status()
        return answer.json()["data"]

    def vms(self) -> dict[str, int]:
        """All VMs but templates, and all containers, by name; two of one name are an error."""
        listed = [guest for kind in ("qemu", "lxc") for guest in self._listed(f"/nodes/pve1/{kind}")]
        names = [vm["name"] for vm in listed if not vm.get("template")]
        assert len(names) == len(set(names)), f"two VMs of one name: {sorted(names)}"
        return {vm["name"]: vm["vmid"] for vm in listed if not vm.get("template")}

    def _listed(self, path: str) -> list[dict[str, Any]]:
        listed = self.call("GET", path)
        assert isinstance(listed, list)
        return listed

    def volume_owners(self) -> set[int]:
        """Vmids that own a volume."""
        content = self._listed("/nodes/pve1/storage/local/content")
        return {int(volume["vmid"]) for volume in content if volume.get("vmid")}

    def status(self, *, workers: int | None = None) -> tuple[tuple[str, str, bool | None], ...]:
        """Each machine's name, VM state and readiness, and each problem, as `homelab-k8s status` tells.

        Args:
            workers: How many the inventory asks for; None: as it was at first.
        """
        inventory = self._inventory
        if workers is not None:
            inventory = replace(inventory, spec=with_counts(inventory.spec, {WORKERS: workers}))
        told = Homelab(inventory, environ={"HOME": str(self._kubeconfig.parent)}).look(cluster_status)
        problems = [problem for problem in told.problems if "is ignored" not in problem]
        assert problems == []
        return tuple((machine.name, machine.vm, machine.ready) for machine in told.machines)

    def kubeconfig_contexts(self) -> list[str]:
        """Names of the contexts in the kubeconfig."""
        if not self._kubeconfig.exists():
            return []
        contexts = (yaml.safe_load(self._kubeconfig.read_text(encoding="utf-8")) or {}).get("contexts") or []
        return [context["name"] for context in contexts]


def _part(reading: int, *, wait_s: float) -> bytes | None:
    """What the child has told by now; b"" at its end, None where it tells nothing for so long."""
    ready, _, _ = select.select([reading], [], [], wait_s)
    return os.read(reading, 65536) if ready else None


@contextmanager
def killable_cluster(
    directory: Path, *, guests: str, servers: int, agents: int, kind: MachineKind = MachineKind.VM
) -> Iterator[KillableCluster]:
    """A lab of its own with a cluster that does not exist yet, and two VMs that are somebody else's."""
    changed = {
        "HOME": str(directory),
        "XDG_STATE_HOME": str(directory / "state"),
        "HOMELAB_K8S_LAB_DIR": str(directory / "lab"),
        CACHE_VARIABLE: str(cache_dir()),  # a template takes minutes: that of the user's own home is taken
    }
    before = {key: os.environ.get(key) for key in changed}
    os.environ.update(changed)
    make_artifacts(directory / "k3s", ready_delay_s=0.1 if guests == "simulated" else 0.7)
    try:
        scale = 0.01 if guests == "simulated" else 1.0
        info = control.start(LabOptions(guests=guests, time_scale=scale, port=0), progress=lambda _line: None)
        try:
            yield KillableCluster(info, directory, servers=servers, agents=agents, kind=kind)
        finally:
            control.stop()
    finally:
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value
