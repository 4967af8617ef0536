"""Why k3s does not come up, in its own words and in ours."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bootstrap.advice import Advice

SAME_ENDS = 2
"""Runs in a row that end for one final cause until it is believed."""
UNKNOWN_ENDS = 4
"""The same where the cause is not known: a hiccup of others may end a run or two, and systemd starts it again."""


@dataclass(frozen=True, kw_only=True)
class Cause:
    """Why a unit does not come up.

    Attributes:
        brief: In a few words.
        resolution: What the user does; NAME stands for the machine.
        final: Waiting will not change it.
        ends: How many runs in a row that end so settle it; None where it may pass by itself.
    """

    brief: str
    resolution: str
    final: bool
    ends: int | None = None

    def advice(self, machine: str) -> Advice:
        """What the user does about a machine."""
        prose = self.resolution.split("NAME")
        return Advice("{}".join(prose), *[machine] * (len(prose) - 1))

    @classmethod
    def unknown(cls, said: str) -> Cause:
        """One that is known by k3s's own words alone."""
        return cls(brief=f"k3s exits with: {said}", resolution="read its journal", final=False, ends=UNKNOWN_ENDS)

    def same_as(self, other: Cause) -> bool:
        """Whether both are one, times, addresses and counts apart."""
        return _DIGITS.sub("#", self.brief) == _DIGITS.sub("#", other.brief)


_DIGITS = re.compile(r"(?:\b[0-9a-f]{8,}\b|\d+)")


def _final(pattern: str, brief: str, resolution: str) -> tuple[re.Pattern[str], Cause]:
    cause = Cause(brief=brief, resolution=resolution, final=True, ends=SAME_ENDS)
    return re.compile(pattern, re.IGNORECASE), cause


def _passing(pattern: str, brief: str, resolution: str) -> tuple[re.Pattern[str], Cause]:
    return re.compile(pattern, re.IGNORECASE), Cause(brief=brief, resolution=resolution, final=False)


CAUSES: tuple[tuple[re.Pattern[str], Cause], ...] = (
    _final(
        r"a restore was begun on this cluster and has not ended",
        "a restore of this cluster was started and did not finish: its data was discarded",
        "run the same `homelab-k8s restore` again",
    ),
    _final(
        r"Node password rejected",
        "the server rejects its node password: another machine of this name was in the cluster before",
        # The Secret has no owner until a node of that name registers, and then stays when the node is deleted.
        "delete what that machine left behind: kubectl delete node NAME; kubectl -n kube-system delete secret "
        "NAME.node-password.k3s --ignore-not-found",
    ),
    _final(
        r"401 Unauthorized|(?:configuration from server|bootstrap cluster data|CA certs): not authorized"
        # k3s asks again without its client certificate, and sends that request without its body.
        r"|v1-k3s/\S+ http: ContentLength=\d+ with Body length 0",
        "the server refuses its token, or does not know its Kubernetes node any more",
        "was the cluster's token changed by hand? The valid one is in /var/lib/rancher/k3s/server/token on a server. "
        "Was its Kubernetes node deleted? `homelab-k8s replace NAME` replaces the machine",
    ),
    _final(
        r"invalid token CA hash length|token CA hash does not match|CA hash does not match",
        "the token is for another cluster CA than the server's",
        "the address belongs to another cluster, or this cluster was rebuilt: `homelab-k8s down`, then `homelab-k8s "
        "up`",
    ),
    _final(
        r"critical configuration (?:value )?mismatch",
        "its settings differ from those of the other servers",
        "settings such as cluster-cidr, service-cidr and disable-* must be the same on all servers: compare "
        "/etc/rancher/k3s/config.yaml and config.yaml.d there",
    ),
    _final(
        r"(?:failed to parse kubelet flag|unknown flag|flag provided but not defined|failed to parse \S+ flag)",
        "k3s, or the kubelet in it, does not know one of its settings",
        "correct the setting in the inventory, or in /etc/rancher/k3s/config.yaml.d on the machine",
    ),
    _final(
        r"unable to read admission control configuration|loading audit policy file",
        "a file that the API server's arguments name is missing, or is not as it wants it",
        "`homelab-k8s up` puts the files of `hardening` back; of others correct kube-apiserver-arg in the inventory",
    ),
    _final(
        r"invalid kernel flag: ",
        "the kernel has other values than the kubelet asks for (protect-kernel-defaults)",
        "`homelab-k8s up` sets them with `hardening: cis`; is a file in /etc/sysctl.d on the machine in its way?",
    ),
    _passing(
        r"too many learner members",
        "another server is joining right now",
        "wait; systemd tries again",
    ),
    _passing(
        r"etcdserver: unhealthy cluster",
        "etcd is not healthy: perhaps an old member of this name is still listed",
        "delete the old Kubernetes node of that name: kubectl delete node NAME",
    ),
    _final(
        r"address already in use",
        "a port that k3s needs is in use by another program on the machine",
        "stop that program; k3s needs 6443, 10250 and, on servers, 2379-2380",
    ),
    _final(
        # The kernel says "no space left" of watches, too.
        r"inotify_(?:init|add_watch)\S*:? .*(?:too many open files|no space left on device)|inotify_init: too many",
        "the machine has no inotify instances left",
        "raise fs.inotify.max_user_instances (sysctl) on the machine; containers share it with their Proxmox node",
    ),
    _final(
        r"no space left on device",
        "the machine's disk is full",
        "give the pool a larger disk in the inventory, then `homelab-k8s replace NAME`",
    ),
    _final(
        r"failed to find \S+ cgroup",
        "its kernel gives it no cgroup controllers",
        "enable cpu, memory and pids in cgroup.controllers there; a container gets them from its Proxmox node",
    ),
    _final(
        r"open /dev/kmsg: ",
        "it cannot open /dev/kmsg",
        "a container needs /dev/kmsg: make it from its Proxmox node's, or use a VM",
    ),
    _final(
        r"snapshotter cannot be enabled",
        "containerd cannot use overlayfs on the machine's file system",
        "use ext4 or xfs for /var/lib/rancher",
    ),
    _final(
        r"newer than datastore and could cause a cluster outage",
        "its certificates or keys on disk are newer than the data that was restored",
        "run the same `homelab-k8s restore` again, which moves them away",
    ),
    _final(
        r"core\.Secret: unable to transform key|failed to decrypt data: invalid padding",
        "its Secrets cannot be decrypted: they were written with other keys",
        "restore a snapshot with the token that it was taken with: `homelab-k8s restore`",
    ),
    _final(
        r"failed to find interface with specified node ip",
        "its Kubernetes node has an address that the machine no longer has",
        "delete that node: kubectl delete node NAME",
    ),
    _passing(
        r"certificate has expired or is not yet valid",
        "a certificate is not valid at the time of its clock",
        "compare the machine's clock with the server's: `homelab-k8s doctor`",
    ),
    _passing(
        r"failed to get CA certs|->FAILED from failed dial|(?:validate token|validate connection to cluster)\b.*"
        r"(?:connection refused|no route to host|i/o timeout|context deadline exceeded)",
        "it cannot reach the server on port 6443",
        "can the machines reach each other? Look at bridge, VLAN and firewall",
    ),
)
"""What to look for in an entry's text, the special before the general."""
