"""Checks of `k3s.registries`: that its files and its secrets are there, and that its keys agree."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bootstrap.inventory.files import Places, check_certificate, check_private_key, read_text
from bootstrap.inventory.keys.k3s import K3sKeys
from bootstrap.inventory.keys.registries import AuthKeys, PasswordKeys, RegistriesKeys, RegistryTlsKeys, read_file
from bootstrap.inventory.keys.root import Root
from bootstrap.inventory.problems import Problems
from bootstrap.inventory.values.scalars import RefusedError
from bootstrap.inventory.values.section import Key


def check_registries(root: Root, places: Places, problems: Problems) -> None:
    """Add a problem for each secret that cannot be read, and for keys that do not go together."""
    registries = root.k3s.registries if root.k3s is not None and root.k3s.given(K3sKeys.registries) else None
    if registries is None:
        return
    for _name, registry in registries.configs or ():
        if registry.auth is not None:
            _check_auth(registry.auth, places, problems)
        if registry.tls is not None:
            _check_tls(registry.tls, places, problems)
    if not registries.given(RegistriesKeys.file):
        return
    if registries.given(RegistriesKeys.mirrors) or registries.given(RegistriesKeys.configs):
        problems.add(registries.at(RegistriesKeys.file), "is given beside mirrors or configs", "keep one of the two")
    elif registries.file is not None:
        try:
            read_file(registries, places)
        except RefusedError as refused:
            problems.add(registries.at(RegistriesKeys.file), refused.message, refused.hint)


def _check_auth(auth: AuthKeys, places: Places, problems: Problems) -> None:
    given = [key.name for key in (AuthKeys.password, AuthKeys.auth, AuthKeys.identity_token) if auth.given(key)]
    if len(given) != 1:
        problems.add(auth.where, "needs one of password, auth, identity_token", "with a password also username")
    elif auth.given(AuthKeys.password) != auth.given(AuthKeys.username):
        problems.add(auth.where, "username and password belong together")
    for secret in (auth.password, auth.auth, auth.identity_token):
        if secret is not None:
            _check_secret(secret, places, problems)


def _check_tls(tls: RegistryTlsKeys, places: Places, problems: Problems) -> None:
    if tls.given(RegistryTlsKeys.cert_file) != tls.given(RegistryTlsKeys.key_file):
        problems.add(tls.where, "cert_file and key_file belong together", "containerd takes both or neither")
    for key, check_file in _TLS_FILES:
        path = tls.value(key)
        if path is None:
            continue
        try:
            check_file(places.resolve(path))
        except RefusedError as refused:
            problems.add(tls.at(key), refused.message, refused.hint)


def _check_key(path: Path) -> None:
    check_private_key(path)
    if "ENCRYPTED" in read_text(path):
        raise RefusedError(f"{path} has a passphrase", "containerd cannot ask for it: openssl pkey -in OLD -out NEW")


_TLS_FILES: tuple[tuple[Key[Path], Callable[[Path], None]], ...] = (
    (RegistryTlsKeys.ca_file, check_certificate),
    (RegistryTlsKeys.cert_file, check_certificate),
    (RegistryTlsKeys.key_file, _check_key),
)


def _check_secret(secret: PasswordKeys, places: Places, problems: Problems) -> None:
    if len(secret.found) != 1 or len(secret.places) != 1:
        return  # noted already by the section, or by the wrong value
    try:
        secret.read_line(places)
    except RefusedError as refused:
        problems.add(next(iter(secret.places.values())), refused.message, refused.hint)
