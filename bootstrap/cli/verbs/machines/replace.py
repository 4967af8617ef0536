"""`homelab-k8s replace`: replaces machines with fresh clones."""

from __future__ import annotations

from typing import Annotated

import typer

from bootstrap.advice import Advice
from bootstrap.cli.completing import machine_names, pool_names
from bootstrap.cli.option_groups import with_options
from bootstrap.cli.options import Acting, DetachDisks, Draining, Parallel, Target
from bootstrap.cli.running.command_session import working
from bootstrap.cli.verbs.machines.scale import closing, question
from bootstrap.errors import UsageError


@with_options
def replace(
    machines: Annotated[
        list[str] | None,
        typer.Argument(metavar="MACHINE", help="Machines of one pool.", autocompletion=machine_names),
    ] = None,
    *,
    pool: Annotated[
        str | None, typer.Option("--pool", metavar="NAME", help="All machines of this pool.", autocompletion=pool_names)
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Template to clone: its name, VMID or tag:NAME; default: the inventory's."),
    ] = None,
    parallel: Parallel = 1,
    surge: Annotated[
        bool, typer.Option("--surge/--no-surge", help="Add the new machine before the old one is removed.")
    ] = True,
    detach_disks: DetachDisks = False,
    target: Target,
    draining: Draining,
    acting: Acting,
) -> None:
    """Replace machines with fresh clones of the template, one at a time, for example to get a patched OS.

    Workers can be replaced --parallel N at a time. A new machine gets a new name. Run it again to continue an
    interrupted replacement.
    """
    from bootstrap.inventory import Overrides

    overrides = Overrides(cluster=target.cluster, template=template)
    with working("replace", target, acting.common, overrides=overrides) as work:
        from bootstrap.commands.verbs.replace import Replace

        if bool(machines) == bool(pool):
            raise UsageError(
                "pass either machines or a pool",
                resolution=Advice(
                    "for example: `homelab-k8s replace demo-workers-2`, or `homelab-k8s replace --pool workers`"
                ),
            )
        from bootstrap.model.ids import MachineName, PoolName
        from bootstrap.planning.verbs.replace import ReplaceOptions

        rules = draining.rules(detach_disks=detach_disks)
        asked = ReplaceOptions(
            pool=PoolName(pool or ""),
            machines=tuple(MachineName(machine) for machine in machines or ()),
            at_once=parallel,
            surge=surge,
            rules=rules,
        )
        ended = work.act(Replace(asked), acting, question=question)
        if ended is not None:
            work.result(lambda: closing(ended), ended.change_document)
