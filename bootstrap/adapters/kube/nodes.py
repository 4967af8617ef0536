"""Node and Lease objects as values. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import AddressValueError, IPv4Address
from typing import Any

from bootstrap.model.ids import MachineName
from bootstrap.model.machine import Taint
from bootstrap.model.observed import KubeNode

FRESH_S = 30.0
"""How old a lease may be: three renewals, which come every 10 s. The API marks a node after 40 s without (50 s from
1.32 on); until then a kubelet that has ended is Ready for it."""

ROLE_LABEL = "node-role.kubernetes.io/"

ADDRESS_ANNOTATIONS = ("k3s.io/internal-ip", "alpha.kubernetes.io/provided-node-ip")
"""Where k3s and its kubelet say of a node which address it is to have."""


@dataclass(frozen=True, kw_only=True)
class SeenNode:
    """A node object with what `KubeNode` leaves out.

    Attributes:
        uid: Changes when a node is deleted and registers again.
        claims_ready: The Ready condition alone, which can be stale.
    """

    kube_node: KubeNode
    uid: str
    claims_ready: bool


def parse_node(node: Mapping[str, Any], *, lease_age_s: float | None, renewed: datetime | None = None) -> SeenNode:
    """A Node object as values.

    Args:
        node: As the API has it.
        lease_age_s: Seconds since its lease was renewed, or None without a lease.
        renewed: When that was, by the machine's clock.
    """
    metadata, spec, status = (node.get(part) or {} for part in ("metadata", "spec", "status"))
    labels: dict[str, str] = metadata.get("labels") or {}
    problem = _not_ready(status.get("conditions") or ())
    claims_ready = not problem
    if claims_ready:
        problem = _stale(lease_age_s)
    kube_node = KubeNode(
        name=MachineName(str(metadata.get("name", ""))),
        ready=not problem,
        problem=problem,
        version=str((status.get("nodeInfo") or {}).get("kubeletVersion", "")),
        address=_address(status.get("addresses") or ()),
        roles=frozenset(label.removeprefix(ROLE_LABEL) for label in labels if label.startswith(ROLE_LABEL)),
        labels=tuple(sorted(labels.items())),
        taints=parse_taints(spec),
        unschedulable=bool(spec.get("unschedulable")),
        os_image=str((status.get("nodeInfo") or {}).get("osImage", "")),
        created=parse_time(metadata.get("creationTimestamp")),
        uid=str(metadata.get("uid", "")),
        heartbeat=_heartbeat(status.get("conditions") or ()),
        lease_age_s=lease_age_s,
        stale=claims_ready and bool(problem),
        renewed=renewed,
        args=_args((metadata.get("annotations") or {}).get("k3s.io/node-args")),
        env=_env((metadata.get("annotations") or {}).get("k3s.io/node-env")),
    )
    return SeenNode(kube_node=kube_node, uid=str(metadata.get("uid", "")), claims_ready=claims_ready)


def parse_taints(spec: Mapping[str, Any]) -> tuple[Taint, ...]:
    """The taints of a node's spec, sorted."""
    return tuple(sorted(_taint(taint) for taint in spec.get("taints") or ()))


def _taint(taint: Mapping[str, Any]) -> Taint:
    return Taint(key=str(taint.get("key", "")), value=str(taint.get("value") or ""), effect=str(taint.get("effect")))


def parse_renewals(leases: Iterable[Mapping[str, Any]]) -> dict[str, datetime]:
    """When each node's lease was renewed; a lease that does not tell is left out."""
    renewals: dict[str, datetime] = {}
    for lease in leases:
        at = parse_time((lease.get("spec") or {}).get("renewTime"))
        if at is not None:
            renewals[str((lease.get("metadata") or {}).get("name"))] = at
    return renewals


def parse_time(text: object) -> datetime | None:
    """A time as Kubernetes writes it; None for anything else."""
    try:
        at = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return at if at.tzinfo is not None else None


def age_s(renewed: datetime | None, *, now: datetime) -> float | None:
    """A lease's age in seconds; None without one."""
    return None if renewed is None else (now - renewed) / timedelta(seconds=1)


