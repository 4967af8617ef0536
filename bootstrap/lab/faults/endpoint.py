"""`/lab/faults`: lists, adds and ends faults. Proxmox VE has no such path."""

from __future__ import annotations

import json
from collections.abc import Callable

from aiohttp import web

from bootstrap.lab.faults.active import Fault, FaultError, Faults
from bootstrap.lab.faults.kinds import KINDS, SELECTORS

PATH = "/lab/faults"


class FaultsEndpoint:
    """Answers requests for `PATH`.

    GET lists the known faults and the faults in force. POST of `{"fault": WORD, ...}`, or of a list of these, adds
    faults and answers them with their ids. DELETE ends all, DELETE of `PATH/ID` one.

    Args:
        faults: The lab's.
        on_change: Called with each new fault.
    """

    def __init__(self, faults: Faults, *, on_change: Callable[[Fault], None]) -> None:
        self._faults, self._on_change = faults, on_change

    async def serve(self, request: web.Request) -> web.Response:
        """Answer one request. The gateway has checked the caller."""
        try:
            if request.method == "GET":
                return web.json_response({"known": known_faults(), "selectors": SELECTORS, "faults": self._in_force()})
            if request.method == "POST":
                return web.json_response({"faults": [fault.to_dict() for fault in self._add(await request.read())]})
            if request.method == "DELETE":
                rest = request.path.removeprefix(PATH).strip("/")
                gone = self._faults.remove(int(rest) if rest else None)
                return web.json_response({"faults": [fault.to_dict() for fault in gone]})
        except (FaultError, ValueError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response({"error": f"{request.method} is not GET, POST or DELETE"}, status=405)

    def _add(self, body: bytes) -> list[Fault]:
        given = json.loads(body)
        added = []
        for entry in given if isinstance(given, list) else [given]:
            if not isinstance(entry, dict) or "fault" not in entry:
                raise FaultError('a fault is {"fault": WORD, ...}')
            fault = self._faults.add(str(entry.pop("fault")), **entry)
            self._on_change(fault)
            added.append(fault)
        return added

    def _in_force(self) -> list[dict[str, object]]:
        return [fault.to_dict() for fault in self._faults.all()]


def known_faults() -> dict[str, dict[str, object]]:
    """Every fault by name: where it strikes, what it does, its parameters with their defaults."""
    return {kind.word: {"where": kind.where, "does": kind.does, "values": dict(kind.values)} for kind in KINDS.values()}
