"""Where machines pull images from: what the inventory says of image registries."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class RegistriesSpec:
    """Content of k3s's registries.yaml, with its passwords: no text of this value shows it.

    Attributes:
        content: The content as YAML.
        secrets: The passwords and tokens in it, to be masked.
        files: Certificates and keys that it names, by their names in the directory for them on the machines.
    """

    content: str = field(repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    files: tuple[tuple[str, str], ...] = field(default=(), repr=False)
