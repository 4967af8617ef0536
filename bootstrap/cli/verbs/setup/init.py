"""`homelab-k8s init`: a short dialogue that ends in an inventory."""

from __future__ import annotations

import contextlib
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bootstrap.advice import Advice
from bootstrap.cli.asking.init_flags import Flags, check_flags
from bootstrap.cli.completing import words
from bootstrap.cli.option_groups import with_options
from bootstrap.cli.options import ports_of
from bootstrap.cli.running.calls import VERBOSE
from bootstrap.cli.running.session import Session
from bootstrap.cli.text.wrapping import columns_of
from bootstrap.errors import HomelabError, UsageError

if TYPE_CHECKING:
    from bootstrap.cli.asking.prompts import Prompts
    from bootstrap.proxmox.rights.role import Narrow

DEFAULT_FILE = Path("homelab-k8s.yaml")
"""As `bootstrap.inventory.DEFAULT_FILE`, which is too slow to import for `--help`; a test compares them."""
OLDEST, NEWEST = 8, 9


@with_options
def init(
    context: typer.Context,
    *,
    flags: Flags,
    file: Annotated[Path, typer.Option("--file", "-f", metavar="FILE", help="Inventory file to write.")] = DEFAULT_FILE,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Accept the proposals without asking.")] = False,
    pveum: Annotated[
        bool,
        typer.Option("--pveum", help="Print the commands that create the role and the token in Proxmox VE, and exit."),
    ] = False,
    pve_version: Annotated[
        str | None, typer.Option(metavar="8|9|8.4|...", help="With --pveum: the version of Proxmox VE.")
    ] = None,
    addon: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            autocompletion=words("proxmox-ccm", "proxmox-csi"),
            help="With --pveum: role and token of this add-on: proxmox-csi or proxmox-ccm.",
        ),
    ] = None,
) -> None:
    """Inspect a Proxmox VE, propose a cluster that fits, and write its inventory.

    Asks for everything that is not given as an option. With --yes, or without a terminal, it accepts the proposals;
    --endpoint, --token-env or --token-file, and --fingerprint or --accept-fingerprint are required then.
    """
    # Imported here, since they would slow down `--help`.
    from bootstrap.cli.asking.prompts import Prompts

    with Session("init", ports=ports_of(context), verbose=bool(context.meta.get(VERBOSE))) as session:
        prompts = Prompts(asks=sys.stdin.isatty() and not yes)
        if addon is not None:
            session.result(_addon_role_text(flags, addon, pveum=pveum), fit=True)
            return
        if pveum:
            session.result(_role_text(session, prompts, flags, pve_version), fit=True)
            return
        check_flags(flags)
        overwrite = _may_write(file, prompts)
        session.result(_make(session, prompts, flags, file, overwrite=overwrite), fit=True)


def _make(session: Session, prompts: Prompts, flags: Flags, file: Path, *, overwrite: bool) -> str:
    """Ask, survey, propose and write the inventory; return the final text."""
    from bootstrap.cli.asking.init_steps import Steps
    from bootstrap.cli.text.init import survey_text, written_text
    from bootstrap.commands.init import DEFAULT_CLUSTER, draft, refuse_blind

    steps = Steps(session, prompts, flags, base=file.absolute().parent)
    connection, ports = steps.connect()
    seen = steps.survey(ports, cluster=flags.cluster)
    session.view.text(survey_text(seen, width=columns_of(sys.stderr)))
    refuse_blind(seen)
    cluster = steps.cluster(seen)
    if cluster != (flags.cluster or DEFAULT_CLUSTER):
        # VMs with names of its machines count, and the name is known only now.
        seen = steps.survey(ports, cluster=cluster)
    drafted = draft(seen, steps.verb_options(seen, cluster=cluster), connection)
    if prompts.asks:
        session.view.text("\n".join(["", drafted.text, *(f"not yet: {each}" for each in drafted.proposal.problems)]))
    if not prompts.agree(f"Write this to {file}?", proposal=True, flag="--yes"):
        raise HomelabError("not confirmed: nothing was written")
    steps.typed.keep(connection)
    _write(file, drafted.text, overwrite=overwrite)
    return written_text(drafted.proposal, file, default=DEFAULT_FILE)


def _may_write(file: Path, prompts: Prompts) -> bool:
    """Whether to overwrite an existing file; asked before all else, so that no answers are lost.

    Raises:
        UsageError: It exists and cannot be asked about, or its directory does not exist.
    """
    if not file.absolute().parent.is_dir():
        raise UsageError(f"--file: there is no directory {file.absolute().parent}")
    if not file.exists():
        return False
    if not prompts.asks:
        raise UsageError(
            f"{file} already exists",
            resolution="choose another file with --file, or move this one away; it is never overwritten without asking",
        )
    if not prompts.agree(f"{file} exists. Overwrite it?", proposal=False, flag="--file"):
        raise HomelabError(f"{file} is unchanged", resolution="use --file to write to another one")
    return True


