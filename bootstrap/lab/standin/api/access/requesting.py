"""CertificateSigningRequests: what is filled in and refused when one is made or approved."""

from __future__ import annotations

import base64
from collections.abc import Iterator

from ...connections.signing import subject_of
from ...failures import ApiError
from ...logs import stamp
from ...shapes import Obj
from ..checks.errors import FieldError, duplicate, forbidden, invalid, required, unsupported
from .authorizing import MASTERS

CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client"
USAGES = (
    "any", "cert sign", "client auth", "code signing", "content commitment", "crl sign", "data encipherment",
    "decipher only", "digital signature", "email protection", "encipher only", "ipsec end system", "ipsec tunnel",
    "ipsec user", "key agreement", "key encipherment", "microsoft sgc", "netscape sgc", "ocsp signing", "s/mime",
    "server auth", "signing", "timestamping",
)  # fmt: skip
KEPT = ("Approved", "Denied", "Failed")
FIXED = ("Approved", "Denied")
EXCLUSIVE = "Approved and Denied conditions are mutually exclusive"


def fill(new: Obj, user: str, groups: tuple[str, ...]) -> None:
    """Who asks is written into a new request, which is not approved by being made."""
    spec = {key: value for key, value in new["spec"].items() if key not in ("username", "uid", "groups", "extra")}
    new["spec"] = {**spec, "username": user, "groups": list(groups)}
    new["status"] = {}


def approve(old: Obj, body: Obj) -> Obj:
    """The request after a write of its subresource `approval`, which changes conditions alone."""
    before = (old.get("status") or {}).get("conditions") or []
    conditions = []
    for each in (body.get("status") or {}).get("conditions") or []:
        kind = (each.get("type"), each.get("status"))
        same: Obj = next((one for one in before if (one["type"], one["status"]) == kind), {})
        since = each.get("lastTransitionTime") or same.get("lastTransitionTime") or stamp()
        times = {"lastUpdateTime": each.get("lastUpdateTime") or stamp(), "lastTransitionTime": since}
        conditions.append({**each, **times})
    return {**old, "status": {**(old.get("status") or {}), "conditions": conditions}}


def refuse_masters(new: Obj) -> None:
    """Raises ApiError for a client that might do everything, as the plugin CertificateSubjectRestriction does."""
    if new["spec"].get("signerName") != CLIENT_SIGNER:
        return
    if MASTERS in subject_of(base64.b64decode(new["spec"].get("request") or ""))["O"]:
        name, plural = new["metadata"]["name"], "certificatesigningrequests"
        text = f"use of {CLIENT_SIGNER} signer with {MASTERS} group is not allowed"
        details = {"name": name, "group": "certificates.k8s.io", "kind": plural}
        raise ApiError(403, "Forbidden", f'{plural}.certificates.k8s.io "{name}" is forbidden: {text}', details)


def request_errors(new: Obj, old: Obj | None) -> Iterator[FieldError]:
    """pkg/apis/certificates/validation."""
    spec = new.get("spec") or {}
    try:
        subject_of(base64.b64decode(spec.get("request") or "")) if old is None else None
    except ValueError as error:
        yield invalid("spec.request", spec.get("request") or None, str(error))
    usages = spec.get("usages") or []
    if not usages:
        yield required("spec.usages")
    for at, usage in enumerate(usages):
        if usage not in USAGES:
            yield unsupported(f"spec.usages[{at}]", usage, USAGES)
        if usage in usages[:at]:
            yield duplicate(f"spec.usages[{at}]", usage)
    if not spec.get("signerName"):
        yield required("spec.signerName")
    elif "/" not in spec["signerName"]:
        text = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        yield invalid("spec.signerName", spec["signerName"], text)
    if spec.get("expirationSeconds") is not None and spec["expirationSeconds"] < 600:
        text = "may not specify a duration less than 600 seconds (10 minutes)"
        yield invalid("spec.expirationSeconds", spec["expirationSeconds"], text)
    yield from condition_errors(new)


def condition_errors(new: Obj) -> Iterator[FieldError]:
    conditions = (new.get("status") or {}).get("conditions") or []
    seen: set[str] = set()
    for at, each in enumerate(conditions):
        path, kind = f"status.conditions[{at}]", each.get("type") or ""
        if not kind:
            yield required(f"{path}.type")
        known = ("True",) if kind in KEPT else ("False", "True", "Unknown")
        if not each.get("status"):
            yield required(f"{path}.status")
        elif each["status"] not in known:
            yield unsupported(f"{path}.status", each["status"], known)
        if kind in FIXED and seen & (set(FIXED) - {kind}):
            yield invalid("status.conditions", kind, EXCLUSIVE)
        if kind in seen:
            yield duplicate(f"{path}.type", kind)
        seen.add(kind)


def change_errors(new: Obj, old: Obj, sub: str) -> Iterator[FieldError]:
    """What an update may not change of the conditions."""
    after, before = conditions_of(new), conditions_of(old)
    for kind in KEPT:
        if kind in before and kind not in after:
            yield forbidden("status.conditions", f'updates may not remove a condition of type "{kind}"')
    for kind in FIXED if sub != "approval" else ():
        if kind in after and kind not in before:
            yield forbidden("status.conditions", f'updates may not add a condition of type "{kind}"')


def conditions_of(request: Obj) -> list[str]:
    return [each.get("type", "") for each in (request.get("status") or {}).get("conditions") or []]
