"""put-files.sh, as prepare-system.sh runs it, and run-hook.sh, run for real; /mnt stands in for the machine's disk."""

from __future__ import annotations

import base64
import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from bootstrap.adapters.local.guest_files import files_for
from bootstrap.model.settings.system import FileSpec, HookSpec, HookTime, SystemSpec
from bootstrap.planning.settings.system_files import hook_files
from tests.adapters.test_guest_scripts import Machine, lines, needs_root
from tests.adapters.test_prepare_system_script import Guest

pytestmark = needs_root

WRITTEN = "/var/lib/homelab-k8s/files"
BINARY = bytes(range(256)) + b"\n\n"


@pytest.fixture
def guest(tmp_path: Path) -> Guest:
    return Guest(tmp_path)


def file(path: str, content: bytes = b"one\n", mode: str = "0644") -> FileSpec:
    return FileSpec(path=f"/mnt/{path}", mode=mode, content=content)


def told(guest: Guest, *files: FileSpec, look: bool = False) -> list[str]:
    done = guest.run(SystemSpec(files=files), look=look)
    return ["=".join(pair) for pair in lines(done)]


def refused(guest: Guest, *files: FileSpec) -> str:
    done = guest.run(SystemSpec(files=files), check=False)
    assert done.returncode == 1, done.stdout
    return done.stderr


def test_files_are_written_with_mode_and_content_and_only_once(guest: Guest) -> None:
    wanted = (file("a.conf"), file("made/for/it/b.bin", BINARY, "0400"))
    differs = ["differs=file /mnt/a.conf", "differs=file /mnt/made/for/it/b.bin", "changed=1"]
    assert told(guest, *wanted, look=True) == differs
    assert list(guest.mnt.iterdir()) == []
    assert not guest.machine.path(WRITTEN).exists()
    assert told(guest, *wanted) == differs
    assert (guest.mnt / "a.conf").read_text() == "one\n"
    assert (guest.mnt / "made/for/it/b.bin").read_bytes() == BINARY
    assert [oct((guest.mnt / each.path[5:]).stat().st_mode & 0o7777) for each in wanted] == ["0o644", "0o400"]
    assert (guest.mnt / "made").stat().st_mode & 0o777 == 0o755
    assert guest.machine.path(WRITTEN).stat().st_mode & 0o777 == 0o600
    inode = (guest.mnt / "a.conf").stat().st_ino
    for look in (True, False):
        assert told(guest, *wanted, look=look) == ["changed=0"]
    assert (guest.mnt / "a.conf").stat().st_ino == inode
    left = {path.name for path in guest.machine.beside.iterdir()}
    assert left == set(files_for("prepare-system.sh")), "what was sent may be secret"


@pytest.mark.parametrize("how", ["content", "mode", "link", "owner"])
def test_a_file_that_somebody_changed_is_written_again(guest: Guest, how: str) -> None:
    told(guest, file("a.conf"))
    there, elsewhere = guest.mnt / "a.conf", guest.mnt / "elsewhere"
    elsewhere.write_text("one\n")
    if how == "content":
        there.write_text("two\n")
    elif how == "mode":
        there.chmod(0o666)
    elif how == "owner":
        os.chown(there, 1234, 0)
    else:
        there.unlink()
        there.symlink_to("elsewhere")
    for look in (True, False):
        assert told(guest, file("a.conf"), look=look) == ["differs=file /mnt/a.conf", "changed=1"]
    assert told(guest, file("a.conf")) == ["changed=0"]
    assert not there.is_symlink()
    assert elsewhere.read_text() == "one\n"