def _write(file: Path, text: str, *, overwrite: bool) -> None:
    """Write the inventory, and the schema beside it if there is none."""
    from bootstrap.inventory.describe.schema import render_schema
    from bootstrap.inventory.write import SCHEMA_FILE

    try:
        with file.open("w" if overwrite else "x", encoding="utf-8") as stream:
            stream.write(text)
        with (
            contextlib.suppress(FileExistsError),
            file.with_name(SCHEMA_FILE).open("x", encoding="utf-8") as stream,
        ):
            stream.write(render_schema())
    except OSError as error:
        raise HomelabError(f"cannot write {file}", details=str(error)) from error


def _role_text(session: Session, prompts: Prompts, flags: Flags, version: str | None) -> str:
    """The commands that create the role and the token."""
    from bootstrap.cli.asking.init_steps import DEFAULT_TOKEN_ID, Steps
    from bootstrap.inventory.answers import parse_token_id
    from bootstrap.proxmox.rights.role import role_commands

    user, _, name = parse_token_id(flags.token_id or DEFAULT_TOKEN_ID).partition("!")
    if version is None and flags.endpoint is not None:
        # With any token, whatever its rights, Proxmox VE returns its version.
        steps = Steps(session, prompts, flags, base=Path.cwd())
        _, ports = steps.connect()
        seen = steps.survey(ports).observed.version
        version = f"{seen.major}.{seen.minor}"
    if version is None:
        version = prompts.ask(
            "Which Proxmox VE? `pveversion` on a Proxmox node prints it (8, 9, 8.1, ...)",
            flag="--pve-version",
            check=_checked_version,
        )
    major, minor = _version(version)
    narrow = _narrow(flags)
    lines = [
        f"# On a Proxmox node of Proxmox VE {version}, as root. `pveum user token add` shows the token's secret, once.",
        *role_commands(major=major, minor=minor, user=user, token=name, narrow=narrow),
    ]
    if narrow is not None and narrow.bridge is None:
        lines.append("# --bridge, --storage and --template limit the rights further.")
    options = f" --pool {narrow.pool}" if narrow is not None else ""
    lines += [
        "# Then, here:",
        f"#   export PROXMOX_VE_API_TOKEN='{user}!{name}=THE-SECRET'",
        f"#   homelab-k8s init{options}",
    ]
    return "\n".join(lines)


def _addon_role_text(flags: Flags, addon: str, *, pveum: bool) -> str:
    """The commands that create an add-on's role and token.

    Raises:
        UsageError: The add-on has none, or --pveum is missing.
    """
    from bootstrap.inventory.answers import parse_token_id
    from bootstrap.model.words import did_you_mean
    from bootstrap.proxmox.rights.addon_roles import ADDON_ROLES, addon_role_commands

    wanted = ADDON_ROLES.get(addon)
    if wanted is None:
        hint = did_you_mean(addon, ADDON_ROLES) or f"those with one are {' and '.join(ADDON_ROLES)}"
        raise UsageError(f"--addon {addon}: there is no such add-on with a role in Proxmox VE", resolution=hint)
    if not pveum:
        raise UsageError(
            "--addon belongs to --pveum", resolution=Advice("`homelab-k8s init --pveum --addon {}`", addon)
        )
    user, _, name = parse_token_id(flags.token_id or f"{wanted.user}!{wanted.token}").partition("!")
    narrow = _narrow(flags)
    lines = [
        "# On a Proxmox node, as root. `pveum user token add` shows the token's secret, once.",
        *addon_role_commands(wanted, user=user, token=name, narrow=narrow),
    ]
    if "/storage" in wanted.paths and (narrow is None or not narrow.storages):
        lines.append("# --pool with --storage limits the rights further.")
    token_id = f", token_id: {user}!{name}" if flags.token_id else ""
    lines += [
        "# Then, here, and in the inventory:",
        f"#   export {wanted.env}='THE-SECRET'",
        f"#   manifests: [{{addon: {addon}, values: {{token: {{env: {wanted.env}}}{token_id}}}}}]",
    ]
    return "\n".join(lines)


def _narrow(flags: Flags) -> Narrow | None:
    """What the token's rights are limited to. Raises UsageError if the template has no VMID."""
    from bootstrap.inventory.answers import parse_template
    from bootstrap.proxmox.rights.role import Narrow

    if flags.pool is None:
        return None
    check_flags(flags)
    template = parse_template(flags.template) if flags.template is not None else None
    if template is not None and template.vmid is None and template.image is None:
        raise UsageError(
            f"--template {flags.template}: rights are granted by VMID",
            resolution="pass the template's VMID; without --template the token may build templates in the pool",
        )
    return Narrow(
        pool=flags.pool,
        storages=(flags.storage,) if flags.storage is not None else (),
        bridge=flags.bridge,
        template=template.vmid if template is not None else None,
    )


def _checked_version(text: str) -> str:
    _version(text)
    return text


def _version(text: str) -> tuple[int, int | None]:
    """`9`, `8.4` or `8.4.1`: major and minor version. Raises UsageError."""
    found = re.fullmatch(r"(\d+)(?:\.(\d+)(?:\.\d+)*)?", text)
    if found is None or not OLDEST <= int(found[1]) <= NEWEST:
        raise UsageError(
            f"--pve-version: {text!r} is not a version of Proxmox VE {OLDEST} or {NEWEST}, such as 9 or 8.4"
        )
    return int(found[1]), int(found[2]) if found[2] else None
