"""Environment variables fill gaps, flags replace."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from bootstrap.inventory import Overrides, flag_of
from bootstrap.inventory.env_and_flags import _PATHS
from bootstrap.model.access.endpoint import ApiToken, PveEndpoint, TlsSpec
from bootstrap.model.cluster import TemplateRef
from tests.unit.inventory.kit import ENVIRON, Load, Told

FINGERPRINT = ":".join(["AB"] * 32)
BARE = {"PROXMOX_VE_API_TOKEN": ENVIRON["PROXMOX_VE_API_TOKEN"]}


def test_the_file_beats_the_environment(load: Load, tmp_path: Path) -> None:
    (tmp_path / "k3s").mkdir()
    environ = {
        **ENVIRON,
        "PROXMOX_VE_INSECURE": "true",
        "HOMELAB_K3S_ARTIFACTS": "/nowhere",
    }
    text = f"proxmox: {{endpoint: 'https://pve', tls: {{fingerprint: '{FINGERPRINT}'}}}}\nk3s: {{artifacts: k3s}}\n"
    inventory = load(text, environ=environ)
    assert inventory.endpoint.url == "https://pve:8006"
    assert inventory.endpoint.tls == TlsSpec(fingerprint=FINGERPRINT)
    assert inventory.spec.k3s.artifacts == tmp_path / "k3s"


@pytest.mark.parametrize(
    ("text", "insecure"),
    [("true", True), ("1", True), ("YES", True), ("false", False), ("0", False), ("", False)],
)
def test_insecure_is_read_as_other_tools_do(load: Load, text: str, insecure: bool) -> None:
    tls = load("cluster: a\n", environ={**ENVIRON, "PROXMOX_VE_INSECURE": text}).endpoint.tls
    assert tls == TlsSpec(insecure=insecure)


@pytest.mark.parametrize(
    ("environ", "path", "message"),
    [
        ({"PROXMOX_VE_INSECURE": "perhaps"}, "PROXMOX_VE_INSECURE", "must be true or false, not 'perhaps'"),
        ({"PROXMOX_VE_FINGERPRINT": "AB"}, "PROXMOX_VE_FINGERPRINT", "must be a SHA-256 fingerprint"),
        ({"PROXMOX_VE_ENDPOINT": "http://pve"}, "PROXMOX_VE_ENDPOINT", "must be an address such as"),
        ({"HOMELAB_K3S_ARTIFACTS": "/nowhere"}, "HOMELAB_K3S_ARTIFACTS", "/nowhere does not exist"),
        ({"HOMELAB_K8S_K3S_ARTIFACTS": "/nowhere"}, "HOMELAB_K8S_K3S_ARTIFACTS", "/nowhere does not exist"),
        (
            {"PROXMOX_VE_FINGERPRINT": FINGERPRINT, "PROXMOX_VE_INSECURE": "1"},
            "PROXMOX_VE_INSECURE",
            "fingerprint and insecure exclude each other",
        ),
    ],
)
def test_problems_of_variables_carry_their_names(told: Told, environ: dict[str, str], path: str, message: str) -> None:
    (problem,) = told("cluster: a\n", environ={**ENVIRON, **environ})
    assert (problem.path, problem.line) == (path, None)
    assert message in problem.message


def test_artifacts_of_the_environment_are_relative_to_the_current_directory(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    (here / "k3s").mkdir(parents=True)
    monkeypatch.chdir(here)
    inventory = load("k3s: {channel: latest}\n", environ={**ENVIRON, "HOMELAB_K3S_ARTIFACTS": "k3s"})
    assert inventory.spec.k3s.artifacts == here / "k3s"


def test_without_an_endpoint_and_a_token_both_are_told(told: Told) -> None:
    found = told("cluster: a\n", environ={})
    assert [(problem.path, problem.message) for problem in found] == [
        ("proxmox.token", "there is no API token"),
        ("proxmox.endpoint", "the address of the Proxmox VE API is missing"),
    ]


def test_every_flag_has_its_place_in_the_inventory() -> None:
    special = {"template", "endpoint"}
    assert {each.name for each in fields(Overrides)} == set(_PATHS) | special


def test_flags_beat_the_file(load: Load, tmp_path: Path) -> None:
    key = tmp_path / "id"
    key.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\n", encoding="utf-8")
    spec = load(
        "cluster: a\nworkers: 5\ntemplate: {tag: old}\nk3s: {channel: latest}\n",
        overrides=Overrides(
            cluster="no",
            workers=2,
            worker_cores=3,
            worker_memory="3GiB",
            worker_disk="30GiB",
            control_planes=3,
            control_plane_cores=4,
            control_plane_memory="4GiB",
            control_plane_disk="40GiB",
            template="9000",
            clone="full",
            storage="fast",
            vmids="500-599",
            bridge="vmbr9",
            ssh_user="ops",
            ssh_key=key,
            k3s_version="v1.33.3+k3s1",
        ),
    ).spec
    (pool,) = spec.workers
    assert spec.name == "no", "a flag's text is no YAML: nothing to quote"
    assert (pool.count, pool.cores, pool.memory_mib, pool.disk_gib) == (2, 3, 3072, 30)
    server = spec.control_plane
    assert (server.count, server.cores, server.memory_mib, server.disk_gib) == (3, 4, 4096, 40)
    assert spec.template == TemplateRef(vmid=9000)  # type: ignore[arg-type]
    assert (spec.clone, spec.placement.storage, spec.network.bridge) == ("full", "fast", "vmbr9")
    assert (spec.placement.vmids.first, spec.placement.vmids.last) == (500, 599)
    assert (spec.ssh.user, spec.ssh.private_key) == ("ops", key)
    assert spec.k3s.version == "v1.33.3+k3s1"


@pytest.mark.parametrize(
    ("text", "template"),
    [("tag:k3s", TemplateRef(tag="k3s")), ("debian-12", TemplateRef(name="debian-12"))],
)
def test_the_template_flag_takes_names_and_tags(load: Load, text: str, template: TemplateRef) -> None:
    assert load("template: x\n", overrides=Overrides(template=text)).spec.template == template


def test_a_channel_flag_makes_the_files_version_and_artifacts_void(load: Load) -> None:
    text = "k3s: {version: v1.33.3+k3s1, artifacts: nowhere, disable: [traefik]}\n"
    k3s = load(text, overrides=Overrides(k3s_channel="latest")).spec.k3s
    assert (k3s.version, k3s.channel, k3s.artifacts, k3s.disable) == (None, "latest", None, ("traefik",))


@pytest.mark.parametrize(
    ("text", "overrides", "path", "message"),
    [
        ("cluster: a", Overrides(workers=-1), "--workers", "must be a whole number from 0 to 1000, not -1"),
        ("cluster: a", Overrides(control_planes=2), "--control-planes", "must be an odd number"),
        ("cluster: a", Overrides(worker_memory="4G"), "--worker-memory", "must be a size"),
        ("cluster: a", Overrides(template="a_b"), "--template", "must be a VM's name"),
        ("cluster: a", Overrides(template="tag:"), "--template", "must be a Proxmox tag"),
        ("cluster: a", Overrides(k3s_artifacts=Path("/nowhere")), "--k3s-artifacts", "/nowhere does not exist"),
        (
            "cluster: a",
            Overrides(k3s_version="v1.33.3+k3s1", k3s_channel="stable"),
            "--k3s-channel",
            "version and channel exclude each other",
        ),
        ("pools: {gpu: {}}", Overrides(worker_cores=4), "--worker-cores", "the inventory has no pool 'workers'"),
    ],
)
def test_problems_of_flags_carry_the_flag(told: Told, text: str, overrides: Overrides, path: str, message: str) -> None:
    (problem,) = told(f"{text}\n", overrides=overrides)
    assert (problem.path, problem.line) == (path, None)
    assert message in problem.message


def test_a_workers_flag_adds_the_pool_to_those_of_the_file(load: Load) -> None:
    spec = load("pools: {gpu: {}}\n", overrides=Overrides(workers=2, worker_cores=4)).spec
    assert [(pool.name, pool.count, pool.cores) for pool in spec.workers] == [("workers", 2, 4), ("gpu", 1, 2)]


def test_a_ready_endpoint_replaces_all_that_is_said_of_one(load: Load) -> None:
    endpoint = PveEndpoint(url="https://127.0.0.1:1", token=ApiToken(user="u@pve", name="t", secret="s"))
    inventory = load(
        "proxmox: {token: {env: UNSET}, storage: fast}\n", environ={}, overrides=Overrides(endpoint=endpoint)
    )
    assert inventory.endpoint is endpoint
    assert inventory.spec.placement.storage == "fast"


def test_a_flags_name_follows_from_its_fields() -> None:
    assert flag_of("control_plane_memory") == "--control-plane-memory"
