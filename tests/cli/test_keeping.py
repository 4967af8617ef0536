"""The commands that keep a cluster: `upgrade`, `backup`, `backups`, `restore`, `rotate token`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bootstrap.model.ids import MachineName
from bootstrap.model.observed import Pod
from tests.cli.conftest import Run
from tests.cli.test_process import COLOURS, on_a_terminal
from tests.fakes.world import World
from tests.fakes.world.workloads import FakePod

UP = ("up", "--cluster", "demo", "--workers", "1")
DEMO = ("--cluster", "demo")
OLD, NEXT, NEW = "v1.33.3+k3s1", "v1.34.4+k3s1", "v1.35.1+k3s1"


@pytest.fixture
def machine_state(run: Run, world: World) -> World:
    assert run(*UP).exit_code == 0
    world.channels |= {"v1.34": NEXT, "stable": NEW}
    world.journal.clear()
    return world


def test_the_dry_run_of_an_upgrade_prints_the_ladder(run: Run, machine_state: World) -> None:
    result = run("upgrade", *DEMO, "--to", NEW, "--dry-run")
    assert result.exit_code == 0, result.stderr
    assert f"  - upgrade path: {OLD} -> {NEXT} -> {NEW}" in result.stdout.splitlines()
    rows = [line.split() for line in result.stdout.splitlines()]
    assert any(row[:1] == ["demo-workers-1"] and "upgrade" in row for row in rows)
    assert result.stdout.splitlines()[-1] == "dry run: nothing was changed"
    assert machine_state.journal == []


@pytest.mark.parametrize("flag", ["--parallel", "--max-unavailable"])
def test_workers_upgraded_together_are_shown_and_asked_about(run: Run, world: World, flag: str) -> None:
    """The second flag is the older name."""
    assert run("up", "--cluster", "demo", "--workers", "3").exit_code == 0
    world.channels |= {"v1.34": NEXT}
    plan = run("upgrade", *DEMO, "--to", NEXT, flag, "2", "--dry-run").stdout
    assert "  - 2 workers at a time; servers one at a time" in plan.splitlines()
    assert "at a time" not in run("upgrade", *DEMO, "--to", NEXT, "--dry-run").stdout
    asked = run("upgrade", *DEMO, "--to", NEXT, flag, "2").stderr
    assert "This upgrades 4 machines, servers drained one by one, workers up to 2 at a time;" in asked
    assert run("upgrade", *DEMO, "--to", NEXT, flag, "0").exit_code == 2


def test_workers_replaced_together_are_shown(run: Run, world: World) -> None:
    assert run("up", "--cluster", "demo", "--workers", "3").exit_code == 0
    plan = run("replace", *DEMO, "--pool", "workers", "--parallel", "2", "--dry-run")
    assert "  - 2 workers at a time" in plan.stdout.splitlines(), plan.stderr


def test_an_upgrade_ends_with_what_runs_now(run: Run, machine_state: World) -> None:
    refused = run("upgrade", *DEMO, "--channel", "stable")
    assert refused.exit_code == 2
    assert "This upgrades 2 machines, drained one by one; the only way back is a snapshot." in refused.stderr
    assert f"Upgrade path: {OLD} -> {NEXT} -> {NEW}." in refused.stderr
    assert machine_state.journal == []
    result = run("upgrade", *DEMO, "--channel", "stable", "--yes")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith(f"demo: 2 machines upgraded to k3s {NEW}, in ")
    assert {node.version for node in machine_state.kube_nodes.values()} == {NEW}
    again = run("upgrade", *DEMO, "--to", NEW, "--yes")
    assert (again.exit_code, again.stdout) == (0, "demo: 2 machines, all up to date; nothing to do\n")


def test_an_upgrade_as_json(run: Run, machine_state: World) -> None:
    result = json.loads(run("upgrade", *DEMO, "--to", NEXT, "--yes", "--no-snapshot", "-o", "json").stdout)
    assert list(result) == ["cluster", "changed", "upgraded", "version", "took_s", "phases"]
    assert (result["changed"], result["version"]) == (True, NEXT)
    assert result["upgraded"] == ["demo-cp-1", "demo-workers-1"]
    assert "snapshot" not in result["phases"]


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("upgrade", "--to", NEW, "--channel", "stable"), 2, "either a version or a channel"),
        (("upgrade", "--channel", "stabel"), 2, "--channel: must be stable, latest, testing or vX.Y, not 'stabel'"),
        (("upgrade", "--channel", "stabel"), 2, "did you mean stable?"),
        (("upgrade", "--channel", "1.34"), 2, "write v1.34"),
        (("upgrade", "--to", "v1.32.1+k3s1"), 4, ""),
        (("upgrade", "--to", "latest"), 4, "is not a k3s version"),
        (("backup", "--to", "s3://bucket"), 2, "--to s3"),
        (("backup", "--to", "a", "--to", "b"), 2, "--to names two directories"),
        (("restore", "nothing"), 4, "demo has no snapshot nothing"),
    ],
)
def test_what_cannot_be_is_refused(run: Run, machine_state: World, args: tuple[str, ...], code: int, said: str) -> None:
    result = run(args[0], *DEMO, *args[1:])
    assert result.exit_code == code
    assert said in result.stderr
    assert machine_state.journal == []


def test_a_backup_is_named_listed_and_restored_from(run: Run, machine_state: World, tmp_path: Path) -> None:
    result = run("backup", *DEMO, "--name", "before", "--to", str(tmp_path / "saved"))
    assert result.exit_code == 0, result.stderr
    (fetched,) = [path for path in (tmp_path / "saved").iterdir() if not path.name.endswith((".json", ".token"))]
    assert result.stdout.startswith(f"demo: snapshot {fetched}, in ")
    listed = run("backups", *DEMO)
    assert listed.exit_code == 0, listed.stderr
    heading, row = listed.stdout.splitlines()
    assert heading.split() == ["SNAPSHOT", "MADE", "(UTC)", "AGE", "SIZE", "WHERE"]
    assert row.startswith("before-")
    assert row.endswith("on demo-cp-1")
    (told,) = json.loads(run("backups", *DEMO, "-o", "json").stdout)["snapshots"]
    assert (told["name"], told["machine"], told["problem"]) == (fetched.name, "demo-cp-1", None)
    refused = run("restore", "latest", *DEMO)
    assert refused.exit_code == 2
    assert f"This restores the cluster's data from {fetched.name}: all later changes" in refused.stderr
    restored = run("restore", "latest", *DEMO, "--yes", "-o", "json")
    assert restored.exit_code == 0, restored.stderr
    assert json.loads(restored.stdout)["snapshot"] == fetched.name
    assert run("restore", str(fetched), *DEMO, "--yes").stdout.startswith(f"demo: restored from {fetched}, in ")
    on_chosen = run("restore", "latest", *DEMO, "--yes", "--server", "cp-1")
    assert on_chosen.exit_code == 0, on_chosen.stderr


def test_without_snapshots_it_is_said(run: Run, machine_state: World) -> None:
    assert run("backups", *DEMO).stdout == "no snapshot; take one with `homelab-k8s backup --cluster demo`\n"


def test_a_server_that_cannot_be_asked_for_snapshots_is_told(run: Run, machine_state: World) -> None:
    machine_state.refuses_key.add("demo-cp-1")
    result = run("backups", *DEMO)
    assert result.exit_code == 1
    assert "not reachable: demo-cp-1" in result.stdout


def test_a_token_is_rotated_when_that_was_agreed_to(run: Run, machine_state: World) -> None:
    before = machine_state.state["demo", "token"]
    refused = run("rotate", "token", *DEMO)
    assert refused.exit_code == 2
    assert "This gives demo a new token, and restarts k3s on 2 machines, servers one at a time." in refused.stderr
    result = run("rotate", "token", *DEMO, "--yes")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("demo: 2 machines with a new token, in ")
    assert machine_state.state["demo", "token"] != before
    assert before not in result.stdout + result.stderr


def test_a_restore_asks_for_the_clusters_name(state: Path, tmp_path: Path) -> None:
    file = tmp_path / "copy-1740830400.sqlite"
    file.write_text("data")
    told, code = on_a_terminal(["built", "restore", str(file), *DEMO], answer="dome\n")
    assert code == 1
    assert "'dome' is not demo: nothing was changed" in COLOURS.sub("", told)


def with_cache(world: World) -> None:
    """A pod of the user's own with an emptyDir, on the worker; the add-ons of k3s are there anyway."""
    pod = Pod(namespace="default", name="cache-1", uid="uid-cache", controller="ReplicaSet", local_data=True)
    world.workloads.pods.append(FakePod(pod=pod, on=MachineName("demo-workers-1"), app="cache"))


