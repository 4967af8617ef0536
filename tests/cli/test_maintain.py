"""`maintain` as a user sees it: what it would do, what it does, where it stops, its notices and its timer."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bootstrap.model.ids import MachineName
from bootstrap.model.observed import Pod
from tests.cli.conftest import Run
from tests.fakes.world import World, pve_node
from tests.fakes.world.facts import EVERYTHING, VERSION
from tests.fakes.world.workloads import FakePod

NEWER = "v1.33.9+k3s1"
INVENTORY = """
cluster: demo
workers: 2
template: {image: debian-13}
maintain:
  window: Sat 11:00-13:00
  backup_to: saved
  notify: [{env: DEMO_NTFY}]
"""
URL = "ntfys://me:hunter-twelve@ntfy.home.arpa/topic-of-mine"
DAY_S = 86400.0


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The world's clock says Saturday, 12:00 UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def demo(state: Path, tmp_path: Path, run: Run, world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """A cluster of a template that was built, with the inventory's file."""
    world.templates = []
    world.pve_nodes = [replace(pve_node("pve1"), storages=(EVERYTHING,))]
    monkeypatch.setenv("DEMO_NTFY", URL)
    write(tmp_path, INVENTORY)
    built = run("up", "--yes")
    assert built.exit_code == 0, built.stderr
    world.later_s += DAY_S * 7
    world.journal.clear()
    return world


def write(tmp_path: Path, text: str) -> None:
    (tmp_path / "homelab-k8s.yaml").write_text(text)


def versions(world: World) -> set[str]:
    return {node.version for node in world.kube_nodes.values()}


def machines(world: World) -> list[str]:
    return sorted(vm.name for vm in world.vms.values() if vm.name.startswith("demo-"))


def test_where_all_is_well_it_backs_up_and_that_is_all(run: Run, demo: World, tmp_path: Path) -> None:
    done = run("maintain", "--yes")
    assert done.exit_code == 0, done.stderr
    assert "demo: healthy; nothing to do but the backup:" in done.stdout
    assert f"back up to {tmp_path}/saved/demo" in " ".join(done.stdout.split())
    assert list((tmp_path / "saved" / "demo").glob("maintain-demo-cp-1-*.sqlite"))
    assert demo.notices.sent == []
    assert [call for call in demo.journal if call.startswith(("clone", "destroy", "drain"))] == []


def test_a_new_k3s_and_a_new_image_are_taken_one_machine_after_the_other(run: Run, demo: World) -> None:
    demo.channels["stable"], demo.image_checksum = NEWER, "cd" * 64
    foreseen = json.loads(run("maintain", "--dry-run", "-o", "json").stdout)
    assert [task["kind"] for task in foreseen["tasks"]] == ["backup", "upgrade", "template", "replace", "replace"]
    assert any("server with sqlite cannot be replaced" in note for note in foreseen["notes"])
    assert versions(demo) == {VERSION}
    done = run("maintain", "--yes", "-o", "json")
    assert done.exit_code == 0, done.stderr
    assert [each["says"].partition(" ")[0] for each in json.loads(done.stdout)["done"]] == [
        *("back", "upgrade", "build", "replace", "replace")
    ]
    assert versions(demo) == {NEWER}
    assert len(machines(demo)) == 3
    turns = [call.partition(" ")[0] for call in demo.journal if call.startswith(("clone demo", "destroy demo"))]
    assert turns == ["clone", "destroy"] * 2
    ((url, title, text),) = demo.notices.sent
    assert (url, title) == (URL, "homelab-k8s: demo: upkeep done")
    assert f"upgrade k3s to {NEWER}" in text
    again = run("maintain", "--yes")
    assert "nothing to do but the backup" in again.stdout, again.stdout
    assert len(demo.notices.sent) == 1


