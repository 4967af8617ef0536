"""What a command was about to do that removes or changes machines, noted before its first change. Pure.

The note is advice and no state: whether the command is unfinished is told by what is seen, and a note that what is
seen does not bear out counts for nothing. It is removed when the command has ended well.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from bootstrap.advice import Advice
from bootstrap.errors import UnreadableError
from bootstrap.model.ids import MachineName, PoolName
from bootstrap.model.reading import Source, read_json
from bootstrap.planning.members.desired_machines import machine_states
from bootstrap.planning.members.pool_members import members
from bootstrap.planning.plan import Action, Plan
from bootstrap.planning.provision.kept_counts import with_kept_counts
from bootstrap.planning.view import ClusterView

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Intention:
    """A command that acts, as the state directory has it.

    Attributes:
        command: `down`, `scale`, `replace`, `upgrade`, `restore` or `rotate`.
        again: What continues it, as typed: `scale workers 1`.
        since: When it began, by this computer's clock, such as `2025-03-01 12:00:00 UTC`.
        counts: The sizes that pools are to end with.
        machines: The machines that go, each with its VM's identity, since a successor may have its name; that is empty
            where the VM had none.
        version: The k3s version that all are to end with; empty where that is none of its business.
    """

    command: str
    again: str
    since: str
    counts: tuple[tuple[PoolName, int], ...] = ()
    machines: tuple[tuple[MachineName, str], ...] = ()
    version: str = ""


def going(plan: Plan) -> tuple[tuple[MachineName, str], ...]:
    """The machines that a plan removes, as they are noted."""
    return tuple(
        (machine.spec.name, machine.place.identity or "")
        for machine in plan.machines
        if machine.action is Action.DESTROY
    )


def render_intention(intention: Intention) -> str:
    """As JSON."""
    body = {
        "format": FORMAT,
        "command": intention.command,
        "again": intention.again,
        "since": intention.since,
        "counts": dict(intention.counts),
        "machines": dict(intention.machines),
        "version": intention.version,
    }
    return json.dumps(body)


def parse_intention(text: str | None) -> Intention | None:
    """Read it back; None for nothing, and for what is no note of this format: it is advice, nothing is lost by it."""
    try:
        body = read_json(text or "{}", Source(call="read the note of a command", who="it"))
        body.at("format").integer(FORMAT, FORMAT)
        return Intention(
            command=body.at("command").text(),
            again=body.at("again").text(),
            since=body.at("since").text(),
            counts=tuple((PoolName(pool), number.integer(0, 10_000)) for pool, number in body.at("counts").entries()),
            machines=tuple((MachineName(name), identity.text()) for name, identity in body.at("machines").entries()),
            version=body.at("version").text(),
        )
    except UnreadableError:
        return None


def is_unfinished(intention: Intention, view: ClusterView) -> bool:
    """Whether what is seen bears a note out.

    Args:
        view: The cluster, as wanted and as seen.
        intention: The note.
    """
    if not view.vms:
        return False
    joined = [kube_node for kube_node in view.kube_nodes.values() if kube_node.name in view.vm_of]
    match intention.command:
        case "down":
            return True
        case "scale" | "replace":
            return not _has_sizes(intention, view)
        case "upgrade":
            return not joined or any(kube_node.version != intention.version for kube_node in joined)
        case _:  # a restore: until its end no server, or not every one, is Ready
            return not joined or not all(kube_node.ready for kube_node in joined)


def _has_sizes(intention: Intention, view: ClusterView) -> bool:
    """Whether each pool of a note has its size, and nothing is to be done about any of its machines."""
    counts = dict(intention.counts)
    pools = [pool for pool in view.spec.pools if pool.name in counts]
    there = {pool.name: members(view, pool) for pool in pools}
    if any(member.leaving for found in there.values() for member in found):
        return False
    if any(len(there[pool.name]) != counts[pool.name] for pool in pools):
        return False
    kept = with_kept_counts(view, noted=counts)
    return not any(
        each.need for each in machine_states(ClusterView(kept, view.observed)) if each.machine.pool in counts
    )


def unfinished_line(intention: Intention) -> str:
    """What `status` and other commands say of it."""
    begun = f"a `{intention.command}` begun at {intention.since} did not finish"
    line = Advice("{}: `homelab-k8s {}` continues it", begun, intention.again)
    if intention.command == "down":
        return Advice("{}; `homelab-k8s up` builds the cluster again", line)
    if intention.command in ("scale", "replace"):
        return Advice("{}; `homelab-k8s scale` gives every pool the inventory's size instead", line)
    return line


def notes_for_up(intention: Intention, view: ClusterView) -> tuple[str, ...]:
    """What `up` says of it: above all that it makes again what a `down` has removed."""
    if intention.command != "down":
        return (unfinished_line(intention),)
    gone = [name for name, _ in intention.machines if name not in view.vm_of]
    what = f"creates again what it removed ({', '.join(gone)})" if gone else "keeps the cluster"
    begun = f"a `down` begun at {intention.since} did not finish"
    return (Advice("{}: `up` {}; `homelab-k8s {}` continues the removal", begun, what, intention.again),)
