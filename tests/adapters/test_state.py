"""Secrets in the state directory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bootstrap.adapters.local.state import DirectoryStateStore, default_state_root
from bootstrap.errors import HomelabError
from bootstrap.model.ids import ClusterName

DEMO = ClusterName("demo")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "state" / "homelab-k8s"


def test_items_come_back_as_they_were_put_and_are_private(root: Path) -> None:
    store = DirectoryStateStore(root)
    assert store.read(DEMO, "token") is None
    store.write(DEMO, "token", "geheim ü\n")
    store.write(DEMO, "token", "neu\n")
    assert store.read(DEMO, "token") == "neu\n"
    directory = root / "clusters" / "demo"
    assert [path.name for path in directory.iterdir()] == ["token"]
    assert (directory / "token").stat().st_mode & 0o777 == 0o600
    for private in (root, root / "clusters", directory):
        assert private.stat().st_mode & 0o777 == 0o700


def test_loose_modes_are_tightened(root: Path) -> None:
    (root / "clusters" / "demo").mkdir(parents=True, mode=0o755)
    root.chmod(0o755)
    DirectoryStateStore(root).write(DEMO, "token", "geheim")
    assert root.stat().st_mode & 0o777 == (root / "clusters" / "demo").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("below", [".", "clusters", "clusters/demo"])
@pytest.mark.parametrize("mode", [0o770, 0o707, 0o1777])
def test_a_directory_that_others_may_write_into_is_refused(root: Path, below: str, mode: int) -> None:
    """What is in it would be theirs: a kubeconfig, host keys, a token."""
    store = DirectoryStateStore(root)
    store.write(DEMO, "kubeconfig", "planted")
    (root / below).chmod(mode)
    for use in (
        lambda: store.read(DEMO, "kubeconfig"),
        lambda: store.write(DEMO, "token", "x"),
        lambda: store.path(DEMO, "x"),
    ):
        with pytest.raises(HomelabError, match="can be changed by other users") as caught:
            use()
        assert f"(mode {mode:04o})" in caught.value.details
        assert f"chmod -R go-w {root / below}" in caught.value.resolution


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
@pytest.mark.parametrize("linked", [False, True])
def test_a_directory_of_another_user_is_refused(root: Path, tmp_path: Path, linked: bool) -> None:
    store = DirectoryStateStore(root)
    if linked:
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        root.parent.mkdir()
        root.symlink_to(tmp_path / "elsewhere")
    else:
        store.write(DEMO, "token", "planted")
    os.chown(root, 12345, 12345, follow_symlinks=False)
    for use in (lambda: store.read(DEMO, "token"), store.clusters):
        with pytest.raises(HomelabError, match="can be changed by other users") as caught:
            use()
        assert caught.value.details == "it belongs to the user 12345, and you are 0"


def test_forgetting_takes_one_cluster_only(root: Path) -> None:
    store = DirectoryStateStore(root)
    assert store.forget(DEMO) is False
    store.write(DEMO, "token", "a")
    store.write(DEMO, "kubeconfig", "b")
    store.write(ClusterName("other"), "token", "c")
    assert store.forget(DEMO) is True
    assert store.read(DEMO, "kubeconfig") is None
    assert store.read(ClusterName("other"), "token") == "c"


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "-a", "A", "x" * 65, "a\n"])
def test_a_name_that_is_no_file_name_is_refused(root: Path, name: str) -> None:
    store = DirectoryStateStore(root)
    with pytest.raises(HomelabError, match="cannot name a state file"):
        store.write(DEMO, name, "x")
    with pytest.raises(HomelabError, match="cannot name a state file"):
        store.forget(ClusterName(name))
    assert not root.exists()


def test_what_is_in_the_way_is_told(root: Path) -> None:
    root.parent.mkdir()
    root.write_text("a file")
    with pytest.raises(HomelabError, match="cannot write the state file"):
        DirectoryStateStore(root).write(DEMO, "token", "x")


def test_the_default_follows_xdg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_state_root() == tmp_path / "homelab-k8s"


def test_clusters_are_those_that_have_something_here(root: Path) -> None:
    store = DirectoryStateStore(root)
    assert store.clusters() == ()
    store.write(ClusterName("other"), "token", "b")
    store.write(DEMO, "token", "a")
    assert store.clusters() == (DEMO, "other")
    assert store.path(DEMO, "token").read_text() == "a"
    assert not store.path(DEMO, "kubeconfig").exists()
