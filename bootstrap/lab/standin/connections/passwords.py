"""The passwords that a server accepts: server/cred/passwd."""

from __future__ import annotations

from pathlib import Path

from ..files import write_file

PASSWORDS = "cred/passwd"
GROUPS = {"server": "k3s:server", "node": "k3s:agent"}


def read_passwords(data: Path) -> dict[str, str]:
    """Passwords by user; empty without a file. `data` is the server's directory."""
    path = data / PASSWORDS
    rows = [line.split(",") for line in path.read_text().split()] if path.exists() else []
    return {user: password for password, user, *_ in rows}


def write_passwords(data: Path, passwords: dict[str, str]) -> None:
    rows = [f"{passwords[user]},{user},{user},{group}\n" for user, group in GROUPS.items()]
    write_file(data / PASSWORDS, "".join(rows))
