"""Secrets that cannot be read from anywhere else, in the user's state directory."""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection
from pathlib import Path

from bootstrap.adapters.local.files import (
    LOCK_FILE,
    PRIVATE_DIRECTORY,
    check_own,
    ensure_private_directory,
    locked,
    write_private,
)
from bootstrap.errors import HomelabError, is_full
from bootstrap.inventory.regular import read_regular_text
from bootstrap.model.ids import ClusterName

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")


def default_state_root() -> Path:
    """`$XDG_STATE_HOME/homelab-k8s` or the platform's equal."""
    import platformdirs

    return platformdirs.user_state_path("homelab-k8s", appauthor=False)


class DirectoryStateStore:
    """Items as files `<root>/clusters/<cluster>/<item>`; implements `bootstrap.ports.StateStore`.

    Args:
        root: The tool's own directory, such as `default_state_root()`; created by the first write.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def root(self) -> Path:
        """The directory."""
        return self._root

    def directory(self, cluster: ClusterName) -> Path:
        """The directory of a cluster's items, which may not exist.

        Raises:
            HomelabError: The name is no file name; or other users could have written there.
        """
        directory = self._root / "clusters" / _checked(cluster)
        check_own(self._root, directory.parent, directory)
        return directory

    def path(self, cluster: ClusterName, item: str) -> Path:
        """The file of an item, which may not exist. Raises HomelabError as `directory` does."""
        return self.directory(cluster) / _checked(item)

    def room_bytes(self) -> int:
        """The free space in bytes where items are, or would be. Raises HomelabError where it cannot be read."""
        place = next((each for each in (self._root, *self._root.parents) if each.is_dir()), Path("/"))
        try:
            return shutil.disk_usage(place).free
        except OSError as error:
            raise HomelabError(f"cannot read the free disk space at {place}", details=str(error)) from error

    def clusters(self) -> tuple[ClusterName, ...]:
        """The clusters with a directory here, by name. Raises HomelabError where it cannot be read."""
        check_own(self._root, self._root / "clusters")
        try:
            return tuple(
                sorted(ClusterName(path.name) for path in (self._root / "clusters").iterdir() if path.is_dir())
            )
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise HomelabError(f"cannot read the state directory {self._root}", details=str(error)) from error

    def read(self, cluster: ClusterName, item: str) -> str | None:
        """An item's text, or None. Raises HomelabError where it exists but cannot be read."""
        return read_state_file(self.path(cluster, item))

    def write(self, cluster: ClusterName, item: str, text: str) -> None:
        """Write an item atomically, mode 0600 in directories of mode 0700."""
        directory = self.directory(cluster)
        path = directory / _checked(item)
        self._ensure(path)
        try:
            write_private(path, text)
        except OSError as error:
            raise _unwritable(path, error) from error

    def put_first(self, cluster: ClusterName, item: str, text: str) -> str:
        """Write an item unless a non-empty one exists; returns the one that counts."""
        directory = self.directory(cluster)
        self._ensure(self.path(cluster, item))
        try:
            with locked(directory):
                there = self.read(cluster, item)
                if there:
                    return there
                self.write(cluster, item, text)
                return text
        except OSError as error:
            raise _unwritable(self.path(cluster, item), error) from error

    def remove(self, cluster: ClusterName, item: str) -> None:
        """Remove an item if it exists. Raises HomelabError where that fails."""
        path = self.path(cluster, item)
        try:
            path.unlink(missing_ok=True)
        except NotADirectoryError:
            return
        except OSError as error:
            raise HomelabError(f"cannot remove the state file {path}", details=str(error)) from error

    def forget(self, cluster: ClusterName, *, keep: Collection[str] = ()) -> bool:
        """Remove a cluster's items except those in `keep`; whether there were any."""
        directory = self.directory(cluster)
        try:
            if keep:
                others = [path for path in directory.iterdir() if path.name not in (*keep, LOCK_FILE)]
                for path in others:
                    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
                return bool(others)
            shutil.rmtree(directory)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise HomelabError(f"cannot remove the state directory {directory}", details=str(error)) from error
        return True

    def _ensure(self, path: Path) -> None:
        """Create the directory of an item, private. Raises HomelabError."""
        try:
            ensure_private_directory(path.parent)
            # Their modes may have been changed, or come from an older umask.
            for private in (path.parent, path.parent.parent, self._root):
                private.chmod(PRIVATE_DIRECTORY)
        except OSError as error:
            raise _unwritable(path, error) from error


def read_state_file(path: Path) -> str | None:
    """A file's text, or None where there is none. Raises HomelabError where it cannot be read."""
    try:
        return read_regular_text(path)
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise HomelabError(f"cannot read the state file {path}", details=str(error)) from error


def _unwritable(path: Path, error: OSError) -> HomelabError:
    return HomelabError(
        f"cannot write the state file {path}",
        details=str(error),
        resolution="free some space on that disk (existing files are unchanged), or set XDG_STATE_HOME to another disk"
        if is_full(error)
        else "make the directory writable, or set XDG_STATE_HOME to another one",
    )


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise HomelabError(
            f"{name!r} cannot name a state file",
            details="lower-case letters, digits, '.', '_' and '-', at most 64, with a letter or digit at both ends",
        )
    return name
