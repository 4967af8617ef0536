"""Checks of `gitops`: that its keys fit its URL, and that its secrets and the Git host's keys are there."""

from __future__ import annotations

from collections.abc import Callable

from bootstrap.addons.gitops.hosts import get_keys, known_name
from bootstrap.addons.gitops.keys import public_half
from bootstrap.inventory.files import Places
from bootstrap.inventory.keys.applied.gitops import GitopsKeys, GitSecretKeys
from bootstrap.inventory.keys.root import Root
from bootstrap.inventory.problems import Problems
from bootstrap.inventory.values.scalars import RefusedError
from bootstrap.inventory.values.section import Key

_FOR_SSH = ((GitopsKeys.deploy_key, "a private repository over https has a token"), (GitopsKeys.known_hosts, ""))
_FOR_HTTPS = ((GitopsKeys.token, "SSH logs in with a deploy key"), (GitopsKeys.username, "the user is in the URL"))


def check_gitops(root: Root, places: Places, problems: Problems) -> None:
    """Add a problem for each key that does not fit, each secret that cannot be read, and unknown hosts."""
    gitops = root.gitops
    if gitops is None:
        return
    k3s = root.k3s
    if k3s is not None and "helm-controller" in (k3s.disable_components or ()):
        message = "k3s installs its chart with the Helm controller, which k3s.disable_components leaves out"
        problems.add(gitops.at(GitopsKeys.controller), message, "take helm-controller out of k3s.disable_components")
    _check_secret(gitops, GitopsKeys.deploy_key, lambda secret: _check_key(secret.read_key(places)), problems)
    _check_secret(gitops, GitopsKeys.token, lambda secret: secret.read_line(places), problems)
    url = gitops.url
    if url is None:
        return  # noted already
    over_ssh = url.startswith("ssh://")
    for key, hint in _FOR_HTTPS if over_ssh else _FOR_SSH:
        if gitops.given(key):
            problems.add(gitops.at(key), f"is for {'https' if over_ssh else 'ssh'} URLs", hint or "leave it out")
    if over_ssh:
        _check_host(gitops, url, places, problems)
    elif gitops.given(GitopsKeys.username) and not gitops.given(GitopsKeys.token):
        problems.add(gitops.at(GitopsKeys.username), "is the user of a token, and there is none", "set token, too")


def _check_secret(
    gitops: GitopsKeys, key: Key[GitSecretKeys], read: Callable[[GitSecretKeys], object], problems: Problems
) -> None:
    secret = gitops.value(key)
    if secret is None or len(secret.found) != 1 or len(secret.places) != 1:
        return  # noted already by the section, or by the wrong value
    try:
        read(secret)
    except RefusedError as refused:
        problems.add(next(iter(secret.places.values())), refused.message, refused.hint)


def _check_key(key: str) -> None:
    try:
        public_half(key)
    except ValueError as error:
        hint = "`ssh-keygen -t ed25519 -N '' -f deploy-key` makes one; without deploy_key one is made for you"
        raise RefusedError(f"the deploy key {error}", hint) from None


def _check_host(gitops: GitopsKeys, url: str, places: Places, problems: Problems) -> None:
    where = gitops.at(GitopsKeys.known_hosts)
    known = gitops.known_hosts
    if gitops.given(GitopsKeys.known_hosts) and (known is None or len(known.found) != 1 or len(known.places) != 1):
        return  # noted already
    try:
        found = gitops.host_keys(url, places)
    except RefusedError as refused:
        problems.add(where, refused.message, refused.hint)
        return
    if not found:
        message = (
            f"has no key of {known_name(url)}"
            if known is not None
            else f"the host keys of {known_name(url)} are needed"
        )
        hint = (
            f"`{get_keys(url)}`; compare `ssh-keygen -lf git-host.keys` with the fingerprints that the host shows "
            "itself, then known_hosts: {file: git-host.keys}"
        )
        problems.add(where, message, hint)
