"""Names of shared types."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Json = Any  # what json.loads gives
Obj = dict[str, Any]
Key = tuple[str, str, str]
Change = tuple[str, str, str, Obj | None, int]
Edit = tuple[str, str, str, Obj | None]  # plural, namespace, name, the new object or None
Reply = tuple[int, Obj]
Call = Callable[..., Reply]
