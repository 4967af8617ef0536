"""Add-ons for storage that needs no Proxmox VE. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bootstrap.addons.facts import Facts

_MOST_COPIES: Final = 3


def longhorn_names(values: Mapping[str, Any], facts: Facts) -> dict[str, Any]:
    """How many copies volumes have: not more than there are machines for them, or none could be healthy."""
    return {"copies": values["replicas"] or min(_MOST_COPIES, facts.workers or facts.servers)}


def nfs_names(values: Mapping[str, Any], _facts: Facts) -> dict[str, Any]:
    """An annotation is a text."""
    return {"default_text": "true" if values["default"] else "false"}
