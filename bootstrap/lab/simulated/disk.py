"""A simulated guest's disk: a folder. Large files of many guests are stored once."""

from __future__ import annotations

import hashlib
import os
import posixpath
import shutil
from collections.abc import Iterator, MutableMapping
from pathlib import Path

_LARGE = 65_536
"""Files above this size in bytes are shared."""


class BlobStore:
    """Files by their content: guests' copies are hard links to one file."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def share(self, path: Path) -> str:
        """Replace a file by a link to the stored file with this content; returns its SHA-256."""
        found = sha256_of(path)
        blob = self._directory / found
        if not blob.exists():
            self._directory.mkdir(parents=True, exist_ok=True)
            os.link(path, blob)
        elif not blob.samefile(path):
            temporary = path.with_name(f".{path.name}.shared")
            temporary.unlink(missing_ok=True)
            os.link(blob, temporary)
            temporary.replace(path)
        return found


class Disk:
    """A guest's files.

    Args:
        root: Its folder.
        blobs: Where large files go.
    """

    def __init__(self, root: Path, blobs: BlobStore) -> None:
        self.root = root
        self.blobs = blobs

    def make(self) -> None:
        """Make it empty, as after a fresh clone."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)

    def make_from(self, other: Disk) -> None:
        """Copy another disk."""
        shutil.copytree(other.root, self.root, dirs_exist_ok=True)
        for path in self.root.rglob("*"):
            if path.is_file() and path.stat().st_size > _LARGE:
                self.blobs.share(path)

    def remove(self) -> None:
        """Remove it."""
        shutil.rmtree(self.root, ignore_errors=True)

    def path(self, name: str) -> Path:
        """Path of a guest's file; `name` as in the guest, `/etc/x`."""
        return self.root / name.lstrip("/")

    def home(self, user: str) -> Path:
        """The home directory of the login user, made if need be."""
        home = self.path("/root" if user == "root" else f"/home/{user}")
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        return home

    def read(self, name: str) -> str | None:
        """A file's text; None if missing."""
        try:
            return self.path(name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def write(self, name: str, text: str) -> None:
        """Write a file."""
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def put(self, source: Path, name: str) -> bool:
        """Copy a file; returns whether that changed anything."""
        target = self.path(name)
        content = source.read_bytes()
        if target.is_file() and target.read_bytes() == content:
            return False
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f"{target.name}.new")
        part.write_bytes(content)
        part.replace(target)
        return True


class DiskFiles(MutableMapping[str, bytes]):
    """A disk's files by their names in the guest, as its agent reads and writes them as root."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def __getitem__(self, name: str) -> bytes:
        path = self._path(name)
        if not path.is_file():
            raise KeyError(name)
        return path.read_bytes()

    def __setitem__(self, name: str, content: bytes) -> None:
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def __delitem__(self, name: str) -> None:
        self._path(name).unlink()

    def __iter__(self) -> Iterator[str]:
        root = self._disk.root
        return (f"/{path.relative_to(root)}" for path in root.rglob("*") if path.is_file())

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _path(self, name: str) -> Path:
        return self._disk.path(posixpath.normpath(f"/{name}"))


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, lower-case hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
