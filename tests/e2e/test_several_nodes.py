"""Three Proxmox nodes, local storage, no template at all: `init`, `up`, and a cluster spread over all of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.e2e.api import Api
from tests.e2e.homes import Home, lab_home
from tests.e2e.images import SHA512, served_image
from tests.e2e.workload import kubectl

pytestmark = pytest.mark.container

PVE_NODES = ("pve1", "pve2", "pve3")
ZONE = "topology.kubernetes.io/zone"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where this machine serves an image."""
    with served_image(tmp_path_factory.mktemp("images")) as url:
        yield url


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    with lab_home("container", pve_nodes=3) as home:
        for number, pve_node in enumerate(PVE_NODES):
            Api(home).call("DELETE", f"/nodes/{pve_node}/qemu/{9000 + number}")
        yield home


@pytest.fixture(scope="module")
def env(home: Home) -> Mapping[str, str]:
    """As somebody who has a token, and knows of no lab."""
    info = json.loads((home.directory / "state/homelab-k8s/lab/lab.json").read_text())
    return {
        "PROXMOX_VE_ENDPOINT": info["endpoint"],
        "PROXMOX_VE_API_TOKEN": f"{info['token_id']}={info['token_secret']}",
    }


def templates(home: Home, env: Mapping[str, str]) -> dict[str, bool]:
    """Proxmox node to whether its template is ready."""
    listed = home.run("template", "list", "-o", "json", env=env).json["templates"]
    assert len({one["pve_node"] for one in listed}) == len(listed)
    return {one["pve_node"]: one["ready"] for one in listed}


def test_init_writes_an_inventory_that_has_the_template_built(home: Home, env: Mapping[str, str], image: str) -> None:
    said = home.run(
        *("init", "--yes", "--accept-fingerprint", "--cluster", "demo", "--workers", "3"),
        *("--template", f"image:{image}"),
        env=env,
    )
    assert "There is no template yet" in said.err
    file = home.directory / "homelab-k8s.yaml"
    written = file.read_text()
    assert f'template: {{image: "{image}"}}' in written
    file.write_text(written.replace(f'image: "{image}"', f'image: "{image}", checksum: "{SHA512}"'))
    assert "`homelab-k8s up` builds it" in home.run("doctor", env=env).out


def test_nothing_is_built_unasked(home: Home, env: Mapping[str, str]) -> None:
    said = home.run("up", env=env, expect=2).err
    assert "First a template is built on pve1, pve2, pve3" in said
    assert "pass --yes to confirm" in said
    assert templates(home, env) == {}


def test_a_privilege_that_building_needs_is_named_before_anything_is_touched(
    home: Home, env: Mapping[str, str]
) -> None:
    api = Api(home)
    for privilege in ("Datastore.AllocateTemplate", "Sys.AccessNetwork", "VM.Config.CDROM"):
        api.fault("forbidden", privilege=privilege)
        said = home.run("up", "--yes", env=env, expect=4).err
        assert privilege in said
        assert "pveum role modify" in said
        api.mend()
    assert templates(home, env) == {}


def test_up_that_is_killed_in_each_phase_of_the_build_goes_on_where_it_was(home: Home, env: Mapping[str, str]) -> None:
    for phase in ("image", "build", "boot", "bake", "clean", "convert"):
        home.kill("up", "--yes", at=rf"template-pve\d +{phase}", env=env)
        assert kubernetes_nodes(home) == {}
    home.run("up", "--yes", env=env)
    assert templates(home, env) == dict.fromkeys(PVE_NODES, True)


def test_the_cluster_is_spread_and_its_nodes_say_where_they_are(home: Home, env: Mapping[str, str]) -> None:
    zones = kubernetes_nodes(home)
    assert sorted(zones) == ["demo-cp-1", "demo-workers-1", "demo-workers-2", "demo-workers-3"]
    assert set(zones.values()) == set(PVE_NODES)
    status = home.run("status", "-o", "json", env=env).json
    assert status["problems"] == []
    assert {machine["name"]: machine["pve_node"] for machine in status["machines"]} == zones


def test_a_second_up_has_nothing_to_do_and_asks_nothing(home: Home, env: Mapping[str, str]) -> None:
    assert "nothing to do" in home.run("up", env=env).out


def test_down_leaves_the_templates_and_nothing_else(home: Home, env: Mapping[str, str]) -> None:
    home.run("down", "--yes", env=env)
    api = Api(home)
    assert templates(home, env) == dict.fromkeys(PVE_NODES, True)
    for pve_node in PVE_NODES:
        assert api.vms(pve_node) == {}
        listed = api.call("GET", f"/nodes/{pve_node}/storage/local/content?content=iso")
        assert listed == []


def kubernetes_nodes(home: Home) -> dict[str, str]:
    """Their names and zones; none as long as there is no kubeconfig."""
    if not Path(home.kubeconfig).exists():
        return {}
    nodes = json.loads(kubectl(home, "get", "nodes", "-o", "json"))["items"]
    return {node["metadata"]["name"]: node["metadata"]["labels"][ZONE] for node in nodes}
