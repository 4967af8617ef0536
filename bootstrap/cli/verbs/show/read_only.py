"""Commands that only print: `kubeconfig`, `schema`, `explain`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from bootstrap.advice import Advice
from bootstrap.cli.completing import key_names
from bootstrap.cli.option_groups import with_options
from bootstrap.cli.options import Common, Lab, Target
from bootstrap.cli.running.command_session import working
from bootstrap.cli.running.session import Session
from bootstrap.cli.views.choose import Progress
from bootstrap.errors import UsageError
from bootstrap.events import Warned


@with_options
def kubeconfig(
    *,
    target: Target,
    switch: Annotated[
        bool,
        typer.Option("--switch", help="Print no secret; make the cluster kubectl's current context."),
    ] = False,
    tunnel: Annotated[
        bool, typer.Option("--tunnel", help="Print one for the local port that `homelab-k8s tunnel` opens.")
    ] = False,
    port: Annotated[
        int | None, typer.Option("--port", metavar="N", min=1, max=65535, help="With --tunnel: that port.")
    ] = None,
    lab: Lab = False,
) -> None:
    """Print the admin kubeconfig (a secret); with --switch, make the cluster kubectl's current context instead."""
    with working("kubeconfig", target, Common(lab=lab, progress=Progress.QUIET)) as work:
        from bootstrap.commands.access.kubeconfig import merge_kubeconfig, needed_kubeconfig
        from bootstrap.commands.access.tunnel import api_over, usual_port
        from bootstrap.execution.context import KubeconfigTarget
        from bootstrap.k3s.kubeconfig.build import through_tunnel

        cluster, ports = work.homelab.inventory.spec.name, work.homelab.ports
        if tunnel and switch:
            raise UsageError("pass either --tunnel or --switch")
        if port is not None and not tunnel:
            raise UsageError("--port is for --tunnel")
        text = needed_kubeconfig(cluster, ports)
        if tunnel:
            work.session.result(through_tunnel(text, port or usual_port(cluster)))
            return
        over = work.homelab.look(api_over)
        if over:
            note = Advice(
                f"the cluster is reached only over {over}: `homelab-k8s kubectl -- get nodes` goes that way; for other "
                "programs keep `homelab-k8s tunnel` open and use `homelab-k8s kubeconfig --tunnel`"
            )
            work.session.sink(Warned(subject=cluster, message=note, danger=True))
        merged = merge_kubeconfig(cluster, ports, KubeconfigTarget(switch=True)) if switch else None
        if merged is None:
            work.session.result(text)
            return
        lines = [*merged.notes, f"current-context is {merged.context}, in {merged.path}"]
        work.session.result("".join(f"{line}\n" for line in lines), fit=True)


def schema() -> None:
    """Print the JSON Schema of inventory files, for editors."""
    from bootstrap.inventory.describe.schema import render_schema

    sys.stdout.write(render_schema())
    sys.stdout.flush()


def explain(
    key: Annotated[
        str,
        typer.Argument(
            metavar="KEY",
            help="For example workers.memory or k3s; default: the top-level keys.",
            autocompletion=key_names,
        ),
    ] = "",
) -> None:
    """Describe an inventory key: purpose, type, default and an example."""
    with Session("explain", progress=Progress.QUIET) as session:
        from bootstrap.inventory.describe.explain import explain as explained

        session.result(explained(key), fit=True)
