"""What `clean.sh` leaves of a machine that becomes a template, run for real in a root of the test's own."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bootstrap.adapters.local.guest_files import guest_file
from tests.adapters.test_guest_scripts import needs_root

ONE_MACHINES = (
    "/var/lib/systemd/credential.secret",
    "/var/lib/systemd/random-seed",
    "/boot/efi/loader/random-seed",
    "/var/lib/NetworkManager/secret_key",
    "/var/lib/dbus/machine-id",
    "/etc/ssh/ssh_host_ed25519_key",
    "/etc/ssh/ssh_host_rsa_key.pub",
    "/root/.ssh/authorized_keys",
    "/home/debian/.ssh/authorized_keys",
    "/root/.bash_history",
    "/root/.homelab-k8s/token",
    "/var/log/journal/0af3/system.journal",
    "/tmp/left",
)
"""What two machines of one template must not share: with a secret of one, the other's could be read or foretold."""
STAYS = ("/var/lib/rancher/k3s/agent/images/k3s.tar", "/etc/cloud/cloud.cfg", "/var/lib/systemd/timers/stamp")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root directory with this machine's programs, and files as a machine has them after a while."""
    made = tmp_path / "root"
    for name in ("bin", "sbin", "lib", "lib64", "usr"):
        real = Path("/") / name
        if real.is_symlink():
            (made / name).parent.mkdir(parents=True, exist_ok=True)
            (made / name).symlink_to(real.readlink())
        elif real.is_dir():
            (made / name).mkdir(parents=True)
    for name in (*ONE_MACHINES, *STAYS, "/etc/machine-id", "/stubs/cloud-init", "/stubs/fstrim", "/stubs/apt-get"):
        path = made / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n# somebody's\n")
        path.chmod(0o755)
    (made / "dev").mkdir()
    (made / "dev" / "null").touch()
    (made / "root" / ".homelab-k8s" / "clean.sh").write_bytes(guest_file("clean.sh"))
    return made


@needs_root
def test_nothing_that_is_one_machines_goes_into_a_template(root: Path) -> None:
    binds = " && ".join(
        f"mount --rbind -o ro /{path.name} {path}"
        for path in root.iterdir()
        if path.name in ("bin", "sbin", "lib", "lib64", "usr") and not path.is_symlink()
    )
    command = (
        f"{binds} && exec chroot {root} env PATH=/stubs:/usr/bin:/bin sh -c 'cd /root/.homelab-k8s && sh ./clean.sh'"
    )
    done = subprocess.run(["unshare", "-m", "sh", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout == "cleaned=1\n"

    def left(name: str) -> bool:
        path = root / name.lstrip("/")
        return path.exists() and path.stat().st_size > 0

    assert [name for name in ONE_MACHINES if left(name)] == []
    assert [name for name in STAYS if not left(name)] == []
    assert (root / "etc" / "machine-id").read_text() == "", "systemd makes one where it is empty, and keeps it"
