"""Faults of single requests: lost or delayed connections, and errors of the API."""
# ruff: noqa: ANN401 - fakepve has no types

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from bootstrap.lab.faults.active import Fault, Faults
from bootstrap.lab.faults.state import ClusterState

Serve = Callable[[web.Request], Awaitable[web.StreamResponse]]

_NODE = re.compile(r"/nodes/([^/]+)")
_VM = re.compile(r"/(?:qemu|lxc)/(\d+)")
_SAID = {
    "api-595": (595, "Connection refused"),
    "api-596": (596, "Broken pipe"),
    "token-revoked": (401, "Authentication failed!"),
    "bare-403": (403, "Permission check failed"),
}
OFFLINE = (595, "No route to host")
OFFLINE_S = 3.0
"""How long the proxy tries to connect to a Proxmox node that is off (9.2, observed: seconds)."""
NO_QUORUM = (500, "cluster not ready - no quorum?")
_CONFIG = re.compile(r"/nodes/([^/]+)/(qemu|lxc)/(\d+)/config$")
_CLONE = re.compile(r"/qemu/\d+/clone$")
_KINDS = {"qemu": "qemu-server", "lxc": "lxc"}


class RequestFaults:
    """Applies faults before and after the gateway's answers.

    Args:
        pve: The `FakePve`.
        faults: What is in force.
    """

    def __init__(self, pve: Any, faults: Faults) -> None:
        self._pve, self._faults = pve, faults
        self._state = ClusterState(pve, faults)

    async def around(self, request: web.Request, serve: Serve) -> web.StreamResponse:
        """Answer a request, with the faults that strike it."""
        self._state.follow()
        slow = self._strike("api-slow", request)
        if slow:
            await asyncio.sleep(slow.number("seconds"))
        if self._strike("api-reset", request):
            _reset(request)
        self._move(request)
        refused = self._refusal(request)
        if refused is not None:
            if refused.status == OFFLINE[0] and refused.reason == OFFLINE[1]:
                await self._pve.pause(OFFLINE_S)
            return refused
        response = await serve(request)
        if self._strike("answer-lost", request):
            _reset(request)
        if self._strike("answer-cut", request) and isinstance(response, web.Response):
            await _send_half(request, response)
        return response

    def _move(self, request: web.Request) -> None:
        """Move the VM's config to another Proxmox node; its guest keeps running.

        Only if the request names the right node.
        """
        asked, vm = _NODE.search(request.path), _VM.search(request.path)
        guest = self._pve.guest(int(vm[1])) if vm else None
        if guest is None or asked is None or guest.node != asked[1]:
            return
        moved = self._strike("vm-moved", request)
        if moved:
            guest.node = moved.text("to") or self._another_than(guest.node)

    def _another_than(self, pve_node: str) -> str:
        """The first other Proxmox node that is online; the same one where there is none."""
        online = [name for name, state in sorted(self._pve.nodes.items()) if state.get("online", True)]
        return next((name for name in online if name != pve_node), pve_node)

    def _strike(self, word: str, request: web.Request) -> Fault | None:
        node, vm = _NODE.search(request.path), _VM.search(request.path)
        known = self._pve.guest(int(vm[1])) if vm else None
        return self._faults.strike(
            word,
            machine=known.name if known else "",
            vmid=int(vm[1]) if vm else None,
            pve_node=node[1] if node else "",
            method=request.method,
            path=request.path,
        )

    def _refusal(self, request: web.Request) -> web.Response | None:
        for word, (status, reason) in _SAID.items():
            if self._strike(word, request):
                return _bare(status, reason)
        said = self._strike("api-500", request)
        if said:
            return _told(500, said.text("text"))
        node = _NODE.search(request.path)
        return self._refusal_of(node[1], request) if node else None

    def _refusal_of(self, pve_node: str, request: web.Request) -> web.Response | None:
        """The refusal of a request to a Proxmox node."""
        if self._strike("pve-node-unreachable", request) or not self._pve.nodes.get(pve_node, {}).get("online", True):
            return _bare(*OFFLINE)
        if not self._pve.quorate and request.method != "GET" and not _CLONE.search(request.path):
            return _told(500, _unwritable(request.path) or NO_QUORUM[1])
        return None


def _unwritable(path: str) -> str:
    """The error of a change of a config while /etc/pve is read-only (9.2, observed); empty for other requests."""
    found = _CONFIG.search(path)
    if found is None:
        return ""
    return no_quorum_write(found[1], int(found[3]), kind=found[2])


def no_quorum_write(pve_node: str, vmid: int, *, kind: str = "qemu") -> str:
    """The error of pmxcfs for a config without quorum."""
    return f"unable to open file '/etc/pve/nodes/{pve_node}/{_KINDS[kind]}/{vmid}.conf.tmp.42784' - Permission denied"


def _bare(status: int, reason: str) -> web.Response:
    """An error of the proxy or of the authentication layer, without a body."""
    response = web.Response(status=status, reason=reason)
    response.force_close()
    return response


def _told(status: int, message: str) -> web.Response:
    response = web.json_response({"data": None, "message": message + "\n"}, status=status, reason=message)
    response.force_close()
    return response


def _reset(request: web.Request) -> None:
    """Drop the connection without an answer.

    Raises:
        ConnectionResetError: Always; it ends the request here.
    """
    if request.transport is not None:
        request.transport.abort()
    raise ConnectionResetError("a fault dropped the connection")


async def _send_half(request: web.Request, response: web.Response) -> None:
    """Send the head and half of the body, then drop the connection. Raises ConnectionResetError."""
    body = response.body if isinstance(response.body, bytes) else b""
    half = web.StreamResponse(status=response.status, reason=response.reason)
    half.content_length = len(body)
    half.content_type = "application/json"
    await half.prepare(request)
    await half.write(body[: len(body) // 2])
    _reset(request)
