"""Every task page, played from its first command to its last: what it shows is what is printed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.lab import DOCS, PAGES, player
from tests.docs.playing import Player


@pytest.fixture(scope="module")
def playing() -> Iterator[Player]:
    with player() as made:
        yield made


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_shows_what_is_printed(page: Path, playing: Player) -> None:
    """`python -m tests.docs --write` writes what is printed today."""
    if playing.failed:
        pytest.skip(f"{page.stem} goes on with the cluster of {playing.failed}")
    playing.play(page)


def test_every_page_is_played() -> None:
    assert set(PAGES) == set((DOCS / "tasks").glob("*.md"))
