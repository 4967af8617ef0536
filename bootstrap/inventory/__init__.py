"""YAML to `Inventory`: strict, every problem at once. Its names are imported when they are first used (PEP 562)."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bootstrap.inventory.env_and_flags import NO_OVERRIDES, Overrides, flag_of
    from bootstrap.inventory.load import Inventory, load_inventory
    from bootstrap.inventory.names import DEFAULT_FILE

__all__ = ["DEFAULT_FILE", "NO_OVERRIDES", "Inventory", "Overrides", "flag_of", "load_inventory"]

_MODULES = {"DEFAULT_FILE": "names", "Inventory": "load", "load_inventory": "load"}


def __getattr__(name: str) -> object:
    """Shell completion needs the names in a file alone, and the keys cost ten times as much."""
    if name not in __all__:
        raise AttributeError(f"module 'bootstrap.inventory' has no attribute {name!r}")
    return getattr(import_module(f"bootstrap.inventory.{_MODULES.get(name, 'env_and_flags')}"), name)
