"""Effect of the guest script that looks at what hardening asks for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bootstrap.lab.simulated.disk import Disk
from bootstrap.lab.simulated.machine.calls import Call, Effect, Outcome
from bootstrap.lab.simulated.machine.hardening import DATA
from bootstrap.lab.simulated.scripts.system import sysctl

_SYSCTLS = (
    "vm.overcommit_memory",
    "vm.panic_on_oom",
    "kernel.panic",
    "kernel.panic_on_oops",
    "kernel.keys.root_maxkeys",
    "kernel.keys.root_maxbytes",
)
_AGENT = "/var/lib/rancher/k3s/agent"
_PATHS = (
    *(f"/etc/rancher/k3s/{name}.yaml" for name in ("config", "k3s", "registries")),
    *(f"{DATA}{name}" for name in ("", "/*.yaml", "/logs", "/logs/*", "/db/etcd", "/cred/*.kubeconfig", "/tls/*.crt")),
    *(f"{DATA}/tls/{name}" for name in ("*.key", "etcd/*.key")),
    *(f"{_AGENT}/{name}" for name in ("*.kubeconfig", "*.key", "client-ca.crt")),
)


async def hardening(call: Call) -> Outcome:
    """hardening.sh; all files are root's."""
    disk = call.guest.disk
    checked = list(_there(disk))
    loose = [(path, mode) for path, mode in checked if mode & 0o077]
    lines = [f"sysctl={name} {sysctl(disk, name)}" for name in _SYSCTLS]
    lines += [f"loose={mode:o}:0:0 /{path.relative_to(disk.root)}" for path, mode in loose[:20]]
    log = disk.read(f"{DATA}/logs/audit.log")
    return Outcome(
        out="".join(f"{line}\n" for line in (*lines, f"checked={len(checked)}", f"audited={int(bool(log))}"))
    )


def _there(disk: Disk) -> Iterator[tuple[Path, int]]:
    for pattern in _PATHS:
        for path in sorted(disk.root.glob(pattern.lstrip("/"))):
            yield path, path.stat().st_mode & 0o777


EFFECTS: dict[str, Effect] = {"hardening.sh": hardening}
"""The script of this module."""
