"""`homelab-k8s backup` and `backups`: snapshots of the cluster's data, taken and listed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bootstrap.advice import Advice
from bootstrap.cli.completing import words
from bootstrap.cli.option_groups import with_options
from bootstrap.cli.options import Acting, Common, Target
from bootstrap.cli.running.command_session import Ended, working
from bootstrap.cli.text import tables
from bootstrap.cli.text.documents import Document
from bootstrap.errors import UsageError
from bootstrap.events import Event, EventSink, StepFinished

if TYPE_CHECKING:
    from bootstrap.commands.reports.snapshots import SnapshotList
    from bootstrap.commands.verbs.backup import Backup
    from bootstrap.model.observed import Snapshot

S3 = "s3"
_HEADINGS = ("SNAPSHOT", "MADE (UTC)", "AGE", "SIZE", "WHERE")
SNAPSHOTS_FORMAT = 1
"""Version of the JSON form of `backups`; it grows when a key changes its meaning or goes."""

_KIB, _MIB = 1024, 1024 * 1024


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class _NeverAsking(Acting):
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Accepted for scripts; backup never asks.")] = False


@with_options
def backup(
    *,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Prefix of the snapshot's name.")] = ("manual"),
    to: Annotated[
        list[str] | None,
        typer.Option(
            "--to",
            metavar="DIR|s3",
            autocompletion=words("s3"),
            help="Also copy it to this directory, or to the inventory's S3 bucket; can be given twice.",
        ),
    ] = None,
    target: Target,
    acting: _NeverAsking,
) -> None:
    """Take a snapshot of the cluster's data on a server; with --to, also download it or store it in the bucket."""
    with working("backup", target, acting.common) as work:
        verb = _verb(name, to or [])
        notes: list[str] = []
        ended = work.act(verb, acting, listen=lambda sink: _listening(sink, notes))
        if ended is not None:
            work.result(
                lambda: _closing(ended, notes),
                lambda: ended.document(snapshot=notes[-1] if notes else None),
            )


@with_options
def backups(*, target: Target, common: Common) -> None:
    """List the cluster's snapshots, newest first: on the servers, in the bucket and on this computer.

    Exit code 1 if a server could not be reached.
    """
    with working("backups", target, common) as work:
        from bootstrap.commands.reports.snapshots import list_snapshots

        found = work.look(
            lambda: list_snapshots(
                work.homelab.inventory.spec, work.homelab.ports, directory=work.homelab.snapshot_directory
            )
        )
        work.result(
            lambda: snapshots_text(found, work.session.advise, width=work.width), lambda: _snapshots_document(found)
        )
        if found.problems:
            raise typer.Exit(1)


def _verb(name: str, to: list[str]) -> Backup:
    from bootstrap.commands.verbs.backup import Backup

    verb = Backup(name=name)
    for target in to:
        if target.startswith("s3:"):
            raise UsageError(
                f"--to {target}: only the inventory's bucket can be used",
                resolution=f"set it as backup.s3 in the inventory, and pass --to {S3}",
            )
        if target != S3 and verb.to is not None:
            raise UsageError(
                "--to names two directories", resolution="name one of them; copy the snapshot to the other one yourself"
            )
        verb = replace(verb, s3=True) if target == S3 else replace(verb, to=Path(target))
    return verb


def _listening(sink: EventSink, notes: list[str]) -> EventSink:
    """The sink, which also keeps the snapshot's name."""
    from bootstrap.planning.day2_steps import TakeSnapshot

    def heard(event: Event) -> None:
        if isinstance(event, StepFinished) and event.phase == TakeSnapshot.phase and event.note:
            notes.append(event.note)
        sink(event)

    return heard


def _closing(ended: Ended, notes: list[str]) -> str:
    plan, report = ended.plan, ended.report
    if report is None or not notes:
        return f"{plan.cluster}: nothing to do"
    return f"{plan.cluster}: snapshot {notes[-1]}, in {tables.seconds(report.took_s)}"


def snapshots_text(found: SnapshotList, advise: Callable[[str], str] = str, *, width: int = 0) -> str:
    """A table, and the servers that could not be reached."""
    rows = [
        (
            each.name,
            f"{each.made:%Y-%m-%d %H:%M}" if each.made else "-",
            tables.age_text((datetime.now(UTC) - each.made).total_seconds()) if each.made else "-",
            _size(each.size) if each.size else "-",
            _where(each),
        )
        for each in found.snapshots
    ]
    table = tables.render_table(_HEADINGS, rows, width=width, drop=("SIZE", "MADE (UTC)"))
    text = table if rows else advise(Advice("no snapshot; take one with `homelab-k8s backup`"))
    problems = [
        *(f"not reachable: {problem}" for problem in found.problems),
        *(f"note: {note}" for note in found.notes),
    ]
    return "\n\n".join([text, *problems])


def _size(size: int) -> str:
    return f"{size / _MIB:.1f} MiB" if size >= _MIB else f"{size / _KIB:.0f} KiB"


def _where(snapshot: Snapshot) -> str:
    from bootstrap.records.snapshot_note import is_local

    if snapshot.problem:
        return f"unusable: {snapshot.problem}"
    if is_local(snapshot) or snapshot.location.startswith("s3://"):
        return snapshot.location
    return f"on {snapshot.machine}"


def _snapshots_document(found: SnapshotList) -> Document:
    return {
        "format": SNAPSHOTS_FORMAT,
        "snapshots": [
            {
                "name": each.name,
                "machine": each.machine,
                "location": each.location,
                "size": each.size or None,
                "made": each.made.isoformat() if each.made else None,
                "problem": each.problem or None,
            }
            for each in found.snapshots
        ],
        "problems": list(found.problems),
        "notes": list(found.notes),
    }
