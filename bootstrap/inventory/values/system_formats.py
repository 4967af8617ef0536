"""Names of packages, sysctls and kernel modules, whose values go into files that other programs parse."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from bootstrap.inventory.values.containers import ListOf, MapOf
from bootstrap.inventory.values.scalars import Json, RefusedError, Text

_WORD: Final = r"[A-Za-z0-9_-]{1,64}"

BY_KUBERNETES: Final[Mapping[str, str]] = {
    "vm.overcommit_memory": "1",
    "vm.panic_on_oom": "0",
    "kernel.panic": "10",
    "kernel.panic_on_oops": "1",
    "kernel.keys.root_maxkeys": "1000000",
    "kernel.keys.root_maxbytes": "25000000",
    "net.ipv4.ip_forward": "1",
    "net.ipv4.conf.all.forwarding": "1",
    "net.ipv4.conf.default.forwarding": "1",
    "net.bridge.bridge-nf-call-iptables": "1",
}
"""What k3s sets at each start, to these values. Kubernetes: `setupKernelTunables` in pkg/kubelet/cm,
`GetSysctl` in component-helpers/node/util/sysctl; k3s: pkg/agent/syssetup/setup.go."""


def _sysctl_name(text: str) -> str:
    if len(text) > 200:
        raise RefusedError("is longer than 200 characters")
    return text


def _sysctl_hint(text: str) -> str:
    """sysctl(8) accepts slashes between all parts; files and messages have one form."""
    dotted = text.replace(".", "\0").replace("/", ".").replace("\0", "/") if re.match(r"[a-z0-9_]+/", text) else ""
    return f"write {dotted}" if re.fullmatch(_SYSCTL, dotted) else "such as vm.max_map_count"


def _value(text: str) -> str:
    """With one space between its parts, as they are compared."""
    return " ".join(text.split())


def _package(text: str) -> str:
    if text.endswith("-"):
        raise RefusedError(f"{text}: apt-get takes a hyphen at the end for a removal", "remove it")
    return text


def _package_hint(text: str) -> str:
    if "=" in text or ":" in text or " " in text:
        return "one name for each item, without version or architecture"
    return "such as nfs-common"


class _SysctlValue(Text[str]):
    """A text that is most often a number."""

    def schema(self) -> Json:
        """See `Kind`."""
        return {**super().schema(), "type": ["string", "integer"]}


_SYSCTL: Final = rf"[a-z0-9_]{{1,32}}(?:\.{_WORD}(?:/{_WORD})*){{1,8}}"

PACKAGE: Final = Text(
    label="a package's name",
    pattern=r"[A-Za-z0-9][A-Za-z0-9+._-]{0,127}",
    parse=_package,
    explain=_package_hint,
)
SYSCTL: Final = Text(label="a sysctl's name", pattern=_SYSCTL, parse=_sysctl_name, explain=_sysctl_hint)
SYSCTL_VALUE: Final = _SysctlValue(
    label="a sysctl's value of at most 200 letters, digits, spaces and . , : + - _ / % @",
    pattern=r"[A-Za-z0-9.,:+_/%@-](?:[A-Za-z0-9.,:+_/%@ -]{0,198}[A-Za-z0-9.,:+_/%@-])?",
    parse=_value,
    loose=True,
)
KERNEL_MODULE: Final = Text(
    label="a kernel module's name",
    pattern=r"[A-Za-z0-9][A-Za-z0-9_-]{0,54}",
    # The kernel makes no difference between the two, and shows the second.
    parse=lambda text: text.replace("-", "_"),
    explain=lambda text: "modules have no parameters here" if " " in text or "=" in text else "such as iscsi_tcp",
)

PACKAGES: Final = ListOf(item=PACKAGE)
SYSCTLS: Final = MapOf(key=SYSCTL, value=SYSCTL_VALUE)
KERNEL_MODULES: Final = ListOf(item=KERNEL_MODULE)
