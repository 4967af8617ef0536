"""The user's kubeconfig files: merged into and taken from, with only our own entries touched."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bootstrap.adapters.files import PRIVATE_FILE, locked, write_private
from bootstrap.adapters.kubeconfig_text import authority_of, has_entry, is_empty, merge_text, remove_text
from bootstrap.errors import HomelabError
from bootstrap.inventory.regular import read_regular_text
from bootstrap.model.ids import ClusterName

BACKUP_SUFFIX = ".homelab-k8s.bak"


class FileKubeconfigStore:
    """Kubeconfig files as kubectl finds them; implements `bootstrap.ports.KubeconfigStore`.

    Args:
        environ: Where `KUBECONFIG` is looked up.
        home: The user's home directory.
    """

    def __init__(self, environ: Mapping[str, str], home: Path) -> None:
        self._environ = environ
        self._home = home

    def merge(self, kubeconfig: str, *, name: ClusterName, path: Path | None) -> Path:
        """Merge a kubeconfig's entries as cluster, user and context `name`; make it current; return the file.

        The file that has our entries already is taken, else the first of `$KUBECONFIG`. Before the first change of
        a file of the user's it is copied to `<file>.homelab-k8s.bak`. Mode 0600; a link at the file is followed.

        Raises:
            HomelabError: The file is no kubeconfig (it stays as it is), or cannot be written.
        """
        chosen = path or self._file_with(name) or self._candidates()[0]
        target = chosen.resolve()
        try:
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with locked(target.parent):
                existing = _read(target) or ""
                merged = merge_text(existing, kubeconfig, name=name, source=str(chosen))
                if merged != existing:
                    _back_up(target, existing, merged, name=name)
                    write_private(target, merged)
                elif target.stat().st_mode & 0o077:
                    target.chmod(PRIVATE_FILE)
        except OSError as error:
            raise _unwritable(chosen, error) from error
        return chosen

    def remove(self, *, name: ClusterName, path: Path | None) -> Path | None:
        """Remove our entries, from the backup too; the file that changed, or None when there were none.

        Raises:
            HomelabError: A file that may have them is no kubeconfig, or cannot be written.
        """
        chosen = path or self._file_with(name)
        if chosen is None:
            return None
        target = chosen.resolve()
        try:
            with locked(target.parent):
                existing = _read(target)
                if existing is None:
                    return None
                rest = remove_text(existing, name=name, source=str(chosen))
                if rest is None:
                    return None
                _clean_backup(target, existing, name=name)
                write_private(target, rest)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unwritable(chosen, error) from error
        return chosen

    def _candidates(self) -> tuple[Path, ...]:
        listed = [part for part in self._environ.get("KUBECONFIG", "").split(":") if part]
        return tuple(Path(part) for part in listed) or (self._home / ".kube" / "config",)

    def _file_with(self, name: ClusterName) -> Path | None:
        for path in self._candidates():
            text = _read(path)
            if text is not None and has_entry(text, name=name, source=str(path)):
                return path
        return None


def _read(path: Path) -> str | None:
    try:
        return read_regular_text(path)
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise HomelabError(
            f"cannot read the kubeconfig {path}", details=str(error), resolution="use another one (--kubeconfig FILE)"
        ) from error


def _back_up(target: Path, existing: str, merged: str, *, name: ClusterName) -> None:
    """Keep the file as it was before we ever touched it, once; our own admin's key is not to be in it."""
    backup = target.with_name(target.name + BACKUP_SUFFIX)
    if not target.exists() or backup.exists() or _same_cluster(existing, merged, name=name, source=str(target)):
        return
    write_private(backup, existing)


def _clean_backup(target: Path, existing: str, *, name: ClusterName) -> None:
    """Take our entries out of a backup: earlier releases made it of files that had them, and so may another cluster."""
    backup = target.with_name(target.name + BACKUP_SUFFIX)
    text = _read(backup)
    # An entry of the same name and another CA is one that the user had, and that ours took the place of.
    if text is None or not _same_cluster(existing, text, name=name, source=str(backup)):
        return
    rest = remove_text(text, name=name, source=str(backup)) or ""
    if is_empty(rest, source=str(backup)):
        backup.unlink()
    else:
        write_private(backup, rest)


def _same_cluster(one: str, other: str, *, name: ClusterName, source: str) -> bool:
    """Whether two kubeconfigs have the same cluster under a name. Raises HomelabError where one, `source`, is none."""
    authorities = {authority_of(text, name=name, source=source) for text in (one, other)}
    return len(authorities) == 1 and None not in authorities


def _unwritable(path: Path, error: OSError) -> HomelabError:
    return HomelabError(
        f"cannot write the kubeconfig {path}",
        details=str(error),
        resolution="use another one (--kubeconfig FILE), or print it: homelab-k8s kubeconfig",
    )
