"""Texts with a form: names, ranges, labels, taints, versions, URLs.

Forms of Proxmox names as PVE 8.4 checks them (pve-storage-id, pve-node, pve-poolid, dns-name, tags).
Label and taint forms as Kubernetes checks them (apimachinery's validation of qualified names).
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from bootstrap.inventory.problems import shown
from bootstrap.inventory.values.scalars import RefusedError, Text
from bootstrap.model.cluster import VmidRange
from bootstrap.model.ids import (
    CLUSTER_NAME_FORM,
    POOL_NAME_FORM,
    TAG_FORM,
    ClusterName,
    PoolName,
    PveNodeName,
    StorageName,
    Vmid,
)
from bootstrap.model.machine import CONTROL_PLANE_POOL, Taint
from bootstrap.model.observed import OWNER_TAG
from bootstrap.model.words import did_you_mean
from bootstrap.records.vms.machine import MARK as RECORD_MARK
from bootstrap.records.vms.notes import BEGIN, END
from bootstrap.records.vms.template import HASH_TAG, TEMPLATE_TAG

_DNS_MOST: Final = 253
_NOTES_MOST: Final = 4096
"""A description has at most 8192 characters in Proxmox VE, and the record needs some (PVE::QemuServer, description)."""
MAX_VMID: Final = 999_999_999
_IP: Final = r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}"
_LABEL_NAME: Final = r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
_LABEL_KEY: Final = rf"(?:[a-z0-9](?:[a-z0-9.-]{{0,251}}[a-z0-9])?/)?{_LABEL_NAME}"
_DNS_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DNS_NAME: Final = rf"{_DNS_LABEL}(?:\.{_DNS_LABEL})*"
_HOST: Final = rf"(?:{_DNS_NAME}|\[[0-9A-Fa-f:.]+\])"

FULL_TOKEN_ID: Final = r"[^\s:/!=]+@[A-Za-z][A-Za-z0-9._-]*![A-Za-z][A-Za-z0-9._-]*"  # noqa: S105 - how its id looks
_CHANNELS: Final = ("stable", "latest", "testing")
_OPEN_LABELS: Final = ("node.kubernetes.io", "kubelet.kubernetes.io")
_OPEN_LABEL_KEYS: Final = ("topology.kubernetes.io/zone", "topology.kubernetes.io/region")
_ROLE_PREFIX: Final = "node-role.kubernetes.io"
_K3S_ROLES: Final = ("control-plane", "etcd", "master")
ALLOWED_LABELS: Final = (
    "of Kubernetes' own: " + ", ".join(f"{prefix}/*" for prefix in (*_OPEN_LABELS, _ROLE_PREFIX)) + ", "
    "topology.kubernetes.io/zone and /region"
)


def _dns_name(text: str) -> str:
    """In lower case: DNS ignores case."""
    if len(text) > _DNS_MOST:
        raise RefusedError(f"has {len(text)} characters, and DNS allows {_DNS_MOST}")
    return text.lower()


def _name_hint(text: str) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-0123456789")
    return f"write {slug}" if slug and slug != text and len(slug) <= 20 else ""


def _vm_tag(text: str) -> str:
    if text in (OWNER_TAG, TEMPLATE_TAG) or text.startswith(HASH_TAG):
        raise RefusedError(f"{shown(text)} is a tag of homelab-k8s itself", "choose another one")
    return text


def _notes(text: str) -> str:
    lines = [line.strip() for line in text.splitlines()]
    if any(line in (BEGIN, END) or line.startswith(RECORD_MARK) for line in lines):
        raise RefusedError("contains a line that marks the record or the notes in a VM's description", "remove it")
    if not any(lines):
        raise RefusedError("is blank", "omit it for no notes")
    return text.rstrip()


def _pool_name(text: str) -> PoolName:
    if text in ("cp", str(CONTROL_PLANE_POOL)):
        raise RefusedError(f"{shown(text)} is reserved for the control plane", "set it up under control_plane")
    if text == "workers":
        raise RefusedError("the pool 'workers' has a key of its own", "move it to workers: at the top level")
    return PoolName(text)


def _vmid_range(text: str) -> VmidRange:
    first, last = (int(part) for part in text.split("-"))
    if first > last:
        raise RefusedError(f"{shown(text)} ends before it begins", f"write {last}-{first}")
    if first < 100 or last > MAX_VMID:
        raise RefusedError(f"{shown(text)} is outside Proxmox's range", f"VMIDs are from 100 to {MAX_VMID}")
    return VmidRange(first=Vmid(first), last=Vmid(last))


def _label_key(text: str) -> str:
    prefix, slash, name = text.rpartition("/")
    if prefix == _ROLE_PREFIX and name in _K3S_ROLES:
        raise RefusedError(f"{text} is set by k3s itself", "remove it")
    reserved = re.search(r"(^|\.)(kubernetes|k8s)\.io$", prefix) if slash else None
    opened = any(prefix == each or prefix.endswith(f".{each}") for each in (*_OPEN_LABELS, _ROLE_PREFIX))
    if reserved and not opened and text not in _OPEN_LABEL_KEYS:
        raise RefusedError(f"the kubelet rejects the label {text}", f"use a domain of your own; {ALLOWED_LABELS}")
    return text


def _taint(text: str) -> Taint:
    body, _, effect = text.rpartition(":")
    key, _, value = body.partition("=")
    return Taint(key=key, value=value, effect=effect)


def _taint_hint(text: str) -> str:
    effects = "NoSchedule, PreferNoSchedule or NoExecute"
    return f"the effect is one of {effects}" if ":" in text else f"the effect is missing: {text}:NoSchedule"


def _mapping_hint(text: str) -> str:
    if not re.fullmatch(r"(?:[0-9A-Fa-f]{4}:)?[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}(?:\.[0-7])?", text):
        return ""
    return (
        "only root@pam may pass through a PCI address, an API token cannot: create a resource mapping in Proxmox "
        "(Datacenter, Resource Mappings) and use its name"
    )


def _version_hint(text: str) -> str:
    if re.fullmatch(r"v?[0-9]+\.[0-9]+", text):
        return f"for the newest patch of a minor version use channel: v{text.lstrip('v')}"
    numbers = re.search(r"[0-9]+\.[0-9]+\.[0-9]+", text)
    patch = re.search(r"k3s([0-9]+)$", text)
    return f"such as v{numbers[0]}+k3s{patch[1] if patch else 1}" if numbers else "such as v1.33.3+k3s1"


def _channel_hint(text: str) -> str:
    if "k3s" in text:
        return "for one version use version: " + text
    minor = re.match(r"[vV]?([0-9]+\.[0-9]+)", text)
    if minor:
        return f"write v{minor[1]}"
    return did_you_mean(text, _CHANNELS)


def _endpoint(text: str) -> str:
    """With its port, and with the path of a reverse proxy; without what the API's or a browser's address adds."""
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
    except ValueError:  # brackets around what is no address
        raise RefusedError(f"{shown(text)} has no IPv6 address in its brackets", "such as [2001:db8::10]") from None
    try:
        port = parts.port
    except ValueError:
        raise RefusedError(f"{shown(text)} has a port out of range", "Proxmox listens on 8006") from None
    path = re.sub(r"(?:^|/)api2(?:/(?:json|extjs))?$", "", parts.path.strip("/")).strip("/")
    if path and port is None:
        raise RefusedError(
            f"{shown(text)} has a path, but no port",
            f"Proxmox itself has no path: write https://{_netloc(host)}; a reverse proxy that has one listens on 443 "
            f"most often: https://{_netloc(host)}:443/{path}",
        )
    return f"https://{_netloc(_checked_host(host))}:{port or 8006}" + (f"/{path}" if path else "")


def _netloc(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _checked_host(host: str) -> str:
    """A host's name or address. Raises RefusedError for an invalid address."""
    try:
        if ":" in host and IPv6Address(host).is_link_local:
            raise RefusedError(
                f"{host} is a link-local address, which needs a network device's name",
                "write the Proxmox node's host name, its IPv4 or its global IPv6 address",
            )
        if re.fullmatch(r"[0-9.]+", host):
            IPv4Address(host)
    except AddressValueError:
        raise RefusedError(f"{shown(host)} is no address", "such as 192.168.1.10 or [2001:db8::10]") from None
    return host