def test_servers_with_etcd_are_replaced_last_and_unused_templates_go(run: Run, demo: World, tmp_path: Path) -> None:
    write(tmp_path, INVENTORY.replace("maintain:", "control_plane: {count: 3}\nmaintain:\n  keep_templates: 1"))
    scaled = run("scale", "control-plane", "3", "--yes")
    assert scaled.exit_code == 0, scaled.stderr
    demo.later_s += DAY_S * 7
    demo.image_checksum = "cd" * 64
    done = run("maintain", "--yes", "-o", "json")
    assert done.exit_code == 0, done.stderr
    says = [each["says"] for each in json.loads(done.stdout)["done"]]
    assert [each for each in says if each.startswith("replace")] == [
        f"replace demo-{name}" for name in ("workers-1", "workers-2", "cp-1", "cp-2", "cp-3")
    ]
    assert says[-1].startswith("remove hk8s-debian-13-")
    assert len(demo.converted & demo.vms.keys()) == 1
    assert len(machines(demo)) == 5
    assert "nothing to do but the backup" in run("maintain", "--yes").stdout


def test_outside_of_the_window_it_only_backs_up_unless_now_is_passed(run: Run, demo: World) -> None:
    demo.channels["stable"] = NEWER
    demo.later_s += DAY_S / 2
    done = run("maintain", "--yes")
    assert done.exit_code == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert f"outside of the window Sat 11:00-13:00, waiting for it: upgrade k3s to {NEWER}" in said
    assert versions(demo) == {VERSION}
    assert run("maintain", "--yes", "--now").exit_code == 0
    assert versions(demo) == {NEWER}


def test_it_stops_before_anything_where_the_cluster_is_not_healthy(run: Run, demo: World) -> None:
    demo.channels["stable"] = NEWER
    name = next(iter(demo.kube_nodes))
    demo.kube_nodes[name] = replace(demo.kube_nodes[name], unschedulable=True)
    done = run("maintain", "--yes")
    assert done.exit_code == 4
    assert "demo is not healthy (1 problem); nothing was changed" in done.stderr
    assert demo.journal == []
    ((_, title, text),) = demo.notices.sent
    assert title == "homelab-k8s: demo: upkeep stopped"
    assert f"{name} is cordoned" in text


def test_what_fails_ends_it_and_nothing_else_is_begun(run: Run, demo: World) -> None:
    demo.channels["stable"], demo.image_checksum = NEWER, "cd" * 64
    demo.broken_scripts.add("bake.sh")
    done = run("maintain", "--yes")
    assert done.exit_code == 1
    assert versions(demo) == {NEWER}
    assert machines(demo) == ["demo-cp-1", "demo-workers-1", "demo-workers-2"]
    ((_, _, text),) = demo.notices.sent
    assert "done before that:\n  back up" in text
    assert f"upgrade k3s to {NEWER}" in text
    demo.broken_scripts.clear()
    assert run("maintain", "--yes").exit_code == 0
    assert len(demo.converted) == 2


def test_a_pod_that_would_lose_data_is_named_and_no_machine_is_drained(run: Run, demo: World, tmp_path: Path) -> None:
    demo.channels["stable"] = NEWER
    pod = Pod(namespace="media", name="db-0", uid="uid-db", controller="StatefulSet", local_data=True)
    demo.workloads.pods.append(FakePod(pod=pod, on=MachineName("demo-workers-1"), app="db"))
    done = run("maintain", "--yes")
    assert done.exit_code == 1
    assert "1 pod would lose the data in their emptyDir volumes" in done.stderr
    assert "set maintain.delete_emptydir_data to true" in " ".join(done.stderr.split())
    assert versions(demo) == {VERSION}
    write(tmp_path, INVENTORY + "  delete_emptydir_data: true\n")
    assert run("maintain", "--yes").exit_code == 0
    assert versions(demo) == {NEWER}


