"""What our scripts about snapshots, tokens and CAs do on a guest."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from bootstrap.errors import GuestError, ScriptError
from bootstrap.k3s.ca_archive import FILES
from bootstrap.k3s.versions import is_newer
from bootstrap.model.ids import MachineName
from bootstrap.model.observed import KubeNode, Snapshot
from tests.fakes.world.facts import VERSION
from tests.fakes.world.k3s import with_lines
from tests.fakes.world.vm import FakeVm

if TYPE_CHECKING:
    from tests.fakes.world.world import World

MARKER = "marker"
TAKEN_S = 1_740_830_400
MADE = datetime.fromtimestamp(TAKEN_S, tz=UTC)
CA = "ab" * 32


def packed(names: Iterable[str] = sorted(FILES), *, link: str = "") -> str:
    """What read-identity.sh prints; with a `link`, one of this name as well that leads elsewhere."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        if link:
            member = tarfile.TarInfo(link)
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/cron.d"
            tar.addfile(member)
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(name)
            tar.addfile(member, io.BytesIO(name.encode()))
    return base64.b64encode(archive.getvalue()).decode()


TLS = packed()


@dataclass
class FakeBucket:
    """The bucket that servers' settings name, as k3s meets it.

    Attributes:
        keys: What lies there, with the server that sent it: `FOLDER/NAME`.
        dead: Why nobody answers there; then k3s with the bucket in its settings takes no snapshot at all.
        denied: Why uploads are refused; k3s exits with 0 all the same, and says it in a record.
    """

    keys: dict[str, str] = field(default_factory=dict)
    dead: str = ""
    denied: str = ""


