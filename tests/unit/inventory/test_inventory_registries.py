"""`k3s.registries`: keys as k3s has them, secrets from elsewhere, or a file; nothing of a secret is repeated."""

from __future__ import annotations

from pathlib import Path

import keyring
import pytest
import yaml

from tests.unit.inventory.kit import ENVIRON, Load, Told
from tests.unit.inventory.test_inventory_secret import InMemory

PASSWORD = "tr0ub4dor-and-3"
WITH_PASSWORD = {**ENVIRON, "REGISTRY_PASSWORD": PASSWORD}
HEAD = "cluster: demo\nk3s:\n  registries:\n"
CONFIG = HEAD + "    configs:\n      registry.home.arpa:5000:\n        auth: "


def content(text: str, load: Load, environ: dict[str, str] = WITH_PASSWORD) -> object:
    registries = load(text, environ=environ).spec.k3s.registries
    assert registries is not None
    return yaml.safe_load(registries.content)


def test_all_keys_are_k3s_own(load: Load) -> None:
    text = CONFIG + (
        "{username: puller, password: {env: REGISTRY_PASSWORD}}\n"
        "        tls: {insecure_skip_verify: false}\n"
        "    mirrors:\n"
        "      quay.io:\n"
        '      "*": {endpoint: ["https://registry.home.arpa:5000"], rewrite: {"^library/(.*)": "hub/$1"}}\n'
    )
    assert content(text, load) == {
        "mirrors": {
            "quay.io": {},
            "*": {"endpoint": ["https://registry.home.arpa:5000"], "rewrite": {"^library/(.*)": "hub/$1"}},
        },
        "configs": {
            "registry.home.arpa:5000": {
                "auth": {"username": "puller", "password": PASSWORD},
                "tls": {"insecure_skip_verify": False},
            }
        },
    }
    registries = load(text, environ=WITH_PASSWORD).spec.k3s.registries
    assert registries is not None
    assert registries.secrets == (PASSWORD,)


def test_secrets_come_from_a_file_or_the_keyring_too(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    found = content(CONFIG + f"{{identity_token: {{file: {tmp_path}/password}}}}\n", load)
    assert found == {"configs": {"registry.home.arpa:5000": {"auth": {"identity_token": PASSWORD}}}}
    before = keyring.get_keyring()
    keyring.set_keyring(InMemory({("homelab-k8s", "registry"): PASSWORD}))
    try:
        found = content(CONFIG + "{auth: {keyring: homelab-k8s/registry}}\n", load)
    finally:
        keyring.set_keyring(before)
    assert found == {"configs": {"registry.home.arpa:5000": {"auth": {"auth": PASSWORD}}}}


@pytest.mark.parametrize(
    ("auth", "message"),
    [
        (f"{{username: puller, password: {PASSWORD}}}", "secrets do not belong in this file"),
        ("{username: puller, password: {env: NOT_THERE}}", "the environment variable NOT_THERE is not set"),
        ("{username: puller, password: {file: not-there}}", "does not exist"),
        ("{username: puller, password: {env: TWO_LINES}}", "does not contain a secret on one line"),
        ("{username: puller}", "needs one of password, auth, identity_token"),
        ("{password: {env: REGISTRY_PASSWORD}}", "username and password belong together"),
        ("{username: a, password: {env: REGISTRY_PASSWORD}, auth: {env: REGISTRY_PASSWORD}}", "needs one of"),
        ("{username: a, password: {}}", "needs one of env, file, keyring, command"),
    ],
)
def test_a_secret_that_is_not_there_is_told_without_it(told: Told, auth: str, message: str) -> None:
    problems = told(CONFIG + auth + "\n", environ={**WITH_PASSWORD, "TWO_LINES": f"{PASSWORD}\n{PASSWORD}"})
    assert any(message in problem.message for problem in problems), problems
    assert PASSWORD not in repr(problems)


@pytest.mark.parametrize("endpoint", [f"https://user:{PASSWORD}@registry.home", f"ftp://{PASSWORD}"])
@pytest.mark.parametrize("written", ['["{}"]', '"{}"'], ids=["list", "single"])
def test_an_endpoint_has_no_password_and_none_is_repeated(told: Told, endpoint: str, written: str) -> None:
    problems = told(HEAD + f"    mirrors: {{docker.io: {{endpoint: {written.format(endpoint)}}}}}\n")
    assert problems[0].path.startswith("k3s.registries.mirrors.docker.io.endpoint")
    assert PASSWORD not in repr(problems)


def test_a_plain_word_is_a_file_as_k3s_has_it(load: Load, tmp_path: Path) -> None:
    there = {"configs": {"registry.home.arpa": {"auth": {"username": "puller", "password": PASSWORD}}}}
    (tmp_path / "registries.yaml").write_text(yaml.safe_dump(there))
    text = f"cluster: demo\nk3s: {{registries: {tmp_path}/registries.yaml}}\n"
    assert content(text, load) == there
    registries = load(text).spec.k3s.registries
    assert registries is not None
    assert registries.secrets == (PASSWORD,)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (f"configs: {{r: {{auth: {{password: [{PASSWORD}]}}}}}}", "configs.r.auth.password must be a text"),
        (f"configs: [{PASSWORD}", "is not YAML"),
        (f"{PASSWORD}", "the file must be a mapping"),
        (None, "does not exist"),
    ],
)
def test_a_file_that_k3s_would_not_read_is_refused_without_a_word_of_it(
    told: Told, tmp_path: Path, written: str | None, message: str
) -> None:
    if written is not None:
        (tmp_path / "registries.yaml").write_text(written)
    (problem,) = told(f"cluster: demo\nk3s: {{registries: {tmp_path}/registries.yaml}}\n")
    assert (problem.path, message in problem.message) == ("k3s.registries.file", True), problem
    assert PASSWORD not in repr(problem)


