"""Whether a command that removes or changes machines is unfinished, by its note and by what is seen. Pure.

The note is a hint and no state: it counts only as long as what is seen agrees with it. It is removed once the command
has succeeded.
"""

from __future__ import annotations

from dataclasses import replace

from bootstrap.advice import Advice
from bootstrap.model.ids import MachineName
from bootstrap.model.machine import NodePool
from bootstrap.planning.members.pool_members import members
from bootstrap.planning.plan import Action, Plan
from bootstrap.planning.provision.kept_counts import with_kept_counts
from bootstrap.planning.view import ClusterView
from bootstrap.records.state.intention import Intention


def machines_to_remove(plan: Plan) -> tuple[tuple[MachineName, str], ...]:
    """The machines that a plan removes with their identities, as they are noted."""
    return tuple(
        (machine.spec.name, machine.place.identity or "")
        for machine in plan.machines
        if machine.action is Action.DESTROY
    )


def is_unfinished(intention: Intention, view: ClusterView) -> bool:
    """Whether what is seen agrees with a note.

    Args:
        view: The cluster, as wanted and as seen.
        intention: The note.
    """
    if not view.vms:
        return False
    if intention.command == "down":
        return True
    if intention.command in ("scale", "replace"):
        return not _has_sizes(intention, view)
    joined = [kube_node for kube_node in view.kube_nodes.values() if kube_node.name in view.vm_of]
    if intention.command == "upgrade":
        done = all(kube_node.version == intention.version for kube_node in joined)
    else:  # a restore: not all servers are Ready before its end
        done = all(kube_node.ready for kube_node in joined)
    return not joined or not done


def _has_sizes(intention: Intention, view: ClusterView) -> bool:
    """Whether each pool of a note has its size, and none of its machines needs anything."""
    counts = dict(intention.counts)
    if not all(_has_size(view, pool, counts[pool.name]) for pool in view.spec.pools if pool.name in counts):
        return False
    kept = replace(view, spec=with_kept_counts(view, noted=counts))
    return not any(each.need for each in kept.states if each.machine.pool in counts)


def _has_size(view: ClusterView, pool: NodePool, number: int) -> bool:
    there = members(view, pool)
    return len(there) == number and not any(member.leaving for member in there)


def unfinished_line(intention: Intention) -> str:
    """What `status` and other commands say of it."""
    begun = f"a `{intention.command}` started at {intention.since} did not finish"
    line = Advice("{}: `homelab-k8s {}` continues it", begun, intention.again)
    if intention.command == "down":
        return Advice("{}; `homelab-k8s up` creates the cluster again", line)
    if intention.command in ("scale", "replace"):
        return Advice("{}; `homelab-k8s scale` resizes every pool to the inventory's size instead", line)
    return line


def notes_for_up(intention: Intention, view: ClusterView) -> tuple[str, ...]:
    """What `up` says of it: above all that it creates again what a `down` has removed."""
    if intention.command != "down":
        return (unfinished_line(intention),)
    gone = [name for name, _ in intention.machines if name not in view.vm_of]
    what = f"creates again what it removed ({', '.join(gone)})" if gone else "keeps the cluster"
    begun = f"a `down` started at {intention.since} did not finish"
    return (Advice("{}: `up` {}; `homelab-k8s {}` continues the removal", begun, what, intention.again),)
