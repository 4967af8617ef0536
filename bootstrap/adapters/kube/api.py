"""`bootstrap.ports.KubeApi` over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from bootstrap.adapters.kube.credentials import parse_kubeconfig
from bootstrap.adapters.kube.http import KubeHttp
from bootstrap.adapters.kube.nodes import SeenNode, missing_metadata, parse_node
from bootstrap.adapters.kube.watch import NODES, Leases, NodeWatch
from bootstrap.errors import KubernetesError, KubeUnreachableError
from bootstrap.model.ids import MachineName
from bootstrap.model.machine import Taint
from bootstrap.model.observed import KubeNode

_CONFLICT = 409
_NOT_FOUND = 404
_ATTEMPTS = 10


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
        items = self._http.request("GET", NODES).object.get("items") or ()
        self._leases.refresh()
        nodes = (
            parse_node(item, lease_age_s=self._leases.age_s(str(item["metadata"]["name"]))).kube_node for item in items
        )
        return tuple(sorted(nodes, key=lambda kube_node: kube_node.name))

    def await_node(
        self, name: MachineName, *, accept: Callable[[KubeNode | None], bool], timeout_s: float
    ) -> KubeNode | None:
        """Wait for a node, see `bootstrap.ports.KubeApi.await_node`. Raises KubernetesError where it refuses us."""
        seen = self._watch.wait(name, lambda seen: accept(None if seen is None else seen.kube_node), timeout_s)
        return None if seen is None else seen.kube_node

    def set_node_metadata(self, name: MachineName, *, labels: Mapping[str, str], taints: Iterable[Taint]) -> bool:
        """Make sure labels and taints are on the node; others stay. Whether anything changed.

        Raises:
            KubernetesError: There is no such node, or Kubernetes refuses a label or taint.
            KubeUnreachableError: No answer.
        """
        wanted = tuple(taints)
        path = f"{NODES}/{name}"
        for _ in range(_ATTEMPTS):
            patch = missing_metadata(self._http.request("GET", path).object, labels=labels, taints=wanted)
            if patch is None:
                return False
            answer = self._http.request(
                "PATCH",
                path,
                body=patch,
                content_type="application/merge-patch+json",
                accepted=frozenset({_CONFLICT}),
            )
            if answer.status != _CONFLICT:
                return True
        raise KubernetesError(f"the node {name} changes too often to set its labels and taints", details=answer.text)

    def delete_kube_node(self, name: MachineName, *, timeout_s: float) -> None:
        """Delete the node object and wait until it is gone, `timeout_s` at most; gone already is fine.

        A node that is there again under another identity counts as gone.
        """
        path = f"{NODES}/{name}"
        found = self._http.request("GET", path, accepted=frozenset({_NOT_FOUND}))
        if found.status == _NOT_FOUND:
            return
        uid = str((found.object.get("metadata") or {}).get("uid", ""))
        self._http.request("DELETE", path, accepted=frozenset({_NOT_FOUND}))

        def gone(seen: SeenNode | None) -> bool:
            return seen is None or seen.uid != uid

        if timeout_s > 0:
            self._watch.wait(name, gone, timeout_s)

    def close(self) -> None:
        """End the watch and the connections. Safe to call twice."""
        self._watch.close()
        self._http.close()
