"""Records in descriptions, which any user of the Proxmox VE may write, and notes of the state directory."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from bootstrap.records.snapshot_note import parse_note, snapshot_at
from bootstrap.records.state.identity import parse_identity
from bootstrap.records.state.intention import parse_intention
from bootstrap.records.state.rebuild_note import parse_rebuild
from bootstrap.records.state.token_history import parse_old_tokens, token_at
from bootstrap.records.vms.lock import MARK as LOCK_MARK
from bootstrap.records.vms.lock import parse_lock
from bootstrap.records.vms.machine import MARK, record_or_problem
from bootstrap.records.vms.template import MARK as TEMPLATE_MARK
from bootstrap.records.vms.template import parse_template
from tests.fuzz.mutations import Mutator
from tests.fuzz.running import Area

MACHINE = {
    "format": 1, "cluster": "demo", "machine": "demo-cp-1", "role": "control-plane", "pool": "control-plane",
    "vmid": 7001, "state": "made", "address": "198.18.0.5", "replaces": [{"machine": "demo-cp-2", "vmid": 7002}],
}  # fmt: skip
TEMPLATE = {
    "format": 1, "recipe": "5d41402a", "image": "debian-13", "k3s": "v1.36.3+k3s1", "state": "sealed", "vmid": 9000,
    "key": "SHA256:x", "made": 1795895320, "version": 1,
}  # fmt: skip
LOCK = {
    "format": 1, "cluster": "demo", "who": "me@desk", "pid": 4711, "process": "b/1/2", "run": "r", "command": "up",
    "since": "2026-01-01 00:00:00 UTC", "beat": 3,
}  # fmt: skip
REBUILD = {
    "format": 1, "stage": "down", "version": "v1.36.3+k3s1", "snapshot": None,
    "pools": [{"pool": "workers", "count": 2, "cores": 2, "memory_mib": 2048, "disk_gib": 20}],
    "kept": [{"name": "demo-cp-1", "pool": "control-plane", "mac": "BC:24:11:00:00:01", "address": "198.18.0.5"}],
}  # fmt: skip
INTENTION = {
    "format": 1, "command": "scale", "again": "scale workers 1", "since": "2026-01-01 00:00:00 UTC",
    "counts": {"workers": 1}, "machines": {"demo-workers-2": "smbios x"}, "version": "",
}  # fmt: skip
NOTE = {
    "format": 1, "name": "on-demand-demo-cp-1-1740830400", "cluster": "demo", "server": "demo-cp-1",
    "k3s_version": "v1.36.3+k3s1", "made_s": 1740830400, "size": 2891776, "sha256": "ab" * 32, "ca": "cd" * 32,
}  # fmt: skip
IDENTITY = {"format": 1, "token": "abc", "tls": "AAAA"}
TOKENS = "1740830400 abc\n1740830500 def\n"


def _described(mark: str, body: Mapping[str, object]) -> Callable[[Mutator], str]:
    def make(mutator: Mutator) -> str:
        text = f"a line of mine\n{mark} {mutator.json_text(json.dumps(body))}\nanother"
        return mutator.text(text) if mutator.random.random() < 0.2 else text

    return make


def _noted(body: Mapping[str, object]) -> Callable[[Mutator], str]:
    return lambda mutator: mutator.json_text(json.dumps(body))


def _read_note(text: str) -> object:
    note = parse_note(text)
    return str(snapshot_at(Path("x"), size=1, note=note)) if note is not None else None


def _read_tokens(text: str) -> object:
    return token_at(1740830450, now="x", before=parse_old_tokens(text))


AREAS = (
    Area(name="record of a machine", make=_described(MARK, MACHINE), read=record_or_problem, inputs=800),
    Area(
        name="record of a template",
        make=_described(TEMPLATE_MARK, TEMPLATE),
        read=lambda text: parse_template(text, vmid=9000),
        inputs=400,
    ),
    Area(
        name="record of a lock", make=_described(LOCK_MARK, LOCK), read=lambda text: str(parse_lock(text)), inputs=400
    ),
    Area(name="note of a rebuild", make=_noted(REBUILD), read=parse_rebuild, inputs=250),
    Area(name="note of a command", make=_noted(INTENTION), read=parse_intention, inputs=250),
    Area(name="note of a snapshot", make=_noted(NOTE), read=_read_note, inputs=250),
    Area(name="note of an identity", make=_noted(IDENTITY), read=parse_identity, inputs=200),
    Area(name="tokens of before", make=lambda mutator: mutator.text(TOKENS), read=_read_tokens, inputs=200),
)
