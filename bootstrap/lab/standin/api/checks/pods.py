"""Pods and templates of pods (pkg/apis/core/validation of Kubernetes)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ...shapes import Obj
from .errors import FieldError, duplicate, forbidden, invalid, not_there, required, unsupported
from .metadata import QUALIFIED, VALUE_WORDS, annotation_errors, label_errors, label_problems, qualified_problems

PORT = "must be between 1 and 65535, inclusive"
PROTOCOLS = ("SCTP", "TCP", "UDP")
NEGATIVE = "must be greater than or equal to 0"
POLICIES = ("Always", "IfNotPresent", "Never")
VARIABLE = "a valid environment variable name must consist only of printable ASCII characters other than '='"
PROBE_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")
IMMUTABLE = "field is immutable"
UPDATES = ("pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
           "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
           "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)")  # fmt: skip

Errors = Iterator[FieldError]


def name_errors(name: str, field: str) -> Errors:
    """Of a name that has to be a label."""
    if not name:
        yield required(field)
        return
    for text in label_problems(name):
        yield invalid(field, name, text)


def port_errors(port: object, field: str) -> Errors:
    if isinstance(port, int) and not 1 <= port <= 65535:
        yield invalid(field, port, PORT)
    elif isinstance(port, str):
        for text in port_name_problems(port):
            yield invalid(field, port, text)


def port_name_problems(name: str) -> Iterator[str]:
    if len(name) > 15:
        yield "must be no more than 15 characters"
    if not re.fullmatch("[-a-z0-9]+", name):
        yield "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"
    if not re.search("[a-z]", name):
        yield "must contain at least one letter (a-z)"
    if "--" in name:
        yield "must not contain consecutive hyphens"
    if name and "-" in (name[0], name[-1]):
        yield "must not begin or end with a hyphen"


def selector_errors(selector: Obj | None, field: str) -> Errors:
    """Of a LabelSelector."""
    selector = selector or {}
    yield from label_errors(selector.get("matchLabels") or {}, f"{field}.matchLabels")
    for at, each in enumerate(selector.get("matchExpressions") or []):
        path, operator, values = f"{field}.matchExpressions[{at}]", each.get("operator"), each.get("values") or []
        if operator in ("In", "NotIn") and not values:
            yield required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        elif operator in ("Exists", "DoesNotExist") and values:
            yield forbidden(f"{path}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
        elif operator not in OPERATORS:
            yield invalid(f"{path}.operator", operator or "", "not a valid selector operator")
        for text in qualified_problems(each.get("key") or ""):
            yield invalid(f"{path}.key", each.get("key") or "", text)
        for value_at, value in enumerate(values):
            if value and not re.fullmatch(QUALIFIED, value):
                yield invalid(f"{path}.values[{value_at}]", value, VALUE_WORDS)


def template_errors(template: Obj, field: str) -> Errors:
    meta = template.get("metadata") or {}
    yield from label_errors(meta.get("labels") or {}, f"{field}.labels")
    yield from annotation_errors(meta.get("annotations") or {}, f"{field}.annotations")
    yield from spec_errors(template.get("spec") or {}, f"{field}.spec")


def spec_errors(spec: Obj, field: str) -> Errors:
    volumes: set[str] = set()
    for at, volume in enumerate(spec.get("volumes") or []):
        path, name = f"{field}.volumes[{at}]", volume.get("name") or ""
        sources = [key for key in volume if key != "name"]
        if len(sources) > 1:
            yield forbidden(f"{path}.{sorted(sources)[-1]}", "may not specify more than 1 volume type")
        yield from name_errors(name, f"{path}.name")
        if name in volumes:
            yield duplicate(f"{path}.name", name)
        volumes.add(name)
    yield from containers_errors(spec.get("containers") or [], volumes, f"{field}.containers")
    if spec.get("initContainers"):
        names = {each.get("name") for each in spec.get("containers") or []}
        yield from containers_errors(spec["initContainers"], volumes, f"{field}.initContainers", taken=names)
    policy = spec.get("restartPolicy")
    if policy not in ("Always", "OnFailure", "Never"):
        yield unsupported(f"{field}.restartPolicy", policy, ("Always", "OnFailure", "Never"))
    policies = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
    if spec.get("dnsPolicy") not in policies:
        yield unsupported(f"{field}.dnsPolicy", spec.get("dnsPolicy"), policies)
    yield from label_errors(spec.get("nodeSelector") or {}, f"{field}.nodeSelector")
    for at, each in enumerate(spec.get("tolerations") or []):
        yield from toleration_errors(each, f"{field}.tolerations[{at}]")
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        yield invalid(f"{field}.terminationGracePeriodSeconds", spec["terminationGracePeriodSeconds"], NEGATIVE)


def toleration_errors(each: Obj, field: str) -> Errors:
    operator, effects = each.get("operator") or "", ("NoSchedule", "PreferNoSchedule", "NoExecute")
    if each.get("key"):
        for text in qualified_problems(each["key"]):
            yield invalid(f"{field}.key", each["key"], text)
    elif operator != "Exists":
        text = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
        yield invalid(f"{field}.operator", operator, text)
    if operator == "Exists" and each.get("value"):
        yield invalid(f"{field}.operator", each, "value must be empty when `operator` is 'Exists'")
    if operator not in ("", "Equal", "Exists"):
        yield unsupported(f"{field}.operator", operator, ("Equal", "Exists"))
    if each.get("effect") and each["effect"] not in effects:
        yield unsupported(f"{field}.effect", each["effect"], effects)
    if each.get("tolerationSeconds") is not None and each.get("effect") != "NoExecute":
        yield invalid(
            f"{field}.effect", each.get("effect") or "", "effect must be 'NoExecute' when `tolerationSeconds` is set"
        )


def containers_errors(containers: list[Obj], volumes: set[str], field: str, *, taken: set[str] | None = None) -> Errors:
    if not containers:
        yield required(field)
    names = set(taken or ())
    for at, container in enumerate(containers):
        path = f"{field}[{at}]"
        yield from container_errors(container, volumes, path)
        if container.get("name") in names:
            yield duplicate(f"{path}.name", container.get("name"))
        names.add(container.get("name") or "")


def container_errors(container: Obj, volumes: set[str], field: str) -> Errors:
    yield from name_errors(container.get("name") or "", f"{field}.name")
    if not container.get("image"):
        yield required(f"{field}.image")
    yield from container_ports_errors(container.get("ports") or [], f"{field}.ports")
    for at, variable in enumerate(container.get("env") or []):
        yield from variable_errors(variable, f"{field}.env[{at}]")
    yield from mount_errors(container.get("volumeMounts") or [], volumes, f"{field}.volumeMounts")
    if container.get("imagePullPolicy") not in POLICIES:
        yield unsupported(f"{field}.imagePullPolicy", container.get("imagePullPolicy"), POLICIES)
    resources = container.get("resources") or {}
    for name, wanted in (resources.get("requests") or {}).items():
        most = (resources.get("limits") or {}).get(name)
        if most is not None and amount(wanted) > amount(most):
            text = f"must be less than or equal to {name} limit of {most}"
            yield invalid(f"{field}.resources.requests", str(wanted), text)
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(name) is not None:
            yield from probe_errors(container[name], f"{field}.{name}")


SUFFIXES = {"": 1, "n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18,
            "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60}  # fmt: skip


def amount(quantity: object) -> float:
    """A quantity as a number."""
    found = re.fullmatch(r"([+-]?[0-9.]+)([A-Za-z]*)", str(quantity))
    if found is None or found[2] not in SUFFIXES:
        return float(str(quantity))
    return float(found[1]) * SUFFIXES[found[2]]


def probe_errors(probe: Obj, field: str) -> Errors:
    handlers = [name for name in PROBE_HANDLERS if probe.get(name) is not None]
    if not handlers:
        yield required(field, "must specify a handler type")
    elif len(handlers) > 1:
        yield forbidden(f"{field}.{handlers[1]}", "may not specify more than 1 handler type")
    for name in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"):
        if (probe.get(name) or 0) < 0:
            yield invalid(f"{field}.{name}", probe[name], NEGATIVE)
    for name in ("httpGet", "tcpSocket"):
        if probe.get(name) is not None:
            yield from port_errors(probe[name].get("port"), f"{field}.{name}.port")


def container_ports_errors(ports: list[Obj], field: str) -> Errors:
    names: set[str] = set()
    for at, port in enumerate(ports):
        path, name = f"{field}[{at}]", port.get("name") or ""
        problems = list(port_name_problems(name)) if name else []
        for text in problems:
            yield invalid(f"{path}.name", name, text)
        if name in names and name and not problems:
            yield duplicate(f"{path}.name", name)
        names.add(name)
        if not port.get("containerPort"):
            yield required(f"{path}.containerPort")
        else:
            yield from port_errors(port["containerPort"], f"{path}.containerPort")
        if port.get("hostPort"):
            yield from port_errors(port["hostPort"], f"{path}.hostPort")
        if port.get("protocol") not in PROTOCOLS:
            yield unsupported(f"{path}.protocol", port.get("protocol"), PROTOCOLS)


def variable_errors(variable: Obj, field: str) -> Errors:
    name, source = variable.get("name") or "", variable.get("valueFrom")
    if not name:
        yield required(f"{field}.name")
    elif "=" in name or not name.isprintable() or not name.isascii():
        yield invalid(f"{field}.name", name, VARIABLE)
    if source is None:
        return
    sources = [key for key, value in source.items() if value is not None]
    if not sources:
        text = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        yield invalid(f"{field}.valueFrom", "", text)
    elif variable.get("value"):
        yield invalid(f"{field}.valueFrom", "", "may not be specified when `value` is not empty")
    elif len(sources) > 1:
        yield invalid(f"{field}.valueFrom", "", "may not have more than one field specified at a time")


def mount_errors(mounts: list[Obj], volumes: set[str], field: str) -> Errors:
    points: set[str] = set()
    for at, mount in enumerate(mounts):
        path, name, point = f"{field}[{at}]", mount.get("name") or "", mount.get("mountPath") or ""
        if not name:
            yield required(f"{path}.name")
        if name not in volumes:
            yield not_there(f"{path}.name", name)
        if not point:
            yield required(f"{path}.mountPath")
        if point in points:
            yield invalid(f"{path}.mountPath", point, "must be unique")
        points.add(point)


def pod_errors(new: Obj, old: Obj | None) -> Errors:
    yield from spec_errors(new["spec"], "spec")
    if old is not None and frozen(new["spec"]) != frozen(old["spec"]):
        yield forbidden("spec", UPDATES)


def frozen(spec: Obj) -> Obj:
    """The part of a pod that an update may not change."""
    free = ("activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds", "containers", "initContainers")
    result = {key: value for key, value in spec.items() if key not in free}
    for name in ("containers", "initContainers"):
        result[name] = [{key: value for key, value in each.items() if key != "image"} for each in spec.get(name) or []]
    return result
