"""Who could log in with a password, as `logins.sh` tells it; run for real before an sshd that tells its settings."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from bootstrap.adapters.local.guest_files import guest_file

SHADOW = """\
root:$y$j9T$abc:19000:0:99999:7:::
daemon:*:19000:0:99999:7:::
debian:$6$abc:19000:0:99999:7:::
locked:!$6$abc:19000:0:99999:7:::
open::19000:0:99999:7:::
"""


def told(directory: Path, settings: str) -> list[str]:
    """What the script prints where sshd has these settings."""
    for name, text in (
        ("sshd", f"#!/bin/sh\ncat <<'END'\n{settings}END\n"),
        ("getent", f"#!/bin/sh\ncat <<'END'\n{SHADOW}END\n"),
    ):
        (directory / name).write_text(text)
        (directory / name).chmod(0o755)
    (directory / "logins.sh").write_bytes(guest_file("logins.sh"))
    environ = {**os.environ, "PATH": f"{directory}:{os.environ['PATH']}"}
    done = subprocess.run(["sh", str(directory / "logins.sh")], env=environ, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("settings", "users"),
    [
        ("passwordauthentication no\npermitrootlogin yes\n", []),
        ("passwordauthentication yes\npermitrootlogin without-password\n", ["debian"]),
        ("passwordauthentication yes\npermitrootlogin yes\n", ["root", "debian"]),
        ("passwordauthentication yes\npermitrootlogin no\npermitemptypasswords yes\n", ["debian", "open"]),
        ("passwordauthentication no\nusepam yes\nkbdinteractiveauthentication yes\n", ["debian"]),
        ("passwordauthentication no\nusepam yes\nchallengeresponseauthentication yes\n", ["debian"]),
        ("passwordauthentication no\nusepam no\nkbdinteractiveauthentication yes\n", []),
    ],
)
def test_users_with_a_password_that_sshd_takes_are_named(tmp_path: Path, settings: str, users: list[str]) -> None:
    assert told(tmp_path, settings) == ["known=1", *(f"user={user}" for user in users)]


def test_an_sshd_that_tells_nothing_is_not_taken_for_a_safe_one(tmp_path: Path) -> None:
    assert told(tmp_path, "") == ["known=0"]
