"""What the library needs of this computer: files, processes, time, and looks at the network."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Protocol

from bootstrap.model.access.endpoint import PveEndpoint
from bootstrap.model.ids import ClusterName
from bootstrap.records.vms.seal import RecordKey


@dataclass(frozen=True, kw_only=True)
class MergedKubeconfig:
    """Our entries in a kubeconfig.

    Attributes:
        path: The file that they are in.
        context: What our context is called there.
        notes: What the user should know, a line each.
    """

    path: Path
    context: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RemovedKubeconfig:
    """The files that our entries were taken out of, and what the user should know, a line each."""

    paths: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()


class KubeconfigStore(Protocol):
    """The user's kubeconfig files.

    Ours is what has one of our marks (`bootstrap.k3s.kubeconfig.entries`), whatever it is called; entries of
    others are left, also those of our name.
    """

    def merge(
        self,
        kubeconfig: str,
        *,
        name: ClusterName,
        path: Path | None,
        known: Collection[str] = (),
        switch: bool = False,
        create: bool = True,
    ) -> MergedKubeconfig:
        """Put a kubeconfig's entries there as cluster, user and context `name`, or a free name where that is taken.

        Ours becomes the current context where our entries are new and the current one leads to no other cluster.

        Args:
            kubeconfig: YAML text with one cluster, user and context.
            name: What our entries are called unless others have that name.
            path: File to write, or None for those of `$KUBECONFIG`, else ~/.kube/config.
            known: Marks that our cluster had before.
            switch: Make ours the current context in any case.
            create: Have our entries there; else existing ones are renewed, and nothing is added.
        """
        ...

    def remove(self, *, name: ClusterName, paths: Sequence[Path], known: Collection[str]) -> RemovedKubeconfig:
        """Remove our entries, and what points to them.

        Args:
            name: What our entries are called unless others have that name.
            paths: Files that may have them besides those of `$KUBECONFIG`.
            known: The marks of our cluster.
        """
        ...


class StateStore(Protocol):
    """Secrets of one cluster, in the state directory, mode 0600. Everything in it can be recovered."""

    def read(self, cluster: ClusterName, item: str) -> str | None:
        """An item's text (`token`, `kubeconfig`, ...), or None."""
        ...

    def write(self, cluster: ClusterName, item: str, text: str) -> None:
        """Put an item there, atomically."""
        ...

    def put_first(self, cluster: ClusterName, item: str, text: str) -> str:
        """Put an item there unless there is one that says anything; the text that counts."""
        ...

    def remove(self, cluster: ClusterName, item: str) -> None:
        """Remove an item, if it is there."""
        ...

    def path(self, cluster: ClusterName, item: str) -> Path:
        """The file that an item is in, whether or not it is there; for programs that want a file."""
        ...

    def room_bytes(self) -> int:
        """How many bytes are free where items are, or would be."""
        ...

    def clusters(self) -> tuple[ClusterName, ...]:
        """The clusters that have items, by name."""
        ...

    def forget(self, cluster: ClusterName, *, keep: Collection[str] = ()) -> bool:
        """Remove a cluster's items but those to keep; whether there were any."""
        ...


class RecordKeys(Protocol):
    """The keys that this computer has to seal records in Proxmox VE with, and to check them."""

    def find(self, cluster: ClusterName) -> RecordKey | None:
        """A cluster's; None where this computer has none. Reads only."""
        ...

    def need(self, cluster: ClusterName) -> RecordKey:
        """A cluster's, made where there is none yet. Raises PreflightError where the SSH key's file is not there."""
        ...

    def locks(self, cluster: ClusterName) -> tuple[RecordKey, ...]:
        """The keys that a cluster's lock may be sealed with: its own, and those of templates. Reads only.

        A `down` that removes the cluster's key with its state seals the lock with one of templates before.
        """
        ...

    def templates(self) -> tuple[RecordKey, ...]:
        """The keys that records of templates may be sealed with, first the one for new records. Reads only.

        Templates serve several clusters and outlive them: where the inventory names an SSH key it follows from that,
        else it is the home's own.
        """
        ...

    def for_templates(self) -> RecordKey:
        """The first of them, made where there is none yet."""
        ...


@dataclass(frozen=True, kw_only=True)
class Process:
    """A process, as others can recognise it.

    Attributes:
        who: `user@host`.
        mark: Distinguishes it from all other processes there ever were on its host; empty where that is not known.
    """

    who: str
    pid: int
    mark: str


class Processes(Protocol):
    """This process, and others of this machine."""

    def this(self) -> Process:
        """The process we are."""
        ...

    def state(self, mark: str) -> bool | None:
        """Whether the process of a mark lives; None where that is not known here (another machine's)."""
        ...

    def utc_text(self) -> str:
        """The wall clock, such as `2025-03-01 12:00:00 UTC`."""
        ...

    def unix_s(self) -> float:
        """The wall clock as Unix seconds."""
        ...


@dataclass(frozen=True, kw_only=True)
class CertificateFacts:
    """A certificate that a server shows.

    Attributes:
        fingerprint: SHA-256, upper-case hex pairs with colons.
        days_left: Until it ends by our clock; negative when it has.
        trust: Why it is accepted, in a few words; empty where it is not.
        problem: Why it is not accepted, in TLS's words; empty where it is.
        remedy: What to do about the problem, where that is not to trust the certificate; empty where it is.
    """

    fingerprint: str
    days_left: float
    trust: str = ""
    problem: str = ""
    remedy: str = ""


@dataclass(frozen=True, kw_only=True)
class EndpointFacts:
    """Proxmox VE's endpoint, asked without the token.

    Attributes:
        clock_s: By how many seconds its clock is ahead of ours (whole seconds); None where it does not say.
    """

    certificate: CertificateFacts
    clock_s: float | None


class Probes(Protocol):
    """Looks at what answers on the network. Sends no secret, changes nothing."""

    def endpoint(self, endpoint: PveEndpoint) -> EndpointFacts:
        """Look at Proxmox VE's endpoint. Raises HypervisorError where nothing answers."""
        ...

    def certificate(self, address: IPv4Address, port: int) -> CertificateFacts:
        """The certificate shown there, its trust not judged. Raises HomelabError where none is."""
        ...

    def resolve(self, name: str) -> tuple[IPv4Address, ...]:
        """The IPv4 addresses that a name leads to from here, in order; none where it leads nowhere."""
        ...

    def answers(self, address: IPv4Address) -> bool:
        """Whether an address is in use, as far as that shows without root: by TCP port 22 and by ARP."""
        ...


class Clock(Protocol):
    """Time, so that waits can be tested."""

    def now_s(self) -> float:
        """Seconds of a monotonic clock."""
        ...

    def sleep(self, seconds: float) -> None:
        """Pause the calling thread."""
        ...
