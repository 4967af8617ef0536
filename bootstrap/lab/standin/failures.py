"""Errors of the API."""

from __future__ import annotations

from .shapes import Obj, Reply


class ApiError(Exception):
    """An error as Kubernetes answers it."""

    def __init__(self, code: int, reason: str, message: str, details: Obj | None = None) -> None:
        super().__init__(message)
        self.code, self.reason, self.message, self.details = code, reason, message, details

    def status(self) -> Obj:
        return status_object("Failure", self.code, self.reason, self.message, self.details)


def status_object(status: str, code: int, reason: str = "", message: str = "", details: Obj | None = None) -> Obj:
    result: Obj = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": status}
    result |= {key: value for key, value in (("message", message), ("reason", reason), ("details", details)) if value}
    return result if status == "Success" else {**result, "code": code}


def no_such_path() -> ApiError:
    """The answer to a path that names nothing."""
    return ApiError(404, "NotFound", "the server could not find the requested resource")


API_NOT_READY = ApiError(503, "ServiceUnavailable", "apiserver not ready")
"""k3s's answer for its API server while that starts."""
CORE_NOT_READY = "runtime core not ready"
"""The same from its supervisor, for requests that need the API server."""


def not_ready() -> Reply:
    """The answer of an API server that starts."""
    return API_NOT_READY.code, API_NOT_READY.status()
