"""The steps that keep a cluster: machines leave, k3s is upgraded, data is saved and brought back.

As in `steps`: frozen values that name machines and say what is to be true of them, never addresses or secrets.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from bootstrap.model.ids import ClusterName, MachineName
from bootstrap.model.machine import MachineRecord, MachineSpec, Taint
from bootstrap.planning.base_step import BaseStep


@dataclass(frozen=True, kw_only=True)
class MarkLeaving(BaseStep, phase="mark", title="mark as being removed"):
    """Have the machine's record say that it is being removed, so that the next command knows."""

    machine: MachineName


@dataclass(frozen=True, kw_only=True)
class RestoreMarks(BaseStep, phase="mark", title="restore name and tags"):
    """Have the VM's name and tags in Proxmox VE as the machine's record says."""

    machine: MachineName


@dataclass(frozen=True, kw_only=True)
class Reclaim(BaseStep, phase="mark", title="take back into service"):
    """Have a machine that was being removed back in service: its record says so, and it takes pods again."""

    machine: MachineName


@dataclass(frozen=True, kw_only=True)
class Drain(BaseStep, phase="drain", title="cordon and drain"):
    """Have the Kubernetes node cordoned and its pods evicted, PodDisruptionBudgets respected.

    Where that fails, the node is uncordoned again and the error names what blocks.

    Attributes:
        delete_local_data: Whether pods with emptyDir volumes may go, which loses what is in them.
        delete_bare: Whether pods that no controller brings back may go.
        timeout_s: For all evictions together.
    """

    machine: MachineName
    delete_local_data: bool = False
    delete_bare: bool = False
    timeout_s: float = 300.0


@dataclass(frozen=True, kw_only=True)
class Uncordon(BaseStep, phase="uncordon", title="uncordon"):
    """Have pods come to the Kubernetes node again."""

    machine: MachineName


@dataclass(frozen=True, kw_only=True)
class DeleteKubeNode(BaseStep, phase="leave"):
    """Have the Kubernetes node gone; `server`: and its etcd member, which k3s removes with it."""

    machine: MachineName
    server: bool

    @property
    def title(self) -> str:
        """What a user reads while it runs."""
        return "leave etcd and Kubernetes" if self.server else "leave Kubernetes"


@dataclass(frozen=True, kw_only=True)
class RetireServer(BaseStep, phase="leave", title="stop k3s"):
    """Have k3s stopped and disabled on a server that is no member of etcd any more, before its VM goes."""

    machine: MachineName


@dataclass(frozen=True, kw_only=True)
class UpgradeK3s(BaseStep, phase="upgrade", title="upgrade to k3s {version}"):
    """Have the machine run another k3s version: binary, settings, restart, and the unit active again."""

    machine: MachineSpec
    version: str


@dataclass(frozen=True, kw_only=True)
class AwaitVersion(BaseStep, phase="ready", title="wait until Ready with {version}"):
    """See the Kubernetes node Ready with a kubelet of this version."""

    machine: MachineName
    version: str


@dataclass(frozen=True, kw_only=True)
class ApplySettings(BaseStep, phase="settings"):
    """Have k3s of a machine run with the inventory's settings: on its node, in its files, and restarted with them.

    Attributes:
        changes: What becomes another, in a few words each, for showing; no secrets.
        stale_labels: Labels with the values that our earlier settings gave its node, to be removed.
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
class MigrateToEtcd(BaseStep, phase="migrate", title="move sqlite to etcd"):
    """Have the only server's sqlite data in embedded etcd: a restart with `cluster-init` (k3s 1.22.2 and newer)."""

    machine: MachineSpec


@dataclass(frozen=True, kw_only=True)
class ConfigureVip(BaseStep, phase="vip", title="set up the VIP"):
    """Have keepalived on a server; its peers are the `servers` whose addresses are known now.

    `first`: wait until the API answers at the VIP.
    """

    machine: MachineName
    servers: tuple[MachineName, ...]
    first: bool


@dataclass(frozen=True, kw_only=True)
class SpreadVip(BaseStep, phase="vip", title="configure keepalived on the servers"):
    """Have every server's keepalived know all the others."""

    servers: tuple[MachineName, ...]


@dataclass(frozen=True, kw_only=True)
class RemoveVip(BaseStep, phase="vip", title="remove the VIP"):
    """Have the servers' keepalived serve no VIP any more: the inventory has none."""

    servers: tuple[MachineName, ...]


class Upload(StrEnum):
    """Whether a snapshot goes to the inventory's bucket too."""

    NO = "no"
    TRY = "try"
    """It does, but a bucket that is in trouble keeps nothing up: that is a warning."""
    MUST = "must"


@dataclass(frozen=True, kw_only=True)
class TakeSnapshot(BaseStep, phase="snapshot", title="take the snapshot {name}"):
    """Have a new snapshot of the cluster's data, on the server and, with `to`, in a directory here, mode 0600.

    Attributes:
        name: What the snapshot's name begins with.
        keep: How many of its kind the server keeps; older ones are removed, in the bucket too. None: all.
    """

    machine: MachineName
    name: str
    to: Path | None = None
    upload: Upload = Upload.NO
    keep: int | None = None


@dataclass(frozen=True, kw_only=True)
class StopK3s(BaseStep, phase="stop", title="stop k3s"):
    """Have k3s stopped on a machine; pods go on running."""

    machine: MachineSpec


@dataclass(frozen=True, kw_only=True)
class RestoreSnapshot(BaseStep, phase="restore"):
    """Have the data of a snapshot on a server whose k3s is stopped, as the only etcd member, serving again.

    Attributes:
        source: A snapshot's name on that server or in the inventory's bucket (`s3`), or a file here.
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
    """Have a stopped server join again: its old data goes, etcd's comes from the others."""

    machine: MachineSpec


@dataclass(frozen=True, kw_only=True)
class RotateToken(BaseStep, phase="rotate", title="replace the token"):
    """Have the cluster's token replaced by a new one; the state directory has it, and the agents', before it does."""

    machine: MachineSpec


@dataclass(frozen=True, kw_only=True)
class RenewToken(BaseStep, phase="rotate", title="restart with the new token"):
    """Have a machine's k3s run with the cluster's token as it is now."""

    machine: MachineSpec


@dataclass(frozen=True, kw_only=True)
class SavePasswords(BaseStep, phase="rotate", title="save the passwords in the cluster's data"):
    """Have the passwords that a server was started with in the cluster's data, which its next start is held against."""

    machine: MachineName


@dataclass(frozen=True, kw_only=True)
class SaveIdentity(BaseStep, phase="save", title="save the cluster's CAs and token"):
    """Have the cluster's CAs and token in the state directory, mode 0600, for a server to come."""

    machine: MachineName


@dataclass(frozen=True, kw_only=True)
class NoteRebuild(BaseStep, phase="save", title="save what will be rebuilt"):
    """Have it noted in the state directory that the machines go so that the cluster is built again, and how."""

    cluster: ClusterName
    note: str


@dataclass(frozen=True, kw_only=True)
class AdoptVm(BaseStep, phase="adopt", title="sign its record"):
    """Have the record of a VM signed that was foreign, as the user has seen it."""

    machine: MachineName
    record: MachineRecord


@dataclass(frozen=True, kw_only=True)
class AuthorizeKey(BaseStep, phase="adopt", title="have it accept the SSH key"):
    """Have a machine that refuses our SSH key accept it: its guest agent writes it.

    Attributes:
        new_key: The key was made a moment ago, so that a machine that cannot be asked refuses it, too.
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
