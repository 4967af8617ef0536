"""Certificates for approved requests, and the roles that sum up others."""

from __future__ import annotations

import base64

from ..api.access.requesting import CLIENT_SIGNER, conditions_of
from ..api.api import Api
from ..api.objects import labels_of
from ..api.reading.selecting import label_selector_matches
from ..connections.pki import Pki
from ..connections.signing import sign_request
from ..logs import log, stamp
from ..shapes import Edit, Obj

KEY, ROLES = "certificatesigningrequests", "clusterroles"
CLIENT_USAGES = {"digital signature", "key encipherment", "client auth"}


class Certificates:
    """Signs what was approved since the last look, and sums up roles that changed."""

    def __init__(self, api: Api, pki: Pki) -> None:
        self._api, self._pki = api, pki
        self._seen = (-1, -1)

    def look(self) -> None:
        """Do what is due."""
        touched = self._api.store.touched
        changed = (touched.get(KEY, 0), touched.get(ROLES, 0))
        if changed == self._seen:
            return
        self._seen = changed
        with self._api.cluster.lock:
            due = [each for each in self._api.store.all(KEY) if is_due(each)]
            edits: list[Edit] = [(KEY, "", each["metadata"]["name"], self._signed(each)) for each in due]
            edits += self._roles()
            if edits:
                self._api.cluster.commit(edits)

    def _signed(self, request: Obj) -> Obj:
        """The request with its certificate, or with why there is none."""
        spec, status = request["spec"], dict(request["status"])
        usages = spec["usages"]
        problem = usage_problem(usages)
        if problem:
            failed = {"type": "Failed", "status": "True", "reason": "SignerValidationFailure", "message": problem,
                      "lastUpdateTime": stamp(), "lastTransitionTime": stamp()}  # fmt: skip
            status["conditions"] = [*status["conditions"], failed]
        else:
            try:
                pem = sign_request(self._pki, base64.b64decode(spec["request"]), usages, spec.get("expirationSeconds"))
                status["certificate"] = base64.b64encode(pem).decode()
            except ValueError as error:
                log("error", f"Sync {request['metadata']['name']} failed with : error auto signing csr: {error}")
        return {**request, "metadata": dict(request["metadata"]), "status": status}

    def _roles(self) -> list[Edit]:
        """The roles that sum up others, where these have changed."""
        edits: list[Edit] = []
        roles = {each["metadata"]["name"]: each for each in self._api.store.all(ROLES)}
        for _ in range(3):  # admin sums up edit, which sums up view
            for name, role in list(roles.items()):
                rules = summed(role, list(roles.values()))
                if rules is not None and rules != (role.get("rules") or []):
                    roles[name] = {**role, "metadata": dict(role["metadata"]), "rules": rules}
        for each in self._api.store.all(ROLES):
            new = roles[each["metadata"]["name"]]
            edits += [] if new is each else [(ROLES, "", each["metadata"]["name"], new)]
        return edits


def usage_problem(usages: list[str]) -> str:
    """Why this signer does not sign for these usages (pkg/controller/certificates/signer)."""
    other = next((usage for usage in usages if usage not in CLIENT_USAGES), "")
    if other:
        return f"invalid usage for client certificate: {other}"
    return "" if "client auth" in usages else "missing required usage for client certificate: client auth"


def is_due(request: Obj) -> bool:
    """Whether a request is approved and has no certificate yet."""
    status, kinds = request.get("status") or {}, conditions_of(request)
    if request["spec"].get("signerName") != CLIENT_SIGNER or status.get("certificate"):
        return False
    return "Approved" in kinds and "Failed" not in kinds


def summed(role: Obj, others: list[Obj]) -> list[Obj] | None:
    """The rules of all roles that this one sums up; None if it sums up nothing."""
    selectors = (role.get("aggregationRule") or {}).get("clusterRoleSelectors")
    if not selectors:
        return None
    rules: list[Obj] = []
    for selector in selectors:
        for other in others:
            if other is not role and label_selector_matches(selector, labels_of(other)):
                rules += [rule for rule in other.get("rules") or [] if rule not in rules]
    return rules
