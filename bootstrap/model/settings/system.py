"""What the user wants on the machines' operating system: packages, kernel settings, files and hooks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from bootstrap.model.ids import MachineName

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class FileSpec:
    """A file of the user's on machines, root's. No text of this value shows its content.

    Attributes:
        path: Absolute.
        mode: Its permissions in octal: `0644`.
        content: The whole content.
        secret: Whether the content comes from where secrets are stored.
    """

    path: str
    mode: str
    content: bytes = field(repr=False)
    secret: bool = False

    @property
    def sha256(self) -> str:
        """SHA-256 of the content, in lower-case hex."""
        return hashlib.sha256(self.content).hexdigest()


class HookTime(StrEnum):
    """When a hook runs; the values are those of the inventory."""

    BEFORE_K3S = "before_k3s"
    AFTER_READY = "after_ready"


@dataclass(frozen=True, kw_only=True)
class HookSpec:
    """A script of the user's that runs once on a machine. No text of this value shows the script or its parameters.

    Attributes:
        name: For messages.
        time: When it runs.
        content: The script, with its `#!` line.
        env: Parameters of the user's own.
        secrets: The values among them that come from where secrets are stored.
    """

    name: str
    time: HookTime
    content: bytes = field(repr=False)
    env: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def key(self) -> str:
        """SHA-256 of all that makes it another hook: time, script and parameters, and not its name."""
        parts = (self.time.encode(), self.content, *(f"{name}={value}".encode() for name, value in sorted(self.env)))
        return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


@dataclass(frozen=True, kw_only=True)
class SystemSpec:
    """Packages, kernel settings, files and hooks.

    Attributes:
        packages: Names as the machines' package manager knows them.
        sysctls: Names and values; each name once.
        kernel_modules: Names as `lsmod` shows them.
        files: Each path once.
        hooks: In the order in which they run; of each time each name once.
    """

    packages: tuple[str, ...] = ()
    sysctls: tuple[tuple[str, str], ...] = ()
    kernel_modules: tuple[str, ...] = ()
    files: tuple[FileSpec, ...] = ()
    hooks: tuple[HookSpec, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything is wanted."""
        return self.has_state or bool(self.hooks)

    @property
    def has_state(self) -> bool:
        """Whether anything is wanted that stays on a machine: all but hooks."""
        return bool(self.packages or self.sysctls or self.kernel_modules or self.files)

    @property
    def has_kernel_settings(self) -> bool:
        """Whether anything of it concerns the kernel, which a container shares with its host."""
        return bool(self.sysctls or self.kernel_modules)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What is to be masked: parameters of hooks, and each line of secret files."""
        files = (each.content.decode(errors="replace") for each in self.files if each.secret)
        return (
            *(line for text in files for line in (text, *text.splitlines())),
            *(secret for hook in self.hooks for secret in hook.secrets),
        )

    def at(self, time: HookTime) -> tuple[HookSpec, ...]:
        """The hooks that run at a time, in order."""
        return tuple(each for each in self.hooks if each.time is time)

    def with_more(self, more: SystemSpec) -> SystemSpec:
        """Both together; where both have a sysctl, a file's path or a hook's name, `more` decides."""
        return SystemSpec(
            packages=tuple(sorted({*self.packages, *more.packages})),
            sysctls=tuple(sorted((dict(self.sysctls) | dict(more.sysctls)).items())),
            kernel_modules=tuple(sorted({*self.kernel_modules, *more.kernel_modules})),
            files=_last_of_each((*self.files, *more.files), lambda each: each.path),
            hooks=_last_of_each((*self.hooks, *more.hooks), lambda each: (each.time, each.name)),
        )

    @property
    def without_kernel(self) -> SystemSpec:
        """The same without what concerns the kernel."""
        return SystemSpec(packages=self.packages, files=self.files, hooks=self.hooks)


def _last_of_each(values: Iterable[T], same: Callable[[T], Hashable]) -> tuple[T, ...]:
    """One of each kind, the last, where the first of its kind stood."""
    found: dict[Hashable, T] = {}
    for each in values:
        found[same(each)] = each
    return tuple(found.values())


class Part(StrEnum):
    """What a difference is about; the values are the words of `prepare-system.sh`."""

    PACKAGE = "package"
    SYSCTL = "sysctl"
    MODULE = "module"
    FILE = "file"
    OBSOLETE_FILE = "obsolete"
    HOOK_BEFORE_K3S = HookTime.BEFORE_K3S.value
    HOOK_AFTER_READY = HookTime.AFTER_READY.value


@dataclass(frozen=True)
class Difference:
    """What is missing on a machine or has another value, is to be removed (`OBSOLETE_FILE`) or to be run (hooks)."""

    part: Part
    name: str

    @property
    def hook(self) -> HookTime | None:
        """When a hook runs; None for all that is no hook."""
        return HookTime(self.part) if self.part in (Part.HOOK_BEFORE_K3S, Part.HOOK_AFTER_READY) else None

    def __str__(self) -> str:
        """As users read it: `sysctl vm.swappiness`, `obsolete file /etc/x`, `hook disks`."""
        if self.hook is not None:
            return f"hook {self.name}"
        return f"obsolete file {self.name}" if self.part is Part.OBSOLETE_FILE else f"{self.part} {self.name}"


@dataclass(frozen=True, kw_only=True)
class GuestSystem:
    """How a machine differs from that, as it says itself.

    Attributes:
        differs: In what.
        left: Packages that were installed for the inventory, are no longer in it, and are still there.
        kept: Files likewise, which are kept since they are not as this program wrote them.
        manager: The command of its package manager; known where there are packages left.
    """

    machine: MachineName
    differs: tuple[Difference, ...] = ()
    left: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    manager: str = ""
