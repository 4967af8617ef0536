"""Upgrades the cluster of the running lab through the library, told as the command line tells: `upgrading.py VERSION`.

Prints the plan's actions, and the machines' versions afterwards, as JSON. Run with the environment of a `Home`.
"""

from __future__ import annotations

import json
import sys

import typer

from bootstrap.cli.cluster import open_homelab
from bootstrap.cli.session import Session
from bootstrap.cli.views.choose import Progress
from bootstrap.commands.run import RunOptions
from bootstrap.commands.upgrade import UpgradeWish, prepare_upgrade, run_upgrade
from bootstrap.inventory import Overrides
from bootstrap.planning.upgrade import Upgrading


def main(version: str) -> None:
    """Upgrade to a version."""
    with Session("upgrade", ports=None, progress=Progress.PLAIN) as session:
        homelab = open_homelab(session, inventory=None, overrides=Overrides(), lab=True)
        spec, ports = homelab.inventory.spec, homelab.ports
        wish = UpgradeWish(to=version, how=Upgrading(snapshot=False))
        plan = prepare_upgrade(spec, ports, wish)
        if not plan.empty:
            run_upgrade(plan, spec, ports, wish, sink=session.sink, options=RunOptions())
        status = homelab.status()
        done = {
            "empty": plan.empty,
            "notes": plan.notes,
            "actions": {machine.spec.name: f"{machine.action} {machine.reason}".strip() for machine in plan.machines},
            "versions": {machine.name: machine.k3s_version for machine in status.machines},
            "problems": status.problems,
        }
        session.result(json.dumps(done))


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except typer.Exit as ended:
        sys.exit(ended.exit_code)
