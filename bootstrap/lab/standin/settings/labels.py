"""Labels and taints that a kubelet sets on its own node."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..logs import Fatal
from ..shapes import Obj

# Sources of the two sets: the kubelet's own check of --node-labels (k8s.io/kubelet/pkg/apis, well_known_labels.go).
LABELS_ALLOWED = {
    "kubernetes.io/hostname",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "kubernetes.io/os",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "kubernetes.io/arch",
    "beta.kubernetes.io/instance-type",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
    "node.kubernetes.io/instance-type",
}
LABEL_DOMAINS_ALLOWED = ("kubelet.kubernetes.io", "node.kubernetes.io")


def label_is_refused(key: str) -> bool:
    """Whether the kubelet refuses to set this label on its own node."""
    domain = key.rpartition("/")[0]
    reserved = any(domain == d or domain.endswith("." + d) for d in ("kubernetes.io", "k8s.io"))
    allowed = any(domain == d or domain.endswith("." + d) for d in LABEL_DOMAINS_ALLOWED)
    return reserved and not allowed and key not in LABELS_ALLOWED


def parse_labels(entries: Iterable[str]) -> dict[str, str]:
    labels = dict(entry.partition("=")[::2] for entry in entries)
    bad = sorted(key for key in labels if label_is_refused(key))
    if bad:
        raise Fatal(
            f"kubelet exited: failed to validate kubelet flags: unknown 'kubernetes.io' or 'k8s.io' labels specified "
            f"with --node-labels: {bad}\n--node-labels in the 'kubernetes.io' namespace must begin with an allowed "
            f"prefix ({', '.join(LABEL_DOMAINS_ALLOWED)}) or be in the specifically allowed set "
            f"({', '.join(sorted(LABELS_ALLOWED))})"
        )
    for key, value in labels.items():
        if not re.fullmatch(r"([\w.-]+/)?\w([\w.-]*\w)?", key) or not re.fullmatch(r"(\w([\w.-]*\w)?)?", value):
            raise Fatal(f"kubelet exited: invalid node label {key}={value}")
    return labels


def parse_taints(entries: Iterable[str]) -> list[Obj]:
    taints = []
    for entry in entries:
        found = re.fullmatch(r"([^=:]+)(?:=([^:]*))?:(NoSchedule|PreferNoSchedule|NoExecute)", entry)
        if not found:
            raise Fatal(f"kubelet exited: invalid taint spec: {entry}")
        taint = {"key": found[1], "effect": found[3]}
        taints.append({**taint, "value": found[2]} if found[2] else taint)
    return taints
