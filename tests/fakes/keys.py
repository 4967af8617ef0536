"""Keys that records are sealed with in tests, and records that bear them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from bootstrap.model.ids import ClusterName
from bootstrap.model.machine import MachineRecord
from bootstrap.records.vms.machine import MARK, render_record
from bootstrap.records.vms.seal import SEAL, RecordKey
from bootstrap.records.vms.template import TemplateRecord, render_template


@dataclass
class FakeKeys:
    """A key for each cluster that follows from its name and the computer's.

    Attributes:
        home: The computer: another one has other keys.
        lacks: Clusters of which this computer has no key, until one is made.
        lost: How many keys of a cluster are gone for good.
    """

    home: str = "here"
    lacks: set[ClusterName] = field(default_factory=set)
    lost: dict[str, int] = field(default_factory=dict)

    def find(self, cluster: ClusterName) -> RecordKey | None:
        return None if cluster in self.lacks else self._key(cluster)

    def need(self, cluster: ClusterName) -> RecordKey:
        self.lacks.discard(cluster)
        return self._key(cluster)

    def locks(self, cluster: ClusterName) -> tuple[RecordKey, ...]:
        own = self.find(cluster)
        return (*((own,) if own else ()), *self.templates())

    def lose(self, cluster: ClusterName) -> None:
        """As where a cluster's key goes with its state: the next one is another."""
        self.lacks.add(cluster)
        self.lost[cluster] = self.lost.get(cluster, 0) + 1

    def templates(self) -> tuple[RecordKey, ...]:
        return (self.for_templates(),)

    def for_templates(self) -> RecordKey:
        return self._key("templates")

    def _key(self, purpose: str) -> RecordKey:
        return RecordKey(hashlib.sha256(f"{self.home}/{purpose}{'+' * self.lost.get(purpose, 0)}".encode()).digest())


KEYS = FakeKeys()


def sealed(record: MachineRecord, identity: str | None, *, into: str = "", keys: FakeKeys = KEYS) -> str:
    """The description that a machine of ours has; with no identity, that of a clone request."""
    return render_record(record, key=keys.need(record.cluster), identity=identity, into=into)


def unsealed(description: str) -> str:
    """A description as releases before there were seals wrote it, or as anybody can."""
    return "\n".join(_without_seal(line) for line in description.splitlines())


def _without_seal(line: str) -> str:
    before, comma, _ = line.partition(f',"{SEAL}":')
    return f"{before}}}" if comma and line.startswith(MARK.partition("-")[0]) else line


def sealed_template(record: TemplateRecord, name: str, uuid: str, *, into: str = "", keys: FakeKeys = KEYS) -> str:
    """The description that a template of ours has."""
    return render_template(record, key=keys.for_templates(), name=name, identity=uuid, into=into)
