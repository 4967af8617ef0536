"""Answers of a Kubernetes API: limited in size, as JSON, with refusals as HomelabErrors."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bootstrap.errors import KubernetesError, KubeUnreachableError, UnreadableObjectError

Object = dict[str, Any]
"""A Kubernetes object, or any other JSON mapping."""

CONNECT_TIMEOUT_S = 3.0
READ_TIMEOUT_S = 10.0
MOST_BYTES = 64 << 20
"""Of an answer: about ten times the list of a thousand nodes."""
MOST_LINE_BYTES = 8 << 20
"""Of a watch event: etcd accepts objects of up to 1.5 MiB."""
_CHUNK = 1 << 16
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses of an API server that is starting, stopping or busy."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the API said.

    Attributes:
        status: HTTP status.
        text: The body.
        at: The API server's time (to the second), or the local one where the answer has none.
    """

    status: int
    text: str
    at: datetime

    @property
    def object(self) -> Object:
        """The body as JSON. Raises KubernetesError."""
        return parse_object(self.text)


def whole(raw: Any, *, server: str) -> bytes:  # noqa: ANN401 - urllib3's response
    """The whole answer; frees its connection. Raises UnreadableObjectError where it is too long."""
    data = bytearray()
    for chunk in raw.stream(_CHUNK, decode_content=True):
        data += chunk
        if len(data) > MOST_BYTES:
            raw.close()
            raise UnreadableObjectError(
                f"the Kubernetes API at {server} sent more than {MOST_BYTES >> 20} MiB for one answer"
            )
    raw.release_conn()
    return bytes(data)


def check(answer: Answer, accepted: frozenset[int] = frozenset(), *, server: str) -> None:
    """Raise for an answer that is not a success.

    Args:
        answer: What the API said.
        accepted: Statuses beyond 2xx that the caller handles.
        server: For error texts.

    Raises:
        KubeUnreachableError: It asks to retry.
        KubernetesError: It is a refusal.
    """
    if 200 <= answer.status < 300 or answer.status in accepted:
        return
    said = _message(answer.text) or f"HTTP {answer.status}"
    if answer.status in _PASSING:
        raise KubeUnreachableError(f"the Kubernetes API at {server} is not ready", details=said)
    resolution = ""
    if answer.status in (401, 403):
        resolution = "the kubeconfig is of another cluster, or its certificate has expired: fetch it again with `up`"
    raise KubernetesError(
        f"the Kubernetes API at {server} refused (HTTP {answer.status})", details=said, resolution=resolution
    )


class Stream:
    """The open answer to a watch."""

    def __init__(self, raw: Any) -> None:  # noqa: ANN401 - urllib3's response, which the client hands through
        self._raw = raw

    def lines(self) -> Iterator[str]:
        """Each line when it is complete."""
        rest = b""
        for chunk in self._raw.stream(amt=None, decode_content=False):
            *whole, rest = (rest + chunk).split(b"\n")
            if len(rest) > MOST_LINE_BYTES:
                raise UnreadableObjectError("the Kubernetes API sent an event without end")
            for line in whole:
                if line.strip():
                    yield line.decode(errors="replace")

    def shut(self) -> None:
        """Wake the thread that reads from it, which then sees the end of the stream."""
        with contextlib.suppress(OSError, ValueError):
            # OSError, ValueError: it is closed already.
            self._raw.shutdown()


def parse_object(text: str) -> Object:
    """JSON as a mapping. Raises KubernetesError."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise KubernetesError("the Kubernetes API sent no JSON", details=f"{error}\n{text[:200]}") from error
    if not isinstance(value, dict):
        raise KubernetesError("the Kubernetes API sent no object", details=text[:200])
    return value


def _message(text: str) -> str:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return text.strip()[:500]
    return str(said.get("message") or "")[:500] if isinstance(said, dict) else text.strip()[:500]
