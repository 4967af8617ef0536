"""`bootstrap.ports.KubeApi` over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from ipaddress import IPv4Address
from urllib.parse import urlencode

from bootstrap.adapters.kube.credentials import parse_kubeconfig
from bootstrap.adapters.kube.http import Answer, KubeHttp
from bootstrap.adapters.kube.nodes import SeenNode, missing_metadata, moved, parse_node
from bootstrap.adapters.kube.objects import kube_object, note
from bootstrap.adapters.kube.pods import (
    PODS,
    SNAPSHOTS,
    budgets_of,
    budgets_path,
    eviction,
    has_cause,
    next_page,
    parse_pod,
    pod_path,
    refusal_text,
)
from bootstrap.adapters.kube.watch import NODES, Leases, NodeWatch
from bootstrap.errors import KubernetesError, KubeUnreachableError
from bootstrap.k3s.snapshot_files import parse_snapshots
from bootstrap.model.ids import MachineName
from bootstrap.model.machine import Taint
from bootstrap.model.observed import KubeNode
from bootstrap.model.reading import Reading, each
from bootstrap.model.workloads import Pod, Refusal, Snapshot

_FORBIDDEN = 403
_NOT_FOUND = 404
_CONFLICT = 409
_GONE = 410
_TOO_MANY = 429
_INTERNAL = 500
_ATTEMPTS = 10
_PAGE = 500
_MOST_PAGES = 100
SYSTEM_SECRETS = "/api/v1/namespaces/kube-system/secrets"
_MERGE = "application/merge-patch+json"


class KubernetesApis:
    """Connects to Kubernetes; implements `bootstrap.ports.KubeApis`."""

    def connect(self, kubeconfig: str) -> KubernetesApi:
        """A client for a kubeconfig's context. Nothing is sent yet. Raises KubernetesError for one that is no use."""
        return KubernetesApi(KubeHttp(parse_kubeconfig(kubeconfig)))


