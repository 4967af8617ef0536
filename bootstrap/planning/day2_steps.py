"""The steps of an existing cluster: machines are removed, k3s is upgraded, data is saved and restored.

As in `steps`: frozen values that name machines and the state wanted, never addresses or secrets.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from bootstrap.model.ids import ClusterName, MachineName
from bootstrap.model.machine import MachineRecord, MachineSpec, Taint
from bootstrap.model.settings.system import Difference, HookSpec, Part, SystemSpec
from bootstrap.planning.base_step import BaseStep


@dataclass(frozen=True, kw_only=True)
class MarkLeaving(BaseStep, phase="mark", title="mark as being removed"):
    """Record that the machine is being removed, so that the next command knows."""

    machine: MachineName


@dataclass(frozen=True, kw_only=True)
class RestoreMarks(BaseStep, phase="mark", title="restore name, tags and notes"):
    """Restore the VM's name and tags in Proxmox VE from the machine's record; give it the inventory's tags and notes.

    Attributes:
        tags: Of the inventory, besides those that all our VMs have.
        notes: Of the inventory; empty for none.
    """

    machine: MachineName
    tags: tuple[str, ...] = ()
    notes: str = ""


@dataclass(frozen=True, kw_only=True)
class Reclaim(BaseStep, phase="mark", title="take back into service"):
    """Keep a machine that was being removed: correct its record and uncordon its node."""

    machine: MachineName


@dataclass(frozen=True, kw_only=True)
class Drain(BaseStep, phase="drain", title="cordon and drain"):
    """Cordon the Kubernetes node and evict its pods, respecting PodDisruptionBudgets.

    Where that fails, the node is uncordoned again and the error names what blocks.

    Attributes:
        delete_local_data: Whether pods with emptyDir volumes are evicted too, which loses what is in these.
        delete_bare: Whether pods that no controller manages are evicted too.
        detach_disks: Whether it may go on while disks of Kubernetes volumes stay attached; where the machine is not
            removed, they may anyway.
        timeout_s: For all evictions together, and then for volumes to be detached.
    """

    machine: MachineName
    delete_local_data: bool = False
    delete_bare: bool = False
    detach_disks: bool = False
    timeout_s: float = 300.0


@dataclass(frozen=True, kw_only=True)
class Uncordon(BaseStep, phase="uncordon", title="uncordon"):
    """Let pods be scheduled to the Kubernetes node again."""

    machine: MachineName


@dataclass(frozen=True, kw_only=True)
class DeleteKubeNode(BaseStep, phase="leave"):
    """Delete the Kubernetes node; `server`: with its etcd member, which k3s removes then."""

    machine: MachineName
    server: bool

    @property
    def title(self) -> str:
        """What a user reads while it runs."""
        return "leave etcd and Kubernetes" if self.server else "leave Kubernetes"


@dataclass(frozen=True, kw_only=True)
class RetireServer(BaseStep, phase="leave", title="stop k3s"):
    """Stop and disable k3s on a server that has left etcd, before its VM is destroyed."""

    machine: MachineName


@dataclass(frozen=True, kw_only=True)
class UpgradeK3s(BaseStep, phase="upgrade", title="upgrade to k3s {version}"):
    """Install another k3s version: binary, settings, restart, and wait for the unit to be active."""

    machine: MachineSpec
    version: str


@dataclass(frozen=True, kw_only=True)
class AwaitVersion(BaseStep, phase="ready", title="wait until Ready with {version}"):
    """Wait until the Kubernetes node is Ready with a kubelet of this version."""

    machine: MachineName
    version: str


@dataclass(frozen=True, kw_only=True)
class ApplySettings(BaseStep, phase="settings"):
    """Apply the inventory's settings on a machine: to its node and in its files; then restart k3s.

    Attributes:
        changes: What changes, in a few words each, to be shown; no secrets.
        stale_labels: Labels with their values that earlier settings gave its node: they are removed.
        stale_taints: Taints, likewise.
    """

    machine: MachineSpec
    changes: tuple[str, ...]
    stale_labels: tuple[tuple[str, str], ...] = ()
    stale_taints: tuple[Taint, ...] = ()

    @property
    def title(self) -> str:
        """What a user reads while it runs."""
        names = ", ".join(change.partition(":")[0] for change in self.changes)
        return f"restart k3s with new settings: {names}" if names else "restart k3s with the written settings"


@dataclass(frozen=True, kw_only=True)
class PrepareSystem(BaseStep, phase="system"):
    """Write files, install packages, load kernel modules and set sysctls; k3s is not restarted, no package removed.

    Attributes:
        differs: What was seen to differ on a machine that runs, to be shown; empty for one that joins.
    """

    machine: MachineName
    system: SystemSpec
    differs: tuple[Difference, ...] = ()

    @property
    def title(self) -> str:
        """What a user reads while it runs."""
        obsolete = tuple(each.name for each in self.differs if each.part is Part.OBSOLETE_FILE)
        other = tuple(str(each) for each in self.differs if each.part is not Part.OBSOLETE_FILE)
        wanted = (
            ("write", tuple(each.path for each in self.system.files)),
            ("install", self.system.packages),
            ("load", self.system.kernel_modules),
            ("set", tuple(f"{name}={value}" for name, value in self.system.sysctls)),
        )
        parts = (("apply", other), ("remove", obsolete)) if self.differs else wanted
        return "; ".join(f"{verb} {', '.join(names)}" for verb, names in parts if names)


@dataclass(frozen=True, kw_only=True)
class RunHooks(BaseStep, phase="hooks"):
    """Run hooks of the inventory on a machine, in order, those that have not run there with this content.

    Attributes:
        version: The machine's k3s version.
        in_turn: One machine at a time, and on no further one after a failure: they run in the cluster.
    """

    machine: MachineSpec
    hooks: tuple[HookSpec, ...]
    version: str
    in_turn: bool = False

    @property
    def title(self) -> str:
        """What a user reads while it runs."""
        return f"run the hook{'s' * (len(self.hooks) > 1)} {', '.join(each.name for each in self.hooks)}"


@dataclass(frozen=True, kw_only=True)
class MigrateToEtcd(BaseStep, phase="migrate", title="move sqlite to etcd"):
    """Migrate the only server from sqlite to embedded etcd: a restart with `cluster-init` (k3s 1.22.2 and newer)."""

    machine: MachineSpec


@dataclass(frozen=True, kw_only=True)
class ConfigureVip(BaseStep, phase="vip", title="set up the VIP"):
    """Set up keepalived on a server; its peers are the `servers` whose addresses are known now.

    `first`: wait until the API answers at the VIP.
    """

    machine: MachineName
    servers: tuple[MachineName, ...]
    first: bool


@dataclass(frozen=True, kw_only=True)
class SpreadVip(BaseStep, phase="vip", title="configure keepalived on the servers"):
    """Give every server's keepalived all others as peers."""

    servers: tuple[MachineName, ...]


