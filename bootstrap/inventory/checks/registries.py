"""Checks of `k3s.registries`: that its file and its secrets are there, and that its keys agree."""

from __future__ import annotations

from collections.abc import Iterator

from bootstrap.inventory.files import Places
from bootstrap.inventory.keys.k3s import K3sKeys
from bootstrap.inventory.keys.registries import AuthKeys, PasswordKeys, RegistriesKeys, read_file
from bootstrap.inventory.keys.root import Root
from bootstrap.inventory.problems import Problems
from bootstrap.inventory.values.scalars import RefusedError


def check_registries(root: Root, places: Places, problems: Problems) -> None:
    """Add a problem for each secret that cannot be read, and for keys that do not go together."""
    registries = root.k3s.registries if root.k3s is not None and root.k3s.given(K3sKeys.registries) else None
    if registries is None:
        return
    for auth in _auths(registries):
        _check_auth(auth, places, problems)
    if not registries.given(RegistriesKeys.file):
        return
    if registries.given(RegistriesKeys.mirrors) or registries.given(RegistriesKeys.configs):
        problems.add(registries.at(RegistriesKeys.file), "is given beside mirrors or configs", "keep one of the two")
    elif registries.file is not None:
        try:
            read_file(registries, places)
        except RefusedError as refused:
            problems.add(registries.at(RegistriesKeys.file), refused.message, refused.hint)


def _auths(registries: RegistriesKeys) -> Iterator[AuthKeys]:
    for _name, registry in registries.configs or ():
        if registry.auth is not None:
            yield registry.auth


def _check_auth(auth: AuthKeys, places: Places, problems: Problems) -> None:
    given = [key.name for key in (AuthKeys.password, AuthKeys.auth, AuthKeys.identity_token) if auth.given(key)]
    if len(given) != 1:
        problems.add(auth.where, "needs one of password, auth, identity_token", "with a password also username")
    elif auth.given(AuthKeys.password) != auth.given(AuthKeys.username):
        problems.add(auth.where, "username and password belong together")
    for secret in (auth.password, auth.auth, auth.identity_token):
        if secret is not None:
            _check_secret(secret, places, problems)


def _check_secret(secret: PasswordKeys, places: Places, problems: Problems) -> None:
    if len(secret.found) != 1 or len(secret.places) != 1:
        return  # noted already by the section, or by the wrong value
    try:
        secret.read_from(places)
    except RefusedError as refused:
        problems.add(next(iter(secret.places.values())), refused.message, refused.hint)
