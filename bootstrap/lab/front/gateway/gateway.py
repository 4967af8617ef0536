"""The gateway: every request is authenticated, checked against the schema, then answered or passed on.

The order is Proxmox's own: authentication (401), the method's existence (501), permissions (403), the form of
parameters (400), then the method itself. fakepve's hand-written methods look for the VM first, so that a
token without rights would learn which VMs exist; here the schema's own permission rule comes first.
"""
# ruff: noqa: ANN401 - fakepve has no types, and JSON has any shape

from __future__ import annotations

import asyncio
import json
import logging
import re
import ssl
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any, cast
from weakref import WeakSet

from aiohttp import web
from fakepve import PveError

from bootstrap.lab.faults.active import Fault, Faults
from bootstrap.lab.faults.endpoint import PATH as FAULTS
from bootstrap.lab.faults.endpoint import FaultsEndpoint
from bootstrap.lab.faults.requests import RequestFaults
from bootstrap.lab.front.gateway.auth import authenticate
from bootstrap.lab.front.gateway.call import API, Answer, Call, Handler, NotAuthenticatedError, PlainError
from bootstrap.lab.front.gateway.parameters import check_booleans, parameters_of, proxmox_words
from bootstrap.lab.front.gateway.passing import Passer, RawAnswerError

REFUSAL_S = 3.0
REFUSED_S = 3.0  # how long nothing listens if a fault gives no time; about as long as a restart of pveproxy
API_WORKERS = 3
UPLOAD_MAX = 4 * 1024**3
AGENT_BASE = "/nodes/{node}/qemu/{vmid}/agent"
ROOT = "root@pam"
# A volume's id contains a slash. The schema's matching splits paths there; fakepve's own routes do not.
VOLUME = re.compile(r"/nodes/[^/]+/storage/[^/]+/content/[^/]+(?:/|%2[Ff]).+")

Route = tuple[str, str]

logger = logging.getLogger("bootstrap.lab.gateway")


