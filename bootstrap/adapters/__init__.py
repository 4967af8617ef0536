"""Implementations of the ports: Proxmox VE, SSH, Kubernetes, files, the clock."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bootstrap.inventory import Inventory
    from bootstrap.ports import Ports

logger = logging.getLogger(__name__)


def connect_ports(
    inventory: Inventory,
    *,
    environ: Mapping[str, str],
    stop: threading.Event,
    on_warning: Callable[[str], None] | None = None,
) -> Ports:
    """All adapters for an inventory. Sends and writes nothing yet.

    Args:
        inventory: Where Proxmox VE is, and which SSH key to use.
        environ: For `$KUBECONFIG` and `$HOME`.
        stop: Ends waits inside adapters early.
        on_warning: Is called with what the user should know at once; None: it is logged.

    Raises:
        AuthenticationError: The endpoint is invalid.
    """
    from bootstrap.adapters import proxmox
    from bootstrap.adapters.artifacts import ReleaseSource, default_cache_root
    from bootstrap.adapters.jump.pin import Pin
    from bootstrap.adapters.jump.user_config import UserSshConfig
    from bootstrap.adapters.jump.ways import Ways
    from bootstrap.adapters.kube import KubernetesApis
    from bootstrap.adapters.kubeconfig.store import FileKubeconfigStore
    from bootstrap.adapters.local.clock import SystemClock
    from bootstrap.adapters.local.manifests import LocalManifests
    from bootstrap.adapters.local.notices import AppriseNotices
    from bootstrap.adapters.local.processes import LocalProcesses
    from bootstrap.adapters.local.record_keys import FileRecordKeys
    from bootstrap.adapters.local.state import DirectoryStateStore, default_state_root
    from bootstrap.adapters.local.timers import SystemdTimers
    from bootstrap.adapters.probes import NetworkProbes
    from bootstrap.adapters.ssh.fabric import FabricShells
    from bootstrap.ports import Ports
    from bootstrap.records.state.state_items import OWN_KEY

    spec = inventory.spec
    clock = SystemClock()
    state = DirectoryStateStore(default_state_root())
    own_key = state.directory(spec.name) / OWN_KEY
    keys = FileRecordKeys(state, cluster=spec.name, private_key=spec.ssh.private_key)
    jump = spec.ssh.jump
    tell = on_warning or logger.warning
    pin = Pin(jump=jump, given=spec.ssh.jump_host_key, cluster=spec.name, state=state, tell=tell) if jump else None
    identity = (spec.ssh.private_key or own_key).expanduser()
    ways = Ways(UserSshConfig(), pin=pin, identity=identity, named=f"{spec.name}-cp-1")
    pool = spec.placement.resource_pool
    hypervisor = proxmox.connect(
        inventory.endpoint, keys=keys, pools={spec.name: pool} if pool else {}, clock=clock, stop=stop
    )
    return Ports(
        hypervisor=hypervisor,
        shells=FabricShells(
            spec.ssh.private_key or own_key,
            make=spec.ssh.private_key is None,
            port=spec.ssh.port,
            ways=ways,
        ),
        kube=KubernetesApis(None if ways.direct else ways.connect),
        artifacts=ReleaseSource(default_cache_root()),
        kubeconfigs=FileKubeconfigStore(environ=environ, home=Path(environ.get("HOME", "~")).expanduser()),
        manifests=LocalManifests(environ=environ),
        state=state,
        keys=keys,
        clock=clock,
        markers=hypervisor.markers,
        processes=LocalProcesses(),
        probes=NetworkProbes(ways),
        templates=hypervisor.templates,
        ways=ways,
        notices=AppriseNotices(),
        timers=SystemdTimers(environ=environ),
    )
