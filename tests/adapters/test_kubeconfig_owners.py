"""Whose an entry of a kubeconfig is: known by CA and address, never by its name; and what kubectl uses afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from bootstrap.adapters.kubeconfig.store import BACKUP_SUFFIX, FileKubeconfigStore
from bootstrap.k3s.kubeconfig.build import build_kubeconfig
from bootstrap.k3s.kubeconfig.entries import marks_of
from bootstrap.model.ids import ClusterName
from bootstrap.records.state.kubeconfigs import parse_marks, render_marks
from tests.fakes.certificates import k3s_yaml

DEMO = ClusterName("demo")
FOREIGN = """\
apiVersion: v1
kind: Config
current-context: demo
clusters:
- name: demo
  cluster: {server: 'https://demo.example.org', certificate-authority-data: WFla}
users:
- name: demo
  user: {token: theirs}
contexts:
- name: demo
  context: {cluster: demo, user: demo}
"""


def ours(address: str = "192.0.2.10") -> str:
    return build_kubeconfig(k3s_yaml(), name="demo", server_url=f"https://{address}:6443", source="demo-cp-1")


def load(path: Path) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load(path.read_text())
    return config


def names(path: Path, section: str = "contexts") -> list[str]:
    return [entry["name"] for entry in load(path)[section]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config"


@pytest.fixture
def store(path: Path, tmp_path: Path) -> FileKubeconfigStore:
    return FileKubeconfigStore({"KUBECONFIG": str(path)}, tmp_path)


def merge(store: FileKubeconfigStore, text: str | None = None, **how: Any) -> Any:
    return store.merge(text or ours(), name=DEMO, path=None, **how)


def remove(store: FileKubeconfigStore, known: frozenset[str] | None = None) -> Any:
    return store.remove(name=DEMO, paths=(), known=marks_of(ours()) if known is None else known)


def test_up_and_down_leave_an_entry_of_our_name_that_is_somebody_elses(store: FileKubeconfigStore, path: Path) -> None:
    """`up` replaced it, and `down` deleted it."""
    path.write_text(FOREIGN)
    merged = merge(store)
    assert merged.context == "homelab-demo"
    assert merged.notes[0] == f"demo in {path} belongs to another cluster; the new entry is called homelab-demo"
    assert names(path) == ["demo", "homelab-demo"]
    assert load(path)["contexts"][1]["context"] == {"cluster": "homelab-demo", "user": "homelab-demo"}
    assert load(path)["current-context"] == "demo"
    assert (
        merge(store).notes
        == merge(store, ours("192.0.2.11")).notes
        == (f"others may read {path} (mode 0644): chmod 600 {path}",)
    )
    assert names(path) == ["demo", "homelab-demo"]
    removed = remove(store)
    assert removed.notes == (f"the entry demo in {path} is kept: its CA or server belongs to another cluster",)
    assert load(path) == yaml.safe_load(FOREIGN)


@pytest.mark.parametrize("section", ["clusters", "users", "contexts"])
def test_a_name_is_taken_by_an_entry_of_any_kind(store: FileKubeconfigStore, path: Path, section: str) -> None:
    theirs = yaml.safe_load(FOREIGN)
    theirs["contexts"][0]["context"]["cluster"] = "elsewhere"
    kept = {section: theirs[section]}
    path.write_text(yaml.safe_dump(kept))
    assert merge(store).context == "homelab-demo"
    remove(store)
    assert load(path)[section] == theirs[section]


def test_a_further_name_is_found_where_that_one_is_taken_too(store: FileKubeconfigStore, path: Path) -> None:
    theirs = yaml.safe_load(FOREIGN)
    theirs["clusters"].append({"name": "homelab-demo", "cluster": {"server": "https://b"}})
    path.write_text(yaml.safe_dump(theirs))
    assert merge(store).context == "homelab-demo-2"


def test_ours_keeps_its_name_when_the_other_one_goes(store: FileKubeconfigStore, path: Path) -> None:
    path.write_text(FOREIGN)
    merge(store)
    config = load(path)
    for section in ("clusters", "users", "contexts"):
        del config[section][0]
    path.write_text(yaml.safe_dump(config))
    assert merge(store).context == "homelab-demo"
    assert names(path) == ["homelab-demo"]


def test_ours_is_ours_at_another_address_and_with_a_renewed_certificate(store: FileKubeconfigStore, path: Path) -> None:
    merge(store)
    config = load(path)
    config["clusters"][0]["cluster"]["server"] = "https://demo.vpn:6443"
    path.write_text(yaml.safe_dump(config))
    assert merge(store, ours("192.0.2.99")).context == "demo"
    assert load(path)["clusters"][0]["cluster"]["server"] == "https://192.0.2.99:6443"
    assert len(load(path)["clusters"]) == 1


def test_ours_of_before_a_rebuild_is_known_by_what_was_noted(store: FileKubeconfigStore, path: Path) -> None:
    """Other CAs, another address: the entry is the same cluster's all the same."""
    before = FOREIGN.replace("token: theirs", "client-certificate-data: QUJD, client-key-data: QUJD")
    path.write_text(before)
    noted = parse_marks(render_marks(marks_of(before)))
    assert merge(store, known=noted).context == "demo"
    assert names(path, "users") == ["demo"]


