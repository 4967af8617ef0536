"""What only connections over jump hosts end with."""

from __future__ import annotations

from bootstrap.errors import SshUnreachableError


class NotReachedFromHopError(SshUnreachableError):
    """A jump host was asked to connect to a place, and could not.

    Attributes:
        refused: Whether the place refused the connection: somebody is there.
    """

    refused = False
