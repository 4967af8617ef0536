"""`scale` and `upgrade` leave an inventory that says what is true; `rebuild` after them does not go back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.fakes.world import World

OLD, NEW = "v1.33.3+k3s1", "v1.33.7+k3s1"
INVENTORY = f"""\
# mine
cluster: demo
k3s:
  version: {OLD}  # pinned
template: {{name: debian-12}}
workers: {{count: 1, cores: 2, memory: 2GiB}}   # small
"""


@pytest.fixture
def file(run: Run, world: World, tmp_path: Path) -> Path:
    path = tmp_path / "homelab-k8s.yaml"
    path.write_text(INVENTORY)
    result = run("up")
    assert result.exit_code == 0, result.stderr
    world.journal.clear()
    return path


def test_scale_writes_the_count_back_and_up_finds_nothing_to_do(run: Run, file: Path) -> None:
    result = run("scale", "workers", "3")
    assert result.exit_code == 0, result.stderr
    assert file.read_text() == INVENTORY.replace("count: 1", "count: 3")
    assert "homelab-k8s.yaml: workers.count changed from 1 to 3:" in result.stdout
    assert "-workers: {count: 1, cores: 2, memory: 2GiB}   # small" in result.stdout.splitlines()
    assert "+workers: {count: 3, cores: 2, memory: 2GiB}   # small" in result.stdout.splitlines()
    assert "nothing to do" in run("up").stdout


def test_no_write_leaves_the_file_and_says_what_to_edit(run: Run, file: Path) -> None:
    result = run("scale", "workers", "3", "--no-write")
    assert file.read_text() == INVENTORY
    assert "workers.count: 1; --no-write: change it to 3 yourself" in result.stdout
    assert run("upgrade", "--to", NEW, "--yes", "--no-write").stdout.endswith(f"change it to {NEW} yourself\n")
    assert file.read_text() == INVENTORY


def test_a_dry_run_writes_nothing(run: Run, file: Path) -> None:
    assert run("scale", "workers", "3", "--dry-run").exit_code == 0
    assert file.read_text() == INVENTORY


def test_a_scale_that_fails_writes_nothing(run: Run, world: World, file: Path) -> None:
    world.fail_clone.add("demo-workers-2")
    assert run("scale", "workers", "3").exit_code == 1
    assert file.read_text() == INVENTORY


def test_what_cannot_be_written_is_said_with_what_to_edit(run: Run, file: Path) -> None:
    file.chmod(0o444)
    result = run("scale", "workers", "3")
    assert result.exit_code == 0
    assert "cannot write the inventory homelab-k8s.yaml: it is read-only: set workers.count: 3 there" in result.stdout
    assert file.read_text() == INVENTORY


def test_without_a_file_it_is_said_as_before(run: Run, world: World) -> None:
    assert run("up", "--cluster", "demo", "--workers", "1").exit_code == 0
    result = run("scale", "workers", "0", "--cluster", "demo", "--yes")
    assert "the inventory defaults to 1 for workers: change it to 0, since `up` uses it" in result.stdout


@pytest.mark.parametrize("form", ["workers: 1", "workers:\n  count: 1"])
def test_each_form_that_an_inventory_may_have_is_written(run: Run, file: Path, form: str) -> None:
    text = INVENTORY.replace("workers: {count: 1, cores: 2, memory: 2GiB}   # small", form)
    file.write_text(text)
    result = run("scale", "workers", "2")
    assert result.exit_code == 0, result.stderr
    assert file.read_text() == text.replace(form, form.replace("1", "2"))


def test_a_pool_of_another_name_and_the_control_plane_are_written_where_they_are_stated(run: Run, file: Path) -> None:
    text = INVENTORY + "control_plane: {count: 1}\npools:\n  gpu: {count: 0}\n"
    file.write_text(text)
    assert run("scale", "gpu", "1").exit_code == 0
    assert file.read_text() == text.replace("gpu: {count: 0}", "gpu: {count: 1}")
    assert run("scale", "control-plane", "3", "--yes").exit_code == 0
    assert "control_plane: {count: 3}" in file.read_text()


def test_the_move_to_etcd_is_asked_about_with_what_it_means(run: Run, world: World, file: Path) -> None:
    means = "datastore of demo moves from SQLite to etcd: k3s on demo-cp-1 restarts"
    refused = run("scale", "control-plane", "3")
    assert refused.exit_code == 2
    assert means in " ".join(refused.stderr.split())
    assert "2 of the 3 servers must be running" in " ".join(refused.stderr.split())
    assert world.journal == []
    assert file.read_text() == INVENTORY
    dry = run("scale", "control-plane", "3", "--dry-run")
    assert dry.exit_code == 0
    assert means in " ".join(dry.stdout.split())
    assert run("scale", "control-plane", "3", "--yes").exit_code == 0
    assert run("scale", "workers", "2").exit_code == 0, "more workers need no question"


def test_as_json_stdout_is_the_document_alone(run: Run, file: Path) -> None:
    result = run("scale", "workers", "2", "-o", "json")
    assert json.loads(result.stdout)["added"] == ["demo-workers-2"]
    assert "workers.count changed from 1 to 2" in result.stderr
    assert "count: 2" in file.read_text()


def test_upgrade_writes_the_version_back_so_that_a_rebuild_does_not_go_back(run: Run, world: World, file: Path) -> None:
    result = run("upgrade", "--to", NEW, "--yes")
    assert result.exit_code == 0, result.stderr
    assert file.read_text() == INVENTORY.replace(OLD, NEW)
    assert f"k3s.version changed from {OLD} to {NEW}:" in result.stdout
    rebuilt = run("rebuild", "--restore", "latest", "--yes")
    assert rebuilt.exit_code == 0, rebuilt.stderr
    assert {node.version for node in world.kube_nodes.values()} == {NEW}


def test_a_rebuild_with_the_old_version_is_refused_unless_it_is_named(run: Run, world: World, file: Path) -> None:
    run("upgrade", "--to", NEW, "--yes", "--no-write")
    world.journal.clear()
    for options in ((), ("--restore", "latest"), ("--keep-identity",)):
        refused = run("rebuild", *options, "--yes")
        assert refused.exit_code == 4
        assert f"k3s {OLD} is older than {NEW}" in refused.stderr
        assert f"`k3s: {{version: {NEW}}}`" in refused.stderr
    assert run("rebuild", "--restore", "latest", "--k3s-version", OLD, "--yes").exit_code == 4
    assert not [call for call in world.journal if call.startswith(("stop", "destroy"))]
    assert run("rebuild", "--k3s-version", OLD, "--yes").exit_code == 0
    assert {node.version for node in world.kube_nodes.values()} == {OLD}


def test_a_channel_is_left_and_told_where_it_is_behind(run: Run, world: World, file: Path) -> None:
    file.write_text(INVENTORY.replace(f"version: {OLD}  # pinned", "channel: stable"))
    world.channels["stable"] = OLD
    result = run("upgrade", "--to", NEW, "--yes")
    assert "channel stable is at v1.33.3+k3s1, which is older than the cluster" in result.stdout
    assert "channel: stable" in file.read_text()
    world.channels["stable"] = NEW
    assert "channel" not in run("upgrade", "--to", NEW, "--yes").stdout


def test_status_tells_a_down_that_was_cut_off(run: Run, world: World, file: Path) -> None:
    def on_call(call: str) -> None:
        if call.startswith("destroy"):
            raise KeyboardInterrupt

    world.on_call = on_call
    assert run("down", "--yes").exit_code != 0
    world.on_call = lambda _call: None
    told = " ".join(run("status").stdout.split())
    assert "a `down` started at" in told
    assert "`homelab-k8s down` continues it; `homelab-k8s up` creates the cluster again" in told
    assert "`up` keeps the cluster" in " ".join(run("up", "--dry-run").stdout.split())
