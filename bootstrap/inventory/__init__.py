"""YAML to `Inventory`: strict, every problem at once."""

from bootstrap.inventory.load import DEFAULT_FILE, Inventory, load_inventory
from bootstrap.inventory.outside import NO_OVERRIDES, Overrides, flag_of

__all__ = ["DEFAULT_FILE", "NO_OVERRIDES", "Inventory", "Overrides", "flag_of", "load_inventory"]
