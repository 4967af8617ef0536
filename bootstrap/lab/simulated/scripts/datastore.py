"""Effects of the guest scripts that restore and protect the cluster's data."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import shutil
import tarfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from bootstrap.lab.simulated.disk import sha256_of
from bootstrap.lab.simulated.embedding.standin import ServerLife
from bootstrap.lab.simulated.machine import k3s
from bootstrap.lab.simulated.machine.calls import Call, Effect, Outcome
from bootstrap.lab.simulated.scripts.snapshots import DB, SNAPSHOTS, TLS

MARKER = f"{k3s.SERVER_DATA}/homelab-k8s-restore"
GIVEN_UP = "a restore was begun on this cluster and has not ended: run the same homelab-k8s restore again"
PENDING = "/etc/rancher/k3s/.homelab-k8s-restart"
_CAS = ("server-ca", "client-ca", "request-header-ca", "etcd/server-ca", "etcd/peer-ca")
IDENTITY = (*(f"{ca}.{kind}" for ca in _CAS for kind in ("crt", "key")), "service.key")
_DIRECTORIES = 0o700


async def stop_k3s(call: Call) -> Outcome:
    """stop-k3s.sh."""
    disk, unit = call.guest.disk, call.guest.units[call.env["UNIT"]]
    changed = unit.active_state not in ("inactive", "failed")
    if call.env["MARK"] == "1" and disk.path(k3s.SERVER_DATA).is_dir() and not disk.path(MARKER).exists():
        disk.write(MARKER, f"{int(call.guest.now())}\n")
        changed = True
    unit.enabled = False
    await unit.stop()
    return Outcome(out=f"changed={int(changed)}\n")


async def restore(call: Call) -> Outcome:
    """restore.sh."""
    here, disk = call.directory, call.guest.disk
    name, token = call.env["NAME"], here / "restore-token"
    try:
        problem = _not_stopped(call) or _place_snapshot(call)
        if problem:
            return Outcome(1, err=problem)
        disk.write(MARKER, f"{int(call.guest.now())}\n")
        _put_aside_other_certificates(call)
        if name.endswith(".sqlite"):
            problem = _restore_sqlite(call)
            if problem:
                return Outcome(1, err=problem)
        else:
            said = await asyncio.to_thread(_reset, call, token.read_text(encoding="utf-8").strip())
            if said:
                return Outcome(1, err=f"{said}\nk3s could not restore {name}\n")
        disk.path(MARKER).unlink(missing_ok=True)
        return Outcome()
    finally:
        for sent in (token, here / "snapshot.in"):
            sent.unlink(missing_ok=True)


def _not_stopped(call: Call) -> str:
    state = call.guest.units["k3s"].active_state
    return "" if state in ("inactive", "failed") else "k3s still runs here: stop it first\n"


def _place_snapshot(call: Call) -> str:
    """Put the snapshot among the others; returns an error."""
    disk, name = call.guest.disk, call.env["NAME"]
    if call.env["FROM"] == "s3":
        return ""
    target = disk.path(f"{SNAPSHOTS}/{name}")
    sent = call.directory / "snapshot.in"
    if call.env["FROM"] == "sent":
        if not sent.is_file():
            return f"the snapshot {name} was not sent\n"
        target.parent.mkdir(parents=True, exist_ok=True, mode=_DIRECTORIES)
        shutil.copyfile(sent, target)
    return "" if target.is_file() else f"there is no {SNAPSHOTS}/{name}\n"


def _put_aside_other_certificates(call: Call) -> None:
    disk, ca = call.guest.disk, call.env["CA"]
    here = disk.path(f"{TLS}/server-ca.crt")
    if ca and here.is_file() and sha256_of(here) != ca:
        _keep_aside(call, "tls", "cred", "token")


def _keep_aside(call: Call, *parts: str) -> None:
    for part in parts:
        there = call.guest.disk.path(f"{k3s.SERVER_DATA}/{part}")
        if there.exists():
            there.rename(there.with_name(f"{part}-old-{time.time_ns()}"))


def _restore_sqlite(call: Call) -> str:
    """Put sqlite's data in place; returns an error."""
    disk, name = call.guest.disk, call.env["NAME"]
    if not disk.path(f"{SNAPSHOTS}/{name}").read_bytes().startswith(b"SQLite format 3"):
        return f"{name} is no sqlite database\n"
    if any(line.startswith("cluster-init:") for line in (disk.read(k3s.CONFIG) or "").splitlines()):
        return "the settings name cluster-init: sqlite's data must serve first\n"
    for part in (disk.path(f"{DB}/etcd"), *disk.path(DB).glob("state.db*")):
        _remove(part)
    _keep_aside(call, "tls", "cred")
    shutil.copyfile(disk.path(f"{SNAPSHOTS}/{name}"), disk.path(f"{DB}/state.db"))
    return ""


def _reset(call: Call, token: str) -> str:
    """The stand-in's own `k3s server --cluster-reset`; returns its error."""
    guest, disk = call.guest, call.guest.disk
    disk.path(f"{DB}/reset-flag").unlink(missing_ok=True)
    for part in disk.path(DB).glob("state.db*"):
        part.unlink()
    module: Any = k3s.program_of(guest).load()
    life = ServerLife(
        bind=str(guest.address),
        ready_delay_s=0,
        tell=guest.units["k3s"].journal.tell,
        up=lambda: None,
        listening=lambda *_: None,
        refusal=lambda: None,
        held=lambda: False,
    )
    module.adopt(life)
    if call.env["FROM"] == "s3":
        source = [f"--cluster-reset-restore-path={call.env['NAME']}", f"--etcd-s3-folder={call.env['FOLDER']}"]
    else:
        path = disk.path(f"{SNAPSHOTS}/{call.env['NAME']}")
        source = [f"--cluster-reset-restore-path={path}", "--etcd-s3=false"]
    argv = ["--cluster-reset", *source]
    said: list[str] = []

    def body() -> None:
        try:
            options = module.Options("server", argv, root=str(disk.root), environ={"K3S_TOKEN": token})
            module.Server(options).run()
        except module.Fatal as error:
            said.append(str(error))

    thread = threading.Thread(target=life.run, args=(body,), name="k3s reset")
    thread.start()
    thread.join()
    life.stop()
    life.close()
    return "".join(said)


