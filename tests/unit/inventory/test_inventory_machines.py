"""`machine: lxc`: what a pool of containers may say, and what not."""

from __future__ import annotations

import pytest

from bootstrap.model.machine import MachineKind
from tests.unit.inventory.kit import Load, Told


def test_pools_are_vms_unless_they_say_otherwise(load: Load) -> None:
    spec = load("pools: {light: {machine: lxc, ostemplate: debian-12-standard}, heavy: {}}\n").spec
    light, heavy = spec.workers
    assert (light.kind, light.ostemplate) == (MachineKind.LXC, "debian-12-standard")
    assert (heavy.kind, heavy.ostemplate, spec.control_plane.kind) == (MachineKind.VM, None, MachineKind.VM)


@pytest.mark.parametrize(
    "name", ["local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst", "debian-13-standard", "my.tar.xz"]
)
def test_a_template_is_a_volume_or_a_name(load: Load, name: str) -> None:
    assert load(f"workers: {{machine: lxc, ostemplate: '{name}'}}\n").spec.workers[0].ostemplate == name


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        ("control_plane: {machine: lxc}", "control_plane.machine", "servers are always VMs"),
        (
            "control_plane: {schedulable: false}\nworkers: 0",
            "control_plane.schedulable",
            "have no machine that takes them",
        ),
        ("workers: {machine: LXC}", "workers.machine", "must be one of vm, lxc"),
        ("workers: {ostemplate: debian-13-standard}", "workers.ostemplate", "has no effect on VMs"),
        (
            "workers: {machine: lxc, ostemplate: 'local:iso/x.iso'}",
            "workers.ostemplate",
            "must be a container template",
        ),
        ("workers: {machine: lxc, cpu: host}", "workers.cpu", "does not go with machine: lxc"),
        ("workers: {machine: lxc, sysctls: {vm.swappiness: 10}}", "workers.sysctls", "Proxmox node's kernel"),
        ("workers: {machine: lxc, kernel_modules: [nbd]}", "workers.kernel_modules", "on its Proxmox node"),
        ("workers: {machine: lxc, devices: [{mapping: gpu0}]}", "workers.devices", "root@pam"),
        ("workers: {machine: lxc, data_disk: 10GiB}", "workers.data_disk", "does not go with machine: lxc"),
        ("workers: {machine: lxc, disk_options: {ssd: true}}", "workers.disk_options", "no virtual disk"),
    ],
)
def test_what_containers_cannot_be_is_one_problem(told: Told, text: str, path: str, message: str) -> None:
    (problem,) = told(f"{text}\n")
    assert (problem.path, problem.line) == (path, 1)
    assert message in problem.message


def test_servers_that_are_not_schedulable_are_tainted_once(load: Load) -> None:
    taint = "node-role.kubernetes.io/control-plane:NoSchedule"
    for keys in ("schedulable: false", f"schedulable: false, taints: ['{taint}']"):
        spec = load(f"control_plane: {{{keys}}}\n").spec
        assert [str(each) for each in spec.control_plane.taints] == [taint]
        assert all(pool.taints == () for pool in spec.workers)
    assert load("control_plane: {schedulable: true}\n").spec.control_plane.taints == ()
