"""Tasks are looked for where they run, and asked about as often as their age deserves."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Any

import pytest

from bootstrap.adapters.proxmox.client.api import Api
from bootstrap.adapters.proxmox.client.tasks import Tasks
from bootstrap.errors import TaskFailedError
from bootstrap.model.access.endpoint import ApiToken, PveEndpoint, TlsSpec
from bootstrap.model.ids import PveNodeName, StorageName
from bootstrap.model.reading import Reading
from bootstrap.ports import SeedRequest
from bootstrap.proxmox.reading.answers import answer
from tests.adapters.proxmox.pve_lab import Lab
from tests.fakes.clock import SteppingClock

PVE2 = PveNodeName("pve2")
LOCAL = StorageName("local")
SEED = SeedRequest(
    file_name="seed.iso",
    instance="i",
    hostname="h",
    user="debian",
    public_key="ssh-ed25519 AAAA",
    mac="BC:24:11:00:00:01",
)


def test_an_upload_to_another_node_is_watched_where_it_runs(start_lab: Callable[..., Lab]) -> None:
    """`upload` is not proxied (PVE/API2/Storage/Status.pm): its worker is one of the endpoint's own."""
    lab = start_lab(pve_nodes=2)
    hypervisor = lab.connect()
    hypervisor.templates.upload_seed(SEED, pve_node=PVE2, storage=LOCAL, warn=lab.warnings.append)
    assert lab.pve.tasklog[-1]["upid"].startswith("UPID:pve1:")
    assert lab.requests("GET", "/nodes/pve1/tasks") > 0
    assert lab.requests("GET", "/nodes/pve2/tasks") == 0


class _OneTask(Api):
    """A Proxmox VE with a task that takes `takes_s`; `asked_s` is when it was asked about."""

    def __init__(self, clock: SteppingClock, takes_s: float) -> None:
        super().__init__(
            PveEndpoint(
                url="https://192.0.2.1:8006", token=ApiToken(user="u@pve", name="t", secret="s"), tls=TlsSpec()
            ),
            clock=clock,
            stop=threading.Event(),
            connect_timeout_s=1.0,
            request_timeout_s=1.0,
            retry_for_s=1.0,
        )
        self.asked_s: list[float] = []
        self._takes_s = takes_s
        self._upid = "UPID:pve2:00000001:00000001:00000001:imgcopy::u@pve!t:"

    def send(self, *_args: object, **_more: object) -> str:
        return self._upid

    def read(self, path: str, /, **_more: object) -> Reading:
        return answer(self._told(path), what="read")

    def _told(self, path: str) -> Any:
        assert path.startswith("nodes/pve2/")
        if path.endswith("/log"):
            return [{"n": 1, "t": "all is lost"}, {"n": 2, "t": "TASK ERROR: it failed"}]
        self.asked_s.append(self.clock.now_s())
        ended = self.clock.now_s() >= self._takes_s
        return [{"upid": self._upid, "status": "it failed" if ended else "RUNNING"}]


def watched(takes_s: float) -> list[float]:
    """When a task was asked about, in seconds since its start."""
    clock = SteppingClock()
    api = _OneTask(clock, takes_s)
    tasks = Tasks(api, timeout_s=1800.0)
    with pytest.raises(TaskFailedError, match="it failed"):
        tasks.run("post", "nodes/pve1/x", what="x", parameters={}, warn=lambda _line: None)
    return api.asked_s


def test_a_long_task_is_asked_about_ever_less_often() -> None:
    asked_s = watched(600.0)
    assert len(asked_s) < 350
    pauses = [later - earlier for earlier, later in itertools.pairwise(asked_s)]
    assert all(pause <= max(0.21, 0.11 * at_s) for at_s, pause in zip(asked_s, pauses, strict=False))
    assert pauses[-1] == pytest.approx(2.0)


@pytest.mark.parametrize("takes_s", [0.0, 0.25, 0.95, 5.0])
def test_the_end_of_a_quick_task_is_seen_at_once(takes_s: float) -> None:
    assert watched(takes_s)[-1] <= takes_s + 0.1 + takes_s * 0.1
