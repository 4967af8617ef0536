"""The resources that the API serves: their table, their paths and their discovery."""

from __future__ import annotations

import urllib.parse
from typing import NamedTuple

from ..failures import ApiError
from ..shapes import Obj

OWN_GROUPS = ("helm.cattle.io", "k3s.cattle.io")
"""The groups of k3s's own custom kinds."""
VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]


class Resource(NamedTuple):
    """One kind of object."""

    plural: str
    kind: str
    group_version: str
    namespaced: bool
    short: tuple[str, ...] = ()
    status: bool = False
    """Whether it has the subresource `status`."""
    counts: bool = False
    """Whether its generation counts changes of the spec."""
    scales: bool = False
    """Whether it has the subresource `scale`."""
    categories: tuple[str, ...] = ()
    single: str = ""
    custom: bool = False

    @property
    def key(self) -> str:
        """Under which its objects are stored: groups other than the built-in ones may have plurals of these."""
        return f"{self.plural}.{self.group}" if self.custom else self.plural

    @property
    def by_schema(self) -> bool:
        """Whether a definition says what its objects are like."""
        return self.custom or self.group in OWN_GROUPS

    @property
    def group(self) -> str:
        return self.group_version.rpartition("/")[0]

    @property
    def version(self) -> str:
        return self.group_version.rpartition("/")[2]

    @property
    def singular(self) -> str:
        return self.single or self.kind.lower()

    @property
    def qualified(self) -> str:
        """The plural as messages name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def group_kind(self) -> str:
        """The kind as messages of refusals name it."""
        return f"{self.kind}.{self.group}" if self.group else self.kind

    def rows(self) -> list[Obj]:
        """Its rows in discovery: the resource and its subresources."""
        both = {"namespaced": self.namespaced, "kind": self.kind}
        row = {"name": self.plural, "singularName": self.singular, "verbs": VERBS, "shortNames": list(self.short)}
        row |= {"categories": list(self.categories)} if self.categories else {}
        part = {"singularName": "", "verbs": ["get", "patch", "update"]}
        rows = [both | row]
        rows += [both | part | {"name": f"{self.plural}/status"}] if self.status else []
        scale = {"name": f"{self.plural}/scale", "group": "autoscaling", "version": "v1", "kind": "Scale"}
        return rows + ([both | part | scale] if self.scales else [])


def _table(group_version: str, text: str) -> list[Resource]:
    """Resources of a group: plural, kind, short names, and marks: `n` namespaced, `s` has a status, `g` counts its
    generation, `c` has a scale, `a` is in the category `all`."""
    found = []
    for line in filter(None, text.split("\n")):
        plural, kind, marks, *short = line.split()
        found.append(
            Resource(plural, kind, group_version, "n" in marks, tuple(short), status="s" in marks, counts="g" in marks,
                     scales="c" in marks, categories=("all",) if "a" in marks else ())
        )  # fmt: skip
    return found


_ALL = [
    *_table("v1", """
configmaps ConfigMap n cm
endpoints Endpoints n ep
events Event n ev
limitranges LimitRange n limits
namespaces Namespace s ns
nodes Node s no
persistentvolumeclaims PersistentVolumeClaim ns pvc
persistentvolumes PersistentVolume s pv
pods Pod nsa po
resourcequotas ResourceQuota ns quota
secrets Secret n
serviceaccounts ServiceAccount n sa
services Service nsa svc
"""),
    *_table("admissionregistration.k8s.io/v1", """
mutatingwebhookconfigurations MutatingWebhookConfiguration g
validatingadmissionpolicies ValidatingAdmissionPolicy sg
validatingadmissionpolicybindings ValidatingAdmissionPolicyBinding g
validatingwebhookconfigurations ValidatingWebhookConfiguration g
"""),
    *_table("apiextensions.k8s.io/v1", """
customresourcedefinitions CustomResourceDefinition sg crd crds
"""),
    *_table("apiregistration.k8s.io/v1", """
apiservices APIService s
"""),
    *_table("apps/v1", """
controllerrevisions ControllerRevision n
daemonsets DaemonSet nsga ds
deployments Deployment nsgca deploy
replicasets ReplicaSet nsgca rs
statefulsets StatefulSet nsgca sts
"""),
    *_table("autoscaling/v2", """
horizontalpodautoscalers HorizontalPodAutoscaler nsa hpa
"""),
    *_table("batch/v1", """
cronjobs CronJob nsga cj
jobs Job nsga
"""),
    *_table("certificates.k8s.io/v1", """
certificatesigningrequests CertificateSigningRequest s csr
"""),
    *_table("coordination.k8s.io/v1", """
leases Lease n
"""),
    *_table("discovery.k8s.io/v1", """
endpointslices EndpointSlice n
"""),
    *_table("networking.k8s.io/v1", """
ingressclasses IngressClass g
ingresses Ingress nsg ing
networkpolicies NetworkPolicy ng netpol
"""),
    *_table("node.k8s.io/v1", """
runtimeclasses RuntimeClass x
"""),
    *_table("policy/v1", """
poddisruptionbudgets PodDisruptionBudget nsg pdb
"""),
    *_table("rbac.authorization.k8s.io/v1", """
clusterrolebindings ClusterRoleBinding x
clusterroles ClusterRole x
rolebindings RoleBinding n
roles Role n
"""),
    *_table("scheduling.k8s.io/v1", """
priorityclasses PriorityClass x pc
"""),
    *_table("storage.k8s.io/v1", """
csidrivers CSIDriver x
csinodes CSINode x
storageclasses StorageClass x sc
volumeattachments VolumeAttachment s
"""),
    *_table("helm.cattle.io/v1", """
helmchartconfigs HelmChartConfig ng hcc
helmcharts HelmChart nsg hc
"""),
    *_table("k3s.cattle.io/v1", """
addons Addon ng
etcdsnapshotfiles ETCDSnapshotFile x
"""),
]  # fmt: skip
RESOURCES = {resource.plural: resource for resource in _ALL}
"""The built-in kinds by their plural."""


def resource_called(word: str) -> Resource | None:
    """By its plural, its singular or a short name, as kubectl takes them."""
    word = word.lower()
    return next((each for each in RESOURCES.values() if word in (each.plural, each.singular, *each.short)), None)


def not_found(resource: Resource, name: str) -> ApiError:
    details = {"name": name, **({"group": resource.group} if resource.group else {}), "kind": resource.plural}
    return ApiError(404, "NotFound", f'{resource.qualified} "{name}" not found', details)


def whole(resource: Resource, obj: Obj) -> Obj:
    """An object with its kind and version, as the API answers it."""
    return {"kind": resource.kind, "apiVersion": resource.group_version, **obj}


class Target(NamedTuple):
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
