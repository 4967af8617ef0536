"""What keeps a kubelet from starting, or ends it right after the start: k3s exits with it."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket

from .. import process
from ..logs import KlogExit, Shutdown, end, klog_line
from ..settings.machine import Machine
from ..settings.options import Options

PORT = 10250
FLAG_NAMES = """
address allowed-unsafe-sysctls anonymous-auth application-metrics-count-limit authentication-token-webhook
authorization-mode cert-dir cgroup-driver cgroup-root cgroups-per-qos client-ca-file cloud-config cloud-provider
cluster-dns cluster-domain config config-dir container-log-max-files container-log-max-size container-runtime-endpoint
contention-profiling cpu-cfs-quota cpu-cfs-quota-period cpu-manager-policy cpu-manager-policy-options
cpu-manager-reconcile-period enable-controller-attach-detach enable-debugging-handlers enable-server
enforce-node-allocatable event-burst event-qps eviction-hard eviction-max-pod-grace-period eviction-minimum-reclaim
eviction-pressure-transition-period eviction-soft eviction-soft-grace-period exit-on-lock-contention fail-cgroupv1
fail-swap-on feature-gates file-check-frequency hairpin-mode healthz-bind-address healthz-port hostname-override
housekeeping-interval http-check-frequency image-credential-provider-bin-dir image-credential-provider-config
image-gc-high-threshold image-gc-low-threshold image-service-endpoint kernel-memcg-notification kube-api-burst
kube-api-qps kube-reserved kube-reserved-cgroup kubeconfig kubelet-cgroups local-storage-capacity-isolation
log-flush-frequency logging-format make-iptables-util-chains manifest-url max-open-files max-pods
maximum-dead-containers memory-manager-policy minimum-image-ttl-duration node-ip node-labels node-status-max-images
node-status-update-frequency oom-score-adj pod-cidr pod-infra-container-image pod-manifest-path pod-max-pids
pods-per-core port protect-kernel-defaults provider-id qos-reserved read-only-port register-node register-schedulable
register-with-taints registry-burst registry-qps reserved-cpus reserved-memory resolv-conf root-dir
rotate-certificates rotate-server-certificates runonce runtime-cgroups runtime-request-timeout seccomp-default
serialize-image-pulls streaming-connection-idle-timeout sync-frequency system-cgroups system-reserved
system-reserved-cgroup tls-cert-file tls-cipher-suites tls-min-version tls-private-key-file topology-manager-policy
topology-manager-policy-options topology-manager-scope v vmodule volume-plugin-dir volume-stats-agg-period
"""
FLAGS = frozenset(FLAG_NAMES.split())


KERNEL = {
    "vm/overcommit_memory": ("1", "0"),
    "vm/panic_on_oom": ("0", "0"),
    "kernel/panic": ("10", "0"),
    "kernel/panic_on_oops": ("1", "0"),
    "kernel/keys/root_maxkeys": ("1000000", "1000000"),
    "kernel/keys/root_maxbytes": ("25000000", "25000000"),
}
"""What a kubelet wants of the kernel (pkg/kubelet/cm: setupKernelTunables), and what a Debian kernel has."""


def check_kernel(options: Options) -> None:
    """Raises KlogExit where `protect-kernel-defaults` is on and the kernel has other values."""
    found = {name: (wanted, _kernel_value(options, name, default)) for name, (wanted, default) in KERNEL.items()}
    wrong = [
        f"invalid kernel flag: {name}, expected value: {wanted}, actual value: {value}"
        for name, (wanted, value) in found.items()
        if value != wanted
    ]
    if wrong and options.on("protect-kernel-defaults"):
        text = f'"Failed to start ContainerManager" err="[{", ".join(wrong)}]"'
        raise KlogExit(klog_line("E", "kubelet.go:1703", text))


def _kernel_value(options: Options, name: str, default: str) -> str:
    path = options.path(f"/proc/sys/{name}")
    return path.read_text().strip() if path.exists() else default


def check_flags(options: Options) -> None:
    """Raises Shutdown for a kubelet flag that does not exist, KlogExit for a kernel that does not fit."""
    check_kernel(options)
    for entry in options.many("kubelet-arg"):
        name = entry.lstrip("-").partition("=")[0]
        if name not in FLAGS:
            raise Shutdown(f"kubelet exited: failed to parse kubelet flag: unknown flag: --{name}")


def take_port(machine: Machine) -> None:
    """Bind the kubelet's port; nothing answers there. Raises KlogExit if another program uses it."""
    address = machine.addresses[0]
    family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((address, PORT))
        sock.listen(1)
    except OSError as error:
        sock.close()
        if error.errno != errno.EADDRINUSE:
            return  # an address that this machine does not have: the node registers with it nevertheless
        text = f'"Failed to listen and serve" err="listen tcp 0.0.0.0:{PORT}: bind: address already in use"'
        raise KlogExit(klog_line("E", "server.go:209", text)) from error
    process.LIFE.opened(sock)


def dies_after_s(options: Options) -> float | None:
    """K3S_STANDIN_DIES_AFTER_S: how long k3s runs after reporting that it is up; None: no limit. Observed without
    /dev/kmsg: "started", and an exit three seconds later, again and again.
    """
    with contextlib.suppress(ValueError):
        return float(options.environ.get("K3S_STANDIN_DIES_AFTER_S", ""))
    return None


def no_kmsg() -> Shutdown:
    """The error of that exit."""
    reason = os.strerror(errno.ENOENT).lower()
    return Shutdown(f"kubelet exited: failed to run Kubelet: failed to create kubelet: open /dev/kmsg: {reason}")


def die_if_told(options: Options) -> None:
    """Exit after K3S_STANDIN_DIES_AFTER_S, if that is set."""
    after_s = dies_after_s(options)
    if after_s is not None:
        process.LIFE.pause(after_s)
        end(no_kmsg())
