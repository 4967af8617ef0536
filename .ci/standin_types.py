#!/usr/bin/env python3
"""Writes the stand-in's table of Kubernetes' types from Kubernetes' own OpenAPI documents.

.ci/standin_types.py DIR     # DIR: api/openapi-spec/v3 of a release of Kubernetes

The modules in bootstrap/lab/standin/api/types/tables say how to read it.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

TABLES = Path(__file__).parents[1] / "bootstrap/lab/standin/api/types/tables"
GROUPS = {
    "core": {
        "api__v1": "ConfigMap Endpoints Event LimitRange Namespace Node PersistentVolume PersistentVolumeClaim Pod "
                   "ResourceQuota Secret Service ServiceAccount"
    },
    "workloads": {
        "apis__apps__v1": "ControllerRevision DaemonSet Deployment ReplicaSet StatefulSet",
        "apis__autoscaling__v2": "HorizontalPodAutoscaler",
        "apis__batch__v1": "CronJob Job",
        "apis__coordination.k8s.io__v1": "Lease",
        "apis__policy__v1": "PodDisruptionBudget",
        "apis__scheduling.k8s.io__v1": "PriorityClass",
    },
    "cluster": {
        "apis__admissionregistration.k8s.io__v1": "MutatingWebhookConfiguration ValidatingAdmissionPolicy "
                                                  "ValidatingAdmissionPolicyBinding ValidatingWebhookConfiguration",
        "apis__apiextensions.k8s.io__v1": "CustomResourceDefinition",
        "apis__apiregistration.k8s.io__v1": "APIService",
        "apis__certificates.k8s.io__v1": "CertificateSigningRequest",
        "apis__discovery.k8s.io__v1": "EndpointSlice",
        "apis__networking.k8s.io__v1": "Ingress IngressClass NetworkPolicy",
        "apis__node.k8s.io__v1": "RuntimeClass",
        "apis__rbac.authorization.k8s.io__v1": "ClusterRole ClusterRoleBinding Role RoleBinding",
        "apis__storage.k8s.io__v1": "CSIDriver CSINode StorageClass VolumeAttachment",
    },
}  # fmt: skip
SCALARS = {("string", None): "s", ("string", "byte"): "y", ("integer", "int32"): "i", ("integer", "int64"): "l",
           ("number", "double"): "n", ("boolean", None): "b", ("object", None): "?", (None, None): "?",
           ("string", "date-time"): "t"}  # fmt: skip
NAMED = {"meta.Time": "t", "meta.MicroTime": "t", "meta.FieldsV1": "?", "RawExtension": "*", "Quantity": "q",
         "IntOrString": "x"}  # fmt: skip


def short(name: str) -> str:
    """The name of a type without what all names begin with."""
    name = re.sub(
        r"^io\.k8s\.(api|apimachinery\.pkg\.(apis|runtime|util\.intstr|api\.resource)|.*\.pkg\.apis)\.", "", name
    )
    return name.replace("meta.v1.", "meta.")


def type_of(schema: dict[str, Any], known: dict[str, Any]) -> str:
    """The word for a type; refs to types without fields become words too."""
    ref = schema.get("$ref") or next((each["$ref"] for each in schema.get("allOf", [])), "")
    if ref:
        name = ref.rpartition("/")[2]
        word = NAMED.get(short(name))
        return word or ("@" + short(name) if known[name].get("properties") else type_of(known[name], known))
    if schema.get("type") == "array":
        return list_of(schema, known)
    if "additionalProperties" in schema:
        atomic = "!" if schema.get("x-kubernetes-map-type") == "atomic" else ""
        return "{" + atomic + type_of(schema["additionalProperties"], known)
    return SCALARS[schema.get("type"), schema.get("format")]


def list_of(schema: dict[str, Any], known: dict[str, Any]) -> str:
    """The word for a list, with the keys by which it is merged."""
    items = type_of(schema["items"], known)
    kind, keys = schema.get("x-kubernetes-list-type"), schema.get("x-kubernetes-list-map-keys", [])
    merged = schema.get("x-kubernetes-patch-merge-key", "")
    if "merge" not in schema.get("x-kubernetes-patch-strategy", ""):
        merged = ""
    elif kind is None:
        kind, keys = ("map", [merged]) if merged else ("set", [])
    if kind == "map":
        names = ",".join(keys) + ("" if merged == keys[0] else f"/{merged}")
        return f"[{names}|{items}"
    return f"[{'=' if kind == 'set' else ''}{items}" if not merged else f"[/{merged}|{items}"


def field(name: str, schema: dict[str, Any], owner: dict[str, Any], known: dict[str, Any]) -> str:
    """A field and its type, with its marks."""
    default = schema.get("default")
    mark = "*" if name in owner.get("required", []) else ""
    mark += "+" if default == {} and "allOf" in schema else ""
    tail = f"={default}" if default == "TCP" else ""
    return f"{name}{mark}:{type_of(schema, known)}{tail}"


def lines_of(files: dict[str, str], folder: Path, seen: set[str]) -> list[str]:
    """A line for each type that these kinds need and that no earlier table has."""
    lines = {}
    for file, kinds in files.items():
        known = json.loads((folder / f"{file}_openapi.json").read_text())["components"]["schemas"]
        ours = [name for name in known if known[name].get("x-kubernetes-group-version-kind")]
        todo = [name for name in ours if name.rpartition(".")[2] in kinds.split()]
        while todo:
            name = todo.pop()
            references = re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(known[name]))
            todo += [each for each in references if each != name and short(each) not in seen | set(lines)]
            if short(name) in seen | set(lines) | set(NAMED) or not known[name].get("properties"):
                continue
            atomic = "!" if known[name].get("x-kubernetes-map-type") == "atomic" else ""
            fields = [field(key, value, known[name], known) for key, value in sorted(known[name]["properties"].items())]
            lines[short(name)] = " ".join([short(name) + atomic, *fields])
    seen |= set(lines)
    return [lines[name] for name in sorted(lines)]


def main(folder: Path) -> None:
    """Write the tables."""
    seen: set[str] = set()
    for name, files in GROUPS.items():
        lines = [textwrap.fill(line, 118, subsequent_indent=" ", break_long_words=False, break_on_hyphens=False)
                 for line in lines_of(files, folder, seen)]  # fmt: skip
        kinds = (
            f'"""Fields of Kubernetes\' types: {name}. Written by .ci/standin_types.py; `types` says how to read it."""'
        )
        text = f'{kinds}\n\nfrom __future__ import annotations\n\nTABLE = """\n' + "\n".join(lines) + '\n"""\n'
        (TABLES / f"{name}.py").write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
