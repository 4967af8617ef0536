"""What the user wants on the machines' operating system: packages and kernel settings."""

from __future__ import annotations

from dataclasses import dataclass

from bootstrap.model.ids import MachineName


@dataclass(frozen=True, kw_only=True)
class SystemSpec:
    """Packages and kernel settings.

    Attributes:
        packages: Names as the machines' package manager knows them.
        sysctls: Names and values; each name once.
        kernel_modules: Names as `lsmod` shows them.
    """

    packages: tuple[str, ...] = ()
    sysctls: tuple[tuple[str, str], ...] = ()
    kernel_modules: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything is wanted."""
        return bool(self.packages or self.sysctls or self.kernel_modules)

    @property
    def has_kernel_settings(self) -> bool:
        """Whether anything of it concerns the kernel, which a container shares with its host."""
        return bool(self.sysctls or self.kernel_modules)

    def with_more(self, more: SystemSpec) -> SystemSpec:
        """Both together; where both set a sysctl, `more` decides."""
        return SystemSpec(
            packages=tuple(sorted({*self.packages, *more.packages})),
            sysctls=tuple(sorted((dict(self.sysctls) | dict(more.sysctls)).items())),
            kernel_modules=tuple(sorted({*self.kernel_modules, *more.kernel_modules})),
        )

    @property
    def packages_only(self) -> SystemSpec:
        """The same without what concerns the kernel."""
        return SystemSpec(packages=self.packages)


@dataclass(frozen=True, kw_only=True)
class GuestSystem:
    """How a machine differs from that, as it says itself.

    Attributes:
        differs: What is missing or has another value: `package NAME`, `sysctl NAME`, `module NAME`, `file PATH`.
        left: Packages that were installed for the inventory, are no longer in it, and are still there.
    """

    machine: MachineName
    differs: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
