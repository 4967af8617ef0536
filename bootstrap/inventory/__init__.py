"""YAML to `Inventory`: strict, every problem at once."""
