"""What an agent logs while it cannot join, in k3s's words: with the address of its local load balancer."""

from __future__ import annotations

import http.client

BALANCER = "https://127.0.0.1:6444"
LATE = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"


def not_valid(url: str, problem: str) -> str:
    """At level error, every 2 s."""
    return f"Failed to validate connection to cluster at {url}: {problem}"


def waiting(problem: str) -> str:
    """At level info, every 5 to 10 s."""
    return f"Waiting to retrieve agent configuration; server is not ready: {problem}"


def unreachable(path: str, error: OSError | http.client.HTTPException, verb: str = "Get") -> str:
    """The balancer accepts the connection, and closes it when no server answers."""
    return f'{verb} "{BALANCER}{path}": {LATE if isinstance(error, TimeoutError) else "EOF"}'


REJECTED_LOGIN = "Node authorization rejected, retrying without client certificate authentication"
"""Logged by an agent that was in the cluster; it then sends the same request again, without its body."""


def body_is_gone(path: str, length: int) -> str:
    return f'Post "{BALANCER}{path}": http: ContentLength={length} with Body length 0'