@dataclass
class Datastore:
    """Kept in snapshots: the nodes. Files of a guest are in `FakeVm.files`: `snapshots/NAME`, the marker, `token`.

    Attributes:
        taken: Nodes by the snapshot's name.
        versions: The k3s that a snapshot was taken with, by its name.
        passwords_forgotten: Nodes whose passwords were.
        keys: Which CAs and keys the cluster has; each rotation makes others. Those on a guest's disk: `keys` there.
        taken_keys: The same of a snapshot.
        agents: The agents' password in the data; k3s refuses the start after next of a server that has another.
        taken_agents: The same of a snapshot.
        leaderless: For how many requests to save passwords etcd has no leader yet.
        readable: Whether the Secrets in the data can be read with the keys that the servers have.
        bucket: The bucket, if there is one.
        failed: k3s's records of uploads that failed.
    """

    taken: dict[str, dict[MachineName, KubeNode]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    passwords_forgotten: list[str] = field(default_factory=list)
    keys: str = "keys 1"
    taken_keys: dict[str, str] = field(default_factory=dict)
    agents: str = ""
    taken_agents: dict[str, str] = field(default_factory=dict)
    leaderless: int = 0
    readable: bool = True
    bucket: FakeBucket = field(default_factory=FakeBucket)
    failed: list[Snapshot] = field(default_factory=list)

    def records(self, folder: str) -> tuple[Snapshot, ...]:
        """k3s's records of a folder in the bucket: whatever lies there, with no regard to whose it is."""
        there = [
            Snapshot(name=key.rpartition("/")[2], machine=MachineName(server), location=f"s3://snaps/{key}", made=MADE)
            for key, server in self.bucket.keys.items()
            if key.startswith(folder)
        ]
        return (*there, *self.failed)


@dataclass
class DataScripts:
    """The part of `FakeShell` that is about the cluster's data."""

    world: World
    vm: FakeVm

    def download(self, name: str, *, target: Path) -> None:
        if name not in self.vm.files:
            raise GuestError(f"{self.vm.name}: there is no {name} beside its scripts")
        target.write_text(self.vm.files[name])

    def _refuse(self, script: str, why: str) -> ScriptError:
        return ScriptError(f"{self.vm.name}: {script} failed", status=1, details=why)

    def _snapshot(self, env: dict[str, str], files: dict[str, str]) -> str:
        if self.vm.unit != "k3s":
            raise self._refuse("snapshot.sh", "there is no data of a cluster")
        etcd = any("etcd" in node.roles for node in self.world.kube_nodes.values())
        made_s = TAKEN_S + len(self.world.datastore.taken)
        name = f"{env['NAME']}-{env['NODE']}-{made_s}{'' if etcd else '.sqlite'}"
        self.world.log(f"snapshot {self.vm.name}")
        self.world.datastore.taken[name] = dict(self.world.kube_nodes)
        self.world.datastore.taken_keys[name] = self.world.datastore.keys
        self.world.datastore.taken_agents[name] = self.world.datastore.agents
        version = self._installed()
        self.world.datastore.versions[name] = version
        text = f"data of {name}"
        sent = self._send(name, env["BUCKET"], files.get("snapshot.yaml", "")) if etcd else "bucket=none\n"
        self.vm.files[f"snapshots/{name}"] = text
        if env["FETCH"] == "1":
            self.vm.files["snapshot.out"] = text
        digest = hashlib.sha256(text.encode()).hexdigest()
        return (
            f"name={name}\nkind={'etcd' if etcd else 'sqlite'}\nsize={len(text)}\nsha256={digest}\ntime={made_s}\n"
            f"version={version}\nca={CA}\n{sent}"
        )

    def _send(self, name: str, wanted: str, given: str) -> str:
        """What k3s does with the bucket of the settings it is given, or of the server's own, and what is told of it."""
        if wanted == "no":
            return "bucket=none\n"
        settings = yaml.safe_load(given or self.vm.files["config.yaml"])
        assert settings.get("etcd-s3"), "a snapshot for a bucket that no settings name"
        bucket = self.world.datastore.bucket
        if bucket.dead:
            if wanted == "must":
                raise self._refuse("snapshot.sh", f"failed to initialize S3 client: {bucket.dead}")
            return f"bucket=failed\nbucket_problem={bucket.dead}\n"
        key = "/".join(part for part in (settings.get("etcd-s3-folder", ""), name) if part)
        if bucket.denied:
            place, server = f"s3://snaps/{key}", MachineName(self.vm.name)
            refused = Snapshot(name=name, machine=server, location=place, made=MADE, problem=bucket.denied)
            self.world.datastore.failed.append(refused)
            return "bucket=failed\nbucket_problem=k3s gives no reason here\n"
        bucket.keys[key] = self.vm.name
        self.vm.files["bucket"] = given
        return "bucket=sent\n"

    def _drop_snapshots(self, env: dict[str, str], files: dict[str, str]) -> str:
        settings = yaml.safe_load(files.get("snapshot.yaml") or self.vm.files["config.yaml"])
        for name in env["NAMES"].split():
            self.vm.files.pop(f"snapshots/{name}", None)
            if env["BUCKET"] == "yes":
                folder = settings.get("etcd-s3-folder", "")
                self.world.datastore.bucket.keys.pop(f"{folder}/{name}" if folder else name, None)
        return ""

    def _list_bucket(self, _env: dict[str, str], files: dict[str, str]) -> str:
        bucket, settings = self.world.datastore.bucket, yaml.safe_load(files["bucket.yaml"])
        if bucket.dead:
            raise self._refuse("list-bucket.sh", f"failed to initialize S3 client: {bucket.dead}")
        items = [
            {
                "kind": "ETCDSnapshotFile",
                "spec": {"snapshotName": each.name, "nodeName": each.machine, "location": each.location},
                "status": {"size": "7", "creationTime": MADE.isoformat(), "readyToUse": True},
            }
            for each in self.world.datastore.records(settings.get("etcd-s3-folder", ""))
            if not each.problem
        ]
        return json.dumps({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": items})

    def _installed(self) -> str:
        return self.world.releases.get(self.vm.k3s_sha256, VERSION)

    def _drop_snapshot_copy(self, _env: dict[str, str], _files: dict[str, str]) -> str:
        self.vm.files.pop("snapshot.out", None)
        return ""

    def _list_snapshots(self, _env: dict[str, str], _files: dict[str, str]) -> str:
        names = [name.partition("/")[2] for name in self.vm.files if name.startswith("snapshots/")]
        return "etcd=1\n" + "".join(f"snapshot=7 {TAKEN_S} {name}\n" for name in names)

    def _stop_k3s(self, env: dict[str, str], _files: dict[str, str]) -> str:
        self.world.log(f"stop-k3s {self.vm.name}")
        changed = bool(self.vm.unit)
        self.vm.unit = ""
        if env["MARK"] == "1":
            self.vm.files[MARKER] = "1"
        return f"changed={int(changed)}\n"

    def _restore(self, env: dict[str, str], files: dict[str, str]) -> str:
        serving = [vm.name for vm in self.world.vms.values() if vm.running and vm.unit == "k3s"]
        assert not serving, f"{serving} would go on with the old data"
        assert "server" not in yaml.safe_load(self.vm.files["config.yaml"])
        assert files["restore-token"].strip() in self.vm.files["service.env"]
        name = env["NAME"]
        # With sqlite an older k3s says nothing and reads what it can: here that is what no run may come to.
        newer = is_newer(self.world.datastore.versions.get(name, VERSION), self._installed())
        assert not newer, f"{name} is of a newer k3s than {self._installed()}"
        if env["FROM"] == "sent":
            self.vm.files[f"snapshots/{name}"] = self.vm.files.pop("snapshot.in")
        if env["FROM"] != "s3" and f"snapshots/{name}" not in self.vm.files:
            raise self._refuse("restore.sh", f"there is no {name}")
        if env["FROM"] == "s3":
            key = f"{env['FOLDER']}/{name}" if env["FOLDER"] else name
            if key not in self.world.datastore.bucket.keys:
                raise self._refuse("restore.sh", "The specified key does not exist.")
        self.world.log(f"restore {self.vm.name}")
        self.world.kube_nodes.clear()
        self.world.kube_nodes.update(self.world.datastore.taken[name])
        self.vm.files.pop("token", None)
        self.vm.files.pop(MARKER, None)
        self.world.datastore.agents = self.world.datastore.taken_agents[name]
        keys = self.world.datastore.taken_keys[name]
        self.world.datastore.keys = keys
        if name.endswith(".sqlite"):
            self.vm.files["state.db"] = keys
            self.vm.files.pop("keys", None)  # server/tls and server/cred are put aside
        else:
            self.vm.files["keys"] = keys  # the reset writes those in the data
        return ""

    def _open_data(self, config: Mapping[str, object]) -> None:
        """What a first server does with the keys on its disk and those in its data."""
        data, here = self.vm.files.get("state.db"), self.vm.files.get("keys")
        if data is None:
            self.vm.files.setdefault("keys", self.world.datastore.keys)
        elif config.get("cluster-init"):
            # New CAs and keys where none are here, before the data is looked at.
            self.world.datastore.readable = here == data
            del self.vm.files["state.db"]
        elif here not in (None, data):
            raise self._refuse("start-k3s.sh", "/var/lib/rancher/k3s/server/cred/passwd newer than datastore")
        else:
            self.vm.files["keys"] = data

    def _rejoin(self, _env: dict[str, str], _files: dict[str, str]) -> str:
        assert not self.vm.unit
        if "server" not in yaml.safe_load(self.vm.files["config.yaml"]):
            raise self._refuse("rejoin.sh", "the settings name no server to join")
        self.world.log(f"rejoin {self.vm.name}")
        self.vm.files.pop("token", None)
        self.vm.files.pop(MARKER, None)
        return ""

    def _forget_passwords(self, env: dict[str, str], _files: dict[str, str]) -> str:
        self.world.datastore.passwords_forgotten += env["NODES"].split()
        return ""

    def _rotate_token(self, _env: dict[str, str], files: dict[str, str]) -> str:
        same, agents = files["new-token"] == self.vm.files["token"], self.vm.files.get("agent-token")
        if same and self.world.datastore.leaderless:
            self.world.datastore.leaderless -= 1
            raise self._refuse("rotate-token.sh", "the server refuses a new token: 500 etcdserver: request timed out")
        self.world.log(f"{'save' if same else 'rotate'} {self.vm.name}")
        self.vm.files["token"] = files["new-token"]
        self.world.datastore.agents = agents or files["new-token"]
        if not same:
            self.world.datastore.keys += " rotated"
            self.vm.files["keys"] = self.world.datastore.keys
        return ""

    def _renew_token(self, env: dict[str, str], files: dict[str, str]) -> str:
        if env["DONE"] == "1":
            self.vm.files.pop("pending", None)
            return ""
        there, token = self.vm.files["service.env"], files["token"].strip()
        wanted = token if "K3S_TOKEN='K10" in there else token.rpartition(":")[2]
        lines = f"K3S_TOKEN='{wanted}'\n"
        if "agent-token" in files:
            lines += f"K3S_AGENT_TOKEN='{files['agent-token'].strip()}'\n"
        after = with_lines(there, lines)
        if after != there:
            self.vm.files["pending"] = "1"
            self.vm.files["service.env"] = after
        return f"restart={int('pending' in self.vm.files)}\n"

    def _read_identity(self, _env: dict[str, str], _files: dict[str, str]) -> str:
        return TLS

    def _put_identity(self, _env: dict[str, str], files: dict[str, str]) -> str:
        fresh = "identity" not in self.vm.files
        self.vm.files.setdefault("identity", files["identity"])
        return f"changed={int(fresh)}\n"
