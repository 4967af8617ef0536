"""What a request from outside asks of a write, besides its body."""

from __future__ import annotations

from ..shapes import Obj
from .apply.managers import name_of_agent
from .checks.errors import FieldError, forbidden, refusal, required, unsupported
from .patching import APPLY

DIRECTIVES = ("Ignore", "Strict", "Warn")
OPTIONS = {"POST": "CreateOptions", "PUT": "UpdateOptions", "PATCH": "PatchOptions", "DELETE": "DeleteOptions"}


class Asked:
    """The options of a write, and the warnings that its answer carries."""

    def __init__(self, manager: str, directive: str, user: str, groups: tuple[str, ...], *, force: bool) -> None:
        self.manager, self.directive, self.force = manager, directive, force
        self.user, self.groups = user, groups
        self.warnings: list[str] = []


def asked(op: Obj) -> Asked | None:
    """The options of a write; None for one of the stand-in's own. Raises ApiError for options that are refused."""
    by = op.get("by")
    if by is None:
        return None
    query, applies = op["query"], op["method"] == "PATCH" and op["type"].partition(";")[0].strip() == APPLY
    errors = list(_problems(op["method"], query, applies=applies))
    if errors:
        raise refusal(f"{OPTIONS[op['method']]}.meta.k8s.io", None, "", errors)
    manager = query.get("fieldManager") or name_of_agent(by.get("agent", ""))
    return Asked(manager, query.get("fieldValidation") or "Warn", by.get("user", ""), tuple(by.get("groups", ())),
                 force=query.get("force") == "true")  # fmt: skip


def _problems(method: str, query: dict[str, str], *, applies: bool) -> list[FieldError]:
    """apimachinery: pkg/apis/meta/v1/validation."""
    errors = []
    manager = query.get("fieldManager", "")
    if applies and not manager:
        errors.append(required("fieldManager", "is required for apply patch"))
    if not applies and method == "PATCH" and query.get("force"):
        errors.append(forbidden("force", "may not be specified for non-apply patch"))
    if len(manager) > 128:
        errors.append(FieldError("fieldManager", "FieldValueTooLong", "Too long: may not be more than 128 bytes"))
    if query.get("dryRun", "All") != "All":
        errors.append(unsupported("dryRun", [query["dryRun"]], ["All"]))
    if query.get("fieldValidation", "") not in ("", *DIRECTIVES):
        errors.append(unsupported("fieldValidation", query["fieldValidation"], ("", *DIRECTIVES)))
    return errors
