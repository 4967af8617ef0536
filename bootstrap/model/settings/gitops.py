"""Who keeps the cluster as a Git repository says, and which one."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import urlsplit


class GitopsController(StrEnum):
    """What applies the repository; each is also the name of its add-on."""

    FLUX = "flux"
    ARGOCD = "argocd"


@dataclass(frozen=True, kw_only=True)
class GitopsSpec:
    """A cluster's repository.

    Attributes:
        url: `https://HOST[:PORT]/PATH` or `ssh://USER@HOST[:PORT]/PATH`, without a secret.
        branch: What is applied of it.
        path: The folder in it, relative to its top, without `./`; `.` for the top itself.
        known_hosts: Lines of OpenSSH's known_hosts with the host's keys; empty for HTTPS.
        username: The user of HTTPS; empty where there is no token.
        secret: The user's own deploy key, or the token of HTTPS; None for none.
    """

    controller: GitopsController
    url: str
    branch: str = "main"
    path: str = "."
    known_hosts: str = ""
    username: str = ""
    secret: str | None = field(default=None, repr=False)

    @property
    def over_ssh(self) -> bool:
        """Whether the repository is read over SSH."""
        return self.url.startswith("ssh://")

    @property
    def makes_key(self) -> bool:
        """Whether the deploy key is one that we make."""
        return self.over_ssh and self.secret is None

    @property
    def host(self) -> str:
        """The Git host."""
        return urlsplit(self.url).hostname or ""

    @property
    def repository(self) -> str:
        """As people call it: `github.com/me/home`."""
        return f"{self.host}/{urlsplit(self.url).path.strip('/').removesuffix('.git')}"
