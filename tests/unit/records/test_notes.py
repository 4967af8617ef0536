"""The inventory's notes in a description: found again, replaced, removed, and nothing else of it changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.records.vms.notes import BEGIN, END, notes_in, with_notes

RECORD = 'k3s machine of the cluster demo.\nhomelab-k8s-record: {"seal":"5d41"}'
NOTES = st.text(st.characters(exclude_categories=["C"]), min_size=1).map(str.rstrip).filter(bool)
PIECES = st.lists(st.sampled_from([BEGIN, END, "mine", "", RECORD, "é # %23"])).map("\n".join)


@given(described=PIECES, notes=NOTES)
def test_notes_are_found_again_whatever_else_is_there(described: str, notes: str) -> None:
    once = with_notes(described, notes)
    assert notes_in(once) == notes
    assert with_notes(once, notes) == once


@given(before=st.sampled_from(["", "mine\n", "  mine \n\n"]), after=st.sampled_from(["", "\nmine", "\n\n mine "]),
       first=NOTES, second=NOTES)  # fmt: skip
def test_what_stands_around_them_stays_byte_for_byte(before: str, after: str, first: str, second: str) -> None:
    described = f"{before}{RECORD}\n{BEGIN}\n{first}\n{END}{after}"
    assert with_notes(described, second) == f"{before}{RECORD}\n{BEGIN}\n{second}\n{END}{after}"
    assert with_notes(described, "") == f"{before}{RECORD}{after}"


@pytest.mark.parametrize("described", ["", RECORD, f"{RECORD}\nmine", f"mine\n{RECORD}"])
def test_they_are_added_at_the_end_and_removed_without_a_trace(described: str) -> None:
    noted = with_notes(described, "Ask Alex.\n\n- first")
    assert noted.startswith(described)
    assert with_notes(noted, "") == described


def test_a_comment_that_lost_its_other_half_is_left_alone() -> None:
    assert notes_in(f"{RECORD}\n{BEGIN}\nmine") == ""
    assert notes_in(f"{END}\n{RECORD}") == ""
