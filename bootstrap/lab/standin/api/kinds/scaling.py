"""The subresource `scale`: replicas of a workload, or of a custom kind whose definition says where they are."""

from __future__ import annotations

import copy
from typing import Any

from ...shapes import Obj
from .custom import Custom


def paths_of(custom: Custom | None) -> tuple[str, str]:
    """Where an object has its wanted and its present number."""
    given = custom.scale if custom is not None else {}
    return given.get("specReplicasPath", ".spec.replicas"), given.get("statusReplicasPath", ".status.replicas")


def at(obj: Obj, path: str) -> Any:
    value: Any = obj
    for step in path.strip(".").split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value


def scale_of(obj: Obj, custom: Custom | None) -> Obj:
    """The Scale of an object."""
    wanted, present = paths_of(custom)
    names = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    meta = {name: obj["metadata"][name] for name in names if name in obj["metadata"]}
    labels = ((obj.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
    status = {"replicas": at(obj, present) or 0}
    status |= {"selector": ",".join(f"{key}={value}" for key, value in sorted(labels.items()))} if labels else {}
    spec = {"replicas": at(obj, wanted) or 0}
    return {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": meta, "spec": spec, "status": status}


def scaled(obj: Obj, scale: Obj, custom: Custom | None) -> Obj:
    """The object with the number that a Scale wants."""
    result: Obj = copy.deepcopy(obj)
    *above, last = paths_of(custom)[0].strip(".").split(".")
    place: Any = result
    for step in above:
        place = place.setdefault(step, {})
    place[last] = (scale.get("spec") or {}).get("replicas", 0)
    return result
