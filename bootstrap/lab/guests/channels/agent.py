"""Calls to a guest's qemu-ga over its socket: one JSON line each way.

The same protocol serves a socket that qemu-ga itself listens on and the socket of QEMU's virtio-serial
port. The second keeps unread answers, so every call starts with `guest-sync-delimited`, which marks
where the answers of this call begin (QEMU guest agent protocol reference).
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bootstrap.lab.guests.base import AgentCommandError, AgentSilentError

ANSWER_TIMEOUT_S = 3.0
"""Proxmox VE's timeout for an answer (PVE::QMPClient, guest agent calls)."""

_NEVER_ANSWERED = frozenset({"guest-shutdown", "guest-suspend-disk", "guest-suspend-ram"})
"""Commands that qemu-ga answers only on failure (`success-response: false` in its schema)."""

_MARK = b"\xff"
_LINE_LIMIT = 64 * 1024 * 1024
"""qemu-ga answers guest-file-read with up to 48 MiB of base64 on one line."""


class AgentSocket:
    """One guest's agent. Calls are queued, since the channel carries one at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = asyncio.Lock()

    async def call(
        self, command: str, arguments: Mapping[str, Any] | None = None, *, timeout_s: float = ANSWER_TIMEOUT_S
    ) -> Any:  # noqa: ANN401 - qemu-ga answers JSON of any shape
        """Send a command and return the `return` member of its answer.

        Args:
            command: Such as `guest-ping`.
            arguments: Its arguments, by name.
            timeout_s: For the whole call, waiting for the channel included.

        Raises:
            AgentSilentError: No answer in time, or nothing listens at the socket.
            AgentCommandError: qemu-ga refused; the text is its `desc`.
        """
        try:
            async with asyncio.timeout(timeout_s), self._lock:
                return await self._exchange(command, arguments)
        except (TimeoutError, OSError, EOFError) as error:
            raise AgentSilentError(f"no answer to {command} from {self._path.name}") from error

    async def _exchange(self, command: str, arguments: Mapping[str, Any] | None) -> Any:  # noqa: ANN401
        reader, writer = await asyncio.open_unix_connection(self._path, limit=_LINE_LIMIT)
        try:
            mark = random.randrange(1, 2**31)  # noqa: S311 - an echo to recognise, not a secret
            writer.write(_MARK + _encode("guest-sync-delimited", {"id": mark}))
            while True:
                await reader.readuntil(_MARK)
                if _decode(await reader.readuntil(b"\n")).get("return") == mark:
                    break
            writer.write(_encode(command, arguments))
            await writer.drain()
            if command in _NEVER_ANSWERED:
                return None
            answer = _decode(await reader.readuntil(b"\n"))
        finally:
            writer.close()
        if "error" in answer:
            raise AgentCommandError(str(answer["error"].get("desc", answer["error"])))
        return answer.get("return")


def _encode(command: str, arguments: Mapping[str, Any] | None) -> bytes:
    request: dict[str, Any] = {"execute": command}
    if arguments:
        request["arguments"] = dict(arguments)
    return json.dumps(request).encode() + b"\n"


def _decode(line: bytes) -> dict[str, Any]:
    """One answer; lines that are no JSON object come from before the mark."""
    try:
        value = json.loads(line)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
