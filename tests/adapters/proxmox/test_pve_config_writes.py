"""Writes to configs: no disk is made twice, what users wrote stays, and what clones may not inherit goes."""

from __future__ import annotations

from typing import Any

import pytest

from bootstrap.adapters.proxmox import ProxmoxHypervisor
from bootstrap.errors import HypervisorError
from bootstrap.lab.front.configs.seed import render_user_data
from bootstrap.model.ids import ClusterName, Vmid
from tests.adapters.proxmox.pve_lab import PVE1, VM, VMIDS, Lab, clone_request
from tests.fakes.specs import cluster
from tests.unit.planning.test_texts import settings


def volumes(lab: Lab) -> list[str]:
    return sorted(name for name in lab.pve.storages["local"]["volumes"] if "vm-7001-disk" in name)


@pytest.mark.parametrize("fault", ["answer-lost", "api-596"])
def test_a_disk_is_made_once_whatever_becomes_of_the_answer(
    lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid, fault: str
) -> None:
    lost = lab.server.faults.add(fault, method="PUT", path="/config", times=2)
    before = len(volumes(lab))
    hypervisor.configure(vm, pve_node=PVE1, settings={"cores": 2, "scsi1": "local:10,discard=on"})
    assert lost.hits == 2
    assert len(volumes(lab)) == before + 1
    read = hypervisor.read_vm(vm, pve_node=PVE1)
    assert (read.cores, read.unused) == (2, ())
    assert "size=10G" in dict(read.drives)["scsi1"]


def test_a_disk_is_made_once_where_somebody_changes_the_config_meanwhile(
    lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid
) -> None:
    lab.server.faults.add("config-changed", times=1)
    before = len(volumes(lab))
    hypervisor.configure(vm, pve_node=PVE1, settings={"scsi1": "local:10"})
    assert len(volumes(lab)) == before + 1


def test_a_disk_that_is_there_already_is_not_replaced(lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid) -> None:
    """An earlier run's request, which was still under way, came first."""
    hypervisor.configure(vm, pve_node=PVE1, settings={"scsi1": "local:10"})
    hypervisor.configure(vm, pve_node=PVE1, settings={"scsi1": "local:10"})
    assert hypervisor.read_vm(vm, pve_node=PVE1).unused == ()
    with pytest.raises(HypervisorError, match="did not keep scsi1"):
        hypervisor.configure(vm, pve_node=PVE1, settings={"scsi1": "local:20"})


def test_disks_that_nothing_uses_are_seen(lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid) -> None:
    hypervisor.configure(vm, pve_node=PVE1, settings={"scsi1": "local:10"})
    volume = dict(hypervisor.read_vm(vm, pve_node=PVE1).drives)["scsi1"].split(",")[0]
    hypervisor.configure(vm, pve_node=PVE1, settings={"delete": "scsi1"})
    assert hypervisor.read_vm(vm, pve_node=PVE1).unused == (("unused0", volume),)


def test_tags_are_kept_in_the_case_that_the_cluster_keeps_them_in(
    lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid
) -> None:
    hypervisor.configure(vm, pve_node=PVE1, settings={"tags": "homelab-k8s;Prod"})
    assert hypervisor.read_vm(vm, pve_node=PVE1).tags == {"homelab-k8s", "prod"}
    lab.server.faults.add("tags-keep-case")
    hypervisor.configure(vm, pve_node=PVE1, settings={"tags": "Homelab-K8s;Prod"})
    assert hypervisor.read_vm(vm, pve_node=PVE1).tags == {"Homelab-K8s", "Prod"}
    assert [found.vmid for found in hypervisor.machines()] == [vm]


def test_a_templates_tags_are_compared_in_lower_case(lab: Lab, hypervisor: ProxmoxHypervisor) -> None:
    lab.pve.vm(9000).config["tags"] = "Debian;K3s"
    (template,) = hypervisor.observe(cluster=ClusterName("demo"), vmids=VMIDS).templates
    assert template.tags == {"debian", "k3s"}


