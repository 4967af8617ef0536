"""The user's kubeconfig: our entries in and out, all else as it was."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.adapters.kubeconfig.store import BACKUP_SUFFIX, FileKubeconfigStore
from bootstrap.adapters.kubeconfig.text import Document, Own, merge_entries, remove_entries
from bootstrap.errors import HomelabError
from bootstrap.k3s.kubeconfig.entries import marks_of
from bootstrap.model.ids import ClusterName

DEMO = ClusterName("demo")
OTHERS = """\
# mine, by hand
apiVersion: v1
kind: Config
preferences: {colors: true}
x-unknown: 2024-01-01T00:00:00Z
current-context: work
clusters:
- cluster: {server: 'https://work:6443', insecure-skip-tls-verify: no}
  name: work
- name: "1e3"
  cluster:
    server: https://odd:6443
    extensions: [{name: a, extension: {when: 010}}]
users:
- name: work
  user:
    exec: {command: aws, args: [eks, get-token, --region, eu-central-1, a b c], env: null}
contexts:
- name: work
  context: {cluster: work, user: work, namespace: "no"}
"""


def ours(*, server: str = "https://198.18.0.2:6443", name: str = "default") -> str:
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": {"server": server, "certificate-authority-data": "QUJD" * 400}}],
            "users": [{"name": name, "user": {"client-certificate-data": "QUJD", "client-key-data": "REVG"}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            "current-context": name,
        },
        sort_keys=False,
    )


def load(path: Path) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load(path.read_text())
    return config


def names(config: dict[str, Any], section: str) -> list[str]:
    return [entry["name"] for entry in config[section]]


Store = Callable[..., FileKubeconfigStore]


def taken(store: FileKubeconfigStore, *paths: Path, text: str | None = None, name: str = "demo") -> tuple[Path, ...]:
    """Have our entries removed; the files that changed."""
    return store.remove(name=ClusterName(name), paths=paths, known=marks_of(text or ours())).paths


@pytest.fixture
def store(tmp_path: Path) -> Store:
    def make(*kubeconfig: Path) -> FileKubeconfigStore:
        environ = {"KUBECONFIG": ":".join(map(str, kubeconfig))} if kubeconfig else {}
        return FileKubeconfigStore(environ, tmp_path / "home")

    return make


def test_without_a_file_one_is_made_private(store: Store, tmp_path: Path) -> None:
    path = store().merge(ours(), name=DEMO, path=None).path
    assert path == tmp_path / "home" / ".kube" / "config"
    assert path.stat().st_mode & 0o777 == 0o600
    assert load(path) == yaml.safe_load(ours(name="demo"))
    assert [file.name for file in path.parent.iterdir()] == ["config"]


def test_others_entries_stay_as_they_are_written(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(OTHERS)
    path.chmod(0o644)
    store().merge(ours(), name=DEMO, path=path)
    before, after = yaml.safe_load(OTHERS), load(path)
    for section in ("clusters", "users", "contexts"):
        assert after[section][:-1] == before[section]
        assert after[section][-1]["name"] == "demo"
    assert after["current-context"] == "work"
    assert list(after) == list(before)
    text = path.read_text()
    for verbatim in ("insecure-skip-tls-verify: no", "when: 010", "x-unknown: 2024-01-01T00:00:00Z", '"1e3"'):
        assert verbatim in text


def test_the_first_change_leaves_a_backup_and_later_ones_keep_it(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(OTHERS)
    store().merge(ours(), name=DEMO, path=path)
    store().merge(ours(server="https://198.18.0.9:6443"), name=DEMO, path=path)
    backup = path.with_name(f"config{BACKUP_SUFFIX}")
    assert backup.read_text() == OTHERS
    assert backup.stat().st_mode & 0o777 == 0o600


def test_down_leaves_no_backup_with_our_admins_key(store: Store, tmp_path: Path) -> None:
    """The file was ours alone; it was copied, key and all, when it first changed, and the copy stayed."""
    path = store().merge(ours(), name=DEMO, path=tmp_path / "config").path
    store().merge(ours(server="https://198.18.0.9:6443"), name=DEMO, path=path)
    taken(store(), path)
    assert [file.name for file in tmp_path.iterdir() if "REVG" in file.read_text()] == []
    assert [file.name for file in tmp_path.iterdir()] == ["config"]


def test_a_key_in_a_backup_that_was_made_meanwhile_goes_with_its_cluster(store: Store, tmp_path: Path) -> None:
    path = store().merge(ours(), name=DEMO, path=tmp_path / "config").path
    other = (
        ours(server="https://198.18.0.50:6443")
        .replace("QUJD" * 400, "QUJD" * 300)
        .replace("client-certificate-data: QUJD", "client-certificate-data: WFla")
        .replace("REVG", "R0hJ")
    )
    store().merge(other, name=ClusterName("other"), path=path)
    backup = path.with_name(f"config{BACKUP_SUFFIX}")
    assert "REVG" in backup.read_text()
    taken(store(), path, text=other, name="other")
    assert names(load(backup), "users") == ["demo"]
    taken(store(), path)
    assert not backup.exists()


def test_a_users_own_entries_stay_in_the_backup(store: Store, tmp_path: Path) -> None:
    """Also one that is called like the cluster."""
    theirs = f"{OTHERS}- name: demo\n  context: {{cluster: demo, user: demo}}\n".replace(
        "users:", "- name: demo\n  cluster: {server: 'https://theirs', certificate-authority-data: WFla}\nusers:"
    )
    path = tmp_path / "config"
    path.write_text(theirs)
    store().merge(ours(), name=DEMO, path=path)
    store().merge(ours(server="https://198.18.0.9:6443"), name=DEMO, path=path)
    taken(store(), path)
    assert path.with_name(f"config{BACKUP_SUFFIX}").read_text() == theirs


def test_a_backup_that_cannot_be_looked_into_is_named(store: Store, tmp_path: Path) -> None:
    """Our key may be in it: `down` does not end as if it were not."""
    path = store().merge(ours(), name=DEMO, path=tmp_path / "config").path
    backup = path.with_name(f"config{BACKUP_SUFFIX}")
    backup.write_text("clusters: [")
    with pytest.raises(HomelabError) as caught:
        taken(store(), path)
    assert caught.value.brief == f"{backup} is not a kubeconfig"
    backup.unlink()
    assert taken(store(), path) == (path,)


def test_a_backup_is_not_written_through_a_link(store: Store, tmp_path: Path) -> None:
    path, victim = tmp_path / "config", tmp_path / "victim"
    path.write_text(OTHERS)
    path.with_name(f"config{BACKUP_SUFFIX}").symlink_to(victim)
    store().merge(ours(), name=DEMO, path=path)
    assert not victim.exists()


def test_merging_the_same_again_does_not_write(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(OTHERS)
    store().merge(ours(), name=DEMO, path=path)
    before = path.stat()
    store().merge(ours(), name=DEMO, path=path)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_our_entries_are_replaced_in_place_and_a_namespace_stays(store: Store, tmp_path: Path) -> None:
    path = store().merge(ours(), name=DEMO, path=tmp_path / "config").path
    config = load(path)
    config["contexts"][0]["context"]["namespace"] = "web"
    config["clusters"].append({"name": "later", "cluster": {"server": "https://later"}})
    config["clusters"].append(
        {"name": "demo", "cluster": dict(config["clusters"][0]["cluster"], server="https://twin")}
    )
    path.write_text(yaml.safe_dump(config))
    store().merge(ours(server="https://198.18.0.9:6443"), name=DEMO, path=path)
    config = load(path)
    assert names(config, "clusters") == ["demo", "later"]
    assert config["clusters"][0]["cluster"]["server"] == "https://198.18.0.9:6443"
    assert config["contexts"][0]["context"] == {"cluster": "demo", "user": "demo", "namespace": "web"}


def test_remove_takes_only_ours(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(OTHERS)
    store().merge(ours(), name=DEMO, path=path)
    assert taken(store(), path) == (path,)
    assert load(path) == yaml.safe_load(OTHERS)
    assert taken(store(), path) == ()


def test_remove_leaves_a_current_context_of_others(store: Store, tmp_path: Path) -> None:
    path = store().merge(ours(), name=DEMO, path=tmp_path / "config").path
    path.write_text(path.read_text().replace("current-context: demo", "current-context: work"))
    assert taken(store(), path) == (path,)
    assert load(path)["current-context"] == "work"


def test_remove_where_there_is_nothing(store: Store, tmp_path: Path) -> None:
    assert taken(store()) == ()
    assert taken(store(), tmp_path / "none" / "config") == ()
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    "broken", ["a: [", "- a\n- b\n", "just text", "clusters: nonsense\n", "clusters: [1]\n", "a: b: c"]
)
def test_a_broken_file_is_refused_and_stays(store: Store, tmp_path: Path, broken: str) -> None:
    path = tmp_path / "config"
    path.write_text(broken)
    with pytest.raises(HomelabError, match="is not a kubeconfig"):
        store().merge(ours(), name=DEMO, path=path)
    assert path.read_text() == broken
    assert [file.name for file in tmp_path.iterdir()] == ["config"]


@pytest.mark.parametrize("empty", ["", "# only a comment\n", "apiVersion: v1\nclusters: null\nusers: []\n", "{}"])
def test_empty_files_and_null_sections_are_fine(store: Store, tmp_path: Path, empty: str) -> None:
    path = tmp_path / "config"
    path.write_text(empty)
    store().merge(ours(), name=DEMO, path=path)
    assert names(load(path), "contexts") == ["demo"]


def test_json_kubeconfigs_are_fine(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text('{"clusters": [{"name": "a", "cluster": {"server": "https://a"}}], "users": [], "contexts": []}')
    store().merge(ours(), name=DEMO, path=path)
    assert names(load(path), "clusters") == ["a", "demo"]


def test_a_symbolic_link_stays_one(store: Store, tmp_path: Path) -> None:
    target = tmp_path / "dotfiles" / "config"
    target.parent.mkdir()
    target.write_text(OTHERS)
    link = tmp_path / "config"
    link.symlink_to(target)
    assert store().merge(ours(), name=DEMO, path=link).path == link
    assert link.is_symlink()
    assert names(load(target), "users") == ["work", "demo"]


def test_a_name_yaml_would_misread_is_quoted(store: Store, tmp_path: Path) -> None:
    path = store().merge(ours(), name=ClusterName("no"), path=tmp_path / "config").path
    assert names(load(path), "users") == ["no"]
    assert load(path)["current-context"] == "no"


def test_two_processes_lose_nothing_of_each_other(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(OTHERS)
    code = (
        "import sys, pathlib\n"
        "from bootstrap.adapters.kubeconfig.store import FileKubeconfigStore\n"
        "text, name, path = sys.argv[1:]\n"
        "FileKubeconfigStore({}, pathlib.Path('/')).merge(text, name=name, path=pathlib.Path(path))\n"
    )

    def merge(index: int) -> None:
        subprocess.run([sys.executable, "-c", code, ours(), f"demo-{index}", path], check=True)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(merge, range(6)))
    assert sorted(names(load(path), "clusters")) == ["1e3", *(f"demo-{index}" for index in range(6)), "work"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_is_not_writable_is_told(store: Store, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(HomelabError, match="cannot write the kubeconfig"):
        store().merge(ours(), name=DEMO, path=tmp_path / "config")


def test_a_directory_in_the_files_place_is_told(store: Store, tmp_path: Path) -> None:
    with pytest.raises(HomelabError, match="cannot read the kubeconfig"):
        store().merge(ours(), name=DEMO, path=tmp_path)


entry_names = st.lists(st.sampled_from(["work", "no", "1", "a b", "ü", "null", "~", "demo-2"]), unique=True)


@given(entry_names, st.sampled_from(["demo", "yes", "0x1f", "12"]))
def test_merge_and_remove_bring_everything_back(existing: list[str], name: str) -> None:
    text = yaml.safe_dump(
        {
            "clusters": [{"name": each, "cluster": {"server": f"https://{each}"}} for each in existing],
            "users": [{"name": each, "user": {"token": each}} for each in existing],
            "contexts": [{"name": each, "context": {"cluster": each, "user": each}} for each in existing],
            "current-context": "work",
        },
        allow_unicode=True,
    )
    own = Own(name=name, marks=marks_of(ours()))
    merged = Document(text, "test")
    assert merge_entries([merged], ours(), own, switch=False).context == name
    assert yaml.safe_load(merged.rendered)["current-context"] == ("work" if "work" in existing else name)
    rest = Document(merged.rendered, "test")
    assert remove_entries([rest], own) == (name,)
    current = "work" if "work" in existing else ""
    assert yaml.safe_load(rest.rendered) == {**yaml.safe_load(text), "current-context": current}
