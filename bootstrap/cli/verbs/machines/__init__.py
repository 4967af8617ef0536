"""Its machines: how many, which ones, and access to them."""
