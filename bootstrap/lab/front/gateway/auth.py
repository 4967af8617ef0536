"""Authentication: API tokens and tickets, refused with Proxmox's texts and after its 3 seconds."""
# ruff: noqa: ANN401 - fakepve has no types, and JSON has any shape

from __future__ import annotations

import hmac
import time
from typing import Any

from aiohttp import web

from bootstrap.lab.front.gateway.call import NotAuthenticatedError

TOKEN_PREFIX = "PVEAPIToken="  # noqa: S105 - the name of a scheme, no secret
REFUSED = "Authentication failed!"


def authenticate(pve: Any, request: web.Request) -> str:
    """The user or token id of a request.

    Raises:
        NotAuthenticatedError: With the reason of the 401. Seen on Proxmox VE 8.4: a header of another scheme is
            ignored, and every invalid token gets the same text.
    """
    header = request.headers.get("Authorization", "")
    if header.startswith(TOKEN_PREFIX):
        token_id, _, secret = header.removeprefix(TOKEN_PREFIX).partition("=")
        known = pve.apitokens.get(token_id)
        if known is None or not hmac.compare_digest(known.encode(), secret.encode()):
            raise NotAuthenticatedError(REFUSED)
        return token_id
    ticket = request.cookies.get("PVEAuthCookie")
    if not ticket:
        raise NotAuthenticatedError("No ticket")
    session = pve.tickets.get(ticket)
    if session is None or session["expires"] < time.time():
        raise NotAuthenticatedError("permission denied - invalid PVE ticket")
    if request.method != "GET" and request.headers.get("CSRFPreventionToken") != session["csrf"]:
        raise NotAuthenticatedError("Permission denied - invalid csrf token")
    return str(session["user"])
