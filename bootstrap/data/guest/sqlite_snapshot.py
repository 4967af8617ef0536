"""Copies a sqlite database that is in use, as of one moment, by sqlite's own backup.

Runs on guests, by the Python that cloud-init uses there (3.7 and up), so it keeps to the standard library.
Arguments: the database, and the file to write (replaced).
"""  # noqa: INP001

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path


def main() -> int:
    """Copy, then have sqlite check the copy."""
    source, target = sys.argv[1], Path(sys.argv[2])
    if target.exists():
        target.unlink()
    origin = sqlite3.connect(f"file:{source}?mode=ro", uri=True)
    copy = sqlite3.connect(str(target))
    try:
        origin.backup(copy)
        problem = copy.execute("PRAGMA quick_check").fetchone()[0]
    finally:
        copy.close()
        origin.close()
    if problem != "ok":
        sys.stderr.write(f"the copy of {source} is damaged: {problem}\n")
        return 1
    return 0


sys.exit(main())
