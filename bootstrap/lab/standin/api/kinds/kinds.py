"""Which kinds are served: their paths, their types and their discovery."""

from __future__ import annotations

from ...datastore.store import Store
from ...failures import no_such_path
from ...shapes import Obj
from ..resources import OWN_GROUPS, RESOURCES, Resource, Target
from ..types.types import Type, of_kind
from .custom import Custom, customs
from .own import own

EVICTION = {"name": "pods/eviction", "singularName": "", "namespaced": True, "group": "policy", "version": "v1",
            "kind": "Eviction", "verbs": ["create"]}  # fmt: skip
APPROVAL = {"name": "certificatesigningrequests/approval", "singularName": "", "namespaced": False,
            "kind": "CertificateSigningRequest", "verbs": ["get", "patch", "update"]}  # fmt: skip
ACCESS = {
    "authorization.k8s.io/v1": (
        ("localsubjectaccessreviews", "LocalSubjectAccessReview", True),
        ("selfsubjectaccessreviews", "SelfSubjectAccessReview", False),
        ("selfsubjectrulesreviews", "SelfSubjectRulesReview", False),
        ("subjectaccessreviews", "SubjectAccessReview", False),
    ),
    "authentication.k8s.io/v1": (("selfsubjectreviews", "SelfSubjectReview", False),),
}
"""Kinds that are asked and not kept: plural, kind, namespaced."""


class Kinds:
    """The kinds that a server serves. Custom ones follow their definitions in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seen: int | None = None
        self._customs: dict[tuple[str, str], Custom] = {}

    def customs(self) -> dict[tuple[str, str], Custom]:
        """The custom kinds by group version and plural."""
        revision = self._store.touched.get("customresourcedefinitions", -1)
        if revision != self._seen:
            served = customs(self._store.all("customresourcedefinitions"))
            self._customs = {key: custom for key, custom in served.items() if custom.resource.group not in OWN_GROUPS}
            self._seen = revision
        return self._customs

    def find(self, group_version: str, plural: str) -> Resource | None:
        """The resource of this name in this group."""
        found = RESOURCES.get(plural)
        if found is not None and found.group_version == group_version:
            return found
        custom = self.customs().get((group_version, plural))
        return custom.resource if custom else None

    def type_of(self, resource: Resource) -> Type | None:
        """The type of its objects; None if nothing is known of it."""
        custom = self.custom(resource)
        return custom.type if custom else of_kind(resource.group_version, resource.kind)

    def custom(self, resource: Resource) -> Custom | None:
        """The custom kind that a resource is, one of k3s's own too."""
        return self.customs().get((resource.group_version, resource.plural)) if resource.custom else own(resource.key)

    def all(self) -> list[Resource]:
        return [*RESOURCES.values(), *(custom.resource for custom in self.customs().values())]

    def stored_as(self, key: str) -> Resource | None:
        """The resource whose objects have this key in the store."""
        return next((each for each in self.all() if each.key == key), None)

    def parse(self, parts: list[str]) -> Target | None:
        """What a path below /api or /apis names; None for paths of discovery."""
        skip = 2 if parts[0] == "api" else 3
        group_version, rest = "/".join(parts[1:skip]), parts[skip:]
        if not rest:
            return None
        ns = ""
        if rest[0] == "namespaces" and len(rest) > 2 and self.find(group_version, rest[2]):
            ns, rest = rest[1], rest[2:]
        plural, name, sub = [*rest, "", ""][:3]
        resource = self.find(group_version, plural)
        if resource is None or len(rest) > 3:
            raise no_such_path()
        return Target(resource, ns, name, sub)

    def discovery(self, parts: list[str]) -> Obj:
        """/api, /apis and the lists below them; `parts` is the path split at its slashes."""
        group_version = "/".join(parts[1:])
        if parts == ["api"]:
            return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
        if parts == ["apis"]:
            return {
                "kind": "APIGroupList",
                "apiVersion": "v1",
                "groups": [self._group(name) for name in self._groups()],
            }
        if parts[0] == "apis" and group_version in self._groups():
            return {"kind": "APIGroup", "apiVersion": "v1", **self._group(group_version)}
        rows = self._rows(group_version)
        if not rows:
            raise no_such_path()
        return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": rows}

    def group_versions(self) -> list[str]:
        """All group versions, without the core's."""
        return sorted({each.group_version for each in self.all() if each.group} | set(ACCESS))

    def _groups(self) -> list[str]:
        return sorted({each.rpartition("/")[0] for each in self.group_versions()})

    def _group(self, group: str) -> Obj:
        versions = [{"groupVersion": each, "version": each.rpartition("/")[2]} for each in self.group_versions()
                    if each.rpartition("/")[0] == group]  # fmt: skip
        return {"name": group, "versions": versions, "preferredVersion": versions[-1]}

    def _rows(self, group_version: str) -> list[Obj]:
        rows = [row for each in self.all() if each.group_version == group_version for row in each.rows()]
        rows += [EVICTION] if group_version == "v1" else []
        rows += [APPROVAL] if group_version == "certificates.k8s.io/v1" else []
        return rows + [{"name": plural, "singularName": kind.lower(), "namespaced": namespaced, "kind": kind,
                        "verbs": ["create"]} for plural, kind, namespaced in ACCESS.get(group_version, ())]  # fmt: skip

    def aggregated(self, parts: list[str]) -> Obj:
        """The same for /api and /apis in one answer, as kubectl asks for it (aggregated discovery, v2)."""
        versions: dict[str, list[str]] = {}
        for each in ["v1"] if parts == ["api"] else self.group_versions():
            versions.setdefault(each.rpartition("/")[0], []).append(each)
        items = [
            {"metadata": {"name": group, "creationTimestamp": None} if group else {"creationTimestamp": None},
             "versions": [self._aggregated_version(each) for each in reversed(names)]}
            for group, names in versions.items()
        ]  # fmt: skip
        return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}

    def _aggregated_version(self, group_version: str) -> Obj:
        found: dict[str, Obj] = {}
        for row in self._rows(group_version):
            plural, _, sub = row["name"].partition("/")
            if sub:
                found[plural].setdefault("subresources", []).append(
                    {"subresource": sub, "responseKind": kind_of(row, group_version), "verbs": row["verbs"]}
                )
                continue
            found[plural] = {
                "resource": plural, "responseKind": kind_of(row, group_version), "verbs": row["verbs"],
                "scope": "Namespaced" if row["namespaced"] else "Cluster", "singularResource": row["singularName"],
                **{name: row[name] for name in ("shortNames", "categories") if row.get(name)},
            }  # fmt: skip
        return {"version": group_version.rpartition("/")[2], "resources": list(found.values()), "freshness": "Current"}


def kind_of(row: Obj, group_version: str) -> Obj:
    group, _, version = group_version.rpartition("/")
    return {"group": row.get("group", group), "version": row.get("version", version), "kind": row["kind"]}
