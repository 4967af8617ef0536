"""`homelab-k8s rebalance`: which machines a re-spread would move, and the commands that move them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from bootstrap.advice import PROGRAM
from bootstrap.cli.option_groups import with_options
from bootstrap.cli.options import Common, Target
from bootstrap.cli.running.command_session import Work, working
from bootstrap.cli.text.documents import Document
from bootstrap.cli.text.tables import render_table

if TYPE_CHECKING:
    from bootstrap.planning.verbs.rebalance import RebalancePlan

FORMAT = 1
_HEADINGS = ("MACHINE", "ROLE", "FROM", "TO", "WHY")


@with_options
def rebalance(
    *,
    target: Target,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Accepted for scripts; rebalance never changes anything.")
    ] = False,
    common: Common,
) -> None:
    """Show which machines to move for an even spread over the Proxmox nodes, and the commands that do it.

    To move a machine, `replace` puts a fresh clone on another Proxmox node and removes the old one.
    """
    del dry_run
    with working("rebalance", target, common) as work:
        from bootstrap.commands.reports.rebalance import prepare_rebalance

        found = work.look(lambda: work.homelab.look(prepare_rebalance))
        work.result(lambda: _text(found, work), lambda: _document(found, work))


def _text(found: RebalancePlan, work: Work) -> str:
    notes = [f"- {work.session.advise(note)}" for note in found.notes]
    if not found.moves:
        return "\n".join(["the machines are spread evenly; nothing to move", *notes])
    rows = [(move.machine, move.role.value, move.origin, move.target, move.why) for move in found.moves]
    commands = list(_commands(found, work))
    return "\n".join(
        [
            render_table(_HEADINGS, rows, width=work.width, drop=("ROLE",)),
            *notes,
            "",
            *(f"{'next' if n == 0 else 'then'}: {c}" for n, c in enumerate(commands)),
        ]
    )


def _commands(found: RebalancePlan, work: Work) -> Iterator[str]:
    """One command for each pool, in the order of the moves."""
    for pool in dict.fromkeys(move.pool for move in found.moves):
        machines = [move.machine for move in found.moves if move.pool == pool]
        yield f"{PROGRAM} {work.session.invocation.command(shlex.join(['replace', *machines]))}"


def _document(found: RebalancePlan, work: Work) -> Document:
    return {
        "format": FORMAT,
        "moves": [
            {
                "machine": move.machine,
                "pool": move.pool,
                "role": move.role.value,
                "from": move.origin,
                "to": move.target,
                "why": move.why,
            }
            for move in found.moves
        ],
        "commands": list(_commands(found, work)),
        "notes": list(map(work.session.advise, found.notes)),
    }
