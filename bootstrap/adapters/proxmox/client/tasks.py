"""Proxmox tasks: one listing per Proxmox node is polled for all tasks that are waited for."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import NamedTuple

from bootstrap.adapters.proxmox.client.api import Api, node_of
from bootstrap.adapters.proxmox.client.upid import UPID, parse_upid
from bootstrap.errors import HypervisorError, TransientError
from bootstrap.model.ids import PveNodeName
from bootstrap.model.reading import Reading
from bootstrap.ports import Warn
from bootstrap.proxmox.failures import from_exit_status
from bootstrap.proxmox.reading import answers
from bootstrap.waiting import Condition, NotYet

POLL_EVERY_S = 0.1
"""Pause between polls of a young task; most take under a second."""
_SLOWEST_POLL_S = 2.0
_PACE = 0.1
"""A task is polled again after a tenth of its age: the end of a long one is seen at most two seconds late."""
_LISTED = 500
"""Entries asked for; Proxmox VE's default is 50."""
_LOG_LINES = 5000
_LOG_TAIL = 15
"""Lines of a failed task's log that its error carries."""
_LOGGED = 500
"""Lines of it that go into the log of the run."""

logger = logging.getLogger(__name__)


class _NodeTasks:
    """The tasks waited for on one Proxmox node.

    A waiting thread that finds the listing too old reads it again, for all of them.
    """

    def __init__(self, api: Api, pve_node: PveNodeName) -> None:
        self._api = api
        self._path = f"nodes/{pve_node}/tasks"
        self._clock = api.clock
        self._reading = threading.Lock()
        self._guard = threading.Lock()
        self._since_s: dict[str, float] = {}
        self._exits: dict[str, str] = {}
        self._running: frozenset[str] = frozenset()
        self._read_at_s = float("-inf")

    def enter(self, upid: str) -> None:
        """Begin to watch a task."""
        with self._guard:
            self._since_s[upid] = self._clock.now_s()

    def leave(self, upid: str) -> None:
        """Forget a task."""
        with self._guard:
            self._since_s.pop(upid, None)
            self._exits.pop(upid, None)

    def look(self, upid: str) -> str | NotYet:
        """A task's exit status, or that it runs."""
        if self._reading.acquire(blocking=False):
            try:
                if self._clock.now_s() - self._read_at_s >= self._fresh_s():
                    self._read()
            finally:
                self._reading.release()
        with self._guard:
            if upid in self._exits:
                return self._exits[upid]
            if upid in self._running or self._read_at_s < self._since_s[upid]:
                return NotYet("it is running")
        return self._ask(upid)

    def _fresh_s(self) -> float:
        """How long a reading is used: half a pause of the youngest task, so that each of its polls sees a new one."""
        with self._guard:
            youngest_s = max(self._since_s.values(), default=float("-inf"))
        return max(POLL_EVERY_S, _pause_s(self._clock.now_s() - youngest_s) / 2)

    def _read(self) -> None:
        """Read the listing; it includes archived tasks, so that none is missed between two readings."""
        began_s = self._clock.now_s()
        with self._guard:
            watched = frozenset(self._since_s)
        listing = self._api.read(
            self._path,
            what="list tasks",
            source="all",
            limit=_LISTED,
            since=min((_start_time(upid) for upid in watched), default=0),
        )
        seen = [task for task in answers.rows(listing, _listed) if task.upid in watched]
        with self._guard:
            self._running = frozenset(task.upid for task in seen if task.runs)
            self._exits.update({task.upid: task.status for task in seen if not task.runs})
            self._read_at_s = began_s

    def _ask(self, upid: str) -> str | NotYet:
        """Ask for one task that the listing does not have."""
        status = self._api.read(f"{self._path}/{upid}/status", what=f"read the task {upid}")
        if status.at("status").value == "running":
            return NotYet("it is running")
        return status.at("exitstatus").text("") or "unexpected status"


