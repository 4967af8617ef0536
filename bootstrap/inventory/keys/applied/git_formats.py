"""How a Git repository, its branch and a folder in it are written."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from bootstrap.inventory.problems import shown
from bootstrap.inventory.values.scalars import RefusedError, Text

_SUCH_AS: Final = "such as git@github.com:me/home.git or https://github.com/me/home.git"
"""Not ssh://git@...: what is before an @ in a URL is masked in messages."""
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
_HOST: Final = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:.]+\])"
_PATH: Final = r"[A-Za-z0-9._~+-]+(?:/[A-Za-z0-9._~+-]+)*"
_HTTPS: Final = re.compile(rf"https://{_HOST}(?::[0-9]{{1,5}})?/{_PATH}/?")
_SSH: Final = re.compile(rf"ssh://[A-Za-z0-9._-]+@{_HOST}(?::[0-9]{{1,5}})?/{_PATH}/?")
_SHORT: Final = re.compile(rf"(?P<login>[A-Za-z0-9._-]+@{_HOST}):(?P<path>/?{_PATH})/?")
"""As `git clone` takes it; Flux does not (fluxcd/source-controller docs/spec/v1/gitrepositories.md, URL)."""
_USER_IN_HTTPS: Final = re.compile(r"https?://[^/]*@")
_PASSWORD_IN_SSH: Final = re.compile(r"ssh://[^/@]*:[^/]*@")
_NO_BRANCH: Final = re.compile(r"\.\.|//|/\.|\.lock(?:/|$)|@\{|\.$|/$")
"""What git-check-ref-format(1) refuses in a name of otherwise fitting characters."""


def git_url(text: str) -> str:
    """A repository's URL in the form that both controllers take. Raises RefusedError, which never repeats a secret."""
    if _USER_IN_HTTPS.match(text):
        raise RefusedError(
            "has a user or a secret in it, which does not belong in this file",
            "take it out of the URL, and say where the secret is stored: gitops.token: {env: NAME}",
        )
    if _PASSWORD_IN_SSH.match(text):
        raise RefusedError(
            "has a password in it, which does not belong in this file",
            "SSH logs in with a deploy key: leave gitops.deploy_key out for a new one, or name your own",
        )
    short = _SHORT.fullmatch(text)
    url = f"ssh://{short['login']}/{short['path'].lstrip('/')}" if short is not None else text.rstrip("/")
    if not (_HTTPS.fullmatch(url) or _SSH.fullmatch(url)):
        raise RefusedError(f"{shown(text)} is no URL of a Git repository", _url_hint(text))
    try:
        parts = urlsplit(url)
        right = parts.port is None or parts.port > 0
    except ValueError:
        right = False
    if not right or ".." in parts.path.split("/"):
        raise RefusedError(f"{shown(text)} is no URL of a Git repository", _SUCH_AS)
    return url


def _url_hint(text: str) -> str:
    if text.startswith("http://"):
        return "without TLS anyone on the network could change what the cluster runs: use https:// or ssh://"
    if text.startswith("ssh://") and "@" not in text:
        return f"with the user before the host: git@{text.removeprefix('ssh://')}"
    if text.startswith(("/", "./", "~", "file:")):
        return "the cluster reads it over the network"
    return _SUCH_AS


def _branch(text: str) -> str:
    if _NO_BRANCH.search(text):
        raise RefusedError(f"{shown(text)} is no name of a branch", "see `git help check-ref-format`")
    return text


def folder(text: str) -> str:
    """A folder of a repository, without `./` and a slash at the end; `.` for its top. Raises RefusedError."""
    if text.startswith("/"):
        raise RefusedError(f"{shown(text)} is absolute", f"relative to the repository's top: {text.lstrip('/') or '.'}")
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise RefusedError(f"{shown(text)} leads out of the repository", "without .., such as clusters/home")
    return "/".join(parts) or "."


GIT_URL: Final = Text(
    label="a Git repository: git@HOST:PATH, ssh://... or https://...",
    pattern=r"\S+",
    parse=git_url,
    secret=True,  # it may have a password in it
)
BRANCH: Final = Text(
    label="the name of a branch", pattern=r"[A-Za-z0-9_][A-Za-z0-9_./@{}#%+=-]*", parse=_branch, loose=True
)
FOLDER: Final = Text(
    label="a folder of the repository, such as clusters/home", pattern=r"[A-Za-z0-9_./@+-]+", parse=folder, loose=True
)
