"""`init`: looks at a Proxmox VE and drafts the inventory of a first cluster. Reads only; the caller writes it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from bootstrap.advice import Advice
from bootstrap.commands.observing.observe import seen_by_proxmox
from bootstrap.errors import PreflightError, UsageError
from bootstrap.inventory.answers import Connection
from bootstrap.inventory.write import SCHEMA_FILE, render_inventory
from bootstrap.model.access.rights import MissingPrivileges, RightsNeeded
from bootstrap.model.cluster import PlacementSpec, TemplateRef
from bootstrap.model.ids import ClusterName
from bootstrap.model.observed import Observed, TemplateFacts
from bootstrap.planning.templates.discovery import TemplateChoice, template_choices
from bootstrap.planning.verbs.init import InitOptions, Proposal, propose
from bootstrap.ports import Ports

DEFAULT_CLUSTER = ClusterName("homelab")


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What a Proxmox VE has, and what the token lacks.

    Attributes:
        templates: Every way to name a template, the best first.
        missing: What the token lacks for `up` and `down`.
        missing_pool: The resource pool that machines are to join, if it is not there; else empty.
    """

    observed: Observed
    templates: tuple[TemplateChoice, ...]
    missing: tuple[MissingPrivileges, ...]
    missing_pool: str = ""

    @property
    def blind(self) -> bool:
        """Whether the token may not see VMs (Proxmox VE's lists are empty then, not refused), and none is seen."""
        return not self.templates and any("VM.Audit" in lack.privileges for lack in self.missing)

    @property
    def clusters(self) -> frozenset[str]:
        """Names of clusters that have machines there."""
        return frozenset(vm.record.cluster for vm in self.observed.vms if vm.record is not None)


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A new inventory.

    Attributes:
        text: The file.
        proposal: Its contents, and problems with it as things are.
    """

    text: str
    proposal: Proposal


def survey(ports: Ports, *, cluster: ClusterName = DEFAULT_CLUSTER, resource_pool: str | None = None) -> Survey:
    """Look at a Proxmox VE.

    Args:
        ports: Only Proxmox VE is asked.
        cluster: VMs with names like its machines' are included.
        resource_pool: Proxmox resource pool that machines will join, or None.

    Raises:
        HypervisorError: It does not answer, or refuses the token.
    """
    facts = ports.hypervisor.observe(cluster=cluster, vmids=PlacementSpec().vmids)
    observed = seen_by_proxmox(facts)
    rights = RightsNeeded(templates=facts.templates, resource_pool=resource_pool)
    missing = ports.hypervisor.missing_privileges(rights)
    lacks_pool = resource_pool is not None and not ports.hypervisor.has_resource_pool(resource_pool)
    return Survey(
        observed=observed,
        templates=template_choices(observed),
        missing=missing,
        missing_pool=resource_pool or "" if lacks_pool else "",
    )


def free_name(seen: Survey) -> ClusterName:
    """A name that no cluster has: `homelab`, else `homelab-2` and so on."""
    number, name = 1, DEFAULT_CLUSTER
    while name in seen.clusters:
        number += 1
        name = ClusterName(f"{DEFAULT_CLUSTER}-{number}")
    return name


def refuse_blind(seen: Survey) -> None:
    """Refuse to propose sizes and vmids where the token may not see VMs.

    Raises:
        PreflightError: With the command that grants the rights.
    """
    if seen.blind:
        raise PreflightError(
            "this token may not list VMs and templates (VM.Audit), so nothing can be proposed",
            resolution=Advice(
                "grant the missing rights, or create role and token again: `homelab-k8s init --pveum --pve-version {}`",
                seen.observed.version.major,
            ),
        )


def refuse_unknown(seen: Survey, asked: InitOptions) -> None:
    """Refuse names that the Proxmox VE does not have; a template, which may be built later, only if there are others.

    Raises:
        UsageError: With the flag, and what is available.
    """
    if seen.missing_pool:
        brief = f"--pool: there is no resource pool {seen.missing_pool} in Proxmox"
        raise UsageError(brief, resolution=f"as root on a Proxmox node:\npveum pool add {seen.missing_pool}")
    facts = seen.observed.pve_nodes
    if asked.template is not None and seen.observed.templates:
        _refuse_template(asked.template, seen)
    _refuse_name("storage", asked.storage, {storage.name for each in facts for storage in each.storages})
    bridges = {bridge for each in facts for bridge in each.bridges}
    if bridges:
        _refuse_name("bridge", asked.bridge, bridges)


def _refuse_template(wanted: TemplateRef, seen: Survey) -> None:
    known = wanted.image is not None or any(_is_meant(wanted, each) for each in seen.observed.templates)
    _refuse(known, f"--template: no template matches {wanted}", {str(choice.ref) for choice in seen.templates})


def _is_meant(wanted: TemplateRef, template: TemplateFacts) -> bool:
    named = wanted.vmid == template.vmid or wanted.name == template.name
    return named or (wanted.tag or "").lower() in template.tags


def _refuse_name(kind: str, wanted: str | None, there: Collection[str]) -> None:
    _refuse(wanted is None or wanted in there, f"--{kind}: there is no {kind} {wanted}", there)


def _refuse(known: bool, brief: str, there: Iterable[str]) -> None:
    if not known:
        names = ", ".join(sorted(there))
        raise UsageError(brief, resolution=f"available: {names}" if names else "none that this token can see")


def draft(seen: Survey, asked: InitOptions, connection: Connection) -> Draft:
    """The inventory to propose.

    Raises:
        UsageError: Something that is asked for does not exist.
        PreflightError: The token sees too little to propose anything.
    """
    refuse_blind(seen)
    refuse_unknown(seen, asked)
    proposal = propose(seen.observed, asked)
    pinned = connection.tls.fingerprint is not None
    about_tls = (
        "The certificate's SHA-256, as `pvenode cert info` prints it; any other certificate is refused."
        if pinned
        else "The system's CAs have signed the certificate; tls: {fingerprint: ...} would pin it."
    )
    about_file = Advice(
        "Made by `homelab-k8s init` for Proxmox VE {}, edit it as you like. docs/inventory.md describes every key; "
        "`homelab-k8s doctor` checks the result. {} is for editors only.",
        seen.observed.version.text,
        SCHEMA_FILE,
    )
    remarks = {**proposal.remarks, "file": (about_file,), "tls": (about_tls,)}
    return Draft(text=render_inventory(proposal.spec, connection, remarks=remarks), proposal=proposal)
