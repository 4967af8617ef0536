"""Roles, storage, settings and definitions (pkg/apis/rbac, storage, core, scheduling, apiextensions of Kubernetes)."""

from __future__ import annotations

import base64
import binascii
import re

from ...shapes import Obj
from .errors import duplicate, forbidden, invalid, required, unsupported
from .metadata import LABEL_1035, LABEL_1035_WORDS, subdomain_problems
from .pods import IMMUTABLE, Errors, amount, selector_errors

RBAC = "rbac.authorization.k8s.io"
KEY_WORDS = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or "
    "'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)
LARGEST = 1024 * 1024
MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
CLAIM_KEPT = ("resources", "volumeAttributesClassName", "volumeName", "storageClassName")
SECRET_KEYS = {"kubernetes.io/tls": ("tls.crt", "tls.key"), "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
               "kubernetes.io/dockercfg": (".dockercfg",), "kubernetes.io/ssh-auth": ("ssh-privatekey",)}  # fmt: skip
MOST_PRIORITY = 1000000000


def key_errors(data: Obj, field: str) -> Errors:
    for key in data:
        if not re.fullmatch(r"[-._a-zA-Z0-9]+", key):
            yield invalid(f"{field}[{key}]", key, KEY_WORDS)


def config_map_errors(new: Obj, old: Obj | None) -> Errors:
    del old  # what is immutable is checked apart
    data, binary = new.get("data") or {}, new.get("binaryData") or {}
    yield from key_errors(data, "data")
    for key in set(data) & set(binary):
        yield invalid(f"data[{key}]", key, "duplicate of key present in binaryData")
    yield from key_errors(binary, "binaryData")
    if sum(len(value.encode()) for value in data.values()) > LARGEST:
        yield forbidden("[]", "Too long: may not be more than 1048576 bytes")


def secret_errors(new: Obj, old: Obj | None) -> Errors:
    data, kind = {**(new.get("data") or {}), **(new.get("stringData") or {})}, new.get("type")
    yield from key_errors(data, "data")
    for key in SECRET_KEYS.get(kind or "", ()):
        if key not in data:
            yield required(f"data[{key}]")
    if old is not None and old.get("type") != kind:
        yield invalid("type", kind, IMMUTABLE)
    if sum(map(size, data.values())) > LARGEST:
        yield forbidden("data", "Too long: may not be more than 1048576 bytes")


def size(text: str) -> int:
    try:
        return len(base64.b64decode(text))
    except (binascii.Error, ValueError):
        return len(text)


def role_errors(new: Obj, old: Obj | None, *, namespaced: bool = True) -> Errors:
    del old
    for at, rule in enumerate(new.get("rules") or []):
        path, urls = f"rules[{at}]", rule.get("nonResourceURLs") or []
        if not rule.get("verbs"):
            yield required(f"{path}.verbs", "verbs must contain at least one value")
        if urls and namespaced:
            yield invalid(f"{path}.nonResourceURLs", urls, "namespaced rules cannot apply to non-resource URLs")
        if urls:
            if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
                text = "rules cannot apply to both regular resources and non-resource URLs"
                yield invalid(f"{path}.nonResourceURLs", urls, text)
            continue
        if not rule.get("apiGroups"):
            yield required(f"{path}.apiGroups", "resource rules must supply at least one api group")
        if not rule.get("resources"):
            yield required(f"{path}.resources", "resource rules must supply at least one resource")


def cluster_role_errors(new: Obj, old: Obj | None) -> Errors:
    yield from role_errors(new, old, namespaced=False)


