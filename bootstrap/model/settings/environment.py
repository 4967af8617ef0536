"""What the user wants in the environment of k3s's units: proxies, and other variables."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class EnvironmentSpec:
    """Variables, which may hold passwords: no text of this value shows them.

    Attributes:
        variables: Names and values as the user gave them, without what is added to NO_PROXY; each name once.
        secrets: What is to be masked.
    """

    variables: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.variables)
