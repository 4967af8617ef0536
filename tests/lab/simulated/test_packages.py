"""Packages, kernel settings, files and hooks on simulated guests: the scripts' effects, and the whole by commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from bootstrap.errors import ScriptError
from bootstrap.model.settings.system import FileSpec, HookSpec, HookTime, SystemSpec
from bootstrap.planning.settings.system_files import hook_files, looked_at, system_env, system_files
from tests.e2e.homes import Home
from tests.lab.simulated.running import Guest, Guests

WANTED = SystemSpec(packages=("open-iscsi",), sysctls=(("vm.max_map_count", "262144"),), kernel_modules=("iscsi_tcp",))


def prepare(guest: Guest, system: SystemSpec, *, look: int = 0) -> list[str]:
    files = looked_at(system) if look else system_files(system)
    text = guest.text("prepare-system.sh", secret_files=files, LOOK=str(look), LOCK_S="1", **system_env(system))
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


def written(path: str, content: bytes = b"one\n") -> SystemSpec:
    return SystemSpec(files=(FileSpec(path=path, mode="0640", content=content),))


def test_files_are_written_removed_and_kept_as_the_real_script_does(simulated: Guests) -> None:
    """As tests/adapters/test_files_and_hooks_scripts.py sees it of the real scripts."""
    guest = simulated.start(201)
    for look in (1, 0):
        assert prepare(guest, written("/etc/made/a"), look=look) == ["differs=file /etc/made/a", "changed=1"]
    assert prepare(guest, written("/etc/made/a")) == ["changed=0"]
    assert prepare(guest, written("/etc/made/a", b"two\n")) == ["differs=file /etc/made/a", "changed=1"]
    with pytest.raises(ScriptError) as caught:
        prepare(guest, written("/etc/made"))
    assert "the file /etc/made cannot be written: /etc/made is a directory" in caught.value.details
    prepare(guest, written("/etc/made/a"))
    for look in (1, 0):
        assert prepare(guest, written("/etc/b"), look=look)[0] == "differs=obsolete /etc/made/a"
    prepare(guest, written("/etc/b/c"))
    with pytest.raises(ScriptError) as caught:
        prepare(guest, written("/etc/b/c").with_more(written("/etc/b/c/d")))
    assert "/etc/b/c is not a directory" in caught.value.details


def test_hooks_run_once_and_what_they_print_comes_back(simulated: Guests) -> None:
    guest = simulated.start(201)
    failing = HookSpec(name="fails", time=HookTime.AFTER_READY, content=b"#!/bin/sh\necho no\nexit 3\n")
    works = HookSpec(name="works", time=HookTime.BEFORE_K3S, content=b"#!/bin/sh\necho $A\n", env=(("A", "x"),))
    both = SystemSpec(hooks=(works, failing))
    assert prepare(guest, both, look=1) == ["differs=before_k3s works", "differs=after_ready fails", "changed=1"]
    assert run_hook(guest, failing) == run_hook(guest, failing) == ["changed=1", "status=3", "output=bm8K"]
    assert run_hook(guest, works) == ["changed=1", "status=0", "output=eAo="]
    assert run_hook(guest, works) == ["changed=0"]
    assert prepare(guest, both, look=1) == ["differs=after_ready fails", "changed=1"]


def run_hook(guest: Guest, hook: HookSpec) -> list[str]:
    names = ("MACHINE", "ROLE", "POOL", "CLUSTER", "ADDRESS", "K3S_VERSION", "TIMEOUT_S", "LOCK_S")
    env = {"KEY": hook.key, "NAME": hook.name, "TIME": hook.time.value} | dict.fromkeys(names, "1")
    return guest.text("run-hook.sh", secret_files=hook_files(hook), **env).splitlines()


SECRET = "tr0ub4dor-and-3"
BEFORE = """
cluster: lab
control_plane: {count: 1, cores: 1, memory: 1GiB, disk: 8GiB}
workers: {count: 2, cores: 1, memory: 1GiB, disk: 8GiB}
packages: [nfs-common]
files:
  - {path: /etc/motd.d/cluster, content: "welcome\\n"}
  - {path: /etc/iscsi/chap, content: {env: CHAP}}
