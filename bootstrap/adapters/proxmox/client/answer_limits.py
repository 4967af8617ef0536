"""What may come back from Proxmox VE at most: no redirect, and no answer without end.

The token goes to the address that the inventory names, whose certificate was checked, and nowhere else.
"""

from __future__ import annotations

import requests

from bootstrap.errors import AuthenticationError, HypervisorError, UnreadableAnswerError

MOST_BYTES = 64 << 20
"""Of an answer: some hundred times the list of a large Proxmox cluster's guests."""
MOST_AGENT_BYTES = 1 << 20
"""Of what a guest agent says: anyone who is root in the machine decides that. Proxmox VE hands it on as it is."""

_AGENT = "/agent/"
_CHUNK = 1 << 16


class RedirectedError(requests.exceptions.RequestException):
    """The answer sends us to another address."""


class OversizedError(requests.exceptions.RequestException):
    """The answer is longer than it may be; the rest was not read."""


def read_whole(answer: requests.Response) -> requests.Response:
    """Read an answer that was asked for as a stream, to its end.

    Raises:
        RedirectedError: It is a redirect, which requests would follow, with the token where the host is the same.
        OversizedError: It does not end where it should; memory is not filled with it.
        RequestException: The connection was lost.
    """
    if answer.is_redirect:
        answer.close()
        raise RedirectedError(
            f"{answer.url} answered HTTP {answer.status_code} and sends on to {answer.headers['Location']}",
            response=answer,
        )
    most = MOST_AGENT_BYTES if _AGENT in answer.url else MOST_BYTES
    body = bytearray()
    for chunk in answer.iter_content(_CHUNK):
        body += chunk
        if len(body) > most:
            answer.close()
            raise OversizedError(f"the answer is longer than {most >> 20} MiB", response=answer)
    answer._content = bytes(body)  # where requests keeps what it has read; it has no public name for it
    return answer


def refused_answer(error: requests.exceptions.RequestException, *, what: str, where: str) -> HypervisorError | None:
    """The error of ours for an answer that was not taken; None where there is another reason.

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
