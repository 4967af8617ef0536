"""Objects of the Kubernetes API as readings. A worker's kubelet writes much of its node's object."""

from __future__ import annotations

import logging

from bootstrap.errors import UnreadableError, UnreadableObjectError
from bootstrap.model.reading import Reading, Source

logger = logging.getLogger(__name__)


def kube_object(value: object, *, what: str) -> Reading:
    """An object from the answer to the attempt to do `what`, as it reads after "cannot"."""
    return Reading(value, Source(call=what, who="the answer of the Kubernetes API", error=UnreadableObjectError))


def note(error: UnreadableError) -> None:
    """Log what is ignored."""
    logger.warning("ignored: %s", error)
