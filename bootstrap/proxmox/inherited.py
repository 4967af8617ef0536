"""What a clone inherits of its template besides its disks: taken off, kept, or refused before anything is cloned. Pure.

Proxmox VE copies every option of a template to its clones but for unused disks (`PVE/API2/Qemu.pm`, clone_vm). The
inventory says what a machine is, so what the template says otherwise is taken off; what no API token can take off
(`check_vm_modify_config_perm`) has to go from the template.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from bootstrap.model.observed import TemplateFacts

Settings = tuple[tuple[str, str], ...]
"""Config keys and values."""


class Verdict(StrEnum):
    """What is done about an option that a clone inherits."""

    TAKE_OFF = "take off"
    KEEP = "keep"
    REFUSE = "refuse"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What is done about options of these names and values, and why."""

    keys: re.Pattern[str]
    values: re.Pattern[str]
    verdict: Verdict
    why: str


def _rule(keys: str, verdict: Verdict, why: str, *, values: str = ".*") -> Rule:
    return Rule(keys=re.compile(keys), values=re.compile(values, re.IGNORECASE | re.DOTALL), verdict=verdict, why=why)


_MAPPED = r"(?:.*,)?mapping=.*"
_ROOT = "only root can change it"

_REPLACED = ("description", "tags")
"""Always the machine's own."""

RULES = (
    _rule("protection", Verdict.TAKE_OFF, "a protected machine cannot be destroyed"),
    _rule("vcpus|cpulimit|cpuunits", Verdict.TAKE_OFF, "CPUs are set in the inventory"),
    _rule("cicustom", Verdict.TAKE_OFF, "it replaces the user, the SSH key or the addresses of the inventory"),
    _rule(r"(?:net|ipconfig)[1-9]\d*", Verdict.TAKE_OFF, "network devices are set in the inventory"),
    _rule("tags", Verdict.TAKE_OFF, "the template is found by them"),
    _rule("description", Verdict.TAKE_OFF, "replaced by the record of the machine"),
    _rule("cipassword", Verdict.TAKE_OFF, "anyone who knows it could log in to all machines of all clusters"),
    _rule(r"unused\d+", Verdict.KEEP, "Proxmox VE does not copy it"),
    _rule(r"usb\d+", Verdict.TAKE_OFF, "devices are set in the inventory", values=r"(?:host=)?spice.*"),
    _rule(r"usb\d+|hostpci\d+", Verdict.TAKE_OFF, "devices are set in the inventory", values=_MAPPED),
    _rule(r"usb\d+|hostpci\d+", Verdict.REFUSE, _ROOT),
    _rule(r"serial\d+", Verdict.KEEP, "a console", values="socket"),
    _rule(r"serial\d+|parallel\d+", Verdict.REFUSE, _ROOT),
    _rule("affinity|args|hookscript|hugepages|keephugepages|ivshmem", Verdict.REFUSE, _ROOT),
    _rule("startup", Verdict.REFUSE, "changing it needs Sys.Modify on /"),
)
"""The first that fits counts; what none names is kept."""


def rule_for(key: str, value: str) -> Rule | None:
    """The rule for an option; None where there is none, so that it is kept."""
    fits = (rule for rule in RULES if rule.keys.fullmatch(key) and rule.values.fullmatch(value))
    return next(fits, None)


def matters(key: str, value: str) -> bool:
    """Whether an option of a VM or template is read at all."""
    rule = rule_for(key, value)
    return rule is not None and rule.verdict is not Verdict.KEEP


def taken_off(settings: Settings) -> tuple[str, ...]:
    """The keys of options that a clone may not keep, in order."""
    return tuple(sorted(rule_key for rule_key, _ in _of(settings, Verdict.TAKE_OFF)))


def refused(settings: Settings) -> tuple[str, ...]:
    """The keys of options that a template may not have, in order."""
    return tuple(sorted(rule_key for rule_key, _ in _of(settings, Verdict.REFUSE)))


def reasons(settings: Settings) -> tuple[str, ...]:
    """A line for each option that a template may not have: `args: only root may change it`."""
    return tuple(f"{key}: {rule.why}" for key, rule in sorted(_of(settings, Verdict.REFUSE), key=lambda pair: pair[0]))


def taken_off_notes(templates: Iterable[TemplateFacts]) -> tuple[str, ...]:
    """A line for each template whose clones are made without options that a user may miss."""
    found = {one.vmid: [key for key in taken_off(one.settings) if key not in _REPLACED] for one in templates}
    names = {one.vmid: one.name for one in templates}
    return tuple(
        f"machines are created without these options of template {names[vmid]} ({vmid}): {', '.join(keys)}"
        for vmid, keys in sorted(found.items())
        if keys
    )


def own_tags(inherited: Iterable[str], *, template: Iterable[str]) -> frozenset[str]:
    """The tags of a clone that are not its template's, in whatever case: they were added since."""
    theirs = {tag.lower() for tag in template}
    return frozenset(tag for tag in inherited if tag.lower() not in theirs)


def _of(settings: Settings, verdict: Verdict) -> Iterator[tuple[str, Rule]]:
    for key, value in settings:
        rule = rule_for(key, value)
        if rule is not None and rule.verdict is verdict:
            yield key, rule
