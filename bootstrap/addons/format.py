"""What an add-on's folder says, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from bootstrap.model.machine import K3sSettings
from bootstrap.model.settings.system import SystemSpec

HELM: Final = "helm"
"""The value that every add-on takes: settings in the chart's own keys, merged over ours."""


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A Helm chart, pinned.

    Attributes:
        repo: The repository's URL, or empty where `chart` is an `oci://` URL.
        chart: Its name in the repository, or `oci://HOST/PATH`.
        version: The chart's.
        app: The version of what it installs.
    """

    repo: str
    chart: str
    version: str
    app: str


@dataclass(frozen=True, kw_only=True)
class ValueKey:
    """A value that users may give.

    Attributes:
        form: A name of `forms.FORMS`, or `a | b` for one of several words.
        default: What it is where it is not given; None for nothing, and then what needs it is left out.
        example: As it stands in an inventory.
    """

    name: str
    form: str
    doc: str
    default: Any = None
    required: bool = False
    example: Any = None


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What must be so for an add-on to work.

    Attributes:
        system: Packages and kernel modules of the machines.
        disable: Packaged components of k3s that it replaces (`k3s.disable`).
        disable_components: Parts of k3s's own process that it replaces (`k3s.disable_components`).
        agent_config, server_config: Settings in k3s's own keys.
    """

    system: SystemSpec = field(default_factory=SystemSpec)
    disable: tuple[str, ...] = ()
    disable_components: tuple[str, ...] = ()
    agent_config: K3sSettings = ()
    server_config: K3sSettings = ()


@dataclass(frozen=True, kw_only=True)
class Addon:
    """An add-on.

    Attributes:
        summary: One line.
        early: Whether it lies on the first server before k3s starts there the first time, since nodes are not Ready
            without it.
        birth: Why it can only be there from a cluster's birth on; empty where it can come and go.
        excludes: Add-ons that do the same, and cannot be there beside it.
        namespaces: Those that it makes, which only it uses.
        templates: Its objects, before values are filled in.
    """

    name: str
    summary: str
    early: bool = False
    birth: str = ""
    excludes: tuple[str, ...] = ()
    needs: Needs = field(default_factory=Needs)
    values: tuple[ValueKey, ...] = ()
    templates: tuple[Mapping[str, Any], ...] = ()
    charts: Mapping[str, Chart] = field(default_factory=dict)

    def key(self, name: str) -> ValueKey | None:
        """A value's key, or None."""
        return next((each for each in self.values if each.name == name), None)
