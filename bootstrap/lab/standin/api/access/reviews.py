"""Reviews: questions about the asker and about what is allowed, which are answered and not kept."""

from __future__ import annotations

from ...failures import ApiError
from ...shapes import Json, Obj
from .authorizing import MASTERS, Attributes, Authorizer, User

REVIEWS = ("selfsubjectreviews", "selfsubjectaccessreviews", "selfsubjectrulesreviews", "subjectaccessreviews",
           "localsubjectaccessreviews")  # fmt: skip


def review(plural: str, user: User, body: Json, authorizer: Authorizer) -> Obj:
    """The answer to a review."""
    given: Obj = body if isinstance(body, dict) else {}
    spec = given.get("spec") or {}
    if plural == "selfsubjectreviews":
        return answer("authentication.k8s.io/v1", "SelfSubjectReview", given, {"userInfo": user.info()})
    if plural == "selfsubjectrulesreviews":
        status = rules_status(user, spec.get("namespace", ""), authorizer)
        return answer("authorization.k8s.io/v1", "SelfSubjectRulesReview", given, status)
    kinds = {"selfsubjectaccessreviews": "SelfSubjectAccessReview", "subjectaccessreviews": "SubjectAccessReview"}
    about = user
    if plural != "selfsubjectaccessreviews":
        about = User(spec.get("user", ""), tuple(spec.get("groups") or ()))
    kind = kinds.get(plural, "LocalSubjectAccessReview")
    reason = authorizer.allows(about, attributes_of(spec))
    status = {"allowed": reason is not None} | ({"reason": reason} if reason else {})
    return answer("authorization.k8s.io/v1", kind, given, status)


def answer(version: str, kind: str, given: Obj, status: Obj) -> Obj:
    spec = {"spec": given["spec"]} if "spec" in given else {}
    return {"kind": kind, "apiVersion": version, "metadata": {"creationTimestamp": None}, **spec, "status": status}


def attributes_of(spec: Obj) -> Attributes:
    """What an access review asks about. Raises ApiError if it asks about nothing."""
    about = spec.get("resourceAttributes")
    if about is not None:
        resource = about.get("resource", "") + (f"/{about['subresource']}" if about.get("subresource") else "")
        return Attributes(about.get("verb", ""), about.get("group", ""), resource, about.get("namespace", ""),
                          about.get("name", ""))  # fmt: skip
    path = spec.get("nonResourceAttributes")
    if path is None:
        text = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        raise ApiError(422, "Invalid", f"spec.resourceAttributes: Invalid value: null: {text}")
    return Attributes(path.get("verb", ""), path=path.get("path", ""))


def rules_status(user: User, namespace: str, authorizer: Authorizer) -> Obj:
    """The rules of a user in a namespace."""
    found = [rule for rule, _ in authorizer.rules_of(user, namespace)]
    if MASTERS in user.groups:
        found.append({"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]})
    resources = [{name: rule[name] for name in ("verbs", "apiGroups", "resources", "resourceNames") if rule.get(name)}
                 for rule in found if rule.get("resources")]  # fmt: skip
    paths = [{"verbs": rule["verbs"], "nonResourceURLs": rule["nonResourceURLs"]} for rule in found
             if rule.get("nonResourceURLs")]  # fmt: skip
    return {"resourceRules": resources, "nonResourceRules": paths, "incomplete": False}
