"""Files an inventory names: where they are, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping as Map
from dataclasses import dataclass
from pathlib import Path

from bootstrap.inventory.kinds import RefusedError


@dataclass(frozen=True, kw_only=True)
class Places:
    """What paths in an inventory are relative to.

    Attributes:
        base: The file's directory.
        environ: For HOME.
    """

    base: Path
    environ: Map[str, str]

    def resolve(self, path: Path) -> Path:
        """The absolute path; `~/` is the user's home."""
        home = self.environ.get("HOME")
        if path.parts[:1] == ("~",) and home:
            return Path(home, *path.parts[1:])
        return (self.base / path).absolute()


def read_text(path: Path) -> str:
    """A text file's content; raises `RefusedError` with the reason."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise RefusedError(f"{path} does not exist") from None
    except UnicodeDecodeError:
        raise RefusedError(f"{path} is not UTF-8 text") from None
    except OSError as error:
        raise RefusedError(f"{path} cannot be read: {error.strerror}") from None


def check_private_key(path: Path) -> None:
    """Raises `RefusedError` where a file is no private key by its looks."""
    if path.suffix == ".pub":
        raise RefusedError(f"{path} is the public half", f"name the private one: {path.with_suffix('')}")
    if "PRIVATE KEY-----" not in read_text(path):
        raise RefusedError(f"{path} holds no private key", "it begins with -----BEGIN ... PRIVATE KEY-----")


def check_ca_file(path: Path) -> None:
    """Raises `RefusedError` where a file holds no PEM certificate."""
    if "-----BEGIN CERTIFICATE-----" not in read_text(path):
        raise RefusedError(f"{path} holds no PEM certificate", "such as /etc/pve/pve-root-ca.pem of the Proxmox node")


def check_directory(path: Path) -> None:
    """Raises `RefusedError` where there is no such directory."""
    if not path.is_dir():
        found = "is not a directory" if path.exists() else "does not exist"
        raise RefusedError(f"{path} {found}", "a directory with k3s and sha256sum-<arch>.txt")
