"""Tables, as kubectl asks for them."""

from __future__ import annotations

import calendar
import time
from collections.abc import Callable
from typing import Any

from ...shapes import Obj
from ..objects import condition, is_terminating


def age(obj: Obj) -> str:
    """As kubectl prints ages."""
    made = obj["metadata"].get("creationTimestamp")
    if not made:
        return "<unknown>"
    s = max(0, int(time.time()) - calendar.timegm(time.strptime(made, "%Y-%m-%dT%H:%M:%SZ")))
    if s < 120:
        return f"{s}s"
    if s < 600:
        return f"{s // 60}m{s % 60}s" if s % 60 else f"{s // 60}m"
    if s < 3 * 3600:
        return f"{s // 60}m"
    if s < 8 * 3600:
        return f"{s // 3600}h{s % 3600 // 60}m" if s % 3600 >= 60 else f"{s // 3600}h"
    return f"{s // 3600}h" if s < 48 * 3600 else f"{s // 86400}d"


def node_cells(node: Obj) -> list[Any]:
    ready = condition(node, "Ready").get("status")
    state = "Ready" if ready == "True" else "NotReady" if ready else "Unknown"
    if node.get("spec", {}).get("unschedulable"):
        state += ",SchedulingDisabled"
    prefix = "node-role.kubernetes.io/"
    roles = sorted(k.removeprefix(prefix) for k in node["metadata"].get("labels", {}) if k.startswith(prefix))
    info = node.get("status", {}).get("nodeInfo", {})
    addresses = {a["type"]: a["address"] for a in reversed(node.get("status", {}).get("addresses", []))}
    return [
        node["metadata"]["name"], state, ",".join(roles) or "<none>", age(node), info.get("kubeletVersion", ""),
        addresses.get("InternalIP", "<none>"), addresses.get("ExternalIP", "<none>"),
        info.get("osImage", "<unknown>"), info.get("kernelVersion", "<unknown>"),
        info.get("containerRuntimeVersion", "<unknown>"),
    ]  # fmt: skip


def pod_cells(pod: Obj) -> list[Any]:
    statuses = pod.get("status", {}).get("containerStatuses", [])
    ready = f"{sum(1 for s in statuses if s.get('ready'))}/{len(pod['spec'].get('containers', []))}"
    phase = "Terminating" if is_terminating(pod) else pod.get("status", {}).get("phase", "")
    return [pod["metadata"]["name"], ready, phase, 0, age(pod), pod.get("status", {}).get("podIP", "<none>"),
            pod["spec"].get("nodeName", "<none>")]  # fmt: skip


# Column names, a "*" for those that only `-o wide` shows, and how a row is made.
COLUMNS: dict[str, tuple[list[str], Callable[[Obj], list[Any]]]] = {
    "nodes": (["Name", "Status", "Roles", "Age", "Version", "Internal-IP*", "External-IP*", "OS-Image*",
               "Kernel-Version*", "Container-Runtime*"], node_cells),
    "pods": (["Name", "Ready", "Status", "Restarts", "Age", "IP*", "Node*"], pod_cells),
    "etcdsnapshotfiles": (["Name", "SnapshotName", "Node", "Location", "Size", "CreationTime"],
                          lambda o: [o["metadata"]["name"], *(o["spec"][k] for k in ("snapshotName", "nodeName",
                                     "location")), o["status"]["size"], o["status"]["creationTime"]]),
    "namespaces": (["Name", "Status", "Age"],
                   lambda o: [o["metadata"]["name"], o.get("status", {}).get("phase", ""), age(o)]),
}  # fmt: skip


def table(plural: str, objects: list[Obj], query: dict[str, str], metadata: Obj) -> Obj:
    names, cells = COLUMNS.get(plural, (["Name", "Age"], lambda o: [o["metadata"]["name"], age(o)]))
    columns = [
        {"name": name.rstrip("*"), "type": "string", "format": "name" if name == "Name" else "",
         "description": "", "priority": int(name.endswith("*"))}
        for name in names
    ]  # fmt: skip
    rows = []
    for obj in objects:
        part = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}
        whole = query.get("includeObject") == "Object"
        rows.append({"cells": cells(obj), "object": obj if whole else part})
    return {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
            "columnDefinitions": columns, "rows": rows}  # fmt: skip
