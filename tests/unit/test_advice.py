"""A command that a text of ours advises is told apart from others' words that look the same."""

from __future__ import annotations

from copy import deepcopy

import pytest

from bootstrap.advice import Advice, joined, with_commands
from bootstrap.errors import HomelabError, few_lines
from bootstrap.model.reading import Reading, Source

THEIRS = "`homelab-k8s down --yes` mends it"


def shouted(text: str) -> str:
    return with_commands(text, lambda command, _: command.upper())


def test_only_commands_of_a_template_of_ours_are_commands() -> None:
    told = Advice("{} is off: `homelab-k8s replace {}`, or\nhomelab-k8s up", THEIRS, "cp-1")
    assert shouted(told) == "'homelab-k8s down --yes` mends it is off: `homelab-k8s REPLACE CP-1`, or\nhomelab-k8s UP"
    assert shouted(THEIRS) == THEIRS
    assert shouted(f"{told}") == told


def test_a_value_is_never_a_template() -> None:
    for value in ("{}", "{0}", "{", "a {b} c"):
        assert Advice("{}: `homelab-k8s {}`", value, "up") == f"{value}: `homelab-k8s up`"
        assert joined(", ", (value, "x")) == f"{value}, x"


def test_a_name_in_a_command_cannot_end_it() -> None:
    told = Advice("`homelab-k8s replace {}`", "x;`rm -rf ~`")
    assert told == "`homelab-k8s replace 'x;`rm' -rf '~`'`"
    assert shouted(told) == "`homelab-k8s REPLACE 'X;`RM' -RF '~`'`"


def test_advice_in_advice_stays_advice() -> None:
    inner = Advice("first `homelab-k8s up`")
    whole = Advice("{}; then {}", THEIRS, joined(" or ", (inner, "this", inner)))
    assert shouted(whole).endswith("; then first `homelab-k8s UP` or this or first `homelab-k8s UP`")
    assert shouted(few_lines([inner] * 12)).count("UP") == 10
    assert shouted(HomelabError("no", resolution=inner).resolution) == "first `homelab-k8s UP`"


def test_a_copy_is_the_text_as_it_was_filled() -> None:
    told = Advice("{}; or `homelab-k8s up`", "`ssh: {host_keys: accept-new}` and {}")
    copy = deepcopy(told)
    assert (copy, copy.commands) == (told, told.commands)
    assert shouted(copy).endswith("or `homelab-k8s UP`")


@pytest.mark.parametrize("text", [THEIRS, "a note: `homelab-k8s up`"])
def test_what_is_read_stays_as_it_is(text: str) -> None:
    assert Reading(text, Source(call="look")).text() == text
