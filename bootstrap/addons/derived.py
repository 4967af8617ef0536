"""Values that add-ons' templates use and that follow from others. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from bootstrap.addons.facts import Facts
from bootstrap.addons.format import Addon
from bootstrap.addons.forms import parse_range

_Derive: TypeAlias = Callable[[Mapping[str, Any], Facts], dict[str, Any]]


def derive(addon: Addon, values: Mapping[str, Any], facts: Facts) -> dict[str, Any]:
    """What an add-on's templates use besides its values and the facts."""
    found = _DERIVED.get(addon.name)
    return found(values, facts) if found is not None else {}


def _metallb(values: Mapping[str, Any], _facts: Facts) -> dict[str, Any]:
    """MetalLB takes ranges and networks, and no single addresses."""
    return {"ranges": [str(parse_range(text)) for text in values["addresses"]]}


_DERIVED: Final[Mapping[str, _Derive]] = {"metallb": _metallb}
