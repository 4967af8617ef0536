"""A cluster's identity, its CAs and token, as the state directory keeps it for a first server to come."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

from bootstrap.model.reading import Source, read_json
from bootstrap.records.state.state_items import IDENTITY

FORMAT = 1
_SOURCE = Source(
    call="read the cluster's identity in the state directory",
    who="it",
    secret=True,
    resolution=f"remove the file `{IDENTITY}` there to start with new CAs",
)


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What makes kubeconfigs and joined machines of a cluster valid for another one.

    Attributes:
        token: In its short form.
        tls: The CAs' certificates and keys, and the key of service accounts, as a base64 tar.
    """

    token: str = field(repr=False)
    tls: str = field(repr=False)


def render_identity(identity: Identity) -> str:
    """The state item's text; a secret."""
    return json.dumps({"format": FORMAT} | asdict(identity))


def parse_identity(text: str) -> Identity:
    """Read it back. Raises UnreadableError."""
    found = read_json(text, _SOURCE)
    found.at("format").integer(FORMAT, FORMAT)
    return Identity(token=found.at("token").text(), tls=found.at("tls").text())