hooks:
  before_k3s: [{name: tune, content: "#!/bin/sh\\necho tuned $HOMELAB_K8S_MACHINE $P\\n", env: {P: {env: CHAP}}}]
"""
AFTER = """
cluster: lab
control_plane: {count: 1, cores: 1, memory: 1GiB, disk: 8GiB}
workers: {count: 3, cores: 1, memory: 1GiB, disk: 8GiB, sysctls: {vm.max_map_count: 262144}}
packages: [open-iscsi]
kernel_modules: [iscsi_tcp]
files: [{path: /etc/iscsi/chap, content: {env: CHAP}}]
hooks:
  before_k3s: [{name: tune, content: "#!/bin/sh\\necho tuned $HOMELAB_K8S_MACHINE $P\\n", env: {P: {env: CHAP}}}]
  after_ready: [{name: announce, content: "#!/bin/sh\\necho $HOMELAB_K8S_K3S_VERSION\\n"}]
"""


def run(home: Home, verb: str, inventory: str, *more: str, expect: int | None = 0) -> str:
    (home.directory / "cluster.yaml").write_text(inventory)
    result = home.run(verb, "--lab", "--inventory", "cluster.yaml", *more, expect=expect, env={"CHAP": SECRET})
    return " ".join((result.out + result.err).split())


def test_a_cluster_is_made_with_them_and_a_living_one_gets_others(home: Home) -> None:
    assert "install nfs-common" in run(home, "up", BEFORE, "--dry-run")
    run(home, "up", BEFORE)
    assert "nothing to do" in run(home, "up", BEFORE)
    assert [path.read_text() for path in disks(home, "etc/motd.d/cluster")] == ["welcome\n"] * 3
    assert [oct(path.stat().st_mode & 0o777) for path in disks(home, "etc/iscsi/chap")] == ["0o600"] * 3

    told = run(home, "status", AFTER, expect=None)
    assert "package open-iscsi differs from the inventory (lab-cp-1, lab-workers-1, lab-workers-2)" in told
    assert "sysctl vm.max_map_count differs from the inventory (lab-workers-1, lab-workers-2)" in told
    assert "the file /etc/motd.d/cluster is no longer in the inventory (lab-cp-1, lab-workers-1, lab-workers-2)" in told
    assert "the after_ready hook announce has not run (lab-cp-1, lab-workers-1, lab-workers-2)" in told
    dry = run(home, "up", AFTER, "--dry-run")
    assert "apply package open-iscsi, module iscsi_tcp" in dry
    done = run(home, "up", AFTER)
    assert "restart k3s" not in done
    assert "run the hook announce" in done
    assert disks(home, "etc/motd.d/cluster") == []
    again = run(home, "up", AFTER)
    assert "nothing to do" in again
    assert "nfs-common is no longer in the inventory and stays installed on lab-cp-1, lab-workers-1" in again


def test_what_a_hook_prints_is_in_the_log_and_no_secret_is(home: Home) -> None:
    failing = AFTER.replace("echo $HOMELAB_K8S_K3S_VERSION", "echo it is $P\\nexit 4")
    refused = run(home, "up", failing.replace("after_ready: [{", "after_ready: [{env: {P: {env: CHAP}}, "), expect=1)
    assert "the after_ready hook announce ended with status 4" in refused
    assert "it is ***" in refused
    kept = [path for path in home.directory.rglob("*") if path.is_file() and "simulated" not in path.parts]
    assert [path for path in kept if SECRET.encode() in path.read_bytes()] == []
    assert any("tuned lab-workers-1 ***" in path.read_text() for path in kept if path.suffix == ".log")


def disks(home: Home, path: str) -> list[Path]:
    """A file on the machines' disks."""
    return sorted(home.directory.glob(f"state/homelab-k8s/lab/simulated/7???/{path}"))


def test_what_the_machines_refuse_names_machine_and_package(home: Home) -> None:
    refused = run(home, "up", AFTER.replace("open-iscsi", "no-such-package"), expect=1)
    assert "lab-cp-1: files, packages or kernel settings of the inventory could not be applied" in refused
    assert "E: Unable to locate package no-such-package" in refused
