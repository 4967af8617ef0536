"""Inventories and kubeconfigs, as texts."""

from __future__ import annotations

import base64
import tempfile
from functools import cache
from pathlib import Path

import yaml

from bootstrap.adapters.kube.credentials import parse_kubeconfig, tls_context
from bootstrap.adapters.kubeconfig.text import Document, Own, merge_entries, remove_entries
from bootstrap.inventory import load_inventory
from bootstrap.k3s.kubeconfig.build import build_kubeconfig, check_own
from bootstrap.k3s.kubeconfig.entries import marks_of
from bootstrap.k3s.settings import parse_file
from tests.fakes.certificates import k3s_yaml
from tests.fuzz.mutations import Mutator
from tests.fuzz.running import ROOT, Area

INVENTORIES = tuple(sorted((ROOT / "inventories").glob("*.yaml")))
SOMEBODYS = """apiVersion: v1
kind: Config
clusters:
- name: other
  cluster: {server: https://192.0.2.9:6443, insecure-skip-tls-verify: true}
- name: demo
  cluster: {server: https://192.0.2.8:6443}
users:
- name: other
  user: {token: abc}
contexts:
- name: other
  context: {cluster: other, user: other, namespace: web}
current-context: other
"""
SETTINGS = "node-name: demo-cp-1\ntls-san: [192.0.2.5, api.example.org]\nnode-label+: a=b,c=d\nsnapshotter: no\n"


TOKENS = {name: "automation@pve!homelab=c" for name in ("GARAGE_TOKEN", "ATTIC_TOKEN", "STEADY_TOKEN")}


@cache
def _directory() -> Path:
    return Path(tempfile.mkdtemp(prefix="homelab-k8s-fuzz-"))


@cache
def _k3s_yaml() -> str:
    return k3s_yaml()


def _load(data: bytes) -> object:
    path = _directory() / "inventory.yaml"
    path.write_bytes(data)
    return load_inventory(path, environ={"HOME": str(_directory()), **TOKENS})


def _inventory(mutator: Mutator) -> bytes:
    text = mutator.random.choice(INVENTORIES).read_text(encoding="utf-8")
    choice = mutator.random.random()
    if choice < 0.15:
        return mutator.bytes(text.encode())
    if choice < 0.5:
        return mutator.text(text).encode(errors="surrogatepass")
    value = mutator.value(yaml.safe_load(text))
    return yaml.safe_dump(value, allow_unicode=True).encode(errors="surrogatepass")


def _yaml(text: str, mutator: Mutator) -> str:
    if mutator.random.random() < 0.4:
        return mutator.text(text)
    return str(yaml.safe_dump(mutator.value(yaml.safe_load(text)), allow_unicode=True))


def _connect(text: str) -> object:
    return tls_context(parse_kubeconfig(text))


def _merge(text: str) -> object:
    own = Own(name="demo", marks=marks_of(_own()))
    remove_entries([Document(text, "x")], own)
    document = Document(text, "x")
    merge_entries([document], check_own(_own()), own, switch=False)
    return document.rendered


@cache
def _own() -> str:
    return build_kubeconfig(_k3s_yaml(), name="demo", server_url="https://192.0.2.5:6443", source="demo-cp-1")


def _pem(mutator: Mutator) -> str:
    """A server's kubeconfig with something else inside one of its three blocks."""
    config = yaml.safe_load(_k3s_yaml())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    where, key = mutator.random.choice(
        (
            (cluster, "certificate-authority-data"),
            (user, "client-certificate-data"),
            (user, "client-key-data"),
        )
    )
    where[key] = base64.b64encode(mutator.bytes(base64.b64decode(where[key]))).decode()
    return str(yaml.safe_dump(config))


def _build(text: str) -> object:
    return build_kubeconfig(text, name="demo", server_url="https://192.0.2.5:6443", source="demo-cp-1")


AREAS = (
    Area(name="inventory", make=_inventory, read=_load, inputs=300),
    Area(name="kubeconfig of a server", make=lambda mutator: _yaml(_k3s_yaml(), mutator), read=_build, inputs=200),
    Area(name="kubeconfig of a server, its blocks", make=_pem, read=_build, inputs=200),
    Area(name="kubeconfig to connect with", make=lambda mutator: _yaml(_own(), mutator), read=_connect, inputs=100),
    Area(name="kubeconfig of the user", make=lambda mutator: _yaml(SOMEBODYS, mutator), read=_merge, inputs=60),
    Area(
        name="settings of k3s",
        make=lambda mutator: _yaml(SETTINGS, mutator),
        read=lambda text: parse_file("x", text),
        inputs=100,
    ),
)
