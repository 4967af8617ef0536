"""Which token a cluster's workers hold, as its servers show. Pure.

With the servers' token k3s hands out the keys of all CAs and that of the encrypted Secrets
(`/v1-k3s/server-bootstrap`), and lets the cluster's token be replaced: anyone who is root on one worker then has the
cluster. Servers that were started with an agent token (`K3S_AGENT_TOKEN`) let agents join by that alone, and refuse it
there (k3s: pkg/server/handlers).
"""

from __future__ import annotations

from enum import StrEnum

from bootstrap.advice import Advice
from bootstrap.model.observed import KubeNode, Observed

REMEDY = Advice("`homelab-k8s rotate token` gives the workers their own token, and the servers a new one")

_VARIABLES = frozenset({"K3S_AGENT_TOKEN", "K3S_AGENT_TOKEN_FILE"})
_FLAGS = frozenset({"--agent-token", "--agent-token-file"})


class WorkerToken(StrEnum):
    """The kind of token that workers join with."""

    AGENT = "agent"
    SERVER = "server"

    def __str__(self) -> str:
        """As a user reads it."""
        if self is WorkerToken.AGENT:
            return "an agent token: it gives no access to the servers' keys"
        return "the servers' token, which gives a worker every key of the cluster"


def worker_token(observed: Observed) -> WorkerToken | None:
    """By the servers as they were started; None where none shows. One that lets the old kind in counts for all."""
    servers = [each for each in observed.kube_nodes or () if "control-plane" in each.roles and each.env is not None]
    if not servers:
        return None
    return WorkerToken.AGENT if all(map(_has_agent_token, servers)) else WorkerToken.SERVER


def _has_agent_token(server: KubeNode) -> bool:
    return bool(_VARIABLES & (server.env or frozenset()) or _FLAGS & set(server.args or ()))
