"""Plays task pages in a lab, as somebody who has a Proxmox VE at 192.168.1.10 and a home network.

Addresses of the page and of the lab stand for each other, and so do the paths of homes: pages say /home/me. What the
lab needs in an inventory beside what pages say (the port of its guests' sshd, its network) is merged into the file.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML

from bootstrap.lab.standin_release import make_artifacts
from tests.docs.matching import SECOND, difference, printed_lines, renewed, seconds_by_page
from tests.docs.pages import Edit, Event, Run, steps_of
from tests.doubles.s3 import Buckets
from tests.e2e.api import Api
from tests.e2e.homes import Home
from tests.e2e.workload import apply
from tests.lab.simulated.running import eventually

ENDPOINT: Final = "https://192.168.1.10:8006"
PAGE_HOME: Final = "/home/me"
BUCKET: Final = "s3.example.com"
INVENTORY: Final = "homelab-k8s.yaml"


class PageError(Exception):
    """A step that went otherwise than its page says: PAGE:LINE and how."""


@dataclass
class Player:
    """A home in which pages are played one after another.

    Attributes:
        home: Its lab runs.
        bucket: What pages call s3.example.com.
        write: Whether output that differs is noted for the page, and is no problem.
        outputs: What each of these commands printed.
        problems: How the page's output differs.
        failed: The page whose steps were not all done; pages after it would find another cluster than they describe.
    """

    home: Home
    bucket: Buckets
    write: bool = False
    outputs: list[tuple[Run, list[str]]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    failed: str = ""
    _seconds: dict[str, str] = field(default_factory=dict)
    _exported: dict[str, str] = field(default_factory=dict)

    def play(self, page: Path) -> None:
        """Do all steps of a page. Raises PageError where output differs, at once where a command ends otherwise."""
        self.outputs, self.problems, self.failed = [], [], page.stem
        for step in steps_of(page.read_text(encoding="utf-8")):
            where = f"{page.relative_to(Path.cwd()) if page.is_relative_to(Path.cwd()) else page}:{step.line}"
            match step:
                case Run():
                    self._run(step, where)
                case Edit():
                    self._merge(self.home.directory / step.file, YAML().load(self._into_lab(step.text)))
                case Event():
                    self._happens(step.words, where)
        self.failed = ""
        if self.problems:
            raise PageError("\n" + "\n".join(self.problems))

    def _run(self, run: Run, where: str) -> None:
        code, said = self._result_of(self._into_lab(run.text))
        printed = [self._onto_page(line) for line in printed_lines(said)]
        if code != run.code:
            raise PageError(f"{where}: `{run.text}` exited with {code}, not {run.code}:\n{_block(printed)}")
        self._seconds |= seconds_by_page(run.shown, printed)
        found = difference(run.shown, printed)
        if found and self.write:
            self.outputs.append((run, renewed(run.shown, printed)))
        elif found:
            self.problems.append(
                f"{where.rpartition(':')[0]}:{run.first + found.at}: `{run.text}` printed something else\n"
                f"  the page: {found.shown or 'nothing more'}\n  printed:\n{_block(found.printed[:12])}"
            )

    def _result_of(self, command: str) -> tuple[int, str]:
        """Exit code and output; `homelab-k8s` runs in a fork, all else in a shell."""
        if exported := re.fullmatch(r"export (\w+)=(.*)", command):
            self._exported[exported[1]] = shlex.split(exported[2])[0]
            return 0, ""
        env = {**self._exported, **self._given()}
        words = shlex.split(command, comments=True)
        if words[0] == "homelab-k8s" and not set(words) & {"|", ">", "&&"}:
            result = self.home.run(*words[1:], expect=None, env=env, together=True)
            self._fit_inventory()
            return result.code, result.out
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-c", command], cwd=self.home.directory, env={**self.home.environ, **env, "PATH": path},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout

    @property
    def _lab(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads((self.home.directory / "state/homelab-k8s/lab/lab.json").read_text())
        return told

    def _given(self) -> Mapping[str, str]:
        """Secrets that pages only have examples of."""
        return {
            "PROXMOX_VE_API_TOKEN": f"{self._lab['token_id']}={self._lab['token_secret']}",
            "AWS_ACCESS_KEY_ID": self.bucket.access_key,
            "AWS_SECRET_ACCESS_KEY": self.bucket.secret_key,
        }

    @property
    def _network(self) -> str:
        """The first two numbers of the guests' addresses."""
        return ".".join(self._lab["network"].split(".")[:2])

    def _into_lab(self, text: str) -> str:
        text = text.replace(ENDPOINT, self._lab["endpoint"]).replace(BUCKET, self.bucket.endpoint)
        text = text.replace(PAGE_HOME, str(self.home.directory)).replace("~/", f"{self.home.directory}/")
        text = SECOND.sub(lambda found: self._seconds.get(found[0], found[0]), text)
        return re.sub(r"\b192\.168\.1\.(\d+)\b", rf"{self._network}.1.\1", text)

    def _onto_page(self, text: str) -> str:
        """The reverse; an address keeps its width where a table's next column follows."""

        def address(found: re.Match[str]) -> str:
            other = f"192.168.1.{found[1]}"
            return other.ljust(len(found[0])) if found[2] else other

        text = text.replace(self._lab["endpoint"], ENDPOINT).replace(self.bucket.endpoint, BUCKET)
        text = text.replace(str(self.home.directory), PAGE_HOME)
        text = re.sub(rf"\b{re.escape(self._network)}\.\d+\.(\d+)\b(?=(  )?)", address, text)
        back = {actual: page for page, actual in self._seconds.items()}
        return SECOND.sub(lambda found: back.get(found[0], found[0]), text)

    def _merge(self, file: Path, more: Mapping[str, Any]) -> None:
        yaml = YAML()
        there = yaml.load(file) if file.exists() else {}
        _merged(there, more)
        yaml.dump(there, file)
        self._fit_inventory()

    def _fit_inventory(self) -> None:
        """Have what only the lab needs in the inventory, once there is one."""
        file = self.home.directory / INVENTORY
        if not file.exists():
            return
        yaml = YAML()
        there = yaml.load(file)
        needed: dict[str, Any] = {"ssh": {"port": self._lab["ssh_port"]}, "network": {"subnet": self._lab["network"]}}
        if "s3" in there.get("backup", {}):
            needed["backup"] = {"s3": {"insecure": True}}
        if _merged(there, needed):
            yaml.dump(there, file)

    def _happens(self, words: str, where: str) -> None:
        for pattern, event in EVENTS.items():
            if found := re.fullmatch(pattern, words):
                event(self, *found.groups())
                return
        raise PageError(f"{where}: nothing in tests/docs/playing.py is {words!r}")

    def release(self, version: str) -> None:
        """K3s has a release."""
        directory = self.home.directory / "k3s"
        (directory / "k3s").unlink(missing_ok=True)
        make_artifacts(directory / version, version=version)

    def have_namespace(self, name: str) -> None:
        """Somebody uses the cluster."""
        apply(self.home, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    def lose_all(self) -> None:
        """All machines are destroyed behind the program's back, and this computer has lost what it stored of them."""
        api = Api(self.home)
        for vm in _ours(api):
            path = f"/nodes/{vm['node']}/qemu/{vm['vmid']}"
            api.call("POST", f"{path}/status/stop")
            eventually("it stops", partial(_is_off, api, path))
            api.call("DELETE", path)
        eventually("all are destroyed", lambda: not _ours(api))
        shutil.rmtree(self.home.directory / "state/homelab-k8s/clusters")
        self.home.kubeconfig.unlink()


def _ours(api: Api) -> list[dict[str, Any]]:
    """All VMs but templates."""
    listed: Any = api.call("GET", "/cluster/resources?type=vm")
    return [vm for vm in listed if not vm.get("template")]


def _is_off(api: Api, path: str) -> bool:
    told: Any = api.call("GET", f"{path}/status/current")
    return bool(told["status"] == "stopped")


EVENTS: Final[dict[str, Callable[..., None]]] = {
    r"k3s (\S+) is released": Player.release,
    r"the cluster has a namespace (\S+)": Player.have_namespace,
    r"all machines and this computer's state are lost": Player.lose_all,
}
"""What pages may have happen."""


def _merged(there: Any, more: Mapping[str, Any]) -> bool:
    """Merge keys into a mapping, into its depth; returns whether something is another one now."""
    changed = False
    for key, value in more.items():
        if isinstance(value, Mapping) and isinstance(there.get(key), Mapping):
            changed |= _merged(there[key], value)
        elif there.get(key) != value:
            there[key] = value
            changed = True
    return changed


def _block(lines: Any) -> str:
    return "\n".join(f"    {line}" for line in lines)
