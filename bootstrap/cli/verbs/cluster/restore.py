"""`homelab-k8s restore`: the cluster's data from a snapshot."""

from __future__ import annotations

from typing import Annotated

import typer

from bootstrap.cli.asking.confirm import Question
from bootstrap.cli.completing import machine_names, snapshot_names
from bootstrap.cli.option_groups import with_options
from bootstrap.cli.options import Acting, Target
from bootstrap.cli.running.command_session import working


@with_options
def restore(
    snapshot: Annotated[
        str,
        typer.Argument(
            metavar="SNAPSHOT",
            help="Snapshot name or location from `backups`, latest, or a local file.",
            autocompletion=snapshot_names,
        ),
    ],
    *,
    server: Annotated[
        str | None,
        typer.Option(
            "--server",
            metavar="MACHINE",
            help="Server to restore to; default: the most suitable one.",
            autocompletion=machine_names,
        ),
    ] = None,
    from_bucket: Annotated[
        bool,
        typer.Option("--from-bucket", help="Take the snapshot from the bucket, even if `backups` does not list it."),
    ] = False,
    target: Target,
    acting: Acting,
) -> None:
    """Restore the cluster's data from a snapshot; asks for the cluster's name first. Volumes are not restored.

    The API is unavailable during the restore; pods keep running. Run it again to continue an interrupted restore.
    """
    with working("restore", target, acting.common) as work:
        from bootstrap.commands.verbs.restore import Restore, name_of
        from bootstrap.model.ids import MachineName

        homelab = work.homelab
        prefix = f"{homelab.inventory.spec.name}-"
        verb = Restore(
            snapshot=snapshot,
            directory=homelab.snapshot_directory,
            server=MachineName(server if server.startswith(prefix) else f"{prefix}{server}") if server else None,
            from_bucket=from_bucket,
        )
        ended = work.act(
            verb,
            acting,
            question=lambda plan: Question(
                f"This restores the cluster's data from {name_of(plan)}: all later changes in Kubernetes are lost.",
                by_name=True,
            ),
        )
        if ended is not None:
            work.result(
                lambda: ended.text(f"restored from {name_of(ended.plan)}"),
                lambda: ended.document(snapshot=name_of(ended.plan)),
            )
