"""Reads a secret from where the inventory says that it is stored: the environment, a file or the keyring."""

from __future__ import annotations

from pathlib import Path

from bootstrap.inventory.files import Places, read_text
from bootstrap.inventory.values.scalars import RefusedError


def read_secret(places: Places, *, env: str | None, file: Path | None, keyring_entry: str | None) -> str:
    """The text that is stored in one of three places.

    Args:
        places: The environment, and what paths are relative to.
        env: The name of an environment variable.
        file: A file's path.
        keyring_entry: `service/user`.

    Raises:
        RefusedError: There is none, or it cannot be read.
    """
    if env is not None:
        text = places.environ.get(env, "")
        if not text:
            raise RefusedError(f"the environment variable {env} is not set", f"export {env}=...")
        return text
    if file is not None:
        return read_text(places.resolve(file))
    return _from_keyring(keyring_entry or "")


def read_secret_line(places: Places, *, env: str | None, file: Path | None, keyring_entry: str | None) -> str:
    """The same without white space around it. Raises RefusedError also where it is more than one line, or empty."""
    secret = read_secret(places, env=env, file=file, keyring_entry=keyring_entry).strip()
    if not secret or not secret.isprintable():
        raise RefusedError("does not contain a secret on one line")
    return secret


def _from_keyring(entry: str) -> str:
    # Imported here: it costs 0.1 s and D-Bus, and only those who keep the token there should pay.
    import keyring
    import keyring.errors

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
