"""Add-ons in `manifests`: read with all problems at once, and rendered with what the inventory says."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from bootstrap.inventory import Inventory
from bootstrap.manifests.values import ManifestObjects, ManifestPath
from tests.unit.inventory.kit import ENVIRON, Load, Told

CSI = "{addon: proxmox-csi, values: {token: {env: CSI_TOKEN}, storages: [local-lvm]}}"
WITH_TOKEN = {**ENVIRON, "CSI_TOKEN": "0f0f0f0f-0000-1111-2222-333333333333\n"}


def objects_of(inventory: Inventory, name: str) -> dict[str, dict[str, object]]:
    found = [
        source
        for source in inventory.spec.manifests or ()
        if isinstance(source, ManifestObjects) and source.shown == f"addon {name}"
    ]
    assert len(found) == 1
    return {f"{each['kind']}/{each['metadata']['name']}": each for each in found[0].objects}


def test_add_ons_and_files_keep_their_order(load: Load) -> None:
    text = "network: {subnet: 192.168.1.0/24}\nmanifests: [apps/, cert-manager.yaml, {addon: cert-manager}, {path: x/}]"
    inventory = load(text)
    shown = [source.shown for source in inventory.spec.manifests or ()]
    assert shown == ["apps", "cert-manager.yaml", "addon cert-manager", "x"]
    assert isinstance((inventory.spec.manifests or ())[0], ManifestPath)
    assert inventory.spec.addons == ("cert-manager",)


def test_an_add_on_has_what_the_inventory_says_and_what_it_needs_is_added(load: Load) -> None:
    inventory = load(
        "cluster: home\nk3s: {disable: [traefik]}\npackages: [htop]\nnetwork: {subnet: 192.168.1.0/24}\n"
        "manifests:\n  - {addon: longhorn}\n  - addon: metallb\n    values: {addresses: [192.168.1.240/28]}\n"
    )
    chart = objects_of(inventory, "longhorn")["HelmChart/longhorn"]
    assert isinstance(chart["spec"], dict)
    content = yaml.safe_load(chart["spec"]["valuesContent"])
    assert content["defaultSettings"]["defaultReplicaCount"] == 1
    assert inventory.spec.k3s.disable == ("traefik", "servicelb")
    assert inventory.spec.system.packages == ("htop", "nfs-common", "open-iscsi")


def test_the_secret_of_an_add_on_is_in_its_secret_and_in_no_repr(load: Load) -> None:
    inventory = load(f"manifests: [{CSI}]", environ=WITH_TOKEN)
    secret = objects_of(inventory, "proxmox-csi")["Secret/proxmox-csi"]
    assert isinstance(secret["stringData"], dict)
    config = yaml.safe_load(secret["stringData"]["config.yaml"])["clusters"][0]
    assert config["token_secret"] == "0f0f0f0f-0000-1111-2222-333333333333"
    assert config["url"] == "https://192.0.2.10:8006/api2/json"
    assert "0f0f0f0f" not in repr(inventory)
    (source,) = inventory.spec.manifests or ()
    assert isinstance(source, ManifestObjects)
    assert source.secrets == ("0f0f0f0f-0000-1111-2222-333333333333",)


def test_an_add_ons_ca_is_the_inventorys(load: Load, tmp_path: Path) -> None:
    ca = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
    (tmp_path / "ca.pem").write_text(ca)
    text = f"proxmox: {{tls: {{ca_file: {tmp_path}/ca.pem}}}}\nmanifests: [{CSI}]"
    secret = objects_of(load(text, environ=WITH_TOKEN), "proxmox-csi")["Secret/proxmox-csi"]
    assert isinstance(secret["stringData"], dict)
    assert secret["stringData"]["ca.crt"] == ca


def test_all_mistakes_are_found_at_once_with_their_lines(told: Told) -> None:
    problems = told(
        "manifests:\n"
        "  - addon: metalb\n"
        "  - addon: metallb\n"
        "    values:\n"
        "      adresses: [192.168.1.240]\n"
        "  - addon: kube-vip\n"
        "    values:\n"
        "      addresses: [192.168.1.240-192.168.1.1]\n"
        "  - addon: proxmox-csi\n"
        "    values:\n"
        "      token: {env: GONE}\n"
        "  - {path: x, addon: flux}\n"
        "  - addon: nfs\n"
        "    values: {server: nas, share: data, default: yes}\n"
        "  - values: {}\n"
    )
    assert [(each.line, each.path, each.message) for each in problems] == [
        (2, "manifests[0].addon", "there is no add-on 'metalb'"),
        (3, "manifests[1].values.addresses", "metallb needs it: the addresses that services get"),
        (3, "manifests[1].addon", "metallb and kube-vip do the same"),
        (5, "manifests[1].values.adresses", "is no value of metallb"),
        (6, "manifests[2].addon", "kube-vip and metallb do the same"),
        (
            8,
            "manifests[2].values.addresses",
            "must be a list of IPv4 ranges, such as [192.168.1.240-192.168.1.250]",
        ),
        (11, "manifests[3].values.token", "the environment variable GONE is not set"),
        (12, "manifests[4].addon", "path and addon exclude each other"),
        (14, "manifests[5].values.default", "YAML takes yes for a boolean"),
        (15, "manifests[6]", "needs one of path, addon"),
    ]


def test_what_does_not_fit_the_cluster_is_found(told: Told) -> None:
    problems = told(
        "network: {subnet: 192.168.1.0/24}\ncontrol_plane: {vip: 192.168.1.250}\nlabels_from_proxmox: false\n"
        f"manifests:\n  - {CSI}\n  - addon: metallb\n    values: {{addresses: [192.168.1.240-192.168.1.250]}}\n",
        environ=WITH_TOKEN,
    )
    assert [(each.line, each.path) for each in problems] == [
        (5, "manifests[0].addon"),
        (7, "manifests[1].values.addresses[0]"),
    ]
    assert "overlaps the API's address" in problems[1].message


@pytest.mark.parametrize("secret", ["plain-text", "[a]", "{env: A, file: b}", "{}"])
def test_a_secret_in_the_file_is_refused_and_not_repeated(told: Told, secret: str) -> None:
    problems = told(f"manifests: [{{addon: proxmox-ccm, values: {{token: {secret}}}}}]")
    assert [each.path for each in problems] == ["manifests[0].values.token"]
    assert "plain-text" not in str(problems)


def test_scalars_of_values_are_what_people_mean(load: Load) -> None:
    text = (
        'manifests: [{addon: cert-manager, values: {helm: {a: 010, b: 1.5, c: "yes", d: ~, e: 1_0, f: 2026-01-01, '
        "g: true, h: [1, x]}}}]"
    )
    chart = objects_of(load(text), "cert-manager")["HelmChart/cert-manager"]
    assert isinstance(chart["spec"], dict)
    content = yaml.safe_load(chart["spec"]["valuesContent"])
    del content["crds"]
    assert content == {
        "a": "010", "b": 1.5, "c": "yes", "d": None, "e": "1_0", "f": "2026-01-01", "g": True, "h": [1, "x"]
    }  # fmt: skip


def test_an_add_on_that_nodes_need_also_lies_on_the_first_server(load: Load) -> None:
    text = "manifests: [{addon: proxmox-ccm, values: {token: {env: CSI_TOKEN}, insecure: true}}, {addon: cert-manager}]"
    inventory = load(text, environ=WITH_TOKEN)
    (early,) = inventory.spec.early_manifests
    assert early.name == "addon-proxmox-ccm"
    (source, other) = inventory.spec.manifests or ()
    assert isinstance(source, ManifestObjects)
    assert isinstance(other, ManifestObjects)
    assert list(yaml.safe_load_all(early.text)) == list(source.objects)
    assert source.birth.startswith("it sets the providerID")
    assert (other.early, other.birth) == (False, "")
    assert "0f0f0f0f" not in repr(inventory)
