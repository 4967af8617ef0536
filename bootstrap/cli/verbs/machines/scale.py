"""`homelab-k8s scale`: resizes pools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from bootstrap.advice import Advice
from bootstrap.cli.asking.confirm import Question
from bootstrap.cli.completing import pool_names
from bootstrap.cli.option_groups import with_options
from bootstrap.cli.options import Acting, DetachDisks, Draining, Target
from bootstrap.cli.running.command_session import Ended, Work, working
from bootstrap.cli.running.write_back import Fact, Write, write_back
from bootstrap.cli.text import tables
from bootstrap.errors import UsageError
from bootstrap.model.words import count

if TYPE_CHECKING:
    from bootstrap.model.ids import PoolName
    from bootstrap.planning.plan import Plan


@with_options
def scale(
    pool: Annotated[
        str | None,
        typer.Argument(
            metavar="POOL", help="Pool to resize: workers, control-plane, or one of `pools`.", autocompletion=pool_names
        ),
    ] = None,
    count: Annotated[
        int | None, typer.Argument(metavar="COUNT", min=0, help="New number of machines; default: the inventory's.")
    ] = None,
    *,
    write: Write = True,
    detach_disks: DetachDisks = False,
    target: Target,
    draining: Draining,
    acting: Acting,
) -> None:
    """Resize a node pool; without arguments, resize every pool to its count in the inventory.

    Machines are drained before they are removed (PodDisruptionBudgets are respected); servers leave etcd one at a
    time. The new count is written to the inventory file if it states another one.
    """
    with working("scale", target, acting.common) as work:
        from bootstrap.commands.verbs.scale import Scale

        rules = draining.rules(detach_disks=detach_disks)
        counts = _counts(pool, count)
        verb = Scale(counts=counts, rules=rules)
        ended = work.act(verb, acting, question=question)
        if ended is not None:
            lines = write_back(work, _facts(work, counts), write=write)
            work.result(
                lambda: "\n".join([closing(ended), *lines]),
                ended.change_document,
            )


def _counts(pool: str | None, count: int | None) -> dict[PoolName, int]:
    from bootstrap.model.ids import PoolName

    if pool is None:
        return {}
    if count is None:
        raise UsageError(
            f"the number of machines for {pool} is missing",
            resolution=Advice("for example: `homelab-k8s scale {} 3`", pool),
        )
    return {PoolName(pool): count}


def question(plan: Plan) -> Question | None:
    """Ask before machines are removed, or the datastore changes; otherwise nothing is asked."""
    from bootstrap.planning.plan import Action
    from bootstrap.planning.verbs.scale import what_etcd_means

    leaving = [machine.spec.name for machine in plan.machines if machine.action is Action.DESTROY]
    removes = f"This drains and removes {count(len(leaving), 'machine')} for good." if leaving else ""
    moves = what_etcd_means(plan)
    text = " ".join(filter(None, (removes, f"{moves[0].upper()}{moves[1:]}." if moves else "")))
    return Question(text) if text else None


def closing(ended: Ended) -> str:
    """The result, and how long it took."""
    from bootstrap.planning.plan import Action

    plan, report = ended.plan, ended.report
    stay = [machine for machine in plan.machines if machine.action is not Action.DESTROY]
    if report is None:
        return f"{plan.cluster}: {count(len(stay), 'machine')}; nothing to do"
    added = sum(machine.action is Action.CREATE for machine in plan.machines)
    removed = len(plan.machines) - len(stay)
    changes = [f"{number} {word}" for number, word in ((added, "added"), (removed, "removed")) if number]
    text = f"{plan.cluster}: {count(len(stay), 'machine')}"
    first = f"{text} ({', '.join(changes)}), in {tables.seconds(report.took_s)}" if changes else text
    return "\n".join([first, *tables.times_lines(report)])


def _facts(work: Work, counts: Mapping[PoolName, int]) -> list[Fact]:
    """Sizes that differ from the inventory's, which `up` would follow."""
    facts = []
    for pool in work.homelab.inventory.spec.pools:
        wanted = counts.get(pool.name)
        if wanted is None or wanted == pool.count or ("count" not in pool.stated and wanted > pool.count):
            continue
        says = "says" if "count" in pool.stated else "defaults to"
        advice = f"the inventory {says} {pool.count} for {pool.name}: change it to {wanted}, since `up` uses it"
        facts.append(Fact(places=_places(pool.name), value=str(wanted), advice=advice))
    return facts


def _places(pool: PoolName) -> tuple[tuple[str, ...], ...]:
    """Where an inventory may state a pool's size."""
    if pool == "control-plane":
        return (("control_plane", "count"),)
    if pool == "workers":
        return (("workers", "count"), ("workers",))
    return (("pools", pool, "count"),)
