"""The roles that every cluster has (plugin/pkg/auth/authorizer/rbac/bootstrappolicy of Kubernetes)."""

from __future__ import annotations

from ...shapes import Obj

RBAC = "rbac.authorization.k8s.io"
READ = ["get", "list", "watch"]
WRITE = ["create", "delete", "deletecollection", "patch", "update"]
ALL = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
_WORKLOADS = "daemonsets daemonsets/status deployments deployments/scale deployments/status"
_SETS = "replicasets replicasets/scale replicasets/status"
_TUNNELS = "pods/attach pods/exec pods/portforward pods/proxy"
VIEW = (
    ("", """configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods replicationcontrollers
             replicationcontrollers/scale serviceaccounts services services/status""", READ),
    ("", """bindings limitranges namespaces/status pods/log pods/status replicationcontrollers/status resourcequotas
            resourcequotas/status""", READ),
    ("", "namespaces", READ),
    (" events.k8s.io", "events", READ),
    ("discovery.k8s.io", "endpointslices", READ),
    ("apps", f"""controllerrevisions {_WORKLOADS} {_SETS} statefulsets statefulsets/scale
                 statefulsets/status""", READ),
    ("autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status", READ),
    ("batch", "cronjobs cronjobs/status jobs jobs/status", READ),
    ("extensions", f"""{_WORKLOADS} ingresses ingresses/status networkpolicies {_SETS}
                       replicationcontrollers/scale""", READ),
    ("policy", "poddisruptionbudgets poddisruptionbudgets/status", READ),
    ("networking.k8s.io", "ingresses ingresses/status networkpolicies", READ),
    ("resource.k8s.io", "resourceclaims resourceclaims/status resourceclaimtemplates", READ),
)  # fmt: skip
EDIT = (
    ("", f"{_TUNNELS} secrets services/proxy", READ),
    ("", "serviceaccounts", ["impersonate"]),
    ("", f"pods {_TUNNELS}", WRITE),
    ("", "pods/eviction", ["create"]),
    ("", """configmaps persistentvolumeclaims replicationcontrollers replicationcontrollers/scale secrets
            serviceaccounts services services/proxy""", WRITE),
    ("", "serviceaccounts/token", ["create"]),
    (" events.k8s.io", "events", WRITE),
    ("apps", """daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale
                statefulsets statefulsets/scale""", WRITE),
    ("autoscaling", "horizontalpodautoscalers", WRITE),
    ("batch", "cronjobs jobs", WRITE),
    ("extensions", """daemonsets deployments deployments/rollback deployments/scale ingresses networkpolicies
                      replicasets replicasets/scale replicationcontrollers/scale""", WRITE),
    ("policy", "poddisruptionbudgets", WRITE),
    ("networking.k8s.io", "ingresses networkpolicies", WRITE),
    ("coordination.k8s.io", "leases", ALL),
    ("resource.k8s.io", "resourceclaims resourceclaimtemplates", WRITE),
)  # fmt: skip
ADMIN = (("authorization.k8s.io", "localsubjectaccessreviews", ["create"]), (RBAC, "rolebindings roles", ALL))
BASIC = (("authorization.k8s.io", "selfsubjectaccessreviews selfsubjectrulesreviews", ["create"]),
         ("authentication.k8s.io", "selfsubjectreviews", ["create"]))  # fmt: skip
DISCOVERY = "/api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/"
PUBLIC = "/healthz /livez /readyz /version /version/"
BOUND = {
    "cluster-admin": ["system:masters"], "system:basic-user": ["system:authenticated"],
    "system:discovery": ["system:authenticated"],
    "system:public-info-viewer": ["system:authenticated", "system:unauthenticated"],
}  # fmt: skip
Table = tuple[tuple[str, str, list[str]], ...]


def rules(table: Table) -> list[Obj]:
    """The rules of a table: API groups, resources, verbs."""
    return [{"apiGroups": groups.split(" "), "resources": names.split(), "verbs": verbs}
            for groups, names, verbs in table]  # fmt: skip


def urls(paths: str) -> list[Obj]:
    return [{"nonResourceURLs": paths.split(" "), "verbs": ["get"]}]


def role(name: str, own: list[Obj], *, part_of: str = "", sums_up: str = "") -> Obj:
    """A ClusterRole: with rules, or with those of all roles that have a label."""
    labels = {"kubernetes.io/bootstrapping": "rbac-defaults"}
    if part_of:
        labels[f"{RBAC}/aggregate-to-{part_of}"] = "true"
    result: Obj = {"metadata": {"name": name, "labels": labels, "annotations": {
        "rbac.authorization.kubernetes.io/autoupdate": "true"}}, "rules": own}  # fmt: skip
    if sums_up:
        selector = {"matchLabels": {f"{RBAC}/aggregate-to-{sums_up}": "true"}}
        result["aggregationRule"] = {"clusterRoleSelectors": [selector]}
    return result


def default_roles() -> list[Obj]:
    """The ClusterRoles of every cluster, as far as people are bound to them."""
    view, edit = rules(VIEW), rules(EDIT)
    everything = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}, {"nonResourceURLs": ["*"], "verbs": ["*"]}]
    return [
        role("cluster-admin", everything),
        role("admin", [*edit, *view, *rules(ADMIN)], sums_up="admin"),
        role("edit", [*edit, *view], part_of="admin", sums_up="edit"),
        role("view", view, part_of="edit", sums_up="view"),
        role("system:aggregate-to-admin", rules(ADMIN), part_of="admin"),
        role("system:aggregate-to-edit", edit, part_of="edit"),
        role("system:aggregate-to-view", view, part_of="view"),
        role("system:basic-user", rules(BASIC)),
        role("system:discovery", urls(DISCOVERY)),
        role("system:public-info-viewer", urls(PUBLIC)),
    ]


def default_bindings() -> list[Obj]:
    """Who has them."""
    found = []
    for name, groups in BOUND.items():
        subjects = [{"apiGroup": RBAC, "kind": "Group", "name": group} for group in groups]
        made = role(name, [])
        found.append({"metadata": made["metadata"], "subjects": subjects,
                      "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": name}})  # fmt: skip
    return found
