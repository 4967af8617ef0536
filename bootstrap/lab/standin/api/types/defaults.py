"""What the API server fills in when an object is written, by kind (pkg/apis/*/v1/defaults.go of Kubernetes)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...shapes import Obj

Fields = dict[str, Any]
RBAC = "rbac.authorization.k8s.io"
TEMPLATE: Fields = {"restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler",
                    "terminationGracePeriodSeconds": 30, "securityContext": {}}  # fmt: skip
CONTAINER: Fields = {
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
    "resources": {},
}
PROBE: Fields = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
MODES = ("secret", "configMap", "projected", "downwardAPI")
WEBHOOK: Fields = {"failurePolicy": "Fail", "matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {},
                   "timeoutSeconds": 10}  # fmt: skip


def put(obj: Obj, fields: Fields) -> None:
    """Set fields that are missing."""
    for name, value in fields.items():
        if obj.get(name) is None:
            obj[name] = dict(value) if isinstance(value, dict) else value


def each(obj: Obj, name: str) -> list[Obj]:
    """The objects in a list."""
    return [item for item in obj.get(name) or [] if isinstance(item, dict)]


def part(obj: Obj, *names: str) -> Obj:
    """A part of an object, made where it is missing."""
    for name in names:
        if obj.get(name) is None:
            obj[name] = {}
        obj = obj[name]
    return obj


def pull_policy(image: str) -> str:
    name, _, digest = image.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    return "Always" if not digest and tag in ("", "latest") else "IfNotPresent"


def container(obj: Obj) -> None:
    put(obj, CONTAINER | {"imagePullPolicy": pull_policy(obj.get("image") or "")})
    for port in each(obj, "ports"):
        put(port, {"protocol": "TCP"})
    for variable in each(obj, "env"):
        reference = (variable.get("valueFrom") or {}).get("fieldRef")
        if reference is not None:
            put(reference, {"apiVersion": "v1"})
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = obj.get(name)
        if probe is not None:
            put(probe, PROBE)
            if probe.get("httpGet") is not None:
                put(probe["httpGet"], {"path": "/", "scheme": "HTTP"})
            if probe.get("grpc") is not None:
                put(probe["grpc"], {"service": ""})


def volume(obj: Obj) -> None:
    if len(obj) == 1:
        obj["emptyDir"] = {}
    for name in MODES:
        if obj.get(name) is not None:
            put(obj[name], {"defaultMode": 420})
    if obj.get("hostPath") is not None:
        put(obj["hostPath"], {"type": ""})
    for source in each(obj.get("projected") or {}, "sources"):
        if source.get("serviceAccountToken") is not None:
            put(source["serviceAccountToken"], {"expirationSeconds": 3600})


def pod_spec(spec: Obj) -> None:
    put(spec, TEMPLATE)
    if spec.get("serviceAccountName"):
        put(spec, {"serviceAccount": spec["serviceAccountName"]})
    elif spec.get("serviceAccount"):
        put(spec, {"serviceAccountName": spec["serviceAccount"]})
    for name in ("initContainers", "containers"):
        for one in each(spec, name):
            container(one)
            if spec.get("hostNetwork"):
                for port in each(one, "ports"):
                    put(port, {"hostPort": port.get("containerPort")})
    for one in each(spec, "volumes"):
        volume(one)


def template_of(spec: Obj) -> None:
    pod_spec(part(spec, "template", "spec"))


def deployment(obj: Obj) -> None:
    spec = part(obj, "spec")
    put(spec, {"replicas": 1, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600})
    strategy = part(spec, "strategy")
    put(strategy, {"type": "RollingUpdate"})
    if strategy["type"] == "RollingUpdate":
        put(part(strategy, "rollingUpdate"), {"maxUnavailable": "25%", "maxSurge": "25%"})
    template_of(spec)


def daemon_set(obj: Obj) -> None:
    spec = part(obj, "spec")
    put(spec, {"revisionHistoryLimit": 10})
    strategy = part(spec, "updateStrategy")
    put(strategy, {"type": "RollingUpdate"})
    if strategy["type"] == "RollingUpdate":
        put(part(strategy, "rollingUpdate"), {"maxUnavailable": 1, "maxSurge": 0})
    template_of(spec)


def stateful_set(obj: Obj) -> None:
    spec = part(obj, "spec")
    put(spec, {"replicas": 1, "revisionHistoryLimit": 10, "podManagementPolicy": "OrderedReady"})
    put(part(spec, "persistentVolumeClaimRetentionPolicy"), {"whenDeleted": "Retain", "whenScaled": "Retain"})
    strategy = part(spec, "updateStrategy")
    put(strategy, {"type": "RollingUpdate"})
    if strategy["type"] == "RollingUpdate":
        put(part(strategy, "rollingUpdate"), {"partition": 0})
    template_of(spec)
    for claim in each(spec, "volumeClaimTemplates"):
        put(claim, {"apiVersion": "v1", "kind": "PersistentVolumeClaim"})
        volume_claim(claim)


def replica_set(obj: Obj) -> None:
    put(part(obj, "spec"), {"replicas": 1})
    if obj["spec"].get("template") is not None:
        template_of(obj["spec"])


def job_spec(spec: Obj) -> None:
    if spec.get("completions") is None and spec.get("parallelism") is None:
        put(spec, {"completions": 1})
    put(spec, {"parallelism": 1, "backoffLimit": 6, "completionMode": "NonIndexed", "suspend": False,
               "podReplacementPolicy": "TerminatingOrFailed"})  # fmt: skip
    template_of(spec)


def job(obj: Obj) -> None:
    job_spec(part(obj, "spec"))
    labels = obj["spec"]["template"].get("metadata", {}).get("labels")
    if labels and not obj.get("metadata", {}).get("labels"):
        part(obj, "metadata")["labels"] = dict(labels)


def cron_job(obj: Obj) -> None:
    put(part(obj, "spec"), {"concurrencyPolicy": "Allow", "suspend": False, "successfulJobsHistoryLimit": 3,
                            "failedJobsHistoryLimit": 1})  # fmt: skip
    pod_spec(part(obj, "spec", "jobTemplate", "spec", "template", "spec"))


def service(obj: Obj) -> None:
    spec = part(obj, "spec")
    put(spec, {"sessionAffinity": "None", "type": "ClusterIP"})
    if spec["sessionAffinity"] == "ClientIP":
        put(part(spec, "sessionAffinityConfig", "clientIP"), {"timeoutSeconds": 10800})
    if spec["type"] != "ExternalName":
        put(spec, {"internalTrafficPolicy": "Cluster"})
    if spec["type"] in ("NodePort", "LoadBalancer"):
        put(spec, {"externalTrafficPolicy": "Cluster"})
    if spec["type"] == "LoadBalancer":
        put(spec, {"allocateLoadBalancerNodePorts": True})
    for port in each(spec, "ports"):
        put(port, {"protocol": "TCP", "targetPort": port.get("port")})
    put(part(obj, "status"), {"loadBalancer": {}})


def volume_claim(obj: Obj) -> None:
    put(part(obj, "spec"), {"volumeMode": "Filesystem"})
    put(part(obj, "status"), {"phase": "Pending"})


def persistent_volume(obj: Obj) -> None:
    put(part(obj, "spec"), {"persistentVolumeReclaimPolicy": "Retain", "volumeMode": "Filesystem"})
    put(part(obj, "status"), {"phase": "Pending"})


def storage_class(obj: Obj) -> None:
    put(obj, {"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"})


def csi_driver(obj: Obj) -> None:
    put(part(obj, "spec"), {"attachRequired": True, "podInfoOnMount": False, "storageCapacity": False,
                            "fsGroupPolicy": "ReadWriteOnceWithFSType", "requiresRepublish": False,
                            "volumeLifecycleModes": ["Persistent"], "seLinuxMount": False})  # fmt: skip


def network_policy(obj: Obj) -> None:
    spec = part(obj, "spec")
    put(spec, {"podSelector": {}})
    put(spec, {"policyTypes": ["Ingress", *(["Egress"] if spec.get("egress") else [])]})
    for rule in (*each(spec, "ingress"), *each(spec, "egress")):
        for port in each(rule, "ports"):
            put(port, {"protocol": "TCP"})


def autoscaler(obj: Obj) -> None:
    cpu = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}
    put(part(obj, "spec"), {"minReplicas": 1})
    if not obj["spec"].get("metrics"):
        obj["spec"]["metrics"] = [cpu]


def binding(obj: Obj) -> None:
    put(part(obj, "roleRef"), {"apiGroup": RBAC})
    for subject in each(obj, "subjects"):
        if subject.get("kind") in ("User", "Group"):
            put(subject, {"apiGroup": RBAC})


def webhooks(obj: Obj) -> None:
    for hook in each(obj, "webhooks"):
        put(hook, WEBHOOK)
        for rule in each(hook, "rules"):
            put(rule, {"scope": "*"})
        to = (hook.get("clientConfig") or {}).get("service")
        if to is not None:
            put(to, {"port": 443})


def mutating_webhooks(obj: Obj) -> None:
    webhooks(obj)
    for hook in each(obj, "webhooks"):
        put(hook, {"reinvocationPolicy": "Never"})


def policy(obj: Obj) -> None:
    put(part(obj, "spec"), {"failurePolicy": "Fail"})
    constraints = obj["spec"].get("matchConstraints")
    if constraints is not None:
        put(constraints, {"matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {}})
        for rule in (*each(constraints, "resourceRules"), *each(constraints, "excludeResourceRules")):
            put(rule, {"scope": "*"})


def definition(obj: Obj) -> None:
    spec = part(obj, "spec")
    names = part(spec, "names")
    kind = names.get("kind") or ""
    put(names, {"singular": kind.lower(), "listKind": f"{kind}List"})
    put(spec, {"conversion": {"strategy": "None"}})


def api_service(obj: Obj) -> None:
    if part(obj, "spec").get("service") is not None:
        put(obj["spec"]["service"], {"port": 443})


def namespace(obj: Obj) -> None:
    labels = part(obj, "metadata", "labels")
    labels["kubernetes.io/metadata.name"] = obj["metadata"].get("name", "")
    put(part(obj, "spec"), {"finalizers": ["kubernetes"]})
    put(part(obj, "status"), {"phase": "Active"})


def budget(obj: Obj) -> None:
    put(part(obj, "status"), {"currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0})


DEFAULTS: dict[str, Callable[[Obj], None]] = {
    "apiservices": api_service, "clusterrolebindings": binding, "cronjobs": cron_job, "csidrivers": csi_driver,
    "customresourcedefinitions": definition, "daemonsets": daemon_set, "deployments": deployment,
    "horizontalpodautoscalers": autoscaler, "jobs": job, "mutatingwebhookconfigurations": mutating_webhooks,
    "namespaces": namespace, "networkpolicies": network_policy, "persistentvolumeclaims": volume_claim,
    "persistentvolumes": persistent_volume, "pods": lambda obj: pod_spec(part(obj, "spec")),
    "priorityclasses": lambda obj: put(obj, {"preemptionPolicy": "PreemptLowerPriority"}),
    "replicasets": replica_set, "rolebindings": binding, "secrets": lambda obj: put(obj, {"type": "Opaque"}),
    "services": service, "statefulsets": stateful_set, "storageclasses": storage_class,
    "validatingadmissionpolicies": policy, "validatingwebhookconfigurations": webhooks,
    "poddisruptionbudgets": budget,
}  # fmt: skip


def complete(plural: str, obj: Obj) -> None:
    """Fill in the defaults of this kind."""
    found = DEFAULTS.get(plural)
    if found:
        found(obj)