@dataclass(frozen=True, kw_only=True)
class RemoveVip(BaseStep, phase="vip", title="remove the VIP"):
    """Stop the servers' keepalived: the inventory no longer has a VIP."""

    servers: tuple[MachineName, ...]


class Upload(StrEnum):
    """Whether a snapshot goes to the inventory's bucket too."""

    NO = "no"
    TRY = "try"
    """It does, and a bucket that fails is only a warning."""
    MUST = "must"


@dataclass(frozen=True, kw_only=True)
class TakeSnapshot(BaseStep, phase="snapshot", title="take the snapshot {name}"):
    """Take a snapshot of the cluster's data, on the server and, with `to`, in a local directory, mode 0600.

    Attributes:
        name: What the snapshot's name begins with.
        keep: How many of its kind the server keeps; older ones are removed, in the bucket too. None: all.
        keep_here: How many of its kind, of all servers, the local directory keeps. None: all.
    """

    machine: MachineName
    name: str
    to: Path | None = None
    upload: Upload = Upload.NO
    keep: int | None = None
    keep_here: int | None = None


@dataclass(frozen=True, kw_only=True)
class StopK3s(BaseStep, phase="stop", title="stop k3s"):
    """Stop k3s on a machine; pods keep running."""

    machine: MachineSpec


