"""Reads a secret from where the inventory says that it is stored: the environment, a file, the keyring or a program."""

from __future__ import annotations

import subprocess
from typing import Final

from bootstrap.inventory.files import Places, read_text
from bootstrap.inventory.regular import MAX_BYTES
from bootstrap.inventory.values.scalars import RefusedError
from bootstrap.model.settings.secrets import StoredSecret

_COMMAND_S: Final = 120
"""A password manager may wait for a fingerprint, or for a passphrase."""

_INJECT: Final = "pipx inject homelab-k8s keyring (uv: install it again with --with keyring), or use {env: NAME}"


def read_secret(places: Places, stored: StoredSecret) -> str:
    """The text that is stored in a place.

    Raises:
        RefusedError: There is none, or it cannot be read.
    """
    if stored.env is not None:
        text = places.environ.get(stored.env, "")
        if not text:
            raise RefusedError(f"the environment variable {stored.env} is not set", f"export {stored.env}=...")
        return text
    if stored.file is not None:
        return read_text(places.resolve(stored.file))
    if stored.command is not None:
        if stored.command not in places.printed:
            places.printed[stored.command] = _from_command(stored.command, places)
        return places.printed[stored.command]
    return _from_keyring(stored.keyring or "")


def read_secret_line(places: Places, stored: StoredSecret) -> str:
    """The same without white space around it. Raises RefusedError also where it is more than one line, or empty."""
    secret = read_secret(places, stored).strip()
    if not secret or not secret.isprintable():
        raise RefusedError("does not contain a secret on one line")
    return secret


def _from_command(command: tuple[str, ...], places: Places) -> str:
    """What a program prints on stdout. It may ask on the terminal: stdin and stderr are ours."""
    program = command[0]
    try:
        done = subprocess.run(
            command,
            cwd=places.base,
            env=dict(places.environ),
            stdout=subprocess.PIPE,
            timeout=_COMMAND_S,
            check=False,
        )
    except FileNotFoundError:
        raise RefusedError(f"there is no program {program}", "install it, or correct the command") from None
    except subprocess.TimeoutExpired:
        raise RefusedError(f"{program} has not ended within {_COMMAND_S} s", "try the command by hand") from None
    except OSError as error:
        raise RefusedError(f"{program} cannot be run: {error.strerror}", "try the command by hand") from None
    if done.returncode != 0:
        raise RefusedError(f"{program} ended with exit code {done.returncode}", "try the command by hand")
    if len(done.stdout) > MAX_BYTES:
        raise RefusedError(f"{program} printed more than {MAX_BYTES} bytes", "it is to print only the secret")
    try:
        text = done.stdout.decode()
    except UnicodeDecodeError:
        raise RefusedError(f"{program} printed what is not UTF-8", "it is to print only the secret") from None
    if not text.strip():
        raise RefusedError(f"{program} printed nothing", "it is to print the secret on stdout")
    return text


def _from_keyring(entry: str) -> str:
    # Imported here: it costs 0.1 s and D-Bus, and only those who keep the token there should pay; it is an extra.
    try:
        import keyring
        import keyring.errors
    except ImportError:
        raise RefusedError("reading the keyring needs the Python package keyring", _INJECT) from None

    service, _, user = entry.partition("/")
    hint = f"add it there with: keyring set {service} {user}"
    try:
        secret = keyring.get_password(service, user)
    except keyring.errors.NoKeyringError:
        raise RefusedError("this system has no keyring", "use {env: NAME} or {file: PATH}") from None
    except keyring.errors.KeyringError as error:
        said = str(error) or type(error).__name__
        raise RefusedError(f"the keyring does not answer: {said}", "unlock it, or use {env: NAME}") from None
    if not secret:
        raise RefusedError(f"the keyring has nothing under {entry}", hint)
    return secret
