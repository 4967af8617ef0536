"""The token's secret: found where the inventory says, and never shown."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends.fail import Keyring as NoKeyring
from keyring.errors import KeyringLocked

from bootstrap.model.access.endpoint import ApiToken
from tests.unit.inventory.kit import ENVIRON, SECRET, Load, Told

WHOLE = f"automation@pve!homelab={SECRET}"
TOKEN = ApiToken(user="automation@pve", name="homelab", secret=SECRET)
ENDPOINT = {"PROXMOX_VE_ENDPOINT": "https://192.0.2.10"}


class InMemory(KeyringBackend):
    """A keyring that is a dictionary."""

    priority = 1.0

    def __init__(self, entries: dict[tuple[str, str], str], *, locked: bool = False) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.entries = entries
        self.locked = locked

    def get_password(self, service: str, username: str) -> str | None:
        if self.locked:
            raise KeyringLocked("the collection is locked")
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.entries[service, username] = password


@pytest.fixture(autouse=True)
def _restored_keyring() -> Iterator[None]:
    before = keyring.get_keyring()
    yield
    keyring.set_keyring(before)


PVEUM = f"""\
┌──────────────┬──────────────────────────────────────┐
│ key          │ value                                │
╞══════════════╪══════════════════════════════════════╡
│ full-tokenid │ automation@pve!homelab               │
├──────────────┼──────────────────────────────────────┤
│ info         │ {{"privsep":"1"}}                      │
├──────────────┼──────────────────────────────────────┤
│ value        │ {SECRET} │
└──────────────┴──────────────────────────────────────┘
"""


@pytest.mark.parametrize(
    "content",
    [
        WHOLE,
        f"PVEAPIToken={WHOLE}",
        f"{WHOLE}\n",
        f"{WHOLE}\r\n",
        f'  "{WHOLE}" ',
        f"'PVEAPIToken={WHOLE}'",
        f"Authorization: PVEAPIToken={WHOLE}",
        f"PROXMOX_VE_API_TOKEN={WHOLE}",
        f"export PROXMOX_VE_API_TOKEN='{WHOLE}'\n",
        f"automation@pve!homelab {SECRET}",
        f"automation@pve!homelab\n{SECRET}\n",
        f"automation@pve!homelab:{SECRET}",
        f"Token ID: automation@pve!homelab Secret: {SECRET.upper()}",
        f'{{"full-tokenid":"automation@pve!homelab","info":{{"privsep":"1"}},"value":"{SECRET}"}}',
        PVEUM,
    ],
)
def test_a_whole_token_in_the_environment_is_enough(load: Load, content: str) -> None:
    assert load("cluster: a\n", environ={**ENDPOINT, "PROXMOX_VE_API_TOKEN": content}).endpoint.token == TOKEN


@pytest.mark.parametrize("content", [SECRET, WHOLE, f'"{SECRET}"', f"Secret: {SECRET}\r\n", f"{SECRET.upper()} "])
def test_with_the_id_in_the_file_the_secret_may_stand_alone(load: Load, content: str) -> None:
    text = "proxmox: {token_id: automation@pve!homelab}\n"
    assert load(text, environ={**ENDPOINT, "PROXMOX_VE_API_TOKEN": content}).endpoint.token == TOKEN


def test_a_named_variable_is_read(load: Load) -> None:
    text = "proxmox: {token: {env: ATTIC_TOKEN}}\n"
    assert load(text, environ={**ENDPOINT, "ATTIC_TOKEN": WHOLE}).endpoint.token == TOKEN


def test_a_file_is_read(load: Load, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{WHOLE}\n", encoding="utf-8")
    assert load("proxmox: {token: {file: token}}\n").endpoint.token == TOKEN


def test_the_keyring_is_read(load: Load) -> None:
    keyring.set_keyring(InMemory({("homelab-k8s", "automation@pve!homelab"): SECRET}))
    text = "proxmox: {token_id: automation@pve!homelab, token: {keyring: homelab-k8s/automation@pve!homelab}}\n"
    assert load(text).endpoint.token == TOKEN


@pytest.fixture
def manager(tmp_path: Path) -> Callable[[str], str]:
    """Writes a password manager, and returns the `proxmox` section that asks it."""

    def write(script: str) -> str:
        program = tmp_path / "manager"
        program.write_text(f"#!/bin/sh\necho asked >>asked\n{script}\n", encoding="utf-8")
        program.chmod(0o700)
        return "proxmox: {token: {command: [./manager, read, 'a b', read]}}\n"

    return write


def test_a_password_manager_is_asked_once_in_the_inventorys_directory(
    load: Load, manager: Callable[[str], str], tmp_path: Path
) -> None:
    text = manager(f'[ "$1,$2,$3" = "read,a b,read" ] && [ "$MY_SESSION" = s1 ] && echo "{WHOLE}"')
    registries = "k3s: {registries: {configs: {r.lan: {auth: {username: me, password: {command: [./manager, x]}}}}}}\n"
    assert load(text, environ={**ENVIRON, "MY_SESSION": "s1"}).endpoint.token == TOKEN
    assert (tmp_path / "asked").read_text() == "asked\n"
    manager("echo word")
    load(registries)
    assert (tmp_path / "asked").read_text() == "asked\n" * 2, "once for the check and for its use"


@pytest.mark.parametrize(
    ("script", "message", "hint"),
    [
        ("exit 3", "./manager ended with exit code 3", "try the command by hand"),
        (":", "./manager printed nothing", "print the secret"),
        (r"printf '\377'", "./manager printed what is not UTF-8", "only the secret"),
        (f"echo {SECRET}; exit 1", "./manager ended with exit code 1", "by hand"),
        ("head -c 9000000 /dev/zero | tr '\\0' x", "./manager printed more than", "only the secret"),
    ],
)
def test_a_password_manager_that_does_not_help_is_told(
    told: Told, manager: Callable[[str], str], script: str, message: str, hint: str
) -> None:
    (problem,) = told(manager(script))
    assert problem.path == "proxmox.token.command"
    assert problem.message.startswith(message)
    assert hint in problem.hint
    assert SECRET not in f"{problem}"


def test_a_password_manager_that_is_not_installed_is_told(told: Told) -> None:
    (problem,) = told("proxmox: {token: {command: [no-such-manager, read]}}\n")
    assert problem.message == "there is no program no-such-manager"


@pytest.mark.parametrize(
    ("backend", "message", "hint"),
    [
        (InMemory({}), "the keyring has nothing under homelab/me", "keyring set homelab me"),
        (InMemory({}, locked=True), "the keyring does not answer: the collection is locked", "unlock it"),
        (
            NoKeyring(),  # type: ignore[no-untyped-call]
            "this system has no keyring",
            "{env: NAME}",
        ),
    ],
)
def test_a_keyring_that_cannot_help_is_told(told: Told, backend: KeyringBackend, message: str, hint: str) -> None:
    keyring.set_keyring(backend)
    (problem,) = told("proxmox: {token: {keyring: homelab/me}}\n")
    assert (problem.path, problem.line, problem.message) == ("proxmox.token.keyring", 1, message)
    assert hint in problem.hint


def test_how_to_install_the_keyring_library_is_told(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    (problem,) = told("proxmox: {token: {keyring: homelab/me}}\n")
    assert (problem.path, problem.line) == ("proxmox.token.keyring", 1)
    assert problem.message == "reading the keyring needs the Python package keyring"
    assert problem.hint.startswith("pipx inject homelab-k8s keyring")


@pytest.mark.parametrize(
    ("text", "environ", "path", "message"),
    [
        (f"proxmox: {{token: '{WHOLE}'}}", {}, "proxmox.token", "secrets do not belong in this file"),
        (f"proxmox: {{token: {SECRET}}}", {}, "proxmox.token", "secrets do not belong in this file"),
        (f"proxmox: {{token: ['{WHOLE}']}}", {}, "proxmox.token", "secrets do not belong in this file"),
        (f"proxmox: {{token_id: '{WHOLE}'}}", {}, "proxmox.token_id", "must be a token's id"),
        (f"proxmox: {{token: {{env: {SECRET}}}}}", {}, "proxmox.token.env", "must be the name of an environment"),
        (f"proxmox: {{token: {{env: '{WHOLE}'}}}}", {}, "proxmox.token.env", "must be the name of an environment"),
        (f"proxmox: {{token: {{file: '{WHOLE}'}}}}", {}, "proxmox.token.file", "does not exist"),
        (f"proxmox: {{token: {{keyring: '{WHOLE}'}}}}", {}, "proxmox.token.keyring", "must be service/user"),
        (f"proxmox: {{token: {{env: A, file: '{WHOLE}'}}}}", {}, "proxmox.token.file", "env and file exclude each"),
        (f"proxmox: {{token: {{secret: '{WHOLE}', env: A}}}}", {"A": WHOLE}, "proxmox.token.secret", "not a known key"),
        (f"proxmox: {{token: {{'{WHOLE}': 1, env: A}}}}", {"A": WHOLE}, "proxmox.token.", "not a known key"),
        (f"proxmox: {{endpoint: 'https://root:{SECRET}@pve'}}", {}, "proxmox.endpoint", "must be an address"),
        ("proxmox: {endpoint: 'https://root:5f3c1c9e@pve'}", {}, "proxmox.endpoint", "must be an address"),
        (
            "cluster: a",
            {"PROXMOX_VE_API_TOKEN": SECRET},
            "PROXMOX_VE_API_TOKEN",
            "does not contain user@realm!name=secret",
        ),
        (
            "cluster: a",
            {"PROXMOX_VE_API_TOKEN": f"root={SECRET}"},
            "PROXMOX_VE_API_TOKEN",
            "does not contain user@realm",
        ),
        ("proxmox: {token: {env: NONE}}", {}, "proxmox.token.env", "the environment variable NONE is not set"),
        ("proxmox: {token: {}}", {}, "proxmox.token", "needs one of env, file, keyring, command"),
        (
            "proxmox: {token_id: other@pve!x}",
            {"PROXMOX_VE_API_TOKEN": WHOLE},
            "PROXMOX_VE_API_TOKEN",
            "is of the token automation@pve!homelab, not of token_id other@pve!x",
        ),
        (
            "proxmox: {token_id: automation@pve!homelab, token: {env: A}}",
            {"A": f"{SECRET} {SECRET[:-1]}2"},
            "proxmox.token.env",
            "does not contain a token secret",
        ),
        (f"cluster: a\nssh: user: {SECRET}: x", {}, "", "a colon where no key can be"),
    ],
)
def test_a_wrong_token_is_one_problem_that_does_not_show_it(
    told: Told, text: str, environ: dict[str, str], path: str, message: str
) -> None:
    (problem,) = told(f"{text}\n", environ={**ENVIRON, **environ})
    assert problem.path.startswith(path)
    assert message in problem.message
    assert SECRET not in repr(problem)
    assert "5f3c1c9e" not in repr(problem)


def test_the_secret_is_in_no_repr(load: Load) -> None:
    assert SECRET not in repr(load("cluster: a\n"))


def test_the_keyring_library_is_not_loaded_for_those_who_do_not_use_it() -> None:
    code = "import sys, bootstrap.inventory; print('keyring' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
