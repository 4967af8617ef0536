"""Running one case against a host: make what it needs, send its request, compare, and remove what was made."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import requests

from tests.contract.differences import Answer, described
from tests.contract.hosts import MARK, Host
from tests.contract.matching import difference, filled
from tests.contract.versions import Case

METHODS = ("get", "post", "put", "delete")


def changes_something(case: Case) -> bool:
    """Whether a case, or what it needs first, is more than a look."""
    steps = (case, *case.get("then", ()))
    return any(name in case for name in ("vm", "given", "begun", "task_of")) or any("get" not in step for step in steps)


def run_case(case: Case, host: Host) -> list[Answer]:
    """Run a case; returns its answers, described.

    Raises:
        AssertionError: An answer is not the case's.
    """
    run = Run(host=host, names=dict(host.names))
    with run.machines(case):
        for step in case.get("given", ()):
            run.do(step)
        if "begun" in case:
            run.begin(case["begun"])
        if "task_of" in case:
            run.names["upid"] = run.do(case["task_of"])
        run.check(case)
        for step in case.get("then", ()):
            run.check({"as": "admin", **step})
    return run.answers


@dataclass(kw_only=True)
class Run:
    """One case on its way.

    Attributes:
        host: Who is asked.
        names: What `{name}` stands for.
        answers: What was answered so far.
    """

    host: Host
    names: dict[str, Any]
    answers: list[Answer] = field(default_factory=list)
    _begun: list[str] = field(default_factory=list)

    @contextmanager
    def machines(self, case: Case) -> Iterator[None]:
        """With the VM that the case wants; it and the one that the case makes are removed in the end."""
        host, names = self.host, self.names
        if not host.vmids:
            names["new"] = 987653
            yield
            return
        kind = case.get("vm")
        if kind not in (None, "agent"):
            host.remove_agent_vm()
        names["new"] = host.next_vmid()
        names["vm"] = host.agent_vmid() if kind == "agent" else host.next_vmid()
        try:
            if kind and kind != "agent":
                host.make(kind, names["vm"])
            if kind:
                config = host.json("GET", f"/nodes/{names['node']}/qemu/{names['vm']}/config")
                names["digest"] = config["digest"]
            yield
        finally:
            for upid in self._begun:
                host.wait(upid)
            for volume in case.get("volumes", ()):
                volid = filled(volume, names)
                host.json("DELETE", f"/nodes/{names['node']}/storage/{names['storage']}/content/{volid}")
            for vmid in (names["new"], *([] if kind == "agent" else [names["vm"]])):
                host.remove(vmid)

    def do(self, step: Case) -> Any:
        """A request that must succeed, and its task."""
        method, path, values = self.request_of(filled(step, self.names))
        return self.host.json(method, path, values)

    def begin(self, step: Case) -> None:
        """A request whose task is not awaited until the case is over."""
        method, path, values = self.request_of(filled(step, self.names))
        reply = self.host.send(method, path, body=values)
        assert reply.status_code == 200, reply.text
        self._begun.append(reply.json()["data"])

    def request_of(self, step: Case) -> tuple[str, str, Any]:
        """Method, path and parameters; what makes a VM gets the suite's mark as its description."""
        method = next(name for name in METHODS if name in step)
        path, values = step[method], step.get("with")
        makes = method == "post" and urlsplit(path).path.endswith(("/qemu", "/clone"))
        if makes and values is not None and "description" not in values and not step.get("unmarked"):
            values = {**values, "description": MARK}
        return method.upper(), path, values

    def send(self, case: Case) -> requests.Response:
        """The case's request, as whom and in the form it says."""
        method, path, values = self.request_of(filled(case, self.names))
        headers: dict[str, str] = {}
        body: Any = None
        role = case.get("as", "admin")
        token = "" if role == "nobody" or "authorization" in case else self.host.tokens[role]
        if "token" in case:
            token = filled(case["token"], self.names)
        if "authorization" in case:
            headers["Authorization"] = case["authorization"]
        if "raw" in case:
            headers["Content-Type"] = case["raw"]["type"]
            body = filled(case["raw"]["body"], self.names).encode()
        elif "form" in case:
            body = case["form"]
        elif method in ("POST", "PUT"):
            body, values = values, None
        return self.host.send(method, path, token=token, headers=headers, params=values, body=body)

    def check(self, case: Case) -> None:
        """Send a request, and compare all that the case says of its answer; `within` these seconds it must be so."""
        deadline = time.monotonic() + case.get("within", 0)
        while True:
            try:
                self._check_once(case)
            except AssertionError:
                if time.monotonic() >= deadline:
                    raise
                self.answers.pop()
                time.sleep(self.host.scale)
            else:
                return

    def _check_once(self, case: Case) -> None:
        asked_at = time.monotonic()
        reply = self.send(case)
        took_s = time.monotonic() - asked_at
        wanted = filled({key: value for key, value in case.items() if key not in METHODS}, self.names)
        ended: Mapping[str, Any] = {}
        if "task" in wanted and reply.status_code == 200:
            ended = self.host.wait(reply.json()["data"])
        method = next(name for name in METHODS if name in case)
        request = f"{method.upper()} {case[method]}"
        self.answers.append(described(request, reply, self.names, ended.get("exitstatus", "")))
        check_reply(wanted, reply)
        if "seconds" in wanted:
            assert took_s >= 0.95 * self.host.scale * wanted["seconds"]
        if reply.status_code == 200:
            check_body(wanted, reply.json())
        if "task" in wanted:
            self.check_task(wanted["task"], reply.json()["data"], ended)

    def check_task(self, wanted: Case, upid: str, ended: Mapping[str, Any]) -> None:
        """Compare how a task ended, and its log."""
        rows = self.host.json("GET", f"/nodes/{ended['node']}/tasks/{upid}/log", {"limit": 1000})
        lines = [line["t"] for line in rows]
        found = difference(wanted["exit"], ended["exitstatus"], where="exitstatus")
        assert found is None, f"{found}\n{lines}"
        assert ended["type"] == wanted.get("type", ended["type"])
        assert upid.split(":")[1] == ended["node"] == self.names["node"]
        for line in wanted.get("log", ()):
            assert any(difference(line, had) is None for had in lines), lines
        assert lines[-1] == ("TASK OK" if ended["exitstatus"] == "OK" else f"TASK ERROR: {ended['exitstatus']}")


