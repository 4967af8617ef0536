"""Effects of the guest scripts, by file name: changes on the guest, and output.

`tests/lab/simulated/test_contract.py` compares them with the real scripts in a container guest.
"""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Callable
from pathlib import Path

from bootstrap.lab.simulated.disk import sha256_of
from bootstrap.lab.simulated.embedding.program import NotStandInError
from bootstrap.lab.simulated.embedding.standin import API_PORT
from bootstrap.lab.simulated.machine import environment, hardening, k3s, keepalived, registries
from bootstrap.lab.simulated.machine.calls import Call, Effect, Outcome
from bootstrap.lab.simulated.machine.units import Unit
from bootstrap.lab.simulated.scripts import (
    baking,
    checking,
    datastore,
    manifests,
    settings,
    snapshots,
    system,
    system_files,
)
from bootstrap.lab.simulated.scripts.installing import put_binary, put_images

UNITS = "/etc/systemd/system"
BIN = "/usr/local/bin"
DISK_FREE_MIB = 6_000
LOOK_S = 0.25
_ARCH = {"x86_64": "amd64", "aarch64": "arm64"}


async def facts(call: Call) -> Outcome:
    """facts.sh."""
    guest = call.guest
    binary = guest.disk.path(k3s.BINARY)
    unit = _installed(call, call.env.get("UNIT", ""))
    machine = platform.machine()
    values = {
        "arch": _ARCH.get(machine, machine),
        "machine_id": guest.machine_id,
        "hostname": guest.name.partition(".")[0],
        "disk_free_mib": 0 if guest.struck("disk-full") else DISK_FREE_MIB,
        "k3s_sha256": sha256_of(binary) if binary.is_file() else "",
        "k3s_version": _version(call),
        "active_state": unit.active_state if unit else "",
        "sub_state": unit.sub_state if unit else "",
        "restarts": unit.restarts if unit else "",
        "time": int(guest.now()),
        "boot": guest.boot_id,
        "default_route": "eth0",
        "selinux": "",
        "selinux_lacks": "",
        "swap": "0 kB",
    }
    return _printed(values)


async def logins(_call: Call) -> Outcome:
    """logins.sh: sshd accepts only keys."""
    return _printed({"known": 1})


async def cloud_init_result(call: Call) -> Outcome:
    """cloud-init-result.sh."""
    if call.guest.spec is not None and call.guest.spec.setup is not None:  # container templates have no cloud-init
        return _printed({"done": 1, "status": "disabled"})
    await _until(lambda: call.guest.cloud_init_done, call)
    if not call.guest.cloud_init_done:
        return Outcome(out="done=0\n")
    failed = call.guest.struck("cloud-init-error")
    if failed:
        return _printed({"done": 1, "status": "error", "error": failed.text("text")})
    return _printed({"done": 1, "status": "done"})


async def install_k3s(call: Call) -> Outcome:
    """install-k3s.sh."""
    try:
        return _install(call)
    finally:
        registries.remove_sent(call.directory)
        for name in ("config.yaml", environment.TOKENS, environment.VARIABLES, "k3s.bin"):
            (call.directory / name).unlink(missing_ok=True)
        hardening.remove_sent(call.directory)


def _began(call: Call, name: str) -> float:
    """Time of the start: now, or an earlier one of a running unit that is not restarted."""
    unit = call.guest.units.get(name)
    if call.env["RESTART"] == "1" or unit is None or unit.since is None or unit.sub_state not in ("running", "start"):
        return call.guest.now()
    return unit.since


async def start_k3s(call: Call) -> Outcome:
    """start-k3s.sh."""
    name = call.env["UNIT"]
    began = f"time={int(_began(call, name))}\n"
    if name == "k3s" and call.guest.disk.path(datastore.MARKER).exists():
        return Outcome(1, "", f"{datastore.GIVEN_UP}\n")
    unit = _installed(call, name)
    if unit is None:
        return Outcome(1, began, f"Failed to enable unit: Unit file {name}.service does not exist.\n")
    try:
        k3s.program_of(call.guest)
    except (NotStandInError, FileNotFoundError) as error:
        return Outcome(1, began, f"simulation: {error}\n")
    unit.enabled = True
    if name == "k3s" and (call.env["RESTART"] == "1" or unit.sub_state in ("dead", "failed", "auto-restart")):
        call.guest.disk.path(f"{k3s.SERVER_DATA}/cred/passwd").unlink(missing_ok=True)
    if call.env["RESTART"] == "1":
        began += f"before={unit.invocation}\n"
        await unit.stop()
    unit.start()
    return Outcome(out=began)


