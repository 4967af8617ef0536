"""The lanes of all machines that join a cluster, and of the server that they join through. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from bootstrap.model.ids import MachineName
from bootstrap.model.machine import MachineSpec
from bootstrap.planning.day2_steps import MarkLeaving, MigrateToEtcd, RestoreSnapshot, StopK3s
from bootstrap.planning.healthy_server import healthy_server
from bootstrap.planning.members.desired_machines import MachineState
from bootstrap.planning.members.twins import check_twins
from bootstrap.planning.members.unreachable import require_reachable
from bootstrap.planning.plan import Gate, Lane, LaneStep
from bootstrap.planning.provision.allocation import Allocation
from bootstrap.planning.provision.joining import (
    API_REACHABLE,
    access_lane,
    fetch_step,
    init_step,
    join_lane,
    joined,
    kubeconfig_lane,
)
from bootstrap.planning.provision.vip_lanes import VipPlan, plan_vip
from bootstrap.planning.steps import AwaitReady, Step
from bootstrap.records.snapshot_note import check_bucket

if TYPE_CHECKING:
    from bootstrap.planning.view import ClusterView


@dataclass(frozen=True, kw_only=True)
class JoinLanes:
    """The lanes of machines that join or are repaired, and of the server that they join through.

    Attributes:
        allocation: What new machines get.
        work: The machines that something is done about.
        version: The k3s version they get.
        migrates: Whether the only server's data is moved from sqlite to etcd first.
        begins: Gates a machine waits for before it is cloned.
        leaving: Servers that other lanes of the plan remove.
        besides: Further machines with lanes of their own, so that the others are not reached through them.
        before_servers: Gates before further servers join.
        marks: Whether the healthy server itself will be removed, by a later plan.
        restore: A snapshot's file that the first server gets its data from.
    """

    allocation: Allocation
    work: Sequence[MachineState]
    version: str
    migrates: bool = False
    begins: Mapping[MachineName, tuple[Gate, ...]] = field(default_factory=dict)
    leaving: Collection[MachineName] = ()
    besides: Collection[MachineName] = ()
    before_servers: tuple[Gate, ...] = ()
    marks: bool = False
    restore: Path | None = None

    @cached_property
    def servers(self) -> tuple[MachineState, ...]:
        """The servers that the cluster is to have."""
        return tuple(each for each in self.allocation.view.states if each.is_server)

    @cached_property
    def healthy(self) -> MachineSpec | None:
        """The server that the others are reached through, where one serves."""
        return healthy_server(self.allocation.view, besides=(*self.leaving, *self.besides))

    @cached_property
    def primary(self) -> MachineState | None:
        """The server that the others join through while no API answers.

        The first that has a VM, since it may hold the cluster's data; where none has one, the first.
        """
        if self.healthy is not None:
            return None
        candidates = [each for each in self.work if each.is_server]
        return next((each for each in candidates if each.made), next(iter(candidates), None))

    @cached_property
    def vip(self) -> VipPlan:
        """What is done about the VIP: nothing where a server holds it and no server joins or is removed."""
        through, view = self.healthy or self.primary, self.allocation.view
        if through is None:
            return VipPlan()
        joining = [each.name for each in self.work if each.is_server and each.name != through.name]
        if view.observed.vip_holder is not None and not (joining or self.leaving):
            return VipPlan()
        return plan_vip(view, servers=self.servers, through=through.name, joining=joining)

    def lanes(self) -> tuple[Lane, ...]:
        """All lanes. Raises PreflightError, as `machine_lanes`."""
        return (*self.common_lanes(), *self.machine_lanes())

    def common_lanes(self, *, kubeconfig_after: tuple[Gate, ...] = ()) -> tuple[Lane, ...]:
        """The lanes of the k3s releases, one for each architecture, and of the kubeconfig."""
        releases = (fetch_step(self.version, arch) for arch in self.allocation.architectures(self.work))
        kubeconfig = kubeconfig_lane(self.allocation.view.spec, after=kubeconfig_after)
        return (Lane.of("k3s", *releases), kubeconfig) if self.work else (kubeconfig,)

    def machine_lanes(self) -> tuple[Lane, ...]:
        """The lanes of machines, and of the VIP.

        Raises:
            PreflightError: A first server would be started while an unreachable one may serve, or the keys of the
                bucket are missing.
        """
        if self.healthy is None:
            _check_founding(self.allocation.view, self.servers)
        if any(each.is_server for each in self.work):
            check_bucket(self.allocation.view.spec)  # a server's settings have the bucket's keys
        through = (self._healthy_lane(self.healthy),) if self.healthy is not None else ()
        return (*through, *map(self._lane, self._joining), *self.vip.lanes)

    @property
    def _joining(self) -> tuple[MachineState, ...]:
        """The machines with a lane that creates or repairs them."""
        return tuple(each for each in self.work if self.healthy is None or each.name != self.healthy.name)

    @cached_property
    def _turns(self) -> Mapping[MachineName, tuple[Gate, ...]]:
        """The gates that each further server waits for in addition.

        One etcd member at a time: of two servers that join at once, one fails (docs/k3s.md#joining).
        """
        turns: dict[MachineName, tuple[Gate, ...]] = {}
        previous = (joined(self.healthy.name),) if self.healthy is not None and self.migrates else ()
        for each in self._joining:
            if each.is_server and each is not self.primary:
                turns[each.name] = (*self.before_servers, *previous)
                previous = (joined(each.name),)
        return turns

    def _lane(self, machine_state: MachineState) -> Lane:
        begins = self.begins.get(machine_state.name, ())
        if machine_state is self.primary:
            init = (*self._first_steps(self.allocation.machine(machine_state.machine)), *self.vip.first)
            return join_lane(self.allocation, machine_state, self.version, init=init, begins=begins)
        needs = (API_REACHABLE, *self.vip.joins, *self._turns.get(machine_state.name, ()))
        return join_lane(self.allocation, machine_state, self.version, needs=needs, begins=begins)

    def _first_steps(self, machine: MachineSpec) -> tuple[LaneStep, ...]:
        """How the first server is started; an interrupted restore may have left k3s running on it."""
        if self.restore is None:
            return (init_step(self.allocation.view.spec, machine),)
        return (
            LaneStep(step=StopK3s(machine=machine)),
            LaneStep(step=RestoreSnapshot(machine=machine, source=self.restore), opens=(API_REACHABLE,)),
        )

    def _healthy_lane(self, healthy: MachineSpec) -> Lane:
        """What is done on the server that the others are reached through, once it has been reached itself."""
        own = next((each for each in self.work if each.name == healthy.name), None)
        machine = self.allocation.machine(own.machine) if own else healthy
        steps: list[Step | LaneStep] = [MarkLeaving(machine=machine.name)] if self.marks else []
        steps += self.vip.first
        if self.migrates:
            steps.append(LaneStep(step=MigrateToEtcd(machine=machine), opens=(joined(machine.name),)))
        if own:
            steps.append(LaneStep(step=AwaitReady(machine=machine), needs=(API_REACHABLE,)))
        return access_lane(self.allocation.view.spec, machine, *steps)


def _check_founding(view: ClusterView, servers: Sequence[MachineState]) -> None:
    """Refuse to start a first server while an unreachable one may serve: there would be two clusters.

    A minority of the servers cannot serve: they have no etcd majority.
    """
    check_twins(view, frozenset(each.name for each in servers))
    held = [each for each in servers if each.held]
    if held and sum(each.made for each in servers) <= len(servers) // 2:
        what = f"no server of {view.spec.name} answers, and none can be started"
        require_reachable(view, what=what, of=[each.unreachable for each in held if each.unreachable is not None])
        require_reachable(view, what=what)
