"""API requests in the gateway, and Proxmox's answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from fakepve import PveError

API = "/api2/json"


@dataclass(frozen=True, kw_only=True)
class Call:
    """An authenticated request whose parameters agree with Proxmox's schema.

    Attributes:
        request: The HTTP request as it came.
        template: Path of the schema, `/nodes/{node}/qemu/{vmid}/config`.
        method: HTTP method.
        user: User or token id the request is made as.
        raw: Parameters of query and body as sent.
        values: Those parameters and the path's, in the types of the schema.
    """

    request: web.Request
    template: str
    method: str
    user: str
    raw: Mapping[str, Any]
    values: Mapping[str, Any]

    @property
    def pve_node(self) -> str:
        """The Proxmox node of the path."""
        return str(self.values["node"])

    @property
    def vmid(self) -> int:
        """The VM id of the path."""
        return int(self.values["vmid"])


@dataclass(frozen=True)
class Answer:
    """The answer to a successful call: `data`, and keys beside it (`total`)."""

    data: Any = None
    beside: Mapping[str, Any] = field(default_factory=dict)


Handler = Callable[[Call], Awaitable[Answer]]


class PlainError(Exception):
    """An error Proxmox answers with as plain text: malformed JSON, a body on DELETE, a strange content type."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class NotAuthenticatedError(Exception):
    """A 401 of the authentication layer: no body, and 3 s late (seen on Proxmox VE 8.4)."""


def bad_parameters(**problems: str) -> PveError:
    """A 400 with one text per parameter, as Proxmox words it."""
    return PveError(400, "Parameter verification failed.", problems)


def no_such_config(pve_node: str, vmid: int) -> str:
    """The error for a VM that is not on this Proxmox node."""
    return f"Configuration file 'nodes/{pve_node}/qemu-server/{vmid}.conf' does not exist"
