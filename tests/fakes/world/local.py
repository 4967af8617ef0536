"""What is on the computer of the user, and what can be seen of the network from there."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING

from bootstrap.errors import ArtifactError, HomelabError, HypervisorError
from bootstrap.k3s.kubeconfig.entries import marks_of
from bootstrap.model.access.endpoint import PveEndpoint
from bootstrap.model.cluster import K3sSpec
from bootstrap.model.ids import ClusterName
from bootstrap.ports import Artifact, CertificateFacts, EndpointFacts, MergedKubeconfig, RemovedKubeconfig
from tests.fakes.world.facts import FINGERPRINT, VERSION

if TYPE_CHECKING:
    from tests.fakes.world.world import World


@dataclass
class FakeArtifacts:
    world: World

    def resolve(self, k3s: K3sSpec) -> str:
        version = k3s.version or self.world.channels.get(k3s.channel, VERSION)
        if k3s.artifacts is not None and version in self.world.gone_releases:
            raise ArtifactError(f"there is no k3s {version} in {k3s.artifacts}")
        return version

    def newest(self, k3s: K3sSpec, *, minor: str) -> str:
        if minor not in self.world.channels:
            raise ArtifactError(f"there is no k3s channel {minor!r}")
        return self.world.channels[minor]

    def _look(self, version: str) -> None:
        if self.world.no_release is not None:
            raise self.world.no_release
        if version in self.world.gone_releases:
            raise ArtifactError(f"there is no k3s {version}", details="HTTP 404 Not Found", resolution="look at it")

    def check(self, k3s: K3sSpec, *, version: str, arch: str) -> str:
        self._look(version)
        return "in the cache, with the right checksum"

    def fetch(self, k3s: K3sSpec, *, version: str, arch: str) -> Artifact:
        self._look(version)
        digest = hashlib.sha256(f"{version}/{arch}".encode()).hexdigest()
        self.world.releases[digest] = version
        return Artifact(version=version, arch=arch, binary=Path(__file__), sha256=digest)


@dataclass
class FakeKubeconfigs:
    world: World

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
        if create or name in self.world.kubeconfigs:
            self.world.kubeconfigs[name] = kubeconfig
        self.world.kubeconfig_switches += [name] if switch else []
        return MergedKubeconfig(path=path or Path("/home/user/.kube/config"), context=name)

    def remove(self, *, name: ClusterName, paths: Sequence[Path], known: Collection[str]) -> RemovedKubeconfig:
        ours = self.world.kubeconfigs.get(name)
        if ours is None or not marks_of(ours) <= set(known):
            return RemovedKubeconfig()
        del self.world.kubeconfigs[name]
        return RemovedKubeconfig(paths=(*paths, Path("/home/user/.kube/config"))[:1])


@dataclass
class FakeState:
    world: World

    def read(self, cluster: ClusterName, item: str) -> str | None:
        return self.world.state.get((cluster, item))

    def write(self, cluster: ClusterName, item: str, text: str) -> None:
        self.world.state[cluster, item] = text

    def put_first(self, cluster: ClusterName, item: str, text: str) -> str:
        self.world.state[cluster, item] = self.read(cluster, item) or text
        return self.world.state[cluster, item]

    def remove(self, cluster: ClusterName, item: str) -> None:
        self.world.state.pop((cluster, item), None)

    def path(self, cluster: ClusterName, item: str) -> Path:
        """Written out for real: a program is to read it."""
        path = self.world.directory / cluster / item
        text = self.read(cluster, item)
        if text is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return path

    def room_bytes(self) -> int:
        return self.world.state_room

    def clusters(self) -> tuple[ClusterName, ...]:
        return tuple(sorted({ClusterName(cluster) for cluster, _ in self.world.state}))

    def forget(self, cluster: ClusterName, *, keep: Collection[str] = ()) -> bool:
        keys = [key for key in self.world.state if key[0] == cluster and key[1] not in keep]
        for key in keys:
            del self.world.state[key]
        if not keep:  # what the cluster's records are sealed with goes with the rest
            self.world.keys.lose(cluster)
        return bool(keys)


@dataclass
class FakeProbes:
    world: World

    def endpoint(self, endpoint: PveEndpoint) -> EndpointFacts:
        if self.world.endpoint is None:
            raise HypervisorError("cannot reach Proxmox VE at 192.0.2.1:8006", details="timed out", resolution="check")
        return self.world.endpoint

    def certificate(self, address: IPv4Address, port: int) -> CertificateFacts:
        if self.world.api_days is None:
            raise HomelabError(f"{address}:{port} presents no certificate", details="Connection refused")
        return CertificateFacts(fingerprint=FINGERPRINT, days_left=self.world.api_days)

    def resolve(self, name: str) -> tuple[IPv4Address, ...]:
        return self.world.dns.get(name, ())

    def answers(self, address: IPv4Address) -> bool:
        return address in self.world.answering


@dataclass
class FakeWays:
    world: World

    @property
    def direct(self) -> bool:
        return not self.world.jump

    def check(self, address: IPv4Address | None, port: int) -> str:
        if self.world.jump_problem is not None:
            raise self.world.jump_problem
        return self.world.jump

    def over(self, host: str) -> str:
        return self.world.jump

    def listen(self, host: str, port: int, *, local_port: int, tell: Callable[[str], None]) -> FakeTunnel:
        if self.world.jump_problem is not None:
            raise self.world.jump_problem
        self.world.log(f"tunnel to {host}:{port}")
        return FakeTunnel(self.world, local_port or 40000)


@dataclass
class FakeTunnel:
    """A tunnel that the user ends at once."""

    world: World
    port: int

    def hold(self, stop: threading.Event) -> None:
        raise KeyboardInterrupt

    def close(self) -> None:
        self.world.log("tunnel closed")


@dataclass
class FakeNotices:
    """Notices that were sent, and why others are not."""

    sent: list[tuple[str, str, str]] = field(default_factory=list)
    lack: str = ""
    refuses: dict[str, str] = field(default_factory=dict)

    def why_not(self) -> str:
        return self.lack

    def send(self, url: str, *, title: str, text: str) -> str:
        problem = self.lack or self.refuses.get(url, "")
        if not problem:
            self.sent.append((url, title, text))
        return problem


@dataclass
class FakeTimers:
    """Units by path, and the timers that are started."""

    lack: str = ""
    units: dict[Path, str] = field(default_factory=dict)
    started: set[str] = field(default_factory=set)

    def why_not(self) -> str:
        return self.lack

    def directory(self, *, system: bool) -> Path:
        return Path("/etc/systemd/system" if system else "/home/me/.config/systemd/user")

    def install(self, units: Mapping[str, str], *, timer: str, system: bool) -> None:
        self.units.update({self.directory(system=system) / name: text for name, text in units.items()})
        self.started.add(timer)

    def remove(self, units: Sequence[str], *, timer: str, system: bool) -> tuple[Path, ...]:
        there = [path for name in units if (path := self.directory(system=system) / name) in self.units]
        for path in there:
            del self.units[path]
        self.started.discard(timer)
        return tuple(there)
