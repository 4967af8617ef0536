"""The administrator's kubeconfig: three PEM blocks of the server's, and nothing else that it may tell."""

from __future__ import annotations

import base64
from collections.abc import Callable
from ipaddress import IPv4Address
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bootstrap.errors import KubernetesError
from bootstrap.k3s.kubeconfig.build import build_kubeconfig, check_own, with_server
from tests.fakes.certificates import issue, k3s_yaml, of_a_cluster, text

URL = "https://192.0.2.50:6443"
MADE = of_a_cluster()

Config = dict[str, Any]


def built(config: Config | str) -> Config:
    shown = config if isinstance(config, str) else yaml.safe_dump(config)
    answer: Config = yaml.safe_load(build_kubeconfig(shown, name="demo", server_url=URL, source="demo-cp-1"))
    return answer


def shown() -> Config:
    config: Config = yaml.safe_load(k3s_yaml())
    return config


def cluster_of(config: Config) -> Config:
    entry: Config = config["clusters"][0]["cluster"]
    return entry


def user_of(config: Config) -> Config:
    entry: Config = config["users"][0]["user"]
    return entry


def test_names_and_address_are_ours_and_the_three_blocks_the_servers() -> None:
    assert built(shown()) == {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "demo", "cluster": {"server": URL, "certificate-authority-data": text(MADE.server_ca.pem)}}
        ],
        "users": [
            {
                "name": "demo",
                "user": {"client-certificate-data": text(MADE.chain), "client-key-data": text(MADE.admin.key_pem)},
            }
        ],
        "contexts": [{"name": "demo", "context": {"cluster": "demo", "user": "demo"}}],
        "current-context": "demo",
    }


EXEC = {"apiVersion": "client.authentication.k8s.io/v1", "command": "/bin/sh", "args": ["-c", "id > /tmp/owned"]}

