"""Workloads (pkg/apis/apps, batch, autoscaling and policy of Kubernetes)."""

from __future__ import annotations

import re

from ...shapes import Obj
from ..reading.selecting import label_selector_matches
from .errors import forbidden, invalid, required, unsupported
from .pods import IMMUTABLE, NEGATIVE, Errors, selector_errors, template_errors

NO_MATCH = "`selector` does not match template `labels`"
STATEFUL_KEPT = ("replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit", "minReadySeconds",
                 "persistentVolumeClaimRetentionPolicy")  # fmt: skip
STATEFUL_UPDATES = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
    "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)
CRON = re.compile(r"(TZ=|CRON_TZ=)|@(yearly|annually|monthly|weekly|daily|midnight|hourly|every \S+)|(\S+\s+){4}\S+")


def negative_errors(spec: Obj, names: tuple[str, ...], field: str = "spec") -> Errors:
    for name in names:
        if (spec.get(name) or 0) < 0:
            yield invalid(f"{field}.{name}", spec[name], NEGATIVE)


def labels_of_template(spec: Obj) -> dict[str, str]:
    return ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}


def matching_errors(spec: Obj, kind: str) -> Errors:
    """Of a selector and the template whose pods it selects."""
    selector = spec.get("selector")
    if selector is None:
        yield required("spec.selector")
    else:
        yield from selector_errors(selector, "spec.selector")
        if not selector.get("matchLabels") and not selector.get("matchExpressions"):
            yield invalid("spec.selector", selector, f"empty selector is invalid for {kind}")
    labels = labels_of_template(spec)
    if selector is None or not label_selector_matches(selector, labels):
        yield invalid("spec.template.metadata.labels", labels or None, NO_MATCH)


def restart_errors(spec: Obj, kind: str) -> Errors:
    template = (spec.get("template") or {}).get("spec") or {}
    if template.get("restartPolicy") != "Always":
        yield unsupported("spec.template.spec.restartPolicy", template.get("restartPolicy"), ("Always",))
    if template.get("activeDeadlineSeconds") is not None:
        yield forbidden("spec.template.spec.activeDeadlineSeconds", f"activeDeadlineSeconds in {kind} is not Supported")


def immutable_errors(new: Obj, old: Obj | None, *names: str) -> Errors:
    for name in names:
        if old is not None and new["spec"].get(name) != old["spec"].get(name):
            yield invalid(f"spec.{name}", new["spec"].get(name), IMMUTABLE)


def deployment_errors(new: Obj, old: Obj | None) -> Errors:
    spec = new["spec"]
    yield from negative_errors(spec, ("replicas",))
    yield from matching_errors(spec, "deployment")
    yield from template_errors(spec.get("template") or {}, "spec.template")
    yield from restart_errors(spec, "ReplicaSet")
    yield from deployment_strategy_errors(spec.get("strategy") or {})
    yield from negative_errors(spec, ("minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"))
    if (spec.get("progressDeadlineSeconds") or 0) <= (spec.get("minReadySeconds") or 0):
        text = "must be greater than minReadySeconds"
        yield invalid("spec.progressDeadlineSeconds", spec.get("progressDeadlineSeconds"), text)
    yield from immutable_errors(new, old, "selector")


def deployment_strategy_errors(strategy: Obj) -> Errors:
    rolling = strategy.get("rollingUpdate")
    if strategy.get("type") == "Recreate" and rolling is not None:
        yield forbidden("spec.strategy.rollingUpdate", "may not be specified when strategy `type` is 'Recreate'")
    elif strategy.get("type") not in ("Recreate", "RollingUpdate"):
        yield unsupported("spec.strategy.type", strategy.get("type"), ("Recreate", "RollingUpdate"))
    elif rolling and str(rolling.get("maxUnavailable")) in ("0", "0%") and str(rolling.get("maxSurge")) in ("0", "0%"):
        text = "may not be 0 when `maxSurge` is 0"
        yield invalid("spec.strategy.rollingUpdate.maxUnavailable", rolling["maxUnavailable"], text)


