"""A key is declared once: what it holds fills the specification by its name, and none is read for nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bootstrap.inventory.document import compose
from bootstrap.inventory.files import Places
from bootstrap.inventory.keys.root import Root
from bootstrap.inventory.problems import Problems, Where
from bootstrap.inventory.values.containers import ListOf
from bootstrap.inventory.values.section import Key, Section, section_of
from bootstrap.model.access.endpoint import ApiToken

TOKEN = ApiToken(user="automation@pve", name="homelab", secret="s")
RANGE = {"addresses": "192.0.2.10-192.0.2.20", "subnet": "192.0.2.0/24"}
RANGE6 = {"addresses": "fd00::10-fd00::20", "subnet": "fd00::/64"}
BESIDE: dict[str, dict[str, Any]] = {
    "proxmox.nodes[].name": {},
    "proxmox.nodes[].weight": {"proxmox": {"nodes": [{"name": "pve1"}]}},
    "proxmox.nodes[].maintenance": {"proxmox": {"nodes": [{"name": "pve1"}]}},
    "network.addresses": {"network": {"subnet": "192.168.1.0/24"}},
    "network.gateway": {"network": RANGE},
    "network.storage.bridge": {},
    "network.storage.addresses": {"network": {"storage": {"bridge": "vmbr2", "subnet": "192.168.1.0/24"}}},
    "network.storage.subnet": {"network": {"storage": {"bridge": "vmbr2", "addresses": RANGE["addresses"]}}},
    "network.ipv6.method": {},
    "network.ipv6.addresses": {"network": {"ipv6": {"subnet": "fd00::/64"}}},
    "network.ipv6.gateway": {"network": {"ipv6": RANGE6}},
    "manifests[].path": {},
    "manifests[].addon": {},
    "manifests[].values": {"manifests": [{"addon": "cert-manager"}]},
    "template.name": {},
    "template.tag": {},
    "template.vmid": {},
    "template.image": {"template": {"checksum": "sha256:" + "0" * 64}},
    "template.checksum": {"template": {"image": "debian-12"}},
    "gitops.controller": {"gitops": {"controller": "argocd", "url": "https://git.example/me/home"}},
    "gitops.url": {"gitops": {"controller": "flux", "url": "https://git.example/me/home"}},
    "gitops.branch": {"gitops": {"controller": "flux", "url": "https://git.example/me/home"}},
    "gitops.path": {"gitops": {"controller": "flux", "url": "https://git.example/me/home"}},
    "control_plane.vip.router_id": {"control_plane": {"vip": {"address": "192.168.1.40"}}},
}
"""What has to stand beside a key, where it means nothing alone."""
FOR_SECTIONS = {
    "network.storage": {"bridge": "vmbr2"},
    "backup.s3": {"bucket": "snapshots"},
    "data_disk": {"size": "1GiB"},
}
ONLY_THE_TOKEN = (
    "proxmox.token.", "proxmox.token_id", "k3s.registries.file", "gitops.deploy_key.", "gitops.known_hosts.",
    "gitops.username", "gitops.token.",
)  # fmt: skip
"""The token is read by itself (test_inventory_secret.py), and a file needs one (test_inventory_registries.py); a Git
host's keys and secrets have to be right (test_gitops.py)."""


def _keys(section: type[Section], path: str = "") -> Iterator[tuple[str, Key[Any]]]:
    for name, key in section.keys.items():
        at = f"{path}{name}"
        item = key.kind.item if isinstance(key.kind, ListOf) else None
        inner = section_of(key.kind)
        below = section_of(item)
        if inner is None:
            yield at, key
        else:
            yield from _keys(inner, f"{at}.")
        if below is not None:
            yield from _keys(below, f"{at}[].")


def _other(key: Key[Any]) -> object:
    """A value that is not the default."""
    if key.example is not None and key.example != key.default:
        return key.example
    match key.default:
        case bool():
            return not key.default
        case int():
            return key.default + 1
    words = key.kind.schema().get("enum", [])
    assert isinstance(words, list)
    return next((word for word in words if word != key.default), f"{key.default}x")


def _beside(path: str) -> dict[str, Any]:
    if path in BESIDE:
        return BESIDE[path]
    above, _, _ = path.rpartition(".")
    for section, content in FOR_SECTIONS.items():
        if above.endswith(section):
            return _put({}, above, content)
    return {}


def _put(tree: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    name, _, rest = path.partition(".")
    if not rest:
        return {**tree, name: value}
    if name.endswith("[]"):
        items = tree.get(name[:-2], [{}])
        return {**tree, name[:-2]: [_put(items[0], rest, value)]}
    return {**tree, name: _put(tree.get(name, {}), rest, value)}


def _made(tree: dict[str, Any]) -> tuple[object, object]:
    problems = Problems()
    tree = {"cluster": "guard", "proxmox": {}, **tree}
    tree["proxmox"] = {"endpoint": "https://192.0.2.1:8006", **tree["proxmox"]}
    root = Root.read(compose(yaml.safe_dump(tree), problems), Where(path=""), problems)
    assert problems.in_order() == ()
    assert root is not None
    places = Places(
        base=Path("/"), environ={"MINIO_ACCESS_KEY": "a", "MINIO_SECRET_KEY": "b", "REGISTRY_PASSWORD": "c"}
    )
    return root.make(places), root.sure(Root.proxmox).make_endpoint(TOKEN, places)


READ_ELSEWHERE = re.compile(r"(?:.+\.)?(?:files\[\]|hooks)\..+")
"""They need each other, and files (test_inventory_files.py)."""
EVERY_KEY = [
    (path, key)
    for path, key in _keys(Root)
    if not path.startswith(ONLY_THE_TOKEN) and not READ_ELSEWHERE.fullmatch(path)
]


@pytest.mark.parametrize(("path", "key"), EVERY_KEY, ids=[path for path, _key in EVERY_KEY])
def test_every_key_changes_what_is_made(path: str, key: Key[Any]) -> None:
    beside = _beside(path)
    assert _made(_put(beside, path, _other(key))) != _made(beside)


def test_keys_that_exclude_each_other_are_keys() -> None:
    sections: list[type[Section]] = [
        Root,
        *(inner for _path, key in _sections(Root) if (inner := section_of(key.kind)) is not None),
    ]
    wrong = [(each.__name__, name) for each in sections for name in each.exclusive if name not in each.keys]
    assert wrong == []


def _sections(section: type[Section], path: str = "") -> Iterator[tuple[str, Key[Any]]]:
    for name, key in section.keys.items():
        inner = section_of(key.kind)
        if inner is not None:
            yield f"{path}{name}", key
            yield from _sections(inner, f"{path}{name}.")
