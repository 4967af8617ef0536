"""The state directory as a run uses it: its secrets are reported, so that they can be masked in logs."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

from bootstrap.model.ids import ClusterName
from bootstrap.ports import Ports, StateStore

_SECRET_ITEM = re.compile(r"token|key|identity|secret")
"""Items that are bare secrets, which a log cannot recognize. A kubeconfig's can be recognized."""


def telling_secrets(ports: Ports, tell: Callable[[str], None]) -> Ports:
    """The ports, with a state that reports its secrets."""
    return replace(ports, state=ToldState(ports.state, tell))


class ToldState:
    """Implements `bootstrap.ports.StateStore` by another one.

    Args:
        state: The other one.
        tell: Is called with the text of each secret item, when it is read and before it is written.
    """

    def __init__(self, state: StateStore, tell: Callable[[str], None]) -> None:
        self._state = state
        self._tell = tell

    def read(self, cluster: ClusterName, item: str) -> str | None:
        """See `StateStore.read`."""
        text = self._state.read(cluster, item)
        self._told(item, text or "")
        return text

    def write(self, cluster: ClusterName, item: str, text: str) -> None:
        """See `StateStore.write`."""
        self._told(item, text)
        self._state.write(cluster, item, text)

    def put_first(self, cluster: ClusterName, item: str, text: str) -> str:
        """See `StateStore.put_first`."""
        self._told(item, text)
        return self._state.put_first(cluster, item, text)

    def remove(self, cluster: ClusterName, item: str) -> None:
        """See `StateStore.remove`."""
        self._state.remove(cluster, item)

    def path(self, cluster: ClusterName, item: str) -> Path:
        """See `StateStore.path`."""
        return self._state.path(cluster, item)

    def room_bytes(self) -> int:
        """See `StateStore.room_bytes`."""
        return self._state.room_bytes()

    def clusters(self) -> tuple[ClusterName, ...]:
        """See `StateStore.clusters`."""
        return self._state.clusters()

    def forget(self, cluster: ClusterName, *, keep: Collection[str] = ()) -> bool:
        """See `StateStore.forget`."""
        return self._state.forget(cluster, keep=keep)

    def _told(self, item: str, text: str) -> None:
        if _SECRET_ITEM.search(item):
            self._tell(text)
