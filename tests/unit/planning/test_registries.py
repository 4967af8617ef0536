"""registries.yaml: its text for machines, and what k3s would not read."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.k3s.registries import registries_checksum, render_registries, secrets_in, wrong_parts
from bootstrap.k3s.settings import settings_of
from bootstrap.model.cluster import K3sSpec
from bootstrap.model.settings.registries import RegistriesSpec

PASSWORD = "tr0ub4dor&3"
CONTENT = {
    "mirrors": {"docker.io": {"endpoint": ["https://registry.home.arpa:5000"]}, "quay.io": None},
    "configs": {
        "registry.home.arpa:5000": {
            "auth": {"username": "puller", "password": PASSWORD},
            "tls": {"insecure_skip_verify": True},
        }
    },
}


KEYS = st.sampled_from(("mirrors", "configs", "auth", "tls", "password", "endpoint", "x")) | st.integers()
CONTENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner),
)


def spec(content: object = None, *, embedded: bool = False) -> K3sSpec:
    registries = RegistriesSpec(content=yaml.safe_dump(content)) if content is not None else None
    return K3sSpec(registries=registries, embedded_registry=embedded)


def test_without_either_key_there_is_no_file() -> None:
    assert render_registries(K3sSpec()) == ""
    assert registries_checksum(K3sSpec()) == ""


def test_the_file_says_who_wrote_it_and_what_the_inventory_says() -> None:
    text = render_registries(spec(CONTENT))
    assert text.startswith("# Written by homelab-k8s")
    assert yaml.safe_load(text) == CONTENT


@pytest.mark.parametrize(
    ("content", "mirrors"),
    [
        (None, {"*": {}}),
        ({"configs": {"docker.io": {}}}, {"*": {}}),
        ({"mirrors": {"docker.io": {}}}, {"docker.io": {}}),
    ],
)
def test_the_embedded_registry_serves_the_registries_that_are_named_else_all(
    content: object, mirrors: dict[str, Any]
) -> None:
    assert yaml.safe_load(render_registries(spec(content, embedded=True)))["mirrors"] == mirrors


def test_the_embedded_registry_alone_changes_the_file_so_that_agents_restart_and_learn_of_it() -> None:
    """An agent is told by its server that it is on, but only at its start."""
    assert registries_checksum(spec(CONTENT)) != registries_checksum(spec(CONTENT, embedded=True))


def test_no_text_of_a_specification_has_the_passwords() -> None:
    registries = RegistriesSpec(content=yaml.safe_dump(CONTENT), secrets=secrets_in(CONTENT))
    assert registries.secrets == (PASSWORD,)
    assert PASSWORD not in repr(K3sSpec(registries=registries))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ([], "the file must be a mapping"),
        ({"mirror": {}}, "the file: mirror is not a key that k3s reads"),
        ({"mirrors": ["docker.io"]}, "the file: mirrors must be a mapping"),
        ({"mirrors": {"docker.io": {"endpoint": PASSWORD}}}, "the file: mirrors.docker.io.endpoint must be a list"),
        ({"mirrors": {"quay.io": {"endpoint": [5]}}}, "the file: mirrors.quay.io.endpoint[0] must be a text: quote it"),
        ({"configs": {"r": {"auth": {"password": 12}}}}, "the file: configs.r.auth.password must be a text: quote it"),
        ({"configs": {"r": {"tls": {"insecure_skip_verify": "yes"}}}},
         "the file: configs.r.tls.insecure_skip_verify must be true or false"),
    ],
)  # fmt: skip
def test_what_k3s_would_not_read_is_told_without_its_value(content: object, told: str) -> None:
    assert wrong_parts(content) == (told,)


def test_what_k3s_documents_is_right() -> None:
    assert wrong_parts(CONTENT) == ()
    assert wrong_parts(None) == ()
    assert wrong_parts({"mirrors": None, "configs": {"*": {"auth": None}}}) == ()


@given(CONTENTS)
def test_any_content_is_either_told_or_rendered_as_it_was(content: object) -> None:
    if not wrong_parts(content):
        assert (yaml.safe_load(render_registries(spec(content or {}))) or {}) == (content or {})
        assert all(isinstance(secret, str) for secret in secrets_in(content))


def test_the_setting_that_tells_of_the_file_is_no_secret() -> None:
    assert settings_of({"private-registry": "/etc/rancher/k3s/registries.yaml"}) == {
        "private-registry": ("/etc/rancher/k3s/registries.yaml",)
    }
