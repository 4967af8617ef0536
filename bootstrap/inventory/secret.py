"""The API token's secret: from the environment, a file or the keyring, never from the inventory itself."""

from __future__ import annotations

from bootstrap.inventory.env_and_flags import ENV_TOKEN
from bootstrap.inventory.files import Places, read_text
from bootstrap.inventory.keys.proxmox import ProxmoxKeys, TokenKeys
from bootstrap.inventory.problems import Problems, Where
from bootstrap.inventory.values.pasted_tokens import pasted_token
from bootstrap.inventory.values.scalars import RefusedError
from bootstrap.model.endpoint import ApiToken


def read_token(proxmox: ProxmoxKeys, places: Places, problems: Problems) -> ApiToken | None:
    """The token to log in with, or None with a noted problem."""
    if proxmox.given(ProxmoxKeys.token):
        source = proxmox.token
        return _from_source(source, proxmox, places, problems) if source is not None else None
    where = Where(path=ENV_TOKEN)
    text = places.environ.get(ENV_TOKEN, "")
    if not text:
        hint = f"set {ENV_TOKEN} to user@realm!name=secret, or set proxmox.token in the file"
        problems.add(proxmox.at(ProxmoxKeys.token), "there is no API token", hint)
        return None
    return _assemble(text, where, proxmox, problems)


def _from_source(source: TokenKeys, proxmox: ProxmoxKeys, places: Places, problems: Problems) -> ApiToken | None:
    name, path, entry = source.env, source.file, source.keyring
    if len([each for each in (name, path, entry) if each is not None]) != 1:
        return None  # noted already by the section, or by the wrong value
    where = next(iter(source.places.values()))
    try:
        if name is not None:
            text = places.environ.get(name, "")
            if not text:
                raise RefusedError(f"the environment variable {name} is not set", f"export {name}=...")
        elif path is not None:
            text = read_text(places.resolve(path))
        else:
            text = _from_keyring(entry or "")
    except RefusedError as refused:
        problems.add(where, refused.message, refused.hint)
        return None
    return _assemble(text, where, proxmox, problems)


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


def _assemble(text: str, where: Where, proxmox: ProxmoxKeys, problems: Problems) -> ApiToken | None:
    """Join the secret and the token's id. Messages never repeat any part of the text."""
    stated, secret = pasted_token(text)
    if not proxmox.given(ProxmoxKeys.token_id):
        if stated is None or not secret:
            hint = "with only the secret, set token_id: user@realm!name in the file"
            problems.add(where, "does not contain user@realm!name=secret", hint)
            return None
        return ApiToken(user=stated[0], name=stated[1], secret=secret)
    identity = proxmox.token_id
    if identity is None:
        return None
    if stated is not None and stated != identity:
        problems.add(
            where, f"is of the token {'!'.join(stated)}, not of token_id {'!'.join(identity)}", "correct one of the two"
        )
        return None
    if not secret or any(character.isspace() for character in secret):
        problems.add(
            where, "does not contain a token secret", "it is the UUID that Proxmox showed when the token was created"
        )
        return None
    return ApiToken(user=identity[0], name=identity[1], secret=secret)
