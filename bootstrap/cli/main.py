"""The program: its commands and its exit.

Importing this must stay cheap, since `--help` and shell completion pay for it: no Rich, no YAML, no client library.
A test holds the list.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from bootstrap.cli.running.calls import VERBOSE
from bootstrap.cli.running.interrupts import EXIT_CODE
from bootstrap.cli.running.usage import FittingGroup
from bootstrap.cli.verbs.cluster import adopt, backup, down, maintain, manifests, rebuild, restore, rotate, up, upgrade
from bootstrap.cli.verbs.machines import api_access, rebalance, remote_access, replace, scale
from bootstrap.cli.verbs.setup import demo, init, lab, template
from bootstrap.cli.verbs.show import clusters, doctor, kubeconfig, read_only, report, status

if TYPE_CHECKING:
    from typer._click.core import Context

    from bootstrap.ports import Ports

PROGRAM = "homelab-k8s"
_VERBOSE = ("--verbose", "-v")


class Program(FittingGroup):
    """The commands; `-v` is accepted anywhere before `--`."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Move `-v` to the front, where the program's own options are."""
        end = args.index("--") if "--" in args else len(args)
        others = [word for word in args[:end] if word not in _VERBOSE]
        given = [_VERBOSE[0]] if len(others) < end else []
        return super().parse_args(ctx, [*given, *others, *args[end:]])


app = typer.Typer(
    name=PROGRAM,
    cls=Program,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("init", short_help="Inspect a Proxmox VE and write a first inventory.")(init.init)
app.command("up", short_help="Create or repair the cluster from the inventory.")(up.up)
app.command("status", short_help="Show machines and Kubernetes nodes.")(status.status)
app.command("clusters", short_help="List the clusters of this Proxmox VE.")(clusters.clusters)
app.command("doctor", short_help="Check everything `up` needs, and the cluster.")(doctor.doctor)
app.command("scale", short_help="Resize node pools; drains nodes before removing them.")(scale.scale)
app.command("rebuild", short_help="Remove and rebuild the cluster; asks first.")(rebuild.rebuild)
app.command("replace", short_help="Replace machines with fresh clones, one at a time.")(replace.replace)
app.command("rebalance", short_help="Show how to spread machines evenly over the Proxmox nodes.")(rebalance.rebalance)
app.command("upgrade", short_help="Upgrade k3s on all machines, drained one by one.")(upgrade.upgrade)
app.command("backup", short_help="Take a snapshot of the cluster's data.")(backup.backup)
app.command("backups", short_help="List the snapshots.")(backup.backups)
app.command("maintain", short_help="Back up, upgrade and renew machines unattended.")(maintain.maintain)
app.command("restore", short_help="Restore the cluster's data from a snapshot; asks first.")(restore.restore)
app.add_typer(rotate.app, name="rotate", short_help="Rotate the cluster's join token.")
app.add_typer(manifests.app, name="manifests", short_help="Compare and apply the inventory's Kubernetes objects.")
app.command("ssh", short_help="Log in to a machine.")(remote_access.ssh)
app.command("exec", short_help="Run a command on all machines, or some of them.")(remote_access.execute)
app.command("logs", short_help="Show the k3s journal of a machine.")(remote_access.logs)
app.command("adopt", short_help="Take over machines without a valid signature; asks first.")(adopt.adopt)
app.command("kubeconfig", short_help="Print the kubeconfig, or issue one to another user.")(kubeconfig.kubeconfig)
app.command("kubectl", short_help="Run kubectl on the cluster, also behind a jump host.")(api_access.kubectl)
app.command("tunnel", short_help="Keep a local port to the Kubernetes API open.")(api_access.tunnel)
app.command("down", short_help="Remove the cluster; asks first.")(down.down)
app.command("report", short_help="Write an HTML report of a recorded run.")(report.report)
app.command("schema")(read_only.schema)
app.command("explain", short_help="Print help on an inventory key.")(read_only.explain)
app.add_typer(template.app, name="template", short_help="Build and manage VM templates with k3s preinstalled.")
app.command("demo", short_help="Create a cluster in the lab, show it, and remove it.")(demo.demo)
app.add_typer(lab.app, name="lab", short_help="Try everything against a local Proxmox VE stand-in.")


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"{PROGRAM} {version(PROGRAM)}")
        raise typer.Exit


@app.callback(
    epilog="Exit codes: 0 done, 1 failed, 2 usage, 3 invalid inventory, 4 the cluster does not fit or a check failed "
    "before anything was changed, 130 interrupted."
)
def program(
    context: typer.Context,
    *,
    verbose: Annotated[
        bool,
        typer.Option(
            *_VERBOSE,
            help="Show each API call and SSH command; with --dry-run, what each step waits for. "
            "May also follow the command.",
        ),
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Create and manage Kubernetes (k3s) clusters on Proxmox VE.

    Progress is printed on stderr, results on stdout.
    """
    del version
    context.meta[VERBOSE] = verbose


def main(ports: Ports | None = None) -> None:
    """Run the program.

    Args:
        ports: Other adapters than the real ones, for tests.
    """
    for stream in (sys.stdout, sys.stderr):
        # A terminal without UTF-8 gets question marks instead of an exception.
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        app(prog_name=PROGRAM, obj=ports)
    except SystemExit as end:
        if end.code == EXIT_CODE:
            # Threads that still wait for the network would delay the exit.
            with contextlib.suppress(OSError):
                sys.stdout.flush()
            os._exit(EXIT_CODE)
        raise