def test_a_file_that_is_no_longer_asked_for_is_removed(guest: Guest) -> None:
    told(guest, file("a.conf"), file("a.conf.d/b"))
    assert told(guest, file("a.conf"), look=True) == ["differs=obsolete /mnt/a.conf.d/b", "changed=1"]
    assert told(guest, file("a.conf")) == ["differs=obsolete /mnt/a.conf.d/b", "changed=1"]
    assert not (guest.mnt / "a.conf.d/b").exists()
    assert told(guest) == ["differs=obsolete /mnt/a.conf", "changed=1"]
    assert told(guest, look=True) == ["changed=0"]
    assert guest.machine.path(WRITTEN).read_text() == ""


@pytest.mark.parametrize("how", ["content", "link", "directory"])
def test_one_that_somebody_changed_stays_and_is_named_until_it_is_gone(guest: Guest, how: str) -> None:
    told(guest, file("d/a.conf"))
    there = guest.mnt / "d/a.conf"
    if how == "content":
        there.write_text("mine\n")
    elif how == "link":
        there.rename(guest.mnt / "real")
        there.symlink_to("../real")
    else:
        there.parent.rename(guest.mnt / "real")
        there.parent.symlink_to("real")
    for look in (True, False, False):
        assert told(guest, look=look) == ["kept=/mnt/d/a.conf", "changed=0"]
    assert there.exists()
    there.unlink()
    assert told(guest) == ["changed=0"]
    assert told(guest, look=True) == ["changed=0"]


def test_after_a_kill_both_contents_are_known_to_be_ours(guest: Guest) -> None:
    """The record is written before the files: here with the new content, and the old one is still in place."""
    told(guest, file("a.conf"))
    (guest.mnt / "wall").write_text("")
    assert "is not a directory" in refused(guest, file("wall/x"), file("a.conf", b"two\n"))
    assert told(guest, look=True) == ["differs=obsolete /mnt/a.conf", "changed=1"]
    (guest.mnt / "a.conf").write_text("two\n")
    assert told(guest) == ["differs=obsolete /mnt/a.conf", "changed=1"]


def test_nothing_is_written_where_another_user_could_lead_it_elsewhere(guest: Guest) -> None:
    (guest.mnt / "etc").mkdir()
    (guest.mnt / "link").symlink_to("etc")
    assert "/mnt/link is a symbolic link: write the path of what it leads to, /mnt/etc" in refused(
        guest, file("link/x")
    )
    for name, mode, owner in (("home", 0o755, 1234), ("all", 0o777, 0), ("sticky", 0o1777, 0)):
        (guest.mnt / name).mkdir()
        (guest.mnt / name).chmod(mode)
        os.chown(guest.mnt / name, owner, 0)
        assert f"others than root may write to the directory /mnt/{name}" in refused(guest, file(f"{name}/d/x"))
    assert "the file /mnt/etc cannot be written: /mnt/etc is a directory" in refused(guest, file("etc"))
    assert list((guest.mnt / "etc").iterdir()) == []


def test_files_come_before_packages_and_again_after_one_that_brings_its_own(guest: Guest) -> None:
    guest.with_apt("nfs-common")
    apt = (guest.machine.bin / "apt-get").read_text()
    guest.machine.put_command("apt-get", f'{apt}\ncat /mnt/nfs.conf >>"$CALLS"; echo theirs >/mnt/nfs.conf\n')
    guest.run(SystemSpec(packages=("nfs-common",), files=(file("nfs.conf", b"ours\n"),)))
    assert "ours" in guest.calls
    assert (guest.mnt / "nfs.conf").read_text() == "ours\n"
    assert any("--force-confold install" in call for call in guest.calls)