def test_a_ca_that_a_server_tells_makes_no_other_clusters_entry_ours(store: FileKubeconfigStore, path: Path) -> None:
    """CAs are public: one that a broken server passes on, with our address, is not enough under another name."""
    work = FOREIGN.replace("demo", "work")
    path.write_text(work)
    told = frozenset({*marks_of("clusters: [{cluster: {certificate-authority-data: WFla}}]"), *marks_of(ours())})
    assert remove(store, told).paths == ()
    assert load(path) == yaml.safe_load(work)


def test_after_down_nothing_of_ours_is_left_and_nothing_points_to_it(store: FileKubeconfigStore, path: Path) -> None:
    merge(store)
    config = load(path)
    config["contexts"].append({"name": "dev", "context": {"cluster": "demo", "user": "demo", "namespace": "dev"}})
    config["clusters"].append({"name": "copy", "cluster": dict(config["clusters"][0]["cluster"])})
    config["contexts"].append({"name": "copy", "context": {"cluster": "copy", "user": "work"}})
    config["users"].append({"name": "work", "user": {"token": "x"}})
    config["current-context"] = "dev"
    path.write_text(yaml.safe_dump(config))
    remove(store)
    assert load(path) == {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [],
        "contexts": [],
        "current-context": "",
        "users": [{"name": "work", "user": {"token": "x"}}],
    }


def test_credentials_that_took_the_place_of_ours_go_with_the_cluster(store: FileKubeconfigStore, path: Path) -> None:
    merge(store)
    config = load(path)
    config["users"][0]["user"] = {"token": "of a service account"}
    path.write_text(yaml.safe_dump(config))
    remove(store)
    assert load(path)["users"] == []


def test_what_a_user_has_added_to_ours_survives(store: FileKubeconfigStore, path: Path) -> None:
    merge(store)
    config = load(path)
    extension = [{"name": "note", "extension": {"mine": True}}]
    config["clusters"][0]["cluster"].update({"proxy-url": "socks5://localhost:1", "extensions": extension})
    config["clusters"][0]["x-mine"] = 1
    config["users"][0]["user"].update({"as": "viewer"})
    config["contexts"][0]["context"].update({"namespace": "web", "extensions": extension})
    path.write_text(yaml.safe_dump(config))
    merge(store, ours("192.0.2.77"))
    config["clusters"][0]["cluster"]["server"] = "https://192.0.2.77:6443"
    assert load(path) == config


def test_a_context_that_was_renamed_is_not_made_again(store: FileKubeconfigStore, path: Path) -> None:
    """As by `kubectl config rename-context demo home`."""
    merge(store)
    path.write_text(path.read_text().replace("- name: demo\n  context", "- name: home\n  context"))
    assert names(path) == ["home"]
    assert merge(store, ours("192.0.2.11")).context == "home"
    assert names(path) == ["home"]
    remove(store)
    assert names(path) == []


class TestTheCurrentContext:
    OTHER = FOREIGN.replace("demo", "work")

    def test_an_up_that_finds_its_entries_leaves_it(self, store: FileKubeconfigStore, path: Path) -> None:
        """A no-op `up` switched it, also away from another cluster in the middle of some work there."""
        merge(store)
        path.write_text(path.read_text().replace("current-context: demo", "current-context: ''"))
        before = path.read_text()
        assert merge(store).path == path
        assert path.read_text() == before

    def test_it_stays_where_another_cluster_is_in_use(self, store: FileKubeconfigStore, path: Path) -> None:
        path.write_text(self.OTHER)
        path.chmod(0o600)
        merged = merge(store)
        assert merged.notes == ("current-context is still work; `kubectl config use-context demo` switches",)
        assert load(path)["current-context"] == "work"

    @pytest.mark.parametrize("gone", ["clusters", "contexts"])
    def test_one_that_leads_nowhere_is_not_in_use(self, store: FileKubeconfigStore, path: Path, gone: str) -> None:
        path.write_text(yaml.safe_dump({**yaml.safe_load(self.OTHER), gone: []}))
        merge(store)
        assert load(path)["current-context"] == "demo"

    def test_it_is_switched_where_that_is_asked_for(self, store: FileKubeconfigStore, path: Path) -> None:
        path.write_text(self.OTHER)
        merge(store)
        merge(store, switch=True)
        assert load(path)["current-context"] == "demo"


def test_a_backup_has_the_foreign_entry_and_nothing_of_ours(store: FileKubeconfigStore, path: Path) -> None:
    path.write_text(FOREIGN)
    merge(store)
    remove(store)
    assert path.with_name(path.name + BACKUP_SUFFIX).read_text() == FOREIGN


def test_marks_do_not_depend_on_how_a_value_is_wrapped() -> None:
    wrapped = yaml.safe_load(ours())
    cluster = wrapped["clusters"][0]["cluster"]
    value = cluster["certificate-authority-data"]
    cluster["certificate-authority-data"] = "\n".join(value[at : at + 76] for at in range(0, len(value), 76))
    assert marks_of(yaml.safe_dump(wrapped)) == marks_of(ours())
    assert len(marks_of(ours())) == 3


@pytest.mark.parametrize(
    "odd", [None, "", "[", "a", "clusters: 1", "clusters: [1, {cluster: 2}]", "users: [{user: {a: b}}]"]
)
def test_what_is_no_kubeconfig_has_no_marks(odd: str | None) -> None:
    assert marks_of(odd) == frozenset()
