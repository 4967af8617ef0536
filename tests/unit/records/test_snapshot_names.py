"""The names of snapshots that shell completion offers: written, read again, and old ones left out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.errors import UnreadableError
from bootstrap.records.state.snapshot_names import OFFERED_S, parse_names, render_names

NAMES = st.sets(st.from_regex(r"[a-z0-9][a-z0-9.-]{0,40}", fullmatch=True), max_size=5)
NOW_S = 1_796_000_000.0


@given(NAMES, NAMES, st.floats(0, 2 * OFFERED_S))
def test_names_are_read_as_they_were_written_while_they_are_young(old: set[str], new: set[str], ago_s: float) -> None:
    before = parse_names(render_names(old, now_s=NOW_S - ago_s), now_s=NOW_S - ago_s)
    assert set(before) == old
    text = render_names(new, now_s=NOW_S, before=before)
    assert set(parse_names(text, now_s=NOW_S)) == (new | old if int(NOW_S - ago_s) >= NOW_S - OFFERED_S else new)


@given(st.text(max_size=80))
def test_anything_else_counts_for_nothing(text: str) -> None:
    try:
        found = parse_names(text, now_s=NOW_S)
    except UnreadableError:
        return  # a newer release's
    assert all(name and at_s >= 0 for name, at_s in found.items())


def test_a_newer_format_is_refused() -> None:
    with pytest.raises(UnreadableError):
        parse_names("# format 2\n1796000000 x\n", now_s=NOW_S)