def binding_errors(new: Obj, old: Obj | None, *, kinds: tuple[str, ...] = ("Role", "ClusterRole")) -> Errors:
    reference = new.get("roleRef") or {}
    if reference.get("apiGroup") != RBAC:
        yield unsupported("roleRef.apiGroup", reference.get("apiGroup") or "", (RBAC,))
    if reference.get("kind") not in kinds:
        yield unsupported("roleRef.kind", reference.get("kind") or "", kinds)
    if not reference.get("name"):
        yield required("roleRef.name")
    for at, subject in enumerate(new.get("subjects") or []):
        yield from subject_errors(subject, f"subjects[{at}]", namespaced="Role" in kinds)
    if old is not None and reference != old.get("roleRef"):
        yield invalid("roleRef", reference, "cannot change roleRef")


def cluster_binding_errors(new: Obj, old: Obj | None) -> Errors:
    yield from binding_errors(new, old, kinds=("ClusterRole",))


def subject_errors(subject: Obj, field: str, *, namespaced: bool) -> Errors:
    kind, group = subject.get("kind") or "", subject.get("apiGroup") or ""
    if not subject.get("name"):
        yield required(f"{field}.name")
    if kind == "ServiceAccount":
        for text in subdomain_problems(subject.get("name") or "x"):
            yield invalid(f"{field}.name", subject["name"], text)
        if group:
            yield unsupported(f"{field}.apiGroup", group, ("",))
        if not namespaced and not subject.get("namespace"):
            yield required(f"{field}.namespace")
    elif kind in ("User", "Group"):
        if group != RBAC:
            yield unsupported(f"{field}.apiGroup", group, (RBAC,))
    else:
        yield unsupported(f"{field}.kind", kind, ("ServiceAccount", "User", "Group"))


def claim_errors(new: Obj, old: Obj | None) -> Errors:
    spec = new.get("spec") or {}
    modes = spec.get("accessModes") or []
    if not modes:
        yield required("spec.accessModes", "at least 1 access mode is required")
    yield from selector_errors(spec.get("selector"), "spec.selector")
    for mode in modes:
        if mode not in MODES:
            yield unsupported("spec.accessModes", mode, MODES)
    wanted = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if wanted is None:
        yield required("spec.resources[storage]")
    elif amount(wanted) <= 0:
        yield invalid("spec.resources[storage]", str(wanted), "must be greater than zero")
    if spec.get("volumeMode") not in ("Block", "Filesystem"):
        yield unsupported("spec.volumeMode", spec.get("volumeMode"), ("Block", "Filesystem"))
    if old is not None:
        yield from claim_change_errors(spec, old.get("spec") or {})


def claim_change_errors(new: Obj, old: Obj) -> Errors:
    changed = [name for name in {**new, **old} if name not in CLAIM_KEPT and new.get(name) != old.get(name)]
    changed += [name for name in CLAIM_KEPT[2:] if old.get(name) and new.get(name) != old.get(name)]
    if changed:
        text = (
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
        )
        yield forbidden("spec", text)
    before, after = ((each.get("resources") or {}).get("requests") or {} for each in (old, new))
    if amount(after.get("storage", 0)) < amount(before.get("storage", 0)):
        yield forbidden("spec.resources.requests.storage", "field can not be less than previous value")


def volume_errors(new: Obj, old: Obj | None) -> Errors:
    del old
    spec = new.get("spec") or {}
    if not spec.get("accessModes"):
        yield required("spec.accessModes")
    if not spec.get("capacity"):
        yield required("spec.capacity")
    elif set(spec["capacity"]) != {"storage"}:
        yield unsupported("spec.capacity", spec["capacity"], ("storage",))
    sources = [key for key, value in spec.items() if isinstance(value, dict) and key not in ("capacity", "claimRef",
               "nodeAffinity")]  # fmt: skip
    if not sources:
        yield required("spec", "must specify a volume type")
    elif len(sources) > 1:
        yield forbidden(f"spec.{sorted(sources)[-1]}", "may not specify more than 1 volume type")