def daemon_set_errors(new: Obj, old: Obj | None) -> Errors:
    spec = new["spec"]
    selector = spec.get("selector")
    yield from selector_errors(selector, "spec.selector")
    if selector is None or not label_selector_matches(selector, labels_of_template(spec)):
        yield invalid("spec.template.metadata.labels", labels_of_template(spec) or None, NO_MATCH)
    if selector is not None and not selector.get("matchLabels") and not selector.get("matchExpressions"):
        yield invalid("spec.selector", selector, "empty selector is invalid for daemonset")
    yield from template_errors(spec.get("template") or {}, "spec.template")
    yield from restart_errors(spec, "DaemonSet")
    yield from immutable_errors(new, old, "selector")


def stateful_set_errors(new: Obj, old: Obj | None) -> Errors:
    spec = new["spec"]
    yield from negative_errors(spec, ("replicas", "minReadySeconds"))
    yield from matching_errors(spec, "statefulset")
    yield from template_errors(spec.get("template") or {}, "spec.template")
    yield from restart_errors(spec, "StatefulSet")
    if old is not None and any(spec.get(name) != old["spec"].get(name) for name in {**spec, **old["spec"]}
                               if name not in STATEFUL_KEPT):  # fmt: skip
        yield forbidden("spec", STATEFUL_UPDATES)


def replica_set_errors(new: Obj, old: Obj | None) -> Errors:
    spec = new["spec"]
    yield from negative_errors(spec, ("replicas", "minReadySeconds"))
    yield from matching_errors(spec, "replicaset")
    yield from template_errors(spec.get("template") or {}, "spec.template")
    yield from immutable_errors(new, old, "selector")


def job_spec_errors(spec: Obj, field: str) -> Errors:
    yield from negative_errors(
        spec, ("parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished"), field
    )
    yield from template_errors(spec.get("template") or {}, f"{field}.template")
    policy = ((spec.get("template") or {}).get("spec") or {}).get("restartPolicy")
    if policy == "Always":
        yield required(f"{field}.template.spec.restartPolicy", 'valid values: "OnFailure", "Never"')


def job_errors(new: Obj, old: Obj | None) -> Errors:
    yield from job_spec_errors(new["spec"], "spec")
    yield from immutable_errors(new, old, "completions", "selector", "template", "completionMode")


def cron_job_errors(new: Obj, old: Obj | None) -> Errors:
    del old  # nothing of a CronJob is immutable
    spec = new["spec"]
    schedule = spec.get("schedule") or ""
    if not schedule:
        yield required("spec.schedule")
    elif not CRON.match(schedule):
        text = f"expected exactly 5 fields, found {len(schedule.split())}: [{' '.join(schedule.split())}]"
        yield invalid("spec.schedule", schedule, text)
    policies = ("Allow", "Forbid", "Replace")
    if spec.get("concurrencyPolicy") not in policies:
        yield unsupported("spec.concurrencyPolicy", spec.get("concurrencyPolicy"), policies)
    yield from job_spec_errors((spec.get("jobTemplate") or {}).get("spec") or {}, "spec.jobTemplate.spec")


def budget_errors(new: Obj, old: Obj | None) -> Errors:
    del old
    spec = new["spec"]
    if spec.get("minAvailable") is not None and spec.get("maxUnavailable") is not None:
        yield invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set")
    for name in ("minAvailable", "maxUnavailable"):
        value = spec.get(name)
        if isinstance(value, int) and value < 0:
            yield invalid(f"spec.{name}", value, NEGATIVE)
        elif isinstance(value, str) and not re.fullmatch("[0-9]+%", value):
            text = ("a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', "
                    "regex used for validation is '[0-9]+%')")  # fmt: skip
            yield invalid(f"spec.{name}", value, text)
    yield from selector_errors(spec.get("selector"), "spec.selector")


def autoscaler_errors(new: Obj, old: Obj | None) -> Errors:
    del old
    spec = new["spec"]
    target = spec.get("scaleTargetRef") or {}
    for name in ("kind", "name"):
        if not target.get(name):
            yield required(f"spec.scaleTargetRef.{name}")
    if (spec.get("minReplicas") or 0) < 1:
        yield invalid("spec.minReplicas", spec.get("minReplicas"), "must be greater than or equal to 1")
    if (spec.get("maxReplicas") or 0) < 1:
        yield invalid("spec.maxReplicas", spec.get("maxReplicas") or 0, "must be greater than 0")
    elif spec["maxReplicas"] < spec["minReplicas"]:
        yield invalid("spec.maxReplicas", spec["maxReplicas"], "must be greater than or equal to `minReplicas`")
