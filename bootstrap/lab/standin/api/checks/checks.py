"""Which checks an object passes before it is kept."""

from __future__ import annotations

from ...shapes import Obj
from ..access.requesting import change_errors, request_errors
from ..kinds.kinds import Kinds
from ..resources import Resource
from .errors import refuse
from .metadata import metadata_errors


def check(resource: Resource, new: Obj, old: Obj | None, kinds: Kinds, sub: str = "") -> None:
    """Raises ApiError for what Kubernetes would refuse."""
    errors = metadata_errors(resource, new, old)
    if resource.key == "certificatesigningrequests":
        errors += request_errors(new, old)
        errors += change_errors(new, old, sub) if old is not None else ()
    refuse(resource, new["metadata"].get("name", ""), errors)
