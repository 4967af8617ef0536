"""Tools of this machine: the needed ones, their Debian packages, and how to run one."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from bootstrap.lab.guests.base import GuestError

PACKAGES = Path(__file__).parent / "packages"
"""One list per kind: a Debian package per line, then the tools taken from it."""


def needed_packages(kind: str) -> dict[str, tuple[str, ...]]:
    """Debian packages a kind needs, each with the tools taken from it."""
    lines = (PACKAGES / f"{kind}.txt").read_text(encoding="utf-8").splitlines()
    rows = [line.split() for line in lines if line.strip() and not line.startswith("#")]
    return {package: tuple(tools) for package, *tools in rows}


def find_tool(name: str) -> str | None:
    """Full path of a tool; looks in sbin too, which is not on every root's PATH."""
    return shutil.which(name) or shutil.which(name, path="/usr/local/sbin:/usr/sbin:/sbin")


def tool_path(name: str) -> str:
    """Full path of a tool.

    Raises:
        GuestError: This machine does not have it.
    """
    path = find_tool(name)
    if path is None:
        raise GuestError(f"{name} is not installed on this machine")
    return path


def missing_packages(kind: str) -> tuple[str, ...]:
    """Packages of a kind to install: those with a tool that this machine lacks, and then also those without tools."""
    needed = needed_packages(kind)
    lacking = {package for package, tools in needed.items() if any(find_tool(tool) is None for tool in tools)}
    return tuple(package for package, tools in needed.items() if lacking and (package in lacking or not tools))


async def run(*argv: str, stdin: str = "", timeout_s: float = 30.0) -> str:
    """Run a tool to its end and return what it printed.

    Args:
        argv: The tool and its arguments.
        stdin: Text it reads.
        timeout_s: After that many seconds it is killed.

    Raises:
        GuestError: The tool is missing, failed or took too long; the text has its output.
    """
    process = await asyncio.create_subprocess_exec(
        tool_path(argv[0]),
        *argv[1:],
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(stdin.encode()), timeout_s)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise GuestError(f"{' '.join(argv)} took longer than {timeout_s:g} s") from None
    if process.returncode != 0:
        said = err.decode(errors="replace").strip() or f"exit status {process.returncode}"
        raise GuestError(f"{' '.join(argv)}: {said}")
    return out.decode(errors="replace")
