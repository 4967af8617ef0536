"""Custom kinds: their names are accepted, and then they are served (apiextensions-apiserver, status and establish)."""

from __future__ import annotations

from ..api.api import Api
from ..api.kinds.own import VERDICTS
from ..api.objects import is_true
from ..logs import stamp
from ..shapes import Obj

KEY = "customresourcedefinitions"


class Definitions:
    """Establishes the definitions that were written since the last look."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._seen = -1

    def look(self) -> None:
        """Establish what is not yet established."""
        store = self._api.store
        revision = store.touched.get(KEY, 0)
        if revision == self._seen:
            return
        self._seen = revision
        with self._api.cluster.lock:
            edits = [(KEY, "", each["metadata"]["name"], established(each)) for each in store.all(KEY)
                     if not is_true(each, "Established")]  # fmt: skip
            if edits:
                self._api.cluster.commit(list(edits))


def established(definition: Obj) -> Obj:
    """The definition with the status of one that is served."""
    spec = definition["spec"]
    stored = [version["name"] for version in spec.get("versions") or [] if version.get("storage")]
    conditions = [{"lastTransitionTime": stamp(), "message": message, "reason": reason, "status": "True", "type": kind}
                  for kind, reason, message in VERDICTS]  # fmt: skip
    status = {"acceptedNames": spec["names"], "conditions": conditions, "storedVersions": stored}
    return {**definition, "metadata": dict(definition["metadata"]), "status": status}
