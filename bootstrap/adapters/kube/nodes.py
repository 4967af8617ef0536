"""Node and Lease objects as values. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from ipaddress import AddressValueError, IPv4Address
from typing import Any

from bootstrap.adapters.kube.objects import kube_object, note
from bootstrap.errors import UnreadableError
from bootstrap.model.ids import MachineName
from bootstrap.model.machine import Taint
from bootstrap.model.observed import KubeNode
from bootstrap.model.reading import Reading, each

FRESH_S = 30.0
"""Maximum age of a lease: three renewals, which come every 10 s. The API marks a node after 40 s without one (50 s from
1.32 on); until then it reports a stopped kubelet as Ready."""

ROLE_LABEL = "node-role.kubernetes.io/"

ADDRESS_ANNOTATIONS = ("k3s.io/internal-ip", "alpha.kubernetes.io/provided-node-ip")
"""Annotations in which k3s and its kubelet state a node's address."""

ETCD_FINALIZER = "wrangler.cattle.io/managed-etcd-controller"
"""k3s's, on the node of a server with etcd: it goes once the member has been removed (k3s v1.36.3, observed)."""

UNINITIALIZED = "node.cloudprovider.kubernetes.io/uninitialized"
"""The taint that a kubelet with `cloud-provider=external` registers with (k8s.io/cloud-provider: api)."""

PENDING_ANNOTATION = "homelab-k8s/settings-pending"
"""An annotation of ours on a node whose k3s gets other settings, until it runs with them."""


def parse_node(node: object, *, lease_age_s: float | None, renewed: datetime | None = None) -> KubeNode:
    """A Node object as a value; an invalid one is not Ready, and its problem says what is invalid.

    Args:
        node: As the API has it.
        lease_age_s: Seconds since its lease was renewed, or None without a lease.
        renewed: When that was, by the machine's clock.

    Raises:
        UnreadableObjectError: It does not even have a name.
    """
    read = kube_object(node, what="read a Kubernetes node")
    name = read.at("metadata").at("name").text()
    uid = read.at("metadata").at("uid").text("")
    try:
        return _kube_node(read, lease_age_s, renewed)
    except UnreadableError as error:
        note(error)
        problem = f"its object is invalid: {error.details}"
        return KubeNode(name=MachineName(name), ready=False, problem=problem, uid=uid)


def _kube_node(node: Reading, lease_age_s: float | None, renewed: datetime | None) -> KubeNode:
    metadata, spec, status = (node.at(part) for part in ("metadata", "spec", "status"))
    labels = {key: value.text() for key, value in metadata.at("labels").entries(optional=True)}
    conditions, info = status.at("conditions").items(optional=True), status.at("nodeInfo")
    not_ready = _not_ready(conditions) or _uninitialized(spec)
    stale = "" if not_ready else _stale(lease_age_s)
    return KubeNode(
        name=MachineName(metadata.at("name").text()),
        ready=not (not_ready or stale),
        problem=not_ready or stale,
        version=info.at("kubeletVersion").text(""),
        address=_address(status.at("addresses")),
        roles=frozenset(label.removeprefix(ROLE_LABEL) for label in labels if label.startswith(ROLE_LABEL)),
        labels=tuple(sorted(labels.items())),
        taints=_taints(spec),
        unschedulable=spec.at("unschedulable").flag(),
        os_image=info.at("osImage").text(""),
        created=_time(metadata.at("creationTimestamp")),
        uid=metadata.at("uid").text(""),
        heartbeat=_heartbeat(conditions),
        lease_age_s=lease_age_s,
        stale=bool(stale),
        renewed=renewed,
        args=_args(metadata.at("annotations").at("k3s.io/node-args").text("")),
        env=_env(metadata.at("annotations").at("k3s.io/node-env").text("")),
        deleting=_deleting(metadata),
        settings_pending=not metadata.at("annotations").at(PENDING_ANNOTATION).absent,
    )


def _deleting(metadata: Reading) -> bool:
    held_by = {each.text("") for each in metadata.at("finalizers").items(optional=True)}
    return not metadata.at("deletionTimestamp").absent and ETCD_FINALIZER not in held_by


def _taints(spec: Reading) -> tuple[Taint, ...]:
    """The taints of a node's spec, sorted."""
    return tuple(sorted(map(_taint, spec.at("taints").items(optional=True))))


def _taint(taint: Reading) -> Taint:
    return Taint(key=taint.at("key").text(""), value=taint.at("value").text(""), effect=taint.at("effect").text(""))


def parse_renewals(leases: Iterable[Reading]) -> dict[str, datetime]:
    """When each node's lease was renewed; a lease without that, or an invalid one, is left out."""
    renewals = each(
        leases, lambda lease: (lease.at("metadata").at("name").text(), _time(lease.at("spec").at("renewTime"))), note
    )
    return {name: at for name, at in renewals if at is not None}


def _time(reading: Reading) -> datetime | None:
    """A time as Kubernetes writes it; None for anything else."""
    try:
        at = datetime.fromisoformat(reading.text(""))
    except ValueError:
        return None
    return at if at.tzinfo is not None else None


