"""Checks what a user wants of an add-on, and renders it to Kubernetes objects. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from bootstrap.addons.charts import with_chart
from bootstrap.addons.facts import Facts
from bootstrap.addons.finding import Finding
from bootstrap.addons.format import HELM, Addon
from bootstrap.addons.forms import form_of
from bootstrap.addons.library import addon_names, get_addon
from bootstrap.addons.own.tables import check_values, names_of
from bootstrap.addons.templating import fill
from bootstrap.model.words import did_you_mean

_NOTHING: Final[Mapping[str, str]] = {}
_FIRST: Final = {"Namespace": 0, "Secret": 1}
"""What others are in, or use."""


class AddonError(ValueError):
    """All that is wrong with what is wanted of an add-on.

    Attributes:
        findings: Each problem.
    """

    def __init__(self, addon: str, findings: tuple[Finding, ...]) -> None:
        super().__init__("; ".join(f"{addon}: {each}" for each in findings))
        self.findings = findings


def problems_of(
    name: str, values: Mapping[str, Any], facts: Facts | None, *, beside: Sequence[str] = ()
) -> tuple[Finding, ...]:
    """All that is wrong with the values of an add-on, or with its name.

    Args:
        name: The add-on's.
        values: As in the inventory, parsed: `{"addresses": ["192.168.1.240-192.168.1.250"]}`.
        facts: What is known of the cluster; None to look only at what the values say by themselves.
        beside: The other add-ons of the cluster.
    """
    addon = get_addon(name)
    if addon is None:
        hint = did_you_mean(name, addon_names()) or f"there are {', '.join(addon_names())}"
        return (Finding(path="addon", message=f"there is no add-on {name[:60]!r}", hint=hint),)
    found = tuple(_problems(addon, values))
    if not found and facts is not None:
        found = tuple(check_values(addon, _complete(addon, values), facts))
    return found + tuple(_excluded(addon, beside))


def secret_keys(name: str, values: Mapping[str, Any]) -> tuple[tuple[str, Mapping[str, str]], ...]:
    """The values that are secrets, each with where it is stored: `(("token", {"env": "CSI_TOKEN"}),)`."""
    addon = get_addon(name)
    secrets = {each.name for each in addon.values if each.form == "secret"} if addon is not None else set()
    return tuple((key, value) for key, value in values.items() if key in secrets and isinstance(value, Mapping))


def render(
    name: str, values: Mapping[str, Any], facts: Facts, *, secrets: Mapping[str, str] = _NOTHING
) -> list[dict[str, Any]]:
    """The objects of an add-on, in the order in which they are applied.

    Args:
        name: The add-on's.
        values: As in the inventory, parsed.
        facts: What is known of the cluster.
        secrets: The text of each of `secret_keys`. They end up in objects of kind Secret, and nowhere else.

    Raises:
        AddonError: The name or the values are wrong.
    """
    found = problems_of(name, values, facts)
    addon = get_addon(name)
    if found or addon is None:
        raise AddonError(name, found)
    complete = _complete(addon, values)
    names = {**_facts(facts), **complete, **secrets, **names_of(addon, complete, facts)}
    filled = (fill(template, names) for template in addon.templates)
    helm = values.get(HELM, {})
    objects = (with_chart(each, addon.charts, helm) for each in filled if each is not None)
    return sorted(objects, key=lambda each: _FIRST.get(each["kind"], len(_FIRST)))


def _facts(facts: Facts) -> dict[str, Any]:
    return {
        "cluster": facts.cluster,
        "api_host": facts.api_host,
        "pve_api": facts.pve_api,
        "pve_ca": facts.pve_ca,
        "pod_network": str(facts.pod_network),
        "service_network": str(facts.service_network),
        "servers": facts.servers,
    }


def _complete(addon: Addon, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values with defaults."""
    return {key.name: values.get(key.name, key.default) for key in addon.values}


def _problems(addon: Addon, values: Mapping[str, Any]) -> Iterator[Finding]:
    known = (*(key.name for key in addon.values), HELM)
    for name, value in values.items():
        key = addon.key(name)
        form = form_of(key.form if key is not None else "mapping")
        if name not in known:
            hint = did_you_mean(name, known) or f"there are {', '.join(known)}"
            yield Finding(path=f"values.{name}", message=f"is no value of {addon.name}", hint=hint)
        elif not form.fits(value):
            hint = f"such as {key.example}" if key is not None and key.example is not None else ""
            yield Finding(path=f"values.{name}", message=f"must be {form.words}", hint=hint)
    for key in addon.values:
        if key.required and values.get(key.name) is None:
            hint = f"such as {{{key.name}: {_shown(key.example)}}}"
            yield Finding(path=f"values.{key.name}", message=f"{addon.name} needs it: {key.doc}", hint=hint)


def _shown(example: object) -> str:
    if isinstance(example, list):
        return f"[{', '.join(map(str, example))}]"
    if isinstance(example, Mapping):
        return "{" + ", ".join(f"{key}: {value}" for key, value in example.items()) + "}"
    return str(example)


def _excluded(addon: Addon, beside: Sequence[str]) -> Iterator[Finding]:
    for other in beside:
        if other in addon.excludes:
            yield Finding(path="addon", message=f"{addon.name} and {other} do the same", hint="keep one of the two")
