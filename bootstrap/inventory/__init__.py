"""YAML to `Inventory`: strict, every problem at once."""

from bootstrap.inventory.env_and_flags import NO_OVERRIDES, Overrides, flag_of
from bootstrap.inventory.load import DEFAULT_FILE, Inventory, load_inventory

__all__ = ["DEFAULT_FILE", "NO_OVERRIDES", "Inventory", "Overrides", "flag_of", "load_inventory"]
