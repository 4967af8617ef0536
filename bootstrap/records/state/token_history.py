"""Which token counted when: a snapshot can be read with the token of its time alone (docs/k3s.md#token)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from bootstrap.errors import GuestError
from bootstrap.records.state.lines import parse_lines, render_lines

FORMAT = 1
"""Of the state item with the tokens that counted before."""

_SECONDS = re.compile("[0-9]{1,12}")
_FORM = re.compile(r"(?:K10[0-9a-f]{64}::(?:server|node):)?[A-Za-z0-9._~+/=@-]{1,512}")


@dataclass(frozen=True, kw_only=True)
class ClusterTokens:
    """What machines join a cluster with.

    Attributes:
        server: The servers' token. Anyone who has it is given the keys of all CAs (k3s: /v1-k3s/server-bootstrap).
        agent: The agents' token, with which that is refused; empty where agents have the servers', as in clusters of
            earlier releases.
    """

    server: str = field(repr=False)
    agent: str = field(default="", repr=False)

    @property
    def of_agents(self) -> str:
        """What an agent joins with."""
        return self.agent or self.server

    def short(self) -> ClusterTokens:
        """Both in their short form."""
        return ClusterTokens(server=short_form(self.server), agent=short_form(self.agent))


def parse_tokens(text: str, *, source: str) -> ClusterTokens:
    """What read-token.sh printed: the servers' token, and the agents' on a second line, the same where there is none.

    Raises:
        GuestError: One of them is none by its form.
    """
    server, _, agent = text.strip().partition("\n")
    server = check_token(server, source=source)
    agent = check_token(agent, source=source) if agent.strip() else ""
    return ClusterTokens(server=server, agent="" if short_form(agent) == short_form(server) else agent)


def agent_token(secret: str, *, beside: str) -> str:
    """An agents' token in its long form: with the CA's hash of the servers' token beside it, if that has one."""
    ca, separator, _ = beside.strip().partition("::")
    return f"{ca}::node:{short_form(secret)}" if separator else short_form(secret)


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
            f"{source}: the cluster's token is malformed; it was not used",
            details="expected: K10, 64 hex digits, ::server: and a secret of letters, digits and ._~+/=@-, or that "
            f"secret alone; it has {len(stripped)} characters",
            resolution="if you did not choose such a token, check the machine for intruders first; set a new one on a "
            "server with `k3s token rotate --token OLD --new-token NEW`",
        )
    return stripped


def short_form(token: str) -> str:
    """What follows `::server:` or `::node:` in a token's long form; a short one as it is."""
    return token.strip().rpartition(":")[2]


def parse_old_tokens(text: str) -> tuple[OldToken, ...]:
    """The tokens of a state item, oldest first; lines that are none are passed over.

    Raises:
        UnreadableError: A newer release has written it.
    """
    found = []
    for line in parse_lines(text, newest=FORMAT, what="the tokens that counted before"):
        until_s, _, token = line.partition(" ")
        if _SECONDS.fullmatch(until_s) and token:
            found.append(OldToken(until_s=int(until_s), token=token))
    return tuple(sorted(found, key=lambda old: old.until_s))


def render_old_tokens(tokens: Sequence[OldToken]) -> str:
    """The state item's text; a secret."""
    return render_lines((f"{old.until_s} {old.token}" for old in tokens), form=FORMAT)


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
