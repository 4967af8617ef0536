"""The lab for the command line: `lab start|status|stop`, and `--lab`. Nothing else knows `bootstrap.lab`."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bootstrap.advice import Advice
from bootstrap.cli.options import Guests, OutputForm, ProgressForm
from bootstrap.cli.running.session import Session
from bootstrap.cli.running.usage import subcommands
from bootstrap.cli.text.documents import Document, Output, render
from bootstrap.cli.views.choose import Progress
from bootstrap.errors import HomelabError, UsageError
from bootstrap.events import Told

if TYPE_CHECKING:
    from bootstrap.inventory import Inventory, Overrides
    from bootstrap.lab.options import LabInfo, LabJump, LabOptions
    from bootstrap.lab.releases.choice import K3sChoice, K3sRequest
    from bootstrap.model.cluster import SshSpec

LAB_INVENTORY = Path(__file__).with_name("lab.yaml")
LAB_TEMPLATE = "debian-12-k3s"
K3S_CHANNEL = "stable"
"""This channel is asked whether k3s releases can be downloaded."""
QUICK = 0.2
"""Time scale of simulated guests where nobody asks for another: `lab start` makes them as slow as VMs."""
MOST_MEMORY_MIB = 64 * 1024 * 1024

app = subcommands("A local Proxmox VE stand-in for trying things out; its VMs are real Linux guests.")


@app.command("start", short_help="Start the lab.")
def start_command(
    guests: Annotated[
        Guests, typer.Option("--guests", help="Guest backend: container, qemu or simulated.")
    ] = Guests.AUTO,
    pve_nodes: Annotated[int, typer.Option("--pve-nodes", metavar="N", help="Number of Proxmox nodes.")] = 1,
    shared_storage: Annotated[
        bool, typer.Option("--shared-storage", help="All Proxmox nodes share one storage.")
    ] = False,
    time_scale: Annotated[
        float, typer.Option("--time-scale", metavar="X", help="Real seconds for each second of simulated time.")
    ] = 1.0,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Random seed for the simulated guests' delays.")] = 0,
    delays: Annotated[
        str,
        typer.Option("--delays", metavar="LIST", help="Delays of simulated guests, in seconds: agent=10..14,clone=0.3"),
    ] = "",
    cores: Annotated[
        int | None,
        typer.Option(
            "--cores", metavar="N", help="CPUs of each Proxmox node; default: this machine's (simulated: 128)."
        ),
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(
            "--memory", metavar="SIZE", help="Memory of each Proxmox node; default: this machine's (simulated: 512GiB)."
        ),
    ] = None,
    vnet: Annotated[str, typer.Option("--vnet", metavar="NAME", help="Add an SDN vnet besides the bridge vmbr0.")] = "",
    jump: Annotated[
        bool, typer.Option("--jump", help="Put simulated guests behind a jump host, the only one that reaches them.")
    ] = False,
    output: OutputForm = Output.TEXT,
    progress: ProgressForm = Progress.AUTO,
) -> None:
    """Start the lab; the first start builds its template, which takes a few minutes."""
    with Session("lab-start", progress=progress) as session:
        from bootstrap.lab.options import LabOptions

        options = LabOptions(
            guests=guests.value,
            pve_nodes=pve_nodes,
            shared_storage=shared_storage,
            time_scale=time_scale,
            seed=seed,
            delays=delays,
            cores=cores,
            memory_mib=_mib(memory) if memory is not None else None,
            vnet=vnet,
            jump=jump,
        )
        info = _start(session, options, k3s_request(os.environ))
        text = _text(info) if output is Output.TEXT else render(_document(info), output)
        session.result(text, fit=output is Output.TEXT)


@app.command("status")
def status_command(output: OutputForm = Output.TEXT) -> None:
    """Show the running lab. Exit code 1 if no lab is running."""
    with Session("lab-status", progress=Progress.QUIET) as session:
        info = _running(session)
        if output is not Output.TEXT:
            session.result(render(_document(info), output))
        else:
            none = Advice("no lab is running; start one with `homelab-k8s lab start`")
            session.result(_text(info) if info else none, fit=True)
        if info is None:
            raise typer.Exit(1)


@app.command("stop", short_help="Stop the lab and remove everything in it.")
def stop_command(progress: ProgressForm = Progress.AUTO) -> None:
    """Stop the lab and remove everything in it, machines included, and the leftovers of a killed lab."""
    with Session("lab-stop", progress=progress) as session:
        from bootstrap.lab import control

        with _converted(), session.view.busy("stopping the lab"):
            stopped = control.stop()
        session.result("the lab is stopped and removed" if stopped else "no lab is running; nothing to do")


@dataclass(frozen=True)
class LabFit:
    """The values of an inventory that a running lab replaces.

    Attributes:
        ssh_port: Port of its guests' sshd.
        subnet: Of their addresses; None keeps the inventory's.
        k3s: The k3s of its clusters.
        jump: What its guests are behind, unless the inventory names a jump host; None: nothing.
    """

    ssh_port: int
    subnet: IPv4Network | None
    k3s: K3sChoice
    jump: LabJump | None = None

    def environ(self, environ: Mapping[str, str]) -> Mapping[str, str]:
        """The environment; if the lab uses a stand-in for k3s, with its directory."""
        asked = str(Path(value).absolute()) if (value := _asked(environ)) else ""
        if self.k3s.source != "stand-in" or asked != self.k3s.asked:
            return environ
        from bootstrap.inventory.env_and_flags import ENV_ARTIFACTS

        return {**environ, ENV_ARTIFACTS[0]: self.k3s.artifacts}

    def fit(self, inventory: Inventory) -> Inventory:
        """The inventory for this lab."""
        spec = inventory.spec
        network = replace(spec.network, subnet=self.subnet) if self.subnet else spec.network
        return replace(inventory, spec=replace(spec, ssh=self._ssh(spec.ssh), network=network))

    def _ssh(self, ssh: SshSpec) -> SshSpec:
        from bootstrap.model.access.endpoint import JumpHost

        ours = replace(ssh, port=self.ssh_port)
        if self.jump is None or ssh.jump is not None:
            return ours
        user, _, place = self.jump.place.partition("@")
        host, _, port = place.rpartition(":")
        return replace(
            ours,
            private_key=ssh.private_key or Path(self.jump.identity),
            jump=JumpHost(user=user, host=host, port=int(port)),
            jump_host_key=self.jump.host_key,
        )


def lab_overrides(session: Session, overrides: Overrides, *, start: Guests | None) -> tuple[Overrides, LabFit]:
    """The overrides with the lab's endpoint and template, and what else it replaces.

    Args:
        session: Shows the lab's start.
        overrides: What the flags say; a template among them is kept.
        start: Start a lab with these guests if none is running; None starts none.

    Raises:
        HomelabError: No lab is running, it cannot be started, or it has other guests.
    """
    from bootstrap.lab.options import LabOptions
    from bootstrap.model.access.endpoint import ApiToken, PveEndpoint, TlsSpec

    info = _running(session)
    if info is None and start is None:
        raise HomelabError(
            "no lab is running", resolution=Advice("start one with `homelab-k8s lab start`, or omit --lab")
        )
    if info is None:
        scale = QUICK if start is Guests.SIMULATED else 1.0
        options = LabOptions(guests=(start or Guests.AUTO).value, time_scale=scale)
        info = _start(session, options, k3s_request(os.environ, overrides))
    if start not in (None, Guests.AUTO, info.kind):
        raise HomelabError(
            f"the guests of the running lab are {info.kind}, not {start}",
            resolution=Advice("stop it first: `homelab-k8s lab stop`"),
        )
    user, _, name = info.token_id.partition("!")
    endpoint = PveEndpoint(
        url=info.endpoint,
        token=ApiToken(user=user, name=name, secret=info.token_secret),
        tls=TlsSpec(fingerprint=info.fingerprint),
    )
    # Simulated guests have loopback addresses, which count as a machine's own only if the inventory says so.
    subnet = IPv4Network(info.network) if info.kind == Guests.SIMULATED else None
    fitted = replace(overrides, endpoint=endpoint, template=overrides.template or LAB_TEMPLATE)
    return fitted, LabFit(ssh_port=info.ssh_port, subnet=subnet, k3s=info.k3s, jump=info.jump)


def k3s_request(environ: Mapping[str, str], overrides: Overrides | None = None) -> K3sRequest:
    """Which k3s the lab's clusters run: the directory of a flag, else of the environment."""
    from bootstrap.lab.releases.choice import K3sRequest
    from bootstrap.model.cluster import CHANNELS_URL

    given = overrides.k3s_artifacts if overrides is not None else None
    artifacts = str(given or _asked(environ))
    return K3sRequest(
        artifacts=str(Path(artifacts).absolute()) if artifacts else "", channel=f"{CHANNELS_URL}/{K3S_CHANNEL}"
    )


