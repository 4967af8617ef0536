"""Questions on a terminal, each of which a flag can answer."""
