"""Whether this computer can log in to the cluster's machines, seen before anything is touched. Reads only."""

from __future__ import annotations

from pathlib import Path

from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.observed import Observed
from bootstrap.planning.members.foreign import check_claims
from bootstrap.planning.view import ClusterView
from bootstrap.ports import Ports
from bootstrap.records.state.state_items import OWN_KEY


def check_keys(spec: ClusterSpec, ports: Ports, observed: Observed) -> None:
    """See that machines that are there are ours by their signature, and that the SSH key can be used.

    Raises:
        PreflightError: All that says it is the cluster's is foreign (its key may be lost: no new one is made), or the
            key is no use; nothing was touched.
    """
    check_claims(ClusterView(spec, observed), missing_key=missing_key(spec, ports))
    ports.shells.check()


def check_no_new_key(spec: ClusterSpec, ports: Ports, observed: Observed) -> None:
    """See that no SSH key would be made beside machines that know another one, and that the one there is can be used.

    Raises:
        PreflightError: The cluster's is lost, or no use; nothing was touched.
    """
    lost = missing_key(spec, ports)
    if lost is not None:
        check_claims(ClusterView(spec, observed), missing_key=lost)
    ports.shells.check()


def missing_key(spec: ClusterSpec, ports: Ports) -> Path | None:
    """Where the cluster's own SSH key belongs, if it is not there; None where it is, or the inventory names another."""
    if spec.ssh.private_key is not None or ports.keys.find(spec.name) is not None:
        return None
    return ports.state.path(spec.name, OWN_KEY)
