"""This machine's apt sources, for the template's packages, and its Debian suite."""

from __future__ import annotations

import platform
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bootstrap.lab.guests.base import GuestError

_APT = Path("/etc/apt")


def debian_suite() -> str:
    """Code name of the Debian this machine runs.

    Raises:
        GuestError: It is not Debian.
    """
    release = platform.freedesktop_os_release()
    if release.get("ID") != "debian" or "VERSION_CODENAME" not in release:
        raise GuestError(f"the lab's template is built from Debian's packages; this is {release.get('NAME')}")
    return release["VERSION_CODENAME"]


def debian_sources(suite: str, *, apt: Path = _APT) -> str:
    """The machine's sources of a suite, its updates and its security fixes, in one-line format.

    Other sources (vendors' repositories) are left out: their suites have other names.

    Args:
        suite: Such as `bookworm`.
        apt: apt's configuration directory.

    Raises:
        GuestError: There is none.
    """
    wanted = (suite, f"{suite}-updates", f"{suite}-security")
    files = [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*"))]
    lines = dict.fromkeys(
        f"deb {signed}{uri} {found} {components}"
        for path in files
        if path.is_file()
        for signed, uri, found, components in _entries(path)
        if found in wanted and "main" in components.split()
    )
    if not any(f" {suite} " in line for line in lines):
        raise GuestError(f"apt on this machine has no source for Debian {suite} in {apt}")
    return "".join(f"{line}\n" for line in lines)


def apt_settings() -> str:
    """How this machine's apt fetches (proxies, checks), to be used for the template as well."""
    dump = subprocess.run(["apt-config", "dump", "Acquire"], capture_output=True, text=True, check=True)
    kept = [
        line
        for line in dump.stdout.splitlines()
        if re.match(r"Acquire::(http|https|ftp|Check-|Retries|Force|AllowInsecure)", line)
    ]
    return "".join(f"{line}\n" for line in kept)


def _entries(path: Path) -> Iterator[tuple[str, str, str, str]]:
    """Every (options, URI, suite, components) of a sources file of either format."""
    text = path.read_text(encoding="utf-8", errors="replace")
    if path.suffix == ".sources":
        for stanza in re.split(r"\n\s*\n", text):
            yield from _stanza_entries(stanza)
    elif path.suffix == ".list":
        for line in text.splitlines():
            match = re.match(r"deb\s+(\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s+([^#]+)", line.strip())
            if match:
                yield match[1] or "", match[2], match[3], match[4].strip()


def _stanza_entries(stanza: str) -> Iterator[tuple[str, str, str, str]]:
    fields: dict[str, str] = {}
    key = ""
    for line in stanza.splitlines():
        if line.startswith("#"):
            continue
        if line[:1].isspace():  # a continuation; only a key inlined in Signed-By has any of length
            fields[key] = f"{fields.get(key, '')} {line.strip()}"
        elif ":" in line:
            key, value = line.split(":", 1)
            key = key.lower()
            fields[key] = value.strip()
    if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() == "no":
        return
    keyring = fields.get("signed-by", "")
    signed = f"[signed-by={keyring}] " if keyring.startswith("/") else ""
    for uri in fields.get("uris", "").split():
        for suite in fields.get("suites", "").split():
            yield signed, uri, suite, fields.get("components", "")
