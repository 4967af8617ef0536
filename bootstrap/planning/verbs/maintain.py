"""Decides what `maintain` does: one task after the other, each decided again from what is seen then. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from bootstrap.errors import PreflightError, some_of
from bootstrap.k3s.versions import K3sVersion, Minor, is_release, parse_version
from bootstrap.model.ids import MachineName, PoolName, PveNodeName
from bootstrap.model.machine import MachineKind, RecordState, Role
from bootstrap.model.observed import TemplateFacts
from bootstrap.model.settings.maintain import MaintainSpec, UpgradePolicy
from bootstrap.model.words import count
from bootstrap.planning.members.pool_members import ordinal_of
from bootstrap.planning.templates.planned import may_build
from bootstrap.planning.templates.templates import usable_templates
from bootstrap.records.vms.template import RECIPE_VERSION, CloudImage, Recipe

if TYPE_CHECKING:
    from bootstrap.planning.view import ClusterView

SNAPSHOT_NAME = "maintain"
"""What the names of its snapshots begin with."""
_DAY_S = 86400
_MOST_NAMES = 5


@dataclass(frozen=True, kw_only=True)
class BackUp:
    """Take a snapshot; to a directory, and to the bucket if the inventory has one."""

    kind: ClassVar[str] = "backup"

    to: Path | None
    s3: bool
    keep: int

    def __str__(self) -> str:
        """As the user reads it."""
        places = [*([f"to {self.to}"] if self.to is not None else []), *(["to the bucket"] if self.s3 else [])]
        return f"back up {' and '.join(places) or 'to a server'}"


@dataclass(frozen=True, kw_only=True)
class UpgradeTo:
    """Upgrade k3s."""

    kind: ClassVar[str] = "upgrade"

    version: str

    def __str__(self) -> str:
        """As the user reads it."""
        return f"upgrade k3s to {self.version}"


@dataclass(frozen=True, kw_only=True)
class RenewTemplates:
    """Build the template again; `pve_nodes` is empty for wherever one is missing."""

    kind: ClassVar[str] = "template"

    pve_nodes: tuple[PveNodeName, ...]
    reason: str = field(compare=False)

    def __str__(self) -> str:
        """As the user reads it."""
        where = f" on {', '.join(self.pve_nodes)}" if self.pve_nodes else ""
        return f"build the template{where}: {self.reason}"


@dataclass(frozen=True, kw_only=True)
class ReplaceMachine:
    """Replace a machine by a clone of the newer template."""

    kind: ClassVar[str] = "replace"

    name: MachineName
    pool: PoolName

    def __str__(self) -> str:
        """As the user reads it."""
        return f"replace {self.name}"


@dataclass(frozen=True, kw_only=True)
class PruneTemplates:
    """Remove templates that are in no use any more."""

    kind: ClassVar[str] = "prune"

    keep: int
    names: tuple[str, ...] = field(compare=False)

    def __str__(self) -> str:
        """As the user reads it."""
        return f"remove {some_of(self.names, _MOST_NAMES)}"


Task = BackUp | UpgradeTo | RenewTemplates | ReplaceMachine | PruneTemplates


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What there is outside of the cluster, looked up once for the whole run.

    Attributes:
        release: The k3s that the policy allows, or None for none.
        image: The image that templates are built from as it is published now; None: templates are left alone.
    """

    release: K3sVersion | None = None
    image: CloudImage | None = None


@dataclass(frozen=True, kw_only=True)
class Upkeep:
    """What is to be done, in order; what the user should know, a line each; and what it was decided from."""

    tasks: tuple[Task, ...]
    notes: tuple[str, ...] = ()
    offer: Offer = Offer()

    @property
    def changes(self) -> tuple[Task, ...]:
        """What changes more than the number of snapshots."""
        return tuple(task for task in self.tasks if not isinstance(task, BackUp))


def newest_wanted(policy: UpgradePolicy, running: Sequence[K3sVersion], pointed: K3sVersion) -> Minor | None:
    """The minor version of which the newest release has to be known for `allowed_release`; None for none."""
    later = bool(running) and pointed.minor > max(running).minor
    return max(running).minor if policy is UpgradePolicy.PATCH and later else None


def allowed_release(
    policy: UpgradePolicy, running: Sequence[K3sVersion], pointed: K3sVersion, newest: K3sVersion | None = None
) -> K3sVersion | None:
    """The release to upgrade to: never an older one than what runs, and never one beyond the channel.

    Args:
        policy: Which releases are taken.
        running: What the machines run.
        pointed: What the inventory's channel points to.
        newest: The newest of `newest_wanted`.
    """
    if policy is UpgradePolicy.NEVER or not running:
        return None
    found = newest if newest_wanted(policy, running, pointed) is not None else pointed
    if found is None or found > pointed or (policy is UpgradePolicy.PATCH and found.minor != max(running).minor):
        return None
    return found if found >= max(running) and found > min(running) else None


def running_versions(view: ClusterView) -> tuple[K3sVersion, ...]:
    """What the cluster's machines run."""
    nodes = (view.kube_nodes.get(name) for name in view.vm_of)
    return tuple(parse_version(each.version) for each in nodes if each is not None and is_release(each.version))


def renews_templates(view: ClusterView) -> bool:
    """Whether templates are ours to build again, and the inventory wants it."""
    return view.spec.maintain.renew_machines and may_build(view) and any(_is_clone(view, name) for name in view.vm_of)


