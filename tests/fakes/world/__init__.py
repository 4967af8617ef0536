"""An in-memory Proxmox VE with guests and Kubernetes, as `Ports`: real implementations of the protocols.

Faults are switched on by attributes of `World`; nothing is scripted per test, so tests state what happens to the
world and read what became of it.
"""

from tests.fakes.world.facts import ENDPOINT, FINGERPRINT, PVE1, STORAGE, TEMPLATE, pve_node
from tests.fakes.world.hypervisor import FakeHypervisor
from tests.fakes.world.markers import FakeProcesses
from tests.fakes.world.vm import FakeVm
from tests.fakes.world.world import World

__all__ = [
    "ENDPOINT",
    "FINGERPRINT",
    "PVE1",
    "STORAGE",
    "TEMPLATE",
    "FakeHypervisor",
    "FakeProcesses",
    "FakeVm",
    "World",
    "pve_node",
]
