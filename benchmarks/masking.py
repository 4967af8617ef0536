"""How long masking takes on texts that a guest may print to slow it down."""

from __future__ import annotations

import time

from benchmarks.table import Table
from bootstrap.cli.running.masking import Masker

CHARACTERS = 400_000
PIECES = (
    "token", "token='", "token=\"", "token='a\n", "token=\"a\n", "--token ", "eyJ", "://a:", "PVEAPIToken=", "K10",
    "password: |\n  x\n", "token=\\\"", "token:", "!a", "PVE:a:", "-----BEGIN PRIVATE KEY-----", "-", "bearer ",
    "token='a'b", "aaaaaa.", "authorization:", "LS0tLS1CRUdJTiB", "secret",
)  # fmt: skip
"""What texts are made of; a search that goes back over them takes time by the square of their length."""


def masking(name: str) -> list[Table]:
    """The slowest three pieces, at one length and at twice as much."""
    took = sorted(((_cpu_s(piece, CHARACTERS), piece) for piece in PIECES), reverse=True)[:3]
    rows = tuple(
        (
            f"`{piece!r}`",
            f"{cpu_s:.2f}",
            f"{_cpu_s(piece, 2 * CHARACTERS):.2f}",
            f"`.venv/bin/python -m benchmarks {name}`",
        )
        for cpu_s, piece in took
    )
    headings = ("text made of", "CPU s for 400 kB", "CPU s for 800 kB", "repeat")
    return [Table(title="Masking secrets in hostile texts", headings=headings, rows=rows)]


def _cpu_s(piece: str, characters: int) -> float:
    text = piece * (characters // len(piece))
    began_s = time.process_time()
    Masker().all(text)
    Masker().shown(text)
    return time.process_time() - began_s
