"""Which checks an object passes before it is kept."""

from __future__ import annotations

from ...shapes import Obj
from ..kinds.kinds import Kinds
from ..resources import Resource
from .errors import refuse
from .metadata import metadata_errors


def check(resource: Resource, new: Obj, old: Obj | None, kinds: Kinds, sub: str = "") -> None:
    """Raises ApiError for what Kubernetes would refuse."""
    errors = metadata_errors(resource, new, old)
    refuse(resource, new["metadata"].get("name", ""), errors)
