"""Limits for answers of Proxmox VE: no redirects, and a maximum size.

The token goes only to the address in the inventory, whose certificate was checked.
"""

from __future__ import annotations

import requests

from bootstrap.errors import AuthenticationError, HypervisorError, UnreadableAnswerError

MOST_BYTES = 64 << 20
"""Of an answer: about a hundred times the list of a large Proxmox cluster's guests."""
MOST_AGENT_BYTES = 1 << 20
"""Of a guest agent's answer, which root in the machine controls. Proxmox VE passes it on as it is."""

_CHUNK = 1 << 16


class RedirectedError(requests.exceptions.RequestException):
    """The answer redirects to another address."""


class OversizedError(requests.exceptions.RequestException):
    """The answer is too long; the rest was not read."""


def read_whole(answer: requests.Response) -> requests.Response:
    """Read a streamed answer to its end.

    Raises:
        RedirectedError: It is a redirect, which requests would follow, with the token where the host is the same.
        OversizedError: It is longer than the limit.
        RequestException: The connection was lost.
    """
    if answer.is_redirect:
        answer.close()
        raise RedirectedError(
            f"{answer.url} answered HTTP {answer.status_code} and sends on to {answer.headers['Location']}",
            response=answer,
        )
    most = MOST_AGENT_BYTES if "/agent/" in answer.url else MOST_BYTES
    body = bytearray()
    for chunk in answer.iter_content(_CHUNK):
        body += chunk
        if len(body) > most:
            answer.close()
            raise OversizedError(f"the answer is longer than {most >> 20} MiB", response=answer)
    answer._content = bytes(body)  # where requests keeps what it has read; it has no public name for it
    return answer


def refused_answer(error: requests.exceptions.RequestException, *, what: str, where: str) -> HypervisorError | None:
    """The HypervisorError for an answer beyond the limits; None for another error.

    Args:
        error: What was raised.
        what: What was tried, as it reads after "cannot".
        where: The endpoint's host and port.
    """
    if isinstance(error, RedirectedError):
        return AuthenticationError(
            f"{where} redirects to another address",
            details=str(error),
            resolution="redirects are not followed, since the token would be sent along: use the address of Proxmox VE "
            "itself as the endpoint (proxmox.endpoint)",
        )
    if isinstance(error, OversizedError):
        return UnreadableAnswerError(f"cannot {what}", details=str(error))
    return None
