"""Where a secret is stored."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class StoredSecret:
    """Where a secret is stored: just one of the four.

    Attributes:
        env: The name of an environment variable.
        file: A file that contains only the secret.
        keyring: `service/user` in the system's keyring.
        command: A program and its arguments; it prints only the secret.
    """

    env: str | None = None
    file: Path | None = None
    keyring: str | None = None
    command: tuple[str, ...] | None = None


SECRET_PLACES = tuple(field.name for field in fields(StoredSecret))
"""The names of the places, which are keys of the inventory too."""
