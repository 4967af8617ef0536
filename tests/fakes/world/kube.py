"""Kubernetes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import yaml

from bootstrap.adapters.kube.nodes import FRESH_S
from bootstrap.errors import KubernetesError, KubeUnreachableError
from bootstrap.model.ids import MachineName
from bootstrap.model.machine import Taint
from bootstrap.model.observed import KubeNode, Pod, Refusal, Snapshot
from tests.fakes.world.objects import ObjectStore
from tests.fakes.world.users import FakeUsers

if TYPE_CHECKING:
    from tests.fakes.world.world import World


@dataclass
class FakeKubeApis:
    world: World

    def connect(self, kubeconfig: str) -> FakeKube:
        server = str(yaml.safe_load(kubeconfig)["clusters"][0]["cluster"]["server"])
        return FakeKube(self.world, IPv4Address(server.removeprefix("https://").rpartition(":")[0]))


@dataclass
class FakeKube:
    world: World
    address: IPv4Address

    def _check(self) -> None:
        self.world.settle()
        servers = [vm for vm in self.world.vms.values() if vm.running and vm.unit == "k3s"]
        if not any(vm.address == self.address for vm in servers):
            raise KubeUnreachableError(f"no Kubernetes API on {self.address}", details="Connection refused")
        with self.world.lock:
            if self.world.hiccups:
                self.world.hiccups -= 1
                raise KubeUnreachableError("the Kubernetes API is not ready", details="etcdserver: request timed out")

    @property
    def objects(self) -> ObjectStore:
        self.world.objects.check = self._check
        return self.world.objects

    @property
    def users(self) -> FakeUsers:
        self._check()
        return self.world.users_of_kube

    def ready(self) -> bool:
        return any(vm.running and vm.unit == "k3s" and vm.address == self.address for vm in self.world.vms.values())

    def kube_nodes(self) -> tuple[KubeNode, ...]:
        self._check()
        with self.world.lock:
            return tuple(self._seen(node) for node in self.world.kube_nodes.values())

    def _seen(self, node: KubeNode) -> KubeNode:
        age_s = self.world.lease_ages_s.get(node.name)
        if age_s is not None:
            stale = node.ready and age_s > FRESH_S
            return replace(node, ready=node.ready and not stale, stale=stale, lease_age_s=age_s)
        if not self.world.is_alive(node.name):
            return replace(node, ready=False, problem="its lease has expired")
        vm = self.world.vm_named(node.name)
        return node if vm is None or vm.alone else replace(node, renewed=self.world.now())

    def await_kube_node(
        self, name: MachineName, *, accept: Callable[[KubeNode | None], bool], timeout_s: float
    ) -> KubeNode | None:
        node = next((node for node in self.kube_nodes() if node.name == name), None)
        if not accept(node):
            self.world.clock.sleep(timeout_s)
        return node

    def set_kube_node_metadata(
        self,
        name: MachineName,
        *,
        labels: Mapping[str, str],
        taints: Iterable[Taint],
        stale_labels: Iterable[tuple[str, str]] = (),
        stale_taints: Iterable[Taint] = (),
    ) -> bool:
        self._check()
        with self.world.lock:
            node = self.world.kube_nodes[name]
            kept = {label for label in node.labels if label not in set(stale_labels) or label[0] in labels}
            after = replace(
                node,
                labels=tuple(sorted((dict(kept) | dict(labels)).items())),
                taints=tuple(sorted(({*node.taints} - {*stale_taints}) | {*taints})),
            )
            self.world.kube_nodes[name] = after
        return set(after.labels) != set(node.labels) or set(after.taints) != set(node.taints)

    def mark_settings(self, name: MachineName, *, pending: bool) -> None:
        self._check()
        with self.world.lock:
            node = self.world.kube_nodes.get(name)
            if node is not None:
                self.world.kube_nodes[name] = replace(node, settings_pending=pending)

    def set_kube_node_address(
        self, name: MachineName, address: IPv4Address, *, own: Collection[IPv4Address] = ()
    ) -> bool:
        self._check()
        with self.world.lock:
            node = self.world.kube_nodes.get(name)
            if node is None or node.address in (address, *own):
                return False
            self.world.kube_nodes[name] = replace(node, address=address)
        self.world.log(f"put right {name}")
        return True

    def delete_kube_node(self, name: MachineName, *, timeout_s: float) -> None:
        self._check()
        if name in self.world.kube_nodes:
            self.world.log(f"delete {name} through {self.address}")
        if name in self.world.held_nodes and self.world.is_alive(name):
            self.world.kube_nodes[name] = replace(self.world.kube_nodes[name], deleting=True)
            self.world.clock.sleep(timeout_s)
            return
        with self.world.lock:
            self.world.kube_nodes.pop(name, None)
            self.world.node_passwords.pop(name, None)

    def set_unschedulable(self, name: MachineName, *, unschedulable: bool) -> bool:
        self._check()
        with self.world.lock:
            node = self.world.kube_nodes.get(name)
            if node is None:
                raise KubernetesError("refused (HTTP 404)", details=f'nodes "{name}" not found')
            self.world.kube_nodes[name] = replace(node, unschedulable=unschedulable)
        if node.unschedulable != unschedulable:
            self.world.log(f"{'cordon' if unschedulable else 'uncordon'} {name}")
        return node.unschedulable != unschedulable

    def pods(self, *, on: MachineName) -> tuple[Pod, ...]:
        self._check()
        with self.world.lock:
            return self.world.workloads.on(on, self.world)

    def evict(self, pod: Pod) -> Refusal | None:
        self._check()
        with self.world.lock:
            return self.world.workloads.evict(pod, self.world)

    def snapshots(self) -> tuple[Snapshot, ...]:
        self._check()
        config = next((vm.files["config.yaml"] for vm in self.world.vms.values() if vm.unit == "k3s"), "{}")
        settings = yaml.safe_load(config)
        if not settings.get("etcd-s3"):
            return self.world.snapshots
        return (*self.world.snapshots, *self.world.datastore.records(settings.get("etcd-s3-folder", "")))

    def close(self) -> None:
        """Nothing is held."""
