"""Names, labels and annotations (apimachinery, pkg/api/validation and util/validation)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ...shapes import Obj
from ..resources import Resource
from .errors import FieldError, forbidden, invalid, required

LABEL_1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
SUBDOMAIN = rf"{LABEL}(\.{LABEL})*"
SUBDOMAIN_WORDS = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    r"end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
LABEL_WORDS = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
LABEL_1035_WORDS = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    "'[a-z]([-a-z0-9]*[a-z0-9])?')"
)
QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
NAME_PART_WORDS = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
QUALIFIED_WORDS = (
    "a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' "
    "(e.g. 'example.com/MyName')"
)
VALUE_WORDS = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
PATH_NAMES = ("clusterroles", "clusterrolebindings", "roles", "rolebindings", "certificatesigningrequests")
LABEL_NAMES = ("namespaces",)
LABEL_1035_NAMES = ("services",)
ANNOTATIONS_BYTES = 256 * 1024


def name_problems(resource: Resource, name: str) -> list[str]:
    """What is wrong with the name of an object of this kind."""
    if resource.key in PATH_NAMES and resource.group.startswith("rbac"):
        if name in (".", ".."):
            return [f"may not be '{name}'"]
        return [f"may not contain '{char}'" for char in "/%" if char in name]
    if resource.key in LABEL_NAMES:
        return label_problems(name)
    if resource.key in LABEL_1035_NAMES:
        return ["must be no more than 63 characters"] * (len(name) > 63) + [LABEL_1035_WORDS] * (
            not re.fullmatch(LABEL_1035, name)
        )
    return subdomain_problems(name)


def subdomain_problems(name: str) -> list[str]:
    long = ["must be no more than 253 characters"] if len(name) > 253 else []
    return long + ([] if re.fullmatch(SUBDOMAIN, name) else [SUBDOMAIN_WORDS])


def label_problems(name: str) -> list[str]:
    long = ["must be no more than 63 characters"] if len(name) > 63 else []
    return long + ([] if re.fullmatch(LABEL, name) else [LABEL_WORDS])


def qualified_problems(name: str) -> list[str]:
    """What is wrong with the key of a label or an annotation."""
    prefix, slash, plain = name.rpartition("/")
    if prefix.count("/"):
        return [QUALIFIED_WORDS]
    found = []
    if slash and not prefix:
        found.append("prefix part must be non-empty")
    elif slash:
        found += [f"prefix part {text}" for text in subdomain_problems(prefix)]
    if not plain:
        found.append("name part must be non-empty")
    elif len(plain) > 63:
        found.append("name part must be no more than 63 characters")
    if not re.fullmatch(QUALIFIED, plain):
        found.append(NAME_PART_WORDS)
    return found


def label_errors(labels: Obj, field: str) -> Iterator[FieldError]:
    for key, value in (labels or {}).items():
        for text in qualified_problems(key):
            yield invalid(field, key, text)
        if len(value) > 63:
            yield invalid(field, value, "must be no more than 63 characters")
        if value and not re.fullmatch(QUALIFIED, value):
            yield invalid(field, value, VALUE_WORDS)


def annotation_errors(annotations: Obj, field: str) -> Iterator[FieldError]:
    for key in annotations or {}:
        for text in qualified_problems(key.lower()):
            yield invalid(field, key, text)
    size = sum(len(key.encode()) + len(value.encode()) for key, value in (annotations or {}).items())
    if size > ANNOTATIONS_BYTES:
        yield FieldError(field, "FieldValueTooLong", f"Too long: may not be more than {ANNOTATIONS_BYTES} bytes")


def metadata_errors(resource: Resource, new: Obj, old: Obj | None) -> list[FieldError]:
    meta, found = new["metadata"], []
    if not meta.get("name"):
        found.append(required("metadata.name", "name or generateName is required"))
    elif old is None:
        found += [invalid("metadata.name", meta["name"], text) for text in name_problems(resource, meta["name"])]
    found += label_errors(meta.get("labels") or {}, "metadata.labels")
    found += annotation_errors(meta.get("annotations") or {}, "metadata.annotations")
    for at, reference in enumerate(meta.get("ownerReferences") or []):
        path = f"metadata.ownerReferences[{at}]"
        found += [invalid(f"{path}.{name}", "", "must not be empty") for name in ("uid", "name", "kind", "apiVersion")
                  if not reference.get(name)]  # fmt: skip
    if old is not None and old["metadata"].get("deletionTimestamp"):
        added = [each for each in meta.get("finalizers") or [] if each not in (old["metadata"].get("finalizers") or [])]
        if added:
            text = f"no new finalizers can be added if the object is being deleted, found new finalizers {added!r}"
            found.append(forbidden("metadata.finalizers", text))
    return found
