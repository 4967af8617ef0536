"""The inventory's `k3s.registries:` section: k3s's registries.yaml, with its secrets elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import yaml

from bootstrap.errors import UnreadableError
from bootstrap.inventory.document import Mapping, Node, is_null
from bootstrap.inventory.files import Places, read_text
from bootstrap.inventory.problems import Problems, Where
from bootstrap.inventory.secret_keys import SecretKeys
from bootstrap.inventory.values import string_formats as forms
from bootstrap.inventory.values.containers import ListOf, MapOf
from bootstrap.inventory.values.scalars import Boolean, Json, RefusedError, Text
from bootstrap.inventory.values.section import Key, Section
from bootstrap.k3s.registries import TLS_FILES, secrets_in, tls_file, wrong_parts
from bootstrap.model.reading import Source
from bootstrap.model.reading_yaml import read_yaml
from bootstrap.model.settings.registries import RegistriesSpec

REGISTRY: Final = Text(
    label="a registry, host or host:port, or * for all",
    pattern=r"\*|(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?",
    parse=str,
    loose=True,
)
_ENDPOINT: Final = Text(
    label="a URL without user and password, such as https://registry.home.arpa:5000",
    pattern=r"(?:https?://)?(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?(?:/[^\s?#@]*)?",
    parse=str,
    loose=True,
    secret=True,  # it may have a password in it
)
_ANY: Final = Text(label="a text", pattern=r"[^\n]+", parse=str)


class PasswordKeys(SecretKeys):
    """Where a secret of a registry or a proxy is stored."""

    env = Key(kind=forms.ENV_NAME, example="REGISTRY_PASSWORD", doc="Environment variable.")


class MirrorKeys(Section):
    """Where the images of a registry are pulled from."""

    endpoint = Key(
        kind=ListOf(item=_ENDPOINT), example=["https://registry.home.arpa:5000"], doc="URLs, tried one after another."
    )
    rewrite = Key(
        kind=MapOf(key=_ANY, value=_ANY),
        example={"^library/(.*)": "docker/$1"},
        doc="Regular expressions for names of images, each with what takes its place.",
    )

    @classmethod
    def read(cls, node: Node, where: Where, problems: Problems) -> MirrorKeys | None:
        """See `Kind`. Without a value it is the registry itself, as k3s takes it."""
        return super().read(Mapping(line=node.line) if is_null(node) else node, where, problems)

    @classmethod
    def schema(cls) -> Json:
        """See `Kind`."""
        return {**super().schema(), "type": ["object", "null"]}


class AuthKeys(Section):
    """The login at a registry."""

    username = Key(kind=_ANY, example="puller", doc="The user.")
    password = Key(kind=PasswordKeys, doc="Where the user's password comes from.", optional=True)
    auth = Key(kind=PasswordKeys, doc="Where base64 of user:password comes from, instead of both.", optional=True)
    identity_token = Key(kind=PasswordKeys, doc="Where an identity token comes from.", optional=True)


class RegistryTlsKeys(Section):
    """TLS of a registry; its files are copied to the machines."""

    ca_file = Key(kind=forms.FILE, example="home-ca.pem", doc="CA's certificate, PEM.")
    cert_file = Key(kind=forms.FILE, example="pull.pem", doc="Client certificate, PEM.")
    key_file = Key(kind=forms.FILE, example="pull.key", doc="Its private key, PEM, without a passphrase.")
    insecure_skip_verify = Key(
        kind=Boolean(), example=True, doc="Do not check the certificate: anyone on the network can send images."
    )


class RegistryKeys(Section):
    """How a registry is logged in to."""

    auth = Key(kind=AuthKeys, optional=True)
    tls = Key(kind=RegistryTlsKeys, optional=True)


class RegistriesKeys(Section):
    """Image registries of all machines, as in k3s's registries.yaml; a plain word is the path of such a file."""

    file = Key(
        kind=forms.FILE,
        example="registries.yaml",
        doc="A registries.yaml as k3s has it, instead of the keys here. It holds its passwords: keep it to yourself.",
    )
    mirrors = Key(
        kind=MapOf(key=REGISTRY, value=MirrorKeys),
        example={"docker.io": {"endpoint": ["https://registry.home.arpa:5000"]}},
        doc="Registries whose images are pulled elsewhere; `*` for all that are not named.",
    )
    configs = Key(
        kind=MapOf(key=REGISTRY, value=RegistryKeys),
        example={"registry.home.arpa:5000": {"auth": {"username": "puller", "password": {"env": "REGISTRY_PASSWORD"}}}},
        doc="Login and TLS of registries.",
    )

    def make(self, places: Places) -> RegistriesSpec:
        """The content of registries.yaml, with its secrets. Raises RefusedError with the reason."""
        files: dict[str, str] = {}
        content = read_file(self, places) if self.file is not None else _plain(self, places, files)
        text = yaml.safe_dump(content, default_flow_style=False, sort_keys=False)
        return RegistriesSpec(content=text, secrets=secrets_in(content), files=tuple(sorted(files.items())))


def read_file(section: RegistriesKeys, places: Places) -> dict[str, object]:
    """The content of the file that is named. Raises RefusedError, which never quotes it."""
    path = places.resolve(section.sure(RegistriesKeys.file))
    try:
        found = read_yaml(read_text(path), Source(call="read a registries.yaml")).value
    except UnreadableError:
        raise RefusedError(f"{path} is not YAML", "k3s does not start with it") from None
    wrong = wrong_parts(found)
    if wrong:
        raise RefusedError(f"{path} is not a registries.yaml: {wrong[0]}", "its keys: mirrors, configs")
    return dict(found) if isinstance(found, dict) else {}


def _plain(section: Section, places: Places, files: dict[str, str]) -> dict[str, object]:
    """The section as k3s has it, with its files added to `files`; keys that are not given are left out."""
    return {name: _value(section.found[name], places, files) for name in section.keys if name in section.found}


def _value(found: object, places: Places, files: dict[str, str]) -> object:
    match found:
        case PasswordKeys():
            return found.read_line(places)
        case Path():
            content = read_text(places.resolve(found))
            name = tls_file(content)
            files[name] = content
            return f"{TLS_FILES}/{name}"
        case Section():
            return _plain(found, places, files)
        case tuple() if found and isinstance(found[0], tuple):
            return {name: _value(each, places, files) for name, each in found}
        case tuple():
            return list(found)
        case _:
            return found
