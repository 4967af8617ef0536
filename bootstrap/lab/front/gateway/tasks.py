"""Proxmox tasks: starts them with their own log, and reports them in the API."""
# ruff: noqa: ANN401 - fakepve has no types, and JSON has any shape

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fakepve import TaskError

from bootstrap.lab.front.gateway.call import Answer, Call, Handler, bad_parameters
from bootstrap.lab.front.gateway.context import Front

UPID = re.compile(
    r"UPID:(?P<node>[A-Za-z0-9-]+):(?P<pid>[0-9A-Fa-f]{8}):(?P<pstart>[0-9A-Fa-f]{8,9}):(?P<start>[0-9A-Fa-f]{8})"
    r":(?P<type>[^:\s]+):(?P<id>[^:\s]*):(?P<user>[^:\s]+):"
)
LINES = 50  # default number of log lines that Proxmox returns

Log = Callable[[str], None]
Body = Callable[[Log], Awaitable[None]]


async def start_task(front: Front, call: Call, *, kind: str, vmid: int, body: Body, vm: Any = None) -> str:
    """Start a task of the lab's own; returns its UPID.

    Args:
        front: The front.
        call: The request that starts it; has the node and the user.
        kind: Proxmox's task type, `qmstart`.
        vmid: Id the task is about.
        body: Does the work; gets a function that adds a line to the log, and raises TaskError to fail.
        vm: The VM whose config lock the task holds, if any.
    """
    record: dict[str, Any] = {}

    def log(line: str) -> None:
        # Until start_task returns (tasks that run at once do) the newest record is this task's.
        (record or front.pve.tasklog[-1])["log"].append(line)

    held = vm is not None and vm.lock_holder is not None
    selected = {"machine": vm.name if vm else "", "pve_node": call.pve_node}

    async def faulty() -> None:
        failure = front.faults.strike("task-fails", vmid=vmid, type=kind, **selected)
        if failure:
            raise TaskError(failure.text("text"))
        await body(log)

    upid = await front.pve.task(
        call.pve_node,
        kind,
        vmid,
        call.user,
        faulty,
        vm=vm,
        lock=vm is not None,
        log=("trying to acquire lock...",) if held else (),
    )
    record.update(front.pve.tasks[upid])  # shares the list `log`
    if front.faults.strike("task-warnings", vmid=vmid, type=kind, **selected):
        front.pve.tasks[upid]["warned"] = 1
    return str(upid)


async def failing_task(front: Front, call: Call, *, kind: str, message: str) -> Answer:
    """A task that fails at once; Proxmox reports many errors only in the worker."""

    async def body(_log: Log) -> None:
        raise TaskError(message)

    return Answer(await start_task(front, call, kind=kind, vmid=call.vmid, body=body))


def move_to_endpoint(front: Front, upid: str) -> str:
    """Move a task of fakepve to the Proxmox node that got the request, as for calls that are not proxied.

    `PVE/API2/Storage/Status.pm` proxies most calls to the node of their path; `upload` is not among them. Its worker
    runs where the request came in, copies the file over by SSH, and its UPID names that node.
    """
    endpoint = min(front.pve.nodes)
    task = front.pve.tasks.pop(upid)
    task["node"] = endpoint
    task["upid"] = upid.replace(f"UPID:{upid.split(':')[1]}:", f"UPID:{endpoint}:", 1)
    front.pve.tasks[task["upid"]] = task
    return str(task["upid"])


