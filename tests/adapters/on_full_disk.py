"""Writes state items and kubeconfigs on a file system that is full: `python tests/adapters/on_full_disk.py DIR CASE`.

Run in a mount namespace of its own, with a small tmpfs at DIR. For every amount of room from none on, one page more
each time, a line of JSON says what came of the write and what is there afterwards; once a write went well it ends.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from bootstrap.adapters.kubeconfig.store import FileKubeconfigStore
from bootstrap.adapters.local.state import DirectoryStateStore
from bootstrap.errors import HomelabError
from bootstrap.k3s.kubeconfig.build import build_kubeconfig
from bootstrap.k3s.kubeconfig.entries import marks_of
from bootstrap.model.ids import ClusterName
from tests.fakes.certificates import k3s_yaml

DEMO = ClusterName("demo")
PAGE = os.sysconf("SC_PAGE_SIZE")
MOST_PAGES = 64
OURS = build_kubeconfig(k3s_yaml(), name="demo", server_url="https://192.0.2.10:6443", source="demo-cp-1")
WORK = (
    "clusters: [{name: work, cluster: {server: 'https://work'}}]\n"
    "users: [{name: work, user: {token: abc}}]\n"
    "contexts: [{name: work, context: {cluster: work, user: work}}]\n"
    "current-context: work\n"
)


def state(root: Path) -> tuple[Path, Callable[[], object]]:
    """A token that is written over by a longer one."""
    store = DirectoryStateStore(root / "homelab-k8s")
    store.write(DEMO, "token", "old")
    return store.path(DEMO, "token"), lambda: store.write(DEMO, "token", "new" * 5000)


def first_state(root: Path) -> tuple[Path, Callable[[], object]]:
    """The first item of a cluster, directories and all."""
    store = DirectoryStateStore(root / "homelab-k8s")
    return store.path(DEMO, "token"), lambda: store.put_first(DEMO, "token", "new" * 5000)


def merge(root: Path) -> tuple[Path, Callable[[], object]]:
    """The user's kubeconfig gets our entries."""
    path = root / "config"
    path.write_text(WORK)
    return path, lambda: _store(path).merge(OURS, name=DEMO, path=None)


def linked(root: Path) -> tuple[Path, Callable[[], object]]:
    """The same with a second hard link, for which the file is written in place."""
    path, act = merge(root)
    (root / "link").hardlink_to(path)
    return path, act


def remove(root: Path) -> tuple[Path, Callable[[], object]]:
    """They are taken out again."""
    path, act = merge(root)
    act()
    return path, lambda: _store(path).remove(name=DEMO, paths=(), known=marks_of(OURS))


def _store(path: Path) -> FileKubeconfigStore:
    return FileKubeconfigStore({"KUBECONFIG": str(path)}, Path("/nowhere"))


def fill(root: Path, *, free_pages: int) -> None:
    """Leave so many pages and no more."""
    filler = root / "filler"
    with filler.open("ab", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * PAGE)
        except OSError:
            os.truncate(filler, max(0, filler.stat().st_size - free_pages * PAGE))


def main() -> None:
    """See the module."""
    root, case = Path(sys.argv[1]), sys.argv[2]
    path, act = {"state": state, "first": first_state, "merge": merge, "linked": linked, "remove": remove}[case](root)
    for free_pages in range(MOST_PAGES):
        fill(root, free_pages=free_pages)
        refused = ""
        try:
            act()
        except HomelabError as error:
            refused = f"{error.brief}: {error.details}"
        found = sorted(str(each.relative_to(root)) for each in root.rglob("*") if each.is_file())
        text = path.read_text() if path.exists() else None
        print(json.dumps({"free": free_pages, "refused": refused, "text": text, "files": found}))
        if not refused:
            return


if __name__ == "__main__":
    main()
