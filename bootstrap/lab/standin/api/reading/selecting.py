"""Selectors of labels and fields."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ...failures import ApiError
from ...shapes import Obj
from ..objects import labels_of


def label_matches(labels: dict[str, str], selector: str) -> bool:
    for part in re.findall(r"(?:[^,(]|\([^)]*\))+", selector):
        text = part.strip()
        among = re.fullmatch(r"(\S+)\s+(in|notin)\s+\(([^)]*)\)", text)
        if among:
            good = (labels.get(among[1]) in [v.strip() for v in among[3].split(",")]) == (among[2] == "in")
        elif "!=" in text:
            key, _, value = text.partition("!=")
            good = labels.get(key.strip()) != value.strip()
        elif "=" in text:
            key, _, value = text.partition("=")
            good = labels.get(key.strip()) == value.lstrip("=").strip()
        else:
            good = (text.lstrip("!") in labels) != text.startswith("!")
        if not good:
            return False
    return True


def field_matches(obj: Obj, selector: str) -> bool:
    for part in filter(None, selector.split(",")):
        found = re.fullmatch(r"([\w.]+)(==|=|!=)(.*)", part)
        if not found:
            raise ApiError(400, "BadRequest", f"invalid field selector {part!r}")
        value: Any = obj
        for step in found[1].split("."):
            value = value.get(step, "") if isinstance(value, dict) else ""
        if (str(value) == found[3]) != (found[2] != "!="):
            return False
    return True


def selected(obj: Obj | None, query: dict[str, str]) -> bool:
    return (
        obj is not None
        and label_matches(labels_of(obj), query.get("labelSelector", ""))
        and field_matches(obj, query.get("fieldSelector", ""))
    )


def label_selector_matches(selector: Obj, labels: dict[str, str]) -> bool:
    """A LabelSelector object; the empty one matches everything."""
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    tests: dict[str, Callable[[Obj], bool]] = {
        "In": lambda e: labels.get(e["key"]) in e["values"],
        "NotIn": lambda e: labels.get(e["key"]) not in e["values"],
        "Exists": lambda e: e["key"] in labels,
        "DoesNotExist": lambda e: e["key"] not in labels,
    }
    return all(tests[e["operator"]](e) for e in selector.get("matchExpressions") or [])