def plan_upkeep(
    view: ClusterView, offer: Offer, *, now_s: float, at: datetime, any_time: bool, prunable: Sequence[str] = ()
) -> Upkeep:
    """Decide.

    Args:
        view: The cluster, with existing sizes, and as seen; preferring templates with the k3s that runs.
        offer: What there is outside.
        now_s: The wall clock as Unix seconds.
        at: The same as local time, for the window.
        any_time: Whether the window does not count.
        prunable: Templates that are in no use, once the rest is done.
    """
    wanted = view.spec.maintain
    backup = BackUp(
        to=wanted.backup_to / view.spec.name if wanted.backup_to is not None else None,
        s3=view.spec.backup.s3 is not None,
        keep=wanted.keep_backups,
    )
    changes: list[Task] = [UpgradeTo(version=str(offer.release))] if offer.release and _lags(view, offer) else []
    changes += _renewals(view, offer, now_s=now_s)
    changes += [PruneTemplates(keep=wanted.keep_templates, names=tuple(prunable))] if prunable else []
    notes = [*_backup_notes(backup), *_left_alone(view)]
    if changes and not any_time and wanted.window is not None and not wanted.window.is_open(at):
        waiting = some_of([task for task in changes], _MOST_NAMES)
        notes.append(f"outside of the window {wanted.window}, waiting for it: {waiting}")
        changes = []
    return Upkeep(tasks=(backup, *changes), notes=tuple(notes), offer=offer)


def _lags(view: ClusterView, offer: Offer) -> bool:
    return offer.release is not None and any(version < offer.release for version in running_versions(view))


def _renewals(view: ClusterView, offer: Offer, *, now_s: float) -> Iterator[Task]:
    """The template if it is due, and the machines that are older than what they would be cloned of now."""
    if offer.image is None:
        return
    templates = own_templates(view)
    reasons = {name: _why_due(one, offer.image, view.spec.maintain, now_s=now_s) for name, one in templates.items()}
    due = tuple(name for name, reason in reasons.items() if reason)
    if due or not templates:
        yield RenewTemplates(pve_nodes=due, reason=reasons[due[0]] if due else "there is none")
    made = {name: now_s if name in due else one.made for name, one in templates.items()}
    yield from _outdated(view, made if templates else dict.fromkeys(_places(view), now_s))


def own_templates(view: ClusterView) -> Mapping[PveNodeName, TemplateFacts]:
    """Our templates that new machines would be cloned of, by Proxmox node."""
    try:
        return {name: one for name, one in usable_templates(view).items() if one.image}
    except PreflightError:
        return {}


def _why_due(template: TemplateFacts, image: CloudImage, wanted: MaintainSpec, *, now_s: float) -> str:
    if template.recipe_version != RECIPE_VERSION:
        return "the present one was built by an earlier release of homelab-k8s"
    if Recipe(image=image, k3s=template.k3s, packages=template.packages).hash != template.recipe:
        return f"there is a new image of {image.name}"
    age_days = (now_s - template.made) / _DAY_S
    oldest = wanted.template_max_age_days
    return f"the present one is {age_days:.0f} days old" if oldest is not None and age_days >= oldest else ""


def _places(view: ClusterView) -> Iterator[PveNodeName]:
    return (vm.pve_node for vm in view.vms)


def _outdated(view: ClusterView, made: Mapping[PveNodeName, float]) -> Iterator[ReplaceMachine]:
    """The VMs that were cloned before a template was built: workers first, since a bad image costs least there.

    A VM whose record does not say when it was cloned was made by an earlier release, and counts as older.
    """
    for pool in (*view.spec.workers, view.spec.control_plane):
        if pool.role is Role.CONTROL_PLANE and view.on_sqlite:
            continue
        there = [record.machine for _, record in view.machines if record.pool == pool.name]
        for name in sorted(there, key=ordinal_of):
            vm = view.vm_of[name]
            if not _is_clone(view, name) or vm.record is None or vm.pve_node not in made:
                continue
            if vm.record.cloned is None or vm.record.cloned.asked_s < made[vm.pve_node]:
                yield ReplaceMachine(name=name, pool=pool.name)


def _is_clone(view: ClusterView, name: MachineName) -> bool:
    vm = view.vm_of[name]
    return vm.kind is MachineKind.VM and vm.state is RecordState.MADE


def _backup_notes(backup: BackUp) -> Iterator[str]:
    if backup.to is None and not backup.s3:
        yield (
            "the snapshot stays on a server and is lost with it: set maintain.backup_to to a directory, or backup.s3 "
            "to a bucket"
        )


def _left_alone(view: ClusterView) -> Iterator[str]:
    """What the user may expect to be done, and is not."""
    spec = view.spec
    if spec.k3s.version is not None and spec.maintain.upgrade is not UpgradePolicy.NEVER:
        yield f"no upgrades: the inventory pins k3s.version to {spec.k3s.version}; name a channel instead"
    if not spec.maintain.renew_machines:
        return
    if not may_build(view):
        yield "machines are not renewed: their template is not one that homelab-k8s builds"
    elif view.on_sqlite:
        servers = count(len(view.kube_servers), "server")
        yield f"{servers} with sqlite cannot be replaced: it keeps its system; `scale control-plane 3` changes that"