def _asked(environ: Mapping[str, str]) -> str:
    from bootstrap.inventory.env_and_flags import ENV_ARTIFACTS

    return next((environ[name] for name in ENV_ARTIFACTS if environ.get(name)), "")


def _mib(size: str) -> int:
    """A size as in inventories, in MiB. Raises UsageError."""
    from bootstrap.inventory.document import Scalar
    from bootstrap.inventory.values.scalars import RefusedError, Size

    try:
        return Size(minimum=512, maximum=MOST_MEMORY_MIB).convert(Scalar(text=size))
    except RefusedError as error:
        raise UsageError(f"--memory {error.message}", resolution=error.hint) from error


def running_lab() -> LabInfo | None:
    """The running lab, or None."""
    from bootstrap.lab import control

    with _converted():
        return control.status()


def why_no_containers() -> str | None:
    """Why this computer cannot run container guests, with the remedy; None if it can."""
    from bootstrap.lab.guests.choose import why_not

    return why_not(Guests.CONTAINER)


def _running(session: Session) -> LabInfo | None:
    return _known(session, running_lab())


def _start(session: Session, options: LabOptions, k3s: K3sRequest) -> LabInfo:
    from bootstrap.lab import control

    check_installed()
    with _converted(), session.view.busy("starting the lab"):
        info = control.start(
            options,
            k3s=k3s,
            environ=session.environment(),
            progress=lambda line: session.sink(Told(message=f"lab: {line}")),
        )
    _known(session, info)
    return info


