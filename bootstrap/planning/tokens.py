"""Which token counted when: a snapshot can be read with the token of its time alone (k3s.md, Token)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

TOKEN = "token"  # noqa: S105 - the names of state items, not tokens
"""State item: the token that counts now, in its long form."""

NEXT_TOKEN = "token-next"  # noqa: S105
"""State item: the token that the cluster is to have, in its short form, until every machine has it."""

OLD_TOKENS = "tokens-before"
"""State item: the tokens that counted before."""


@dataclass(frozen=True, kw_only=True)
class OldToken:
    """A token that counted once, in its short form; `until_s`: Unix seconds."""

    until_s: int
    token: str = field(repr=False)


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