def check_reply(wanted: Case, reply: requests.Response) -> None:
    """Compare status, reason, headers and errors."""
    said = f"{reply.status_code} {reply.reason}\n{reply.text}"
    assert reply.status_code == wanted.get("status", 200), said
    default = "Parameter verification failed." if "errors" in wanted else None
    if wanted.get("reason", default) is not None:
        assert difference(wanted.get("reason", default), reply.reason, where="reason") is None, said
    for name, value in wanted.get("headers", {}).items():
        assert reply.headers.get(name, "").lower() == value.lower(), dict(reply.headers)
    if wanted.get("empty"):
        assert reply.text == ""
    if "message" in wanted:
        assert difference(wanted["message"], reply.json()["message"]) is None, said
    if "errors" in wanted:
        body = reply.json()
        assert body["errors"].keys() == wanted["errors"].keys(), said
        assert difference(wanted["errors"], body["errors"], where="errors") is None, said


def check_body(wanted: Case, body: Mapping[str, Any]) -> None:
    """Compare `data` and what stands beside it."""
    data = body.get("data")
    if "data" in wanted:
        assert difference(wanted["data"], data, where="data") is None, difference(wanted["data"], data, where="data")
    if "beside" in wanted:
        assert difference(wanted["beside"], body) is None, body
    if "keys" in wanted:
        assert sorted(data or {}) == sorted(wanted["keys"])
    for name in wanted.get("absent", ()):
        assert name not in (data or {})
    items = data.get("result") if "result_some" in wanted and isinstance(data, dict) else data
    rows = items if isinstance(items, list) else []
    for name in ("some", "result_some"):
        if name in wanted:
            assert any(difference(wanted[name], row) is None for row in rows), json.dumps(rows, indent=1)
    check_rows(wanted, rows)


def check_rows(wanted: Case, rows: list[Any]) -> None:
    """Compare what is said of all rows of a list."""
    if "none_of" in wanted:
        assert all(difference(wanted["none_of"], row) for row in rows), rows
    if "only_keys" in wanted:
        assert rows
        assert all(row.keys() <= set(wanted["only_keys"]) for row in rows), rows
    for name in wanted.get("no_row_has", ()):
        assert all(name not in row for row in rows), rows