@pytest.mark.parametrize(
    "option",
    [
        {"protection": 1},
        {"vcpus": 1},
        {"cpulimit": 1},
        {"cpuunits": 50},
        {"cicustom": "user=local:snippets/u.yml"},
        {"net1": "virtio=BC:24:11:00:00:09,bridge=vmbr0", "ipconfig1": "ip=dhcp"},
        {"usb0": "spice"},
        {"cipassword": "hunter2"},
    ],
    ids=lambda option: "+".join(option),
)
def test_what_a_clone_may_not_keep_is_taken_off_by_the_role(
    lab: Lab, hypervisor: ProxmoxHypervisor, option: dict[str, Any]
) -> None:
    lab.pve.vm(9000).config.update(option)
    hypervisor.clone(clone_request(), warn=lab.warnings.append)
    inherited = dict(hypervisor.read_vm(VM, pve_node=PVE1).settings)
    assert option.keys() <= inherited.keys()
    hypervisor.configure(VM, pve_node=PVE1, settings={"cores": 2, "delete": ",".join(option)})
    assert not option.keys() & dict(hypervisor.read_vm(VM, pve_node=PVE1).settings).keys()
    hypervisor.start(VM, pve_node=PVE1, warn=lab.warnings.append)


def test_a_password_of_the_templates_lets_nobody_into_its_machines(lab: Lab, hypervisor: ProxmoxHypervisor) -> None:
    """Anyone who knows it could log in to all machines of all clusters at the console, and by SSH where that is let."""
    lab.pve.vm(9000).config.update(cipassword="hunter2", ciuser="them", sshkeys="ssh-ed25519%20AAAATHEIRS")
    hypervisor.clone(clone_request(), warn=lab.warnings.append)
    assert "password: hunter2" in render_user_data(int(VM), lab.pve.vm(VM).config)
    made = settings(cluster(), vm=hypervisor.read_vm(VM, pve_node=PVE1))
    hypervisor.configure(VM, pve_node=PVE1, settings={key: made[key] for key in ("ciuser", "sshkeys", "delete")})
    booted = render_user_data(int(VM), lab.pve.vm(VM).config)
    assert [line for line in booted.splitlines() if "password" in line or "them" in line or "THEIRS" in line] == []


@pytest.mark.parametrize("option", ["affinity", "args", "hookscript", "hugepages", "startup", "usb0", "hostpci0"])
def test_what_only_root_may_take_off_is_seen_in_the_template(
    lab: Lab, hypervisor: ProxmoxHypervisor, option: str
) -> None:
    lab.pve.vm(9000).config[option] = {"usb0": "host=1234:5678", "hostpci0": "host=0000:01:00.0"}.get(option, "1")
    (template,) = hypervisor.observe(cluster=ClusterName("demo"), vmids=VMIDS).templates
    assert option in dict(template.settings)
    lab.pve.add_vm(VM, "own", node="pve1", config=dict(lab.pve.vm(9000).config, name="own"))
    with pytest.raises(HypervisorError):
        hypervisor.configure(VM, pve_node=PVE1, settings={"delete": option})


def test_a_protected_vm_is_not_destroyed(lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid) -> None:
    lab.pve.vm(vm).config["protection"] = 1
    with pytest.raises(HypervisorError, match=r"can't remove VM 7001 - protection mode enabled"):
        hypervisor.destroy(vm, pve_node=PVE1, warn=lab.warnings.append)


def test_cd_rom_drives_have_slots_too(lab: Lab, hypervisor: ProxmoxHypervisor, vm: Vmid) -> None:
    lab.pve.vm(vm).config["scsi1"] = lab.pve.vm(vm).config.pop("ide2")
    assert hypervisor.read_vm(vm, pve_node=PVE1).cdroms == ("scsi1",)
