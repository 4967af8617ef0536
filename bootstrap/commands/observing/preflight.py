"""What is checked before anything is touched; each check refuses with what to do. Reads only."""

from __future__ import annotations

from pathlib import Path

from bootstrap.commands.observing.observe import observe_cluster
from bootstrap.commands.observing.privileges import check_rights, check_sight, rights_needed
from bootstrap.errors import PreflightError
from bootstrap.model.access.rights import RightsNeeded
from bootstrap.model.cluster import ClusterSpec
from bootstrap.planning.checks.api_name import leads_elsewhere
from bootstrap.planning.checks.doctor import OLDEST_MAJOR
from bootstrap.planning.checks.runtime import ROOM_REMEDY
from bootstrap.planning.members.existing_sizes import with_existing_sizes
from bootstrap.planning.members.foreign import check_claims
from bootstrap.planning.plan import Plan, steps_of
from bootstrap.planning.settings.drift import serves_vip
from bootstrap.planning.steps import FetchK3s
from bootstrap.planning.templates.machine_images import all_bases
from bootstrap.planning.templates.templates import matching_templates
from bootstrap.planning.view import ClusterView
from bootstrap.ports import Ports
from bootstrap.records.state.state_items import OWN_KEY

LEAST_ROOM_BYTES = 1 << 20
"""What a cluster's keys, kubeconfig and host keys need at most, without logs."""


def observe_checked(spec: ClusterSpec, ports: Ports) -> ClusterView:
    """Observe for a command that creates machines or removes them.

    Raises:
        PreflightError: Proxmox VE is too old; or as `check_keys`.
        GuestError: As `check_way`.
    """
    check_way(spec, ports)
    view = observe_cluster(spec, ports)
    check_version(view)
    check_keys(view, ports)
    return view


def observe_existing(spec: ClusterSpec, ports: Ports) -> ClusterView:
    """Observe for a command on machines that exist; sizes that the inventory leaves out are theirs.

    Raises:
        PreflightError: The token may not see VMs.
        GuestError: As `check_way`.
    """
    check_way(spec, ports)
    view = observe_cluster(spec, ports)
    check_sight(spec, ports, view.observed.vms)
    return with_existing_sizes(view)


def check_way(spec: ClusterSpec, ports: Ports) -> str:
    """See that the jump hosts on the way to machines can be used, and say which they are; empty if it is direct.

    Raises:
        GuestError: One cannot; nothing was touched.
    """
    if ports.ways.direct:
        return ""
    fixed = spec.network.addresses
    foreseen = spec.vip.address if spec.vip is not None else fixed.first if fixed is not None else None
    return ports.ways.check(foreseen, spec.ssh.port)


def check_version(view: ClusterView) -> None:
    """Refuse a Proxmox VE that is too old. Raises PreflightError."""
    version = view.observed.version
    if version.major < OLDEST_MAJOR:
        raise PreflightError(
            f"Proxmox VE {version.text} is too old",
            details=f"`ciupgrade` and the x86-64-v2 CPU types came with Proxmox VE {OLDEST_MAJOR}",
            resolution="upgrade to Proxmox VE 8 or 9",
        )


def check_keys(view: ClusterView, ports: Ports) -> None:
    """See that machines that exist are ours by their signature, and that the SSH key can be used.

    Raises:
        PreflightError: All that says it is the cluster's is foreign (its key may be lost: no new one is made), or the
            key cannot be used; nothing was touched.
    """
    check_claims(view, missing_key=missing_key(view.spec, ports))
    ports.shells.check()


def check_no_new_key(view: ClusterView, ports: Ports) -> None:
    """See that no SSH key would be made beside machines that know another one, and that the one there is can be used.

    Raises:
        PreflightError: The cluster's key is lost, or cannot be used; nothing was touched.
    """
    if missing_key(view.spec, ports) is None:
        ports.shells.check()
    else:
        check_keys(view, ports)


def missing_key(spec: ClusterSpec, ports: Ports) -> Path | None:
    """Where the cluster's own SSH key belongs, if it is not there; None where it is, or the inventory names another."""
    if spec.ssh.private_key is not None or ports.keys.find(spec.name) is not None:
        return None
    return ports.state.path(spec.name, OWN_KEY)


def check_vip(view: ClusterView, ports: Ports) -> None:
    """Refuse to take an address for the API that another machine has. Raises PreflightError."""
    vip, observed = view.spec.vip, view.observed
    # The lab's simulated guests: this machine answers at all of loopback.
    if vip is None or observed.vip_holder is not None or vip.address.is_loopback:
        return
    if any(address == vip.address for _, address in observed.addresses):
        raise PreflightError(
            f"the VIP {vip.address} is a machine's own address",
            resolution="choose one outside the DHCP range",
        )
    # One of our servers may well have it: not every guest agent answers.
    unknown = observed.kube_nodes is None and not view.running_servers
    if (unknown or not serves_vip(view)) and ports.probes.answers(vip.address):
        raise PreflightError(
            f"the VIP {vip.address} is in use: another machine answers at it",
            details="it must be a free address outside the DHCP range",
            resolution="choose another one as control_plane.vip",
        )


def api_name_notes(view: ClusterView, ports: Ports) -> tuple[str, ...]:
    """That the API's name leads elsewhere, in the user's DNS: a warning, since it can be fixed at any time."""
    name = view.spec.api_name
    elsewhere = leads_elsewhere(view, ports.probes.resolve(name)) if name is not None else None
    return (elsewhere,) if elsewhere else ()


def check_privileges(view: ClusterView, ports: Ports) -> None:
    """Refuse a token whose missing rights would make `up` fail halfway.

    This comes before planning: a token without rights sees empty lists, which would read as "no template".
    """
    check_rights(ports, rights_for_up(view), what="`up`")


def rights_for_up(view: ClusterView) -> RightsNeeded:
    """What the token needs rights for, to create the cluster's machines and to remove them."""
    return rights_needed(view.spec, matching_templates(view), view.observed, tuple(all_bases(view)))


def check_state_room(ports: Ports) -> None:
    """Refuse to begin where the state directory has no room for the cluster's keys.

    Raises:
        PreflightError: Nothing was touched.
    """
    free = ports.state.room_bytes()
    if free < LEAST_ROOM_BYTES:
        raise PreflightError(
            "the disk with the state directory is full",
            details=f"{free // 1024} KiB are free; the cluster's keys and kubeconfig are stored there",
            resolution=f"{ROOM_REMEDY}, then run the command again",
        )


def check_artifacts(plan: Plan, spec: ClusterSpec, ports: Ports) -> None:
    """See that each k3s release of a plan and of the plans that follow it can be fetched, for each architecture.

    Raises:
        ArtifactError: One cannot; nothing was touched.
    """
    for step in steps_of(plan, FetchK3s):
        ports.artifacts.check(spec.k3s, version=step.version, arch=step.arch)


def check_artifact_directory(plan: Plan, spec: ClusterSpec, ports: Ports) -> None:
    """The same where releases come from a local directory: only that costs no time.

    Raises:
        ArtifactError: A file is missing or wrong; nothing was touched.
    """
    if spec.k3s.artifacts is not None:
        check_artifacts(plan, spec, ports)