def missing_metadata(
    node: Mapping[str, Any],
    *,
    labels: Mapping[str, str],
    taints: Iterable[Taint],
    stale_labels: Iterable[tuple[str, str]] = (),
    stale_taints: Iterable[Taint] = (),
) -> dict[str, Any] | None:
    """The merge patch that adds labels and taints to a node, removes stale ones and keeps the others, or None.

    It names the version it was made for, so that a concurrent change becomes a conflict and is not lost.
    """
    read = kube_object(node, what="set a node's labels and taints")
    changes = _changed_labels(read.at("metadata").at("labels"), labels, stale_labels)
    wanted = tuple(taints)
    changed = _changed_taints(read.at("spec"), wanted, set(stale_taints) - set(wanted))
    if not changes and changed is None:
        return None
    version = read.at("metadata").at("resourceVersion").text("")
    metadata = {"metadata": {"resourceVersion": version or None, "labels": changes}}
    return metadata if changed is None else {**metadata, "spec": {"taints": changed}}


def _changed_labels(
    present: Reading, labels: Mapping[str, str], stale: Iterable[tuple[str, str]]
) -> dict[str, str | None]:
    """The labels that a node lacks, and the stale ones as None."""
    there = {key: value.value for key, value in present.entries(optional=True)}
    added = {key: value for key, value in labels.items() if there.get(key) != value}
    return added | {key: None for key, value in stale if key not in labels and there.get(key) == value}


def _changed_taints(spec: Reading, wanted: Collection[Taint], stale: Collection[Taint]) -> list[object] | None:
    """All taints that a node must have, since a list in a merge patch replaces the whole list; None for no change.

    A taint is identified by its key and effect. Taints that others have set are kept.
    """
    present = set(_taints(spec))
    if present.issuperset(wanted) and present.isdisjoint(stale):
        return None
    replaced = {(taint.key, taint.effect) for taint in wanted}
    present_ones = ((each.value, _taint(each)) for each in spec.at("taints").items(optional=True))
    kept = [
        as_it_is for as_it_is, taint in present_ones if (taint.key, taint.effect) not in replaced and taint not in stale
    ]
    return [*kept, *map(_rendered, wanted)]


def moved(
    node: Mapping[str, Any], address: IPv4Address, *, own: Collection[IPv4Address] = ()
) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The merge patches of a node and of its status that set its IPv4 address; None where it has that or one of `own`.

    k3s's cloud controller sets a node's addresses by the annotation, and the kubelet leaves those it finds, so both
    are needed (k3s: pkg/cloudprovider/instances.go; kubelet: nodestatus setters with an external cloud provider).
    """
    read = kube_object(node, what="give a node its address")
    addresses = read.at("status").at("addresses")
    if _address(addresses) in (address, *own):
        return None
    annotations = {key: read.at("metadata").at("annotations").at(key).text("") for key in ADDRESS_ANNOTATIONS}
    changed = {
        key: ",".join((str(address), *(part for part in addresses_there.split(",") if not _is_ipv4(part))))
        for key, addresses_there in annotations.items()
        if addresses_there
    }
    others = [
        each.value
        for each in addresses.items(optional=True)
        if each.at("type").value != "InternalIP" or not _is_ipv4(each.at("address").value)
    ]
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


def _not_ready(conditions: Iterable[Reading]) -> str:
    for condition in conditions:
        if condition.at("type").value == "Ready":
            status = condition.at("status").text("")
            if status == "True":
                return ""
            said = (condition.at(part).text("") for part in ("reason", "message"))
            return ": ".join(part for part in said if part) or f"Ready is {status}"
    return "it has no Ready condition yet"


def _uninitialized(spec: Reading) -> str:
    """What a node waits for that its kubelet has registered for a cloud controller of its own.

    k3s's own controller takes the taint off at once, another one when its pod runs. Nothing is scheduled there before.
    """
    if not any(taint.key == UNINITIALIZED for taint in _taints(spec)):
        return ""
    return (
        f"its cloud controller manager has not initialized it (taint {UNINITIALIZED}); "
        "`kubectl -n kube-system get pods,jobs` shows what that waits for"
    )


def _heartbeat(conditions: Iterable[Reading]) -> datetime | None:
    """When the kubelet last wrote the Ready condition, whatever its status."""
    ready = (each for each in conditions if each.at("type").value == "Ready")
    return next((_time(each.at("lastHeartbeatTime")) for each in ready), None)


def _args(text: str) -> tuple[str, ...] | None:
    """The arguments that k3s reports, with secrets masked; None where they are not a list of texts."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return tuple(found) if isinstance(found, list) and all(isinstance(each, str) for each in found) else None


def _env(text: str) -> frozenset[str] | None:
    """The names of the variables that k3s reports; None where it is not a mapping."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return frozenset(map(str, found)) if isinstance(found, dict) else None


def _stale(lease_age_s: float | None) -> str:
    if lease_age_s is None:
        return "it says Ready, but has no lease: its kubelet has not reported yet"
    if lease_age_s > FRESH_S:
        return f"it says Ready, but its kubelet was last heard of {lease_age_s:.0f} s ago"
    return ""


def _address(addresses: Reading) -> IPv4Address | None:
    for address in addresses.items(optional=True):
        if address.at("type").value == "InternalIP":
            try:
                return IPv4Address(address.at("address").text(""))
            except AddressValueError:
                continue  # Dual stack: the IPv6 address comes as another entry.
    return None
