"""Early manifests lie on the first server alone, from before its first start on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bootstrap.errors import ScriptError
from bootstrap.manifests.values import ManifestObjects
from bootstrap.model.settings.early import EarlyManifest
from tests.fakes.specs import cluster
from tests.fakes.world import World
from tests.unit.commands.test_up_and_down import up

SPEC = replace(cluster(servers=3), early_manifests=(EarlyManifest(name="cni", text="kind: HelmChart\n"),))
FILE = "manifests/homelab-k8s-cni.yaml"


def holders(world: World) -> list[str]:
    return sorted(vm.name for vm in world.vms.values() if FILE in vm.files)


def test_only_the_first_server_gets_them() -> None:
    world = World()
    up(world, SPEC)
    assert holders(world) == ["demo-cp-1"]


def test_an_add_ons_leave_the_folder_once_they_are_applied_by_us() -> None:
    """k3s would put an old version back at its next start."""
    objects = ManifestObjects(shown="addon proxmox-ccm", objects=({"apiVersion": "v1", "kind": "Namespace",
                                                                  "metadata": {"name": "x"}},))  # fmt: skip
    ccm = EarlyManifest(name="addon-proxmox-ccm", text="kind: Namespace\n")
    spec = replace(SPEC, early_manifests=(*SPEC.early_manifests, ccm), addons=("proxmox-ccm",), manifests=(objects,))
    world = World()
    up(world, spec)
    first = world.vm_named("demo-cp-1")
    assert first is not None
    assert {name for name in first.files if name.startswith("manifests/")} == {FILE}


def test_a_cluster_that_is_there_never_gets_them() -> None:
    world = World()
    up(world, cluster(servers=3))
    up(world, SPEC)
    assert holders(world) == []


def test_a_first_server_has_them_before_its_start_and_those_of_now() -> None:
    world = World(broken_scripts={"start-k3s.sh"})
    with pytest.raises(ScriptError):
        up(world, SPEC)
    assert holders(world) == ["demo-cp-1"]
    world.broken_scripts.clear()
    up(world, replace(SPEC, early_manifests=(EarlyManifest(name="ccm", text="kind: DaemonSet\n"),)))
    first = world.vm_named("demo-cp-1")
    assert first is not None
    assert {name for name in first.files if name.startswith("manifests/")} == {"manifests/homelab-k8s-ccm.yaml"}
