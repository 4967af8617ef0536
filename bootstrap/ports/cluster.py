"""What the library needs of Kubernetes and of k3s's releases."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Protocol

from bootstrap.model.cluster import K3sSpec
from bootstrap.model.ids import MachineName
from bootstrap.model.machine import Taint
from bootstrap.model.observed import KubeNode, Pod, Refusal, Snapshot
from bootstrap.ports.manifests import KubeObjects
from bootstrap.ports.users import KubeUsers


class KubeApi(Protocol):
    """The Kubernetes API of one cluster."""

    @property
    def objects(self) -> KubeObjects:
        """Its objects of any kind."""
        ...

    @property
    def users(self) -> KubeUsers:
        """Users with kubeconfigs of their own."""
        ...

    def ready(self) -> bool:
        """Whether `/readyz` answers `ok`; False where nothing answers at all. Raises KubernetesError on 401/403."""
        ...

    def kube_nodes(self) -> tuple[KubeNode, ...]:
        """List the nodes. Raises KubeUnreachableError."""
        ...

    def await_kube_node(
        self, name: MachineName, *, accept: Callable[[KubeNode | None], bool], timeout_s: float
    ) -> KubeNode | None:
        """Wait until `accept` is true of the node (None: not registered), fed by one shared watch.

        Returns the last state seen once accepted, or when `timeout_s` has passed (the caller checks again).
        """
        ...

    def set_kube_node_metadata(
        self,
        name: MachineName,
        *,
        labels: Mapping[str, str],
        taints: Iterable[Taint],
        stale_labels: Iterable[tuple[str, str]] = (),
        stale_taints: Iterable[Taint] = (),
    ) -> bool:
        """Make sure these labels and taints are on the node; whether anything changed.

        Others stay. Stale ones are taken off; a label whose value was changed stays.
        """
        ...

    def mark_settings(self, name: MachineName, *, pending: bool) -> None:
        """Note on a node that its k3s is given other settings, or that it runs with them; without a node, do nothing.

        It is read with the nodes (`KubeNode.settings_pending`): the machine's files then show what is left to do.
        """
        ...

    def set_kube_node_address(
        self, name: MachineName, address: IPv4Address, *, own: Collection[IPv4Address] = ()
    ) -> bool:
        """Set the address that the node reports of the machine; whether anything changed, False without a node.

        The node of restored data, or of a machine that was off, has an old address, with which k3s does not start. One
        with another address of the machine's `own` is left as it is.
        """
        ...

    def delete_kube_node(self, name: MachineName, *, timeout_s: float) -> None:
        """Delete the node object and k3s's password of it, so that another machine can take the name.

        Waits `timeout_s` at most (a finalizer can hold a node); what is gone already is fine.
        """
        ...

    def set_unschedulable(self, name: MachineName, *, unschedulable: bool) -> bool:
        """Cordon a node or lift that; whether anything changed. Raises KubernetesError where there is no such node."""
        ...

    def pods(self, *, on: MachineName) -> tuple[Pod, ...]:
        """All pods of a node, of all namespaces. Raises KubeUnreachableError."""
        ...

    def evict(self, pod: Pod) -> Refusal | None:
        """Ask for an eviction, which respects PodDisruptionBudgets (policy/v1); None: taken, or it is gone already.

        Raises:
            KubernetesError: It failed otherwise.
        """
        ...

    def snapshots(self) -> tuple[Snapshot, ...]:
        """What k3s records of its etcd snapshots (ETCDSnapshotFile, k3s 1.29 and newer); may be empty."""
        ...

    def close(self) -> None:
        """End the watch."""
        ...


class KubeApis(Protocol):
    """Connects to Kubernetes."""

    def connect(self, kubeconfig: str) -> KubeApi:
        """A client for the (only) context of a kubeconfig, as YAML text. Does not talk to it yet."""
        ...


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A k3s binary at hand.

    Attributes:
        version: What `k3s --version` will say, `vX.Y.Z+k3sN`.
        arch: `amd64` or `arm64`.
        binary: Path of the verified file here.
        sha256: Its checksum in lower-case hex.
        images: Verified air-gap image archives, if there are any.
    """

    version: str
    arch: str
    binary: Path
    sha256: str
    images: tuple[Path, ...] = ()


class ArtifactSource(Protocol):
    """Where k3s comes from."""

    def resolve(self, k3s: K3sSpec) -> str:
        """The version `k3s` means: as given, of its artifact directory, or what its channel points to now.

        Raises:
            ArtifactError: That cannot be known, or the artifact directory does not hold it.
        """
        ...

    def newest(self, k3s: K3sSpec, *, minor: str) -> str:
        """The newest release of a minor version (`v1.34`) that is available.

        Raises:
            ArtifactError: There is none.
        """
        ...

    def fetch(self, k3s: K3sSpec, *, version: str, arch: str) -> Artifact:
        """Make a release's files available here, once (cached); the checksum is checked every time.

        Raises:
            ArtifactError: Not there, not reachable, or the wrong checksum.
        """
        ...

    def check(self, k3s: K3sSpec, *, version: str, arch: str) -> str:
        """Whether `fetch` would do, short of a download: what was found, in a few words.

        Raises:
            ArtifactError: It would not.
        """
        ...
