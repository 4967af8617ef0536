"""`homelab-k8s upgrade`: a newer k3s on every machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from bootstrap.cli.asking.confirm import Question
from bootstrap.cli.completing import CHANNELS, k3s_versions
from bootstrap.cli.option_groups import with_options
from bootstrap.cli.options import Acting, Draining, Parallel, Target
from bootstrap.cli.running.command_session import Ended, Work, working
from bootstrap.cli.running.write_back import Fact, Write, write_back
from bootstrap.model.words import count

if TYPE_CHECKING:
    from bootstrap.commands.verbs.upgrade import Upgrade
    from bootstrap.planning.plan import Plan


@with_options
def upgrade(
    *,
    to: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="VERSION", autocompletion=k3s_versions, help="Target k3s version, for example v1.34.1+k3s1."
        ),
    ] = None,
    channel: Annotated[
        str | None,
        typer.Option(
            "--channel",
            metavar="NAME",
            autocompletion=CHANNELS,
            help="Upgrade to the current version of this channel: stable, v1.34.",
        ),
    ] = None,
    parallel: Parallel = 1,
    snapshot: Annotated[
        bool, typer.Option("--snapshot/--no-snapshot", help="Take a snapshot of the cluster's data first.")
    ] = True,
    write: Write = True,
    target: Target,
    draining: Draining,
    acting: Acting,
) -> None:
    """Upgrade k3s, one minor version at a time: servers one by one, then workers; each node is drained first.

    Workers are upgraded one by one too, or --parallel N at a time. Default target: the inventory's version or channel.
    With --to or --channel, the version is written to the inventory file if it states one. Run it again to continue an
    interrupted upgrade.
    """
    with working("upgrade", target, acting.common) as work:
        from bootstrap.commands.verbs.upgrade import Upgrade
        from bootstrap.planning.verbs.upgrade import UpgradeOptions

        rules = draining.rules()
        how = UpgradeOptions(max_unavailable=parallel, snapshot=snapshot, rules=rules)
        verb = Upgrade(to=to, channel=channel, how=how)
        ended = work.act(verb, acting, question=lambda plan: _question(plan, parallel=parallel))
        if ended is not None:
            lines = write_back(work, _facts(work, ended, verb), write=write)
            work.result(
                lambda: "\n".join([_closing(ended), *lines]),
                lambda: ended.document(upgraded=_upgraded(ended.plan), version=_target(ended.plan)),
            )


def _facts(work: Work, ended: Ended, verb: Upgrade) -> list[Fact]:
    """The version that now runs, if the inventory states another one, or its channel is older."""
    from bootstrap.commands.verbs.upgrade import behind_channel

    k3s = work.homelab.inventory.spec.k3s
    target = _target(ended.plan) or verb.to
    if target is None or target == k3s.version:
        return []
    advice = ""
    if k3s.version is not None:
        advice = f"the inventory says k3s.version: {k3s.version}: change it to {target}, or `rebuild` is refused"
    elif (pointed := behind_channel(k3s, work.homelab.ports, target)) is not None:
        advice = (
            f"the inventory's channel {k3s.channel} is at {pointed}, which is older than the cluster; `rebuild` keeps "
            f"{target}; to pin it, set `k3s: {{version: {target}}}`"
        )
    return [Fact(places=(("k3s", "version"),), value=target, advice=advice)]


def _upgraded(plan: Plan) -> list[str]:
    from bootstrap.planning.plan import Action

    return [machine.spec.name for machine in plan.machines if machine.action is Action.UPGRADE]


def _target(plan: Plan) -> str | None:
    """The last release of the upgrade path; None if there is nothing to do."""
    from bootstrap.k3s.versions import parse_version
    from bootstrap.planning.steps import FetchK3s

    steps = (each.step for lane in plan.lanes for each in lane.steps)
    versions = [parse_version(step.version) for step in steps if isinstance(step, FetchK3s)]
    return str(max(versions)) if versions else None


def _question(plan: Plan, *, parallel: int) -> Question:
    way = next((f" {note[0].upper()}{note[1:]}." for note in plan.notes if note.startswith("upgrade path: ")), "")
    turns = f"servers drained one by one, workers up to {parallel} at a time" if parallel > 1 else "drained one by one"
    return Question(
        f"This upgrades {count(len(_upgraded(plan)), 'machine')}, {turns}; the only way back is a snapshot.{way}"
    )


def _closing(ended: Ended) -> str:
    plan = ended.plan
    upgraded = count(len(_upgraded(plan)), "machine")
    target = _target(plan)  # None if an earlier run has done all but the last steps
    what = f"upgraded to k3s {target}" if target else "of an interrupted upgrade finished"
    return ended.text(
        f"{upgraded} {what}", nothing=f"{count(len(plan.machines), 'machine')}, all up to date; nothing to do"
    )
