"""Finds the cause in the journal of a k3s unit that does not come up.

The words are those a real k3s v1.21 wrote (k3s.md, traps 2 to 5) and the ones in its source at v1.36.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Cause:
    """Why a unit does not come up.

    Attributes:
        brief: In a few words.
        resolution: What the user does.
        final: Waiting will not mend it.
    """

    brief: str
    resolution: str
    final: bool


_CAUSES: tuple[tuple[str, Cause], ...] = (
    (
        r"a restore was begun on this cluster and has not ended",
        Cause(
            brief="a restore was begun on this cluster and has not ended: its data has been given up",
            resolution="run the same `homelab-k8s restore` again",
            final=True,
        ),
    ),
    (
        r"Node password rejected",
        Cause(
            brief="the server rejects its node password: a machine of this name was in the cluster before",
            resolution="delete its Kubernetes node (kubectl delete node NAME), then `homelab-k8s up` again",
            final=True,
        ),
    ),
    (
        r"401 Unauthorized",
        Cause(
            brief="the server refuses its token",
            resolution="was the cluster's token changed by hand? The one that counts is in "
            "/var/lib/rancher/k3s/server/token on a server",
            final=True,
        ),
    ),
    (
        r"invalid token CA hash length|token CA hash does not match|CA hash does not match",
        Cause(
            brief="the token names another cluster CA than the server has",
            resolution="the address leads to another cluster, or this one was built anew: `homelab-k8s down`, then up",
            final=True,
        ),
    ),
    (
        r"too many learner members",
        Cause(brief="another server is joining at this moment", resolution="wait; systemd tries again", final=False),
    ),
    (
        r"etcdserver: unhealthy cluster",
        Cause(
            brief="etcd is not healthy: perhaps an old member of this name is still listed",
            resolution="delete the old Kubernetes node of that name, then `homelab-k8s up` again",
            final=False,
        ),
    ),
    (
        r"address already in use",
        Cause(
            brief="a port that k3s needs is taken by another program on the machine",
            resolution="stop that program; k3s needs 6443, 10250 and, on servers, 2379-2380",
            final=True,
        ),
    ),
    (
        r"no space left on device",
        Cause(
            brief="the machine's disk is full",
            resolution="give the pool a larger disk in the inventory and make the machine anew",
            final=True,
        ),
    ),
    (
        r"failed to get CA certs|connection refused|no route to host|i/o timeout|context deadline exceeded",
        Cause(
            brief="it cannot reach the server on port 6443",
            resolution="can the machines reach each other? Look at bridge, VLAN and firewall",
            final=False,
        ),
    ),
    (
        r"level=fatal",
        Cause(brief="k3s ends at once", resolution="read its journal above", final=False),
    ),
)


def classify(journal: str) -> Cause | None:
    """The cause that the newest telling line names, or None where no line tells."""
    for line in reversed(journal.splitlines()):
        for pattern, cause in _CAUSES:
            if re.search(pattern, line, re.IGNORECASE):
                return cause
    return None