def missing_metadata(
    node: Mapping[str, Any],
    *,
    labels: Mapping[str, str],
    taints: Iterable[Taint],
    stale_labels: Iterable[tuple[str, str]] = (),
    stale_taints: Iterable[Taint] = (),
) -> dict[str, Any] | None:
    """The merge patch that puts labels and taints on a node, takes stale ones off and leaves its others, or None.

    It names the version it was made for, so that a change somebody makes meanwhile is a conflict and not lost.
    """
    metadata, spec = node.get("metadata") or {}, node.get("spec") or {}
    there = metadata.get("labels") or {}
    changes: dict[str, str | None] = {key: value for key, value in labels.items() if there.get(key) != value}
    changes |= {key: None for key, value in stale_labels if key not in labels and there.get(key) == value}
    wanted = tuple(taints)
    stale = set(stale_taints) - set(wanted)
    present = set(parse_taints(spec))
    if not changes and set(wanted) <= present and not stale & present:
        return None
    patch: dict[str, Any] = {"metadata": {"resourceVersion": metadata.get("resourceVersion"), "labels": changes}}
    if not set(wanted) <= present or stale & present:
        # A list in a merge patch replaces the whole list. A taint is known by its key and effect.
        replaced = {(taint.key, taint.effect) for taint in wanted}
        kept = [
            taint
            for taint in spec.get("taints") or ()
            if (taint.get("key"), taint.get("effect")) not in replaced and _taint(taint) not in stale
        ]
        patch["spec"] = {"taints": [*kept, *(_rendered(taint) for taint in wanted)]}
    return patch


def moved(
    node: Mapping[str, Any], address: IPv4Address, *, own: Collection[IPv4Address] = ()
) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The merge patches of the node and of its status that give it an IPv4 address; None where it has that or an `own`.

    k3s's cloud controller sets a node's addresses by the annotation, and the kubelet leaves those it finds, so both
    are needed (k3s: pkg/cloudprovider/instances.go; kubelet: nodestatus setters with an external cloud provider).
    """
    addresses = (node.get("status") or {}).get("addresses") or ()
    if _address(addresses) in (address, *own):
        return None
    annotations = (node.get("metadata") or {}).get("annotations") or {}
    changed = {
        key: ",".join((str(address), *(part for part in str(annotations[key]).split(",") if not _is_ipv4(part))))
        for key in ADDRESS_ANNOTATIONS
        if key in annotations
    }
    others = [each for each in addresses if each.get("type") != "InternalIP" or not _is_ipv4(each.get("address"))]
    new = {"type": "InternalIP", "address": str(address)}
    return {"metadata": {"annotations": changed}}, {"status": {"addresses": [new, *others]}}


def _is_ipv4(text: object) -> bool:
    try:
        IPv4Address(str(text).strip())
    except AddressValueError:
        return False
    return True


def _rendered(taint: Taint) -> dict[str, str]:
    value = {"value": taint.value} if taint.value else {}
    return {"key": taint.key, **value, "effect": taint.effect}


def _not_ready(conditions: Iterable[Mapping[str, Any]]) -> str:
    for condition in conditions:
        if condition.get("type") == "Ready":
            if condition.get("status") == "True":
                return ""
            said = (str(condition.get(part) or "") for part in ("reason", "message"))
            return ": ".join(part for part in said if part) or f"Ready is {condition.get('status')}"
    return "it has no Ready condition yet"


def _heartbeat(conditions: Iterable[Mapping[str, Any]]) -> datetime | None:
    """When the kubelet last wrote the Ready condition, True or not."""
    return next((parse_time(each.get("lastHeartbeatTime")) for each in conditions if each.get("type") == "Ready"), None)


def _args(text: object) -> tuple[str, ...] | None:
    """The arguments that k3s tells of, secrets masked by it; None where they are no list of texts."""
    try:
        found = json.loads(str(text))
    except ValueError:
        return None
    return tuple(map(str, found)) if isinstance(found, list) else None


def _env(text: object) -> frozenset[str] | None:
    """The names of the variables that k3s tells of; None where it is no mapping."""
    try:
        found = json.loads(str(text))
    except ValueError:
        return None
    return frozenset(map(str, found)) if isinstance(found, dict) else None


def _stale(lease_age_s: float | None) -> str:
    if lease_age_s is None:
        return "it says Ready, but has no lease: its kubelet has not been heard of yet"
    if lease_age_s > FRESH_S:
        return f"it says Ready, but its kubelet was last heard of {lease_age_s:.0f} s ago"
    return ""


def _address(addresses: Iterable[Mapping[str, Any]]) -> IPv4Address | None:
    for address in addresses:
        if address.get("type") == "InternalIP":
            try:
                return IPv4Address(str(address.get("address")))
            except AddressValueError:
                continue  # Dual stack: the IPv6 address comes as another entry.
    return None
