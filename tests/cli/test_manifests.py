"""`manifests diff` and `manifests apply` as a user sees them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.fakes.world import World

NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {name: media}\n"
SETTINGS = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: media}\ndata: {level: info}\n"


@pytest.fixture
def files(state: Path, tmp_path: Path, run: Run, world: World) -> dict[str, str]:
    """A cluster with its manifests applied; the files, by path."""
    (tmp_path / "homelab-k8s.yaml").write_text("cluster: demo\nworkers: 1\nmanifests: [media.yaml]\n")
    found = world.manifests.files
    found[str(tmp_path / "media.yaml")] = NAMESPACE + SETTINGS
    built = run("up")
    assert built.exit_code == 0, built.stderr
    return found


def write(files: dict[str, str], text: str) -> None:
    files.update(dict.fromkeys(files, text))


def test_a_diff_shows_each_field_and_says_by_its_code_that_something_differs(run: Run, files: dict[str, str]) -> None:
    same = run("manifests", "diff")
    assert (same.exit_code, same.stdout) == (0, "demo: 2 objects; nothing to do\n")
    write(files, NAMESPACE + SETTINGS.replace("info", "debug"))
    other = run("manifests", "diff")
    assert other.exit_code == 5
    assert other.stdout.splitlines() == [
        "change    ConfigMap media/settings  (media.yaml:5)",
        '  data.level: "info" -> "debug"',
        "",
        "demo: 2 objects: 1 to change",
    ]
    found = json.loads(run("manifests", "diff", "-o", "json").stdout)
    assert found["objects"][0] == {
        "change": "change", "group": "", "kind": "ConfigMap", "namespace": "media", "name": "settings",
        "file": "media.yaml", "line": 5, "said": None, "unchecked": False, "loses_data": False,
        "fields": [{"path": "data.level", "before": '"info"', "after": '"debug"'}], "managed_by_others": [],
    }  # fmt: skip


def test_a_dry_run_of_up_and_the_end_of_apply_name_the_objects(run: Run, files: dict[str, str], world: World) -> None:
    write(files, NAMESPACE + SETTINGS.replace("info", "debug"))
    planned = run("up", "--dry-run").stdout.splitlines()
    assert "   1. manifests: change ConfigMap media/settings" in planned
    done = run("manifests", "apply")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("demo: the manifests are applied (1 changed), in ")
    assert run("manifests", "apply").stdout == "demo: 2 objects of the manifests; nothing to do\n"
    assert world.objects.journal[-1] == "change ConfigMap media/settings"


def test_data_is_lost_only_after_a_question(run: Run, files: dict[str, str], world: World) -> None:
    write(files, "")
    refused = run("manifests", "apply")
    assert refused.exit_code == 2
    assert "This deletes Namespace media; data in them is lost for good." in refused.stderr
    assert world.objects.names("Namespace") == ["Namespace media"]
    done = run("manifests", "apply", "--yes", "-o", "json")
    assert json.loads(done.stdout)["pruned"] == ["ConfigMap media/settings", "Namespace media"]
    assert world.objects.names("Namespace") == []


def test_bad_files_end_with_all_their_problems(run: Run, files: dict[str, str]) -> None:
    write(files, "kind: ConfigMap\n---\n[]\n")
    for command in (("manifests", "diff"), ("manifests", "apply"), ("up",)):
        told = run(*command)
        assert told.exit_code == 3
        assert "media.yaml:1: has no apiVersion" in told.stderr
        assert "media.yaml:3: is not an object" in told.stderr


def test_no_list_is_no_empty_list(run: Run, files: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "homelab-k8s.yaml").write_text("cluster: demo\nworkers: 1\n")
    told = run("manifests", "apply")
    assert told.exit_code == 4
    assert "the inventory has no manifests" in told.stderr
