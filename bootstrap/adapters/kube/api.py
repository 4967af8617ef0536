"""`bootstrap.ports.KubeApi` over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from bootstrap.adapters.first_page import Dial
from bootstrap.adapters.kube.answers import Answer, check
from bootstrap.adapters.kube.credentials import parse_kubeconfig
from bootstrap.adapters.kube.http import KubeHttp
from bootstrap.adapters.kube.manifests.objects import HttpKubeObjects
from bootstrap.adapters.kube.nodes import PENDING_ANNOTATION, missing_metadata, moved, parse_node
from bootstrap.adapters.kube.objects import kube_object, note
from bootstrap.adapters.kube.pods import (
    SNAPSHOTS,
    budgets_of,
    eviction,
    has_cause,
    next_page,
    parse_pod,
    refusal_text,
)
from bootstrap.adapters.kube.users import KubernetesUsers
from bootstrap.adapters.kube.watch import Leases, NodeWatch, list_nodes
from bootstrap.errors import KubernetesError, KubeUnreachableError
from bootstrap.k3s.snapshot_files import parse_snapshots
from bootstrap.model.ids import MachineName
from bootstrap.model.machine import Taint
from bootstrap.model.observed import KubeNode, Pod, Refusal, Snapshot
from bootstrap.model.reading import Reading, each

if TYPE_CHECKING:
    from bootstrap.adapters.kube.client import BoundedClient

_FORBIDDEN = 403
_NOT_FOUND = 404
_CONFLICT = 409
_GONE = 410
_TOO_MANY = 429
_INTERNAL = 500
_ATTEMPTS = 10
_PAGE = 500
_MOST_PAGES = 100
_MERGE = "application/merge-patch+json"
"""The client would send strategic merge patches: a taint list would be merged by key, and a stale one stay."""


class KubernetesApis:
    """Connects to Kubernetes; implements `bootstrap.ports.KubeApis`.

    Args:
        dial: The way there; None where it is always direct.
    """

    def __init__(self, dial: Dial | None = None) -> None:
        self._dial = dial

    def connect(self, kubeconfig: str) -> KubernetesApi:
        """A client for a kubeconfig's context. Sends nothing yet. Raises KubernetesError for an unusable one."""
        return KubernetesApi(KubeHttp(parse_kubeconfig(kubeconfig), self._dial))


