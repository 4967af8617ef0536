"""Loading inventories from text."""

from __future__ import annotations

from pathlib import Path

import pytest

from bootstrap.errors import InventoryError, Problem
from bootstrap.inventory import NO_OVERRIDES, Inventory, Overrides, load_inventory
from tests.unit.inventory.kit import ENVIRON, Load, Told


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load_text(text: str, *, environ: dict[str, str] = ENVIRON, overrides: Overrides = NO_OVERRIDES) -> Inventory:
        path = tmp_path / "lab.yaml"
        path.write_text(text, encoding="utf-8")
        return load_inventory(path, environ=environ, overrides=overrides)

    return load_text


@pytest.fixture
def told(load: Load) -> Told:
    def collect(
        text: str, *, environ: dict[str, str] = ENVIRON, overrides: Overrides = NO_OVERRIDES
    ) -> tuple[Problem, ...]:
        with pytest.raises(InventoryError) as caught:
            load(text, environ=environ, overrides=overrides)
        assert caught.value.exit_code == 3
        assert f": {len(caught.value.problems)} problem" in caught.value.brief
        return caught.value.problems

    return collect
