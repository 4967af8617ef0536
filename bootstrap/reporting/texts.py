"""Counts and times as people read them."""

from __future__ import annotations


def seconds(value_s: float) -> str:
    """`4.1 s`, `38 s`, `2 min 05 s`."""
    if value_s < 9.95:
        return f"{value_s:.1f} s"
    if value_s < 119.5:
        return f"{value_s:.0f} s"
    minutes, rest = divmod(round(value_s), 60)
    return f"{minutes} min {rest:02d} s"
