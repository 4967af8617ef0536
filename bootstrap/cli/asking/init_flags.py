"""The options of `init` that answer its questions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from bootstrap.cli.options import ControlPlanes, Workers


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Flags:
    """Options of `init`; None where an option is not given."""

    endpoint: Annotated[
        str | None, typer.Option(metavar="URL", help="URL of the Proxmox VE API; default: $PROXMOX_VE_ENDPOINT.")
    ] = None
    token_id: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Token ID (user@realm!name), if the file or variable holds only the secret."),
    ] = None
    token_env: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Environment variable with the token; default: PROXMOX_VE_API_TOKEN."),
    ] = None
    token_file: Annotated[Path | None, typer.Option(metavar="PATH", help="File with the token.")] = None
    fingerprint: Annotated[
        str | None,
        typer.Option(metavar="SHA256", help="Expected fingerprint of Proxmox VE's certificate; any other is refused."),
    ] = None
    accept_fingerprint: Annotated[
        bool, typer.Option("--accept-fingerprint", help="Trust and pin the certificate shown, without comparing it.")
    ] = False
    cluster: Annotated[str | None, typer.Option(metavar="NAME", help="Name of the cluster.")] = None
    workers: Workers = None
    control_planes: ControlPlanes = None
    template: Annotated[
        str | None,
        typer.Option(metavar="NAME|VMID|tag:NAME|image:NAME", help="Template to clone machines from."),
    ] = None
    storage: Annotated[str | None, typer.Option(metavar="NAME", help="Storage for full clones and new disks.")] = None
    bridge: Annotated[str | None, typer.Option(metavar="NAME", help="Bridge of the machines.")] = None
    pool: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Proxmox resource pool of the machines; with --pveum, the token's rights are limited to it.",
        ),
    ] = None


def check_flags(flags: Flags) -> None:
    """Check what can be checked without Proxmox VE. Raises UsageError with every problem."""
    from bootstrap.inventory import Overrides
    from bootstrap.inventory.answers import check_answers

    check_answers(
        Overrides(
            cluster=flags.cluster,
            workers=flags.workers,
            control_planes=flags.control_planes,
            template=flags.template,
            storage=flags.storage,
            bridge=flags.bridge,
            pool=flags.pool,
        )
    )