class KubernetesApi:
    """One cluster's API; implements `bootstrap.ports.KubeApi`."""

    def __init__(self, http: KubeHttp) -> None:
        self._http = http
        self._leases = Leases(http)
        self._watch = NodeWatch(http, self._leases)
        self.objects = HttpKubeObjects(http)

    @property
    def _client(self) -> BoundedClient:
        return self._http.client

    @property
    def users(self) -> KubernetesUsers:
        """Users with kubeconfigs of their own."""
        return KubernetesUsers(self._http)

    def ready(self) -> bool:
        """Whether `/readyz` answers `ok`; False where nothing answers. Raises KubernetesError where it refuses."""
        try:
            return self._http.ask(self._client.get, "/readyz").text.strip() == "ok"
        except KubeUnreachableError:
            return False

    def kube_nodes(self) -> tuple[KubeNode, ...]:
        """List the nodes, sorted by name. Raises KubeUnreachableError, KubernetesError."""
        listing = list_nodes(self._http)
        self._leases.refresh()
        found = each(listing.at("items").items(optional=True), self._listed, note)
        return tuple(sorted(found, key=lambda kube_node: kube_node.name))

    def _listed(self, item: Reading) -> KubeNode:
        name = item.at("metadata").at("name").text()
        age_s, renewed = self._leases.age_s(name), self._leases.renewed(name)
        return parse_node(item.value, lease_age_s=age_s, renewed=renewed)

    def await_kube_node(
        self, name: MachineName, *, accept: Callable[[KubeNode | None], bool], timeout_s: float
    ) -> KubeNode | None:
        """See `bootstrap.ports.KubeApi.await_kube_node`. Raises KubernetesError where the API refuses us."""
        return self._watch.wait(name, accept, timeout_s)

    def set_kube_node_metadata(
        self,
        name: MachineName,
        *,
        labels: Mapping[str, str],
        taints: Iterable[Taint],
        stale_labels: Iterable[tuple[str, str]] = (),
        stale_taints: Iterable[Taint] = (),
    ) -> bool:
        """Set labels and taints, and remove stale ones, see `bootstrap.ports.KubeApi`.

        Raises:
            KubernetesError: There is no such node, or Kubernetes refuses a label or taint.
            KubeUnreachableError: No answer.
        """
        wanted, gone = tuple(taints), tuple(stale_taints)
        stale = tuple(stale_labels)
        core = self._client.core
        for _ in range(_ATTEMPTS):
            node = self._http.ask(core.read_node, name).object
            patch = missing_metadata(node, labels=labels, taints=wanted, stale_labels=stale, stale_taints=gone)
            if patch is None:
                return False
            answer = self._http.ask(core.patch_node, name, patch, _content_type=_MERGE, accepted=frozenset({_CONFLICT}))
            if answer.status != _CONFLICT:
                return True
        raise KubernetesError(
            f"the node {name} is changed too often by others to set its labels and taints", details=answer.text
        )

    def mark_settings(self, name: MachineName, *, pending: bool) -> None:
        """See `bootstrap.ports.KubeApi.mark_settings`. Raises KubernetesError, KubeUnreachableError."""
        patch = {"metadata": {"annotations": {PENDING_ANNOTATION: "true" if pending else None}}}
        change = self._client.core.patch_node
        self._http.ask(change, name, patch, _content_type=_MERGE, accepted=frozenset({_NOT_FOUND}))

    def set_kube_node_address(
        self, name: MachineName, address: IPv4Address, *, own: Collection[IPv4Address] = ()
    ) -> bool:
        """Set the node's address, unless it has one of `own`; whether anything changed, False without a node.

        Raises:
            KubernetesError: Refused.
            KubeUnreachableError: No answer.
        """
        core = self._client.core
        found = self._http.ask(core.read_node, name, accepted=frozenset({_NOT_FOUND}))
        patches = None if found.status == _NOT_FOUND else moved(found.object, address, own=own)
        if patches is None:
            return False
        node, status = patches
        # The annotation first: from it, the cloud controller would restore the previous address.
        self._http.ask(core.patch_node, name, node, _content_type=_MERGE)
        self._http.ask(core.patch_node_status, name, status, _content_type=_MERGE)
        return True

    def delete_kube_node(self, name: MachineName, *, timeout_s: float) -> None:
        """Delete the node object if it exists, wait up to `timeout_s` until it is gone, and delete its password.

        A node that has registered again with another uid counts as gone. The password's Secret has no owner until the
        node has registered: a machine that only fetched its configuration leaves it behind, and the next machine of
        that name would be rejected (k3s v1.36.3, observed).
        """
        self._delete_node(name, timeout_s=timeout_s)
        delete, password = self._client.core.delete_namespaced_secret, f"{name}.node-password.k3s"
        self._http.ask(delete, password, "kube-system", accepted=frozenset({_NOT_FOUND}))

    def _delete_node(self, name: MachineName, *, timeout_s: float) -> None:
        core = self._client.core
        found = self._http.ask(core.read_node, name, accepted=frozenset({_NOT_FOUND}))
        if found.status == _NOT_FOUND:
            return
        uid = kube_object(found.object, what=f"delete the node {name}").at("metadata").at("uid").text("")
        self._http.ask(core.delete_node, name, accepted=frozenset({_NOT_FOUND}))
        if timeout_s > 0:
            self._watch.wait(name, lambda seen: seen is None or seen.uid != uid, timeout_s)

    def set_unschedulable(self, name: MachineName, *, unschedulable: bool) -> bool:
        """Cordon or uncordon a node; whether anything changed.

        Raises:
            KubernetesError: There is no such node.
            KubeUnreachableError: No answer.
        """
        core = self._client.core
        spec = kube_object(self._http.ask(core.read_node, name).object, what=f"read the node {name}").at("spec")
        if spec.at("unschedulable").flag() == unschedulable:
            return False
        # Without a version: the patch sets only this key, whatever else changes at the same time.
        patch = {"spec": {"unschedulable": unschedulable}}
        self._http.ask(core.patch_node, name, patch, _content_type=_MERGE)
        return True

    def pods(self, *, on: MachineName) -> tuple[Pod, ...]:
        """All pods of a node, sorted by namespace and name. Raises KubeUnreachableError, KubernetesError."""
        for _ in range(_ATTEMPTS):
            items = self._pods(f"spec.nodeName={on}")
            if items is not None:
                return tuple(sorted(map(parse_pod, items), key=lambda pod: (pod.namespace, pod.name)))
        raise KubernetesError(f"the pods of {on} cannot be listed", details="each listing expired before its end")

    def _pods(self, field_selector: str) -> list[object] | None:
        """Pods, page by page; None where the list expired (410) and must be read again from the start.

        Raises:
            KubernetesError: There are too many pages.
        """
        items: list[object] = []
        page: dict[str, str] = {}
        list_pods = self._client.core.list_pod_for_all_namespaces
        for _ in range(_MOST_PAGES):
            answer = self._http.ask(
                list_pods, field_selector=field_selector, limit=_PAGE, accepted=frozenset({_GONE}), **page
            )
            if answer.status == _GONE:
                return None
            listing = kube_object(answer.object, what="list the pods")
            items.extend(item.value for item in listing.at("items").items(optional=True))
            token = next_page(listing.value)
            if not token:
                return items
            page = {"_continue": token}
        raise KubernetesError("the list of pods has no end", details=f"{len(items)} pods were listed")

    def evict(self, pod: Pod) -> Refusal | None:
        """Ask for an eviction, see `bootstrap.ports.KubeApi.evict`. A pod with another uid is left alone.

        Raises:
            KubernetesError: It was refused for good.
            KubeUnreachableError: No answer.
        """
        answer = self._http.ask(
            self._client.core.create_namespaced_pod_eviction,
            pod.name,
            pod.namespace,
            eviction(pod),
            accepted=frozenset({_FORBIDDEN, _NOT_FOUND, _CONFLICT, _TOO_MANY, _INTERNAL}),
        )
        # A conflict means another uid: the pod asked for is gone.
        if answer.status < 300 or answer.status in (_NOT_FOUND, _CONFLICT):
            return None
        if answer.status == _TOO_MANY:
            return self._refusal(pod, answer)
        if answer.status == _FORBIDDEN and has_cause(answer.object, "NamespaceTerminating"):
            # Deleting the namespace deletes the pod; no object can be created in it any more, not even an eviction.
            return Refusal(budgets=(), message=refusal_text(answer.object))
        if answer.status == _INTERNAL:
            refusal = self._refusal(pod, answer)
            if refusal is not None and len(refusal.budgets) > 1:
                return refusal  # The API evicts no pod that two budgets select, and says so with a 500.
        check(answer, server=self._http.server)
        return None

    def _refusal(self, pod: Pod, answer: Answer) -> Refusal | None:
        """A refusal with the budgets that select the pod; None where the pod is gone."""
        read_pod = self._client.core.read_namespaced_pod
        found = self._http.ask(read_pod, pod.name, pod.namespace, accepted=frozenset({_NOT_FOUND}))
        if found.status == _NOT_FOUND or parse_pod(found.object).uid != pod.uid:
            return None
        budgets = self._http.ask(self._client.policy.list_namespaced_pod_disruption_budget, pod.namespace)
        return Refusal(budgets=budgets_of(found.object, budgets.object), message=refusal_text(answer.object))

    def snapshots(self) -> tuple[Snapshot, ...]:
        """The snapshots that k3s reports, oldest first; none with sqlite, and before k3s 1.29."""
        list_objects = self._client.custom_objects.list_cluster_custom_object
        answer = self._http.ask(list_objects, *SNAPSHOTS, accepted=frozenset({_NOT_FOUND}))
        if answer.status == _NOT_FOUND:
            return ()
        found = parse_snapshots(answer.object)
        return tuple(sorted(found, key=lambda snapshot: (snapshot.made is not None, snapshot.made, snapshot.name)))

    def close(self) -> None:
        """End the watch and the connections. Safe to call twice."""
        self._watch.close()
        self._http.close()
