"""The same cluster by what people use today, on the same lab: Ansible, and a loop over proxmoxer and Fabric.

They are given every advantage: they run our guest scripts (one command where a role has ten tasks), gather no facts,
copy no modules to the machines, work on all machines at once (forks), and their installation is not counted.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.labs import ROOT, TEMPLATE_VMID, Lab, Usage, lab, measured
from benchmarks.table import Table
from benchmarks.ups import SEED
from bootstrap.lab.guests.choose import why_not
from bootstrap.lab.options import LabOptions

PLAY = Path(__file__).parent / "ansible" / "site.yml"
ANSIBLE = "ansible>=12,<13"
"""Carries community.proxmox."""

TITLE = "The same cluster with other tools"
_FIRST_VMID = 7500
_USER = "debian"


def others(name: str, *, guests: str, machines: int, loop: bool = True) -> list[Table]:
    """The same machines three times on one lab, one after the other; each begins with nothing and ends with Ready."""
    headings = ("guests", "machines", "by", "wall s", "CPU s", "times as long", "repeat")
    reason = why_not(guests) if guests == "container" else None
    if reason is not None:
        row = (guests, str(machines), f"left out: {reason}", "", "", "", f"`.venv/bin/python -m benchmarks {name}`")
        return [Table(title=TITLE, headings=headings, rows=(row,))]
    ansible = _ansible()
    with lab(LabOptions(guests=guests, seed=SEED, port=0)) as running:
        ours = running.up(machines)
        running.down()
        order = _order(running, machines)
        environ = running.environ
        results = [("homelab-k8s", ours)]
        play = [str(ansible), "-i", str(order.with_name("inventory.json")), str(PLAY)]
        results.append(("Ansible", _by(running, play, environ, order, forks=machines)))
        if loop:
            program = [sys.executable, "-m", "benchmarks.sequential", str(order)]
            results.append(("proxmoxer and Fabric, in a loop", _by(running, program, environ, order, forks=1)))
    rows = tuple(
        (
            *(guests, str(machines), by, f"{used.wall_s:.1f}", f"{used.cpu_s:.1f}"),
            *(f"{used.wall_s / ours.wall_s:.1f}", f"`.venv/bin/python -m benchmarks {name}`"),
        )
        for by, used in results
    )
    return [Table(title=TITLE, headings=headings, rows=rows)]


def _by(running: Lab, command: list[str], environ: dict[str, str], order: Path, *, forks: int) -> Usage:
    extra = {
        "PYTHONPATH": str(ROOT),
        "ANSIBLE_FORKS": str(forks),
        "ANSIBLE_HOST_KEY_CHECKING": "False",
        "ANSIBLE_SSH_USE_TTY": "False",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_LOCALHOST_WARNING": "False",
        "ANSIBLE_HOME": str(running.home / "ansible"),
    }
    try:
        return measured(command, environ={**environ, **extra}, directory=running.home)
    finally:
        _remove(order)


def _ansible() -> Path:
    """`ansible-playbook` in a virtual environment of its own, made once."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "homelab-k8s" / "bench"
    program = cache / "ansible" / "bin" / "ansible-playbook"
    if not program.exists():
        sys.stderr.write(f"installing Ansible into {cache / 'ansible'}, once\n")
        subprocess.run([sys.executable, "-m", "venv", str(cache / "ansible")], check=True)
        pip = [str(cache / "ansible" / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, ANSIBLE, "proxmoxer", "requests"], check=True, stderr=subprocess.DEVNULL)
    return program


def _order(running: Lab, machines: int) -> Path:
    """What to build, as JSON for the loop and as an inventory for Ansible; with an SSH key and a token."""
    info, home = running.info, running.home
    key = home / "bench_key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    host, _, port = info.endpoint.removeprefix("https://").partition(":")
    user, _, token = info.token_id.partition("!")
    names = ["bench-cp-1", *(f"bench-workers-{number}" for number in range(1, machines))]
    sizes = {"cores": 1, "memory": 1024}
    order: dict[str, Any] = {
        "api": {"host": host, "port": int(port), "user": user, "token_id": token, "token_secret": info.token_secret},
        "pve_node": info.pve_nodes[0],
        "template": TEMPLATE_VMID,
        "disk": "8G",
        "user": _USER,
        "key": str(key),
        "public_key": key.with_suffix(".pub").read_text(encoding="utf-8").strip(),
        "ssh_port": info.ssh_port,
        "scripts": str(ROOT / "bootstrap" / "data"),
        "binary": str(home / "k3s" / "k3s"),
        "token": secrets.token_hex(32),
        "kubeconfig": str(home / "other-kubeconfig"),
        "machines": [{"name": name, "vmid": _FIRST_VMID + index, **sizes} for index, name in enumerate(names)],
    }
    path = home / "order.json"
    path.write_text(json.dumps(order), encoding="utf-8")
    hosts = {machine["name"]: {"vmid": machine["vmid"]} for machine in order["machines"]}
    inventory = {
        "all": {
            "vars": {"bench": order, "ansible_user": _USER, "ansible_ssh_private_key_file": str(key)},
            "children": {
                "server": {"hosts": {names[0]: hosts[names[0]]}},
                "agent": {"hosts": {name: hosts[name] for name in names[1:]}},
            },
        }
    }
    (home / "inventory.json").write_text(json.dumps(inventory), encoding="utf-8")
    return path


def _remove(order: Path) -> None:
    from benchmarks.sequential import Loop

    Loop(json.loads(order.read_text(encoding="utf-8"))).remove()