async def rejoin(call: Call) -> Outcome:
    """rejoin.sh."""
    disk = call.guest.disk
    problem = _not_stopped(call)
    if not problem and not any(line.startswith("server: ") for line in (disk.read(k3s.CONFIG) or "").splitlines()):
        problem = "the settings name no server to join: this one would begin a cluster of its own\n"
    if problem:
        return Outcome(1, err=problem)
    gone = [disk.path(f"{k3s.SERVER_DATA}/{name}") for name in ("cred", "tls", "token")]
    for part in (*gone, disk.path(f"{DB}/etcd"), disk.path(f"{DB}/reset-flag"), *disk.path(DB).glob("state.db*")):
        _remove(part)
    disk.path(MARKER).unlink(missing_ok=True)
    return Outcome()


async def forget_passwords(call: Call) -> Outcome:
    """forget-passwords.sh."""
    try:
        server = k3s.serving(call.guest)
    except OSError:
        return Outcome(1, err="The connection to the server 127.0.0.1:6443 was refused\n")
    for node in call.env["NODES"].split():
        path = f"/api/v1/namespaces/kube-system/secrets/{node}.node-password.k3s"
        await asyncio.to_thread(server.api.call, "DELETE", path)
    return Outcome()


async def rotate_token(call: Call) -> Outcome:
    """rotate-token.sh: what PUT /v1-k3s/token does on the server."""
    sent = call.directory / "new-token"
    try:
        new = sent.read_text(encoding="utf-8").strip()
        server = k3s.serving(call.guest)
        status, answer = (await asyncio.to_thread(server.rotate_token, json.dumps({"newToken": new}).encode()))[:2]
    except OSError as error:
        return Outcome(1, err=f"the server does not answer: {error}\n")
    finally:
        sent.unlink(missing_ok=True)
    return Outcome() if status == 200 else Outcome(1, err=f"the server refuses a new token: {status} {answer}\n")


async def renew_token(call: Call) -> Outcome:
    """renew-token.sh."""
    disk, sent, agents = call.guest.disk, call.directory / "token", call.directory / "agent-token"
    try:
        if call.env["DONE"] == "1":
            disk.path(PENDING).unlink(missing_ok=True)
            return Outcome()
        name = k3s.ENVIRONMENT.format(unit=call.env["UNIT"])
        token = sent.read_text(encoding="utf-8").strip()
        there = disk.read(name)
        if there is None:
            return Outcome(2, err=f"grep: {name}: No such file or directory\n")
        after = _with_tokens(there, token, agents.read_text(encoding="utf-8").strip() if agents.exists() else None)
        if after != there:
            disk.write(PENDING, "")
            disk.write(name, after)
        return Outcome(out=f"restart={int(disk.path(PENDING).exists())}\n")
    finally:
        sent.unlink(missing_ok=True)
        agents.unlink(missing_ok=True)


def _with_tokens(there: str, token: str, agents: str | None) -> str:
    """A unit's environment with other tokens; the server token keeps its form, full or short."""
    long_form = any(line.lstrip().startswith(("K3S_TOKEN='K10", "K3S_TOKEN=K10")) for line in there.splitlines())
    ours = {"K3S_TOKEN": token if long_form else token.rpartition(":")[2]}
    if agents is not None:
        ours["K3S_AGENT_TOKEN"] = agents
    kept = [line for line in there.splitlines() if line.partition("=")[0] not in ours]
    return "".join(f"{line}\n" for line in (*kept, *(f"{key}='{value}'" for key, value in ours.items())))


async def read_identity(call: Call) -> Outcome:
    """read-identity.sh."""
    tls = call.guest.disk.path(TLS)
    lacking = [name for name in IDENTITY if not (tls / name).is_file()]
    if lacking:
        return Outcome(1, err=f"there is no {TLS}/{lacking[0]}\n")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name in IDENTITY:
            archive.add(tls / name, arcname=name)
    return Outcome(out=base64.b64encode(packed.getvalue()).decode())


async def put_identity(call: Call) -> Outcome:
    """put-identity.sh."""
    disk, sent = call.guest.disk, call.directory / "identity"
    try:
        if any(disk.path(name).exists() for name in (TLS, f"{DB}/etcd", f"{DB}/state.db")):
            return Outcome(out="changed=0\n")
        packed = base64.b64decode(sent.read_text(encoding="ascii"))
        disk.path(TLS).mkdir(parents=True, mode=_DIRECTORIES)
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(disk.path(TLS), filter="data")
        return Outcome(out="changed=1\n")
    finally:
        sent.unlink(missing_ok=True)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        with suppress(FileNotFoundError):
            path.unlink()


EFFECTS: dict[str, Effect] = {
    "forget-passwords.sh": forget_passwords,
    "put-identity.sh": put_identity,
    "read-identity.sh": read_identity,
    "rejoin.sh": rejoin,
    "renew-token.sh": renew_token,
    "restore.sh": restore,
    "rotate-token.sh": rotate_token,
    "stop-k3s.sh": stop_k3s,
}
"""The scripts of this module, by file name."""
