"""The user's files on a simulated guest, and its hooks: as put-files.sh and run-hook.sh have them.

A hook is not run: what it would do is not known here. One that has `exit N` on a line of its own ends with that status,
and what it prints by `echo` is printed, with its parameters filled in.
"""

from __future__ import annotations

import base64
import hashlib
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bootstrap.lab.simulated.disk import Disk
from bootstrap.lab.simulated.machine.calls import Call, Effect, Outcome

WRITTEN = "/var/lib/homelab-k8s/files"
RAN = "/var/lib/homelab-k8s/hooks"
_PARAMETERS = ("MACHINE", "ROLE", "POOL", "CLUSTER", "ADDRESS", "K3S_VERSION")


@dataclass(frozen=True)
class File:
    """A file that is asked for; without content where the script only looks."""

    sha256: str
    mode: int
    path: str
    content: bytes


@dataclass(frozen=True)
class Files:
    """The files that are asked for on a guest."""

    disk: Disk
    wanted: tuple[File, ...]

    @classmethod
    def sent_with(cls, call: Call) -> Files:
        """Those that were sent, which are removed."""
        lines = [line.split() for line in _taken(call, "files").decode().splitlines()]
        return cls(
            call.guest.disk,
            tuple(
                File(sha256, int(mode, 8), path, base64.b64decode(_taken(call, content)))
                for sha256, mode, content, path in lines
            ),
        )

    @property
    def _written(self) -> list[tuple[str, str]]:
        lines = (self.disk.read(WRITTEN) or "").splitlines()
        return [(line.split()[0], line.split()[1]) for line in lines]

    def obsolete(self) -> tuple[list[str], list[str]]:
        """Files of before that are not asked for and still there: to be removed, and to be kept."""
        asked = {each.path for each in self.wanted}
        paths = sorted({path for _sha256, path in self._written if path not in asked and self.disk.path(path).exists()})
        ours = [path for path in paths if (_sha256(self.disk, path), path) in self._written]
        return ours, [path for path in paths if path not in ours]

    def remove(self, path: str) -> None:
        """Remove one."""
        self.disk.path(path).unlink()

    def differing(self) -> Iterator[File]:
        """Files that are missing, or have another content or mode."""
        for each in self.wanted:
            there = self.disk.path(each.path)
            same = there.is_file() and not there.is_symlink() and _sha256(self.disk, each.path) == each.sha256
            if not same or there.stat().st_mode & 0o777 != each.mode:
                yield each

    def put(self, file: File) -> str:
        """Write one; returns why it cannot be written."""
        there = self.disk.path(file.path)
        for above in reversed(there.parents):
            problem = _obstacle(above, self.disk) if above.is_relative_to(self.disk.root) else ""
            if problem:
                return problem
        if there.is_dir():
            return f"{file.path} is a directory"
        there.parent.mkdir(parents=True, exist_ok=True)
        there.unlink(missing_ok=True)
        there.write_bytes(file.content)
        there.chmod(file.mode)
        return ""

    def note(self, kept: Sequence[str]) -> None:
        """Keep what was written, with what was written before and is kept."""
        written = [(sha256, path) for sha256, path in self._written if path in kept]
        written += [(each.sha256, each.path) for each in self.wanted]
        if written or self.disk.read(WRITTEN) is not None:
            self.disk.write(WRITTEN, "".join(f"{sha256} {path}\n" for sha256, path in sorted(set(written))))


def _obstacle(directory: Path, disk: Disk) -> str:
    """Why nothing may be written below a directory; all here belong to root."""
    name = f"/{directory.relative_to(disk.root)}"
    if directory.is_symlink():
        leads_to = directory.readlink()
        return f"{name} is a symbolic link: write the path of what it leads to, {leads_to}"
    return f"{name} is not a directory" if directory.exists() and not directory.is_dir() else ""


def not_run(disk: Disk, hooks: str) -> Iterator[str]:
    """The hooks that have not run, as the script reports them."""
    ran = (disk.read(RAN) or "").splitlines()
    return (f"{time} {name}" for time, key, name in map(str.split, hooks.splitlines()) if key not in ran)


async def run_hook(call: Call) -> Outcome:
    """run-hook.sh."""
    disk, key = call.guest.disk, call.env["KEY"]
    script = base64.b64decode(_taken(call, "hook")).decode()
    own = dict(line.partition(" ")[::2] for line in _taken(call, "hook.env").decode().splitlines())
    ran = (disk.read(RAN) or "").splitlines()
    if key in ran:
        return Outcome(out="changed=0\n")
    env = {name: base64.b64decode(value).decode() for name, value in own.items()}
    env |= {f"HOMELAB_K8S_{name}": call.env[name] for name in _PARAMETERS} | {"HOMELAB_K8S_HOOK": call.env["TIME"]}
    status = next((int(found) for found in re.findall(r"^exit ([0-9]{1,3})$", script, re.MULTILINE)), 0)
    if status == 0:
        disk.write(RAN, "".join(f"{each}\n" for each in (*ran, key)))
    output = base64.b64encode(_echoed(script, env).encode()).decode()
    return Outcome(out=f"changed=1\nstatus={status}\noutput={output}\n")


def _echoed(script: str, env: Mapping[str, str]) -> str:
    lines = (line.removeprefix("echo ") for line in script.splitlines() if line.startswith("echo "))
    texts = (" ".join(shlex.split(line)) for line in lines)
    filled = (re.sub(r"\$\{?(\w+)\}?", lambda found: env.get(found[1], ""), text) for text in texts)
    return "".join(f"{text}\n" for text in filled)


def _sha256(disk: Disk, path: str) -> str:
    there = disk.path(path)
    return hashlib.sha256(there.read_bytes()).hexdigest() if there.is_file() else ""


def _taken(call: Call, name: str) -> bytes:
    path = call.directory / name
    content = path.read_bytes() if path.is_file() else b""
    path.unlink(missing_ok=True)
    return content


EFFECTS: dict[str, Effect] = {"run-hook.sh": run_hook}
"""The script of this module."""
