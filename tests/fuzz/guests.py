"""What machines print: anyone who is root on one decides what our scripts tell there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from ipaddress import IPv4Address
from pathlib import Path
from random import Random

from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.observing.liveness import unit_states
from bootstrap.commands.observing.observe import observe_cluster
from bootstrap.commands.reports.doctor import diagnose
from bootstrap.commands.reports.snapshots import list_snapshots
from bootstrap.commands.reports.status import cluster_status
from bootstrap.commands.verbs.up import Up
from bootstrap.execution.guests.scripts import parse_facts, parse_guest_settings
from bootstrap.k3s.diagnosis.unit import diagnose as diagnose_journal
from bootstrap.k3s.diagnosis.unit import parse_runs
from bootstrap.model.access.endpoint import ApiToken, PveEndpoint, TlsSpec
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName
from bootstrap.planning.settings.drift import drifts
from bootstrap.ports import GuestScript, Ports
from tests.fakes.specs import cluster
from tests.fakes.world import FINGERPRINT, World
from tests.fakes.world.shells import FakeShell, FakeShells
from tests.fuzz.mutations import Mutator
from tests.fuzz.running import Area

SPEC = cluster(servers=3, agents=1)
SMALL = cluster(servers=1, agents=1)
ENDPOINT = PveEndpoint(
    url="https://192.0.2.1:8006",
    token=ApiToken(user="test@pve", name="x", secret="11111111-2222-3333-4444-555555555555"),
    tls=TlsSpec(fingerprint=FINGERPRINT),
)
FACTS = (
    "arch=amd64\nmachine_id=abc\nk3s_sha256=ab\nk3s_version=v1.36.3+k3s1\nactive_state=active\nsub_state=running\n"
    "restarts=0\ntime=1740830400\nselinux=\nselinux_lacks=\n"
)
SETTINGS = (
    "file=config.yaml bm9kZS1uYW1lOiB4CnRsczogW2EsIGJdCg==\nfile=config.yaml.d/x.yaml YTogezE6IDJ9Cg==\npending=1\n"
)
JOURNAL = (
    '-- run a1 ended\ntime="2026-01-01T00:00:00Z" level=fatal msg="token CA hash does not match" error="x"\n'
    'E1128 20:03:18.731746    3218 server.go:209] "x" err="y"\n-- run a2 goes on\n'
    '{"level":"error","ts":"2026","msg":"etcd is unwell","error":"no space"}\npanic: x\n'
)


@dataclass
class MutatingShells(FakeShells):
    """Shells on machines of which one script tells other things than it does."""

    script: str = ""
    seed: str = ""

    def connect(
        self, machine: MachineName, address: IPv4Address, *, user: str, host_key: str | None, timeout_s: float
    ) -> FakeShell:
        shell = super().connect(machine, address, user=user, host_key=host_key, timeout_s=timeout_s)
        told, script, seed = shell.run, self.script, f"{self.seed}/{machine}"

        def run(asked: GuestScript, *, timeout_s: float) -> str:
            text = told(asked, timeout_s=timeout_s)
            return Mutator(Random(seed)).lines(text) if asked.name == script else text

        shell.run = run  # type: ignore[method-assign, assignment]
        return shell


@cache
def built() -> World:
    """A world with a cluster."""
    world = World()
    _up(world.ports, SPEC)
    return world


def _up(ports: Ports, spec: ClusterSpec) -> object:
    return Up().run(Up().plan(spec, ports), spec, ports, sink=lambda _event: None, options=RunOptions())


def _units(ports: Ports) -> object:
    view = observe_cluster(SPEC, ports, patient=False)
    return drifts(view, ()), unit_states(view, ports, view.vm_of.keys())


LOOKS: Mapping[str, tuple[tuple[str, ...], int, Callable[[Ports], object]]] = {
    "status": (("unit-state.sh", "read-settings.sh"), 40, lambda ports: cluster_status(SPEC, ports)),
    "doctor": (("facts.sh", "fsync.sh"), 40, lambda ports: diagnose(SPEC, ENDPOINT, ports)),
    "units": (("unit-state.sh",), 60, _units),
    "snapshots": (
        ("list-snapshots.sh",),
        40,
        lambda ports: list_snapshots(SPEC, ports, directory=Path("/nonexistent")),
    ),
}
UP = ("facts.sh", "unit-state.sh", "cloud-init-result.sh", "install-k3s.sh", "start-k3s.sh", "readyz.sh",
      "read-kubeconfig.sh", "read-token.sh", "read-settings.sh", "read-identity.sh", "journal.sh")  # fmt: skip


def _look(name: str) -> Area:
    scripts, inputs, look = LOOKS[name]

    def read(broken: tuple[str, str]) -> object:
        script, seed = broken
        shells = MutatingShells(built(), script=script, seed=seed)
        return look(replace(built().ports, shells=shells))

    return Area(
        name=f"guests {name}",
        make=lambda mutator: (mutator.one_of(scripts), str(mutator.random.random())),
        read=read,
        inputs=inputs,
    )


def _read_up(broken: tuple[str, str]) -> object:
    script, seed = broken
    world = World()
    return _up(replace(world.ports, shells=MutatingShells(world, script=script, seed=seed)), SMALL)


AREAS = (
    *map(_look, LOOKS),
    Area(
        name="guests up",
        make=lambda mutator: (mutator.one_of(UP), str(mutator.random.random())),
        read=_read_up,
        inputs=25,
    ),
    Area(
        name="guests facts",
        make=lambda mutator: mutator.lines(FACTS),
        read=lambda text: parse_facts(text, machine="m", address=IPv4Address("192.0.2.1")),
        inputs=300,
    ),
    Area(
        name="guests settings",
        make=lambda mutator: mutator.lines(SETTINGS),
        read=lambda text: parse_guest_settings(MachineName("m"), text),
        inputs=300,
    ),
    Area(
        name="guests journal",
        make=lambda mutator: mutator.text(JOURNAL),
        read=lambda text: [diagnose_journal(run.lines, ended=run.ended) for run in parse_runs(text)],
        inputs=300,
    ),
)
