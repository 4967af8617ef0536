"""The kinds that are served: built-in ones, custom ones, and how clients find them."""
