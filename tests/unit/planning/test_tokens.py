"""Tokens by their form: what goes into the environment of k3s's unit stays one value of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.errors import GuestError
from bootstrap.k3s.config import render_environment
from bootstrap.records.state.token_history import check_token

LONG = f"K10{'0a' * 32}::server:s3cret"

ODD = (
    "", "x'\nLD_PRELOAD='/tmp/evil.so", "x'", 'x"', "a b", "a\tb", "a\nb", "$(id)", "`id`", "a\\b", "a;b", "a\x00b",
    "a\x1b[2J", "ä", "K10::server:x", f"K10{'0a' * 31}::server:x", f"K10{'0a' * 32}::root:x",
    f"{LONG}\nLD_PRELOAD=/tmp/evil.so", "x" * 513,
)  # fmt: skip


@pytest.mark.parametrize(
    "token", [LONG, LONG.replace("server", "node"), "s3cret", "abcdef.0123456789abcdef", "a+/=_~@-"]
)
def test_tokens_as_k3s_has_them_pass_with_the_white_space_of_files_gone(token: str) -> None:
    assert check_token(f" {token}\n", source="demo-cp-1") == token
    assert render_environment(token) == f"K3S_TOKEN='{token}'\n"


@pytest.mark.parametrize("token", ODD, ids=range(len(ODD)))
def test_a_token_of_odd_form_is_refused_and_not_told(token: str) -> None:
    with pytest.raises(GuestError, match="demo-cp-1: the cluster's token is malformed") as raised:
        check_token(token, source="demo-cp-1")
    assert "evil" not in f"{raised.value} {raised.value.details}"
    with pytest.raises(GuestError):
        render_environment(token)


@given(st.text())
def test_the_environment_is_one_line_with_one_value_whatever_the_token(token: str) -> None:
    try:
        text = render_environment(token)
    except GuestError:
        return
    assert text.count("'") == 2
    assert text.count("\n") == 1
    assert text.isprintable() or text[:-1].isprintable()
