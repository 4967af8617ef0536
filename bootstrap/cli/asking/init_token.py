"""A token's secret that is typed into `init`: tried at once, and kept in its own file, never in the inventory."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bootstrap.cli.running.session import Session
from bootstrap.errors import AuthenticationError, HomelabError, UsageError

if TYPE_CHECKING:
    from bootstrap.inventory.answers import Connection
    from bootstrap.model.access.endpoint import PveEndpoint
    from bootstrap.ports import Ports


class TypedSecret:
    """The secret, from the question for it until it is written.

    Args:
        session: Masks it as soon as it is typed.
        base: The inventory's directory.
        ports_of: Connects to an endpoint.

    Attributes:
        secret: None if none was typed.
    """

    def __init__(self, session: Session, *, base: Path, ports_of: Callable[[PveEndpoint], Ports]) -> None:
        self._session = session
        self._base = base
        self._ports_of = ports_of
        self.secret: str | None = None

    def tried(self, given: Connection, text: str) -> Connection | None:
        """The connection with a typed secret, after Proxmox VE accepted it; None for an empty text.

        Raises:
            UsageError: It is not a secret, or is refused.
        """
        if not text:
            return None
        self._session.masker.add(text)
        try:
            endpoint = self._read(given, text)
        except UsageError as error:
            raise UsageError(f"what was typed {error.brief.partition(': ')[2]}") from error
        self._session.masker.add(endpoint.token.secret)
        try:
            with self._session.view.busy(f"checking it at {endpoint.url}"):
                self._ports_of(endpoint).hypervisor.held_privileges()
        except AuthenticationError as error:
            raise UsageError(error.brief, details=error.details, resolution=error.resolution) from error
        self.secret = endpoint.token.secret
        return replace(given, token_file=_free_file(self.secret))

    def read(self, connection: Connection) -> PveEndpoint:
        """The endpoint with the typed secret; its file is not written yet."""
        return self._read(replace(connection, token_file=None), self.secret or "")

    def keep(self, connection: Connection) -> None:
        """Write it to the file that the inventory names. Raises HomelabError."""
        from bootstrap.adapters.local.files import ensure_private_directory, write_private

        if self.secret is None or connection.token_file is None:
            return
        path = connection.token_file.expanduser()
        try:
            ensure_private_directory(path.parent)
            write_private(path, f"{self.secret}\n")
        except OSError as error:
            raise HomelabError(f"cannot write {path}", details=str(error)) from error
        self._session.view.text(f"The token's secret is in {path} (mode 0600).")

    def _read(self, connection: Connection, secret: str) -> PveEndpoint:
        from bootstrap.inventory.answers import read_connection
        from bootstrap.inventory.env_and_flags import ENV_TOKEN

        return read_connection(connection, base=self._base, environ={ENV_TOKEN: secret})


def _free_file(secret: str) -> Path:
    """The file for a secret: `~/.config/homelab-k8s/token`, or with a number if that has another secret."""
    configured = os.environ.get("XDG_CONFIG_HOME")
    directory = (Path(configured).absolute() if configured else Path("~/.config")) / "homelab-k8s"
    number, path = 1, directory / "token"
    while _has_another(path.expanduser(), secret):
        number += 1
        path = directory / f"token-{number}"
    return path


def _has_another(path: Path, secret: str) -> bool:
    try:
        return path.read_text(encoding="utf-8").strip() != secret
    except FileNotFoundError:
        return False
    except (OSError, UnicodeDecodeError):
        return True
