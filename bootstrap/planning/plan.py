"""A plan: one lane of steps per machine, joined by named gates. A dry run prints it, a run carries it out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from bootstrap.model.cluster import VmidRange
from bootstrap.model.ids import ClusterName, MachineName, PveNodeName, Vmid
from bootstrap.model.machine import MachineSpec
from bootstrap.model.observed import Observed, VmRecord
from bootstrap.planning.steps import Step

S = TypeVar("S")


@dataclass(frozen=True, order=True)
class Gate:
    """Something other lanes may wait for; opened by the step that makes it true.

    Attributes:
        name: What is true once it is open: `api_reachable`, `server_joined`, `k3s_fetched`, `vm_gone`.
        of: Which one, where there are several: a machine or an architecture.
    """

    name: str
    of: str = ""

    def __str__(self) -> str:
        """As in `server_joined(demo-cp-2)`."""
        return f"{self.name}({self.of})" if self.of else self.name


@dataclass(frozen=True, kw_only=True)
class LaneStep:
    """A step with the gates it waits for and the gates it opens."""

    step: Step
    needs: tuple[Gate, ...] = ()
    opens: tuple[Gate, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Lane:
    """One machine's steps in order (or the cluster's own)."""

    name: str
    steps: tuple[LaneStep, ...]

    @classmethod
    def of(cls, name: str, *steps: Step | LaneStep) -> Lane:
        """A lane; a bare step neither waits for a gate nor opens one."""
        return cls(name=name, steps=tuple(s if isinstance(s, LaneStep) else LaneStep(step=s) for s in steps))


@dataclass(frozen=True, kw_only=True)
class VmPlace:
    """Which VM a machine is, as seen when planning; its identity is checked again before it is destroyed.

    Attributes:
        identity: `VmRecord.identity` as seen, or None for a VM that is yet to be created.
    """

    machine: MachineName
    pve_node: PveNodeName
    vmid: Vmid
    identity: str | None = None

    @classmethod
    def of(cls, machine: MachineName, vm: VmRecord) -> VmPlace:
        """The VM that a machine was seen to be."""
        return cls(machine=machine, pve_node=vm.pve_node, vmid=vm.vmid, identity=vm.identity)


class Action(StrEnum):
    """What a plan does to a machine; the values are those of the JSON output."""

    CREATE = "create"
    CONTINUE = "continue"
    """Its VM's creation was interrupted."""
    REPAIR = "repair"
    RESTART = "restart"
    """With new settings."""
    CONFIGURE = "configure"
    """Its packages or kernel settings, while k3s keeps running."""
    UPGRADE = "upgrade"
    ADOPT = "adopt"
    KEEP = "keep"
    DESTROY = "destroy"


@dataclass(frozen=True, kw_only=True)
class PlannedMachine:
    """A machine as the plan shows it.

    Attributes:
        action: What is done to it.
        reason: Why, in a few words.
    """

    spec: MachineSpec
    place: VmPlace
    action: Action
    reason: str

    @classmethod
    def of(cls, spec: MachineSpec, vm: VmRecord, action: Action, reason: str = "") -> PlannedMachine:
        """A machine that has a VM."""
        return cls(spec=spec, place=VmPlace.of(spec.name, vm), action=action, reason=reason)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a command will do.

    Attributes:
        command: `up` or `down`.
        machines: All its machines, in the inventory's order.
        lanes: What will be done; empty means there is nothing to do.
        notes: What the user should know: choices, what is left as it is, limits nearly reached.
        reserved_vmids: Vmids that are not tried when a planned one turns out to be taken.
        vmids: The range that another one comes from.
        follows: Plans for afterwards, as far as they can be foreseen; they are made again then.
        unreached: What the command should act on and cannot reach, a line each: it ends with that as its error.
        foreign: How many VMs claim to be the cluster's machines, but are not signed; they are left alone.
        refusing: Machines that refuse our SSH key: the command ends with that as its error.
        marked: There is a marker VM: another run is in progress, or was killed. It is looked into even where there is
            nothing else to do.
        seen: What it was planned from; two plans are compared without it.
    """

    command: str
    cluster: ClusterName
    machines: tuple[PlannedMachine, ...]
    lanes: tuple[Lane, ...]
    notes: tuple[str, ...] = ()
    reserved_vmids: frozenset[Vmid] = frozenset()
    vmids: VmidRange
    foreign: int = 0
    marked: bool = False
    follows: tuple[Plan, ...] = ()
    unreached: tuple[str, ...] = ()
    refusing: tuple[MachineName, ...] = ()
    seen: Observed | None = field(default=None, compare=False, repr=False)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.lanes and not self.marked


def steps_of(plan: Plan, kind: type[S]) -> tuple[S, ...]:
    """All steps of a kind, each once, those of the plans that follow too."""
    own: Iterator[object] = (lane_step.step for lane in plan.lanes for lane_step in lane.steps)
    found = [step for step in own if isinstance(step, kind)]
    found += [step for following in plan.follows for step in steps_of(following, kind)]
    return tuple(dict.fromkeys(found))
