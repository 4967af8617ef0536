"""The JSON Schema, the examples and the reference say what the loader does."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from bootstrap.errors import InventoryError
from bootstrap.inventory import load_inventory
from bootstrap.inventory.describe.reference import BEGIN, renewed
from bootstrap.inventory.describe.schema import render_schema, schema
from bootstrap.inventory.document import Node, compose
from bootstrap.inventory.keys.pools import PoolKeys
from bootstrap.inventory.keys.root import Root
from bootstrap.inventory.problems import Problems, Where
from bootstrap.inventory.values.section import Key, Section, section_of
from tests.unit.inventory.kit import SECRET, Load, Told

REPOSITORY = Path(__file__).parents[3]
EXAMPLES = sorted((REPOSITORY / "inventories").glob("*.yaml"))
VALIDATOR = Draft202012Validator(schema())
SECRETS = {
    name: f"automation@pve!homelab={SECRET}"
    for name in ("PROXMOX_VE_API_TOKEN", "ATTIC_TOKEN", "STEADY_TOKEN", "GARAGE_TOKEN")
} | {name: SECRET for name in ("SHED_TOKEN", "SHED_REGISTRY_PASSWORD", "MINIO_ACCESS_KEY", "MINIO_SECRET_KEY")}
ELSEWHERE = {
    "proxmox.token": {"file", "keyring", "command"},
    "proxmox.tls": {"ca_file", "insecure"},
    "template": {"name", "tag", "vmid"},
    "network.ipv6": {"method"},
    "ssh": {"private_key"},
    "k3s": {"channel", "artifacts"},
    "k3s.registries": {"file"},
    "gitops": {"deploy_key", "username", "token"},
    "gitops.known_hosts": {"file"},
}
"""Keys that full.yaml does not have, since it has the ones that exclude them; a private key has to exist."""


def _valid(text: str) -> bool:
    return bool(VALIDATOR.is_valid(yaml.safe_load(text)))


def _fields(section: type[Section]) -> Iterator[Key[Any]]:
    for each in section.keys.values():
        yield each
        inner = section_of(each.kind)
        if inner is not None:
            yield from _fields(inner)


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(schema())


def test_the_schema_in_the_repository_is_up_to_date() -> None:
    """To renew it: python -m bootstrap.inventory.describe.schema > inventories/schema.json"""
    assert (REPOSITORY / "inventories/schema.json").read_text(encoding="utf-8") == render_schema()


def test_the_reference_is_up_to_date() -> None:
    """To renew it: python -m bootstrap.inventory.describe.reference docs/inventory.md"""
    page = (REPOSITORY / "docs/inventory.md").read_text(encoding="utf-8")
    assert page == renewed(page)
    assert page.count(BEGIN) == 1


def test_there_are_the_examples() -> None:
    names = [path.name for path in EXAMPLES]
    assert names == [
        "full.yaml",
        "minimal.yaml",
        "several-nodes-and-pools.yaml",
        "static-addresses.yaml",
        "three-servers.yaml",
    ]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_loads_validates_and_names_its_schema(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    header = text.splitlines()[0]
    assert header == "# yaml-language-server: $schema=schema.json"
    assert (path.parent / header.rpartition("=")[2]).is_file()
    assert list(VALIDATOR.iter_errors(yaml.safe_load(text))) == []
    load_inventory(path, environ=SECRETS)


def test_the_full_example_has_all_keys() -> None:
    """Keys that all pools have are shown by any of them."""
    written = yaml.safe_load((REPOSITORY / "inventories/full.yaml").read_text(encoding="utf-8"))
    for pool in (*written["pools"].values(), written["control_plane"]):
        written["workers"] = pool | written["workers"]
    written["control_plane"] |= {key: written["workers"][key] for key in PoolKeys.keys}
    assert list(_absent(Root, written)) == []


def _absent(section: type[Section], written: dict[str, Any], path: str = "") -> Iterator[str]:
    for name, key in section.keys.items():
        inner = section_of(key.kind)
        if name not in written:
            if name not in ELSEWHERE.get(path, ()):
                yield f"{path}.{name}".strip(".")
        elif inner is not None and isinstance(written[name], dict):
            yield from _absent(inner, written[name], f"{path}.{name}".strip("."))


def test_a_cluster_with_defaults_is_about_ten_lines() -> None:
    text = (REPOSITORY / "inventories/minimal.yaml").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    assert len(lines) <= 10


@pytest.mark.parametrize("each", [*_fields(Root), *_fields(PoolKeys)], ids=lambda each: each.name)
def test_every_default_and_example_of_the_table_is_right_for_schema_and_parser(each: Key[Any]) -> None:
    validator = Draft202012Validator(each.kind.schema())
    for value in (each.default, each.example):
        if value is None:
            continue
        assert validator.is_valid(value), value
        problems = Problems()
        node: Node = compose(json.dumps(value), problems)
        read = each.kind.read(node, Where(path=each.name), problems)
        assert read is not None
        assert problems.in_order() == ()


@pytest.mark.parametrize(
    "text",
    [
        "cluster: My_Lab",
        "cluster: 5",
        "clutser: a",
        "cluster: null",
        "onboot: 1",
        'onboot: "true"',
        "clone: fast",
        "workers: -1",
        'workers: "3"',
        "workers: 2.5",
        "workers: {cuont: 3}",
        "workers: [3]",
        "workers: {memory: 4G}",
        "workers: {memory: 4096}",
        "workers: {disk: 1.5GiB}",
        "workers: {labels: {a: 1}}",
        "workers: {labels: {'a b': c}}",
        "workers: {taints: [gpu]}",
        "workers: {taints: 'a:NoSchedule'}",
        "pools: {GPU: {}}",
        "pools: {gpu: 3}",
        "control_plane: {count: 2}",
        "control_plane: 3",
        "template: {image: debian-13, name: x}",
        "template: {image: 'http:/x'}",
        "template: {image: debian-13, build: maybe}",
        "template: {image: debian-13, checksum: abc}",
        "template: {tag: a, vmid: 900}",
        "template: 99",
        "proxmox: {endpoint: 'http://pve'}",
        "proxmox: {endpoint: 'https://root@pve'}",
        f"proxmox: {{token: 'automation@pve!homelab={SECRET}'}}",
        f"proxmox: {{token_id: 'automation@pve!homelab={SECRET}'}}",
        "proxmox: {token: {}}",
        "proxmox: {token: {env: A, file: B}}",
        "proxmox: {tls: {fingerprint: AB}}",
        f"proxmox: {{tls: {{fingerprint: {'AB' * 32}, insecure: true}}}}",
        "proxmox: {vmids: 7000}",
        "network: {vlan: 4095}",
        "network: {subnet: 192.0.2.0}",
        "network: {addresses: 192.0.2.5}",
        "network: {dns: 192.0.2.1}",
        "network: {bridge: 0vmbr}",
        "k3s: {version: v1.33}",
        "k3s: {channel: newest}",
        "k3s: {version: v1.33.3+k3s1, channel: stable}",
        "k3s: {disable: [traefic]}",
        "k3s: {disable: [traefik, traefik]}",
        "ssh: {host_keys: never}",
        "sizing: {cpu_overcommit: 0}",
    ],
)
def test_what_the_schema_refuses_the_loader_refuses(told: Told, text: str) -> None:
    assert not _valid(text)
    assert told(f"{text}\n", environ={**SECRETS, "PROXMOX_VE_ENDPOINT": "https://pve"})


sizes = st.builds("{}{}".format, st.integers(1, 200), st.sampled_from(["GiB", "GiB", " GiB", "TiB", "MiB", "G"]))
pools = st.fixed_dictionaries(
    {},
    optional={
        "count": st.sampled_from([-1, 0, 1, 1, 3, 3, 4]),
        "cores": st.integers(0, 20),
        "disk": sizes,
        "memory": sizes,
        "cpu": st.sampled_from(["host", "kvm64", "x86-64-v2-AES", "custom,flags=+aes"]),
        "labels": st.dictionaries(st.text("aZ0./", min_size=1, max_size=4), st.text("aZ0.-", max_size=3), max_size=1),
        "taints": st.lists(st.text("ab=", min_size=1, max_size=4).map(lambda text: f"{text}:NoSchedule"), max_size=2),
    },
)
inventories = st.fixed_dictionaries(
    {},
    optional={
        "cluster": st.text("ab0-", min_size=1, max_size=34),
        "onboot": st.sampled_from([True, False, "no"]),
        "clone": st.sampled_from(["full", "linked", "none"]),
        "template": st.sampled_from(["x", 900, 1, {"tag": "t"}, {"name": "n", "tag": "t"}, {}]),
        "network": st.fixed_dictionaries(
            {},
            optional={
                "vlan": st.integers(0, 4100),
                "bridge": st.text("ab0.", min_size=1, max_size=17),
                "subnet": st.sampled_from(["192.0.2.0/24", "192.0.2.1/24", "192.0.2.0/40", "x"]),
            },
        ),
        "workers": st.sampled_from([-1, 0, 3, 1000, 1001]) | pools,
        "control_plane": pools,
        "pools": st.dictionaries(st.text("ab0-", min_size=1, max_size=4), pools, max_size=1),
    },
)


@settings(max_examples=300, deadline=None)
@given(inventories)
def test_what_the_loader_takes_validates(content: dict[str, object]) -> None:
    problems = Problems()
    Root.read(compose(yaml.safe_dump(content), problems), Where(path=""), problems)
    if not len(problems):
        assert list(VALIDATOR.iter_errors(content)) == []


def test_the_table_is_spoken_for_in_every_example_together(load: Load) -> None:
    """A key that no example and no default shows would be found by nobody."""
    silent = [each.name for each in _fields(Root) if each.example is None and each.default is None]
    assert set(silent) <= {each.name for each in _fields(Root) if section_of(each.kind) is not None}
    assert load("cluster: a\n").spec.name == "a"


words = st.sampled_from(["no", "010", "[", "]", "{}", "''", "~", "1:30", "*a", "&a", "!x", "- ", ": ", "\t", "5", "# "])


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(EXAMPLES), st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 9), words), max_size=4))
def test_a_maimed_example_loads_or_is_told_about(path: Path, cuts: list[tuple[int, int, str]]) -> None:
    text = path.read_text(encoding="utf-8")
    for at, length, word in cuts:
        start = at % len(text)
        text = text[:start] + word + text[start + length :]
    with tempfile.TemporaryDirectory() as directory:
        maimed = Path(directory) / "maimed.yaml"
        maimed.write_text(text, encoding="utf-8")
        try:
            load_inventory(maimed, environ=SECRETS)
        except InventoryError as error:
            assert error.problems  # noqa: PT017 - either outcome is right, but never an error without a problem