async def unit_state(call: Call) -> Outcome:
    """unit-state.sh."""
    unit = call.guest.units[call.env["UNIT"]]
    await _until(lambda: unit.active_state != "activating", call)
    return _printed(
        {
            "restarts": unit.restarts,
            "result": unit.result,
            "active_state": unit.active_state,
            "sub_state": unit.sub_state,
            "since": "" if unit.since is None else int(unit.since),
            "time": int(call.guest.now()),
            "address": call.guest.address,
            **({"prepared": 1} if system.has_left_something(call.guest.disk) else {}),
        }
    )


async def journal(call: Call) -> Outcome:
    """journal.sh."""
    unit = call.guest.units[call.env["UNIT"]]
    runs = unit.journal.runs(lines=int(call.env["LINES"]), since=float(call.env.get("SINCE") or 0))
    over = unit.sub_state in ("dead", "failed", "auto-restart")
    shown = [run for run in runs if run != call.env.get("BESIDES")][-2:]
    return Outcome(
        out="".join(
            f"-- run {run} {'goes on' if run == unit.invocation and not over else 'ended'}\n"
            + "".join(f"{line}\n" for line in runs[run])
            for run in shown
        )
    )


async def readyz(call: Call) -> Outcome:
    """readyz.sh: the stand-in's own `kubectl get --raw /readyz`."""
    guest = call.guest
    if not guest.disk.path(k3s.BINARY).is_file():
        return Outcome(127, err=f"./readyz.sh: 5: exec: {k3s.BINARY}: not found\n")
    config = "/etc/rancher/k3s/k3s.yaml"
    if guest.disk.read(config) is None:
        return Outcome(1, err=f"error: error loading config file {config}: No such file or directory\n")
    try:
        problem = k3s.serving(guest).problem()
    except OSError:
        where = f"127.0.0.1:{API_PORT}"
        text = f"The connection to the server {where} was refused - did you specify the right host or port?\n"
        return Outcome(1, err=text)
    refused = k3s.api_refusal(guest)
    if refused:
        problem = str(refused[1]["message"])
    return Outcome(1, err=problem) if problem else Outcome(out="ok")


async def read_token(call: Call) -> Outcome:
    """read-token.sh."""
    token = _cat(call, f"{k3s.SERVER_DATA}/token")
    agents = call.guest.disk.read(f"{k3s.SERVER_DATA}/agent-token")
    return Outcome(out=token.out + (agents or "")) if token.code == 0 else token


async def read_kubeconfig(call: Call) -> Outcome:
    """read-kubeconfig.sh."""
    return _cat(call, "/etc/rancher/k3s/k3s.yaml")


async def install_vip(call: Call) -> Outcome:
    """install-vip.sh; the template already has keepalived."""
    disk, sent = call.guest.disk, call.directory / "keepalived.conf"
    (call.directory / "proxies").unlink(missing_ok=True)
    changed = disk.put(call.directory / "vip-check.sh", "/etc/keepalived/check-k3s-api")
    unit = keepalived.unit_of(call.guest)
    if sent.is_file():
        before = disk.read(keepalived.SETTINGS) or ""
        if before and not before.startswith(keepalived.MARK):
            sent.unlink()
            there = keepalived.SETTINGS
            return Outcome(1, err=f"{there} is not ours: it does not begin with '{keepalived.MARK}'\n")
        changed = disk.put(sent, keepalived.SETTINGS) or not unit.enabled or changed
        if keepalived.vip_in(before) not in (None, keepalived.vip_in(sent.read_text(encoding="utf-8"))):
            await unit.stop()
        sent.unlink()
        unit.enabled = True
        unit.start()
    return Outcome(out=f"changed={int(changed)}\n")


async def remove_vip(call: Call) -> Outcome:
    """remove-vip.sh."""
    disk, unit = call.guest.disk, keepalived.unit_of(call.guest)
    if not (disk.read(keepalived.SETTINGS) or "").startswith(keepalived.MARK):
        return Outcome(out="changed=0\n")
    unit.enabled = False
    await unit.stop()
    for path in ("/etc/keepalived/check-k3s-api", keepalived.SETTINGS):
        disk.path(path).unlink(missing_ok=True)
    return Outcome(out="changed=1\n")


async def accept_ra(_call: Call) -> Outcome:
    """accept-ra.sh: as under systemd-networkd, which takes router advertisements itself."""
    return Outcome(out="changed=0\n")


async def vip_state(call: Call) -> Outcome:
    """vip-state.sh."""
    guest = call.guest
    installed = guest.units.get(keepalived.NAME)
    own = call.env["ADDRESS"] in (str(guest.address), *guest.agent.more_addresses)
    holder = call.env["VIP"] in guest.agent.more_addresses
    values = {"interface": "eth0" if own else "", "active_state": installed.active_state if installed else "inactive"}
    configured = keepalived.vip_in(guest.disk.read(keepalived.SETTINGS) or "") == call.env["VIP"]
    return _printed({**values, "configured": int(configured), "holder": int(holder)})