def test_a_file_beside_other_keys_is_refused(told: Told, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("mirrors: {}")
    (problem,) = told(HEAD + f"    file: {tmp_path}/r.yaml\n    mirrors: {{docker.io: {{}}}}\n")
    assert "is given beside mirrors or configs" in problem.message


CERTIFICATE = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
KEY = "-----BEGIN PRIVATE KEY-----\nBBBB\n-----END PRIVATE KEY-----\n"
TLS = "{{ca_file: {0}/ca.pem, cert_file: {0}/pull.pem, key_file: {0}/pull.key}}\n"
WITH_TLS = HEAD + "    configs:\n      registry.home.arpa:5000:\n        tls: "


def test_files_of_tls_are_read_here_and_named_as_they_are_on_the_machines(load: Load, tmp_path: Path) -> None:
    for name, text in (("ca.pem", CERTIFICATE), ("pull.pem", CERTIFICATE), ("pull.key", KEY)):
        (tmp_path / name).write_text(text)
    text = WITH_TLS + TLS.format(tmp_path)
    registries = load(text).spec.k3s.registries
    assert registries is not None
    assert sorted(content for _name, content in registries.files) == sorted({CERTIFICATE, KEY})
    assert "BBBB" not in repr(registries)
    tls = yaml.safe_load(registries.content)["configs"]["registry.home.arpa:5000"]["tls"]
    names = {f"/etc/rancher/k3s/registries.tls/{name}": content for name, content in registries.files}
    assert [names[tls[key]] for key in ("ca_file", "cert_file", "key_file")] == [CERTIFICATE, CERTIFICATE, KEY]
    (tmp_path / "pull.key").write_text(KEY.replace("B", "C"))
    assert load(text).spec.k3s.registries != registries


@pytest.mark.parametrize(
    ("tls", "messages"),
    [
        ("{ca_file: missing.pem}", ["does not exist"]),
        ("{ca_file: key.pem}", ["holds no PEM certificate"]),
        ("{cert_file: key.pem, key_file: ca.pem}", ["holds no PEM certificate", "holds no private key"]),
        ("{cert_file: ca.pem}", ["cert_file and key_file belong together"]),
        ("{cert_file: ca.pem, key_file: locked.pem}", ["has a passphrase"]),
    ],
)
def test_files_that_containerd_could_not_use_are_told(
    told: Told, tmp_path: Path, tls: str, messages: list[str]
) -> None:
    locked = KEY.replace("PRIVATE", "ENCRYPTED PRIVATE")
    for name, text in (("ca.pem", CERTIFICATE), ("key.pem", KEY), ("locked.pem", locked)):
        (tmp_path / name).write_text(text)
    problems = told(WITH_TLS + tls.replace(": ", f": {tmp_path}/") + "\n")
    assert len(problems) == len(messages)
    for problem, message in zip(problems, messages, strict=True):
        assert message in problem.message
        assert problem.path.startswith("k3s.registries.configs.registry.home.arpa:5000.tls")
