"""Saves and brings back the cluster of the running lab through the library: `keeping.py COMMAND [ARGUMENT]`.

    backup DIR        restore SNAPSHOT        rotate        backups        encryption

Prints what came of it as JSON. Run with the environment of a `Home`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import typer

from bootstrap.cli.cluster import open_homelab
from bootstrap.cli.session import Session
from bootstrap.cli.views.choose import Progress
from bootstrap.commands.backup import BackupWish, prepare_backup, run_backup
from bootstrap.commands.restore import RestoreWish, prepare_restore, run_restore
from bootstrap.commands.rotate import prepare_rotate, run_rotate, secrets_encryption
from bootstrap.commands.run import RunOptions
from bootstrap.commands.snapshots import list_snapshots
from bootstrap.inventory import Overrides
from bootstrap.model.cluster import ClusterSpec
from bootstrap.ports import Ports

HERE = Path("snapshots")


def main(command: str, argument: str) -> None:
    """Carry a command out."""
    with Session(command, ports=None, progress=Progress.PLAIN) as session:
        homelab = open_homelab(session, inventory=None, overrides=Overrides(), lab=True)
        spec, ports = homelab.inventory.spec, homelab.ports
        acts = {"backup": _backup, "restore": _restore, "rotate": _rotate}
        if command in acts:
            notes = acts[command](spec, ports, argument, session)
            session.result(json.dumps({"notes": notes, "problems": homelab.status().problems}))
        elif command == "backups":
            found = list_snapshots(spec, ports, directory=HERE)
            rows = [
                {"name": s.name, "machine": s.machine, "location": s.location, "size": s.size} for s in found.snapshots
            ]
            session.result(json.dumps({"snapshots": rows, "problems": found.problems}))
        else:
            session.result(json.dumps({"enabled": secrets_encryption(spec, ports).enabled}))


def _backup(spec: ClusterSpec, ports: Ports, directory: str, session: Session) -> tuple[str, ...]:
    wish = BackupWish(to=Path(directory))
    plan = prepare_backup(spec, ports, wish)
    run_backup(plan, spec, ports, wish, sink=session.sink, options=RunOptions())
    return plan.notes


def _restore(spec: ClusterSpec, ports: Ports, snapshot: str, session: Session) -> tuple[str, ...]:
    wish = RestoreWish(snapshot=snapshot, directory=HERE)
    plan = prepare_restore(spec, ports, wish)
    run_restore(plan, spec, ports, wish, sink=session.sink, options=RunOptions())
    return plan.notes


def _rotate(spec: ClusterSpec, ports: Ports, _none: str, session: Session) -> tuple[str, ...]:
    plan = prepare_rotate(spec, ports)
    run_rotate(plan, spec, ports, sink=session.sink, options=RunOptions())
    return plan.notes


if __name__ == "__main__":
    try:
        main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "")
    except typer.Exit as ended:
        sys.exit(ended.exit_code)
