"""Guests over SSH: what each of our scripts does there."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING

from bootstrap.errors import GuestSetupError, HostKeyError, KeyRefusedError, ScriptError, SshUnreachableError
from bootstrap.execution.guests.host_keys import fingerprint
from bootstrap.model.ids import MachineName
from bootstrap.model.observed import KubeNode
from bootstrap.ports import CommandOutcome, GuestScript
from tests.fakes.certificates import k3s_yaml
from tests.fakes.world.datastore import MARKER, DataScripts
from tests.fakes.world.facts import VERSION
from tests.fakes.world.k3s import (
    DROP_INS,
    check_apiserver,
    environment,
    environment_told,
    hardening_line,
    k3s_config,
    node_args,
    node_labels,
    node_taints,
    put_environment,
    put_hardening,
    put_registries,
    registries_line,
    whole_environment,
)
from tests.fakes.world.k3s_journal import journal, state

if TYPE_CHECKING:
    from tests.fakes.world.world import World


@dataclass
class FakeShells:
    world: World
    public_key: str = "ssh-ed25519 AAAAtest homelab-k8s"

    def check(self) -> str:
        if self.world.key_problem is not None:
            raise self.world.key_problem
        return "/home/me/.ssh/id_ed25519 (ssh-ed25519)"

    def way(self, machine: MachineName, address: IPv4Address) -> tuple[str, ...]:
        return self.world.way

    def connect(
        self, machine: MachineName, address: IPv4Address, *, user: str, host_key: str | None, timeout_s: float
    ) -> FakeShell:
        vm = self.world.by_address(address)
        if vm.name in self.world.no_ssh:
            raise SshUnreachableError(f"no SSH on {address}", details="timed out")
        if vm.name in self.world.refuses_key or vm.cleaned:
            raise KeyRefusedError(f"{machine}: cannot log in", details="the machine refused our SSH key")
        shown = self.world.host_key(vm)
        if host_key not in (None, shown, fingerprint(shown).split()[1]):
            raise HostKeyError(
                f"{machine}: the SSH host key is not the expected one",
                details=f"expected {host_key}\nfound {shown}",
                resolution="look who has the address",
            )
        if vm.name in self.world.lets_anybody_in:
            raise GuestSetupError(f"{machine}: the SSH server accepts {user} without any key")
        return FakeShell(self.world, vm)


@dataclass
class FakeShell(DataScripts):
    sent: set[str] = field(default_factory=set)

    @property
    def host_key(self) -> str:
        return self.world.host_key(self.vm)

    def run(self, script: GuestScript, *, timeout_s: float) -> str:
        self.world.settle()
        if script.name in self.world.broken_scripts:
            raise ScriptError(f"{self.vm.name}: {script.name} failed", status=1)
        handler = getattr(self, "_" + script.name.removesuffix(".sh").replace("-", "_"))
        answer = str(handler(dict(script.env), dict(script.secret_files)))
        lie = self.world.lies.get(script.name)
        return lie(answer) if lie else answer

    def upload(self, source: Path, *, name: str) -> None:
        self.world.log(f"upload {self.vm.name}")
        self.sent.add(name)
        if name == "snapshot.in":
            self.vm.files[name] = source.read_text()

    def command(self, command: str, *, timeout_s: float) -> CommandOutcome:
        self.world.log(f"command {self.vm.name}: {command}")
        return self.world.answer(self.vm.name, command)

    def close(self) -> None:
        self.sent.clear()

    def _facts(self, _env: dict[str, str], _files: dict[str, str]) -> str:
        state = self._state() if self.vm.unit else "inactive" if "config.yaml" in self.vm.files else ""
        own = hashlib.md5(self.vm.smbios_uuid.encode()).hexdigest()
        machine_id = self.world.machine_ids.get(self.vm.name, own)
        time_s = 1740830400 + round(self.world.later_s + self.world.guest_clocks_s.get(self.vm.name, 0.0))
        return (
            f"arch=amd64\nmachine_id={machine_id}\nk3s_sha256={self.vm.k3s_sha256}\nactive_state={state}\n"
            f"sub_state={'start' if state == 'activating' else 'running'}\nrestarts=0\n"
            f"k3s_version={self.world.releases.get(self.vm.k3s_sha256, '')}\n"
            f"time={time_s}\nselinux={'enforcing' if self.world.selinux_lacks else ''}\n"
            f"selinux_lacks={self.world.selinux_lacks}\n"
        )

    def _logins(self, _env: dict[str, str], _files: dict[str, str]) -> str:
        users = self.world.passwords.get(self.vm.name, ())
        return "".join(["known=1\n", *(f"user={user}\n" for user in users)])

    def _hardening(self, _env: dict[str, str], _files: dict[str, str]) -> str:
        """As prepare-system.sh left the kernel; what is loose is `World.loose`."""
        have = [each.removeprefix("sysctl ") for each in self.vm.files.get("system", "").splitlines()]
        sysctls = "".join(f"sysctl={each.replace(' = ', ' ')}\n" for each in have if " = " in each)
        loose = "".join(f"loose={each}\n" for each in self.world.loose.get(self.vm.name, ()))
        return f"{sysctls}{loose}checked=20\naudited={int('audit.yaml' in self.vm.files)}\n"

    def _fsync(self, _env: dict[str, str], _files: dict[str, str]) -> str:
        return f"write_s={self.world.write_s}\n" * 3

    def _cloud_init_result(self, _env: dict[str, str], _files: dict[str, str]) -> str:
        return "done=1\nstatus=done\n"

    def _bake(self, env: dict[str, str], _files: dict[str, str]) -> str:
        assert self.vm.k3s_sha256 == env["SHA256"] or "k3s.bin" in self.sent
        self.vm.k3s_sha256 = env["SHA256"]
        self.world.log(f"bake {self.vm.name}")
        return "warning=something is not there\nchanged=1\n"

    def _clean(self, _env: dict[str, str], _files: dict[str, str]) -> str:
        self.vm.cleaned = True  # first: who is killed right then has no key there any more
        self.vm.files.pop("system", None)
        self.world.log(f"clean {self.vm.name}")
        return "cleaned=1\n"

    def _install_k3s(self, env: dict[str, str], files: dict[str, str]) -> str:
        assert self.vm.k3s_sha256 == env["SHA256"] or "k3s.bin" in self.sent
        if "service.env" in files:
            files["service.env"] = whole_environment(self.vm.files.get("service.env", ""), files)
        files.pop("environment", None)
        changed = self.vm.k3s_sha256 != env["SHA256"] or any(
            self.vm.files.get(name) != text for name, text in files.items()
        )
        changed = put_registries(self.vm, files) or changed
        changed = put_hardening(self.vm, files) or changed
        self.vm.k3s_sha256 = env["SHA256"]
        self.vm.files.update(files)
        if changed:
            self.world.log(f"install {self.vm.name}")
        return f"changed={int(changed)}\n"

    def _put_manifests(self, _env: dict[str, str], files: dict[str, str]) -> str:
        if "token" in self.vm.files:  # it has data
            return "changed=0\n"
        there = {f"manifests/{name}": text for name, text in files.items()}
        gone = [name for name in self.vm.files if name.startswith("manifests/") and name not in there]
        changed = bool(gone) or any(self.vm.files.get(name) != text for name, text in there.items())
        for name in gone:
            del self.vm.files[name]
        self.vm.files.update(there)
        if there:
            self.world.log(f"manifests {self.vm.name}")
        return f"changed={int(changed)}\n"

    def _drop_manifests(self, env: dict[str, str], _files: dict[str, str]) -> str:
        names = [f"manifests/homelab-k8s-{name}.yaml" for name in env["NAMES"].split()]
        there = [name for name in names if self.vm.files.pop(name, None) is not None]
        return f"changed={int(bool(there))}\n"

    def _accept_ra(self, env: dict[str, str], _files: dict[str, str]) -> str:
        self.world.log(f"accept-ra {self.vm.name} {env['ADDRESS']}")
        return "changed=0\n"

    def _start_k3s(self, env: dict[str, str], _files: dict[str, str]) -> str:
        config = k3s_config(self.vm.files)
        began = self.world.now()
        check_apiserver(self.vm, config)
        if MARKER in self.vm.files:
            raise ScriptError(f"{self.vm.name}: start-k3s.sh failed", status=1, details="a restore is not finished")
        if env["UNIT"] == "k3s" and "server" not in config and "token" not in self.vm.files:
            self.world.node_passwords.clear()  # a first server without data begins a cluster
            self.world.datastore.agents = ""
        if env["UNIT"] == "k3s" and "server" not in config:
            self._open_data(config)
        if env["RESTART"] == "1":
            self.world.log(f"restart {self.vm.name}")
            self.vm.unit = ""
        self.vm.unit_began_s = self.world.clock.now_s()
        if self.vm.name not in self.world.broken_units and self._password_fits():
            runs, self.vm.alone = bool(self.vm.unit), bool(config.get("disable-agent"))
            if not runs and not self.vm.alone:  # One that runs does not register again.
                self._register(config, server=env["UNIT"] == "k3s")
            self.vm.unit = env["UNIT"]
            if not runs:
                self.world.began(self.vm)
            if self.vm.unit == "k3s" and not runs:
                self.vm.files["token"] = self._environment_token()  # server/token, written at each start
                self._follow_passwords()
        return f"time={int(began.timestamp())}\n"

    def _read_settings(self, _env: dict[str, str], _files: dict[str, str]) -> str:
        with self.world.lock:
            self.world.looked_into.append(self.vm.name)
        told = (
            f"file=/etc/rancher/k3s/{name} {base64.b64encode(text.encode()).decode()}\n"
            for name, text in self.vm.files.items()
            if name == "config.yaml" or name.startswith(DROP_INS)
        )
        keepalived = self.vm.files.get("keepalived.conf", "")
        found = re.search(r"virtual_router_id ([0-9]+).*^ *([0-9.]+)/32$", keepalived, re.DOTALL | re.MULTILINE)
        vrid = f"vrid={found[1]}\nvip={found[2]}\n" if found else ""
        own = f"{registries_line(self.vm)}{hardening_line(self.vm)}{environment_told(self.vm)}"
        return f"{''.join(told)}{vrid}{own}pending={int('pending' in self.vm.files)}\n"

    def _prepare_system(self, env: dict[str, str], files: dict[str, str]) -> str:
        """Remembers what it was asked for; sysctls, modules and files are gone with their lines, packages stay."""
        lines = {name: [each for each in text.splitlines() if each[0] != "#"] for name, text in files.items()}
        wanted = [f"package {each}" for each in env["PACKAGES"].split()]
        wanted += [f"module {each}" for each in lines.get("modules", [])]
        wanted += [f"sysctl {each}" for each in lines.get("sysctls", [])]
        wanted += [f"file {path} = {sha256} {mode}" for sha256, mode, _, path in map(str.split, lines.get("files", []))]
        have = self.vm.files.get("system", "").splitlines()
        gone = [each for each in have if each not in wanted]
        left = [each for each in gone if each.startswith("package ")]
        differs = [each.partition(" = ")[0] for each in wanted if each not in have]
        written, paths = [each for each in gone if each.startswith("file ")], [each.split()[1] for each in wanted]
        obsolete = [each.split()[1] for each in written if each.split()[1] not in paths]
        differs += [f"obsolete {path}" for path in obsolete]
        differs += ["file /etc/sysctl.d/91-homelab-k8s.conf"] * any(each not in (*left, *written) for each in gone)
        differs += [
            f"{when} {name}" for when, key, name in map(str.split, lines.get("hooks", [])) if not self._ran(key)
        ]
        if env["LOOK"] != "1":
            self.vm.files["system"] = "\n".join([*wanted, *left])
            self.world.log(f"system {self.vm.name}")
        said = [*(f"differs={each}" for each in differs), *(f"left={each.split()[1]}" for each in left)]
        said += [f"manager={self.world.manager}"] * bool(left)
        return "\n".join([*said, f"changed={int(bool(differs))}"])

    def _ran(self, key: str) -> bool:
        return key in self.vm.files.get("hooks", "").split()

    def _run_hook(self, env: dict[str, str], files: dict[str, str]) -> str:
        """A hook fails where its machine is one of `failing_hooks`, else it is remembered."""
        if self._ran(env["KEY"]):
            return "changed=0\n"
        self.world.log(f"hook {self.vm.name} {env['NAME']}")
        own = {
            name: base64.b64decode(value).decode()
            for name, value in (line.split(" ") for line in files["hook.env"].splitlines())
        }
        self.world.hooks.append((self.vm.name, env["NAME"], {**env, **own}))
        fails = self.vm.name in self.world.failing_hooks
        if not fails:
            self.vm.files["hooks"] = f"{self.vm.files.get('hooks', '')}{env['KEY']}\n"
        output = base64.b64encode(b"one\ntwo\n").decode()
        return f"changed=1\nstatus={int(fails)}\noutput={output}\n"

    def _put_settings(self, env: dict[str, str], files: dict[str, str]) -> str:
        if env["DONE"] == "1":
            self.vm.files.pop("pending", None)
            return ""
        changed = [put(self.vm, files) for put in (put_registries, put_hardening, put_environment)]
        if any(changed):
            self.vm.files["pending"] = "1"
        if self.vm.files.get("config.yaml") != files["config.yaml"]:
            self.vm.files["pending"] = "1"
            self.vm.files["config.yaml"] = files["config.yaml"]
            self.world.log(f"settings {self.vm.name}")
        return f"restart={int('pending' in self.vm.files)}\n"

    def _password_fits(self) -> bool:
        """Whether the node password is the one that Kubernetes has; each machine makes its own at its first start."""
        with self.world.lock:
            known = self.world.node_passwords.setdefault(self.vm.name, self.vm.smbios_uuid)
        return known == self.vm.smbios_uuid

    def _register(self, config: Mapping[str, object], *, server: bool) -> None:
        name = MachineName(str(config["node-name"]))
        roles = frozenset({"control-plane"} if server else set())
        etcd = any("cluster-init" in vm.files.get("config.yaml", "") for vm in self.world.vms.values())
        if server and etcd:
            roles |= {"etcd"}
        version = self.world.releases.get(self.vm.k3s_sha256, VERSION)
        with self.world.lock:
            if not self.world.kube_nodes and not self.world.workloads.pods:
                self.world.workloads.add_ons(name)
            # Taints count at the first registration only, labels are put on again at each start.
            node = self.world.kube_nodes.get(name) or KubeNode(
                name=name,
                ready=not self.world.no_cni,
                problem=self.world.no_cni,
                address=self.vm.address,
                taints=node_taints(config),
            )
            self.world.kube_nodes[name] = replace(
                node,
                version=version,
                roles=node.roles | roles,
                heartbeat=self.world.now(),
                labels=tuple(sorted((dict(node.labels) | node_labels(config)).items())),
                args=node_args("server" if server else "agent", config),
                env=frozenset(environment(self.vm.files["service.env"])),
            )
        if self.vm.name in self.world.paused_once_joined:
            self.vm.halted = "io-error"

    def _unit_state(self, env: dict[str, str], files: dict[str, str]) -> str:
        heals_s = self.world.heals_after_s.get(self.vm.name)
        if heals_s is not None and self._unit_age_s() >= heals_s and self.vm.name in self.world.broken_units:
            del self.world.broken_units[self.vm.name]
            self._start_k3s({**env, "RESTART": "0"}, files)
        sub_state, restarts = state(self._complaint(), after_s=self._unit_age_s())
        now_s = self.world.clock.now_s()
        if self.world.ends_again(self.vm):
            self.vm.since_s, self.vm.restarts = now_s, self.vm.restarts + 1
        since = f"{1740830400 + int(self.vm.since_s)}" if self.vm.unit else ""
        return (
            f"active_state={self._state()}\nsub_state={sub_state}\nrestarts={restarts or self.vm.restarts}\n"
            f"result=success\nsince={since}\ntime={1740830400 + int(now_s)}\n"
            f"address={self.vm.address}\naddress=127.0.0.1\n"
            f"{'prepared=1' if self.vm.files.get('system') else ''}\n"
        )

    def _state(self) -> str:
        late = self.vm.unit == "k3s-agent" and self.vm.name in self.world.late_units
        if self.vm.unit:
            return "activating" if late else "active"
        known = self.world.node_passwords.get(self.vm.name, self.vm.smbios_uuid)
        fails = self.vm.name in self.world.broken_units or known != self.vm.smbios_uuid
        return "activating" if fails or self.vm.name in self.world.starts_at_s else "inactive"

    def _journal(self, _env: dict[str, str], _files: dict[str, str]) -> str:
        return journal(self._complaint(), after_s=self._unit_age_s())

    def _unit_age_s(self) -> float:
        return self.world.clock.now_s() - self.vm.unit_began_s

    def _complaint(self) -> str:
        rejected = (
            'time="2026-11-28T20:06:12Z" level=info msg="Waiting to retrieve agent configuration; server is not ready: '
            "/var/lib/rancher/k3s/agent/serving-kubelet.crt: Node password rejected, duplicate hostname or contents of "
            "'/etc/rancher/node/password' may not match server node-passwd entry\""
        )
        return self.world.broken_units.get(self.vm.name, "" if self._password_fits() else rejected)

    def _readyz(self, _env: dict[str, str], _files: dict[str, str]) -> str:
        if self.vm.unit != "k3s":
            raise ScriptError(f"{self.vm.name}: readyz.sh failed", status=1, details="connection refused")
        if not self.world.datastore.readable:
            raise ScriptError(f"{self.vm.name}: readyz.sh failed", status=1, details="[-]informer-sync failed")
        return "ok\n"

    def _read_token(self, _env: dict[str, str], _files: dict[str, str]) -> str:
        if "token" not in self.vm.files:
            raise ScriptError(f"{self.vm.name}: read-token.sh failed", status=1, details="No such file")
        ca, agents = f"K10{'ab' * 32}", self.vm.files.get("agent-token")
        server = f"{ca}::server:{self.vm.files['token']}\n"
        return server + (f"{ca}::node:{agents}\n" if agents else server)

    def _vip_state(self, env: dict[str, str], _files: dict[str, str]) -> str:
        settings = self.vm.files.get("keepalived.conf", "")
        active, configured = "active" if settings else "", f" {env['VIP']}/32" in settings
        return f"interface=eth0\nactive_state={active}\nconfigured={int(configured)}\nholder={int(self.vm.holds_vip)}\n"

    def _install_vip(self, _env: dict[str, str], files: dict[str, str]) -> str:
        changed = any(self.vm.files.get(name) != text for name, text in files.items())
        self.vm.files.update(files)
        with self.world.lock:
            if files and not any(vm.holds_vip and vm.running for vm in self.world.vms.values()):
                self.vm.holds_vip = True
        return f"changed={int(changed)}\n"

    def _remove_vip(self, _env: dict[str, str], _files: dict[str, str]) -> str:
        self.world.log(f"remove-vip {self.vm.name}")
        self.vm.holds_vip = False
        return f"changed={int(self.vm.files.pop('keepalived.conf', None) is not None)}\n"

    def _environment_token(self) -> str:
        return environment(self.vm.files["service.env"])["K3S_TOKEN"].rpartition(":")[2]

    def _follow_passwords(self) -> None:
        """The agents' password is what the environment says; where the data says otherwise, the next start is refused.

        Not one of ours: start-k3s.sh takes cred/passwd away, and k3s has it from the data.
        """
        agents = environment(self.vm.files["service.env"]).get("K3S_AGENT_TOKEN", "")
        if agents:
            self.vm.files["agent-token"] = agents
        else:
            self.vm.files.pop("agent-token", None)
        if not self.world.datastore.agents:
            self.world.datastore.agents = agents or self.vm.files["token"]

    def _read_kubeconfig(self, _env: dict[str, str], _files: dict[str, str]) -> str:
        return k3s_yaml()
