"""The user's kubeconfig files: adds and removes the cluster's own entries, and no others."""

from __future__ import annotations

import contextlib
import os
import shlex
import stat
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import filterfalse
from pathlib import Path

from bootstrap.adapters.kubeconfig.text import (
    Document,
    Own,
    foreign_notes,
    has_key,
    has_ours,
    merge_entries,
    remove_entries,
)
from bootstrap.adapters.local.files import locked, write_private
from bootstrap.adapters.local.keeping_files import give_to_neighbours, make_parents, write_keeping
from bootstrap.advice import Advice
from bootstrap.errors import HomelabError
from bootstrap.inventory.regular import read_regular_text
from bootstrap.k3s.kubeconfig.entries import marks_of
from bootstrap.model.ids import ClusterName
from bootstrap.ports import MergedKubeconfig, RemovedKubeconfig

BACKUP_SUFFIX = ".homelab-k8s.bak"


@dataclass
class _File:
    """A kubeconfig file: as the user names it, the file itself, and what is in it."""

    path: Path
    target: Path
    document: Document


class FileKubeconfigStore:
    """Kubeconfig files as kubectl finds them; implements `bootstrap.ports.KubeconfigStore`.

    Args:
        environ: Where `KUBECONFIG` is looked up.
        home: The user's home directory.
    """

    def __init__(self, environ: Mapping[str, str], home: Path) -> None:
        self._environ = environ
        self._home = home

    def merge(
        self,
        kubeconfig: str,
        *,
        name: ClusterName,
        path: Path | None,
        known: Collection[str] = (),
        switch: bool = False,
        create: bool = True,
    ) -> MergedKubeconfig:
        """Add or renew the cluster's entries in the user's kubeconfig; see `bootstrap.ports.KubeconfigStore`.

        Without `path`, `$KUBECONFIG` is used as kubectl does: an entry is renewed in the file that has it; a new one
        goes into the first existing file, else into the last of the list. Before its first change, a user's file is
        copied to `<file>.homelab-k8s.bak`. Owner, mode and links are kept; a new file has mode 0600.

        Raises:
            HomelabError: A file is no kubeconfig (it is left unchanged), or cannot be written.
        """
        own = Own(name=name, marks=frozenset({*known, *marks_of(kubeconfig)}))
        with self._opened([path] if path is not None else self._candidates(), make=create) as files:
            documents = [file.document for file in files]
            if not files or not (create or has_ours(documents, own)):
                return MergedKubeconfig(path=path or self._candidates()[0], context=name)
            outcome = merge_entries(documents, kubeconfig, own, switch=switch, kubectl=_kubectl(path))
            for file in files:
                _write(file, own)
            holder = next((file for file in files if has_ours([file.document], own)), files[0])
            return MergedKubeconfig(
                path=holder.path, context=outcome.context, notes=(*outcome.notes, *_open_to_others(holder))
            )

    def remove(self, *, name: ClusterName, paths: Sequence[Path], known: Collection[str]) -> RemovedKubeconfig:
        """Remove the cluster's entries and references to them, from backups too; see `bootstrap.ports.KubeconfigStore`.

        Raises:
            HomelabError: A file that may have them is no kubeconfig, or cannot be written.
        """
        own = Own(name=name, marks=frozenset(known))
        changed: list[Path] = []
        further = [path for path in self._candidates() if path not in paths]
        # Where the files with the entries are known, another broken one does not matter.
        problems = {path: _problem(path) for path in further} if paths else {}
        broken = tuple(f"not read: {problem}" for problem in problems.values() if problem)
        readable = filterfalse(problems.get, further)
        with self._opened([*paths, *readable], make=False) as files:
            documents = [file.document for file in files]
            remove_entries(documents, own)
            for file in files:
                _clean_backup(file, own)
                if file.document.rendered != file.document.text:
                    _write_file(file.path, file.target, file.document.rendered)
                    changed.append(file.path)
            return RemovedKubeconfig(paths=tuple(changed), notes=(*broken, *foreign_notes(documents, own)))

    def _candidates(self) -> list[Path]:
        listed = [Path(part) for part in self._environ.get("KUBECONFIG", "").split(":") if part]
        return listed or [self._home / ".kube" / "config"]

    @contextlib.contextmanager
    def _opened(self, paths: Sequence[Path], *, make: bool) -> Iterator[list[_File]]:
        """The existing files, read, and locked against other processes of this tool.

        Args:
            paths: In kubectl's order.
            make: If none exists, use the last one, and create its directory.
        """
        there = _targets(paths, make=make)
        with contextlib.ExitStack() as stack:
            for target, path in there.items():
                with _writing(path):
                    make_parents(target)
            for directory, path in sorted({target.parent: path for target, path in there.items()}.items()):
                with _writing(path):
                    stack.enter_context(locked(directory))
            yield [
                _File(path, target, Document(_read(target, path) or "", str(path))) for target, path in there.items()
            ]


