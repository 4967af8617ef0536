"""Parts shared by all simulated guests of a lab."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from bootstrap.lab.delays import Delays
from bootstrap.lab.faults.active import Faults
from bootstrap.lab.simulated.disk import BlobStore
from bootstrap.lab.simulated.embedding.program import Programs
from bootstrap.lab.simulated.embedding.standin import Network
from bootstrap.lab.simulated.machine.addresses import AddressSlot


@dataclass(frozen=True, kw_only=True)
class World:
    """The parts.

    Attributes:
        delays: How long things take.
        faults: What goes wrong.
        slot: Addresses.
        network: The servers by address.
        programs: Builds of k3s.
        blobs: Large files, once.
        threads: For blocking steps of all agents.
    """

    delays: Delays
    faults: Faults
    slot: AddressSlot
    network: Network
    programs: Programs
    blobs: BlobStore
    threads: ThreadPoolExecutor
