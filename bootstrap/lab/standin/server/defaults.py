"""The objects that every cluster has."""

from __future__ import annotations

from ..api.access.roles import default_bindings, default_roles
from ..api.api import Api
from ..api.kinds.own import definitions
from ..shapes import Obj
from .settings import ServerSettings

ADD_ONS: dict[str, dict[str, list[Obj]]] = {
    "coredns": {"coredns": []},
    "local-storage": {"local-path-provisioner": []},
    "metrics-server": {"metrics-server": [{"name": "tmp-dir", "emptyDir": {}}]},
}
"""Packaged add-ons, present unless disabled: Deployments and the volumes of their pods."""


def add_on_of(name: str, volumes: list[Obj]) -> Obj:
    labels = {"k8s-app": name}
    control_plane = {"key": "node-role.kubernetes.io/control-plane", "operator": "Exists", "effect": "NoSchedule"}
    containers = [{"name": name, "image": f"rancher/{name}"}]
    pod = {"containers": containers, "tolerations": [control_plane], "volumes": volumes}
    template = {"metadata": {"labels": labels}, "spec": pod}
    return {"spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}}


def ensure(api: Api, path: str, name: str, obj: Obj) -> None:
    if api.call("GET", f"{path}/{name}")[0] == 404:
        api.call("POST", path, {"metadata": {"name": name}, **obj})


def ensure_defaults(settings: ServerSettings, api: Api, apiservers: list[str]) -> None:
    """Create the default objects; the endpoints have an address of each server."""
    api.seed([*(("clusterroles", each) for each in default_roles()),
              *(("clusterrolebindings", each) for each in default_bindings()),
              *(("customresourcedefinitions", each) for each in definitions())])  # fmt: skip
    for namespace in ("kube-system", "default", "kube-public", "kube-node-lease"):
        ensure(api, "/api/v1/namespaces", namespace, {})
    spec = {"clusterIP": "10.43.0.1", "type": "ClusterIP", "ports": [{"name": "https", "port": 443}]}
    ensure(api, "/api/v1/namespaces/default/services", "kubernetes", {"spec": spec})
    for add_on, names in ADD_ONS.items():
        if add_on not in settings.options.many("disable"):
            for name, volumes in names.items():
                ensure(api, "/apis/apps/v1/namespaces/kube-system/deployments", name, add_on_of(name, volumes))
    base = "/api/v1/namespaces/default/endpoints"
    ensure(api, base, "kubernetes", {})
    hosts = sorted({entry.rpartition(":")[0] for entry in apiservers})
    subset = {"addresses": [{"ip": host} for host in hosts], "ports": [{"name": "https", "port": settings.port}]}
    api.call("PATCH", f"{base}/kubernetes", {"subsets": [subset]}, "application/merge-patch+json")
