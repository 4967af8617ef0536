"""No secret survives in what is written down, whatever it looks like and however it is quoted; all else stays."""

from __future__ import annotations

import json
import shlex
from base64 import b64encode
from collections.abc import Callable
from urllib.parse import quote

import pytest
import yaml
from hypothesis import assume, example, given
from hypothesis import strategies as st

from benchmarks.masking import PIECES
from bootstrap.cli.running.masking import Masker

Form = Callable[[str, str], str]

PART = st.text("abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ0123456789", min_size=5, max_size=9).map("7{}".format)
PARTS = st.lists(PART, min_size=1, max_size=4, unique=True)
"""Of these a secret is made; they look the same however the whole is quoted, so that each can be looked for."""

NAMES = st.sampled_from(
    [
        "password", "cipassword", "DB_PASSWORD", "passphrase", "K3S_TOKEN", "K3S_AGENT_TOKEN", "agent-token", "token",
        "accessToken", "etcd-s3-secret-key", "etcd-s3-access-key", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID",
        "secretKey", "my_secret_signing_key", "client_secret", "vault.token.value", "CSRFPreventionToken",
        "client-key-data", "registry-credential",
    ]
)  # fmt: skip

FORMS: dict[str, tuple[Form, str]] = {
    "json": (lambda name, secret: json.dumps({"a": 1, name: secret, "b": 2}), " ,;:=&'\"\\{}$%@/#"),
    "json-compact": (lambda name, secret: json.dumps({name: secret}, separators=(",", ":")), " ,;:=&'\"\\{}$%@/#"),
    "json-indented": (lambda name, secret: json.dumps({"x": {name: secret}}, indent=2), " ,;:=&'\"\\{}$%@/#"),
    "json-in-json": (lambda name, secret: json.dumps({"a": json.dumps({name: secret})}), " ,;:=&{}$%@/#"),
    "repr": (lambda name, secret: repr({"a": 1, name: secret}), " ,;:=&'\"\\{}$%@/#"),
    "repr-bytes": (lambda name, secret: repr({name: secret.encode()}), " ,;:=&'\"{}$%@/#"),
    "yaml": (lambda name, secret: yaml.safe_dump({"a": {name: secret, "z": 1}}), " ,;:=&'\"\\{}$%@/#\n"),
    "yaml-list": (lambda name, secret: yaml.safe_dump([{name: secret, "z": 1}]), " ,;:=&'\"\\{}$%@/#\n"),
    "yaml-block": (lambda name, secret: yaml.safe_dump({name: secret + "\nx\n"}, default_style="|"), " ,;:='\"{}$\n"),
    "env-file": (lambda name, secret: f"A=1\n{name}={secret}\nB=2\n", " ,;:=&'\"\\{}$%@/#"),
    "shell": (lambda name, secret: f"export {name}={shlex.quote(secret)}; run", " ,;:=&'\"{}$%@/#"),
    "argument": (lambda name, secret: f"k3s server --{name} {shlex.quote(secret)} --x", " ,;:=&\"{}$%@/#"),
    "argument=": (lambda name, secret: f"k3s server --{name}={shlex.quote(secret)} --x", " ,;:=&'\"{}$%@/#"),
    "argv": (lambda name, secret: repr(["k3s", f"--{name}", secret, "--x"]), " ,;:=&'\"\\{}$%@/#"),
    "argv-json": (lambda name, secret: json.dumps(["k3s", f"--{name}", secret, "--x"]), " ,;:=&'\"\\{}$%@/#"),
    "query": (lambda name, secret: f"GET /x?a=1&{name}={quote(secret, safe='')}&b=2", ""),
    "prose": (lambda name, secret: f"12:00:01 DEBUG told {name}: {secret}", ""),
}  # fmt: skip


@st.composite
def placed(draw: st.DrawFn) -> tuple[str, list[str], str, str]:
    """A name, the parts of a secret, what joins them, and a form."""
    form = draw(st.sampled_from(sorted(FORMS)))
    odd = FORMS[form][1]
    joint = draw(st.text(odd, max_size=3)) if odd else ""
    return draw(NAMES), draw(PARTS), joint, form


@given(placed(), st.sampled_from(["", "10:11:12.345 DEBUG   main bootstrap: ", "details:\n"]))
@example(("K3S_TOKEN", ["aaaaaa", "bbbbbb"], ", ", "env-file"), "")
@example(("password", ["aaaaaa", "bbbbbb"], " ' ", "repr"), "")
@example(("password", ["aaaaaaaaaa" * 8, "bbbbbb"], "  ", "yaml"), "")
def test_no_part_of_what_a_secrets_name_announces_survives(case: tuple[str, list[str], str, str], before: str) -> None:
    name, parts, joint, form = case
    # A bare word behind a name in the middle of a line ends with the word: in a sentence the rest is worth reading.
    assume(not (form.startswith("yaml") and before.endswith(" ")))
    text = before + FORMS[form][0](name, joint.join(parts))
    masked = Masker().all(text)
    assert [part for part in parts if part in masked] == [], (text, masked)


