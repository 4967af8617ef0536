"""The keys of an inventory, section by section."""
