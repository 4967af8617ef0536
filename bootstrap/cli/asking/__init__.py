"""Questions on a terminal; a flag can answer each."""