def check_installed() -> None:
    """Check that the extra `lab` is there.

    Raises:
        HomelabError: It is not; the text has the command that adds it to this installation.
    """
    from importlib.util import find_spec

    missing = [name for name in ("aiohttp", "asyncssh", "fakepve", "pycdlib") if find_spec(name) is None]
    if missing:
        raise HomelabError(
            "the lab is not installed",
            details=f"missing: {', '.join(missing)}, of the extra `lab`",
            resolution=f"run `{install_command(Path(sys.prefix), sys.executable)}`",
        )


def install_command(prefix: Path, python: str) -> str:
    """The command that adds the extra `lab` to the program, by the tool that installed it.

    pipx and uv keep tools in directories of their own. All three take the release that is installed there.

    Args:
        prefix: Of the program's environment.
        python: Its interpreter.
    """
    if "pipx" in prefix.parts:
        return "pipx inject homelab-k8s 'homelab-k8s[lab]'"
    tool = ["uv", "pip", "install", "--python"] if prefix.parts[-3:-1] == ("uv", "tools") else []
    command = [*tool, python] if tool else [python, "-m", "pip", "install"]
    return shlex.join([*command, "homelab-k8s[lab]"])


def _known(session: Session, info: LabInfo | None) -> LabInfo | None:
    """The lab, after adding its secrets to the masker."""
    if info is not None:
        session.masker.add(info.token_secret)
        for token in (info.no_rights_token, info.root_token):
            session.masker.add(token.rpartition("=")[2])
    return info


@contextmanager
def _converted() -> Iterator[None]:
    """Convert the lab's errors, since the lab does not know the client's."""
    from bootstrap.lab.options import LabError

    try:
        yield
    except LabError as error:
        brief, _, details = str(error).partition("\n")
        raise HomelabError(f"lab: {brief}", details=details) from error


def _document(info: LabInfo | None) -> Document:
    """The lab without its secrets."""
    if info is None:
        return {"running": False}
    return {
        "running": True,
        "endpoint": info.endpoint,
        "fingerprint": info.fingerprint,
        "token_id": info.token_id,
        "guests": info.kind,
        "reason": info.reason,
        "k3s": {"source": info.k3s.source, "reason": info.k3s.reason, "artifacts": info.k3s.artifacts or None},
        "pve_version": info.pve_version,
        "pve_nodes": list(info.pve_nodes),
        "template": LAB_TEMPLATE,
        "bridge": info.bridge or None,
        "network": info.network or None,
        "jump": info.jump.place if info.jump else None,
        "pid": info.pid,
    }


def _text(info: LabInfo) -> str:
    nodes = ", ".join(info.pve_nodes)
    lines = [
        f"the lab is running at {info.endpoint} (Proxmox VE {info.pve_version}; {nodes}; process {info.pid})",
        f"  guests    {info.kind}: {info.reason}",
        f"  k3s       {info.k3s}",
        f"  template  {LAB_TEMPLATE}",
    ]
    if info.bridge:
        lines.append(f"  network   {info.network} on {info.bridge}")
    if info.jump:
        lines.append(f"  jump host {info.jump.place}: guests accept connections only from it")
    return "\n".join([*lines, f"next: {shlex.join(['homelab-k8s', 'up', '--lab', '--workers', '3'])}"])
