"""Command lines on a simulated guest: known scripts have their effect, everything else fails."""

from __future__ import annotations

import base64
import re
import shlex
from dataclasses import replace

from bootstrap.lab.simulated.machine.calls import Call, Outcome
from bootstrap.lab.simulated.machine.machine import Machine
from bootstrap.lab.simulated.scripts.scripts import EFFECTS

_PLAIN = re.compile(r"exec /bin/sh -c '(?P<text>[^'\\!\n]*)'")
"""Command lines that bash, fish and csh read in the same way; others are refused."""
_ENCODED = re.compile(r'eval "\$\(echo (?P<base64>[A-Za-z0-9+/=]+) \| base64 -d\)"')
_FORM = re.compile(
    r'LC_ALL=C; export LC_ALL; cd "\$HOME/(?P<directory>[\w./-]+)" && exec (?P<sudo>sudo -n -u root )?'
    r"env (?P<env>.*?) ?"
    r'sh -c "echo (?P<mark>\S+); echo (?P=mark) >&2; exec sh \./(?P<script>[\w.-]+)"',
    re.DOTALL,
)


async def execute(guest: Machine, command: str, *, user: str) -> Outcome:
    """Run a command line."""
    text = _text(command)
    found = _FORM.fullmatch(text) if text is not None else None
    if found is None:
        return _unknown(f"the command {command!r}")
    if found["sudo"] and user != "root" and guest.struck("sudo-password"):
        return Outcome(1, err="sudo: a password is required\n")
    done = await _as_root(guest, found, user)
    mark = f"{found['mark']}\n"
    return replace(done, out=mark + done.out, err=mark + done.err)


async def _as_root(guest: Machine, found: re.Match[str], user: str) -> Outcome:
    """Run a script as root."""
    name = found["script"]
    if any(fault.text("during") == name for fault in guest.world.faults.named("reboots")) and guest.struck("reboots"):
        await guest.reboot()
        return Outcome(143)  # the client gets no answer
    effect = EFFECTS.get(name)
    if effect is None:
        return _unknown(f"the script {name}")
    if user != "root" and not found["sudo"]:
        return _unknown(f"{name} run by {user}, who is not root")
    directory = guest.disk.home(user) / found["directory"]
    if not (directory / name).is_file():
        return Outcome(2, err=f"sh: 0: cannot open ./{name}: No such file\n")
    env = dict(word.partition("=")[::2] for word in shlex.split(found["env"]))
    return await effect(Call(guest=guest, directory=directory, env=env))


def _text(command: str) -> str | None:
    """The lines that a login shell passes to sh; None if a shell may read them in another way."""
    plain = _PLAIN.fullmatch(command)
    if plain is None:
        return None
    encoded = _ENCODED.fullmatch(plain["text"])
    return base64.b64decode(encoded["base64"]).decode() if encoded else plain["text"]


def _unknown(what: str) -> Outcome:
    return Outcome(127, err=f"simulation: this guest does not know {what}\n", unknown=True)