EFFECTS: dict[str, Effect] = {
    "accept-ra.sh": accept_ra,
    "cloud-init-result.sh": cloud_init_result,
    "facts.sh": facts,
    "install-k3s.sh": install_k3s,
    "install-vip.sh": install_vip,
    "journal.sh": journal,
    "logins.sh": logins,
    "read-kubeconfig.sh": read_kubeconfig,
    "read-token.sh": read_token,
    "readyz.sh": readyz,
    "remove-vip.sh": remove_vip,
    "start-k3s.sh": start_k3s,
    "unit-state.sh": unit_state,
    "vip-state.sh": vip_state,
    **baking.EFFECTS,
    **checking.EFFECTS,
    **datastore.EFFECTS,
    **snapshots.EFFECTS,
    **manifests.EFFECTS,
    **settings.EFFECTS,
    **system.EFFECTS,
    **system_files.EFFECTS,
}
"""All known scripts, by file name."""


async def _until(settled: Callable[[], bool], call: Call) -> None:
    """Poll for at most WITHIN_S, as the script does."""
    scale = call.guest.world.delays.scale
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + float(call.env.get("WITHIN_S", "0")) * scale
    while not settled() and loop.time() < deadline_s:
        await asyncio.sleep(LOOK_S * scale)


def _install(call: Call) -> Outcome:
    guest = call.guest
    role = call.env.get("ROLE", "")
    if role not in ("server", "agent"):
        return Outcome(1, err=f"ROLE is '{role}', which is neither server nor agent\n")
    unit, other = ("k3s", "k3s-agent") if role == "server" else ("k3s-agent", "k3s")
    if guest.disk.path(f"{UNITS}/{other}.service").exists():
        there = f"{UNITS}/{other}.service"
        return Outcome(1, err=f"this machine is installed as the other role: {there} is there\n")
    refused = registries.refusal(guest.disk, call.directory / registries.SENT)
    refused = refused or hardening.refusal(guest.disk, call.directory)
    if refused:
        return Outcome(1, err=refused)
    if guest.struck("disk-full"):
        return Outcome(1, err=f"mv: error writing '{BIN}/.k3s.new': No space left on device\n")
    problem, changed = put_binary(call)
    if problem:
        return Outcome(1, err=f"{problem}\n")
    changed = put_images(call) or changed
    changed = _put_files(call, role, unit) or changed
    return Outcome(out=f"changed={int(changed)}\n")


def _put_files(call: Call, role: str, unit: str) -> bool:
    """Write the unit, its settings and upstream's scripts; returns whether anything changed."""
    guest, here = call.guest, call.directory
    changed = False
    uninstall = "k3s-uninstall.sh" if role == "server" else "k3s-agent-uninstall.sh"
    wanted = {
        "k3s-killall.sh": f"{BIN}/k3s-killall.sh",
        "k3s-uninstall.sh": f"{BIN}/{uninstall}",
        f"{unit}.service": f"{UNITS}/{unit}.service",
        "config.yaml": k3s.CONFIG,
    }
    for name, target_name in wanted.items():
        if (here / name).exists() or name != "config.yaml":
            changed = guest.disk.put(here / name, target_name) or changed
            guest.disk.path(target_name).chmod(0o600 if name == "config.yaml" else 0o755)
    if (here / environment.TOKENS).exists():
        changed = environment.put_environment(guest.disk, f"{UNITS}/{unit}.service.env", here) or changed
    if (here / "config.yaml").exists():
        changed = registries.put_registries(guest.disk, here / registries.SENT) or changed
        changed = hardening.put_hardening(guest.disk, here) or changed
    return changed


def _installed(call: Call, unit: str) -> Unit | None:
    """A unit with a unit file."""
    if not unit or not call.guest.disk.path(f"{UNITS}/{unit}.service").exists():
        return None
    return call.guest.units.get(unit)


def _version(call: Call) -> str:
    try:
        return k3s.program_of(call.guest).version
    except (NotStandInError, FileNotFoundError):
        return ""


def _cat(call: Call, name: str) -> Outcome:
    text = call.guest.disk.read(name)
    return Outcome(1, err=f"cat: {Path(name)}: No such file or directory\n") if text is None else Outcome(out=text)


def _printed(values: dict[str, object]) -> Outcome:
    return Outcome(out="".join(f"{key}={value}\n" for key, value in values.items()))