def _endpoint_hint(text: str) -> str:
    if "@" in text:
        return "remove the part before the @: user and token have their own keys (token_id, token)"
    scheme = re.match(r"([A-Za-z]*):?//+", text)
    rest = text[scheme.end() :] if scheme else text
    bare = rest.split("/")[0]
    try:
        host = f"[{IPv6Address(bare)}]"
    except AddressValueError:
        found = re.match(rf"{_HOST}(?::[0-9]{{1,5}})?(?=[/?#]|$)", rest)
        host = found[0] if found else ""
    write = f"write https://{host}" if host else ""
    if scheme and scheme[1].lower() == "http":
        return "Proxmox speaks https only" + (f": {write}" if write else "")
    return write


def _fingerprint_hint(text: str) -> str:
    digits = re.sub(r"[^0-9A-Fa-f]", "", text)
    if len(digits) == 40:
        return "this is as long as a SHA-1; Proxmox shows the SHA-256"
    return "64 hex digits; see `pvenode cert info` on the Proxmox node, or the web interface under System, Certificates"


def token_id(text: str) -> tuple[str, str]:
    """User and name of a token's id, `user@realm!name`."""
    user, _, name = text.partition("!")
    return user, name


def _token_id_hint(text: str) -> str:
    return "do not put the secret in the file: token: {env: NAME}" if "=" in text else "such as automation@pve!homelab"


