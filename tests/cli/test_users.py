"""`kubeconfig --user`, `--list-users`, `--revoke`: what is issued, what is refused, and what is said."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from bootstrap.k3s.kubeconfig.users import user_in
from tests.cli.conftest import Run
from tests.fakes.world import World

UP = ("up", "--cluster", "demo", "--workers", "1", "--progress", "plain")
CONFIG = ("kubeconfig", "--cluster", "demo")


@pytest.fixture
def up(run: Run, world: World) -> Run:
    assert run(*UP).exit_code == 0
    world.journal.clear()
    return run


def test_a_kubeconfig_is_printed_and_what_it_may_do_is_said_beside_it(up: Run, world: World) -> None:
    result = up(*CONFIG, "--user", "ann")
    assert result.exit_code == 0, result.stderr
    found = yaml.safe_load(result.stdout)
    assert found["current-context"] == "ann@demo"
    (binding,) = world.users_of_kube.bound
    assert (binding.group, binding.namespace, user_in(binding.subject)) == ("view", None, "ann")
    assert re.search(r"^ann: view in all namespaces until 20..-..-.. ..:.. UTC$", result.stderr, re.MULTILINE)
    assert world.users_of_kube.requests == {}, "nothing is left behind"
    assert world.journal == []


def test_a_file_is_the_users_alone_and_never_overwritten(up: Run, world: World, tmp_path: Path) -> None:
    file = tmp_path / "ann.yaml"
    result = up(
        *CONFIG, "--user", "ann", "--group", "edit", "--namespace", "default", "--expires", "7d", "--to", "ann.yaml"
    )
    assert result.exit_code == 0, result.stderr
    assert file.stat().st_mode & 0o777 == 0o600
    assert "ann: edit in the namespace default until" in result.stdout
    assert "PRIVATE" not in result.stdout
    assert yaml.safe_load(file.read_text())["contexts"][0]["context"]["namespace"] == "default"
    again = up(*CONFIG, "--user", "ann", "--to", "ann.yaml")
    assert (again.exit_code, len(world.users_of_kube.bound)) == (1, 1)
    assert "was not overwritten" in again.stderr


def test_nothing_is_left_where_kubernetes_refuses(up: Run, world: World, tmp_path: Path) -> None:
    refused = up(*CONFIG, "--user", "ann", "--namespace", "nowhere", "--to", "ann.yaml")
    assert refused.exit_code == 1
    assert 'namespaces "nowhere" not found' in refused.stderr
    world.users_of_kube.signs = False
    late = up(*CONFIG, "--user", "ann", "--to", "ann.yaml")
    assert "timed out waiting for Kubernetes to sign" in late.stderr
    world.users_of_kube = replace(world.users_of_kube, signs=True, lie="system:admin")
    assert "was not the one asked for" in up(*CONFIG, "--user", "ann", "--to", "ann.yaml").stderr
    assert (world.users_of_kube.bound, world.users_of_kube.requests) == ([], {})
    assert not (tmp_path / "ann.yaml").exists()


def test_a_shorter_time_than_asked_is_told(up: Run, world: World) -> None:
    world.users_of_kube.most_s = 3600
    assert "earlier than asked" in up(*CONFIG, "--user", "ann", "--expires", "7d").stderr
    world.users_of_kube.most_s = 365 * 86400
    second = up(*CONFIG, "--user", "ann", "--expires", "365d").stderr
    assert "earlier than asked" not in second
    assert "ann has 1 valid kubeconfig besides" in second


def test_all_odd_words_are_refused_together_and_nothing_is_asked(up: Run, world: World) -> None:
    result = up(*CONFIG, "--user", "system:admin", "--group", "system:masters", "--namespace", "A", "--expires", "5m")
    assert result.exit_code == 2
    for part in (
        "--user system:admin: names that begin with system:",
        "--group system:masters: a certificate in a group of Kubernetes' own could never be taken back",
        "--namespace A: that is no name",
        "--expires 5m: Kubernetes signs certificates for 10 minutes or more",
    ):
        assert part in result.stderr
    assert "one of view, edit, admin, cluster-admin" in up(*CONFIG, "--user", "ann", "--group", "root").stderr
    assert world.users_of_kube.bound == []


@pytest.mark.parametrize(
    "words", [("--user", "ann", "--switch"), ("--list-users", "--revoke", "ann"), ("--to", "x"), ("--namespace", "web")]
)
def test_options_that_do_not_go_together(up: Run, words: tuple[str, ...]) -> None:
    result = up(*CONFIG, *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "go " in result.stderr


def test_the_list_has_who_may_what_until_when(up: Run, world: World) -> None:
    assert "no kubeconfig was issued" in up(*CONFIG, "--list-users").stdout
    up(*CONFIG, "--user", "bob", "--group", "admin", "--namespace", "default")
    up(*CONFIG, "--user", "ann")
    bound = world.users_of_kube.bound
    bound[:] = [
        replace(each, expires=datetime.now(UTC) - timedelta(hours=1)) if each.user == "ann" else each for each in bound
    ]
    lines = up(*CONFIG, "--list-users").stdout.splitlines()
    assert lines[0].split() == ["USER", "GROUP", "NAMESPACE", "EXPIRES", "(UTC)", "NAME", "IN", "KUBERNETES"]
    assert [line.split()[:3] for line in lines[1:]] == [["ann", "view", "all"], ["bob", "admin", "default"]]
    assert ["expired" in line for line in lines] == [False, True, False]
    found = json.loads(up(*CONFIG, "--list-users", "-o", "json").stdout)
    assert [(each["user"], each["group"], each["namespace"]) for each in found["users"]] == [
        ("ann", "view", None), ("bob", "admin", "default"),
    ]  # fmt: skip


def test_rights_are_taken_back_and_what_stays_is_said(up: Run, world: World) -> None:
    up(*CONFIG, "--user", "ann")
    up(*CONFIG, "--user", "ann", "--group", "edit", "--namespace", "default")
    up(*CONFIG, "--user", "bob")
    subjects = [each.subject for each in world.users_of_kube.bound if each.user == "ann"]
    said = up(*CONFIG, "--revoke", "ann").stdout
    assert "ann: no longer has view in all namespaces" in said
    assert "ann: no longer has edit in the namespace default" in said
    assert "Kubernetes cannot revoke certificates" in said
    assert all(subject in " ".join(said.split()) for subject in subjects)
    assert [each.user for each in world.users_of_kube.bound] == ["bob"]
    again = up(*CONFIG, "--revoke", "ann")
    assert (again.exit_code, "--list-users" in again.stderr) == (1, True)


def test_a_name_that_comes_back_is_another_one_in_kubernetes(up: Run, world: World) -> None:
    up(*CONFIG, "--user", "ann")
    before = world.users_of_kube.bound[0].subject
    up(*CONFIG, "--revoke", "ann")
    up(*CONFIG, "--user", "ann")
    assert world.users_of_kube.bound[0].subject != before


def test_without_a_cluster_there_is_nobody_to_ask(run: Run) -> None:
    result = run(*CONFIG, "--user", "ann")
    assert result.exit_code == 1
    assert "there is no kubeconfig of the cluster demo" in result.stderr
