"""Commands to a running QEMU over its monitor socket (QMP)."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from bootstrap.lab.guests.base import GuestError


async def qmp(socket: Path, command: str, *, timeout_s: float = 10.0) -> None:
    """Run one monitor command.

    Args:
        socket: QEMU's `-qmp unix:` socket.
        command: Such as `system_powerdown`.
        timeout_s: For the greeting and both answers.

    Raises:
        GuestError: QEMU refuses, is gone or does not answer.
    """
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_unix_connection(socket)
            try:
                await reader.readline()  # the greeting
                for word in ("qmp_capabilities", command):
                    writer.write(json.dumps({"execute": word}).encode() + b"\n")
                    await _answer(reader, word)
            finally:
                writer.close()
    except (OSError, TimeoutError) as error:
        raise GuestError(f"QEMU's monitor does not answer to {command}: {error}") from error


async def _answer(reader: asyncio.StreamReader, word: str) -> None:
    """Skip events and read the answer."""
    while line := await reader.readline():
        said = json.loads(line)
        if "error" in said:
            raise GuestError(f"QEMU refuses {word}: {said['error'].get('desc')}")
        if "return" in said:
            return
    raise GuestError(f"QEMU ended before it answered to {word}")