def test_an_upgrade_drains_the_add_ons_of_k3s_and_asks_nothing_of_them(run: Run, machine_state: World) -> None:
    assert any(fake.pod.local_data for fake in machine_state.workloads.pods)
    result = run("upgrade", *DEMO, "--to", NEXT, "--yes")
    assert result.exit_code == 0, result.stderr
    assert "emptyDir" not in result.stderr


def test_pods_that_lose_an_emptydir_are_named_before_the_run_and_yes_is_not_enough(
    run: Run, machine_state: World
) -> None:
    with_cache(machine_state)
    refused = run("upgrade", *DEMO, "--to", NEXT, "--yes")
    assert refused.exit_code != 0
    assert "1 pod would lose the data in their emptyDir volumes: nothing was changed" in refused.stderr
    assert "default/cache-1: emptyDir volume" in refused.stderr
    assert "metrics-server" not in refused.stderr
    assert "--delete-emptydir-data" in refused.stderr
    assert machine_state.journal == []


@pytest.mark.parametrize("option", ["--delete-emptydir-data", "--delete-local-data"])
def test_the_option_and_its_old_name_give_them_up(run: Run, machine_state: World, option: str) -> None:
    with_cache(machine_state)
    result = run("upgrade", *DEMO, "--to", NEXT, "--yes", option)
    assert result.exit_code == 0, result.stderr
    assert "evict default/cache-1" in machine_state.journal
    shown = run("upgrade", "--help").stdout
    assert "--delete-emptydir-data" in shown
    assert "--delete-local-data" not in shown


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1)])
def test_the_question_comes_once_with_the_pods_names(
    run: Run, machine_state: World, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    with_cache(machine_state)
    asked: list[str] = []

    def typed_after(question: str) -> str:
        asked.append(question)
        return answer.strip()

    monkeypatch.setattr("bootstrap.cli.asking.emptydir.typed_after", typed_after)
    monkeypatch.setattr("bootstrap.cli.asking.emptydir.on_a_terminal", lambda: True)
    result = run("upgrade", *DEMO, "--to", NEW, "--yes")
    assert (result.exit_code == 0) == (code == 0), result.stderr
    assert len(asked) == 1
    assert "default/cache-1" in asked[0]
    assert ("evict default/cache-1" in machine_state.journal) == (code == 0)
    assert "it was made anew" not in result.stderr
