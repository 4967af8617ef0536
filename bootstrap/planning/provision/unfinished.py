"""Whether a command that removes or changes machines is unfinished, by its note and by what is seen. Pure.

The note is advice and no state: whether the command is unfinished is told by what is seen, and a note that what is
seen does not bear out counts for nothing. It is removed when the command has ended well.
"""

from __future__ import annotations

from bootstrap.advice import Advice
from bootstrap.model.ids import MachineName
from bootstrap.planning.members.pool_members import members
from bootstrap.planning.plan import Action, Plan
from bootstrap.planning.provision.kept_counts import with_kept_counts
from bootstrap.planning.view import ClusterView
from bootstrap.records.intention import Intention


def going(plan: Plan) -> tuple[tuple[MachineName, str], ...]:
    """The machines that a plan removes, as they are noted."""
    return tuple(
        (machine.spec.name, machine.place.identity or "")
        for machine in plan.machines
        if machine.action is Action.DESTROY
    )


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
    return not any(each.need for each in ClusterView(kept, view.observed).states if each.machine.pool in counts)


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
