"""Which checks an object passes before it is kept."""

from __future__ import annotations

from collections.abc import Callable

from ...shapes import Obj
from ..access.requesting import change_errors, request_errors
from ..kinds.kinds import Kinds
from ..resources import Resource
from . import cluster, network, pods, workloads
from .errors import refuse
from .metadata import metadata_errors
from .pods import Errors
from .schemas import schema_errors

CHECKS: dict[str, Callable[[Obj, Obj | None], Errors]] = {
    "certificatesigningrequests": request_errors, "clusterrolebindings": cluster.cluster_binding_errors,
    "clusterroles": cluster.cluster_role_errors, "configmaps": cluster.config_map_errors,
    "cronjobs": workloads.cron_job_errors, "csidrivers": cluster.driver_errors,
    "customresourcedefinitions": cluster.definition_errors, "daemonsets": workloads.daemon_set_errors,
    "deployments": workloads.deployment_errors, "horizontalpodautoscalers": workloads.autoscaler_errors,
    "ingressclasses": network.ingress_class_errors, "ingresses": network.ingress_errors, "jobs": workloads.job_errors,
    "networkpolicies": network.network_policy_errors, "persistentvolumeclaims": cluster.claim_errors,
    "persistentvolumes": cluster.volume_errors, "poddisruptionbudgets": workloads.budget_errors,
    "pods": pods.pod_errors, "priorityclasses": cluster.priority_class_errors,
    "replicasets": workloads.replica_set_errors, "rolebindings": cluster.binding_errors, "roles": cluster.role_errors,
    "secrets": cluster.secret_errors, "services": network.service_errors,
    "statefulsets": workloads.stateful_set_errors, "storageclasses": cluster.storage_class_errors,
}  # fmt: skip
"""The checks of each kind, of the object and of the one before. Other kinds are checked by their metadata alone."""


def check(resource: Resource, new: Obj, old: Obj | None, kinds: Kinds, sub: str = "") -> None:
    """Raises ApiError for what Kubernetes would refuse."""
    errors = metadata_errors(resource, new, old)
    if sub in ("", "approval", "scale") and resource.key in CHECKS:
        errors += CHECKS[resource.key](new, old)
    if resource.key == "certificatesigningrequests" and old is not None:
        errors += change_errors(new, old, sub)
    custom = kinds.custom(resource)
    if custom is not None:
        errors += schema_errors(custom.schema, new)
    refuse(resource, new["metadata"].get("name", ""), errors)
