"""Role-based access control (plugin/pkg/auth/authorizer/rbac of Kubernetes)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ...datastore.store import Store
from ...failures import ApiError
from ...shapes import Obj

MASTERS, AUTHENTICATED = "system:masters", "system:authenticated"
VERBS = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


class User(NamedTuple):
    """Who asks."""

    name: str
    groups: tuple[str, ...] = ()

    def info(self) -> Obj:
        return {"username": self.name, "groups": list(self.groups)}


class Attributes(NamedTuple):
    """What is asked for."""

    verb: str
    group: str = ""
    resource: str = ""
    """With its subresource: `pods/eviction`."""
    namespace: str = ""
    name: str = ""
    path: str = ""
    """Of a request that is not for a resource."""

    def words(self, user: User) -> str:
        """Why this is refused."""
        if self.path:
            return f'User "{user.name}" cannot {self.verb} path "{self.path}"'
        where = f'in the namespace "{self.namespace}"' if self.namespace else "at the cluster scope"
        return f'User "{user.name}" cannot {self.verb} resource "{self.resource}" in API group "{self.group}" {where}'


class Authorizer:
    """What the roles in the store allow."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def allows(self, user: User, wanted: Attributes) -> str | None:
        """Why this is allowed; None if it is not."""
        if MASTERS in user.groups:
            return ""
        for rule, reason in self.rules_of(user, wanted.namespace):
            if covers(rule, wanted):
                return reason
        return None

    def require(self, user: User, wanted: Attributes) -> None:
        """Raises ApiError for what is not allowed."""
        if self.allows(user, wanted) is None:
            raise forbidden(wanted, wanted.words(user))

    def rules_of(self, user: User, namespace: str) -> Iterator[tuple[Obj, str]]:
        """The rules that hold for a user, with the words that say why."""
        for binding in self._store.all("clusterrolebindings"):
            yield from self._rules(user, binding, "", "ClusterRoleBinding")
        if namespace:
            for binding in self._store.all("rolebindings", namespace):
                yield from self._rules(user, binding, namespace, "RoleBinding")

    def _rules(self, user: User, binding: Obj, namespace: str, kind: str) -> Iterator[tuple[Obj, str]]:
        subject = next((each for each in binding.get("subjects") or [] if is_subject(each, user, namespace)), None)
        if subject is None:
            return
        reference, meta = binding["roleRef"], binding["metadata"]
        cluster_wide = reference["kind"] == "ClusterRole"
        role = self._store.get("clusterroles" if cluster_wide else "roles", "" if cluster_wide else namespace,
                               reference["name"])  # fmt: skip
        name = f"{meta['name']}/{namespace}" if namespace else meta["name"]
        reason = f'RBAC: allowed by {kind} "{name}" of {reference["kind"]} "{reference["name"]}" to {shown(subject)}'
        for rule in (role or {}).get("rules") or []:
            yield rule, reason


def shown(subject: Obj) -> str:
    """A subject in words."""
    if subject["kind"] == "ServiceAccount":
        return f'ServiceAccount "{subject["name"]}/{subject.get("namespace", "")}"'
    return f'{subject["kind"]} "{subject["name"]}"'


def is_subject(subject: Obj, user: User, namespace: str) -> bool:
    match subject.get("kind"):
        case "User":
            return bool(subject["name"] == user.name)
        case "Group":
            return subject["name"] in user.groups
        case "ServiceAccount":
            where = subject.get("namespace") or namespace
            return user.name == f"system:serviceaccount:{where}:{subject['name']}"
    return False


def covers(rule: Obj, wanted: Attributes) -> bool:
    """Whether a rule allows this."""
    if not {wanted.verb, "*"} & set(rule.get("verbs") or ()):
        return False
    if wanted.path:
        paths = rule.get("nonResourceURLs") or ()
        return any(path in ("*", wanted.path) or (path.endswith("*") and wanted.path.startswith(path[:-1]))
                   for path in paths)  # fmt: skip
    if not {wanted.group, "*"} & set(rule.get("apiGroups") or ()):
        return False
    _, slash, sub = wanted.resource.partition("/")
    names = {wanted.resource, "*", *([f"*/{sub}"] if slash else [])}
    if not names & set(rule.get("resources") or ()):
        return False
    only = rule.get("resourceNames")
    return not only or wanted.name in only


def forbidden(wanted: Attributes, text: str) -> ApiError:
    """A refusal, in Kubernetes' form."""
    if wanted.path:
        return ApiError(403, "Forbidden", f"forbidden: {text}", {})
    plural = wanted.resource.partition("/")[0]
    qualified = f"{plural}.{wanted.group}" if wanted.group else plural
    named = f'{qualified} "{wanted.name}"' if wanted.name else qualified
    details = {**({"name": wanted.name} if wanted.name else {}), **({"group": wanted.group} if wanted.group else {}),
               "kind": plural}  # fmt: skip
    return ApiError(403, "Forbidden", f"{named} is forbidden: {text}", details)