@dataclass(frozen=True, kw_only=True)
class RestoreSnapshot(BaseStep, phase="restore"):
    """Restore a snapshot on a server whose k3s is stopped: it serves again, as the only etcd member.

    Attributes:
        source: A snapshot's name on that server or in the inventory's bucket (`s3`), or a local file.
        folder: Where in the bucket, empty for its top.
    """

    machine: MachineSpec
    source: str | Path
    s3: bool = False
    folder: str = ""

    @property
    def title(self) -> str:
        """What a user reads while it runs."""
        name = self.source.name if isinstance(self.source, Path) else self.source
        return f"restore {name}"


@dataclass(frozen=True, kw_only=True)
class RejoinServer(BaseStep, phase="restore", title="join again with an empty data directory"):
    """Let a stopped server join again: its old data is deleted, it gets etcd's from the others."""

    machine: MachineSpec


@dataclass(frozen=True, kw_only=True)
class RotateToken(BaseStep, phase="rotate", title="replace the token"):
    """Replace the cluster's token; the state directory gets it, and the agents', before the cluster does."""

    machine: MachineSpec


@dataclass(frozen=True, kw_only=True)
class RenewToken(BaseStep, phase="rotate", title="restart with the new token"):
    """Restart a machine's k3s with the cluster's current token."""

    machine: MachineSpec


@dataclass(frozen=True, kw_only=True)
class SavePasswords(BaseStep, phase="rotate", title="save the passwords in the cluster's data"):
    """Save the passwords that a server was started with in the cluster's data: its next start is checked against it."""

    machine: MachineName


@dataclass(frozen=True, kw_only=True)
class SaveIdentity(BaseStep, phase="save", title="save the cluster's CAs and token"):
    """Save the cluster's CAs and token in the state directory, mode 0600, for a new server."""

    machine: MachineName


@dataclass(frozen=True, kw_only=True)
class NoteRebuild(BaseStep, phase="save", title="save what will be rebuilt"):
    """Note in the state directory that the machines are removed to rebuild the cluster, and how."""

    cluster: ClusterName
    note: str


@dataclass(frozen=True, kw_only=True)
class AdoptVm(BaseStep, phase="adopt", title="sign its record"):
    """Sign the record of a foreign VM, as the user has seen it."""

    machine: MachineName
    record: MachineRecord


@dataclass(frozen=True, kw_only=True)
class AuthorizeKey(BaseStep, phase="adopt", title="have it accept the SSH key"):
    """Authorize our SSH key on a machine that refuses it: its guest agent writes it.

    Attributes:
        new_key: The key is new, so that a machine that cannot be asked refuses it, too.
    """

    machine: MachineName
    new_key: bool = False


Day2Step = (
    AdoptVm
    | AuthorizeKey
    | MarkLeaving
    | RestoreMarks
    | Reclaim
    | Drain
    | Uncordon
    | DeleteKubeNode
    | RetireServer
    | UpgradeK3s
    | AwaitVersion
    | ApplySettings
    | PrepareSystem
    | RunHooks
    | MigrateToEtcd
    | ConfigureVip
    | SpreadVip
    | RemoveVip
    | TakeSnapshot
    | StopK3s
    | RestoreSnapshot
    | RejoinServer
    | RotateToken
    | RenewToken
    | SavePasswords
    | SaveIdentity
    | NoteRebuild
)
