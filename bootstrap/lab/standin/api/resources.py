"""The resources that the API serves: their table, their paths and their discovery."""

from __future__ import annotations

import urllib.parse
from dataclasses import dataclass

from ..failures import ApiError, no_such_path
from ..shapes import Obj

VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
HAS_STATUS = {"namespaces", "nodes", "pods", "services", "daemonsets", "deployments", "replicasets", "statefulsets",
              "poddisruptionbudgets"}  # fmt: skip
# Resources whose generation counts changes of the spec.
HAS_GENERATION = {"daemonsets", "deployments", "replicasets", "statefulsets", "poddisruptionbudgets"}


@dataclass(frozen=True)
class Resource:
    """One kind of object."""

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

    def rows(self) -> list[Obj]:
        """Its rows in discovery: the resource and its status."""
        both = {"namespaced": self.namespaced, "kind": self.kind}
        row = {"name": self.plural, "singularName": self.singular, "verbs": VERBS, "shortNames": list(self.short)}
        status = {"name": f"{self.plural}/status", "singularName": "", "verbs": ["get", "patch", "update"]}
        return [both | row, both | status] if self.plural in HAS_STATUS else [both | row]


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
GROUP_VERSIONS = sorted({resource.group_version for resource in RESOURCES.values() if resource.group})
EVICTION = {"name": "pods/eviction", "singularName": "", "namespaced": True, "group": "policy", "version": "v1",
            "kind": "Eviction", "verbs": ["create"]}  # fmt: skip


def resource_called(word: str) -> Resource | None:
    """By its plural, its singular or a short name, as kubectl takes them."""
    word = word.lower()
    return next((each for each in RESOURCES.values() if word in (each.plural, each.singular, *each.short)), None)


def not_found(resource: Resource, name: str) -> ApiError:
    plural = resource.plural + (f".{resource.group}" if resource.group else "")
    return ApiError(404, "NotFound", f'{plural} "{name}" not found')


def whole(resource: Resource, obj: Obj) -> Obj:
    """An object with its kind and version, as the API answers it."""
    return {"kind": resource.kind, "apiVersion": resource.group_version, **obj}


def discovery(parts: list[str]) -> Obj:
    """/api, /apis and the lists below them; `parts` is the path split at its slashes."""
    group_version = "/".join(parts[1:])
    if parts == ["api"]:
        return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
    if parts == ["apis"]:
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [api_group(each) for each in GROUP_VERSIONS]}
    if parts[0] == "apis" and f"{group_version}/v1" in GROUP_VERSIONS:
        return {"kind": "APIGroup", "apiVersion": "v1", **api_group(f"{group_version}/v1")}
    return resource_list(group_version)


def resource_list(group_version: str) -> Obj:
    rows = [row for each in RESOURCES.values() if each.group_version == group_version for row in each.rows()]
    if not rows:
        raise no_such_path()
    if group_version == "v1":
        rows.append(EVICTION)
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": rows}


def api_group(group_version: str) -> Obj:
    group, _, version = group_version.rpartition("/")
    known = {"groupVersion": group_version, "version": version}
    return {"name": group, "versions": [known], "preferredVersion": known}


@dataclass(frozen=True)
class Target:
    """The object or list that a path below /api or /apis names."""

    resource: Resource
    ns: str
    name: str
    sub: str


def split_path(path: str) -> tuple[list[str], dict[str, str]]:
    """A path split at its slashes, and its query."""
    url = urllib.parse.urlsplit(path)
    parts = [urllib.parse.unquote(part) for part in url.path.split("/") if part]
    return parts, dict(urllib.parse.parse_qsl(url.query))


def parse_target(parts: list[str]) -> Target | None:
    """None for paths of discovery."""
    skip = 2 if parts[0] == "api" else 3
    group_version, rest = "/".join(parts[1:skip]), parts[skip:]
    if not rest:
        return None
    ns = ""
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] in RESOURCES:
        ns, rest = rest[1], rest[2:]
    plural, name, sub = [*rest, "", ""][:3]
    resource = RESOURCES.get(plural)
    if resource is None or resource.group_version != group_version or len(rest) > 3:
        raise no_such_path()
    return Target(resource, ns, name, sub)
