"""The handlers of the steps. Each looks, acts if needed, reads back."""
