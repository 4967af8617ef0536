"""Reads what guest scripts print: `key=value` lines."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import replace
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from bootstrap.errors import GuestError, UnreadableGuestError
from bootstrap.execution.run_facts import GuestFacts
from bootstrap.k3s.registries import EXPOSED, FOREIGN
from bootstrap.k3s.settings import guest_settings
from bootstrap.model.ids import MachineName
from bootstrap.model.observed import GuestSettings
from bootstrap.model.reading import Reading, Source
from bootstrap.model.settings.hardening import GuestHardening
from bootstrap.model.settings.system import Difference, GuestSystem, Part
from bootstrap.ports import GuestScript, GuestShell

_DIFFERS = rf"({'|'.join(Part)}) [A-Za-z0-9._+@:=/-]{{1,200}}"

WITHIN_S = "2"
"""Scripts that print a state look again and again for as long on the guest itself: one command in place of many.

Not for longer, since Ctrl-C is to end a run within 5 s and a command is not cut short.
"""


class Lines(dict[str, list[str]]):
    """What a script printed: every key with its values in order."""

    def one(self, key: str, default: str = "") -> str:
        """The first value of a key."""
        return next(iter(self.get(key, ())), default)

    def flag(self, key: str) -> bool:
        """Whether it printed `key=1`."""
        return self.get(key) == ["1"]


class Output(str):
    """What a script printed."""

    @property
    def lines(self) -> Lines:
        """Its `key=value` lines."""
        return parse_lines(self)


def run_script(
    shell: GuestShell, script: str, *, timeout_s: float, files: Mapping[str, str] | None = None, **env: str
) -> Output:
    """Run a script of `bootstrap/data/guest/`; what it printed.

    Args:
        shell: A login on the machine.
        script: The script's file name.
        timeout_s: How long it may take.
        files: What is sent with it, by file name; may be secret.
        env: Its parameters.

    Raises:
        ScriptError: It failed.
        SshUnreachableError: The connection broke.
    """
    sent = tuple((files or {}).items())
    return Output(shell.run(GuestScript(name=script, env=tuple(env.items()), secret_files=sent), timeout_s=timeout_s))


def parse_lines(text: str) -> Lines:
    """Every key with its values in order; lines without `=` are passed over."""
    found = Lines()
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals:
            found.setdefault(key.strip(), []).append(value.strip())
    return found


def told(lines: Mapping[str, Sequence[str]], key: str, *, machine: str) -> Reading:
    """The first value that a machine printed under a key, not checked yet; nothing where it printed none."""
    source = Source(call=f"read the facts of {machine}", who="it", error=UnreadableGuestError)
    return Reading(next(iter(lines.get(key, ())), None), source, key)


def parse_facts(text: str, *, machine: str, address: IPv4Address, address6: IPv6Address | None = None) -> GuestFacts:
    """What `facts.sh` printed on a machine. Raises UnreadableGuestError."""
    lines = parse_lines(text)

    def one(key: str, form: str) -> str:
        return told(lines, key, machine=machine).word(form, "of the form that facts.sh prints", default="")

    return GuestFacts(
        address=address,
        address6=address6,
        arch=one("arch", r"[a-z0-9_]{0,32}"),  # becomes a part of files' names
        machine_id=one("machine_id", r"[A-Za-z0-9-]{0,64}"),
        k3s_sha256=one("k3s_sha256", r"[A-Za-z0-9]{0,64}"),
        k3s_version=one("k3s_version", r"[A-Za-z0-9.+_-]{0,64}"),
        active_state=one("active_state", r"[a-z-]{0,32}"),
        sub_state=one("sub_state", r"[a-z-]{0,32}"),
        restarts=told(lines, "restarts", machine=machine).integer(0, 2**31, default=0),
        boot=one("boot", r"[0-9a-f-]{0,64}"),
    )


def parse_guest_settings(machine: MachineName, text: str) -> GuestSettings:
    """What `read-settings.sh` printed.

    Raises:
        GuestError: It is none of its words.
    """
    lines = parse_lines(text)
    try:
        files = [
            (name, base64.b64decode(told, validate=True).decode())
            for name, _, told in (each.rpartition(" ") for each in lines.get("file", []))
        ]
    except (binascii.Error, ValueError) as error:
        raise GuestError(
            f"{machine}: a settings file of k3s cannot be read: {error}",
            resolution=f"look at the files in /etc/rancher/k3s on {machine}",
        ) from error
    found = guest_settings(machine, files, pending=lines.flag("pending"))
    vip = told(lines, "vip", machine=machine).word(r"[0-9.]{7,15}|", "an IPv4 address", default="")
    try:
        address = IPv4Address(vip) if vip else None
    except AddressValueError:
        address = None
    form = f"[0-9a-f]{{64}}|{FOREIGN}|{EXPOSED}|"
    return replace(
        found,
        router_id=told(lines, "vrid", machine=machine).integer(0, 999, default=0),
        vip=address,
        registries=told(lines, "registries", machine=machine).word(form, "of the form of a checksum", default=""),
        hardening=told(lines, "hardening", machine=machine).word(form, "of the form of a checksum", default=""),
        environment=tuple(_variable(each, machine=machine) for each in lines.get("environment", [])),
    )


def _variable(line: str, *, machine: MachineName) -> tuple[str, str]:
    """A variable of the unit with its checksum."""
    form = f"[A-Za-z_][A-Za-z0-9_]{{0,127}} ([0-9a-f]{{64}}|{EXPOSED})"
    read = told({"environment": [line]}, "environment", machine=machine)
    name, _, checksum = read.word(form, "a variable with a checksum").partition(" ")
    return name, checksum


def parse_guest_system(machine: MachineName, text: str) -> GuestSystem:
    """What `prepare-system.sh` printed. Raises UnreadableGuestError."""
    lines = parse_lines(text)

    def all_of(key: str, form: str) -> tuple[str, ...]:
        read = (told({key: [value]}, key, machine=machine) for value in lines.get(key, []))
        return tuple(each.word(form, "of the form that prepare-system.sh prints") for each in read)

    return GuestSystem(
        machine=machine,
        differs=tuple(_difference(each) for each in all_of("differs", _DIFFERS)),
        left=all_of("left", r"[A-Za-z0-9][A-Za-z0-9+._-]{0,127}"),
        manager=told(lines, "manager", machine=machine).word(r"apt-get|dnf|zypper|", "a package manager", default=""),
        kept=all_of("kept", r"/[A-Za-z0-9._+@:=/-]{1,200}"),
    )


def _difference(line: str) -> Difference:
    """`PART NAME`, whose form is known."""
    part, _, name = line.partition(" ")
    return Difference(Part(part), name)


def parse_guest_hardening(machine: MachineName, text: str) -> GuestHardening:
    """What `hardening.sh` printed. Raises UnreadableGuestError."""
    lines = parse_lines(text)

    def pairs(key: str, form: str) -> tuple[tuple[str, str], ...]:
        read = (told({key: [value]}, key, machine=machine) for value in lines.get(key, []))
        words = (each.word(form, "of the form that hardening.sh prints") for each in read)
        return tuple((first, rest) for first, _, rest in (word.partition(" ") for word in words))

    return GuestHardening(
        machine=machine,
        sysctls=pairs("sysctl", r"[a-z0-9_.]{1,64} -?[0-9]{1,20}"),
        loose=tuple(
            (path, mode) for mode, path in pairs("loose", r"[0-7]{1,5}:[0-9]{1,10}:[0-9]{1,10} /[^\x00-\x1f]{1,400}")
        ),
        checked=told(lines, "checked", machine=machine).integer(0, 10_000),
        audited=lines.flag("audited"),
    )
