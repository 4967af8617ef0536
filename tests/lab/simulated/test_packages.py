"""Packages and kernel settings on simulated guests: the script's effect, and the whole by commands."""

from __future__ import annotations

import pytest

from bootstrap.errors import ScriptError
from bootstrap.model.system import SystemSpec
from bootstrap.planning.settings.system_files import system_env, system_files
from tests.e2e.homes import Home
from tests.lab.simulated.running import Guest, Guests

WANTED = SystemSpec(packages=("open-iscsi",), sysctls=(("vm.max_map_count", "262144"),), kernel_modules=("iscsi_tcp",))


def prepare(guest: Guest, system: SystemSpec, *, look: int = 0) -> list[str]:
    text = guest.text(
        "prepare-system.sh", secret_files=system_files(system), LOOK=str(look), LOCK_S="1", **system_env(system)
    )
    return text.splitlines()


def test_the_script_does_what_the_real_one_does(simulated: Guests) -> None:
    """As tests/adapters/test_prepare_system_script.py sees it of the real script."""
    guest = simulated.start(201)
    differs = [
        "differs=package open-iscsi",
        "differs=module iscsi_tcp",
        "differs=sysctl vm.max_map_count",
        "differs=file /etc/modules-load.d/91-homelab-k8s.conf",
        "differs=file /etc/sysctl.d/91-homelab-k8s.conf",
        "changed=1",
    ]
    assert prepare(guest, WANTED, look=1) == differs
    assert prepare(guest, WANTED) == differs
    assert prepare(guest, WANTED) == ["changed=0"]
    assert "left=open-iscsi" in prepare(guest, SystemSpec(packages=("htop",)))


@pytest.mark.parametrize(
    ("system", "said"),
    [
        (SystemSpec(packages=("no-such-package",)), "E: Unable to locate package no-such-package"),
        (SystemSpec(kernel_modules=("no_such_module",)), "Module no_such_module not found"),
        (SystemSpec(sysctls=(("vm.no_such", "1"),)), "the kernel has no sysctl vm.no_such"),
        (SystemSpec(sysctls=(("vm.swappiness", "much"),)), "the kernel refuses the sysctl vm.swappiness = much"),
    ],
)
def test_what_a_real_machine_does_not_have_is_refused(simulated: Guests, system: SystemSpec, said: str) -> None:
    guest = simulated.start(201)
    with pytest.raises(ScriptError) as caught:
        prepare(guest, system)
    assert said in caught.value.details


BEFORE = """
cluster: lab
control_plane: {count: 1, cores: 1, memory: 1GiB, disk: 8GiB}
workers: {count: 2, cores: 1, memory: 1GiB, disk: 8GiB}
packages: [nfs-common]
"""
AFTER = """
cluster: lab
control_plane: {count: 1, cores: 1, memory: 1GiB, disk: 8GiB}
workers: {count: 3, cores: 1, memory: 1GiB, disk: 8GiB, sysctls: {vm.max_map_count: 262144}}
packages: [open-iscsi]
kernel_modules: [iscsi_tcp]
"""


def run(home: Home, verb: str, inventory: str, *more: str, expect: int | None = 0) -> str:
    (home.directory / "cluster.yaml").write_text(inventory)
    result = home.run(verb, "--lab", "--inventory", "cluster.yaml", *more, expect=expect)
    return " ".join((result.out + result.err).split())


def test_a_cluster_is_made_with_them_and_a_living_one_gets_others(home: Home) -> None:
    assert "install nfs-common" in run(home, "up", BEFORE, "--dry-run")
    run(home, "up", BEFORE)
    assert "nothing to do" in run(home, "up", BEFORE)

    told = run(home, "status", AFTER, expect=None)
    assert "package open-iscsi differs from the inventory (lab-cp-1, lab-workers-1, lab-workers-2)" in told
    assert "sysctl vm.max_map_count differs from the inventory (lab-workers-1, lab-workers-2)" in told
    dry = run(home, "up", AFTER, "--dry-run")
    assert "apply package open-iscsi, module iscsi_tcp" in dry
    done = run(home, "up", AFTER)
    assert "restart k3s" not in done
    again = run(home, "up", AFTER)
    assert "nothing to do" in again
    assert "nfs-common is no longer in the inventory and stays installed on lab-cp-1, lab-workers-1" in again


def test_what_the_machines_refuse_names_machine_and_package(home: Home) -> None:
    refused = run(home, "up", AFTER.replace("open-iscsi", "no-such-package"), expect=1)
    assert "lab-cp-1: packages or kernel settings of the inventory could not be applied" in refused
    assert "E: Unable to locate package no-such-package" in refused