SHAPES: dict[str, Form] = {
    "server token": lambda one, _: f"K10{'0af3' * 16}::server:{one}",
    "node token": lambda one, _: f"K10{'0af3' * 16}::node:{one}",
    "header": lambda one, _: f"Authorization: Bearer {one}",
    "header in JSON": lambda one, _: json.dumps({"authorization": f"Bearer {one}"}),
    "header as curl has it": lambda one, _: f"curl -H 'Authorization: Basic {one}' x",
    "bearer": lambda one, two: f"sent Bearer {one}9{two}",
    "api token": lambda one, _: f"PVEAPIToken=root@pam!lab={one}",
    "api token in a header": lambda one, _: f"Authorization: PVEAPIToken=root@pam!lab={one}",
    "url": lambda one, two: f"via https://me:{one}@{two}@proxy:3128/",
    "pem": lambda one, two: f"-----BEGIN EC PRIVATE KEY-----\n{one}\n{two}\n-----END EC PRIVATE KEY-----\n",
    "pem cut off": lambda one, two: f"-----BEGIN PRIVATE KEY-----\n{one}\n{two}",
    "pem in JSON": lambda one, two: json.dumps(f"-----BEGIN PRIVATE KEY-----\n{one}\n{two}\n-----END PRIVATE KEY-----"),
    "service account": lambda one, two: f"got eyJhbGciOiJSUzI1NiJ9.{one}aa.{two}",
}  # fmt: skip


@given(st.sampled_from(sorted(SHAPES)), PART.filter(lambda part: len(part) >= 8), PART)
def test_no_secret_of_a_known_shape_survives_in_files_or_on_the_terminal(shape: str, one: str, two: str) -> None:
    text = f"before {SHAPES[shape](one, two)}"
    for masked in (Masker().all(text), Masker().shown(text)):
        assert one not in masked
        assert two not in masked or two not in SHAPES[shape](one, "")
        assert masked.startswith("before ")


@given(st.text(min_size=8, max_size=60).map(str.strip).filter(lambda text: len(text) >= 8))
def test_a_secret_that_the_run_knows_survives_in_no_form(secret: str) -> None:
    assume(all(secret not in frame for frame in ("***", "<before>", "<after>")))
    masker = Masker()
    masker.add(secret)
    for form in (secret, json.dumps(secret)[1:-1], repr(secret)[1:-1], quote(secret, safe=""),
                 b64encode(secret.encode(errors="surrogateescape")).decode()):  # fmt: skip
        for masked in (masker.known, masker.shown, masker.all):
            assert masked(f"<before>{form}<after>") == "<before>***<after>"


WORDS = st.sampled_from(
    [
        "the", "token", "lacks", "VM.Clone", "on", "/vms", "rotate", "makes", "new", "tokens;", "password", "logins",
        "(secrets", "encrypted)", "secret-less", "keys", "192.0.2.1:8006", "of", "news", "demo-cp-1:", "7001",
        "0b0c0d0e-1111-2222-3333-444455556666", "->", "--yes", "/etc/rancher/k3s/config.yaml",
    ]
)  # fmt: skip


@given(st.lists(WORDS, max_size=30))
def test_ordinary_text_is_left_alone(words: list[str]) -> None:
    text = " ".join(words)
    assert Masker().all(text) == text
    assert Masker().shown(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "token_file: /home/me/token",
        "secret_key_env: AWS_SECRET_ACCESS_KEY",
        "secretName: demo-tls",
        "secrets-encryption: true",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "certificate-authority-data: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUI=",
        "GET https://192.0.2.1:8006/api2/json/nodes/pve1/qemu/7000/config",
        "the bearer of good-news is told: invalid bearer token",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJq4 me@here",
    ],
)
def test_what_tells_where_a_secret_is_stays(text: str) -> None:
    assert Masker().all(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "token: Proxmox VE refuses it",
        "proxmox.token: must be USER@REALM!NAME=SECRET, or ${VARIABLE}",
        "export PROXMOX_VE_API_TOKEN='homelab@pve!k8s=SECRET'",
        "pass --token-file PATH, or set backup.s3.secret_key_env: NAME",
        f"sha256 {'0af3' * 16}",
    ],
)
def test_sentences_about_secrets_and_checksums_stay_readable_on_the_terminal(text: str) -> None:
    assert Masker().shown(text) == text


def test_values_that_nobody_would_say_are_masked_on_the_terminal_too() -> None:
    shown = Masker().shown("k3s said: level=fatal secret-key=wJalrXUtnFEMIK7MDENG3bPxRfiCY token: a1b2c3d4e5f6a7b8")
    assert shown == "k3s said: level=fatal secret-key=*** token: ***"


def test_the_environments_secrets_are_known_by_the_names_of_variables() -> None:
    masker = Masker()
    masker.add_environment(
        {
            "PROXMOX_VE_API_TOKEN": "me@pve!x=correct-horse",
            "AWS_ACCESS_KEY_ID": "minio-admin",
            "TOKEN_FILE": "/home/me/token",
            "HOME": "/home/me",
        }
    )
    assert masker.known("me@pve!x=correct-horse, minio-admin, /home/me/token") == "me@pve!x=***, ***, /home/me/token"


def test_of_a_state_item_the_secrets_are_known_and_nothing_else() -> None:
    masker = Masker()
    masker.add_words('{"format": 1, "token": "K10ab::server:open-sesame", "tls": "H4sIAAAAAAAA"}')
    masker.add_words("1795368263 correct-horse\n")
    assert masker.known("open-sesame H4sIAAAAAAAA correct-horse") == "*** *** ***"
    assert masker.known('{"format": 1} 1795368263') == '{"format": 1} 1795368263'


@pytest.mark.timeout(300)
@pytest.mark.parametrize("piece", PIECES)
def test_masking_comes_to_an_end_on_what_is_slow_to_search(piece: str) -> None:
    """A guest that prints it on purpose must not hold the run up: what is not in proportion to the text takes hours.

    How long it takes is measured by `python -m benchmarks masking`.
    """
    text = piece * (400_000 // len(piece))
    Masker().all(text)
    Masker().shown(text)
