"""Every fault of the catalogue: one clear error in bounded time or none at all, and nothing that stays broken."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from bootstrap.lab.faults.kinds import KINDS
from tests.faults.entries import Entry, load_entries
from tests.faults.labs import playing
from tests.faults.local import LOCAL
from tests.faults.trial import Trial

ENTRIES = load_entries()
PATIENCE_S = 300.0


@pytest.fixture(scope="module")
def trials(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[Trial]]]:
    chosen = {item.callspec.params["entry"].name for item in request.session.items if hasattr(item, "callspec")
              and "entry" in item.callspec.params}  # fmt: skip
    with playing(tmp_path_factory.mktemp("f"), [entry for entry in ENTRIES if entry.name in chosen]) as played:
        yield played


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_fault(entry: Entry, trials: dict[str, Future[Trial]]) -> None:
    trial = trials[entry.name].result(PATIENCE_S)
    said = trial.said
    print(f"\n{entry.command}: exit code {said.code} after {said.took_s:.1f} s")
    for part, text in said.error.items():
        print(f"{part:>10}: {text}")
    for line in said.told:
        print(f"      told: {line}")
    assert trial.problems == []


def test_every_fault_of_the_lab_has_an_entry() -> None:
    # A VM can only move where there are two Proxmox nodes: tests/lab/simulated/test_moves_and_ha.py.
    assert {entry.fault for entry in ENTRIES} == (KINDS.keys() - {"vm-moved"}) | LOCAL.keys()
