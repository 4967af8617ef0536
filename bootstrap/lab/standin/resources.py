"""What the API serves, and its discovery."""

from __future__ import annotations

from dataclasses import dataclass

from .failures import ApiError
from .shapes import Obj


@dataclass(frozen=True)
class Resource:
    """One kind of object that is served."""

    plural: str
    kind: str
    group_version: str
    namespaced: bool
    short: tuple[str, ...] = ()

    @property
    def group(self) -> str:
        return self.group_version.rpartition("/")[0]

    @property
    def singular(self) -> str:
        return self.kind.lower()


RESOURCES = {
    resource.plural: resource
    for resource in (
        Resource("configmaps", "ConfigMap", "v1", True, ("cm",)),
        Resource("endpoints", "Endpoints", "v1", True, ("ep",)),
        Resource("events", "Event", "v1", True, ("ev",)),
        Resource("namespaces", "Namespace", "v1", False, ("ns",)),
        Resource("nodes", "Node", "v1", False, ("no",)),
        Resource("pods", "Pod", "v1", True, ("po",)),
        Resource("secrets", "Secret", "v1", True),
        Resource("serviceaccounts", "ServiceAccount", "v1", True, ("sa",)),
        Resource("services", "Service", "v1", True, ("svc",)),
        Resource("daemonsets", "DaemonSet", "apps/v1", True, ("ds",)),
        Resource("deployments", "Deployment", "apps/v1", True, ("deploy",)),
        Resource("replicasets", "ReplicaSet", "apps/v1", True, ("rs",)),
        Resource("statefulsets", "StatefulSet", "apps/v1", True, ("sts",)),
        Resource("leases", "Lease", "coordination.k8s.io/v1", True),
        Resource("poddisruptionbudgets", "PodDisruptionBudget", "policy/v1", True, ("pdb",)),
        Resource("etcdsnapshotfiles", "ETCDSnapshotFile", "k3s.cattle.io/v1", False),
    )
}
VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
HAS_STATUS = {"namespaces", "nodes", "pods", "services", "daemonsets", "deployments", "replicasets", "statefulsets",
              "poddisruptionbudgets"}  # fmt: skip
# Their generation counts the changes of their spec.
HAS_GENERATION = {"daemonsets", "deployments", "replicasets", "statefulsets", "poddisruptionbudgets"}


def not_found(resource: Resource, name: str) -> ApiError:
    plural = resource.plural + (f".{resource.group}" if resource.group else "")
    return ApiError(404, "NotFound", f'{plural} "{name}" not found')


def whole(resource: Resource, obj: Obj) -> Obj:
    """An object as it is answered."""
    return {"kind": resource.kind, "apiVersion": resource.group_version, **obj}


def discovery(parts: list[str]) -> Obj:
    """/api, /apis and the lists below them; `parts` is the path split at its slashes."""
    groups = sorted({r.group_version for r in RESOURCES.values() if r.group})
    if parts == ["api"]:
        return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
    if parts == ["apis"]:
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [api_group(g) for g in groups]}
    group_version = "/".join(parts[1:])
    if parts[0] == "apis" and len(parts) == 2 and any(g.startswith(f"{parts[1]}/") for g in groups):
        return {"kind": "APIGroup", "apiVersion": "v1", **api_group(f"{parts[1]}/v1")}
    rows = []
    for resource in RESOURCES.values():
        if resource.group_version == group_version:
            row = {"name": resource.plural, "singularName": resource.singular, "namespaced": resource.namespaced,
                   "kind": resource.kind, "verbs": VERBS, "shortNames": list(resource.short)}  # fmt: skip
            rows.append(row)
            if resource.plural in HAS_STATUS:
                rows.append(
                    {
                        "name": f"{resource.plural}/status",
                        "singularName": "",
                        "namespaced": resource.namespaced,
                        "kind": resource.kind,
                        "verbs": ["get", "patch", "update"],
                    }
                )
    if group_version == "v1":
        rows.append({"name": "pods/eviction", "singularName": "", "namespaced": True, "group": "policy",
                     "version": "v1", "kind": "Eviction", "verbs": ["create"]})  # fmt: skip
    if not rows:
        raise ApiError(404, "NotFound", "the server could not find the requested resource")
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": rows}


def api_group(group_version: str) -> Obj:
    version = {"groupVersion": group_version, "version": group_version.rpartition("/")[2]}
    return {"name": group_version.rpartition("/")[0], "versions": [version], "preferredVersion": version}


@dataclass(frozen=True)
class Target:
    """What a path below /api or /apis names."""

    resource: Resource
    ns: str
    name: str
    sub: str


def parse_target(parts: list[str]) -> Target | None:
    """None where the path is one of discovery's."""
    skip = 2 if parts[0] == "api" else 3
    group_version, rest = "/".join(parts[1:skip]), parts[skip:]
    if not rest:
        return None
    ns = ""
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] in RESOURCES:
        ns, rest = rest[1], rest[2:]
    resource = RESOURCES.get(rest[0])
    if resource is None or resource.group_version != group_version or len(rest) > 3:
        raise ApiError(404, "NotFound", "the server could not find the requested resource")
    return Target(resource, ns, rest[1] if len(rest) > 1 else "", rest[2] if len(rest) > 2 else "")
