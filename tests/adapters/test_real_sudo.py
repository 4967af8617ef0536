"""sudo itself, with what sudoers files have in them: it works, or is told in one line."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from bootstrap.adapters.ssh.fabric import FabricShell
from bootstrap.adapters.ssh.keys import read_key
from bootstrap.errors import GuestSetupError
from bootstrap.ports import GuestScript
from tests.adapters.conftest import NASTY
from tests.adapters.sshd import SshGuest

ALL = "nobody ALL=(ALL:ALL) NOPASSWD:ALL"
AS_NOBODY = """#!/bin/sh
# The login shell of nobody, in a mount namespace where {sudoers} is what sudo reads.
chown -R nobody "$HOME"
exec unshare --mount sh -c '
    mount --bind {sudoers} /etc/sudoers || exit 90
    exec env PATH=/usr/sbin:/usr/bin:/sbin:/bin setpriv --reuid=nobody --regid=nogroup --clear-groups sh -c "$1"
' sh "$2"
"""


def can_mount() -> bool:
    if os.geteuid() != 0 or not all(map(shutil.which, ("sudo", "unshare", "setpriv"))):
        return False
    tried = ["unshare", "--mount", "mount", "--bind", "/etc/sudoers", "/etc/sudoers"]
    return subprocess.run(tried, capture_output=True, check=False).returncode == 0


pytestmark = pytest.mark.skipif(not can_mount(), reason="takes sudo, and root in a mount namespace")


@pytest.fixture
def guest(key: Path) -> Iterator[SshGuest]:
    """One whose home others than root can enter, as nothing in pytest's own directory can be."""
    with TemporaryDirectory(prefix="sudo-") as directory:
        Path(directory).chmod(0o755)
        guest = SshGuest(Path(directory) / "guest", authorized_key=read_key(key).line)
        yield guest
        guest.stop()


@pytest.fixture
def sudoers(guest: SshGuest, tmp_path: Path) -> Callable[[str], None]:
    """Have sudo read these lines."""

    def write(text: str) -> None:
        file = tmp_path / "sudoers"
        file.write_text(f"Defaults !syslog\n{text}\n")
        file.chmod(0o440)
        guest.put_command("as-nobody", AS_NOBODY.format(sudoers=file))
        guest.login_shell = str(guest.bin / "as-nobody")

    return write


@pytest.mark.parametrize(
    "defaults",
    [
        "",
        "lecture=always",
        "use_pty",
        "targetpw",
        "rootpw",
        "env_reset, secure_path=/usr/sbin:/usr/bin:/sbin:/bin",
        "!env_reset, env_keep+=LC_ALL",
        "requiretty\nDefaults:nobody !requiretty",
        "runas_default=games",
        "timestamp_timeout=0, passwd_tries=1, insults",
    ],
)
def test_it_works(defaults: str, sudoers: Callable[[str], None], shell: FabricShell, echo: GuestScript) -> None:
    sudoers(f"Defaults {defaults}\n{ALL}" if defaults else ALL)
    assert shell.run(echo, timeout_s=60) == f"{NASTY}|C"


@pytest.mark.parametrize(
    ("lines", "says", "hint"),
    [
        (f"Defaults requiretty\n{ALL}", "sudo: sorry, you must have a tty to run sudo", "!requiretty"),
        ("nobody ALL=(ALL) ALL", "sudo: a password is required", "NOPASSWD:ALL"),
        ("Defaults lecture=always, use_pty\nnobody ALL=(ALL) ALL", "sudo: a password is required", "NOPASSWD:ALL"),
        ("Defaults targetpw\nnobody ALL=(ALL) ALL", "sudo: a password is required", "NOPASSWD:ALL"),
        (f"Defaults noexec\n{ALL}", "env: 'sh': Permission denied", "Defaults:debian !noexec"),
        ("nobody ALL=(ALL) NOPASSWD: /usr/bin/apt-get", "sudo: a password is required", "NOPASSWD:ALL"),
        ("root ALL=(ALL) ALL", "sudo: a password is required", "NOPASSWD:ALL"),
    ],
)
def test_or_is_told_in_a_line(
    lines: str, says: str, hint: str, sudoers: Callable[[str], None], shell: FabricShell, echo: GuestScript
) -> None:
    sudoers(lines)
    with pytest.raises(GuestSetupError, match="the login user cannot become root") as caught:
        shell.run(echo, timeout_s=60)
    assert caught.value.details == says
    assert hint in caught.value.resolution
    assert len(caught.value.resolution.splitlines()) == 1