CLUSTER_NAME: Final = Text(
    label="a name of at most 32 lower-case letters, digits and hyphens that begins with a letter",
    pattern=CLUSTER_NAME_FORM,
    parse=ClusterName,
    explain=_name_hint,
)
POOL_NAME: Final = Text(
    label="a name of at most 20 lower-case letters, digits and hyphens that begins with a letter",
    pattern=POOL_NAME_FORM,
    parse=_pool_name,
    explain=_name_hint,
)
PVE_NODE_NAME: Final = Text(
    label="a Proxmox node's name", pattern=r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?", parse=PveNodeName
)
STORAGE_NAME: Final = Text(
    label="a Proxmox storage's name", pattern=r"[A-Za-z][A-Za-z0-9_.-]*[A-Za-z0-9]", parse=StorageName
)
POOL_ID: Final = Text(
    label="a Proxmox resource pool's name", pattern=r"[A-Za-z0-9._-]+(?:/[A-Za-z0-9._-]+){0,2}", parse=str
)
VM_NAME: Final = Text(label="a VM's name", pattern=_DNS_NAME, parse=str)
TAG: Final = Text(label="a Proxmox tag", pattern=TAG_FORM, parse=str)
VM_TAG: Final = Text(
    label="a Proxmox tag in lower case (letters, digits, '_', '-', '+', '.')",
    pattern="[a-z0-9_][a-z0-9_.+-]*",
    parse=_vm_tag,
    explain=lambda text: f"write {text.lower()}" if re.fullmatch(TAG_FORM, text) else "",
)
NOTES: Final = Text(
    label=f"a text of 1 to {_NOTES_MOST} characters, without control characters",
    pattern=rf"[^\x00-\x08\x0b-\x1f\x7f]{{1,{_NOTES_MOST}}}",
    parse=_notes,
)
IMAGE: Final = Text(
    label="an image's name (debian-13), an https address, or a volume (local:import/x.qcow2)",
    pattern=rf"[a-z0-9][a-z0-9.-]*|https?://{_HOST}(?::[0-9]{{1,5}})?/[^\s?#]+|"
    r"[A-Za-z][A-Za-z0-9._-]*:(?:import|[0-9]+)/[^\s,]+",
    parse=str,
)
CHECKSUM: Final = Text(
    label="sha256: or sha512: and its hex digits", pattern=r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}", parse=str
)
CPU_TYPE: Final = Text(
    label="a Proxmox CPU type, such as host or x86-64-v2-AES", pattern=r"[A-Za-z0-9][A-Za-z0-9_.-]*", parse=str
)
BRIDGE: Final = Text(
    label="a bridge's name of at most 15 characters, such as vmbr0",
    pattern=r"[A-Za-z][A-Za-z0-9_.-]{0,14}",
    parse=str,
)
VMID_RANGE: Final = Text(
    label="two vmids, such as 7000-7999", pattern=r"[0-9]{1,10} ?- ?[0-9]{1,10}", parse=_vmid_range, loose=True
)
OSTEMPLATE: Final = Text(
    label="a container template, such as debian-13-standard or local:vztmpl/NAME.tar.zst",
    pattern=r"(?:[A-Za-z][A-Za-z0-9_.-]*:vztmpl/)?[A-Za-z0-9][A-Za-z0-9_.+~-]*",
    parse=str,
)
MAPPING: Final = Text(
    label="the name of a PCI resource mapping, such as gpu0",
    pattern=r"[A-Za-z][A-Za-z0-9_-]+",
    parse=str,
    explain=_mapping_hint,
)
API_NAME: Final = Text(
    label="a DNS name such as k8s.home.arpa",
    pattern=rf"(?:{_DNS_LABEL}\.)*[A-Za-z](?:[A-Za-z0-9-]{{0,61}}[A-Za-z0-9])?",
    parse=_dns_name,
    explain=lambda text: "an address of the API's own is `vip`" if re.fullmatch(_IP, text) else "",
)
DOMAIN: Final = Text(label="a DNS domain", pattern=_DNS_NAME, parse=str)
SAN: Final = Text(
    label="a host name or an IP address", pattern=rf"{_DNS_NAME}|[0-9A-Fa-f]*:[0-9A-Fa-f:.]+", parse=str, loose=True
)
LINUX_USER: Final = Text(label="a Linux user's name", pattern="[a-z_][a-z0-9_-]{0,31}", parse=str)
LABEL_KEY: Final = Text(label="a Kubernetes label key", pattern=_LABEL_KEY, parse=_label_key)
LABEL_VALUE: Final = Text(
    label="a Kubernetes label value of at most 63 letters, digits, '-', '_' and '.'",
    pattern=f"(?:{_LABEL_NAME})?",
    parse=str,
)
TAINT: Final = Text(
    label="a taint such as key=value:NoSchedule",
    pattern=f"{_LABEL_KEY}(?:=(?:{_LABEL_NAME})?)?:(?:NoSchedule|PreferNoSchedule|NoExecute)",
    parse=_taint,
    explain=_taint_hint,
)
K3S_VERSION: Final = Text(
    label="a k3s version vX.Y.Z+k3sN",
    pattern=r"v[0-9]+\.[0-9]+\.[0-9]+(?:-(?:alpha|beta|rc)(?:\.?[0-9]+)?)?\+k3s[0-9]+",
    parse=str,
    explain=_version_hint,
)
K3S_CHANNEL: Final = Text(
    label="stable, latest, testing or vX.Y",
    pattern="|".join(_CHANNELS) + r"|v[0-9]+\.[0-9]+",
    parse=str,
    explain=_channel_hint,
)
ENDPOINT: Final = Text(
    label="an address such as https://192.168.1.10:8006",
    pattern=rf"https://{_HOST}(?::[0-9]{{1,5}})?(?:/[A-Za-z0-9._~/-]*)?(?:[?#][^\s@]*)?",
    parse=_endpoint,
    explain=_endpoint_hint,
)
URL: Final = Text(
    label="an http or https URL",
    pattern=rf"https?://{_HOST}(?::[0-9]{{1,5}})?(?:/[^\s?#]*)?",
    parse=lambda text: text.rstrip("/"),
)
FINGERPRINT: Final = Text(
    label="a SHA-256 fingerprint, 32 pairs of hex digits with colons",
    pattern="(?:[0-9A-Fa-f]{2}:){31}[0-9A-Fa-f]{2}|[0-9A-Fa-f]{64}",
    parse=lambda text: bytes.fromhex(text.replace(":", "")).hex(":").upper(),
    loose=True,
    explain=_fingerprint_hint,
)
FILE: Final = Text(label="a path", pattern=r"[^\n]+", parse=Path)
TOKEN_ID: Final = Text(
    label="a token's id user@realm!name, without the secret",
    pattern=FULL_TOKEN_ID,
    parse=token_id,
    secret=True,
    explain=_token_id_hint,
)
ENV_NAME: Final = Text(
    label="the name of an environment variable (capitals, digits, '_')",
    pattern="[A-Z_][A-Z0-9_]*",
    parse=str,
    secret=True,
)
KEYRING_NAME: Final = Text(label="service/user in the keyring", pattern=r"[^/\s][^/]*/[^\s].*", parse=str, secret=True)
