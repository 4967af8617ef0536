"""Answers of the API that are no success."""

from __future__ import annotations

from .shapes import Obj


class ApiError(Exception):
    """An answer that is not a success, in Kubernetes' terms."""

    def __init__(self, code: int, reason: str, message: str, details: Obj | None = None) -> None:
        super().__init__(message)
        self.code, self.reason, self.message, self.details = code, reason, message, details

    def status(self) -> Obj:
        return status_object("Failure", self.code, self.reason, self.message, self.details)


def status_object(status: str, code: int, reason: str = "", message: str = "", details: Obj | None = None) -> Obj:
    result: Obj = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": status}
    result |= {key: value for key, value in (("message", message), ("reason", reason), ("details", details)) if value}
    return result if status == "Success" else {**result, "code": code}
