"""Add-ons that use Proxmox VE's API: the certificate, the storages, the zones. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from bootstrap.addons.facts import Facts
from bootstrap.addons.finding import Finding

DEFAULT_CLASS: Final = {"storageclass.kubernetes.io/is-default-class": "true"}
_SYSTEM_CAS: Final = "/etc/ssl/certs/ca-certificates.crt"
"""Where Go looks for CAs; their images have no others that they need."""


def check_csi(values: Mapping[str, Any], facts: Facts) -> Iterator[Finding]:
    """What Proxmox CSI needs of the cluster."""
    yield from check_certificate(values, facts)
    storages = _storages(values, facts)
    if not storages:
        hint = "such as {storages: [local-lvm]}"
        yield Finding(path="values.storages", message="needs a storage: the inventory names none either", hint=hint)
    elif values["default"] is not None and values["default"] not in storages:
        message = f"is not one of the storages {', '.join(storages)}"
        yield Finding(path="values.default", message=message, hint="add it to storages, or name one of them")
    if not facts.zones:
        message = "finds volumes by the nodes' zone and region, and labels_from_proxmox is false"
        yield Finding(path="addon", message=message, hint="set labels_from_proxmox: true")


def check_ccm(values: Mapping[str, Any], facts: Facts) -> Iterator[Finding]:
    """What the cloud controller manager needs of the cluster."""
    yield from check_certificate(values, facts)
    if facts.ipv6:
        message = "k3s does not pass on both addresses of a node without its own cloud controller"
        yield Finding(path="addon", message=message, hint="take network.ipv6 out, or this add-on")
    if facts.containers:
        message = "looks for VMs, and there are pools of containers"
        yield Finding(path="addon", message=message, hint="use VMs for all pools, or leave this add-on out")


def check_certificate(values: Mapping[str, Any], facts: Facts) -> Iterator[Finding]:
    """That the certificate of Proxmox VE can be checked, unless the user says that it is not."""
    if values["insecure"] is None and facts.pve_pinned and facts.pve_ca is None:
        yield Finding(
            path="values.insecure",
            message="the certificate of Proxmox VE is pinned by its fingerprint, which this add-on cannot check",
            hint="use proxmox.tls.ca_file (a copy of /etc/pve/pve-root-ca.pem) in its place, or insecure: true here",
        )


def csi_names(values: Mapping[str, Any], facts: Facts) -> dict[str, Any]:
    """What its templates use besides values."""
    classes = [
        {
            "name": storage_class(storage),
            "storage": storage,
            "reclaimPolicy": values["reclaim"],
            "fstype": values["fstype"],
            **({"annotations": DEFAULT_CLASS} if storage == values["default"] else {}),
        }
        for storage in _storages(values, facts)
    ]
    return {"storage_classes": classes, **api_names(values, facts)}


def api_names(values: Mapping[str, Any], facts: Facts) -> dict[str, Any]:
    """How the API's certificate is checked: not, by the system's CAs, or by the inventory's file in their place."""
    insecure = facts.pve_insecure if values["insecure"] is None else values["insecure"]
    own_ca = facts.pve_ca is not None and not insecure
    return {
        "not_checked": insecure,
        "pve_ca": facts.pve_ca if own_ca else None,
        "ca_files": [_SYSTEM_CAS] if own_ca else None,
    }


def storage_class(storage: str) -> str:
    """The name of a storage's StorageClass."""
    return f"proxmox-{re.sub(r'[^a-z0-9]+', '-', storage.lower()).strip('-')}"


def _storages(values: Mapping[str, Any], facts: Facts) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values["storages"] or facts.storages))
