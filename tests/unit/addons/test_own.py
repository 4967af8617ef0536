"""What single add-ons check, and derive: certificates, storages, copies, Traefik's settings."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from bootstrap.addons import Facts, facts_of, get_addon, needs_of, problems_of, render, secret_keys, with_needs
from bootstrap.k3s.config import machine_config
from bootstrap.model.access.endpoint import TlsSpec
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName, StorageName
from bootstrap.model.machine import MachineSpec, Role
from bootstrap.proxmox.rights.addon_roles import ADDON_ROLES
from tests.fakes.specs import cluster

SECRET: Final = "11111111-2222-3333-4444-555555555555"
TOKEN: Final = {"token": {"env": "X"}}
HOME: Final = Facts(cluster="home", pve_api="https://pve:8006/api2/json", storages=("local-lvm",))


def objects_of(name: str, values: dict[str, Any], facts: Facts = HOME) -> dict[str, dict[str, Any]]:
    secrets = {key: SECRET for key, _ in secret_keys(name, values)}
    return {f"{each['kind']}/{each['metadata']['name']}": each for each in render(name, values, facts, secrets=secrets)}


def content(helm_chart: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(helm_chart["spec"]["valuesContent"])
    return found


@pytest.mark.parametrize("name", ["proxmox-csi", "proxmox-ccm"])
def test_the_tokens_secret_is_in_a_secret_alone(name: str) -> None:
    objects = objects_of(name, TOKEN)
    config = yaml.safe_load(objects[f"Secret/{name}"]["stringData"]["config.yaml"])
    assert config["clusters"][0]["token_secret"] == SECRET
    assert config["clusters"][0]["region"] == "home"
    assert [kind for kind, each in objects.items() if SECRET in str(each)] == [f"Secret/{name}"]


def test_each_storage_gets_a_storage_class() -> None:
    values = {**TOKEN, "storages": ["local-lvm", "Fast_ZFS"], "default": "Fast_ZFS", "fstype": "xfs"}
    classes = content(objects_of("proxmox-csi", values)["HelmChart/proxmox-csi"])["storageClass"]
    assert [(each["name"], each["storage"], each["fstype"]) for each in classes] == [
        ("proxmox-local-lvm", "local-lvm", "xfs"),
        ("proxmox-fast-zfs", "Fast_ZFS", "xfs"),
    ]
    assert [each["storage"] for each in classes if "annotations" in each] == ["Fast_ZFS"]


def test_csi_takes_the_inventorys_storages_and_says_what_is_missing() -> None:
    spec = cluster()
    spec = replace(spec, placement=replace(spec.placement, storage=StorageName("nas")), labels_from_proxmox=True)
    assert problems_of("proxmox-csi", TOKEN, facts_of(spec)) == ()
    found = problems_of("proxmox-csi", {**TOKEN, "default": "x"}, Facts(cluster="home", zones=False))
    assert [each.path for each in found] == ["values.storages", "addon"]
    (found_default,) = problems_of("proxmox-csi", {**TOKEN, "default": "x"}, HOME)
    assert found_default.path == "values.default"


@pytest.mark.parametrize(
    ("tls", "ca", "values", "insecure", "mounted"),
    [
        (TlsSpec(), None, {}, False, False),
        (TlsSpec(ca_file=Path("ca.pem")), "PEM", {}, False, True),
        (TlsSpec(fingerprint="AA"), None, {"insecure": True}, True, False),
        (TlsSpec(insecure=True), None, {}, True, False),
        (TlsSpec(ca_file=Path("ca.pem")), "PEM", {"insecure": True}, True, False),
    ],
)
def test_the_certificate_is_checked_as_the_inventory_says(
    tls: TlsSpec, ca: str | None, values: dict[str, Any], insecure: bool, mounted: bool
) -> None:
    facts = facts_of(cluster(), url="https://pve:8006", tls=tls, ca=ca)
    objects = objects_of("proxmox-ccm", {**TOKEN, **values}, facts)
    secret = objects["Secret/proxmox-ccm"]["stringData"]
    api = yaml.safe_load(secret["config.yaml"])["clusters"][0]
    assert (api["url"], api["insecure"]) == ("https://pve:8006/api2/json", insecure)
    assert ("ca.crt" in secret, "extraVolumes" in content(objects["HelmChart/proxmox-ccm"])) == (mounted, mounted)


def test_a_pinned_fingerprint_alone_is_refused() -> None:
    facts = replace(HOME, pve_pinned=True)
    for name in ("proxmox-csi", "proxmox-ccm"):
        (found,) = problems_of(name, TOKEN, facts)
        assert found.path == "values.insecure"
        assert "ca_file" in found.hint


def test_the_cloud_controller_manager_is_refused_where_it_cannot_work() -> None:
    found = problems_of("proxmox-ccm", TOKEN, replace(HOME, ipv6=True, containers=True))
    assert [each.path for each in found] == ["addon", "addon"]


def test_the_cloud_controller_manager_reaches_all_kubelets_whatever_a_pool_says() -> None:
    spec = cluster(agents=1)
    own = (("kubelet-arg", ("max-pods=50",)),)
    spec = spec.with_pools(lambda pool: replace(pool, k3s_settings=own))
    changed = with_needs(spec, needs_of(["proxmox-ccm"]))
    assert settings(changed, Role.WORKER)["kubelet-arg"] == ["cloud-provider=external", "max-pods=50"]
    server = settings(changed, Role.CONTROL_PLANE)
    assert server["kubelet-arg"] == ["cloud-provider=external", "max-pods=50"]
    assert server["disable-cloud-controller"] is True
    assert with_needs(changed, needs_of(["proxmox-ccm"])) == changed


def settings(spec: ClusterSpec, role: Role) -> dict[str, object]:
    pool = next(pool for pool in spec.pools if pool.role is role)
    machine = MachineSpec(name=MachineName("m"), pool=pool.name, role=role, **pool.shape())
    return machine_config(spec, machine, address=IPv4Address("192.0.2.1"), etcd=False, join=None)


def test_two_add_ons_for_the_same_are_refused() -> None:
    ranges = {"addresses": ["192.168.1.240"]}
    (found,) = problems_of("metallb", ranges, HOME, beside=["kube-vip", "nfs"])
    assert str(found) == "addon: metallb and kube-vip do the same (keep one of the two)"


def test_longhorn_has_no_more_copies_than_machines() -> None:
    for facts, values, copies in (
        (replace(HOME, workers=2), {}, 2),
        (replace(HOME, workers=9), {}, 3),
        (replace(HOME, servers=1), {}, 1),
        (replace(HOME, workers=9), {"replicas": 5}, 5),
    ):
        found = content(objects_of("longhorn", values, facts)["HelmChart/longhorn"])
        assert found["persistence"]["defaultClassReplicaCount"] == copies
    assert needs_of(["longhorn"]).system.packages == ("nfs-common", "open-iscsi")


def test_traefiks_settings_need_traefik() -> None:
    (found,) = problems_of("traefik", {}, replace(HOME, disabled=("traefik",)))
    assert found.hint == "take traefik out of k3s.disable, or this add-on"
    least = content(objects_of("traefik", {})["HelmChartConfig/traefik"])
    assert least["service"] == {"spec": {"externalTrafficPolicy": "Cluster"}}
    assert "ports" not in least
    values = {"address": "192.168.1.240", "redirect_https": True, "client_addresses": True}
    config = content(objects_of("traefik", values)["HelmChartConfig/traefik"])
    assert config["service"]["spec"] == {"externalTrafficPolicy": "Local"}
    assert config["service"]["annotations"]["metallb.io/loadBalancerIPs"] == "192.168.1.240"
    assert config["ports"]["web"]["http"]["redirections"]["entryPoint"]["to"] == "websecure"


def test_optional_parts_are_left_out_whole() -> None:
    least = content(objects_of("kube-prometheus-stack", {})["HelmChart/kube-prometheus-stack"])
    assert "storageSpec" not in least["prometheus"]["prometheusSpec"]
    assert "admin" not in least["grafana"]
    values = {"storage": "5Gi", "grafana_password": {"env": "X"}}
    objects = objects_of("kube-prometheus-stack", values)
    full = content(objects["HelmChart/kube-prometheus-stack"])
    claim = full["prometheus"]["prometheusSpec"]["storageSpec"]["volumeClaimTemplate"]["spec"]
    assert claim == {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "5Gi"}}}
    assert objects["Secret/grafana-admin"]["stringData"]["admin-password"] == SECRET


@pytest.mark.parametrize("name", sorted(ADDON_ROLES))
def test_the_token_that_init_prints_is_the_one_that_is_used(name: str) -> None:
    addon = get_addon(name)
    assert addon is not None
    key = addon.key("token_id")
    assert key is not None
    assert key.default == f"{ADDON_ROLES[name].user}!{ADDON_ROLES[name].token}"
    readme = (Path(__file__).parents[3] / "manifests" / name / "README.md").read_text()
    assert ADDON_ROLES[name].env in readme
    assert all(privilege in readme for privilege in ADDON_ROLES[name].privileges)
