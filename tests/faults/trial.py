"""Plays one entry of the catalogue: the fault, the command under it, and the same command once it is gone."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.faults.cluster import FOREIGN, TAKER, TIMEOUTS, UNHURRIED, FaultyCluster, Said
from tests.faults.entries import Entry
from tests.faults.local import LOCAL

MACHINES = ("demo-cp-1", "demo-workers-1")
HEALED_WITHIN_S = 90.0
UNCOUNTED = frozenset(
    {
        *("api-refused", "forbidden", "no-quorum", "pve-node-offline", "pve-node-maintenance"),
        *("storage-full", "storage-inactive", "tags-keep-case", "package-version"),
    }
)
"""Faults that are a state: the lab does not count their strikes, so the expected words decide."""


@dataclass
class Trial:
    """What came of an entry; `problems` is empty where all is as expected."""

    name: str
    said: Said
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Picture:
    """A cluster as it stands: what must be equal after a broken run and after an unbroken one."""

    configs: dict[str, dict[str, Any]]
    machines: tuple[tuple[str, str, bool | None], ...]
    contexts: tuple[str, ...]
    state: tuple[str, ...]
    stray_volumes: tuple[int, ...]


def picture(cluster: FaultyCluster) -> Picture:
    """The cluster as it stands now."""
    names = {name: vmid for name, vmid in cluster.vms().items() if not name.startswith(TAKER)}
    return Picture(
        configs=cluster.configs(),
        machines=cluster.status() if set(names) - set(FOREIGN) else (),
        contexts=tuple(cluster.kubeconfig_contexts()),
        state=tuple(cluster.state_files()),
        stray_volumes=tuple(sorted(cluster.volume_owners() - {9000, *names.values()})),
    )


@dataclass(frozen=True)
class Unbroken:
    """What commands leave that nothing disturbed."""

    up: Picture
    down: Picture

    def after(self, command: str) -> Picture:
        return self.down if command == "down" else self.up


def unbroken(cluster: FaultyCluster) -> Unbroken:
    """Bring it up and down, and look each time."""
    for name, vmid in FOREIGN.items():
        cluster.call("POST", "/nodes/pve1/qemu", vmid=vmid, name=name, memory=512)
    _well(cluster, "up")
    up = picture(cluster)
    assert [name for name, vm, ready in up.machines if vm == "running" and ready] == list(MACHINES), up.machines
    _well(cluster, "down")
    down = picture(cluster)
    assert (down.machines, down.contexts, down.state, down.stray_volumes) == ((), (), (), ()), down
    return Unbroken(up=up, down=down)


def play(cluster: FaultyCluster, entry: Entry, whole: Unbroken) -> Trial:
    """Play an entry, and leave the lab as it was found."""
    try:
        if entry.given == "cluster":
            _well(cluster, "up")
        before = set(cluster.vms())
        said, struck, secrets = _under_fault(cluster, entry)
        trial = Trial(entry.name, said)
        trial.problems += _ended_as_it_must(entry, said)
        trial.problems += _ended_as_expected(entry, said)
        trial.problems += [f"a secret is in the text: {said.text}" for secret in secrets if secret in said.text]
        trial.problems += [] if struck else ["the fault never struck"]
        trial.problems += _standing(cluster, entry, before, whole)
        trial.problems += _healed(cluster, entry, said, whole)
        trial.problems += _equal("down", _after(cluster, "down"), whole.down)
        return trial
    finally:
        _clear(cluster)


def _under_fault(cluster: FaultyCluster, entry: Entry) -> tuple[Said, bool, list[str]]:
    """The command under its fault; whether that struck; the secrets there were."""
    if entry.fault in LOCAL:
        plain = cluster.spec
        spec, undo = LOCAL[entry.fault](plain, cluster.artifacts, entry.values)
        cluster.use(spec)
        try:
            return cluster.say(entry.command), True, cluster.secrets()
        finally:
            undo()
            cluster.use(plain)
    given = [{"fault": entry.fault, **entry.values}, *entry.also]
    if entry.at_step is None:
        cluster.faults("POST", given)
        if entry.fault == "api-refused":
            time.sleep(0.2)  # it still answers that, and listens no more after
        said = cluster.say(entry.command)
    else:
        said = cluster.say(entry.command, at_step=entry.at_step, act=lambda: cluster.faults("POST", given))
    secrets = cluster.secrets()
    # One that has struck as often as it was to is gone by itself, and was not in vain, whatever those in `also` did.
    left = cluster.faults("DELETE")
    for name in entry.then_off:
        cluster.power_off(name)
    gone = all(fault["fault"] != entry.fault for fault in left)
    struck = entry.fault in UNCOUNTED or gone or any(fault["hits"] for fault in left)
    return said, struck, secrets


def _ended_as_it_must(entry: Entry, said: Said) -> Iterable[str]:
    """What holds of every command under every fault."""
    if said.crash:
        yield f"it crashed: {said.crash}"
    if said.took_s > entry.within_s:
        yield f"it took {said.took_s:.1f} s, not {entry.within_s:g}"
    if said.code and entry.command != "status" and not said.error.get("resolution"):
        yield "it does not say what to do"
    if len(said.failed_lanes) != len(set(said.failed_lanes)):
        yield f"a lane failed twice: {said.failed_lanes}"
    if any(words in said.text for words in ("Traceback", ' File "', "object at 0x")):
        yield "it shows what is Python's own"


def _ended_as_expected(entry: Entry, said: Said) -> Iterable[str]:
    """Exit code and words."""
    expect = entry.expect
    if said.code != expect.exit:
        yield f"exit code {said.code}, not {expect.exit}"
    for part in ("brief", "details", "resolution"):
        yield from (f"no {words!r} in its {part}" for words in getattr(expect, part) if words not in said.part(part))
    yield from (f"its output lacks {words!r}" for words in expect.says if not any(words in line for line in said.told))
    yield from (f"it says {words!r}" for words in expect.never if words in said.text)


def _standing(cluster: FaultyCluster, entry: Entry, before: set[str], whole: Unbroken) -> Iterable[str]:
    """The VMs after the command under its fault: no foreign VM changed, none lost."""
    configs = cluster.configs()
    for name in FOREIGN:
        if configs.get(name) != whole.down.configs[name]:
            yield f"the foreign VM {name} is {configs.get(name)}"
    ours = sorted(set(configs) & set(MACHINES))
    lost = before - set(configs)
    if entry.command != "down" and lost:
        yield f"VMs were lost: {sorted(lost)}"
    if entry.leaves is not None and ours != sorted(entry.leaves):
        yield f"of our machines {ours} stand, not {list(entry.leaves)}"


def _healed(cluster: FaultyCluster, entry: Entry, said: Said, whole: Unbroken) -> Iterable[str]:
    """The same command again, where the first one did not get through; either way all is as if nothing had been."""
    if not entry.heals:
        return
    # A marker may be left, where it could not be removed under the fault: the same command again is to deal with it.
    untouched = entry.given == "nothing" and not _names(cluster) - set(FOREIGN)
    if said.code and untouched and picture(cluster) == whole.down:
        return  # nothing was touched: what an unbroken run makes of that is known
    if said.code:
        cluster.timeouts = UNHURRIED
        again = cluster.say(entry.command)
        if again.code or again.took_s > HEALED_WITHIN_S:
            how = f"exit code {again.code} in {again.took_s:.1f} s: {again.text}{again.crash}"
            yield f"run again without the fault: {how}"
            return
    yield from _equal(f"after {entry.command}", picture(cluster), whole.after(entry.command))


def _names(cluster: FaultyCluster) -> set[str]:
    return {name for name in cluster.vms() if not name.startswith(TAKER)}


def _equal(when: str, found: Picture, wanted: Picture) -> Iterable[str]:
    for part in Picture.__dataclass_fields__:
        has, should = getattr(found, part), getattr(wanted, part)
        if has != should:
            yield f"{when}: {part} is not as after an unbroken run:\n  {has}\n  {should}"


def _after(cluster: FaultyCluster, command: str) -> Picture:
    _well(cluster, command)
    return picture(cluster)


def _well(cluster: FaultyCluster, command: str) -> None:
    said = cluster.say(command)
    assert said.code == 0, f"{command} without a fault: exit code {said.code}: {said.text}{said.crash}"


def _clear(cluster: FaultyCluster) -> None:
    """Whatever went wrong: no fault, no patience and no VM of this entry meets the next one."""
    cluster.timeouts = TIMEOUTS
    cluster.faults("DELETE")
    for vmid in sorted(set(cluster.vms().values()) - set(FOREIGN.values())):
        name = next(name for name, one in cluster.vms().items() if one == vmid)
        if not name.startswith(TAKER):
            cluster.power_off(name)
        cluster.call("DELETE", f"/nodes/pve1/qemu/{vmid}")
