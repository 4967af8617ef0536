"""Checks of `k3s.environment` and `k3s.proxy`: that secrets are there, and that both do not set the same."""

from __future__ import annotations

from bootstrap.inventory.files import Places
from bootstrap.inventory.keys.environment import Value, read_value
from bootstrap.inventory.keys.k3s import K3sKeys
from bootstrap.inventory.keys.root import Root
from bootstrap.inventory.problems import Problems, Where
from bootstrap.inventory.values.scalars import RefusedError
from bootstrap.k3s.environment import PROXIES


def check_environment(root: Root, places: Places, problems: Problems) -> None:
    """Add a problem for each value that cannot be read or used, and for a proxy that is given twice."""
    k3s = root.k3s
    if k3s is None:
        return
    at = k3s.at(K3sKeys.environment)
    for name, value in k3s.environment or ():
        where = at.key(name, at.line)
        if name in PROXIES and k3s.given(K3sKeys.proxy):
            problems.add(where, "is given beside k3s.proxy", f"keep one: k3s.proxy stands for {' and '.join(PROXIES)}")
        _check(name, value, where, places, problems)
    if k3s.proxy is not None:
        _check(PROXIES[0], k3s.proxy, k3s.at(K3sKeys.proxy), places, problems)


def _check(name: str, value: Value, where: Where, places: Places, problems: Problems) -> None:
    if not isinstance(value, str):
        if len(value.found) != 1 or len(value.places) != 1:
            return  # noted already by the section, or by the wrong value
        where = next(iter(value.places.values()))
    try:
        read_value(name, value, places)
    except RefusedError as refused:
        problems.add(where, refused.message, refused.hint)
