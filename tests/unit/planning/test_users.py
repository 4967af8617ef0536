"""Kubeconfigs of users: names and times, a request without groups, and what is believed of an answer."""

from __future__ import annotations

import pytest
import yaml
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.k3s.kubeconfig.build import build_kubeconfig
from bootstrap.k3s.kubeconfig.users import (
    LEAST_S,
    MOST_S,
    make_user_key,
    parse_expiry,
    read_certificate,
    subject_of,
    user_in,
    user_kubeconfig,
    user_problem,
)
from bootstrap.model.access.users import UserBinding
from tests.fakes.certificates import k3s_yaml
from tests.fakes.world.users import signed

SUBJECT = "homelab:ann:0a1b2c3d"
ADMINS = build_kubeconfig(k3s_yaml(), name="demo", server_url="https://192.0.2.5:6443", source="demo-cp-1")


@pytest.mark.parametrize("name", ["ann", "a", "ann-2", "x" * 40])
def test_names(name: str) -> None:
    assert user_problem(name) == ""
    assert user_in(subject_of(name, "0a1b2c3d")) == name


@pytest.mark.parametrize("name", ["", "Ann", "2ann", "ann-", "x" * 41, "ann:bob", "a/b", "ann\n", "system:admin", "é"])
def test_names_that_are_refused(name: str) -> None:
    assert user_problem(name)


@given(st.text(max_size=30))
def test_a_subject_that_is_not_ours_is_nobodys(text: str) -> None:
    assert user_in(text) is None


@pytest.mark.parametrize(("text", "seconds"), [("600s", 600), ("10m", 600), ("8h", 28800), ("365d", MOST_S)])
def test_times(text: str, seconds: int) -> None:
    assert parse_expiry(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "8", "h", "0h", "-1h", "8 h", "1w", "599s", "9m", "366d", "9999999d", "٨h", "1e3h"]
)
def test_times_that_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"write a number|10 minutes or more|365 days at most"):
        parse_expiry(text)


@given(st.integers(min_value=1, max_value=10**8), st.sampled_from("smhd"))
def test_a_time_is_within_what_kubernetes_signs_or_refused(number: int, unit: str) -> None:
    try:
        assert LEAST_S <= parse_expiry(f"{number}{unit}") <= MOST_S
    except ValueError:
        assert not LEAST_S <= number * {"s": 1, "m": 60, "h": 3600, "d": 86400}[unit] <= MOST_S


def test_a_request_has_the_name_and_no_group() -> None:
    key = make_user_key(SUBJECT)
    request = x509.load_pem_x509_csr(key.request.encode())
    assert request.subject.rfc4514_string() == f"CN={SUBJECT}"
    assert request.is_signature_valid
    assert "PRIVATE" not in repr(key)


def test_a_kubeconfig_has_the_users_own_key_and_nothing_of_the_administrators() -> None:
    key = make_user_key(SUBJECT)
    certificate = read_certificate(signed(key.request, 3600), key=key, subject=SUBJECT)
    text = user_kubeconfig(ADMINS, user="ann", certificate=certificate, key=key, namespace="web")
    found, admins = yaml.safe_load(text), yaml.safe_load(ADMINS)
    assert found["clusters"] == admins["clusters"]
    assert found["current-context"] == "ann@demo"
    assert found["contexts"] == [
        {"name": "ann@demo", "context": {"cluster": "demo", "user": "ann@demo", "namespace": "web"}}
    ]
    (user,) = found["users"]
    assert user["user"].keys() == {"client-certificate-data", "client-key-data"}
    assert not {*user["user"].values()} & {*admins["users"][0]["user"].values()}


def test_a_certificate_that_was_not_asked_for_is_refused() -> None:
    key, other = make_user_key(SUBJECT), make_user_key(SUBJECT)
    with pytest.raises(ValueError, match="another key"):
        read_certificate(signed(other.request, 3600), key=key, subject=SUBJECT)
    with pytest.raises(ValueError, match="another name, or a group"):
        read_certificate(signed(key.request, 3600, lie="system:admin"), key=key, subject=SUBJECT)
    with pytest.raises(ValueError, match="cannot be used"):
        read_certificate("nothing", key=key, subject=SUBJECT)


def test_a_binding_is_called_after_the_one_kubeconfig() -> None:
    assert UserBinding(user="ann", subject=SUBJECT, group="view").name == "homelab-k8s-ann-0a1b2c3d"
