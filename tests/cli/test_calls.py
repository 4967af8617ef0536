"""`-v`: each call as it happens, a line each, without secrets."""

from __future__ import annotations

import json
import logging

import pytest

from bootstrap.cli.running.calls import ShownCalls
from bootstrap.cli.running.masking import Masker
from tests.cli.conftest import SECRET, Run
from tests.fakes.world import World

UP = ("up", "--cluster", "demo", "--workers", "1")


@pytest.fixture
def calling(world: World) -> World:
    """A world whose adapters tell each call as the real ones do, with a secret and a line's end in it."""
    logger = logging.getLogger("bootstrap.calls.proxmox")
    world.on_call = lambda call: logger.debug("proxmox: %s %s\nmore", call, SECRET)
    return world


@pytest.mark.parametrize("args", [("-v", *UP), (*UP, "-v"), ("up", "--verbose", *UP[1:])])
def test_calls_are_shown_where_it_is_asked_for(run: Run, calling: World, args: tuple[str, ...]) -> None:
    result = run(*args)
    assert result.exit_code == 0, result.stderr
    assert [line for line in result.stderr.splitlines() if line.endswith("s] proxmox: clone demo-cp-1 ***\\nmore")]
    assert SECRET not in result.stderr
    assert "proxmox:" not in result.stdout


def test_calls_are_not_shown_unasked(run: Run, calling: World) -> None:
    assert "proxmox:" not in run(*UP).stderr
    assert logging.getLogger("bootstrap.calls").handlers == []


def test_as_json_each_call_is_an_object(run: Run, calling: World) -> None:
    told = [json.loads(line) for line in run(*UP, "-v", "--progress", "json").stderr.splitlines()]
    calls = [each["message"] for each in told if each["event"] == "call"]
    assert any("proxmox: clone demo-cp-1 ***" in call for call in calls)


def test_what_stands_behind_two_dashes_is_the_command_s_own(run: Run, world: World) -> None:
    run(*UP)
    result = run("exec", "--cluster", "demo", "-o", "json", "--", "ls", "-v")
    assert json.loads(result.stdout)["command"] == "ls -v"


def test_a_secret_is_masked_before_a_long_call_is_cut() -> None:
    masker = Masker()
    masker.add(SECRET)
    shown: list[str] = []
    calls = ShownCalls(masker, shown.append)
    logger = logging.getLogger("bootstrap.calls.ssh")
    logger.setLevel(logging.DEBUG)
    calls.open()
    try:
        logger.debug("%s", "x" * 480 + SECRET + "y" * 100)
    finally:
        calls.close()
        logger.setLevel(logging.NOTSET)
    assert [SECRET[:8] in line for line in shown] == [False]
