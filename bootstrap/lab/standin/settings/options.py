"""The settings of a server or an agent: command line, then config files, then environment."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from ..files import ROOT
from ..logs import Fatal, log
from .flags import ALIASES, flag_table, parse_flags, undefined
from .yaml_reader import parse_config

ENVIRONMENT = {
    "token": "K3S_TOKEN",
    "token-file": "K3S_TOKEN_FILE",
    "server": "K3S_URL",
    "node-name": "K3S_NODE_NAME",
    "agent-token": "K3S_AGENT_TOKEN",
    "agent-token-file": "K3S_AGENT_TOKEN_FILE",
    "write-kubeconfig": "K3S_KUBECONFIG_OUTPUT",
    "write-kubeconfig-mode": "K3S_KUBECONFIG_MODE",
    "cluster-init": "K3S_CLUSTER_INIT",
    "data-dir": "K3S_DATA_DIR",
}
# These must be the same on all servers.
CRITICAL_TEXT = """
cluster-cidr service-cidr cluster-dns cluster-domain flannel-backend flannel-ipv6-masq flannel-external-ip
egress-selector-mode disable-cloud-controller disable-helm-controller disable-network-policy
secrets-encryption embedded-registry supervisor-metrics
"""
COMMA_SEPARATED = {"tls-san", "disable", "node-ip", "node-external-ip", "cluster-cidr", "service-cidr"}


def config_files(main: Path) -> list[Path]:
    """The file itself, then its drop-ins in order."""
    drop_ins = Path(f"{main}.d")
    extra = [p for p in drop_ins.glob("*") if p.suffix in (".yaml", ".yml")] if drop_ins.is_dir() else []
    return [main, *sorted(extra)] if main.exists() else sorted(extra)


def read_config(main: Path, known: dict[str, str], *, command: str = "server") -> dict[str, list[str]]:
    """All files merged: a later one replaces a key, `key+` appends to it.

    A server skips unknown keys with a warning; an agent ends over one (k3s: `ValidFlags` in
    pkg/configfilearg/defaultparser.go has the server's flags alone).
    """
    merged: dict[str, list[str]] = {}
    for path in config_files(main):
        for key, values in parse_config(path.read_text(), str(path)).items():
            name = key.rstrip("+")
            name = ALIASES.get(name, name)
            if name not in known and command != "server":
                raise undefined(name)
            if name not in known:
                log("warning", f"Unknown flag --{name} found in config.yaml, skipping\n")
            elif len(values) > 1 and known[name] != "*" and not key.endswith("+"):
                raise Fatal(f"{path}: {name} takes one value, not a list")
            else:
                merged[name] = [*merged.get(name, []), *values] if key.endswith("+") else values
    return merged


class Options:
    """The settings of a server or an agent: command line, then config files, then environment."""

    def __init__(
        self, command: str, argv: list[str], *, root: str = ROOT, environ: Mapping[str, str] = os.environ
    ) -> None:
        self.command, self.root, self.environ = command, root, environ
        self.known = flag_table(command)
        flags = parse_flags(argv, self.known)
        main = flags.get("config", [environ.get("K3S_CONFIG_FILE", f"{root}/etc/rancher/k3s/config.yaml")])[-1]
        self.given = {**read_config(Path(main), self.known, command=command), **flags}
        self.values = {**self._environment(), **self.given}

    def _environment(self) -> dict[str, list[str]]:
        found = ((name, self.environ.get(variable, "")) for name, variable in ENVIRONMENT.items())
        return {name: [value] for name, value in found if value and name in self.known}

    def one(self, name: str, default: str = "") -> str:
        return (self.values.get(name) or [default])[-1]

    def many(self, name: str) -> list[str]:
        values = [value for value in self.values.get(name, []) if value]
        return [part for value in values for part in value.split(",")] if name in COMMA_SEPARATED else values

    def on(self, name: str) -> bool:
        return self.one(name).lower() in ("true", "1", "t")

    def argument(self, flag: str, name: str, default: float) -> float:
        """A duration such as `40s` or `1m` among the pass-through arguments of a component, in seconds."""
        for entry in self.many(flag):
            key, _, value = entry.lstrip("-").partition("=")
            found = re.fullmatch(r"([0-9.]+)(ms|s|m|h)", value)
            if key == name and found:
                return float(found[1]) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[found[2]]
        return default

    def path(self, name: str) -> Path:
        """A file of this machine, as its name is in settings."""
        return Path(self.root + name)

    @property
    def data(self) -> Path:
        return Path(self.root + self.one("data-dir", "/var/lib/rancher/k3s"))

    def secret(self, name: str) -> str:
        """A token from its flag or a file; "" without either."""
        if self.one(name):
            return self.one(name)
        path = self.one(f"{name}-file")
        if not path:
            return ""
        try:
            return Path(path).read_text().strip()
        except OSError as error:
            raise Fatal(f"failed to read {name}-file: {error}") from error

    def critical(self) -> dict[str, list[str]]:
        return {name: sorted(self.many(name)) for name in CRITICAL_TEXT.split()} | {
            "disable-servicelb": ["true"] if "servicelb" in self.many("disable") else []
        }
