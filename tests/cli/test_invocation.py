"""What is advised can be pasted: it works on the cluster of the command that was run."""

from __future__ import annotations

import ast
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import pytest
import typer

import bootstrap
from bootstrap.adapters.kube.nodes import parse_node
from bootstrap.advice import Advice
from bootstrap.cli.main import app
from bootstrap.cli.text.invocation import CLUSTER, SPEC, Given, Invocation, _verbs
from bootstrap.errors import HomelabError
from bootstrap.inventory import Overrides
from bootstrap.model.ids import MachineName
from tests.cli.conftest import Run
from tests.fakes.world import World

VERBS = dict(_verbs(typer.main.get_command(app), ()))
OPTIONS = (
    Given(name="inventory", words=("-i", "my lab.yaml")),
    Given(name="cluster", words=("--cluster", "demo")),
    Given(name="lab", words=("--lab",)),
)
STATUS = Invocation(verb="status", options=OPTIONS, verbs=VERBS)
SCALE = Invocation(
    verb="scale",
    options=(*OPTIONS, Given(name="force", words=("--force",)), Given(name="yes", words=("-y",))),
    arguments=("workers", "5"),
    verbs=VERBS,
)
ASKED = "-i 'my lab.yaml' --cluster demo --lab"
ADVICE = "`homelab-k8s down --yes`"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("broken: `homelab-k8s up`", f"broken: `homelab-k8s up {ASKED}`"),
        ("`homelab-k8s replace cp-1` or `homelab-k8s rotate token`",
         f"`homelab-k8s replace {ASKED} cp-1` or `homelab-k8s rotate token {ASKED}`"),
        ("`homelab-k8s ssh w -- sudo ls --lab`", f"`homelab-k8s ssh {ASKED} w -- sudo ls --lab`"),
        ("`homelab-k8s up --cluster other`", "`homelab-k8s up -i 'my lab.yaml' --lab --cluster other`"),
        ("`homelab-k8s up --cluster=other`", "`homelab-k8s up -i 'my lab.yaml' --lab --cluster=other`"),
        ("`homelab-k8s adopt demo`", "`homelab-k8s adopt -i 'my lab.yaml' --lab demo`"),
        ("`homelab-k8s schema`, `homelab-k8s lab stop`", "`homelab-k8s schema`, `homelab-k8s lab stop`"),
        ("`homelab-k8s init --pveum`", "`homelab-k8s init --pveum`"),
        ("`homelab-k8s nothing`, `up`, homelab-k8s up", "`homelab-k8s nothing`, `up`, homelab-k8s up"),
    ],
)  # fmt: skip
def test_a_command_gets_what_selects_the_cluster(said: str, told: str) -> None:
    assert STATUS.complete(Advice(said)) == told
    assert STATUS.complete(Advice(told)) == told


def test_the_same_command_again_has_its_arguments_and_another_one_has_none() -> None:
    again = SCALE.complete(Advice("`homelab-k8s scale` again continues from here"))
    assert again == f"`homelab-k8s scale {ASKED} --force workers 5` again continues from here"
    assert SCALE.complete(Advice(again)) == again
    other = SCALE.complete(Advice("`homelab-k8s scale` resizes every pool to the inventory's size"))
    assert other == f"`homelab-k8s scale {ASKED}` resizes every pool to the inventory's size"


def test_what_stands_for_the_inventory_is_said_again_and_a_machine_is_declared_lost_once() -> None:
    options = (
        Given(name="k3s_version", words=("--k3s-version", "v1.33.3+k3s1")),
        Given(name="replace_unreachable", words=("--replace-unreachable", "demo-workers-1")),
    )
    up = Invocation(verb="up", options=options, verbs=VERBS)
    assert up.complete(Advice("`homelab-k8s up` mends it")) == "`homelab-k8s up --k3s-version v1.33.3+k3s1` mends it"
    assert "--replace-unreachable demo-workers-1`" in up.complete(Advice("`homelab-k8s up` again"))
    assert up.complete(Advice("`homelab-k8s rebuild`")) == "`homelab-k8s rebuild`"


@pytest.mark.parametrize("verb", VERBS)
def test_every_command_takes_what_it_is_completed_with(run: Run, verb: str) -> None:
    completed = STATUS.complete(Advice("`homelab-k8s {}`", verb)).strip("`")
    takes = VERBS[verb]
    for given in OPTIONS:
        assert (shlex.join(given.words) in completed) is (given.name in takes and "inventory" in takes)
    assert run(*shlex.split(completed)[1:], "--help").exit_code == 0


def test_the_names_of_options_are_those_of_the_inventory() -> None:
    known = {each.name for each in fields(Overrides)} - {"endpoint"}
    assert known <= CLUSTER | SPEC
    assert known >= SPEC


def advised() -> Iterator[tuple[str, str]]:
    """Each command in backticks in the program's source, as file and command; X is what is filled in."""
    root = Path(bootstrap.__file__).parent
    for path in root.rglob("*.py"):
        for each in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            parts = each.values if isinstance(each, ast.JoinedStr) else [each]
            text = "".join(
                str(part.value) if isinstance(part, ast.Constant) and isinstance(part.value, str) else "X"
                for part in parts
            )
            for command in re.findall(r"`homelab-k8s ([^`]+)`", text.replace("{}", "X")):
                yield str(path.relative_to(root)), command