def test_it_asks_where_somebody_runs_it_by_hand(run: Run, demo: World) -> None:
    demo.channels["stable"] = NEWER
    refused = run("maintain")
    assert refused.exit_code == 2
    assert f"upgrade k3s to {NEWER}" in refused.stderr
    assert versions(demo) == {VERSION}


def test_no_part_of_a_url_is_shown_or_kept_and_a_failing_notice_fails_nothing(
    run: Run, demo: World, tmp_path: Path
) -> None:
    demo.channels["stable"] = NEWER
    demo.notices.refuses[URL] = "ntfy.home.arpa says 403 to hunter-twelve on topic-of-mine"
    done = run("maintain", "--yes")
    assert done.exit_code == 0
    assert "notice 1 of 1 was not delivered: ntfy.home.arpa says 403 to *** on ***" in " ".join(done.stderr.split())
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path for path in kept if b"hunter-twelve" in path.read_bytes() or b"topic-of" in path.read_bytes()] == []


def test_without_the_extra_or_the_secret_it_says_so_and_does_its_work(
    run: Run, demo: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    demo.notices.lack = "notices need the package apprise, which the extra `notify` brings"
    done = run("maintain", "--yes")
    assert done.exit_code == 0
    assert "which the extra `notify` brings" in done.stderr
    monkeypatch.delenv("DEMO_NTFY")
    done = run("maintain", "--yes")
    assert done.exit_code == 0
    assert "the environment variable DEMO_NTFY is not set" in done.stderr


def test_the_timer_is_shown_written_and_removed(run: Run, demo: World, tmp_path: Path) -> None:
    shown = run("maintain", "--install", "--dry-run")
    assert shown.exit_code == 0, shown.stderr
    assert demo.timers.units == {}
    done = run("maintain", "--install")
    assert done.stdout.splitlines()[:3] == [
        "# /home/me/.config/systemd/user/homelab-k8s-maintain-demo.service",
        "[Unit]",
        "Description=Upkeep of the Kubernetes cluster demo",
    ]
    service, timer = demo.timers.units.values()
    assert f'maintain" "--yes" "--progress" "plain" "--inventory" "{tmp_path}/homelab-k8s.yaml"\n' in service
    assert service.partition("ExecStart=")[2].startswith('"/')
    assert "OnCalendar=*-*-* 11:00:00\nPersistent=true\n" in timer
    assert "hunter" not in service + timer
    assert demo.timers.started == {"homelab-k8s-maintain-demo.timer"}
    assert "loginctl enable-linger" in done.stdout
    removed = run("maintain", "--uninstall")
    assert removed.stdout.startswith("demo: removed /home/me/.config/systemd/user/homelab-k8s-maintain-demo.timer")
    assert (demo.timers.units, demo.timers.started) == ({}, set())
    assert run("maintain", "--uninstall").stdout == "demo: nothing to remove\n"


def test_a_timer_of_the_system_runs_as_the_user_and_needs_systemd(
    run: Run, demo: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_USER", "alex")
    assert run("maintain", "--install", "--system").exit_code == 0
    service = next(iter(demo.timers.units.values()))
    assert "User=alex\n" in service
    assert "network-online.target" in service
    assert run("maintain", "--system").exit_code == 2
    demo.timers.lack = "systemd does not run on this computer"
    refused = run("maintain", "--install")
    assert refused.exit_code == 4
    assert "systemd does not run on this computer: no timer can be installed" in refused.stderr


def test_a_password_manager_is_asked_in_the_inventorys_directory(
    run: Run, demo: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "manager").write_text(f"#!/bin/sh\necho {URL}\n")
    (tmp_path / "manager").chmod(0o700)
    write(tmp_path, INVENTORY.replace("{env: DEMO_NTFY}", "{command: [./manager]}"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    demo.channels["stable"] = NEWER
    done = run("maintain", "--yes", "-i", str(tmp_path / "homelab-k8s.yaml"))
    assert done.exit_code == 0, done.stderr
    assert [url for url, _, _ in demo.notices.sent] == [URL]
