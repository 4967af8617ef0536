"""A cluster's identity, its CAs and token, on servers: passwords are saved there, and a first server inherits it."""

from __future__ import annotations

import secrets

from bootstrap.advice import Advice
from bootstrap.errors import ScriptError
from bootstrap.execution.context import RunContext
from bootstrap.execution.k3s.kube_retries import ANSWER_S
from bootstrap.k3s.ca_archive import check_identity
from bootstrap.model.ids import MachineName
from bootstrap.records.state.identity import parse_identity
from bootstrap.records.state.state_items import IDENTITY
from bootstrap.records.state.token_history import short_form
from bootstrap.waiting import NotYet

_BYTES = 32
_PASSING = ("etcdserver: ", "does not answer", "apiserver not ready")
"""What rotate_token.py says of a server that will take the next request."""


def new_token() -> str:
    """A random token in its short form."""
    return secrets.token_hex(_BYTES)


def put_passwords(name: MachineName, token: str, context: RunContext) -> None:
    """Save the passwords that a server was started with in the cluster's data, by giving it the token that it has.

    k3s goes by the unit's environment at each start and writes cred/passwd, but puts it into the data with a rotation
    of the token alone; a file that is newer than the data is fatal at the start after next (k3s: pkg/cluster/
    bootstrap.go, pkg/server/handlers/token.go). A server that has just started may not be heard by etcd yet.

    Raises:
        ScriptError: The server refuses it.
        DeadlineError: It could not be saved in time.
    """

    def poll() -> bool | NotYet:
        try:
            context.run(name, "rotate-token.sh", files={"new-token": short_form(token)})
        except ScriptError as error:
            if not any(words in error.details for words in _PASSING):
                raise
            return NotYet(error.details)
        return True

    context.wait_for(
        "the passwords to be saved in the cluster's data",
        poll,
        every_s=0.5,
        resolution=Advice("check the servers with `homelab-k8s status`, then run the command again"),
        timeout_s=ANSWER_S,
    )


def inherit(name: MachineName, context: RunContext) -> str | None:
    """Give a server that has never run the identity that was kept, if one was; returns the token to begin with."""
    text = context.read_item(IDENTITY)
    if not text:
        return None
    identity = parse_identity(text)
    tls = check_identity(identity.tls, source="the state directory")
    context.run(name, "put-identity.sh", files={"identity": tls})
    return identity.token