class Tasks:
    """Awaits Proxmox tasks.

    Args:
        api: The API that started them (a token sees its own tasks).
        timeout_s: How long a task may take.
    """

    def __init__(self, api: Api, *, timeout_s: float) -> None:
        self._api = api
        self.timeout_s = timeout_s
        self._guard = threading.Lock()
        self._by_node: dict[PveNodeName, _NodeTasks] = {}

    def repeat(self, method: str, path: str, *, what: str, parameters: Mapping[str, str | int], warn: Warn) -> str:
        """As `run`, for a task that may be started twice: what is transient is retried."""
        return self._api.retry(lambda: self.run(method, path, what=what, parameters=parameters, warn=warn))

    def run(self, method: str, path: str, *, what: str, parameters: Mapping[str, str | int], warn: Warn) -> str:
        """Start a task and await it, once; returns its UPID, empty where there was no task.

        `OK` and `WARNINGS: n` are good; what was warned of goes to `warn`. The task is looked for on the Proxmox node
        that its UPID names, which for an upload is the endpoint's own and not the one of the path.

        Raises:
            TaskFailedError: With the end of the task's log.
            DeadlineError: It took too long; it may still run.
            InterruptedRunError: The run was interrupted; the task goes on.
        """
        upid = self._api.send(method, path, what=what, parameters=parameters)
        if not isinstance(upid, str):  # what was quick enough is done: older versions answer a resize so
            return ""
        upid = answers.answer(upid, what=what).word(UPID, "a task's UPID")
        parts = parse_upid(upid)
        runs_on = parts.pve_node if parts else node_of(path)
        exit_status = self._await_end(upid, what=what, pve_node=runs_on)
        if exit_status == "OK":
            return upid
        log = self._log(upid, pve_node=runs_on)
        if exit_status.startswith("WARNINGS"):
            for line in _warnings(log) or [exit_status]:
                warn(f"{what}: {line}")
            return upid
        logger.debug("the end of the log of %s:\n%s", upid, "\n".join(log[-_LOGGED:]))
        raise from_exit_status(
            exit_status=exit_status, log="\n".join(log[-_LOG_TAIL:]), what=what, token=self._api.token
        )

    def _await_end(self, upid: str, *, what: str, pve_node: PveNodeName) -> str:
        with self._guard:
            tasks = self._by_node.setdefault(pve_node, _NodeTasks(self._api, pve_node))
        tasks.enter(upid)
        try:
            return self._api.wait(
                Condition(
                    what=f"the Proxmox task to {what}",
                    poll=lambda: tasks.look(upid),
                    every_s=POLL_EVERY_S,
                    pace=_pause_s,
                    resolution=f"watch the task {upid} in Proxmox's task list, then run the command again",
                ),
                timeout_s=self.timeout_s,
            )
        except TransientError as error:
            # Not a transient error, which is retried: the task was started.
            raise HypervisorError(
                f"cannot {what}: the Proxmox task can no longer be observed",
                details=error.details,
                resolution=error.resolution,
            ) from error
        finally:
            tasks.leave(upid)

    def _log(self, upid: str, *, pve_node: PveNodeName) -> list[str]:
        """A task's log; empty where it cannot be read, since the exit status is what counts."""
        try:
            rows = self._api.read(
                f"nodes/{pve_node}/tasks/{upid}/log", what=f"read the log of the task {upid}", limit=_LOG_LINES
            )
            # For a missing log Proxmox VE answers with one row that is no list.
            return list(answers.rows(rows, lambda row: row.at("t").text("")))
        except HypervisorError as error:
            logger.warning("%s", error)
            return []


def _pause_s(age_s: float) -> float:
    """The pause before the next look at a task of that age."""
    return min(_SLOWEST_POLL_S, max(POLL_EVERY_S, age_s * _PACE))


class _Listed(NamedTuple):
    """A task as the listing has it."""

    upid: str
    status: str
    runs: bool


def _listed(row: Reading) -> _Listed:
    status = row.at("status").text("")
    runs = status in ("", "RUNNING") or (status == "running" and row.at("endtime").absent)
    return _Listed(upid=row.at("upid").text(), status=status, runs=runs)


def _start_time(upid: str) -> int:
    """When a task started, in the Proxmox node's Unix seconds; 0 where its UPID does not say."""
    parts = parse_upid(upid)
    return parts.start_s if parts else 0


def _warnings(log: list[str]) -> list[str]:
    """The warnings in a task's log; Proxmox VE begins such lines with `WARN`."""
    return [line for line in log if line.upper().startswith("WARN")]