def _targets(paths: Sequence[Path], *, make: bool) -> dict[Path, Path]:
    """The existing files, or with `make` the last one where none exists; each with its path, links followed."""
    targets: dict[Path, Path] = {}
    for path in paths:
        # `Path.resolve` raises RuntimeError for circular links; here reading the file reports them.
        targets.setdefault(Path(os.path.realpath(path)), path)
    there = {target: path for target, path in targets.items() if os.path.lexists(target)}
    if not there and make:
        there = dict([list(targets.items())[-1]])
    return there


def _kubectl(path: Path | None) -> str:
    """The kubectl command for a file, or for kubectl's default."""
    return "kubectl" if path is None else f"kubectl --kubeconfig {shlex.quote(str(path))}"


def _read(target: Path, path: Path) -> str | None:
    try:
        return read_regular_text(target)
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise HomelabError(
            f"cannot read the kubeconfig {path}", details=str(error), resolution="use another file (--kubeconfig FILE)"
        ) from error


def _problem(path: Path) -> str:
    """Why a file is not a readable kubeconfig; empty where it is, or does not exist."""
    try:
        Document(_read(path, path) or "", str(path))
    except HomelabError as error:
        return error.brief
    return ""


def _write(file: _File, own: Own) -> None:
    """Write a changed file; before its first change it is copied to a backup beside it, once."""
    document = file.document
    if document.rendered == document.text:
        return
    backup = _backup_of(file.target)
    # The cluster administrator's key must not be in a backup.
    is_theirs = not has_key(Document(document.text, document.source), own)
    with _writing(file.path):
        if is_theirs and file.target.exists() and not os.path.lexists(backup):
            write_private(backup, document.text)
            give_to_neighbours(backup)
    _write_file(file.path, file.target, document.rendered)


def _write_file(path: Path, target: Path, text: str) -> None:
    with _writing(path):
        write_keeping(target, text)


def _clean_backup(file: _File, own: Own) -> None:
    """Remove the entries from a backup: earlier releases copied files with them, and so may another cluster."""
    backup = _backup_of(file.target)
    text = _read(backup, backup)
    if text is None:
        return
    document = Document(text, str(backup))
    remove_entries([document], own)
    if document.rendered == text:
        return
    with _writing(backup):
        if document.is_empty:
            backup.unlink()
        else:
            write_keeping(backup, document.rendered)


def _backup_of(target: Path) -> Path:
    return target.with_name(target.name + BACKUP_SUFFIX)


def _open_to_others(file: _File) -> tuple[str, ...]:
    """A note where others can read a file with the administrator's key: its mode is the user's, and kept."""
    mode = stat.S_IMODE(file.target.stat().st_mode)
    if not mode & 0o077:
        return ()
    return (f"others may read {file.path} (mode {mode:04o}): chmod 600 {shlex.quote(str(file.path))}",)


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise HomelabError(
            f"cannot write the kubeconfig {path}",
            details=str(error),
            resolution=Advice("use another file (--kubeconfig FILE), or print it: `homelab-k8s kubeconfig`"),
        ) from error
