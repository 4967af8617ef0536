"""The inventory's `gitops:` section: a Git repository that the cluster is handed over to."""

from __future__ import annotations

from typing import Final

from bootstrap.addons.gitops.hosts import keys_for, published_keys
from bootstrap.inventory.files import Places, read_text
from bootstrap.inventory.keys.applied.git_formats import BRANCH, FOLDER, GIT_URL
from bootstrap.inventory.secret_keys import SecretKeys
from bootstrap.inventory.values import string_formats as forms
from bootstrap.inventory.values.scalars import Text, choice_of
from bootstrap.inventory.values.section import Key, Section, Short
from bootstrap.model.settings.gitops import GitopsController, GitopsSpec

_LINES: Final = Text(label="lines of known_hosts", pattern=r"[^\x00-\x08\x0b-\x1f\x7f]+", parse=str)
_USERNAME: Final = Text(label="a user's name", pattern=r"[^\s:]+", parse=str, loose=True)
_DEFAULT_USER: Final = "git"
"""Git hosts take any user with a token; `flux bootstrap git` has this one (fluxcd/flux2 cmd/flux/bootstrap_git.go)."""


class KnownHostsKeys(Section, exclusive=("text", "file"), needs_one=True):
    """SSH host keys of the Git host; a plain text is the lines themselves."""

    text = Key(kind=_LINES, example="git.home.arpa ssh-ed25519 AAAAC3Nza...", doc="Lines as `ssh-keyscan` prints them.")
    file = Key(
        kind=forms.FILE, example="git-host.keys", doc="A file with such lines; those of other hosts do not count."
    )

    def read_from(self, places: Places) -> str:
        """The lines. Raises RefusedError."""
        return self.text if self.text is not None else read_text(places.resolve(self.sure(KnownHostsKeys.file)))


class GitSecretKeys(SecretKeys):
    """Where a secret of the repository is stored."""

    env = Key(kind=forms.ENV_NAME, example="GIT_SECRET", doc="Environment variable.")

    def read_key(self, places: Places) -> str:
        """A private key: several lines. Raises RefusedError, which never repeats any part of it."""
        return self.read_from(places).strip() + "\n"


class GitopsKeys(Section):
    """A Git repository that the cluster is handed over to: Flux or Argo CD applies it, again and again."""

    controller = Key(
        kind=choice_of(GitopsController),
        example="flux",
        doc="What applies the repository. Its add-on is implied; in `manifests` it may have values.",
        required=("needs a controller", "controller: flux, or controller: argocd"),
    )
    url = Key(
        kind=GIT_URL,
        example="git@github.com:me/home.git",
        doc="The repository, over SSH with a deploy key, or over HTTPS, public or with a token.",
        required=("needs the repository's url", "such as url: git@github.com:me/home.git"),
    )
    branch = Key(kind=BRANCH, default="main", example="stable", doc="The branch that is applied.")
    path = Key(
        kind=FOLDER,
        default=".",
        example="clusters/home",
        doc="The folder of the repository that is applied first; the rest is up to what is in it.",
    )
    deploy_key = Key(
        kind=GitSecretKeys,
        optional=True,
        default_doc="a new key pair in the state directory",
        doc="Where your own private key for SSH comes from, without a passphrase.",
    )
    known_hosts = Key(
        kind=Short(section=KnownHostsKeys, keys=(("str", KnownHostsKeys.text),)),
        optional=True,
        default_doc="known for github.com, gitlab.com and codeberg.org",
        doc="SSH host keys of the Git host; any other key is refused.",
    )
    username = Key(
        kind=_USERNAME, default_doc=_DEFAULT_USER, example="me", doc="The user of HTTPS, where the host asks for it."
    )
    token = Key(
        kind=GitSecretKeys,
        optional=True,
        default_doc="none: a public repository",
        doc="Where the token for HTTPS comes from; it needs to read the repository only.",
    )

    def host_keys(self, url: str, places: Places) -> str:
        """Lines with the Git host's keys; empty where none are known. Raises RefusedError."""
        return published_keys(url) if self.known_hosts is None else keys_for(url, self.known_hosts.read_from(places))

    def make(self, places: Places) -> GitopsSpec:
        """See `Section`. Raises RefusedError."""
        url, key, token = self.sure(GitopsKeys.url), self.deploy_key, self.token
        secret = key.read_key(places) if key is not None else token.read_line(places) if token is not None else None
        return GitopsSpec(
            controller=self.sure(GitopsKeys.controller),
            url=url,
            branch=self.sure(GitopsKeys.branch),
            path=self.sure(GitopsKeys.path),
            known_hosts=self.host_keys(url, places) if url.startswith("ssh://") else "",
            username=(self.username or _DEFAULT_USER) if token is not None else "",
            secret=secret,
        )
