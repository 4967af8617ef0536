"""Clones under lock contention: twenty at once on one slow storage, with turns and without."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import proxmoxer

from benchmarks.labs import TEMPLATE_VMID, Lab, lab
from benchmarks.table import Table
from bootstrap.adapters.local.clock import SystemClock
from bootstrap.adapters.local.record_keys import FileRecordKeys
from bootstrap.adapters.local.state import DirectoryStateStore
from bootstrap.adapters.proxmox import connect
from bootstrap.errors import HypervisorError
from bootstrap.execution.clone_limiter import LOCK_TIMEOUT_S, CloneTurns
from bootstrap.lab.options import LabInfo, LabOptions
from bootstrap.model.access.endpoint import ApiToken, PveEndpoint, TlsSpec
from bootstrap.model.ids import ClusterName, MachineName, PveNodeName, Vmid
from bootstrap.ports import CloneRequest, Hypervisor

AT_ONCE = 20
LABS = 5
SCALE = 0.25
SLOW = "clone=0.9..1.1,clone_drive=0.1"
"""A storage on which a linked clone holds the lock for about a second: twenty in a line outlast its 10 s."""

_PVE_NODE = PveNodeName("pve1")
_FIRST = 7000

Turn = Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True, kw_only=True)
class _Tally:
    """What became of some rounds; `took_s` in real seconds."""

    rounds: int
    failed: int
    refused: int
    took_s: float


def clones(name: str, *, rounds: int) -> list[Table]:
    """Rounds of clones and removals, on several labs side by side: each has its own storage and its own lock."""
    each = rounds // LABS
    with ThreadPoolExecutor(LABS + 1) as pool:
        taking_turns = [pool.submit(_lab, each, seed=seed, turns=True) for seed in range(LABS)]
        all_at_once = pool.submit(_lab, each, seed=LABS, turns=False)
        rows = (
            _row("with turns", [job.result() for job in taking_turns], name),
            _row("all at once", [all_at_once.result()], name),
        )
    headings = ("how", "rounds of 20", "clones", "failed", "tasks refused the lock", "s per round", "repeat")
    note = (
        "A clone on this storage holds its lock for 1.1 s; Proxmox VE waits at most 10 s for it. Seconds are the "
        f"lab's, whose clock runs {1 / SCALE:.0f} times as fast. {LABS + 1} labs run in parallel, each with its own "
        "storage. *failed*: after the client's own retries."
    )
    return [Table(title="Clones under lock contention", headings=headings, rows=rows, notes=(note,))]


def _row(how: str, tallies: Sequence[_Tally], name: str) -> tuple[str, ...]:
    rounds = sum(tally.rounds for tally in tallies)
    failed, refused = sum(tally.failed for tally in tallies), sum(tally.refused for tally in tallies)
    round_s = sum(tally.took_s for tally in tallies) / rounds / SCALE
    repeat = f"`.venv/bin/python -m benchmarks {name}`"
    return (how, str(rounds), str(rounds * AT_ONCE), str(failed), str(refused), f"{round_s:.1f}", repeat)


def _lab(rounds: int, *, seed: int, turns: bool) -> _Tally:
    with lab(LabOptions(guests="simulated", time_scale=SCALE, delays=SLOW, seed=seed, port=0)) as running:
        return _rounds(running, rounds, turns=turns)


def _keys() -> FileRecordKeys:
    """None: what is cloned here carries no record."""
    return FileRecordKeys(DirectoryStateStore(Path("nowhere")), cluster=ClusterName("benchmark"), private_key=None)


def _rounds(running: Lab, count: int, *, turns: bool) -> _Tally:
    info = running.info
    stop, clock = threading.Event(), SystemClock()
    hypervisor = connect(_endpoint(info), keys=_keys(), clock=clock, stop=stop)
    of_run = CloneTurns(lock_timeout_s=LOCK_TIMEOUT_S * SCALE)

    def turn() -> AbstractContextManager[object]:
        if not turns:
            return nullcontext()
        return of_run.turn(f"{_PVE_NODE}/local", full=False, urgent=False, clock=clock, stop=stop)

    failures: list[str] = []
    took_s = 0.0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in range(count):
            began_s = time.monotonic()
            failures += filter(None, pool.map(lambda number: _clone(hypervisor, number, turn), range(AT_ONCE)))
            took_s += time.monotonic() - began_s
            list(pool.map(lambda number: _remove(hypervisor, number), range(AT_ONCE)))
    hypervisor.close()
    return _Tally(rounds=count, failed=len(failures), refused=_refused(info), took_s=took_s)


def _clone(hypervisor: Hypervisor, number: int, turn: Turn) -> str:
    request = CloneRequest(
        template=Vmid(TEMPLATE_VMID),
        template_pve_node=_PVE_NODE,
        pve_node=_PVE_NODE,
        vmid=Vmid(_FIRST + number),
        name=MachineName(f"bench-{number}"),
        description="benchmark",
        full=False,
    )
    try:
        with turn():
            hypervisor.clone(request, warn=lambda _message: None)
    except HypervisorError as error:
        return str(error)
    return ""


def _remove(hypervisor: Hypervisor, number: int) -> None:
    hypervisor.destroy(Vmid(_FIRST + number), pve_node=_PVE_NODE, warn=lambda _message: None)


def _endpoint(info: LabInfo) -> PveEndpoint:
    user, _, token = info.token_id.partition("!")
    return PveEndpoint(
        url=info.endpoint,
        token=ApiToken(user=user, name=token, secret=info.token_secret),
        tls=TlsSpec(fingerprint=info.fingerprint),
    )


def _refused(info: LabInfo) -> int:
    """Clone tasks that ended in `got timeout`, as the lab's task list has them."""
    user, _, token = info.token_id.partition("!")
    host, _, port = info.endpoint.removeprefix("https://").partition(":")
    api = proxmoxer.ProxmoxAPI(
        host, port=int(port), user=user, token_name=token, token_value=info.token_secret, verify_ssl=False
    )
    rows = api.nodes(_PVE_NODE).tasks.get(limit=100_000, source="all", typefilter="qmclone")
    return sum("got timeout" in str(row.get("status")) for row in rows)
