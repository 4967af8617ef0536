"""Connects to Proxmox VE."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from bootstrap.adapters.proxmox.client.api import Api
from bootstrap.adapters.proxmox.guests.power import HA_WAIT_S
from bootstrap.adapters.proxmox.hypervisor import ProxmoxHypervisor
from bootstrap.model.access.endpoint import PveEndpoint
from bootstrap.model.ids import ClusterName
from bootstrap.ports import Clock, RecordKeys


def connect(
    endpoint: PveEndpoint,
    *,
    keys: RecordKeys,
    pools: Mapping[ClusterName, str] | None = None,
    clock: Clock,
    stop: threading.Event,
    connect_timeout_s: float = 10.0,
    request_timeout_s: float = 30.0,
    retry_for_s: float = 60.0,
    task_timeout_s: float = 1800.0,
    ha_wait_s: float = HA_WAIT_S,
) -> ProxmoxHypervisor:
    """A hypervisor for an endpoint. Sends nothing yet.

    Args:
        endpoint: Address, token and TLS settings; the caller warns of `insecure`.
        keys: Check the records that VMs carry.
        pools: The resource pool that a cluster's machines have to be in, where there is one.
        clock: For pauses and deadlines.
        stop: Ends waits and retries early; Proxmox tasks go on.
        connect_timeout_s: For TCP and TLS.
        request_timeout_s: For one answer.
        retry_for_s: How long a request is retried after transient failures.
        task_timeout_s: How long one Proxmox task may take; a full clone on slow disks takes minutes.
        ha_wait_s: How long Proxmox HA may take to start or stop a VM that it manages.

    Raises:
        AuthenticationError: The URL, the fingerprint or the CA file is invalid.
    """
    api = Api(
        endpoint,
        clock=clock,
        stop=stop,
        connect_timeout_s=connect_timeout_s,
        request_timeout_s=request_timeout_s,
        retry_for_s=retry_for_s,
    )
    return ProxmoxHypervisor(
        api,
        keys=keys,
        pools=pools or {},
        task_timeout_s=task_timeout_s,
        ha_wait_s=ha_wait_s,
    )