class Tasks:
    """`/nodes/{node}/tasks/...`."""

    def __init__(self, front: Front) -> None:
        self.front = front

    def handlers(self) -> Mapping[tuple[str, str], Handler]:
        """What this part answers."""
        one = "/nodes/{node}/tasks/{upid}"
        return {
            ("GET", "/nodes/{node}/tasks"): self.listing,
            ("GET", f"{one}/status"): self.status,
            ("GET", f"{one}/log"): self.log,
        }

    async def listing(self, call: Call) -> Answer:
        """The tasks of a node that the caller may see, newest first; `status` of a failed one is its error."""
        wanted = call.values
        sees_all = self.front.pve.allowed(call.user, f"/nodes/{call.pve_node}", "Sys.Audit")
        rows = [
            task
            for task in reversed(self.front.pve.tasklog)
            if task["node"] == call.pve_node and (sees_all or _owns(call.user, task)) and _is_wanted(task, wanted)
        ]
        first, count = int(wanted.get("start", 0)), int(wanted.get("limit", LINES))
        return Answer([_row(task) for task in rows[first : first + count]], {"total": len(rows)})

    async def status(self, call: Call) -> Answer:
        """One task; `exitstatus` only once it has ended."""
        self._check_form(call)
        task = self.front.pve.tasks.get(call.values["upid"])
        if task is None or task["node"] != call.pve_node:
            raise bad_parameters(upid="no such task")
        self._check_owner(call, task)
        hidden = ("log", "endtime", "warned")
        return Answer(_split_user({key: value for key, value in _warned(task).items() if key not in hidden}))

    async def log(self, call: Call) -> Answer:
        """A part of a task's log; for an unknown task one line, which is not a list on 8.4."""
        self._check_form(call)
        task = self.front.pve.tasks.get(call.values["upid"])
        if task is None or task["node"] != call.pve_node:  # each Proxmox node keeps its own tasks' logs
            line = {"n": 1, "t": "unable to open file - No such file or directory"}
            return Answer([line] if self.front.options.pve_version >= 9 else line, {"total": 1})
        self._check_owner(call, task)
        lines = _without_echo(task["log"])
        if task.get("warned") and lines[-1:] == ["TASK OK"]:
            lines = [*lines[:-1], "WARN: injected by a fault of the lab", "TASK WARNINGS: 1"]
        first, count = int(call.values.get("start", 0)), int(call.values.get("limit", LINES)) or len(lines)
        numbered = [{"n": number, "t": text} for number, text in enumerate(lines, 1)]
        return Answer(numbered[first : first + count], {"total": len(lines)})

    def _check_form(self, call: Call) -> None:
        found = UPID.fullmatch(call.values["upid"])
        if found is None:
            raise bad_parameters(upid="unable to parse worker upid")

    def _check_owner(self, call: Call, task: Mapping[str, Any]) -> None:
        if not _owns(call.user, task):
            self.front.pve.require(call.user, f"/nodes/{call.pve_node}", "Sys.Audit")


def visible_row(front: Front, call: Call, task: Mapping[str, Any]) -> dict[str, Any] | None:
    """A task of any node as a list shows it; None where the caller may not see it."""
    if _owns(call.user, task) or front.pve.allowed(call.user, f"/nodes/{task['node']}", "Sys.Audit"):
        return _row(task)
    return None


def _owns(user: str, task: Mapping[str, Any]) -> bool:
    """Whether a task is the user's: their own or one of their tokens'. A token owns only its own."""
    return user in (task["user"], task["user"].split("!")[0])


def _is_wanted(task: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a task passes the filters of a request for the list."""
    ended = task["status"] == "stopped"
    source = wanted.get("source", "archive")
    tests = (
        "vmid" not in wanted or task["id"] == str(wanted["vmid"]),
        "typefilter" not in wanted or task["type"] == wanted["typefilter"],
        "userfilter" not in wanted or wanted["userfilter"] in task["user"],
        not wanted.get("errors") or (ended and task["exitstatus"] != "OK"),
        source == "all" or ended == (source == "archive"),
        task["starttime"] >= int(wanted.get("since", 0)),
        task["starttime"] <= int(wanted.get("until", task["starttime"])),
    )
    return all(tests)


def _row(task: Mapping[str, Any]) -> dict[str, Any]:
    """A task as the list shows it."""
    task = _warned(task)
    shown = {key: value for key, value in _split_user(task).items() if key not in ("log", "exitstatus", "warned")}
    return {**shown, "status": task.get("exitstatus", "RUNNING")}


def _warned(task: Mapping[str, Any]) -> Mapping[str, Any]:
    """A task that a fault made end with a warning."""
    return {**task, "exitstatus": "WARNINGS: 1"} if task.get("warned") and task.get("exitstatus") == "OK" else task


def _split_user(task: Mapping[str, Any]) -> dict[str, Any]:
    user, _, token = str(task["user"]).partition("!")
    return {**task, "user": user, **({"tokenid": token} if token else {})}


def _without_echo(log: list[str]) -> list[str]:
    """The log's lines without the bare copy of the error that fakepve puts before `TASK ERROR: ...`."""
    lines = "\n".join(log).split("\n") if log else []
    if len(lines) > 1 and lines[-1] == f"TASK ERROR: {lines[-2]}":
        del lines[-2]
    return lines
