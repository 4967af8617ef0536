"""A written inventory loads as what was chosen, and says why; answers are read as a file's values."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bootstrap.errors import UsageError
from bootstrap.inventory import Overrides, load_inventory
from bootstrap.inventory.answers import (
    Connection,
    check_answers,
    parse_endpoint,
    parse_template,
    parse_token_id,
    read_connection,
)
from bootstrap.inventory.write import SCHEMA_FILE, render_inventory
from bootstrap.model.access.endpoint import TlsSpec
from bootstrap.model.cluster import ClusterSpec, NetworkSpec, PlacementSpec, TemplateRef, VmidRange
from bootstrap.model.ids import ClusterName, PoolName, StorageName, Vmid
from bootstrap.model.machine import CONTROL_PLANE_POOL, NodePool, Role
from tests.unit.inventory.kit import SECRET

FINGERPRINT = ":".join(["0A"] * 32)
STATED = frozenset({"count", "cores", "memory_mib", "disk_gib"})


def matching(pattern: str) -> st.SearchStrategy[str]:
    return st.from_regex(pattern, fullmatch=True).filter(str.isascii)


NAMES = matching("[a-z]([a-z0-9-]{0,8}[a-z0-9])?") | st.sampled_from(["no", "on", "y", "true", "null"])
STORAGES = matching("[A-Za-z][A-Za-z0-9_.-]{0,8}[A-Za-z0-9]") | st.sampled_from(["no", "Off"])
BRIDGES = matching("[A-Za-z][A-Za-z0-9_.-]{0,14}")
VM_NAMES = matching("[A-Za-z0-9]([A-Za-z0-9-]{0,9}[A-Za-z0-9])?(\\.[a-z0-9]{1,5})?") | st.sampled_from(
    ["9000", "0x10", "1e3", "1.10", "2024-01-01", "No"]
)
TAGS = matching("[A-Za-z0-9_][A-Za-z0-9_.+-]{0,10}")
TEMPLATES = (
    VM_NAMES.map(lambda name: TemplateRef(name=name))
    | TAGS.map(lambda tag: TemplateRef(tag=tag))
    | st.integers(100, 999_999_999).map(lambda vmid: TemplateRef(vmid=Vmid(vmid)))
)
FILE_NAMES = st.text(st.characters(exclude_characters="/\n\0", exclude_categories=["Cs"]), min_size=1, max_size=20)
ENDPOINTS = st.sampled_from(["https://192.168.1.10:8006", "https://pve.home.arpa:443", "https://[fd00::1]:8006"])


@st.composite
def pools(draw: st.DrawFn, role: Role) -> NodePool:
    servers = role is Role.CONTROL_PLANE
    return NodePool(
        name=CONTROL_PLANE_POOL if servers else PoolName("workers"),
        role=role,
        count=draw(st.sampled_from([1, 3, 5, 7]) if servers else st.integers(0, 1000)),
        cores=draw(st.integers(1, 512)),
        memory_mib=draw(st.integers(512, 16 * 1024 * 1024)),
        disk_gib=draw(st.integers(1, 128 * 1024)),
        stated=STATED,
    )


@st.composite
def specs(draw: st.DrawFn) -> ClusterSpec:
    first = draw(st.integers(100, 900_000_000))
    return ClusterSpec(
        name=ClusterName(draw(NAMES)),
        template=draw(TEMPLATES),
        control_plane=draw(pools(Role.CONTROL_PLANE)),
        workers=(draw(pools(Role.WORKER)),),
        network=NetworkSpec(bridge=draw(st.none() | BRIDGES)),
        placement=PlacementSpec(
            storage=draw(st.none() | STORAGES.map(StorageName)),
            vmids=VmidRange(first=Vmid(first), last=Vmid(first + draw(st.integers(1100, 5000)))),
        ),
    )


KEYS = ("file", "tls", "nodes", "storage", "vmids", "template", "bridge", "control_plane", "workers")
REMARKS = st.fixed_dictionaries({key: st.lists(st.text(max_size=150), max_size=2).map(tuple) for key in KEYS})


@given(specs(), ENDPOINTS, st.booleans(), FILE_NAMES, REMARKS)
@settings(max_examples=150)
@example(
    ClusterSpec(
        name=ClusterName("no"),
        template=TemplateRef(name="9000"),
        control_plane=NodePool(
            name=CONTROL_PLANE_POOL,
            role=Role.CONTROL_PLANE,
            count=1,
            cores=2,
            memory_mib=1500,
            disk_gib=20,
            stated=STATED,
        ),
        workers=(
            NodePool(
                name=PoolName("workers"),
                role=Role.WORKER,
                count=0,
                cores=2,
                memory_mib=2048,
                disk_gib=20,
                stated=STATED,
            ),
        ),
    ),
    "https://192.168.1.10:8006",
    True,
    'a "b" \\ #c: \u2028\x85😀{\'}',
    {"template": ("two\nlines: {of, it\u2028}", "# and more")},
)
def test_what_is_written_loads_as_what_was_chosen_and_says_why(
    spec: ClusterSpec, url: str, has_id: bool, name: str, remarks: dict[str, tuple[str, ...]]
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        token = Path(directory, f"t{name}"[:20])
        token.write_text(SECRET if has_id else f"automation@pve!homelab={SECRET}")
        connection = Connection(
            endpoint=url,
            token_id="automation@pve!homelab" if has_id else None,
            token_file=token,
            tls=TlsSpec(fingerprint=FINGERPRINT),
        )
        text = render_inventory(spec, connection, remarks=remarks)
        file = Path(directory, "homelab-k8s.yaml")
        file.write_text(text, encoding="utf-8")
        loaded = load_inventory(file, environ={})
    assert loaded.spec == spec
    assert (loaded.endpoint.url, loaded.endpoint.tls) == (url, connection.tls)
    assert (str(loaded.endpoint.token), loaded.endpoint.token.secret) == ("automation@pve!homelab", SECRET)
    assert text.splitlines()[0] == f"# yaml-language-server: $schema={SCHEMA_FILE}"
    assert SECRET not in text
    comments = " ".join(line.strip().removeprefix("#").strip() for line in text.splitlines() if "#" in line)
    for sentence in (each for said in remarks.values() for each in said):
        words = "".join(each if each.isprintable() else " " for each in sentence).split()
        assert all(word in comments for word in words)


def test_without_a_fingerprint_no_tls_is_written_and_the_default_variable_has_the_token(tmp_path: Path) -> None:
    spec = ClusterSpec(
        name=ClusterName("demo"),
        template=TemplateRef(tag="x"),
        control_plane=NodePool(
            name=CONTROL_PLANE_POOL, role=Role.CONTROL_PLANE, count=1, cores=2, memory_mib=2048, disk_gib=20
        ),
    )
    text = render_inventory(spec, Connection(endpoint="https://pve:8006"), remarks={})
    assert "tls:" not in text
    assert "    env: PROXMOX_VE_API_TOKEN\n" in text


def test_a_connection_is_read_as_the_inventory_would_be(tmp_path: Path) -> None:
    tmp_path.joinpath("token").write_text(SECRET)
    said = Connection(endpoint="https://pve", token_id="a@pve!b", token_file=Path("token"))
    endpoint = read_connection(said, base=tmp_path, environ={})
    assert (endpoint.url, str(endpoint.token), endpoint.token.secret) == ("https://pve:8006", "a@pve!b", SECRET)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (Connection(endpoint="http://pve"), "--endpoint: must be an address such as"),
        (Connection(endpoint="https://pve", token_env="nope"), "--token-env: must be the name of"),
        (Connection(endpoint="https://pve", token_env="NOPE"), "--token-env: the environment variable NOPE is not set"),
        (Connection(endpoint="https://pve", token_file=Path("gone")), "--token-file: "),
        (Connection(endpoint="https://pve"), "proxmox.token: there is no API token"),
        (Connection(endpoint="https://pve", token_id="b=c", token_env="T"), "--token-id: must be a token's id"),
        (Connection(endpoint="https://pve", token_env="T"), "--token-env: does not contain user@realm!name=secret"),
    ],
)
def test_what_is_wrong_with_a_connection_is_told_under_its_flag(tmp_path: Path, said: Connection, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_connection(said, base=tmp_path, environ={"T": SECRET})
    assert caught.value.brief.startswith(told)
    assert SECRET not in f"{caught.value.brief}{caught.value.details}{caught.value.resolution}"


def test_answers_are_judged_all_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        check_answers(Overrides(cluster="No", workers=-1, control_planes=2, storage="-", bridge="1"))
    told = f"{caught.value.brief}\n{caught.value.details}"
    for flag in ("--cluster", "--workers", "--control-planes", "--storage", "--bridge"):
        assert f"{flag}: must be" in told
    assert caught.value.exit_code == 2


def test_single_answers() -> None:
    assert parse_template("9000") == TemplateRef(vmid=Vmid(9000))
    assert parse_template("tag:k3s") == TemplateRef(tag="k3s")
    assert parse_template("debian-12") == TemplateRef(name="debian-12")
    assert parse_endpoint("https://pve/") == "https://pve:8006"
    assert parse_token_id("a@pve!b") == "a@pve!b"
    for parse, wrong in ((parse_template, "a b"), (parse_endpoint, "pve"), (parse_token_id, "a@pve")):
        with pytest.raises(UsageError):
            parse(wrong)
