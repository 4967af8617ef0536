"""The API token's secret: from where it is stored, never from the inventory itself."""

from __future__ import annotations

from bootstrap.inventory.env_and_flags import ENV_TOKEN
from bootstrap.inventory.files import Places
from bootstrap.inventory.keys.proxmox import ProxmoxKeys, TokenKeys
from bootstrap.inventory.problems import Problems, Where
from bootstrap.inventory.values.pasted_tokens import pasted_token
from bootstrap.inventory.values.scalars import RefusedError
from bootstrap.model.access.endpoint import ApiToken


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
    if len(source.places) != 1 or len(source.found) != 1:
        return None  # noted already by the section, or by the wrong value
    where = next(iter(source.places.values()))
    try:
        text = source.read_from(places)
    except RefusedError as refused:
        problems.add(where, refused.message, refused.hint)
        return None
    return _assemble(text, where, proxmox, problems)


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
