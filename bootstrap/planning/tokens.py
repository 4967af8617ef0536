"""Which token counted when: a snapshot can be read with the token of its time alone (k3s.md, Token)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from bootstrap.errors import GuestError

TOKEN = "token"  # noqa: S105 - the names of state items, not tokens
"""State item: the token that counts now, in its long form."""

NEXT_TOKEN = "token-next"  # noqa: S105
"""State item: the token that the cluster is to have, in its short form, until every machine has it."""

OLD_TOKENS = "tokens-before"
"""State item: the tokens that counted before."""


_FORM = re.compile(r"(?:K10[0-9a-f]{64}::(?:server|node):)?[A-Za-z0-9._~+/=@-]{1,512}")


@dataclass(frozen=True, kw_only=True)
class OldToken:
    """A token that counted once, in its short form; `until_s`: Unix seconds."""

    until_s: int
    token: str = field(repr=False)


def check_token(token: str, *, source: str) -> str:
    """A token that goes into files which others parse: no quote, space or control character, so that it stays a value.

    In the environment file of a unit a quote and a newline began another variable, such as LD_PRELOAD.

    Args:
        token: As it was read: `K10HASH::server:SECRET` (or `node`), or the secret alone; white space around it goes.
        source: What it was read from, for the error: a machine, or a file.

    Raises:
        GuestError: It has another form. The token itself is not told.
    """
    stripped = token.strip()
    if not _FORM.fullmatch(stripped):
        raise GuestError(
            f"{source}: the cluster's token has an odd form; it was not used",
            details="it is to be K10, 64 hex digits, ::server: and a secret of letters, digits and ._~+/=@-, or that "
            f"secret alone; it has {len(stripped)} characters",
            resolution="where nobody of yours has chosen such a token, look at the machine first; a new one is set on "
            "a server with `k3s token rotate --token OLD --new-token NEW`",
        )
    return stripped


def short_form(token: str) -> str:
    """What follows `::server:` in a token's long form; a short one as it is."""
    return token.strip().rpartition(":")[2]


def parse_old_tokens(text: str) -> tuple[OldToken, ...]:
    """The tokens of a state item, oldest first; lines that are none are passed over."""
    found = []
    for line in text.splitlines():
        until_s, _, token = line.partition(" ")
        if until_s.isdecimal() and token:
            found.append(OldToken(until_s=int(until_s), token=token))
    return tuple(sorted(found, key=lambda old: old.until_s))


def render_old_tokens(tokens: Sequence[OldToken]) -> str:
    """The state item's text; a secret."""
    return "".join(f"{old.until_s} {old.token}\n" for old in tokens)


def with_old_token(tokens: Sequence[OldToken], token: str, *, until_s: float) -> tuple[OldToken, ...]:
    """The tokens and one that ends now; said twice in a row (a run that was killed there) it ends when first said."""
    if tokens and tokens[-1].token == token:
        return tuple(tokens)
    return (*tokens, OldToken(until_s=int(until_s), token=token))


def token_at(made_s: int | None, *, now: str, before: Sequence[OldToken]) -> str:
    """The short token that counted when a snapshot was taken.

    Args:
        made_s: When, in Unix seconds; None: not known, so the one that counts now.
        now: The token that counts now, in any form.
        before: Those that did, oldest first.
    """
    if made_s is not None:
        for old in before:
            if made_s < old.until_s:
                return old.token
    return short_form(now)
