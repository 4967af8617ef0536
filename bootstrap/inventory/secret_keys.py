"""Inventory keys that say where a secret is stored, for each section that needs one."""

from __future__ import annotations

from typing import Final

from bootstrap.inventory.files import Places
from bootstrap.inventory.secret_sources import read_secret, read_secret_line
from bootstrap.inventory.values import string_formats as forms
from bootstrap.inventory.values.containers import ListOf
from bootstrap.inventory.values.scalars import Text
from bootstrap.inventory.values.section import Key, Section, fill
from bootstrap.model.settings.secrets import SECRET_PLACES, StoredSecret

SAID: Final = "{env: NAME}, {file: PATH}, {keyring: service/user} or {command: [PROGRAM, ...]}"
_ARGUMENT: Final = Text(label="a word of the command", pattern=r"[^\x00-\x1f\x7f]{1,1000}", parse=str, loose=True)


class SecretKeys(
    Section,
    exclusive=SECRET_PLACES,
    needs_one=True,
    refusal=("secrets do not belong in this file", f"say where it is stored: {SAID}"),
):
    """Where a secret is stored."""

    env = Key(kind=forms.ENV_NAME, example="HOME_SECRET", doc="Environment variable.")
    file = Key(kind=forms.FILE, example="~/.config/homelab-k8s/secret", doc="File that contains only the secret.")
    keyring = Key(kind=forms.KEYRING_NAME, example="homelab-k8s/home", doc="service/user in the system's keyring.")
    command = Key(
        kind=ListOf(item=_ARGUMENT, same=lambda _word: object()),  # words may be repeated
        example=["op", "read", "op://home/proxmox/token"],
        doc="Program of a password manager with its arguments; runs here, without a shell, and prints only the secret.",
    )

    def make(self, places: Places) -> StoredSecret:
        """The place."""
        return fill(StoredSecret, self, places=places)

    def read_from(self, places: Places) -> str:
        """What is stored, whole. Raises RefusedError, which never repeats any part of it."""
        return read_secret(places, self.make(places))

    def read_line(self, places: Places) -> str:
        """A secret of one line. Raises as `read_from`."""
        return read_secret_line(places, self.make(places))