ATTACKS: dict[str, Callable[[Config], object]] = {
    "a program at the next kubectl": lambda config: user_of(config).update(exec=EXEC),
    "a program in its old form": lambda config: user_of(config).update(
        {"auth-provider": {"config": {"cmd-path": "sh"}}}
    ),
    "a token": lambda config: user_of(config).update(token="t"),
    "a file of the administrator's as token": lambda config: user_of(config).update(tokenFile="/etc/passwd"),
    "somebody else's rights": lambda config: user_of(config).update({"as": "system:anonymous"}),
    "a proxy": lambda config: cluster_of(config).update({"proxy-url": "http://198.51.100.1:3128"}),
    "no check of the certificate": lambda config: cluster_of(config).update({"insecure-skip-tls-verify": True}),
    "another name in the certificate": lambda config: cluster_of(config).update({"tls-server-name": "evil"}),
    "a CA of a file": lambda config: cluster_of(config).update({"certificate-authority": "/etc/passwd"}),
    "a second user": lambda config: config["users"].append({"name": "b", "user": {"exec": EXEC}}),
    "a second cluster": lambda config: config["clusters"].append(config["clusters"][0]),
    "extensions": lambda config: config.update(extensions=[{"name": "a", "extension": {}}]),
    "preferences": lambda config: config.update(preferences={"colors": True}),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_whatever_else_a_server_tells_is_refused(attack: Callable[[Config], object]) -> None:
    config = shown()
    attack(config)
    with pytest.raises(KubernetesError, match="demo-cp-1: k3s's kubeconfig is not as expected"):
        built(config)


def test_contexts_are_not_taken_from_the_server() -> None:
    config = shown()
    config["contexts"][0]["context"]["namespace"] = "kube-system"
    assert built(config)["contexts"] == [{"name": "demo", "context": {"cluster": "demo", "user": "demo"}}]


@pytest.mark.parametrize("key", [ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)])
def test_keys_of_custom_cas_are_taken(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> None:
    config, admin = shown(), issue("admin", by=MADE.client_ca, key=key)
    user_of(config).update({"client-certificate-data": text(admin.pem), "client-key-data": text(admin.key_pem)})
    assert user_of(built(config))["client-key-data"] == text(admin.key_pem)


def test_a_bundle_of_cas_is_taken() -> None:
    config, second = shown(), issue("next", authority=True)
    cluster_of(config)["certificate-authority-data"] = text(MADE.server_ca.pem + second.pem)
    assert cluster_of(built(config))["certificate-authority-data"] == text(MADE.server_ca.pem + second.pem)


def test_what_stands_around_a_block_does_not_come_along() -> None:
    config = shown()
    user_of(config)["client-certificate-data"] = text(b"exec: /bin/sh\n" + MADE.chain + b"\x1b]0;owned\x07")
    assert user_of(built(config))["client-certificate-data"] == text(MADE.chain)


def ed25519_pem() -> bytes:
    return ed25519.Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


MISFITS: dict[str, tuple[str, object, str]] = {
    "another's key": ("client-key-data", text(issue("other").key_pem), "not the key of client-certificate-data"),
    "a key of another kind": ("client-key-data", text(ed25519_pem()), "neither an EC nor an RSA key"),
    "no key": ("client-key-data", "", "client-key-data is missing"),
    "no base64": ("client-key-data", "-----BEGIN", "not base64"),
    "no text": ("client-key-data", ["a"], "client-key-data is missing"),
    "no PEM": ("client-key-data", text(b"hello"), "client-key-data cannot be used"),
    "a huge one": ("client-key-data", "A" * 70_000, "70000 characters"),
    "no certificate": ("client-certificate-data", text(b"hello"), "client-certificate-data cannot be used"),
    "a chain that is none": (
        "client-certificate-data",
        text(MADE.admin.pem + MADE.server_ca.pem),
        "client-certificate-data cannot be used",
    ),
    "a CA that is none": ("certificate-authority-data", text(MADE.admin.pem), "a certificate that is not a CA"),
    "an empty CA": ("certificate-authority-data", "", "certificate-authority-data is missing"),
}


@pytest.mark.parametrize(("key", "value", "told"), MISFITS.values(), ids=MISFITS.keys())
def test_blocks_that_do_not_fit_are_refused_without_being_told(key: str, value: object, told: str) -> None:
    config = shown()
    (cluster_of if key.startswith("certificate") else user_of)(config)[key] = value
    with pytest.raises(KubernetesError) as raised:
        built(config)
    assert told in raised.value.details
    assert MADE.admin.key_pem.decode() not in str(raised.value)
    assert text(MADE.admin.key_pem) not in raised.value.details


ODD = (
    "", "[]", "clusters: []", "{", "clusters: [{cluster: 5}]", "[" * 3000, "!!timestamp x", "a: &a [*a]",
    "? [a]\n: b", "!!python/object/apply:os.system [id]", "x" * 300_000, "clusters: \x00", "2001-99-99",
    "{clusters: !!int ''}",
)  # fmt: skip


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
def test_a_kubeconfig_that_is_none_is_refused_without_showing_it(odd: str) -> None:
    with pytest.raises(KubernetesError, match="not as expected"):
        built(odd)


def test_one_of_ours_is_the_same_after_a_check_and_talks_to_any_server() -> None:
    ours = build_kubeconfig(k3s_yaml(), name="demo", server_url=URL, source="demo-cp-1")
    assert check_own(ours) == ours
    assert with_server(ours, IPv4Address("192.0.2.51")) == ours.replace("192.0.2.50", "192.0.2.51")


@pytest.mark.parametrize(
    "attack",
    [
        lambda config: user_of(config).update(exec=EXEC),
        lambda config: cluster_of(config).update(server="https://evil.example:6443"),
        lambda config: cluster_of(config).update(server="https://192.0.2.50:6443/\nproxy-url: x"),
        lambda config: config["clusters"][0].update(name="../odd"),
    ],
)
def test_one_that_an_earlier_release_kept_in_the_state_is_checked_too(attack: Callable[[Config], object]) -> None:
    config: Config = yaml.safe_load(k3s_yaml("demo", URL))
    attack(config)
    with pytest.raises(KubernetesError, match="in the state directory cannot be used"):
        check_own(yaml.safe_dump(config))
    try:
        used = with_server(yaml.safe_dump(config), IPv4Address("192.0.2.51"))
    except KubernetesError:
        return
    assert "evil" not in used
    assert cluster_of(yaml.safe_load(used))["server"] == "https://192.0.2.51:6443"


def test_a_name_for_the_api_stands_in_it_only_where_we_have_written_it() -> None:
    kept = build_kubeconfig(
        k3s_yaml("demo", URL), name="demo", server_url="https://k8s.home.arpa:6443", source="demo-cp-1"
    )
    assert check_own(kept, api_name="k8s.home.arpa") == kept
    for other in (None, "", "home.arpa"):
        with pytest.raises(KubernetesError, match="its server name is not the API's"):
            check_own(kept, api_name=other)


def test_the_key_is_private_in_the_values_that_carry_it() -> None:
    from bootstrap.k3s.kubeconfig.pem import read_pems

    pems = read_pems(authority=text(MADE.server_ca.pem), certificate=text(MADE.chain), key=text(MADE.admin.key_pem))
    assert base64.b64decode(text(MADE.admin.key_pem)).decode() == pems.key
    assert "PRIVATE" not in repr(pems)
