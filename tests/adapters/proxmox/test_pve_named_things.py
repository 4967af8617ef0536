"""Resource pools and CPU types, as Proxmox VE tells whether it has them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bootstrap.adapters.proxmox import ProxmoxHypervisor
from bootstrap.errors import HypervisorError
from tests.adapters.proxmox.pve_lab import PVE1, VM, Lab, clone_request


def test_a_resource_pool_is_there_or_not_also_for_a_token_that_may_not_list_it(
    lab: Lab, hypervisor: ProxmoxHypervisor
) -> None:
    lab.pve.pools["k3s"] = []
    assert hypervisor.has_resource_pool("k3s")
    assert not hypervisor.has_resource_pool("k3")
    assert not hypervisor.has_resource_pool("home/k3s")


@pytest.mark.parametrize(("version", "newest"), [(8, "GraniteRapids"), (9, "ClearwaterForest")])
def test_the_cpu_types_are_those_that_a_config_takes(start_lab: Callable[..., Lab], version: int, newest: str) -> None:
    lab = start_lab(pve_version=version)
    hypervisor = lab.connect()
    known = hypervisor.cpu_types(PVE1)
    assert {"host", "kvm64", "x86-64-v2-AES", newest} <= known
    assert ("ClearwaterForest" in known) == (version == 9)
    hypervisor.clone(clone_request(), warn=lab.warnings.append)
    hypervisor.configure(VM, pve_node=PVE1, settings={"cpu": newest})
    for unknown, words in (("nope", "Built-in cputype 'nope' is not defined"), ("custom-x", "cputype 'x' not found")):
        assert unknown not in known
        with pytest.raises(HypervisorError) as refused:
            hypervisor.configure(VM, pve_node=PVE1, settings={"cpu": unknown})
        assert words in str(refused.value.details)
