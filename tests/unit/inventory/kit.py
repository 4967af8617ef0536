"""What the inventory's tests share."""

from __future__ import annotations

from typing import Protocol

from bootstrap.errors import Problem
from bootstrap.inventory import NO_OVERRIDES, Inventory, Overrides

SECRET = "5f3c1c9e-7d1a-4f0e-9c55-0d8f4e0b7a11"
ENVIRON = {
    "PROXMOX_VE_ENDPOINT": "https://192.0.2.10:8006",
    "PROXMOX_VE_API_TOKEN": f"automation@pve!homelab={SECRET}",
}


class Load(Protocol):
    """Loads a text as a file, with an endpoint and a token in the environment."""

    def __call__(
        self, text: str, *, environ: dict[str, str] = ENVIRON, overrides: Overrides = NO_OVERRIDES
    ) -> Inventory: ...


class Told(Protocol):
    """Loads a text that must not load, and returns what was told."""

    def __call__(
        self, text: str, *, environ: dict[str, str] = ENVIRON, overrides: Overrides = NO_OVERRIDES
    ) -> tuple[Problem, ...]: ...
