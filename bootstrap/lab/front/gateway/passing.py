"""Passes requests on to fakepve over HTTP, and parses its answers."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
from aiohttp import web
from fakepve import PveError
from yarl import URL

from bootstrap.lab.front.gateway.call import Answer

GOODBYE_S = 0.1
_PASSED_HEADERS = ("Authorization", "Cookie", "CSRFPreventionToken", "Content-Type")


class RawAnswerError(Exception):
    """fakepve answered with something that is not the API's JSON (a proxy's error page, requested by a test)."""

    def __init__(self, response: web.Response) -> None:
        super().__init__(response.reason)
        self.response = response


class Passer:
    """Sends requests on to the fakepve behind the gateway.

    Args:
        url: Where fakepve listens; its certificate is not checked, since it is this process's own.
        root_token: Id and secret of a token of root, joined by `=`.
    """

    def __init__(self, url: str, *, root_token: str) -> None:
        self.url = url
        self._root_header = f"PVEAPIToken={root_token}"
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Open the client; needs a running loop."""
        connector = aiohttp.TCPConnector(ssl=False, limit=0)
        # Proxmox's tasks may take long, and a fault of fakepve may hang for minutes: only the client's own timeout
        # counts.
        self._session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None))

    async def close(self) -> None:
        """Close the client."""
        if self._session is not None:
            await self._session.close()
            # aiohttp returns before its TLS connections are closed (see "Graceful shutdown" in its docs).
            await asyncio.sleep(GOODBYE_S)

    async def raw(
        self, request: web.Request, *, values: dict[str, Any] | None = None, as_root: bool = False
    ) -> web.Response:
        """Pass a request on, optionally with other parameters, and return the answer unchanged.

        Args:
            request: What to pass on.
            values: Parameters to send instead of its body.
            as_root: Pass it on as root, for a request whose rights were checked here by other rules.

        Raises:
            ConnectionResetError: fakepve dropped the connection, as a test made it do.
        """
        if self._session is None:
            raise RuntimeError("the passer is not open")
        headers = {name: request.headers[name] for name in _PASSED_HEADERS if name in request.headers}
        body: bytes = await request.read()
        if values is not None:
            body, headers["Content-Type"] = json.dumps(values).encode(), "application/json"
        if as_root:
            headers["Authorization"] = self._root_header
        try:
            async with self._session.request(
                request.method, URL(self.url + request.raw_path, encoded=True), headers=headers, data=body or None
            ) as reply:
                content = await reply.read()
                kind = reply.headers.get("Content-Type", "text/plain")
                return web.Response(
                    status=reply.status, reason=reply.reason, body=content, headers={"Content-Type": kind}
                )
        except aiohttp.ClientConnectionError as error:
            raise ConnectionResetError(str(error)) from error

    async def call(
        self, request: web.Request, *, values: dict[str, Any] | None = None, as_root: bool = False
    ) -> Answer:
        """Pass a request of the JSON API on; the arguments are `raw`'s.

        Raises:
            PveError: fakepve answered with an error of the API.
            RawAnswerError: It answered with something else.
        """
        response = await self.raw(request, values=values, as_root=as_root)
        try:
            body = json.loads(response.body)  # type: ignore[arg-type]
        except ValueError as error:
            raise RawAnswerError(response) from error
        if response.status >= 400:
            raise PveError(response.status, str(body["message"]).rstrip("\n"), body.get("errors"))
        return Answer(body.pop("data", None), body)