def storage_class_errors(new: Obj, old: Obj | None) -> Errors:
    if not new.get("provisioner"):
        yield required("provisioner")
    if new.get("reclaimPolicy") not in ("Delete", "Retain"):
        yield unsupported("reclaimPolicy", new.get("reclaimPolicy"), ("Delete", "Retain"))
    if new.get("volumeBindingMode") not in ("Immediate", "WaitForFirstConsumer"):
        yield unsupported("volumeBindingMode", new.get("volumeBindingMode"), ("Immediate", "WaitForFirstConsumer"))
    for name in ("parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"):
        if old is not None and (new.get(name) or None) != (old.get(name) or None):
            yield invalid(name, new.get(name), IMMUTABLE)


def driver_errors(new: Obj, old: Obj | None) -> Errors:
    if old is not None and (new.get("spec") or {}).get("attachRequired") != (old.get("spec") or {}).get(
        "attachRequired"
    ):
        yield invalid("spec.attachedRequired", new["spec"].get("attachRequired"), IMMUTABLE)


def priority_class_errors(new: Obj, old: Obj | None) -> Errors:
    name, value = new["metadata"].get("name") or "", new.get("value") or 0
    if name.startswith("system-") and name not in ("system-node-critical", "system-cluster-critical"):
        text = "priority class names with 'system-' prefix are reserved for system use only. error: "
        yield forbidden("metadata.name", f"{text}{name} is not a known system priority class")
    elif value > MOST_PRIORITY and not name.startswith("system-"):
        yield forbidden("value", f"maximum allowed value of a user defined priority is {MOST_PRIORITY}")
    if old is not None and value != (old.get("value") or 0):
        yield forbidden("value", "may not be changed in an update.")


def definition_errors(new: Obj, old: Obj | None) -> Errors:
    spec = new.get("spec") or {}
    names, group = spec.get("names") or {}, spec.get("group") or ""
    plural = names.get("plural") or ""
    if new["metadata"].get("name") != f"{plural}.{group}":
        yield invalid("metadata.name", new["metadata"].get("name") or "", 'must be spec.names.plural+"."+spec.group')
    if not group:
        yield required("spec.group")
    elif "." not in group:
        yield invalid("spec.group", group, "should be a domain with at least one dot")
    if spec.get("scope") not in ("Cluster", "Namespaced"):
        yield unsupported("spec.scope", spec.get("scope") or "", ("Cluster", "Namespaced"))
    for name in ("plural", "singular", "kind", "listKind"):
        value = names.get(name) or ""
        if not value:
            yield required(f"spec.names.{name}")
        elif not re.fullmatch(LABEL_1035, value.lower()):
            mixed = "may have mixed case, but should otherwise match: " if name in ("kind", "listKind") else ""
            yield invalid(f"spec.names.{name}", value, mixed + LABEL_1035_WORDS)
    yield from versions_errors(spec.get("versions") or [])
    if old is not None and spec.get("scope") != (old.get("spec") or {}).get("scope"):
        yield invalid("spec.scope", spec.get("scope"), IMMUTABLE)


def versions_errors(versions: list[Obj]) -> Errors:
    if not versions:
        yield required("spec.versions", "must have at least one version")
        return
    stored = [each for each in versions if each.get("storage")]
    if len(stored) != 1:
        text = "must have exactly one version marked as storage version"
        yield invalid("spec.versions", [plain(each) for each in versions], text)
    seen: set[str] = set()
    for at, each in enumerate(versions):
        if each.get("name") in seen:
            yield duplicate(f"spec.versions[{at}].name", each.get("name"))
        seen.add(each.get("name") or "")
        schema = (each.get("schema") or {}).get("openAPIV3Schema")
        if schema is None:
            yield required(f"spec.versions[{at}].schema.openAPIV3Schema", "schemas are required")
        elif schema.get("type") != "object":
            path = f"spec.versions[{at}].schema.openAPIV3Schema.type"
            if schema.get("type"):
                yield invalid(path, schema["type"], "must be object at the root")
            else:
                yield required(path, "must not be empty at the root")


def plain(version: Obj) -> Obj:
    """A version in a message, without its schema."""
    return {key: value for key, value in version.items() if key != "schema"}