class Hooks:
    """A machine on which hooks run."""

    def __init__(self, root: Path) -> None:
        self.machine = Machine(root)

    def run(self, hook: HookSpec, *, check: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
        parameters = {
            "KEY": hook.key, "NAME": hook.name, "TIME": hook.time, "TIMEOUT_S": "20", "LOCK_S": "0", "MACHINE": "m-1",
            "ROLE": "agent", "POOL": "workers", "CLUSTER": "demo", "ADDRESS": "192.0.2.7",
            "K3S_VERSION": "v1.36.1+k3s1",
        }  # fmt: skip
        return self.machine.run("run-hook.sh", files=hook_files(hook).items(), check=check, **parameters | env)

    def ended(self, hook: HookSpec, *, timeout_s: str = "20") -> tuple[str, str]:
        found = dict(lines(self.run(hook, TIMEOUT_S=timeout_s)))
        assert found["changed"] == "1"
        return found["status"], base64.b64decode(found["output"]).decode()


@pytest.fixture
def hooks(tmp_path: Path) -> Hooks:
    return Hooks(tmp_path)


def hook(text: str, **env: str) -> HookSpec:
    content = f"#!/bin/sh\n{text}\n".encode()
    return HookSpec(name="a-hook", time=HookTime.BEFORE_K3S, content=content, env=tuple(env.items()))


def test_a_hook_runs_once_for_each_content(hooks: Hooks) -> None:
    for each in (hook("echo hello"), hook("echo hello", A="1"), hook("echo other")):
        assert hooks.ended(each)[0] == "0"
        assert lines(hooks.run(each)) == [("changed", "0")]
    assert {path.name for path in hooks.machine.beside.iterdir()} == {"run-hook.sh"}
    assert {path.name for path in hooks.machine.path("/var/lib/homelab-k8s").iterdir()} == {"hooks", "hooks.lock"}


def test_it_has_its_parameters_and_none_is_on_a_command_line(hooks: Hooks) -> None:
    text = 'env | sort; pwd; id -u; echo "[$value]"; tr "\\0" " " </proc/$$/cmdline; cat'
    status, output = hooks.ended(hook(text, value="tr0ub4dor & 'x' $(id)", EMPTY="", PATH="/usr/bin:/bin"))
    assert status == "0"
    said = output.splitlines()
    assert {
        "HOMELAB_K8S_MACHINE=m-1", "HOMELAB_K8S_ROLE=agent", "HOMELAB_K8S_POOL=workers", "HOMELAB_K8S_CLUSTER=demo",
        "HOMELAB_K8S_ADDRESS=192.0.2.7", "HOMELAB_K8S_K3S_VERSION=v1.36.1+k3s1", "HOMELAB_K8S_HOOK=before_k3s",
        "EMPTY=", "PATH=/usr/bin:/bin", "/", "0", "[tr0ub4dor & 'x' $(id)]",
    } <= set(said)  # fmt: skip
    assert not [line for line in said if line.startswith(("KEY=", "MACHINE=", "TIME="))]
    assert "tr0ub4dor" not in said[-1]


def test_one_that_fails_says_how_and_runs_again(hooks: Hooks) -> None:
    failing = hook("echo to stdout; echo to stderr >&2; exit 3")
    for _ in range(2):
        assert hooks.ended(failing) == ("3", "to stdout\nto stderr\n")
    assert hooks.ended(hook("echo late; sleep 60"), timeout_s="1") == ("124", "late\n")
    missing = HookSpec(name="x", time=HookTime.AFTER_READY, content=b"#!/no/such/shell\n")
    assert hooks.ended(missing)[0] in ("126", "127")


def test_what_it_prints_is_bounded_and_what_it_leaves_running_does_not_hold_the_next(hooks: Hooks) -> None:
    status, output = hooks.ended(hook("head -c 100000 /dev/zero | tr '\\0' x; echo end; sleep 5 & exit 0"))
    assert (status, len(output), output[-5:]) == ("0", 16384, "xend\n")
    assert hooks.ended(hook("true"))[0] == "0"


@pytest.mark.skipif(shutil.which("flock") is None, reason="flock is part of each machine's util-linux")
def test_two_do_not_run_at_once(hooks: Hooks) -> None:
    directory = hooks.machine.path("/var/lib/homelab-k8s")
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "hooks.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = hooks.run(hook("true"), check=False)
    assert done.returncode == 1
    assert "another hook is still running here" in done.stderr
