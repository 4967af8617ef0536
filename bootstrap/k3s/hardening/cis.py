"""What k3s's CIS hardening guide asks for, in k3s's own settings. Pure.

From k3s's documentation: Security, CIS Hardening Guide ("v1.29 and Newer") and the CIS 1.12 self assessment, which is
for v1.32 to v1.36. `secrets-encryption` is always on. `request-timeout`, `AlwaysPullImages` and a limit of processes in
pods are left to the user by the guide, and here too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from bootstrap.k3s.pass_through.merge import pass_through
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.machine import MachineKind, MachineSpec, Role
from bootstrap.model.settings.hardening import Hardening

DATA: Final = "/var/lib/rancher/k3s/server"
ADMISSION: Final = f"{DATA}/psa.yaml"
AUDIT_POLICY: Final = f"{DATA}/audit.yaml"
AUDIT_LOG: Final = f"{DATA}/logs/audit.log"

PROTECT: Final = "protect-kernel-defaults"
"""The kubelet then ends where the kernel has other values than `KERNEL`, in place of setting them."""

API_SERVER: Final = "kube-apiserver-arg"
CONTROLLERS: Final = "kube-controller-manager-arg"
KUBELET: Final = "kubelet-arg"

_CIPHERS: Final = (
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305",
)
ARGUMENTS: Final[Mapping[str, tuple[str, ...]]] = {
    API_SERVER: (
        "enable-admission-plugins=NodeRestriction,EventRateLimit",
        f"admission-control-config-file={ADMISSION}",
        f"audit-log-path={AUDIT_LOG}",
        f"audit-policy-file={AUDIT_POLICY}",
        "audit-log-maxage=30",
        "audit-log-maxbackup=10",
        "audit-log-maxsize=100",
        "service-account-extend-token-expiration=false",
    ),
    CONTROLLERS: ("terminated-pod-gc-threshold=100",),
    KUBELET: ("streaming-connection-idle-timeout=5m", f"tls-cipher-suites={','.join(_CIPHERS)}"),
}
"""The guide's arguments of Kubernetes' components; those of the kubelet are for all machines."""

_JOINED: Final = frozenset({"enable-admission-plugins"})
"""Arguments that add up where they are given more than once (Kubernetes: `StringSliceVar`), and are meant to."""

KERNEL: Final[Mapping[str, str]] = {
    "vm.overcommit_memory": "1",
    "vm.panic_on_oom": "0",
    "kernel.panic": "10",
    "kernel.panic_on_oops": "1",
    "kernel.keys.root_maxkeys": "1000000",
    "kernel.keys.root_maxbytes": "25000000",
}
"""The kernel settings that the kubelet checks (Kubernetes: `setupKernelTunables` in pkg/kubelet/cm). The guide has the
first four; of the others they are the kernel's defaults."""


def is_hardened(spec: ClusterSpec) -> bool:
    """Whether the cluster follows the guide."""
    return spec.hardening is Hardening.CIS


def protects_kernel(spec: ClusterSpec, machine: MachineSpec) -> bool:
    """Whether the kernel settings are a machine's own matter: a container has its Proxmox node's kernel."""
    return is_hardened(spec) and machine.kind is not MachineKind.LXC


def with_hardening(config: Mapping[str, object], spec: ClusterSpec, machine: MachineSpec) -> dict[str, object]:
    """A machine's settings with the guide's; the user's own follow them, so that none is lost."""
    found = dict(config)
    if protects_kernel(spec, machine):
        found[PROTECT] = True
    for key, arguments in guide_arguments(spec, machine).items():
        own = found.get(key)
        found[key] = [*(own if isinstance(own, list) else []), *arguments]
    return found


def guide_arguments(spec: ClusterSpec, machine: MachineSpec) -> dict[str, tuple[str, ...]]:
    """The guide's arguments for a machine, without those that the user gives in another way."""
    return {
        key: tuple(each for each in arguments if not _given_otherwise(each, users))
        for key, arguments, users in _with_users(spec, machine)
    }


def overridden(spec: ClusterSpec, machine: MachineSpec) -> Iterator[tuple[str, str, str]]:
    """Where the user's settings of a machine take the guide's place: key, the guide's value, the user's."""
    for key, arguments, users in _with_users(spec, machine):
        for each in arguments:
            yield from ((key, each, other) for other in users if _replaces(other, each) and other != each)
    if protects_kernel(spec, machine) and pass_through(spec, machine).get(PROTECT) is False:
        yield PROTECT, "true", "false"


def _with_users(spec: ClusterSpec, machine: MachineSpec) -> Iterator[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    if not is_hardened(spec):
        return
    users = pass_through(spec, machine)
    for key, arguments in ARGUMENTS.items():
        if key == KUBELET or machine.role is Role.CONTROL_PLANE:
            yield key, arguments, _texts(users.get(key))


def _texts(value: object) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else ()


def _given_otherwise(argument: str, users: Iterable[str]) -> bool:
    return any(_replaces(each, argument) for each in users)


def _replaces(users: str, guides: str) -> bool:
    """Whether a user's argument is meant in place of the guide's. k3s has `NAME+=VALUE` for one that adds."""
    name = guides.partition("=")[0]
    return name not in _JOINED and users.partition("=")[0] == name
