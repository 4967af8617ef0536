"""Files that an inventory names: their paths, and their problems."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping as Map
from dataclasses import dataclass, field
from pathlib import Path

from bootstrap.inventory.regular import MAX_BYTES, read_regular
from bootstrap.inventory.values.scalars import RefusedError


@dataclass(frozen=True, kw_only=True)
class Places:
    """What paths in an inventory are relative to.

    Attributes:
        base: The file's directory.
        environ: For HOME, and for secrets.
        printed: What commands printed, so that one command is run once, and asks once.
    """

    base: Path
    environ: Map[str, str]
    printed: dict[tuple[str, ...], str] = field(default_factory=dict, repr=False, compare=False)

    def resolve(self, path: Path) -> Path:
        """The absolute path; `~/` is the user's home."""
        home = self.environ.get("HOME")
        if path.parts[:1] == ("~",) and home:
            return Path(home, *path.parts[1:])
        return (self.base / path).absolute()


def read_found(path: Path) -> bytes:
    """The content of a file that was found, not named by the user; checks and reads the same open file.

    Raises:
        RefusedError: It, or the link to it, belongs neither to the user nor to root, or others may write to it.
        OSError: It cannot be read.
    """
    link = path.lstat()
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        there = os.fstat(descriptor)
        problem = _others(link, there)
        if problem:
            raise RefusedError(
                f"{path} was found here, but {problem}; it decides which server gets the API token",
                f"check its contents; to use it: -i {path}",
            )
        return file.read(MAX_BYTES + 1)


def _others(link: os.stat_result, there: os.stat_result) -> str:
    """Why other users control a file; empty where they do not.

    The user's primary group may write: where each user has a group, new files often have mode 0664.
    """
    owners = {facts.st_uid for facts in (link, there)} - {os.geteuid(), 0}
    if owners:
        return f"belongs to the user {owners.pop()}, not to you"
    if not stat.S_ISREG(there.st_mode):
        return "is not a regular file"
    writable = there.st_mode & stat.S_IWOTH or (there.st_mode & stat.S_IWGRP and there.st_gid != os.getegid())
    return f"others can write to it (mode {stat.S_IMODE(there.st_mode):04o})" if writable else ""


def read_text(path: Path) -> str:
    """A text file's content; raises `RefusedError` with the reason."""
    try:
        return read_regular(path).decode("utf-8-sig")
    except FileNotFoundError:
        raise RefusedError(f"{path} does not exist") from None
    except UnicodeDecodeError:
        raise RefusedError(f"{path} is not UTF-8 text") from None
    except OSError as error:
        raise RefusedError(f"{path} cannot be read: {error.strerror}") from None


def read_bytes(path: Path, most_bytes: int) -> bytes:
    """A file's content; raises `RefusedError` with the reason and a hint."""
    try:
        return read_regular(path, most_bytes=most_bytes)
    except FileNotFoundError:
        raise RefusedError(f"{path} does not exist", "paths are relative to the inventory's directory") from None
    except IsADirectoryError:
        raise RefusedError(f"{path} is a directory", "name each of its files") from None
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise RefusedError(f"{path} has more than {most_bytes >> 20} MiB", "have a hook download it") from None
        raise RefusedError(f"{path} cannot be read: {error.strerror}") from None


def check_private_key(path: Path) -> None:
    """Raise `RefusedError` where a file does not look like a private key."""
    if path.suffix == ".pub":
        raise RefusedError(f"{path} is the public half", f"use the private key: {path.with_suffix('')}")
    if "PRIVATE KEY-----" not in read_text(path):
        raise RefusedError(f"{path} holds no private key", "it begins with -----BEGIN ... PRIVATE KEY-----")


def check_ca_file(path: Path) -> None:
    """Raise `RefusedError` where a file has no PEM certificate."""
    check_certificate(path, hint="such as /etc/pve/pve-root-ca.pem of the Proxmox node")


def check_certificate(path: Path, *, hint: str = "it begins with -----BEGIN CERTIFICATE-----") -> None:
    """Likewise, with another hint."""
    if "-----BEGIN CERTIFICATE-----" not in read_text(path):
        raise RefusedError(f"{path} holds no PEM certificate", hint)


def check_directory(path: Path) -> None:
    """Raise `RefusedError` where there is no such directory."""
    try:
        found = "" if path.is_dir() else "is not a directory" if path.exists() else "does not exist"
    except OSError as error:
        found = f"cannot be read: {error.strerror}"
    if found:
        raise RefusedError(f"{path} {found}", "a directory with k3s and sha256sum-<arch>.txt")