class Gateway:
    """The HTTPS server clients see.

    Args:
        pve: The `FakePve` behind it, started.
        passer: Client of it.
        pve_version: 8 or 9.
        own: Handlers by method and schema path, for requests that the gateway answers or corrects; others are passed
            on.
        faults: What goes wrong.
        master: Token that may inject faults.
        before: Called before each request is answered.
    """

    def __init__(
        self,
        *,
        pve: Any,
        passer: Passer,
        pve_version: int,
        own: Mapping[Route, Handler],
        faults: Faults,
        master: str,
        before: Callable[[], None],
    ) -> None:
        self.pve = pve
        self.pve_version = pve_version
        self.passer = passer
        self.own = own
        # Proxmox VE has three API workers per node, and a call that waits holds one of them.
        self._workers: dict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(API_WORKERS))
        self._transports: WeakSet[asyncio.Transport] = WeakSet()
        self._runner: web.AppRunner | None = None
        self._site: web.TCPSite | None = None
        self._listen_at: tuple[str, int, ssl.SSLContext] | None = None
        self._master = master
        self._before = before
        self._around = RequestFaults(pve, faults).around
        self._faults = FaultsEndpoint(faults, on_change=self._begin_fault)
        self._doors: set[asyncio.Task[None]] = set()

    async def start(self, *, host: str, port: int, context: ssl.SSLContext) -> int:
        """Listen; returns the port (the system's choice for 0).

        Raises:
            OSError: The address cannot be listened on.
        """
        app = web.Application(client_max_size=UPLOAD_MAX)
        app.router.add_route("*", "/{tail:.*}", self._receive)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        try:
            self._site = web.TCPSite(self._runner, host, port, ssl_context=context)
            await self._site.start()
        except OSError:
            await self._runner.cleanup()
            raise
        taken = int(self._runner.addresses[0][1])
        self._listen_at = (host, taken, context)
        return taken

    async def stop(self) -> None:
        """Stop listening."""
        for door in self._doors:
            door.cancel()
        if self._runner is not None:
            await self._runner.cleanup()
        self._hang_up()

    def _hang_up(self) -> None:
        for transport in self._transports:
            # A TLS connection waits up to 30 s for its client's close, which an idle client never sends.
            transport.abort()

    def _begin_fault(self, fault: Fault) -> None:
        if fault.kind.word == "api-refused":
            door = asyncio.create_task(self._refuse_all(fault))
            self._doors.add(door)
            door.add_done_callback(self._doors.discard)

    async def _refuse_all(self, fault: Fault) -> None:
        """Stop listening until a fault ends. No request could end the fault in that time, so it ends by itself."""
        runner, where = self._runner, self._listen_at
        if self._site is None or runner is None or where is None:
            return
        await asyncio.sleep(0.05)  # send its own answer first
        if fault.until is None:
            fault.until = time.monotonic() + REFUSED_S
        await self._site.stop()
        self._hang_up()
        while fault.in_force():
            await asyncio.sleep(0.05)
        host, port, context = where
        self._site = web.TCPSite(runner, host, port, ssl_context=context)
        await self._site.start()

    async def _receive(self, request: web.Request) -> web.StreamResponse:
        if request.transport is not None:
            self._transports.add(request.transport)
        if request.path == FAULTS or request.path.startswith(FAULTS + "/"):
            return await self._serve_faults(request)
        self._before()
        return await self._around(request, self._serve)

    async def _serve_faults(self, request: web.Request) -> web.Response:
        try:
            asker = authenticate(self.pve, request)
        except NotAuthenticatedError as error:
            return web.json_response({"error": str(error)}, status=401)
        if asker != self._master:
            return web.json_response({"error": f"only {self._master} may ask for faults"}, status=403)
        return await self._faults.serve(request)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if not request.path.startswith(API + "/"):
            return await self._pass_unseen(request)
        try:
            answer = await self._answer(request)
        except NotAuthenticatedError as error:
            await self.pve.pause(REFUSAL_S)
            return _closing(web.Response(status=401, reason=str(error)))
        except PlainError as error:
            return _closing(web.Response(status=error.status, reason=error.message, text=error.message))
        except RawAnswerError as error:
            return _closing(error.response)
        except PveError as error:
            return self._error(error)
        except ConnectionResetError:
            if request.transport is not None:
                request.transport.abort()
            raise
        return web.json_response({"data": answer.data, **answer.beside})

    async def _pass_unseen(self, request: web.Request) -> web.Response:
        """Requests outside the JSON API (`/api2/extjs`, other paths) go to fakepve unchanged."""
        try:
            return await self.passer.raw(request)
        except ConnectionResetError:
            if request.transport is not None:
                request.transport.abort()
            raise

    async def _answer(self, request: web.Request) -> Answer:
        path = request.rel_url.raw_path.removeprefix(API)
        if path.rstrip("/") == "/access/ticket" and request.method == "POST":
            return await self._log_in(request)
        user = authenticate(self.pve, request)
        if VOLUME.fullmatch(path):
            return await self.passer.call(request)
        match = self.pve.resolve(request, API)
        if match is None or request.method not in match.methods:
            # Answered by hand, since this one error has no newline at its end.
            text = f"Method '{request.method} {request.path.removeprefix(API)}' not implemented"
            body = {"data": None, "message": text}
            raise RawAnswerError(web.json_response(body, status=501, reason=text))
        raw = await parameters_of(request)
        if self._fault_asked_for(request, match.template):
            return await self.passer.call(request)
        checked_as = self._check_rights(user, match, request.method, raw)
        declared = (match.methods[request.method].get("parameters") or {}).get("properties", {})
        check_booleans(raw, declared)
        handler = self.own.get((request.method, match.template))

        async def call(_match: Any, values: dict[str, Any]) -> Answer:
            values = {**values, **{key: values.get(key, value) for key, value in match.params.items()}}
            known = Call(
                request=request, template=match.template, method=request.method, user=user, raw=raw, values=values
            )
            return await (handler(known) if handler else self.passer.call(request))

        pve_node = match.params.get("node")
        held = self._workers[pve_node] if pve_node and not match.template.endswith("/upload") else nullcontext()
        async with held:
            return cast(Answer, await self.pve.answer(request, match, raw, checked_as, call))

    def _check_rights(self, user: str, match: Any, method: str, raw: Mapping[str, Any]) -> str:
        """Refuse callers without the method's privilege; returns the user for the schema's own check.

        Proxmox VE 8 asks one privilege, VM.Monitor, for every guest-agent call; the schema is version 9's. Methods for
        all users are not checked further, even if the schema has a check (PVE::RPCEnvironment).
        """
        if self.pve_version == 8 and match.template.startswith(AGENT_BASE):
            self.pve.require(user, f"/vms/{match.params['vmid']}", "VM.Monitor")
            return ROOT
        info = match.methods[method]
        if (info.get("permissions") or {}).get("user") == "all":
            return ROOT
        declared = (info.get("parameters") or {}).get("properties", {})
        self.pve.check_permissions(user, info.get("permissions"), {**raw, **match.params}, declared)
        return user

    def _fault_asked_for(self, request: web.Request, template: str) -> bool:
        """Whether a test made fakepve fail this request; then fakepve must get it unchanged."""
        return any(
            method == request.method and (template == suffix.rstrip("/") or request.path.endswith(suffix))
            for method, suffix in self.pve.failures
        )

    def _error(self, error: Any) -> web.Response:
        body: dict[str, Any] = {"data": None, "message": error.message + "\n"}
        if error.errors:
            body["errors"] = proxmox_words(error.errors) if self.pve_version == 8 else error.errors
        if error.status in (595, 596):  # Proxmox's proxy sends these without a body
            return _closing(web.Response(status=error.status, reason=error.message))
        text = json.dumps(body)
        reason = error.message.splitlines()[0] if error.message else None
        return _closing(web.Response(status=error.status, reason=reason, text=text, content_type="application/json"))

    async def _log_in(self, request: web.Request) -> Answer:
        try:
            return await self.passer.call(request)
        except PveError as error:
            if error.status == 401:
                await self.pve.pause(REFUSAL_S)
            raise


def _closing(response: web.Response) -> web.Response:
    """The response, with its connection closed after it, as Proxmox does with every error."""
    response.force_close()
    return response
