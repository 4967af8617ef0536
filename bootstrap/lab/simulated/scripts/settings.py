"""Effects of the guest scripts that read and change k3s's settings."""

from __future__ import annotations

import base64
import re

from bootstrap.lab.simulated.machine import environment, hardening, k3s, keepalived, registries
from bootstrap.lab.simulated.machine.calls import Call, Effect, Outcome
from bootstrap.lab.simulated.scripts.datastore import PENDING

_SUFFIXES = (".yaml", ".yml")


async def read_settings(call: Call) -> Outcome:
    """read-settings.sh."""
    disk = call.guest.disk
    beside = sorted(each.name for each in disk.path(f"{k3s.CONFIG}.d").glob("*"))  # none without the directory
    names = [k3s.CONFIG, *(f"{k3s.CONFIG}.d/{name}" for name in beside if name.lower().endswith(_SUFFIXES))]
    texts = ((name, disk.read(name)) for name in names)
    lines = [f"file={name} {base64.b64encode(text.encode()).decode()}\n" for name, text in texts if text is not None]
    lines += [*_vip_lines(disk.read(keepalived.SETTINGS) or ""), registries.line(disk), hardening.line(disk)]
    lines += environment.lines_about(disk)
    return Outcome(out=f"{''.join(lines)}pending={int(disk.path(PENDING).exists())}\n")


def _vip_lines(served: str) -> list[str]:
    """The output about keepalived's settings, if they are the client's."""
    if not served.startswith(keepalived.MARK):
        return []
    router = re.search(r"^ *virtual_router_id ([0-9]{1,3})$", served, re.MULTILINE)
    return [*([f"vrid={router[1]}\n"] if router else []), f"vip={keepalived.vip_in(served)}\n"]


async def put_settings(call: Call) -> Outcome:
    """put-settings.sh."""
    disk, sent, wanted = call.guest.disk, call.directory / "config.yaml", call.directory / registries.SENT
    try:
        if call.env["DONE"] == "1":
            disk.path(PENDING).unlink(missing_ok=True)
            return Outcome()
        refused = registries.refusal(disk, wanted) or hardening.refusal(disk, call.directory)
        if refused:
            return Outcome(1, err=refused)
        if registries.put_registries(disk, wanted):
            disk.write(PENDING, "")
        if hardening.put_hardening(disk, call.directory):
            disk.write(PENDING, "")
        path = environment.file_of(disk)
        if path and environment.put_environment(disk, path, call.directory):
            disk.write(PENDING, "")
        if sent.read_text(encoding="utf-8") != disk.read(k3s.CONFIG):
            disk.write(PENDING, "")
            disk.put(sent, k3s.CONFIG)
            disk.path(k3s.CONFIG).chmod(0o600)
        return Outcome(out=f"restart={int(disk.path(PENDING).exists())}\n")
    finally:
        sent.unlink(missing_ok=True)
        registries.remove_sent(call.directory)
        (call.directory / environment.VARIABLES).unlink(missing_ok=True)
        hardening.remove_sent(call.directory)


EFFECTS: dict[str, Effect] = {"put-settings.sh": put_settings, "read-settings.sh": read_settings}
"""The scripts of this module, by file name."""