def test_every_command_that_the_source_advises_exists_with_its_options() -> None:
    found = list(advised())
    assert len(found) > 80
    for file, line in found:
        words = line.split()
        if words[0].startswith("X") or words in (["template"], ["lab"]):  # the group's own description
            continue
        verb = next((each for size in (2, 1) if (each := " ".join(words[:size])) in VERBS), None)
        assert verb is not None, f"{file}: {line}"
        known = {spelling for spellings in VERBS[verb].values() for spelling in spellings}
        said = {word for word in words[: words.index("--") if "--" in words else None] if word.startswith("-")}
        assert said <= known, f"{file}: {line}"


WRITTEN = re.compile(r"`homelab-k8s ([^`]+)`|^(?: {4}|\$ )(?:\$ )?homelab-k8s ([^\n#|&;]+)", re.MULTILINE)


def test_every_command_in_the_docs_exists_with_its_options() -> None:
    root = Path(bootstrap.__file__).parents[1]
    docs = root / "docs"  # without decisions, which also tell of commands that were not built
    pages = [root / "README.md", root / "SECURITY.md", *docs.glob("*.md"), *docs.glob("tasks/*.md")]
    found = [(page.name, (each[1] or each[2]).split()) for page in pages for each in WRITTEN.finditer(page.read_text())]
    assert len(found) > 150
    for page, words in found:
        if words[0] == "COMMAND" or words[0].startswith("--"):
            continue
        verb = next((each for size in (2, 1) if (each := " ".join(words[:size])) in VERBS), None)
        assert verb is not None, f"{page}: {words}"
        known = {spelling for spellings in VERBS[verb].values() for spelling in spellings}
        ours = words[: words.index("--") if "--" in words else None]
        said = {word.partition("=")[0] for word in ours if word.startswith("-") and word != "-"}
        assert said <= known | {"-v", "-h", "--help"}, f"{page}: {words}"


def test_status_advises_commands_for_the_cluster_it_was_asked_for(run: Run, world: World, tmp_path: Path) -> None:
    file = tmp_path / "my lab.yaml"
    file.write_text("cluster: demo\nworkers: {count: 1}\n")
    assert run("up", "-i", str(file)).exit_code == 0
    world.vms[min(world.vms)].running = False
    command = shlex.join(["homelab-k8s", "up", "-i", str(file)])
    assert f"demo-cp-1: powered off: `{command}`" in " ".join(run("status", "-i", str(file)).stdout.split())
    told = json.loads(run("status", "-i", str(file), "-o", "json").stdout)
    assert f"demo-cp-1: powered off: `{command}`" in told["problems"]


@pytest.mark.parametrize("progress", ["plain", "json", "tty"])
def test_a_failed_run_is_gone_on_with_by_the_same_arguments(run: Run, world: World, progress: str) -> None:
    world.fail_clone.add("demo-workers-1")
    result = run("up", "--cluster", "demo", "--workers", "2", "--progress", progress, "--timeout", "60")
    assert result.exit_code == 1
    assert "`homelab-k8s up --cluster demo --workers 2` again continues from here" in result.stderr


def test_a_dry_run_completes_its_notes(run: Run, world: World) -> None:
    up = ("up", "--cluster", "demo", "--workers", "2")
    assert run(*up).exit_code == 0
    result = run("up", "--cluster", "demo", "--workers", "1", "--dry-run", "-o", "json")
    assert any("`homelab-k8s scale --cluster demo`" in note for note in json.loads(result.stdout)["notes"])
    assert "`homelab-k8s scale --cluster demo`" in run("up", *up[1:3], "--workers", "1", "--dry-run").stdout


def test_doctor_completes_what_it_advises(run: Run, world: World) -> None:
    says = " ".join(run("doctor", "--cluster", "demo").stdout.split())
    assert "create it with `homelab-k8s up --cluster demo`" in says


def test_a_machine_s_words_are_no_advice(run: Run, world: World) -> None:
    """A worker's kubelet writes a command into its own Ready condition."""
    run("up", "--cluster", "demo", "--workers", "1")
    told = {
        "metadata": {"name": "demo-workers-1", "uid": "1"},
        "status": {"conditions": [{"type": "Ready", "status": "False", "message": f"lost; {ADVICE} mends it"}]},
    }
    name = MachineName("demo-workers-1")
    problem = parse_node(told, lease_age_s=1.0).problem
    world.kube_nodes[name] = replace(world.kube_nodes[name], problem=problem, ready=False)
    result = run("status", "--cluster", "demo", "--workers", "1")
    said = " ".join(result.stdout.split())
    assert "lost; 'homelab-k8s down --yes` mends it" in said
    assert "`homelab-k8s up --cluster demo --workers 1`" in said
    assert "down --cluster" not in said


def test_what_an_error_quotes_is_no_advice_where_the_error_is_a_sentence_of_ours() -> None:
    error = HomelabError("cannot look", details=f"{ADVICE} mends it")
    assert ADVICE not in str(error)
    assert ADVICE in error.details


def test_details_are_what_others_said_and_stay_as_they_are(run: Run, world: World) -> None:
    def act(call: str) -> None:
        if call == "clone demo-workers-1":
            raise HomelabError("clone failed", details=ADVICE)

    world.on_call = act
    result = run("up", "--cluster", "demo", "--workers", "1", "--progress", "json")
    last = json.loads(result.stderr.splitlines()[-1])
    assert (last["event"], last["details"]) == ("error", ADVICE)
