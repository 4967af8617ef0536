"""An add-on that counts from a cluster's birth on: given to a new one, refused in one that lives without it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bootstrap.addons import needs_of, with_needs
from bootstrap.errors import PreflightError
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName
from bootstrap.model.machine import Role
from bootstrap.planning.checks.addons import check_births
from bootstrap.planning.view import ClusterView
from tests.fakes.seen import kube_node, seen, vm
from tests.fakes.specs import cluster, control_plane

SPEC = replace(cluster(agents=0), manifests=())
CCM = replace(with_needs(SPEC, needs_of(["proxmox-ccm"])), addons=("proxmox-ccm",))
WITH = ("server", "--disable-cloud-controller", "true", "--kubelet-arg", "cloud-provider=external")
WITHOUT = ("server", "--kubelet-arg", "max-pods=50")


def view(spec: ClusterSpec, args: tuple[str, ...] | None) -> ClusterView:
    server = vm(control_plane(), 1)
    node = replace(kube_node(MachineName(server.name), role=Role.CONTROL_PLANE), args=args)
    return ClusterView(spec, seen(server, nodes=(node,)))


@pytest.mark.parametrize(("spec", "args"), [(CCM, WITH), (SPEC, WITHOUT), (CCM, None), (SPEC, None)])
def test_what_fits_is_no_matter(spec: ClusterSpec, args: tuple[str, ...] | None) -> None:
    check_births(view(spec, args))


def test_a_new_cluster_gets_it() -> None:
    check_births(ClusterView(CCM, seen()))


def test_a_living_cluster_cannot_get_it() -> None:
    with pytest.raises(PreflightError, match="cannot get the add-on proxmox-ccm") as refused:
        check_births(view(CCM, WITHOUT))
    assert "providerID" in refused.value.details
    assert "homelab-k8s rebuild" in refused.value.resolution


def test_a_cluster_that_has_it_cannot_lose_it() -> None:
    with pytest.raises(PreflightError, match="cannot lose the add-on proxmox-ccm"):
        check_births(view(SPEC, WITH))
    check_births(view(replace(SPEC, manifests=None), WITH))


def test_settings_of_the_users_own_are_no_add_on() -> None:
    own = with_needs(SPEC, needs_of(["proxmox-ccm"]))
    check_births(view(own, WITH))