class KubernetesApi:
    """One cluster's API; implements `bootstrap.ports.KubeApi`."""

    def __init__(self, http: KubeHttp) -> None:
        self._http = http
        self._leases = Leases(http)
        self._watch = NodeWatch(http, self._leases)

    def ready(self) -> bool:
        """Whether `/readyz` answers `ok`; False where nothing answers. Raises KubernetesError where it refuses us."""
        try:
            return self._http.request("GET", "/readyz").text.strip() == "ok"
        except KubeUnreachableError:
            return False

    def kube_nodes(self) -> tuple[KubeNode, ...]:
        """List the nodes, sorted by name. Raises KubeUnreachableError, KubernetesError."""
        listing = kube_object(self._http.request("GET", NODES).object, what="list the Kubernetes nodes")
        self._leases.refresh()
        found = each(listing.at("items").items(optional=True), self._listed, note)
        return tuple(sorted(found, key=lambda kube_node: kube_node.name))

    def _listed(self, item: Reading) -> KubeNode:
        name = item.at("metadata").at("name").text()
        age_s, renewed = self._leases.age_s(name), self._leases.renewed(name)
        return parse_node(item.value, lease_age_s=age_s, renewed=renewed).kube_node

    def await_node(
        self, name: MachineName, *, accept: Callable[[KubeNode | None], bool], timeout_s: float
    ) -> KubeNode | None:
        """Wait for a node, see `bootstrap.ports.KubeApi.await_node`. Raises KubernetesError where it refuses us."""
        seen = self._watch.wait(name, lambda seen: accept(None if seen is None else seen.kube_node), timeout_s)
        return None if seen is None else seen.kube_node

    def set_node_metadata(
        self,
        name: MachineName,
        *,
        labels: Mapping[str, str],
        taints: Iterable[Taint],
        stale_labels: Iterable[tuple[str, str]] = (),
        stale_taints: Iterable[Taint] = (),
    ) -> bool:
        """Make sure labels and taints are on the node and stale ones are not, see `bootstrap.ports.KubeApi`.

        Raises:
            KubernetesError: There is no such node, or Kubernetes refuses a label or taint.
            KubeUnreachableError: No answer.
        """
        wanted, gone = tuple(taints), tuple(stale_taints)
        stale = tuple(stale_labels)
        path = f"{NODES}/{name}"
        for _ in range(_ATTEMPTS):
            node = self._http.request("GET", path).object
            patch = missing_metadata(node, labels=labels, taints=wanted, stale_labels=stale, stale_taints=gone)
            if patch is None:
                return False
            answer = self._http.request(
                "PATCH",
                path,
                body=patch,
                content_type=_MERGE,
                accepted=frozenset({_CONFLICT}),
            )
            if answer.status != _CONFLICT:
                return True
        raise KubernetesError(f"the node {name} changes too often to set its labels and taints", details=answer.text)

    def set_node_address(self, name: MachineName, address: IPv4Address, *, own: Collection[IPv4Address] = ()) -> bool:
        """Have the node tell an address, unless it tells one of `own`; whether anything changed, False without a node.

        Raises:
            KubernetesError: Refused.
            KubeUnreachableError: No answer.
        """
        path = f"{NODES}/{name}"
        found = self._http.request("GET", path, accepted=frozenset({_NOT_FOUND}))
        patches = None if found.status == _NOT_FOUND else moved(found.object, address, own=own)
        if patches is None:
            return False
        node, status = patches
        # The annotation first: the cloud controller would put the address of before back by it.
        self._http.request("PATCH", path, body=node, content_type=_MERGE)
        self._http.request("PATCH", f"{path}/status", body=status, content_type=_MERGE)
        return True

    def delete_kube_node(self, name: MachineName, *, timeout_s: float) -> None:
        """Delete the node object, wait until it is gone, `timeout_s` at most, and delete its password; gone is fine.

        A node that is there again under another identity counts as gone. The password's Secret has no owner until the
        node has registered: what fetched its configuration and came no further leaves it, and the next machine of
        that name would be rejected (k3s v1.36.3, observed).
        """
        self._delete_node(name, timeout_s=timeout_s)
        self._http.request("DELETE", f"{SYSTEM_SECRETS}/{name}.node-password.k3s", accepted=frozenset({_NOT_FOUND}))

    def _delete_node(self, name: MachineName, *, timeout_s: float) -> None:
        path = f"{NODES}/{name}"
        found = self._http.request("GET", path, accepted=frozenset({_NOT_FOUND}))
        if found.status == _NOT_FOUND:
            return
        uid = kube_object(found.object, what=f"delete the node {name}").at("metadata").at("uid").text("")
        self._http.request("DELETE", path, accepted=frozenset({_NOT_FOUND}))

        def gone(seen: SeenNode | None) -> bool:
            return seen is None or seen.uid != uid

        if timeout_s > 0:
            self._watch.wait(name, gone, timeout_s)

    def set_unschedulable(self, name: MachineName, *, unschedulable: bool) -> bool:
        """Cordon a node or lift that; whether anything changed.

        Raises:
            KubernetesError: There is no such node.
            KubeUnreachableError: No answer.
        """
        path = f"{NODES}/{name}"
        spec = kube_object(self._http.request("GET", path).object, what=f"read the node {name}").at("spec")
        if spec.at("unschedulable").flag() == unschedulable:
            return False
        # Without a version: whatever else changes meanwhile, this one key is ours to set.
        self._http.request("PATCH", path, body={"spec": {"unschedulable": unschedulable}}, content_type=_MERGE)
        return True

    def pods(self, *, on: MachineName) -> tuple[Pod, ...]:
        """All pods of a node, sorted by namespace and name. Raises KubeUnreachableError, KubernetesError."""
        for _ in range(_ATTEMPTS):
            items = self._pages(PODS, {"fieldSelector": f"spec.nodeName={on}", "limit": str(_PAGE)})
            if items is not None:
                return tuple(sorted(map(parse_pod, items), key=lambda pod: (pod.namespace, pod.name)))
        raise KubernetesError(f"the pods of {on} cannot be listed", details="each listing expired before its end")

    def _pages(self, path: str, query: Mapping[str, str]) -> list[object] | None:
        """A list's objects, part by part; None where it expired (410) and is to be begun anew.

        Raises:
            KubernetesError: It has no end.
        """
        items: list[object] = []
        token = ""
        for _ in range(_MOST_PAGES):
            part = {**query, "continue": token} if token else dict(query)
            answer = self._http.request("GET", f"{path}?{urlencode(part)}", accepted=frozenset({_GONE}))
            if answer.status == _GONE:
                return None
            listing = kube_object(answer.object, what="list objects")
            items.extend(item.value for item in listing.at("items").items(optional=True))
            token = next_page(listing.value)
            if not token:
                return items
        raise KubernetesError(f"the list at {path} has no end", details=f"{len(items)} objects were told")

    def evict(self, pod: Pod) -> Refusal | None:
        """Ask for an eviction, see `bootstrap.ports.KubeApi.evict`. Of a pod of another uid nothing is asked.

        Raises:
            KubernetesError: It was refused for good.
            KubeUnreachableError: No answer.
        """
        answer = self._http.request(
            "POST",
            f"{pod_path(pod)}/eviction",
            body=eviction(pod),
            accepted=frozenset({_FORBIDDEN, _NOT_FOUND, _CONFLICT, _TOO_MANY, _INTERNAL}),
        )
        # A conflict is a uid that is not the one asked for: that pod is gone.
        if answer.status < 300 or answer.status in (_NOT_FOUND, _CONFLICT):
            return None
        if answer.status == _TOO_MANY:
            return self._refusal(pod, answer)
        if answer.status == _FORBIDDEN and has_cause(answer.object, "NamespaceTerminating"):
            # Whoever deletes the namespace deletes the pod; nothing may be made there any more, not even an eviction.
            return Refusal(budgets=(), message=refusal_text(answer.object))
        if answer.status == _INTERNAL:
            refusal = self._refusal(pod, answer)
            if refusal is not None and len(refusal.budgets) > 1:
                return refusal  # The API evicts no pod that two budgets select, and says so with a 500.
        self._http.check(answer)
        return None

    def _refusal(self, pod: Pod, answer: Answer) -> Refusal | None:
        """A refusal with the budgets that select the pod; None where the pod is gone meanwhile."""
        found = self._http.request("GET", pod_path(pod), accepted=frozenset({_NOT_FOUND}))
        if found.status == _NOT_FOUND or parse_pod(found.object).uid != pod.uid:
            return None
        budgets = self._http.request("GET", budgets_path(pod.namespace)).object
        return Refusal(budgets=budgets_of(found.object, budgets), message=refusal_text(answer.object))

    def snapshots(self) -> tuple[Snapshot, ...]:
        """What k3s tells of its snapshots, oldest first; empty where it tells none (sqlite, k3s before 1.29)."""
        answer = self._http.request("GET", SNAPSHOTS, accepted=frozenset({_NOT_FOUND}))
        if answer.status == _NOT_FOUND:
            return ()
        found = parse_snapshots(answer.object)
        return tuple(sorted(found, key=lambda snapshot: (snapshot.made is not None, snapshot.made, snapshot.name)))

    def close(self) -> None:
        """End the watch and the connections. Safe to call twice."""
        self._watch.close()
        self._http.close()
