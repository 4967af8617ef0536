#!/usr/bin/python3 -I
"""A stand-in for the k3s binary, owned by the tests; README.md beside it says what it does and does not do.

One file, since it is installed the way k3s is: as one executable with links. It needs Python's standard library
and the openssl command, nothing else. It runs no containers and no pods: what it is true to is how k3s starts,
joins, refuses, stores, serves and dies. Every node it registers says so in `kubectl get nodes -o wide`.
"""

from __future__ import annotations

import base64
import binascii
import calendar
import contextlib
import copy
import hashlib
import hmac
import html
import http.client
import http.server
import ipaddress
import json
import os
import platform
import re
import secrets
import select
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn
from weakref import WeakSet

VERSION = "v1.33.3+k3s1"
COMMIT = "standin0"
BUILT_FOR = ""  # artifacts.py writes amd64 or arm64 here, so that the wrong file fails as a wrong binary does
NODE_NAME = r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?"
WHAT_THIS_IS = "k3s stand-in (tests double)"

# Only tests set the root: it lets several machines share one file system.
ROOT = os.environ.get("K3S_STANDIN_ROOT", "")
KUBECONFIG = Path(ROOT + "/etc/rancher/k3s/k3s.yaml")

BIND = "0.0.0.0"  # where a server listens unless told otherwise
LEASE_SECONDS = 40
READY_DELAY_S = 0.7  # a node is NotReady for a moment after it registers, since its network comes up last
PEER_POLL_S = 1.0
PEER_DEAD_AFTER_S = 3.0
QUORUM_LOST_EXIT_S = 2.0  # with the line above: the process is gone within 5 s, as seen on k3s
LEARNER_S = 1.5  # how long a member stays a learner, so that two that join at once do collide
LEARNER_EVICT_S = 300.0
CONTROL_S = 0.1  # how often the controllers look whether there is something to do
POD_START_S = 0.4  # from being bound to a node to Running and Ready
POD_STOP_S = 0.3  # how long a pod takes to end, if it has no preStop hook that sleeps

Json = Any  # what json.loads gives
Obj = dict[str, Any]
Key = tuple[str, str, str]
Change = tuple[str, str, str, Obj | None, int]
Edit = tuple[str, str, str, Obj | None]  # plural, namespace, name, the new object or None
Reply = tuple[int, Obj]

REJECTED = (
    "Node password rejected, duplicate hostname or contents of '/etc/rancher/node/password' may not match server "
    "node-passwd entry, try enabling a unique node name with the --with-node-id flag"
)
LEARNERS = "etcdserver: too many learner members in cluster"


# --- telling -----------------------------------------------------------------------------------------------------


class Life:
    """What the core has from its process. A program that runs it inside itself puts another one into `LIFE`."""

    idle_s = 3600.0
    """How often a listener looks whether it is to end."""

    def tell(self, line: str) -> None:
        """Write a line of the log."""
        sys.stderr.write(line + "\n")
        sys.stderr.flush()

    def pause(self, seconds: float) -> None:
        """Wait; where the process has ended meanwhile, never come back."""
        time.sleep(seconds)

    def end(self, code: int) -> NoReturn:
        """End the whole process from any thread."""
        os._exit(code)

    def notify(self, state: str) -> None:
        """Tell systemd, where it asked to be told (sd_notify(3))."""
        address = os.environ.get("NOTIFY_SOCKET", "")
        if not address:
            return
        if address.startswith("@"):
            address = "\0" + address[1:]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(state.encode(), address)

    def run(self, target: Callable[..., object], *arguments: object) -> None:
        """The whole of a thread."""
        target(*arguments)

    def listening(self, server: TlsServer) -> None:
        """Take note of a listener that has begun."""

    def opened(self, thing: Link | Store) -> None:
        """Take note of what the end of a process closes by itself."""

    def ended(self) -> bool:
        """Whether the process has ended; only another program's Life can tell."""
        return False

    def held(self) -> bool:
        """Whether this machine's node is kept from becoming Ready."""
        return False

    def refusal(self) -> Reply | None:
        """What the Kubernetes API answers instead of an answer; None: it answers."""
        return None


LIFE = Life()


def spawn(target: Callable[..., object], *arguments: object) -> None:
    """Run something in a thread of its own for as long as the process lives."""
    threading.Thread(target=LIFE.run, args=(target, *arguments), daemon=True).start()


def log_line(level: str, message: str) -> str:
    """A line in the form of k3s's logger."""
    return f'time="{stamp()}" level={level} msg={json.dumps(message, ensure_ascii=False)}'


def log(level: str, message: str) -> None:
    """One line of the log."""
    LIFE.tell(log_line(level, message))


class Fatal(Exception):  # noqa: N818 - named for the log level it ends with
    """Ends the process as k3s ends it: one fatal line and exit code 1."""


def die(message: str) -> NoReturn:
    """End the whole process from any thread."""
    log("fatal", message)
    LIFE.end(1)


def stamp(micro: bool = False, later_s: float = 0) -> str:
    now = time.time() + later_s
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
    return f"{text}.{int(now % 1 * 1e6):06d}Z" if micro else f"{text}Z"


def write_file(path: Path, data: str | bytes, mode: int = 0o600) -> None:
    """Replace a file in one step, with the mode from its first byte on."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    raw = data.encode() if isinstance(data, str) else data
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as out:
        out.write(raw)
    temporary.chmod(mode)
    temporary.replace(path)


# --- configuration -----------------------------------------------------------------------------------------------

# Names as in k3s: "!" marks a switch, "*" a list. What is known but has no effect here is accepted all the same.
AGENT_FLAGS = """
config debug! v vmodule log alsologtostderr! token token-file server data-dir node-name with-node-id! node-label*
node-taint* image-credential-provider-bin-dir image-credential-provider-config docker! container-runtime-endpoint
default-runtime disable-default-registry-endpoint! image-service-endpoint nonroot-devices! pause-image snapshotter
private-registry system-default-registry airgap-extra-registry* node-ip* bind-address node-external-ip*
node-internal-dns* node-external-dns* resolv-conf flannel-iface flannel-conf flannel-cni-conf kubelet-arg*
kube-proxy-arg* protect-kernel-defaults! enable-pprof! rootless! selinux! lb-server-port prefer-bundled-bin!
disable-apiserver-lb! vpn-auth vpn-auth-file
"""
SERVER_FLAGS = """
https-listen-port supervisor-port apiserver-port apiserver-bind-address advertise-address advertise-port tls-san*
tls-san-security! cluster-cidr* service-cidr* service-node-port-range cluster-dns* cluster-domain flannel-backend
flannel-ipv6-masq! flannel-external-ip! egress-selector-mode servicelb-namespace write-kubeconfig
write-kubeconfig-mode write-kubeconfig-group helm-job-image agent-token agent-token-file cluster-init!
cluster-reset! cluster-reset-restore-path kube-apiserver-arg* etcd-arg* kube-controller-manager-arg*
kube-scheduler-arg* kube-cloud-controller-manager-arg* kine-tls! datastore-endpoint datastore-cafile
datastore-certfile datastore-keyfile etcd-expose-metrics! etcd-disable-snapshots! etcd-snapshot-name
etcd-snapshot-schedule-cron etcd-snapshot-reconcile-interval etcd-snapshot-retention etcd-snapshot-dir
etcd-snapshot-compress! etcd-s3! etcd-s3-endpoint etcd-s3-endpoint-ca etcd-s3-skip-ssl-verify! etcd-s3-access-key
etcd-s3-secret-key etcd-s3-session-token etcd-s3-bucket etcd-s3-bucket-lookup-type etcd-s3-region etcd-s3-folder
etcd-s3-proxy etcd-s3-config-secret etcd-s3-insecure! etcd-s3-timeout etcd-s3-retention default-local-storage-path
disable* disable-scheduler! disable-cloud-controller! disable-kube-proxy! disable-network-policy!
disable-helm-controller! disable-agent! disable-etcd! disable-apiserver! disable-controller-manager!
embedded-registry! supervisor-metrics! secrets-encryption! secrets-encryption-provider enable-servicelb!
"""
ALIASES = {"t": "token", "s": "server", "d": "data-dir", "c": "config", "o": "write-kubeconfig", "l": "log"}
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


def flag_table(command: str) -> dict[str, str]:
    """Flag name to kind: "!" switch, "*" list, "" one value."""
    words = (AGENT_FLAGS + (SERVER_FLAGS if command == "server" else "")).split()
    return {word.rstrip("!*"): word[-1] if word[-1] in "!*" else "" for word in words}


def yaml_plain(text: str, where: str) -> str:
    """A plain scalar as YAML 1.1 reads it, since k3s does: `no` is false and 0644 is 420."""
    if re.search(r":(\s|$)", text) or text[:1] in "{}[],&*!|>%@`\"'#?" or text == "-":
        raise Fatal(f"{where}: this YAML is beyond the stand-in: {text!r}")
    if text.lower() in ("~", "null"):
        return ""
    if text.lower() in ("true", "yes", "on", "y"):
        return "true"
    if text.lower() in ("false", "no", "off", "n"):
        return "false"
    if re.fullmatch(r"[-+]?0[0-7]+", text):
        return str(int(text, 8))
    if re.fullmatch(r"[-+]?(0x[0-9a-fA-F_]+|0b[01_]+|0o[0-7_]+|[0-9][0-9_]*)", text):
        return str(int(text.replace("_", ""), 0 if text.lstrip("+-")[:2] in ("0x", "0b", "0o") else 10))
    return text


def yaml_scalar(text: str, where: str) -> str:
    """One scalar with its trailing comment taken off."""
    text = text.strip()
    if text[:1] == "'":
        found = re.match(r"'((?:[^']|'')*)'\s*(#.*)?$", text)
        if found:
            return found[1].replace("''", "'")
    elif text[:1] == '"':
        found = re.match(r'("(?:[^"\\]|\\.)*")\s*(#.*)?$', text)
        if found:
            try:
                return str(json.loads(found[1]))
            except ValueError as error:
                raise Fatal(f"{where}: an escape beyond the stand-in: {text!r}") from error
    else:
        return yaml_plain(re.sub(r"(^|\s+)#.*$", "", text).strip(), where)
    raise Fatal(f"{where}: an unfinished quoted string: {text!r}")


def yaml_flow(text: str, where: str) -> list[str]:
    """A list in brackets on one line."""
    found = re.match(r"\[(.*)\]\s*(#.*)?$", text)
    if not found:
        raise Fatal(f"{where}: an unfinished list: {text!r}")
    items = re.findall(r"""\s*('(?:[^']|'')*'|"(?:[^"\\]|\\.)*"|[^,'"\[\]{}]+)\s*(?:,|$)""", found[1])
    if len(items) != len(
        [part for part in re.split(r",(?=(?:[^'\"]|'[^']*'|\"[^\"]*\")*$)", found[1]) if part.strip()]
    ):
        raise Fatal(f"{where}: a list beyond the stand-in: {text!r}")
    return [yaml_scalar(item, where) for item in items]


def parse_config(text: str, where: str) -> dict[str, list[str]]:
    """The YAML that a k3s config file is made of: one mapping of scalars and lists. Anything else is an error."""
    result: dict[str, list[str]] = {}
    key = ""  # the key whose list may follow
    for number, line in enumerate(text.splitlines(), 1):
        spot = f"{where}:{number}"
        if not line.strip() or line.lstrip().startswith("#") or (line.rstrip() == "---" and not result):
            continue
        item = re.match(r"\s*-\s+(.*)$", line)
        if item and key:
            result[key].append(yaml_scalar(item[1], spot))
            continue
        entry = re.match(r"""(?:'([^']+)'|"([^"\\]+)"|([A-Za-z][\w-]*\+?))\s*:(?:\s+(.*))?$""", line)
        if not entry or "\t" in line:
            raise Fatal(f"failed to parse {spot}: the stand-in reads `key: value` and lists only, not {line!r}")
        name = entry[1] or entry[2] or entry[3]
        if name in result:
            raise Fatal(f'failed to parse {spot}: key "{name}" already set in map')
        value = re.sub(r"^#.*", "", (entry[4] or "").strip())
        result[name] = yaml_flow(value, spot) if value[:1] == "[" else [yaml_scalar(value, spot)] if value else []
        key = "" if value else name
    return result


def config_files(main: Path) -> list[Path]:
    """The file itself, then its drop-ins in order."""
    drop_ins = Path(f"{main}.d")
    extra = [p for p in drop_ins.glob("*") if p.suffix in (".yaml", ".yml")] if drop_ins.is_dir() else []
    return [main, *sorted(extra)] if main.exists() else sorted(extra)


def read_config(main: Path, known: dict[str, str]) -> dict[str, list[str]]:
    """All files merged: a later one replaces a key, `key+` appends to it. Unknown keys warn, as in k3s."""
    merged: dict[str, list[str]] = {}
    for path in config_files(main):
        for key, values in parse_config(path.read_text(), str(path)).items():
            name = key.rstrip("+")
            name = ALIASES.get(name, name)
            if name not in known:
                log("warning", f"Unknown flag --{name} found in config.yaml, skipping\n")
            elif len(values) > 1 and known[name] != "*" and not key.endswith("+"):
                raise Fatal(f"{path}: {name} takes one value, not a list")
            else:
                merged[name] = [*merged.get(name, []), *values] if key.endswith("+") else values
    return merged


def parse_flags(
    argv: list[str],
    known: dict[str, str],
    *,
    words: list[str] | None = None,
    aliases: dict[str, str] = ALIASES,
) -> dict[str, list[str]]:
    """The command line; what is no flag goes into `words`, where it is given. Fatal at an unknown flag, as in k3s."""
    result: dict[str, list[str]] = {}
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        name, has_value, value = word.lstrip("-").partition("=")
        name = aliases.get(name, name)
        if words is not None and not word.startswith("-"):
            words.append(word)
            continue
        if not word.startswith("-") or name not in known:
            sys.stderr.write(f"Incorrect Usage: flag provided but not defined: -{name}\n\n")
            raise Fatal(f"flag provided but not defined: -{name}")
        if not has_value:
            if known[name] == "!":
                value = "true"
            elif rest:
                value = rest.pop(0)
            else:
                raise Fatal(f"flag needs an argument: -{name}")
        result.setdefault(name, []).append(value)
    return result


class Options:
    """The settings of a server or an agent: command line, then config files, then environment."""

    def __init__(
        self, command: str, argv: list[str], *, root: str = ROOT, environ: Mapping[str, str] = os.environ
    ) -> None:
        self.command, self.root, self.environ = command, root, environ
        self.known = flag_table(command)
        flags = parse_flags(argv, self.known)
        main = flags.get("config", [environ.get("K3S_CONFIG_FILE", f"{root}/etc/rancher/k3s/config.yaml")])[-1]
        self.given = {**read_config(Path(main), self.known), **flags}
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

    @property
    def data(self) -> Path:
        return Path(self.root + self.one("data-dir", "/var/lib/rancher/k3s"))

    def secret(self, name: str) -> str:
        """A token given as it is or in a file; "" where there is neither."""
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


# Sources of the two sets: the kubelet's own check of --node-labels (k8s.io/kubelet/pkg/apis, well_known_labels.go).
LABELS_ALLOWED = {
    "kubernetes.io/hostname",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "kubernetes.io/os",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "kubernetes.io/arch",
    "beta.kubernetes.io/instance-type",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
    "node.kubernetes.io/instance-type",
}
LABEL_DOMAINS_ALLOWED = ("kubelet.kubernetes.io", "node.kubernetes.io")


def label_is_refused(key: str) -> bool:
    """Whether the kubelet refuses to set this label on its own node."""
    domain = key.rpartition("/")[0]
    reserved = any(domain == d or domain.endswith("." + d) for d in ("kubernetes.io", "k8s.io"))
    allowed = any(domain == d or domain.endswith("." + d) for d in LABEL_DOMAINS_ALLOWED)
    return reserved and not allowed and key not in LABELS_ALLOWED


def parse_labels(entries: Iterable[str]) -> dict[str, str]:
    labels = dict(entry.partition("=")[::2] for entry in entries)
    bad = sorted(key for key in labels if label_is_refused(key))
    if bad:
        raise Fatal(
            f"kubelet exited: failed to validate kubelet flags: unknown 'kubernetes.io' or 'k8s.io' labels specified "
            f"with --node-labels: {bad}\n--node-labels in the 'kubernetes.io' namespace must begin with an allowed "
            f"prefix ({', '.join(LABEL_DOMAINS_ALLOWED)}) or be in the specifically allowed set "
            f"({', '.join(sorted(LABELS_ALLOWED))})"
        )
    for key, value in labels.items():
        if not re.fullmatch(r"([\w.-]+/)?\w([\w.-]*\w)?", key) or not re.fullmatch(r"(\w([\w.-]*\w)?)?", value):
            raise Fatal(f"kubelet exited: invalid node label {key}={value}")
    return labels


def parse_taints(entries: Iterable[str]) -> list[Obj]:
    taints = []
    for entry in entries:
        found = re.fullmatch(r"([^=:]+)(?:=([^:]*))?:(NoSchedule|PreferNoSchedule|NoExecute)", entry)
        if not found:
            raise Fatal(f"kubelet exited: invalid taint spec: {entry}")
        taint = {"key": found[1], "effect": found[3]}
        taints.append({**taint, "value": found[2]} if found[2] else taint)
    return taints


# --- tokens, addresses, names ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Token:
    """A join token: the CA's hash where it was the full form, and the password."""

    ca_hash: str
    password: str


def parse_token(text: str) -> Token:
    """Raises ValueError in k3s's words."""
    if not text.startswith("K10"):
        return Token("", text.partition(":")[2] or text)
    ca_hash, separator, credentials = text[3:].partition("::")
    if not separator:
        ca_hash, credentials = "", text[3:]
    if len(ca_hash) != 64:
        raise ValueError("invalid token CA hash length")
    password = credentials.partition(":")[2]
    if not password:
        raise ValueError("invalid token format")
    return Token(ca_hash, password)


def default_address() -> str:
    """The address of the interface with the default route; like k3s, no such route is fatal."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.1", 9))  # asks the routing table; a UDP connect sends nothing
        except OSError as error:
            raise Fatal('no default routes found in "/proc/net/route" or "/proc/net/ipv6_route"') from error
        return str(sock.getsockname()[0])


def read_or_make(path: Path, make: Callable[[], str]) -> str:
    if not path.exists():
        write_file(path, make() + "\n")
    return path.read_text().strip()


class Machine:
    """Who this machine is in the cluster."""

    def __init__(self, options: Options) -> None:
        etc = Path(options.root + "/etc/rancher")
        name = options.one("node-name", socket.gethostname()).lower()
        if options.on("with-node-id"):
            name += "-" + read_or_make(etc / "node/id", lambda: secrets.token_hex(4))
        if not re.fullmatch(NODE_NAME, name):
            raise Fatal(f"invalid node name {name!r}")
        self.name = name
        self.addresses = options.many("node-ip") or [default_address()]
        self.external = options.many("node-external-ip")
        self.labels = parse_labels(options.many("node-label"))
        self.taints = parse_taints(options.many("node-taint"))
        self.password = read_or_make(etc / "node/password", lambda: secrets.token_hex(16))


def check_families(pods: list[str], services: list[str], node_ips: list[str]) -> None:
    """Refuse networks and addresses whose families do not go together, in k3s's words (pkg/agent/run.go, run)."""

    def families(texts: list[str]) -> set[int]:
        return {ipaddress.ip_interface(text).version for text in texts}

    rest = "must share the same IP version (IPv4, IPv6 or dual-stack)"
    shown = f"Error: cluster-cidr: [{' '.join(pods)}] and"
    if families(pods) != families(services):
        raise Fatal(f"{shown} service-cidr: [{' '.join(services)}], {rest}")
    if not families(pods) <= families(node_ips):
        raise Fatal(f"{shown} node-ip: [{' '.join(node_ips)}], {rest}")


# --- certificates ------------------------------------------------------------------------------------------------


class Pki:
    """Certificates by the openssl command; P-256 keys, since they cost least."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def path(self, name: str) -> Path:
        return self.folder / name

    def _openssl(self, extensions: list[str], arguments: list[str], data: bytes = b"") -> bytes:
        config = "\n".join(["[req]", "distinguished_name=dn", "x509_extensions=ext", "[dn]", "[ext]", *extensions])
        with tempfile.NamedTemporaryFile("w", dir=self.folder, suffix=".cnf") as file:
            file.write(config + "\n")
            file.flush()
            command = ["openssl", "req", "-config", file.name, *arguments]
            done = subprocess.run(command, input=data, capture_output=True, check=False)
        if done.returncode:
            raise Fatal(f"openssl failed: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout

    def make_ca(self, name: str, common_name: str) -> None:
        """A CA of ten years, unless it is there."""
        if self.path(f"{name}.crt").exists():
            return
        extensions = [
            "basicConstraints=critical,CA:TRUE",
            "keyUsage=critical,digitalSignature,keyEncipherment,keyCertSign",
            "subjectKeyIdentifier=hash",
        ]
        self._new(name, extensions, f"/CN={common_name}", 3650, [])

    def make_key(self, name: str) -> None:
        """A key alone, unless it is there."""
        if not self.path(f"{name}.key").exists():
            partial = self.path(f"{name}.key.new")
            command = ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(partial)]
            done = subprocess.run(command, capture_output=True, check=False)
            if done.returncode:
                raise Fatal(f"openssl failed: {done.stderr.decode(errors='replace').strip()}")
            partial.chmod(0o600)
            partial.replace(self.path(f"{name}.key"))

    def make_leaf(self, name: str, ca: str, subject: str, usage: str, sans: Iterable[str] = ()) -> None:
        """A certificate of a year, unless it is there: a SAN added later needs the file gone, as in k3s."""
        if not self.path(f"{name}.crt").exists():
            self._new(name, self._leaf(usage, sans), subject, 365, self._signed_by(ca))

    def sign(self, request_der: bytes, ca: str, subject: str, usage: str) -> bytes:
        """Sign the key of a request under a subject of our own choice; PEM."""
        arguments = ["-x509", "-inform", "DER", "-in", "/dev/stdin", "-subj", subject, "-days", "365"]
        return self._openssl(self._leaf(usage, ()), [*arguments, *self._signed_by(ca)], request_der)

    def request(self, key: Path, subject: str) -> bytes:
        """A new key, and the request for its certificate; DER."""
        arguments = ["-new", *self._new_key(key), "-subj", subject, "-outform", "DER"]
        return self._openssl([], arguments)

    def _new(self, name: str, extensions: list[str], subject: str, days: int, signer: list[str]) -> None:
        key, partial = self.path(f"{name}.key"), self.path(f"{name}.crt.new")
        key.parent.mkdir(exist_ok=True, mode=0o700)
        arguments = ["-x509", *self._new_key(key), "-subj", subject, "-days", str(days), "-out", str(partial)]
        self._openssl(extensions, [*arguments, *signer])
        key.chmod(0o600)
        partial.replace(self.path(f"{name}.crt"))

    @staticmethod
    def _new_key(path: Path) -> list[str]:
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(path)]

    def _signed_by(self, ca: str) -> list[str]:
        return ["-CA", str(self.path(f"{ca}.crt")), "-CAkey", str(self.path(f"{ca}.key"))]

    @staticmethod
    def _leaf(usage: str, sans: Iterable[str]) -> list[str]:
        lines = [
            "basicConstraints=critical,CA:FALSE",
            "keyUsage=critical,digitalSignature,keyEncipherment",
            f"extendedKeyUsage={usage}",
            "subjectKeyIdentifier=hash",
            "authorityKeyIdentifier=keyid",
        ]
        names = ",".join(f"{'IP' if is_address(name) else 'DNS'}:{name}" for name in dict.fromkeys(sans))
        return [*lines, f"subjectAltName={names}"] if names else lines


def is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def server_context(pki: Pki, certificates: ssl.VerifyMode, ca: str = "client-ca") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki.path("serving-kube-apiserver.crt"), pki.path("serving-kube-apiserver.key"))
    context.load_verify_locations(pki.path(f"{ca}.crt"))
    context.verify_mode = certificates
    context.num_tickets = 0  # a resumed session would carry no client certificate
    return context


def client_context(ca_pem: str, pair: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    """Trust this CA alone; with "" trust anybody, which is how `/cacerts` is fetched."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca_pem:
        context.load_verify_locations(cadata=ca_pem)
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if pair:
        context.load_cert_chain(*pair)
    return context


# --- talking to others -------------------------------------------------------------------------------------------


def in_go_words(error: OSError | http.client.HTTPException, host: str, port: int) -> str:
    """What k3s's journal says of this error, since people and programs read it there."""
    if isinstance(error, ConnectionRefusedError):
        return f"dial tcp {host}:{port}: connect: connection refused"
    if isinstance(error, TimeoutError):
        return f"dial tcp {host}:{port}: i/o timeout"
    if isinstance(error, socket.gaierror):
        return f"dial tcp: lookup {host}: no such host"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"tls: failed to verify certificate: x509: {error.verify_message}"
    return f"dial tcp {host}:{port}: {getattr(error, 'strerror', None) or error}"


class Link:
    """One kept-alive HTTPS connection; used by one thread at a time."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext, timeout_s: float) -> None:
        self.host, self.port = host, port
        self.context, self.timeout_s = context, timeout_s
        self._connection: http.client.HTTPSConnection | None = None
        self._lock = threading.Lock()
        LIFE.opened(self)

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Raises OSError or HTTPException when there is no answer."""
        with self._lock:
            used_before = self._connection is not None
            try:
                return self._once(method, path, body, headers or {})
            except (ConnectionError, ssl.SSLEOFError, http.client.HTTPException):
                if not used_before:
                    raise
                return self._once(method, path, body, headers or {})  # the other side had closed it meanwhile

    def _once(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        if LIFE.ended():
            raise ConnectionAbortedError
        if self._connection is None:
            self._connection = http.client.HTTPSConnection(
                self.host, self.port, context=self.context, timeout=self.timeout_s
            )
        try:
            self._connection.request(method, path, body, headers)
            answer = self._connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            self._connection = None
            raise

    def close(self) -> None:
        with self._lock:
            if self._connection:
                self._connection.close()
                self._connection = None


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def split_url(url: str) -> tuple[str, int]:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        raise Fatal(f"Invalid server url, failed to parse: {url}")
    return parts.hostname, parts.port or 443


def fetch_ca(host: str, port: int, token: Token) -> str:
    """The cluster's CA bundle, checked against the token. Raises ValueError in k3s's words."""
    link = Link(host, port, client_context(""), 10)
    try:
        status, raw = link.request("GET", "/cacerts")
    except (OSError, http.client.HTTPException) as error:
        words = in_go_words(error, host, port)
        raise ValueError(f'failed to get CA certs: Get "https://{host}:{port}/cacerts": {words}') from error
    finally:
        link.close()
    if status != 200:
        raise ValueError(f"failed to get CA certs: https://{host}:{port}/cacerts: {status}")
    check_ca(raw, token, log)
    return raw.decode()


def check_ca(raw: bytes, token: Token, say: Callable[[str, str], None]) -> None:
    """Hold the body of /cacerts to the token. Raises ValueError in k3s's words."""
    found = hashlib.sha256(raw).hexdigest()
    if not token.ca_hash:
        say(
            "warning",
            "Cluster CA certificate is not trusted by the host CA bundle, but the token does not include a CA hash. "
            "Use the full token from the server's node-token file to enable Cluster CA validation.",
        )
    elif token.ca_hash != found:
        raise ValueError(f"token CA hash does not match the Cluster CA certificate hash: {token.ca_hash} != {found}")


# --- the store ---------------------------------------------------------------------------------------------------


class Store:
    """Objects by (plural, namespace, name): in memory, on disk in SQLite, with a history for watches.

    Objects in it are never changed in place; `put` is the only way in.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.execute("CREATE TABLE IF NOT EXISTS object(plural, ns, name, value, PRIMARY KEY(plural, ns, name))")
        self._db.execute("CREATE TABLE IF NOT EXISTS meta(name PRIMARY KEY, value)")
        rows = self._db.execute("SELECT plural, ns, name, value FROM object")
        self.objects: dict[Key, Obj] = {(p, ns, n): json.loads(value) for p, ns, n, value in rows}
        meta = dict(self._db.execute("SELECT name, value FROM meta"))
        self.rev = int(meta.get("rev", 0))
        self.term = int(meta.get("term", 0))
        self.changed = threading.Condition()
        self.history: deque[tuple[int, str, Obj | None, Obj | None]] = deque(maxlen=2000)
        self.floor = self.rev  # watches cannot begin before this revision
        self.touched: dict[str, int] = {}  # the last revision at which an object of this kind changed
        LIFE.opened(self)

    def put(self, changes: list[Change], rev: int, term: int) -> None:
        """Apply changes that were agreed on."""
        with self.changed:
            self._db.execute("BEGIN")
            for plural, ns, name, new, change_rev in changes:
                old = self.objects.pop((plural, ns, name), None)
                if new is None:
                    self._db.execute("DELETE FROM object WHERE plural=? AND ns=? AND name=?", (plural, ns, name))
                else:
                    self.objects[plural, ns, name] = new
                    row = (plural, ns, name, json.dumps(new))
                    self._db.execute("INSERT OR REPLACE INTO object VALUES (?,?,?,?)", row)
                if len(self.history) == self.history.maxlen:
                    self.floor = self.history[0][0]
                self.history.append((change_rev, plural, old, new))
                self.touched[plural] = change_rev
            self.rev, self.term = rev, term
            self._db.execute("INSERT OR REPLACE INTO meta VALUES ('rev', ?), ('term', ?)", (rev, term))
            self._db.execute("COMMIT")
            self.changed.notify_all()

    def note(self, name: str, value: str | None = None) -> str:
        """Read a note about the data, or write it; notes are not replicated."""
        with self.changed:
            if value is not None:
                self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))
            return str(dict(self._db.execute("SELECT name, value FROM meta")).get(name, ""))

    def close(self) -> None:
        with self.changed:
            self._db.close()

    def get(self, plural: str, ns: str, name: str) -> Obj | None:
        return self.objects.get((plural, ns, name))

    def all(self, plural: str, ns: str = "") -> list[Obj]:
        with self.changed:
            items = [(k, o) for k, o in self.objects.items() if k[0] == plural and ns in ("", k[1])]
        return [obj for _, obj in sorted(items, key=lambda item: item[0])]

    def snapshot(self) -> Obj:
        with self.changed:
            rows = [[*key, obj] for key, obj in self.objects.items()]
            return {"rev": self.rev, "term": self.term, "objects": rows}

    def load(self, snapshot: Obj) -> None:
        """Become equal to a snapshot; watches are told the differences."""
        wanted: dict[Key, Obj] = {(p, ns, n): obj for p, ns, n, obj in snapshot["objects"]}
        rev = int(snapshot["rev"])
        gone: list[Change] = [(*key, None, rev) for key in self.objects if key not in wanted]
        new: list[Change] = [(*key, obj, rev) for key, obj in wanted.items() if self.objects.get(key) != obj]
        self.put(gone + new, rev, int(snapshot["term"]))


def number(edits: list[Edit], rev: int) -> list[Change]:
    """Give each edit the next revision, also inside the object."""
    changes: list[Change] = []
    for at, (plural, ns, name, obj) in enumerate(edits, rev + 1):
        if obj is not None and "metadata" in obj:
            obj["metadata"]["resourceVersion"] = str(at)
        changes.append((plural, ns, name, obj, at))
    return changes


class Solo:
    """The datastore of one server alone: SQLite, always the leader."""

    kind = "sqlite"

    def __init__(self, store: Store) -> None:
        self.store = store
        self.lock = threading.RLock()
        self.is_leader = True

    def commit(self, edits: list[Edit]) -> None:
        self.store.put(number(edits, self.store.rev), self.store.rev + len(edits), self.store.term)

    def forward(self, op: Obj) -> Reply:
        raise AssertionError(f"a lone server leads: {op}")

    def members(self) -> list[Obj]:
        return []

    def member_add(self, body: Obj) -> Reply:
        raise ApiError(400, "BadRequest", f"{body.get('name')} cannot join: this server's datastore is not etcd")

    def member_removal(self, machine: str) -> list[Edit]:
        return []

    def has_living(self, machine: str) -> bool:
        return False


class Etcd:
    """The datastore of several servers. A stand-in for embedded etcd, not a Raft.

    Each member holds everything. One leads: it takes the writes and has a majority confirm each of them before it
    counts. The leader is whoever already leads, else the living voter with the most recent data, lowest id first.
    """

    kind = "etcd"

    def __init__(self, *, store: Store, member: str, pki: Pki, give_up_s: float) -> None:
        self.store, self.id, self.give_up_s = store, member, give_up_s
        self.lock = threading.RLock()
        self.leader = ""
        self.had_quorum = False
        self.synced = False
        self.serving = False
        self.removed = False
        self.on_removed: Callable[[], None] = lambda: None
        pair = (pki.path("peer.crt"), pki.path("peer.key"))
        self._context = client_context(pki.path("server-ca.crt").read_text(), pair)
        self._links: dict[str, Link] = {}
        self._seen: dict[str, tuple[float, Obj]] = {}
        self._pollers: set[str] = set()
        self._has: dict[str, tuple[int, int]] = {}  # the revision and term that each peer is known to have
        self._quorum_at = time.monotonic()
        self._learner_since: dict[str, float] = {}

    @property
    def is_leader(self) -> bool:
        return self.leader == self.id

    def members(self) -> list[Obj]:
        return self.store.all("_members")

    def start(self) -> None:
        spawn(self._run)

    def has_living(self, machine: str) -> bool:
        """Whether a member of this machine answers now."""
        return any(m["machine"] == machine and self._answers(m["id"]) for m in self.members())

    def status(self) -> Obj:
        return {"id": self.id, "term": self.store.term, "rev": self.store.rev, "leads": self.is_leader}

    # the leader's side

    def commit(self, edits: list[Edit]) -> None:
        """Push to the living, and apply here once a majority has it. The caller holds the lock."""
        store = self.store
        changes = number(edits, store.rev)
        body = {"term": store.term, "before": store.rev, "rev": store.rev + len(changes), "changes": changes}
        voters = {m["id"] for m in self.members() if not m["learner"]}
        confirmed = {self.id}
        for peer in self.living() - {self.id}:
            if self._post(peer, "/append", body) == 200:
                confirmed.add(peer)
                self._has[peer] = (store.rev + len(changes), store.term)
            else:
                self._has.pop(peer, None)
        if len(confirmed & voters) * 2 <= len(voters):
            raise ApiError(500, "InternalError", "etcdserver: request timed out")
        store.put(changes, store.rev + len(changes), store.term)
        if not store.get("_members", "", self.id):
            self.leader = ""  # it has just removed itself

    def member_add(self, body: Obj) -> Reply:
        """Add a learner; refused in etcd's words."""
        members = self.members()
        if any(m["id"] == body["id"] for m in members):
            return 200, {"members": members}
        if any(m["learner"] for m in members):
            raise ApiError(500, "InternalError", LEARNERS)
        if not all(self._answers(m["id"]) for m in members):
            raise ApiError(500, "InternalError", "etcdserver: unhealthy cluster")
        self.commit([("_members", "", body["id"], {**body, "learner": True})])
        return 200, {"members": self.members()}

    def member_removal(self, machine: str) -> list[Edit]:
        """What takes a machine's member out; nothing where it is the only voter."""
        members = self.members()
        others = [m for m in members if m["machine"] != machine and not m["learner"]]
        return [("_members", "", m["id"], None) for m in members if m["machine"] == machine] if others else []

    def _lead(self) -> None:
        """Bring those who lag up to date, and make voters of learners."""
        for member in self.members():
            peer = member["id"]
            at, status = self._seen.get(peer, (0.0, {}))
            living = time.monotonic() - at < PEER_DEAD_AFTER_S
            with self.lock:
                now = (self.store.rev, self.store.term)
                current = peer == self.id or now in (self._has.get(peer), (status.get("rev"), status.get("term")))
                if living and not current and self._post(peer, "/snapshot", self.store.snapshot()) == 200:
                    self._has[peer], current = now, True
            if member["learner"]:
                self._promote_or_evict(member, current=living and current)

    def _promote_or_evict(self, member: Obj, *, current: bool) -> None:
        age = time.monotonic() - self._learner_since.setdefault(member["id"], time.monotonic())
        if current and age > LEARNER_S:
            value = {**member, "learner": False}
            log("info", f"Promoted learner member {member['name']} of the etcd cluster")
        elif age > LEARNER_EVICT_S:
            value = None
            log("warning", f"Removed learner member {member['name']} of the etcd cluster: it made no progress")
        else:
            return
        with self.lock:
            self.commit([("_members", "", member["id"], value)])
        self._learner_since.pop(member["id"], None)

    # the others' side

    def append(self, body: Obj) -> int:
        with self.lock:
            if body["term"] < self.store.term or body["before"] != self.store.rev:
                return 409
            changes: list[Change] = [(p, ns, n, obj, rev) for p, ns, n, obj, rev in body["changes"]]
            self.store.put(changes, body["rev"], body["term"])
            return 200

    def take_snapshot(self, body: Obj) -> int:
        with self.lock:
            if body["term"] < self.store.term:
                return 409
            self.store.load(body)
            self.synced = True
            return 200

    def forward(self, op: Obj) -> Reply:
        """Have the leader do a write."""
        link = self._link(self.leader) if self.leader else None
        if link is None:
            raise ApiError(500, "InternalError", "etcdserver: no leader")
        try:
            status, raw = link.request("POST", "/write", json.dumps(op).encode())
        except (OSError, http.client.HTTPException) as error:
            raise ApiError(500, "InternalError", "etcdserver: request timed out") from error
        return status, json.loads(raw)

    # both

    def _link(self, peer: str) -> Link | None:
        member = self.store.get("_members", "", peer)
        if peer not in self._links and member:
            self._links[peer] = Link(*split_url(member["peer"]), self._context, 2)
        return self._links.get(peer)

    def _post(self, peer: str, path: str, body: Obj) -> int:
        link = self._link(peer)
        if link is None:
            return 0
        try:
            return link.request("POST", path, json.dumps(body).encode())[0]
        except (OSError, http.client.HTTPException):
            return 0

    def _answers(self, peer: str) -> bool:
        link = self._link(peer)
        if peer == self.id or link is None:
            return peer == self.id
        try:
            return link.request("GET", "/status", None, {"X-Member": self.id})[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def _poll(self, peer: str, url: str) -> None:
        """Ask one peer every second how it is, for as long as it is a member."""
        link = Link(*split_url(url), self._context, 1)
        while self.store.get("_members", "", peer):
            try:
                status, raw = link.request("GET", "/status", None, {"X-Member": self.id})
                if status == 410:
                    self._leave()
                self._seen[peer] = (time.monotonic(), json.loads(raw))
            except ConnectionRefusedError:
                self._seen.pop(peer, None)  # nobody is there: no need to wait out the silence
            except (OSError, http.client.HTTPException) as error:
                if peer in self.living():
                    log("warning", f"etcd peer {peer} did not answer: {error}")
            LIFE.pause(PEER_POLL_S)
        self._pollers.discard(peer)
        self._seen.pop(peer, None)

    def living(self) -> set[str]:
        """The members that answered lately, by id."""
        now = time.monotonic()
        return {self.id} | {peer for peer, (at, _) in self._seen.items() if now - at < PEER_DEAD_AFTER_S}

    def _run(self) -> None:
        while True:
            try:
                self._tick()
            except ApiError as error:
                log("warning", error.message)
            LIFE.pause(0.25)

    def _tick(self) -> None:
        members = self.members()
        for member in members:
            if member["id"] not in self._pollers and member["id"] != self.id:
                self._pollers.add(member["id"])
                spawn(self._poll, member["id"], member["peer"])
        if self.had_quorum and not any(m["id"] == self.id for m in members):
            self._leave()
        if self.removed:
            self.leader = next((peer for peer, (_, status) in list(self._seen.items()) if status["leads"]), "")
        if self.removed or not any(m["id"] == self.id for m in members):
            return
        voters = {m["id"] for m in members if not m["learner"]}
        living = self.living() & voters
        if len(living) * 2 > len(voters):
            self._quorum_at, self.had_quorum = time.monotonic(), True
            self._elect(living)
        else:
            self.leader = ""
            if self.had_quorum and time.monotonic() - self._quorum_at > self.give_up_s:
                die("leader election lost for k3s-etcd: etcdserver: no leader")
        if self.is_leader:
            self._lead()

    def _leave(self) -> None:
        """It is no member any more. The process lives on, and has the others do what it is asked."""
        if not self.removed:
            self.removed = True
            self.on_removed()

    def _elect(self, living: set[str]) -> None:
        others = {peer: self._seen[peer][1] for peer in living if peer != self.id and peer in self._seen}
        claims = {peer: status for peer, status in others.items() if status["leads"]}
        if self.is_leader:
            rival = [s for p, s in claims.items() if (s["term"], self.id) > (self.store.term, p)]
            self.leader = "" if rival else self.id
            return
        if claims:
            self.leader = max(claims, key=lambda peer: int(claims[peer]["term"]))
            ahead = claims[self.leader]
            self.synced = self.synced or (ahead["rev"], ahead["term"]) == (self.store.rev, self.store.term)
            return
        self.leader = ""
        everybody = {**others, self.id: self.status()}
        first = min(everybody, key=lambda peer: (-everybody[peer]["term"], -everybody[peer]["rev"], peer))
        if first == self.id and self.id in living:
            with self.lock:
                term = max(int(s["term"]) for s in everybody.values()) + 1
                self.store.put([], self.store.rev, term)
                self.leader, self.synced = self.id, True
            log("info", f"{self.id} became leader at term {term}")


Cluster = Solo | Etcd


# --- the API: what there is --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Resource:
    """One kind of object that is served."""

    plural: str
    kind: str
    group_version: str
    namespaced: bool
    short: tuple[str, ...] = ()

    @property
    def group(self) -> str:
        return self.group_version.rpartition("/")[0]

    @property
    def singular(self) -> str:
        return self.kind.lower()


RESOURCES = {
    resource.plural: resource
    for resource in (
        Resource("configmaps", "ConfigMap", "v1", True, ("cm",)),
        Resource("endpoints", "Endpoints", "v1", True, ("ep",)),
        Resource("events", "Event", "v1", True, ("ev",)),
        Resource("namespaces", "Namespace", "v1", False, ("ns",)),
        Resource("nodes", "Node", "v1", False, ("no",)),
        Resource("pods", "Pod", "v1", True, ("po",)),
        Resource("secrets", "Secret", "v1", True),
        Resource("serviceaccounts", "ServiceAccount", "v1", True, ("sa",)),
        Resource("services", "Service", "v1", True, ("svc",)),
        Resource("daemonsets", "DaemonSet", "apps/v1", True, ("ds",)),
        Resource("deployments", "Deployment", "apps/v1", True, ("deploy",)),
        Resource("replicasets", "ReplicaSet", "apps/v1", True, ("rs",)),
        Resource("statefulsets", "StatefulSet", "apps/v1", True, ("sts",)),
        Resource("leases", "Lease", "coordination.k8s.io/v1", True),
        Resource("poddisruptionbudgets", "PodDisruptionBudget", "policy/v1", True, ("pdb",)),
        Resource("etcdsnapshotfiles", "ETCDSnapshotFile", "k3s.cattle.io/v1", False),
    )
}
VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
HAS_STATUS = {"namespaces", "nodes", "pods", "services", "daemonsets", "deployments", "replicasets", "statefulsets",
              "poddisruptionbudgets"}  # fmt: skip
# Their generation counts the changes of their spec.
HAS_GENERATION = {"daemonsets", "deployments", "replicasets", "statefulsets", "poddisruptionbudgets"}


class ApiError(Exception):
    """An answer that is not a success, in Kubernetes' terms."""

    def __init__(self, code: int, reason: str, message: str, details: Obj | None = None) -> None:
        super().__init__(message)
        self.code, self.reason, self.message, self.details = code, reason, message, details

    def status(self) -> Obj:
        return status_object("Failure", self.code, self.reason, self.message, self.details)


def status_object(status: str, code: int, reason: str = "", message: str = "", details: Obj | None = None) -> Obj:
    result: Obj = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": status}
    result |= {key: value for key, value in (("message", message), ("reason", reason), ("details", details)) if value}
    return result if status == "Success" else {**result, "code": code}


def not_found(resource: Resource, name: str) -> ApiError:
    plural = resource.plural + (f".{resource.group}" if resource.group else "")
    return ApiError(404, "NotFound", f'{plural} "{name}" not found')


def discovery(parts: list[str]) -> Obj:
    """/api, /apis and the lists below them; `parts` is the path split at its slashes."""
    groups = sorted({r.group_version for r in RESOURCES.values() if r.group})
    if parts == ["api"]:
        return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
    if parts == ["apis"]:
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [api_group(g) for g in groups]}
    group_version = "/".join(parts[1:])
    if parts[0] == "apis" and len(parts) == 2 and any(g.startswith(f"{parts[1]}/") for g in groups):
        return {"kind": "APIGroup", "apiVersion": "v1", **api_group(f"{parts[1]}/v1")}
    rows = []
    for resource in RESOURCES.values():
        if resource.group_version == group_version:
            row = {"name": resource.plural, "singularName": resource.singular, "namespaced": resource.namespaced,
                   "kind": resource.kind, "verbs": VERBS, "shortNames": list(resource.short)}  # fmt: skip
            rows.append(row)
            if resource.plural in HAS_STATUS:
                rows.append(
                    {
                        "name": f"{resource.plural}/status",
                        "singularName": "",
                        "namespaced": resource.namespaced,
                        "kind": resource.kind,
                        "verbs": ["get", "patch", "update"],
                    }
                )
    if group_version == "v1":
        rows.append({"name": "pods/eviction", "singularName": "", "namespaced": True, "group": "policy",
                     "version": "v1", "kind": "Eviction", "verbs": ["create"]})  # fmt: skip
    if not rows:
        raise ApiError(404, "NotFound", "the server could not find the requested resource")
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": rows}


def api_group(group_version: str) -> Obj:
    version = {"groupVersion": group_version, "version": group_version.rpartition("/")[2]}
    return {"name": group_version.rpartition("/")[0], "versions": [version], "preferredVersion": version}


@dataclass(frozen=True)
class Target:
    """What a path below /api or /apis names."""

    resource: Resource
    ns: str
    name: str
    sub: str


def parse_target(parts: list[str]) -> Target | None:
    """None where the path is one of discovery's."""
    skip = 2 if parts[0] == "api" else 3
    group_version, rest = "/".join(parts[1:skip]), parts[skip:]
    if not rest:
        return None
    ns = ""
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] in RESOURCES:
        ns, rest = rest[1], rest[2:]
    resource = RESOURCES.get(rest[0])
    if resource is None or resource.group_version != group_version or len(rest) > 3:
        raise ApiError(404, "NotFound", "the server could not find the requested resource")
    return Target(resource, ns, rest[1] if len(rest) > 1 else "", rest[2] if len(rest) > 2 else "")


# --- the API: selecting and patching -----------------------------------------------------------------------------


def label_matches(labels: dict[str, str], selector: str) -> bool:
    for part in re.findall(r"(?:[^,(]|\([^)]*\))+", selector):
        text = part.strip()
        among = re.fullmatch(r"(\S+)\s+(in|notin)\s+\(([^)]*)\)", text)
        if among:
            good = (labels.get(among[1]) in [v.strip() for v in among[3].split(",")]) == (among[2] == "in")
        elif "!=" in text:
            key, _, value = text.partition("!=")
            good = labels.get(key.strip()) != value.strip()
        elif "=" in text:
            key, _, value = text.partition("=")
            good = labels.get(key.strip()) == value.lstrip("=").strip()
        else:
            good = (text.lstrip("!") in labels) != text.startswith("!")
        if not good:
            return False
    return True


def field_matches(obj: Obj, selector: str) -> bool:
    for part in filter(None, selector.split(",")):
        found = re.fullmatch(r"([\w.]+)(==|=|!=)(.*)", part)
        if not found:
            raise ApiError(400, "BadRequest", f"invalid field selector {part!r}")
        value: Any = obj
        for step in found[1].split("."):
            value = value.get(step, "") if isinstance(value, dict) else ""
        if (str(value) == found[3]) != (found[2] != "!="):
            return False
    return True


def selected(obj: Obj | None, query: dict[str, str]) -> bool:
    return (
        obj is not None
        and label_matches(obj["metadata"].get("labels") or {}, query.get("labelSelector", ""))
        and field_matches(obj, query.get("fieldSelector", ""))
    )


# Lists that a strategic merge patch merges by this key; all others it replaces (a Node's taints among them).
MERGE_KEYS = {
    "conditions": "type", "addresses": "type", "containers": "name", "initContainers": "name", "volumes": "name",
    "env": "name", "volumeMounts": "mountPath", "ownerReferences": "uid", "imagePullSecrets": "name",
}  # fmt: skip


def merge(target: Json, patch: Json, *, strategic: bool) -> Json:
    """RFC 7386, or Kubernetes' strategic merge where asked for."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    if strategic and patch.get("$patch") == "replace":
        return {key: value for key, value in patch.items() if key != "$patch"}
    for key, value in patch.items():
        field = key.partition("/")[2]
        if strategic and key.startswith("$deleteFromPrimitiveList/"):
            result[field] = [item for item in result.get(field) or [] if item not in value]
        elif strategic and key.startswith("$"):
            continue  # $setElementOrder and $retainKeys only order and confirm
        elif value is None:
            result.pop(key, None)
        elif strategic and isinstance(value, list):
            result[key] = merge_list(key, result.get(key) or [], value)
        else:
            result[key] = merge(result.get(key), value, strategic=strategic)
    return result


def merge_list(field: str, old: list[Any], patch: list[Any]) -> list[Any]:
    if field == "finalizers":
        return old + [item for item in patch if item not in old]
    key = MERGE_KEYS.get(field)
    if key is None:
        return patch
    result = {item[key]: item for item in old}
    for item in patch:
        if item.get("$patch") == "delete":
            result.pop(item[key], None)
        else:
            result[item[key]] = merge(result.get(item[key]), item, strategic=True)
    return list(result.values())


def json_patch(obj: Obj, operations: list[Obj]) -> Obj:
    """RFC 6902 without move and copy."""
    root: Any = {"": copy.deepcopy(obj)}
    for operation in operations:
        steps = [s.replace("~1", "/").replace("~0", "~") for s in operation["path"].split("/")]
        parent = root
        try:
            for step in steps[:-1]:
                parent = parent[int(step) if isinstance(parent, list) else step]
            json_patch_one(parent, steps[-1], operation)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise ApiError(422, "Invalid", f"the server rejected our request: {operation}") from error
    result: Obj = root[""]
    return result


def json_patch_one(parent: Json, last: str, operation: Obj) -> None:
    op, value = operation["op"], operation.get("value")
    if op not in ("add", "remove", "replace", "test"):
        raise ValueError(op)
    if isinstance(parent, list) and op == "add":
        parent.insert(len(parent) if last == "-" else int(last), value)
        return
    index: Any = int(last) if isinstance(parent, list) else last
    if op == "remove":
        del parent[index]
    elif op == "test" and parent[index] != value:
        raise ValueError(last)
    elif op == "add" or (op == "replace" and parent[index] is not None):
        parent[index] = value


def apply_patch(old: Obj, patch: Json, content_type: str) -> Obj:
    kind = content_type.partition(";")[0].strip()
    if kind == "application/json-patch+json":
        return json_patch(old, patch)
    if kind == "application/merge-patch+json":
        merged = merge(old, patch, strategic=False)
    elif kind in ("application/strategic-merge-patch+json", "application/apply-patch+yaml"):
        merged = merge(old, patch, strategic=True)
    else:
        raise ApiError(415, "UnsupportedMediaType", f"the body of the request was in an unknown format: {kind}")
    result: Obj = merged
    return result


# --- the API: tables ---------------------------------------------------------------------------------------------


def age(obj: Obj) -> str:
    """As kubectl prints ages."""
    made = obj["metadata"].get("creationTimestamp")
    if not made:
        return "<unknown>"
    s = max(0, int(time.time()) - calendar.timegm(time.strptime(made, "%Y-%m-%dT%H:%M:%SZ")))
    if s < 120:
        return f"{s}s"
    if s < 600:
        return f"{s // 60}m{s % 60}s" if s % 60 else f"{s // 60}m"
    if s < 3 * 3600:
        return f"{s // 60}m"
    if s < 8 * 3600:
        return f"{s // 3600}h{s % 3600 // 60}m" if s % 3600 >= 60 else f"{s // 3600}h"
    return f"{s // 3600}h" if s < 48 * 3600 else f"{s // 86400}d"


def condition(node: Obj, kind: str) -> Obj:
    found: list[Obj] = [c for c in node.get("status", {}).get("conditions", []) if c["type"] == kind]
    return found[0] if found else {}


def node_cells(node: Obj) -> list[Any]:
    ready = condition(node, "Ready").get("status")
    state = "Ready" if ready == "True" else "NotReady" if ready else "Unknown"
    if node.get("spec", {}).get("unschedulable"):
        state += ",SchedulingDisabled"
    prefix = "node-role.kubernetes.io/"
    roles = sorted(k.removeprefix(prefix) for k in node["metadata"].get("labels", {}) if k.startswith(prefix))
    info = node.get("status", {}).get("nodeInfo", {})
    addresses = {a["type"]: a["address"] for a in reversed(node.get("status", {}).get("addresses", []))}
    return [
        node["metadata"]["name"], state, ",".join(roles) or "<none>", age(node), info.get("kubeletVersion", ""),
        addresses.get("InternalIP", "<none>"), addresses.get("ExternalIP", "<none>"),
        info.get("osImage", "<unknown>"), info.get("kernelVersion", "<unknown>"),
        info.get("containerRuntimeVersion", "<unknown>"),
    ]  # fmt: skip


def pod_cells(pod: Obj) -> list[Any]:
    statuses = pod.get("status", {}).get("containerStatuses", [])
    ready = f"{sum(1 for s in statuses if s.get('ready'))}/{len(pod['spec'].get('containers', []))}"
    phase = "Terminating" if pod["metadata"].get("deletionTimestamp") else pod.get("status", {}).get("phase", "")
    return [pod["metadata"]["name"], ready, phase, 0, age(pod), pod.get("status", {}).get("podIP", "<none>"),
            pod["spec"].get("nodeName", "<none>")]  # fmt: skip


# Column names, a "*" for those that only `-o wide` shows, and how a row is made.
COLUMNS: dict[str, tuple[list[str], Callable[[Obj], list[Any]]]] = {
    "nodes": (["Name", "Status", "Roles", "Age", "Version", "Internal-IP*", "External-IP*", "OS-Image*",
               "Kernel-Version*", "Container-Runtime*"], node_cells),
    "pods": (["Name", "Ready", "Status", "Restarts", "Age", "IP*", "Node*"], pod_cells),
    "etcdsnapshotfiles": (["Name", "SnapshotName", "Node", "Location", "Size", "CreationTime"],
                          lambda o: [o["metadata"]["name"], *(o["spec"][k] for k in ("snapshotName", "nodeName",
                                     "location")), o["status"]["size"], o["status"]["creationTime"]]),
    "namespaces": (["Name", "Status", "Age"],
                   lambda o: [o["metadata"]["name"], o.get("status", {}).get("phase", ""), age(o)]),
}  # fmt: skip


def table(plural: str, objects: list[Obj], query: dict[str, str], metadata: Obj) -> Obj:
    names, cells = COLUMNS.get(plural, (["Name", "Age"], lambda o: [o["metadata"]["name"], age(o)]))
    columns = [
        {"name": name.rstrip("*"), "type": "string", "format": "name" if name == "Name" else "",
         "description": "", "priority": int(name.endswith("*"))}
        for name in names
    ]  # fmt: skip
    rows = []
    for obj in objects:
        part = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}
        whole = query.get("includeObject") == "Object"
        rows.append({"cells": cells(obj), "object": obj if whole else part})
    return {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
            "columnDefinitions": columns, "rows": rows}  # fmt: skip


# --- the API: writing --------------------------------------------------------------------------------------------

NODE_FINALIZER = "wrangler.cattle.io/node"
FIXED_FIELDS = ("uid", "creationTimestamp", "namespace", "name", "deletionTimestamp", "deletionGracePeriodSeconds",
                "generation")  # fmt: skip
CONDITION_TAINTS = {"False": "node.kubernetes.io/not-ready", "Unknown": "node.kubernetes.io/unreachable"}


def node_taints(node: Obj) -> list[Obj]:
    """The taints as they must be for this node's conditions: what the node lifecycle controller does."""
    spec = node.get("spec", {})
    own = ("node.kubernetes.io/unschedulable", *CONDITION_TAINTS.values())
    before = spec.get("taints") or []
    wanted = [("node.kubernetes.io/unschedulable", "NoSchedule")] if spec.get("unschedulable") else []
    key = CONDITION_TAINTS.get(condition(node, "Ready").get("status", ""))
    wanted += [(key, "NoSchedule"), (key, "NoExecute")] if key else []
    had = {(t["key"], t["effect"]): t for t in before}
    new = [had.get(pair) or {"key": pair[0], "effect": pair[1], "timeAdded": stamp()} for pair in wanted]
    return [t for t in before if t["key"] not in own] + new


CANNOT_EVICT = "Cannot evict pod as it would violate the pod's disruption budget."
TOLERATION_S = 300  # what the API server lets a pod tolerate of a node that is not ready


def grace_of(op: Obj) -> int | None:
    """The grace period that a DELETE asks for, in its query or in its DeleteOptions."""
    asked = op["query"].get("gracePeriodSeconds", (op["body"] or {}).get("gracePeriodSeconds"))
    return None if asked is None else int(asked)


def admit_pod(spec: Obj) -> None:
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("restartPolicy", "Always")
    tolerations = spec.setdefault("tolerations", [])
    for key in CONDITION_TAINTS.values():
        if not any(t.get("key") in (None, "", key) for t in tolerations):
            tolerations.append({"key": key, "operator": "Exists", "effect": "NoExecute",
                                "tolerationSeconds": TOLERATION_S})  # fmt: skip


def pod_is_ready(pod: Obj) -> bool:
    return condition(pod, "Ready").get("status") == "True" and not pod["metadata"].get("deletionTimestamp")


def controller_of(obj: Obj) -> Obj:
    """The owner reference of its controller; {} where there is none."""
    found: list[Obj] = [ref for ref in obj["metadata"].get("ownerReferences") or [] if ref.get("controller")]
    return found[0] if found else {}


def label_selector_matches(selector: Obj, labels: dict[str, str]) -> bool:
    """A LabelSelector object; the empty one matches everything."""
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    tests: dict[str, Callable[[Obj], bool]] = {
        "In": lambda e: labels.get(e["key"]) in e["values"],
        "NotIn": lambda e: labels.get(e["key"]) not in e["values"],
        "Exists": lambda e: e["key"] in labels,
        "DoesNotExist": lambda e: e["key"] not in labels,
    }
    return all(tests[e["operator"]](e) for e in selector.get("matchExpressions") or [])


def budget_covers(budget: Obj, pod: Obj) -> bool:
    selector = budget["spec"].get("selector")
    return selector is not None and label_selector_matches(selector, pod["metadata"].get("labels") or {})


def budget_status(budget: Obj, store: Store) -> Obj:
    """What a PodDisruptionBudget allows just now, as the disruption controller counts it."""
    meta, spec = budget["metadata"], budget["spec"]
    pods = [pod for pod in store.all("pods", meta["namespace"]) if budget_covers(budget, pod)]
    healthy = sum(1 for pod in pods if pod_is_ready(pod))
    limit = spec.get("maxUnavailable", spec.get("minAvailable", 0))
    expected, problem = len(pods), ""
    if "maxUnavailable" in spec or isinstance(limit, str):
        expected, problem = scale_behind(pods, store)
    count = -(-expected * int(limit.rstrip("%")) // 100) if isinstance(limit, str) else int(limit)
    desired = max(0, expected - count) if "maxUnavailable" in spec else count
    allowed = max(0, healthy - desired) if expected > 0 and not problem else 0
    verdict = {"type": "DisruptionAllowed", "status": "True" if allowed else "False", "message": problem,
               "reason": "SyncFailed" if problem else "SufficientPods" if allowed else "InsufficientPods",
               "observedGeneration": meta.get("generation", 1)}  # fmt: skip
    return {"conditions": [verdict], "currentHealthy": healthy, "desiredHealthy": desired,
            "disruptionsAllowed": allowed, "expectedPods": expected,
            "observedGeneration": meta.get("generation", 1)}  # fmt: skip


def scale_behind(pods: list[Obj], store: Store) -> tuple[int, str]:
    """How many pods their controllers want in all, or why that cannot be told."""
    scales: dict[str, int] = {}
    for pod in pods:
        ref, ns = controller_of(pod), pod["metadata"]["namespace"]
        owner = store.get("replicasets" if ref.get("kind") == "ReplicaSet" else "statefulsets", ns, ref.get("name", ""))
        above = controller_of(owner) if owner else {}
        owner = store.get("deployments", ns, above["name"]) if above else owner
        if owner is None:
            return 0, f"found no controller ref for pod {json.dumps(pod['metadata']['name'])}"
        scales[owner["metadata"]["uid"]] = int(owner["spec"].get("replicas", 1))
    return sum(scales.values()), ""


class Api:
    """The object API of one server. `call` is the whole of it, for HTTP and for the server's own use alike."""

    def __init__(self, store: Store, cluster: Cluster, pods: list[str]) -> None:
        self.store, self.cluster = store, cluster
        self.pod_networks = [ipaddress.ip_network(cidr, strict=False) for cidr in pods]

    def call(self, method: str, path: str, body: Json = None, content_type: str = "application/json") -> Reply:
        """One request that is not a watch. Errors come back as Status objects."""
        url = urllib.parse.urlsplit(path)
        query = dict(urllib.parse.parse_qsl(url.query))
        parts = [urllib.parse.unquote(part) for part in url.path.split("/") if part]
        try:
            target = parse_target(parts)
            if target is None:
                return 200, discovery(parts)
            if method == "GET":
                if isinstance(self.cluster, Etcd) and self.cluster.removed:
                    return self.cluster.forward({"method": "READ", "path": path})
                return 200, self.read(target, query)
            op = {"method": method, "plural": target.resource.plural, "ns": target.ns, "name": target.name,
                  "sub": target.sub, "body": body, "type": content_type, "query": query}  # fmt: skip
            return self.write(op)
        except ApiError as error:
            return error.code, error.status()

    def read(self, target: Target, query: dict[str, str]) -> Obj:
        resource = target.resource
        if target.name:
            obj = self.store.get(resource.plural, target.ns, target.name)
            if obj is None:
                raise not_found(resource, target.name)
            return self.whole(resource, obj)
        with self.store.changed:
            rev = str(self.store.rev)
            items = [obj for obj in self.store.all(resource.plural, target.ns) if selected(obj, query)]
        return {"kind": f"{resource.kind}List", "apiVersion": resource.group_version,
                "metadata": {"resourceVersion": rev}, "items": items}  # fmt: skip

    @staticmethod
    def whole(resource: Resource, obj: Obj) -> Obj:
        return {"kind": resource.kind, "apiVersion": resource.group_version, **obj}

    def write(self, op: Obj) -> Reply:
        """Do one write where the leader is. `op` is plain JSON, so that it can travel."""
        if not self.cluster.is_leader:
            return self.cluster.forward(op)
        try:
            with self.cluster.lock:
                if op["method"] == "READ":
                    return self.call("GET", op["path"])
                if op["method"] == "MEMBER":
                    return self._add_member(op["body"])
                if op["method"] == "BOOTSTRAP":
                    self.cluster.commit([("_bootstrap", "", "bootstrap", op["body"])])
                    return 200, {}
                code, answer, edits = self._edits(op)
                if edits and op["query"].get("dryRun") != "All":
                    self.cluster.commit(edits)
                return code, answer
        except ApiError as error:
            return error.code, error.status()

    def _add_member(self, member: Obj) -> Reply:
        """Let a server in. The Node of its former life, if its deletion hangs, is over with that."""
        reply = self.cluster.member_add(member)
        self.release_node(member["machine"])
        return reply

    def release_node(self, name: str) -> None:
        """Finish the deletion of a Node that hangs on the server's finalizer. The caller holds the lock."""
        node = self.store.get("nodes", "", name)
        if (
            node
            and node["metadata"].get("deletionTimestamp")
            and node["metadata"].get("finalizers") == [NODE_FINALIZER]
        ):
            self.cluster.commit(self._remove(RESOURCES["nodes"], node))

    def _delete_node(self, old: Obj) -> list[Edit]:
        """Its etcd member goes at once; the Node of a server that lives hangs on its finalizer, as seen on k3s."""
        meta = old["metadata"]
        hangs = bool(meta.get("deletionTimestamp")) or self.cluster.has_living(meta["name"])
        finalizers = [f for f in meta.get("finalizers") or [] if hangs or f != NODE_FINALIZER]
        member = self.cluster.member_removal(meta["name"])
        if not finalizers:
            return [*self._remove(RESOURCES["nodes"], old), *member]
        marked = {**meta, "finalizers": finalizers, "deletionTimestamp": meta.get("deletionTimestamp") or stamp()}
        return [("nodes", "", meta["name"], {**old, "metadata": marked}), *member]

    def _edits(self, op: Obj) -> tuple[int, Obj, list[Edit]]:
        resource = RESOURCES[op["plural"]]
        key: Key = (op["plural"], op["ns"], op["name"])
        if op["method"] == "POST" and not op["name"]:
            return self._create(resource, op["ns"], op["body"])
        if op["method"] == "DELETE" and not op["name"]:
            victims = [o for o in self.store.all(op["plural"], op["ns"]) if selected(o, op["query"])]
            edits = [edit for victim in victims for edit in self._delete(resource, victim, grace_of(op))]
            return 200, status_object("Success", 200), edits
        old = self.store.objects.get(key)
        if old is None:
            if op["method"] == "PATCH" and op["type"].startswith("application/apply-patch"):
                return self._create(resource, op["ns"], {**op["body"]})
            raise not_found(resource, op["name"])
        if op["method"] == "POST" and (op["plural"], op["sub"]) == ("pods", "eviction"):
            return self._evict(old, op["body"])
        if op["method"] == "DELETE":
            edits = self._delete(resource, old, grace_of(op))
            details = {"name": op["name"], "kind": op["plural"], "uid": old["metadata"]["uid"]}
            if edits[0][3] is not None:  # a finalizer holds it
                return 200, self.whole(resource, edits[0][3]), edits
            return 200, status_object("Success", 200, details=details), edits
        if op["method"] not in ("PUT", "PATCH") or op["sub"] not in ("", "status"):
            raise ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
        body = op["body"] if op["method"] == "PUT" else apply_patch(self.whole(resource, old), op["body"], op["type"])
        return self._update(resource, old, body, op["sub"])

    def _create(self, resource: Resource, ns: str, body: Obj) -> tuple[int, Obj, list[Edit]]:
        obj = copy.deepcopy(body)
        meta = obj.setdefault("metadata", {})
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = meta["generateName"] + secrets.token_hex(3)[:5]
        name = meta.get("name", "")
        if not re.fullmatch(r"[a-z0-9:]([-a-z0-9.:]*[a-z0-9:])?", name):
            raise ApiError(422, "Invalid", f'{resource.kind} "{name}" is invalid: metadata.name')
        if resource.namespaced:
            ns = ns or meta.get("namespace") or "default"
            meta["namespace"] = ns
            if not self.store.get("namespaces", "", ns):
                raise not_found(RESOURCES["namespaces"], ns)
        if self.store.get(resource.plural, ns, name):
            raise ApiError(409, "AlreadyExists", f'{resource.plural} "{name}" already exists')
        meta |= {"uid": str(uuid.uuid4()), "creationTimestamp": stamp()}
        if resource.plural in HAS_GENERATION:
            meta["generation"] = 1
        self.admit(resource.plural, obj)
        return 201, *self._keep(resource, obj)

    def _keep(self, resource: Resource, obj: Obj) -> tuple[Obj, list[Edit]]:
        obj.pop("kind", None)
        obj.pop("apiVersion", None)
        key = (resource.plural, obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
        obj["metadata"]["resourceVersion"] = str(self.store.rev + 1)
        return self.whole(resource, obj), [(*key, obj)]

    def _update(self, resource: Resource, old: Obj, body: Obj, sub: str) -> tuple[int, Obj, list[Edit]]:
        new = copy.deepcopy(body)
        before, meta = old["metadata"], new.setdefault("metadata", {})
        if meta.get("resourceVersion") not in (None, "", before["resourceVersion"]):
            text = "the object has been modified; please apply your changes to the latest version and try again"
            raise ApiError(
                409, "Conflict", f'Operation cannot be fulfilled on {resource.plural} "{before["name"]}": {text}'
            )
        for fixed in FIXED_FIELDS:
            meta.pop(fixed, None)
            if fixed in before:
                meta[fixed] = before[fixed]
        if sub == "status":
            new = {**old, "status": new.get("status", {}), "metadata": meta}
        elif resource.plural in HAS_STATUS:
            new["status"] = copy.deepcopy(old.get("status", {}))
        if old.get("immutable") and (new.get("data") != old.get("data") or not new.get("immutable")):
            raise ApiError(422, "Invalid", f'{resource.kind} "{before["name"]}" is invalid: field is immutable')
        if resource.plural in HAS_GENERATION:
            meta["generation"] = before.get("generation", 1) + (new.get("spec") != old.get("spec"))
        self.admit(resource.plural, new)
        meta["resourceVersion"] = before["resourceVersion"]
        if {k: v for k, v in new.items() if k not in ("kind", "apiVersion")} == old:
            return 200, self.whole(resource, old), []
        answer, edits = self._keep(resource, new)
        if meta.get("deletionTimestamp") and not meta.get("finalizers") and not meta.get("deletionGracePeriodSeconds"):
            edits = self._remove(resource, new)
        return 200, answer, edits

    def admit(self, plural: str, obj: Obj) -> None:
        """What the API server and the controllers fill in."""
        if plural == "nodes":
            spec = obj.setdefault("spec", {})
            ranges = spec.get("podCIDRs") or self._pod_cidrs()
            if ranges:
                spec["podCIDR"], spec["podCIDRs"] = ranges[0], ranges
            spec["taints"] = node_taints(obj)
            if not spec["taints"]:
                del spec["taints"]
            finalizers = obj["metadata"].setdefault("finalizers", [])
            if NODE_FINALIZER not in finalizers and not obj["metadata"].get("deletionTimestamp"):
                finalizers.append(NODE_FINALIZER)
        elif plural == "secrets":
            plain = obj.pop("stringData", None) or {}
            data = {key: base64.b64encode(value.encode()).decode() for key, value in plain.items()}
            obj["data"] = (obj.get("data") or {}) | data
            obj.setdefault("type", "Opaque")
        elif plural == "namespaces":
            obj.setdefault("status", {"phase": "Active"})
        elif plural == "pods":
            obj.setdefault("status", {}).setdefault("phase", "Pending")
            admit_pod(obj["spec"])

    def _pod_cidrs(self) -> list[str]:
        """A range of each family for one more node's pods; none where one has none left (256 in the default /16)."""
        used = {cidr for node in self.store.all("nodes") for cidr in node.get("spec", {}).get("podCIDRs", [])}
        found = []
        for network in self.pod_networks:
            each = map(str, network.subnets(new_prefix=24 if network.version == 4 else 64))
            found.append(next((cidr for cidr in each if cidr not in used), ""))
        return found if all(found) else []

    def _delete(self, resource: Resource, old: Obj, grace_s: int | None = None) -> list[Edit]:
        meta = old["metadata"]
        if resource.plural == "pods":
            return self.delete_pod(old, grace_s)
        if resource.plural == "nodes":
            return self._delete_node(old)
        if meta.get("finalizers"):
            held = {**old, "metadata": {**meta, "deletionTimestamp": meta.get("deletionTimestamp") or stamp()}}
            return [(resource.plural, meta.get("namespace", ""), meta["name"], held)]
        return self._remove(resource, old)

    def delete_pod(self, old: Obj, grace_s: int | None = None) -> list[Edit]:
        """A pod that a node may run is only marked: its kubelet takes it away, within the grace period."""
        meta, spec = old["metadata"], old["spec"]
        key: Key = ("pods", meta["namespace"], meta["name"])
        grace_s = int(spec.get("terminationGracePeriodSeconds", 30)) if grace_s is None else grace_s
        grace_s = min(grace_s, meta.get("deletionGracePeriodSeconds", grace_s))
        if not spec.get("nodeName") or old.get("status", {}).get("phase") in ("Succeeded", "Failed"):
            grace_s = 0
        if grace_s == 0 and not meta.get("finalizers"):
            return [(*key, None)]
        if meta.get("deletionGracePeriodSeconds") == grace_s:
            return [(*key, {**old, "metadata": dict(meta)})]
        marks = {"deletionTimestamp": stamp(later_s=grace_s), "deletionGracePeriodSeconds": grace_s}
        return [(*key, {**old, "metadata": {**meta, **marks}})]

    def _evict(self, pod: Obj, body: Json) -> tuple[int, Obj, list[Edit]]:
        """The eviction subresource: a delete that the pod's disruption budget may refuse."""
        options = (body or {}).get("deleteOptions") or {}
        done = status_object("Success", 201) | {"code": 201}
        edits = self.delete_pod(pod, options.get("gracePeriodSeconds"))
        if "All" in (options.get("dryRun") or []):
            edits = []
        meta, healthy = pod["metadata"], pod_is_ready(pod)
        if pod.get("status", {}).get("phase") != "Running" or meta.get("deletionTimestamp"):
            return 201, done, edits
        budgets = [b for b in self.store.all("poddisruptionbudgets", meta["namespace"]) if budget_covers(b, pod)]
        if len(budgets) > 1:
            text = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
            raise ApiError(500, "InternalError", text)
        for budget in budgets:
            status = budget_status(budget, self.store)
            enough = status["currentHealthy"] >= status["desiredHealthy"] > 0
            always = budget["spec"].get("unhealthyPodEvictionPolicy") == "AlwaysAllow"
            if status["disruptionsAllowed"] < 1 and (healthy or not (enough or always)):
                raise ApiError(429, "TooManyRequests", CANNOT_EVICT, {"causes": [{
                    "reason": "DisruptionBudget",
                    "message": f"The disruption budget {budget['metadata']['name']} needs {status['desiredHealthy']} "
                               f"healthy pods and has {status['currentHealthy']} currently",
                }]})  # fmt: skip
        return 201, done, edits

    def _remove(self, resource: Resource, old: Obj) -> list[Edit]:
        """The object and what goes with it: a Node's password, a namespace's contents."""
        name = old["metadata"]["name"]
        edits: list[Edit] = [(resource.plural, old["metadata"].get("namespace", ""), name, None)]
        also: list[Key] = []
        if resource.plural == "nodes":
            also = [("secrets", "kube-system", f"{name}.node-password.k3s"), ("leases", "kube-node-lease", name)]
        elif resource.plural == "namespaces":
            also = [key for key in self.store.objects if key[1] == name]
        return edits + [(*key, None) for key in also if key in self.store.objects]

    def events(self, target: Target, query: dict[str, str], deadline: float) -> Iterator[Obj | None]:
        """A watch: events as they come, None whenever nothing came for a while. Ends at the deadline (monotonic)."""
        store, resource = self.store, target.resource
        since = query.get("resourceVersion", "")
        initial = query.get("sendInitialEvents") == "true" or (
            since in ("", "0") and query.get("sendInitialEvents") != "false"
        )
        with store.changed:
            rev = store.rev if initial else int(since or 0)
            present = [o for o in store.all(resource.plural, target.ns) if selected(o, query)] if initial else []
            expired = not initial and rev < store.floor
        if expired:
            error = ApiError(410, "Expired", f"too old resource version: {rev} ({store.floor})")
            yield {"type": "ERROR", "object": error.status()}
            return
        yield from ({"type": "ADDED", "object": self.whole(resource, obj)} for obj in present)
        if query.get("sendInitialEvents") == "true":
            yield self._bookmark(resource, rev, {"k8s.io/initial-events-end": "true"})
        while (left_s := deadline - time.monotonic()) > 0:
            with store.changed:
                if LIFE.ended():
                    return
                if store.rev <= rev:
                    store.changed.wait(min(5, left_s))
                batch = [entry for entry in store.history if entry[0] > rev]
                rev = max(rev, store.rev)
            found = [event for entry in batch if (event := self._event(target, query, entry))]
            yield from found
            if not batch:
                yield self._bookmark(resource, rev) if query.get("allowWatchBookmarks") == "true" else None

    def _event(
        self, target: Target, query: dict[str, str], entry: tuple[int, str, Obj | None, Obj | None]
    ) -> Obj | None:
        rev, plural, old, new = entry
        sample = new or old
        if plural != target.resource.plural or sample is None:
            return None
        if target.ns not in ("", sample["metadata"].get("namespace", "")):
            return None
        before, after = selected(old, query), selected(new, query)
        if not before and not after:
            return None
        obj = self.whole(target.resource, sample)
        if not after:
            obj = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(rev)}}
        return {"type": "DELETED" if not after else "MODIFIED" if before else "ADDED", "object": obj}

    @staticmethod
    def _bookmark(resource: Resource, rev: int, annotations: dict[str, str] | None = None) -> Obj:
        meta: Obj = {"resourceVersion": str(rev), "creationTimestamp": None}
        meta |= {"annotations": annotations} if annotations else {}
        obj = {"kind": resource.kind, "apiVersion": resource.group_version, "metadata": meta}
        return {"type": "BOOKMARK", "object": obj}


# --- serving -----------------------------------------------------------------------------------------------------


class TlsServer(http.server.ThreadingHTTPServer):
    """HTTPS with one thread per connection; the handshake happens in that thread."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], handler: type[http.server.BaseHTTPRequestHandler],
                 context: ssl.SSLContext) -> None:  # fmt: skip
        super().__init__(address, handler)
        self._context = context
        self._connections: WeakSet[socket.socket] = WeakSet()

    def get_request(self) -> tuple[socket.socket, Any]:
        sock, address = super().get_request()
        wrapped = self._context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        self._connections.add(wrapped)
        return wrapped, address

    def stop(self) -> None:
        """Stop listening and hang up on everybody, as the end of a process does."""
        self.shutdown()
        self.server_close()
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)  # not SSLSocket's, which would say goodbye

    def handle_error(self, request: Json, client_address: Json) -> None:
        error = sys.exc_info()[1]
        if LIFE.ended():
            return
        if isinstance(error, ssl.SSLError):
            log("info", f"http: TLS handshake error from {client_address[0]}:{client_address[1]}: {error.reason}")
        elif not isinstance(error, OSError):
            super().handle_error(request, client_address)


def listen(
    address: tuple[str, int], handler: type[http.server.BaseHTTPRequestHandler], context: ssl.SSLContext
) -> None:
    """Serve from a thread of its own."""
    try:
        server = TlsServer(address, handler, context)
    except OSError as error:
        raise Fatal(f"listen tcp {address[0]}:{address[1]}: bind: {(error.strerror or str(error)).lower()}") from error
    spawn(server.serve_forever, LIFE.idle_s)
    LIFE.listening(server)


class Handler(http.server.BaseHTTPRequestHandler):
    """What the two listeners share."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    timeout = 300

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: k3s logs no requests."""

    def reply(self, code: int, data: bytes = b"", content_type: str = "application/json") -> None:
        self.send_response(code)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()

    def reply_json(self, code: int, obj: Json) -> None:
        self.reply(code, json.dumps(obj).encode() + b"\n")

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def peer_name(self) -> tuple[str, set[str]]:
        """Common name and organizations of the client's certificate; "" where there is none."""
        connection: Any = self.connection
        certificate = connection.getpeercert() or {}
        pairs = [pair for rdn in certificate.get("subject", ()) for pair in rdn]
        names = [value for key, value in pairs if key == "commonName"]
        return (names[0] if names else "", {value for key, value in pairs if key == "organizationName"})


class PeerHandler(Handler):
    """Port 2380: what etcd members say to each other."""

    etcd: Etcd
    api: Api

    def do_GET(self) -> None:
        asker = self.headers.get("X-Member", "")
        removed = self.etcd.is_leader and not self.etcd.store.get("_members", "", asker)
        self.reply_json(410 if removed else 200, self.etcd.status())

    def do_POST(self) -> None:
        body = json.loads(self.body())
        if self.peer_name()[0] != "etcd-peer":
            self.reply_json(403, {})
        elif self.path == "/append":
            self.reply_json(self.etcd.append(body), {})
        elif self.path == "/snapshot":
            self.reply_json(self.etcd.take_snapshot(body), {})
        elif self.path == "/write" and self.etcd.is_leader:
            self.reply_json(*self.api.write(body))
        else:
            error = ApiError(500, "InternalError", "etcdserver: leader changed")
            self.reply_json(error.code, error.status())


class ApiHandler(Handler):
    """Port 6443: the supervisor's paths and the Kubernetes API."""

    server_state: Server

    def do_GET(self) -> None:
        self._route()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - the base class's names

    def _route(self) -> None:
        state, path = self.server_state, urllib.parse.urlsplit(self.path).path
        if path == "/ping":
            self.reply(200, b"pong", "text/plain")
        elif path == "/cacerts":
            self.reply(200, state.ca_pem.encode(), "text/plain")
        elif path.startswith(("/v1-k3s/", "/db/")):
            self._supervisor(path)
        else:
            self._kubernetes(path)

    # the supervisor

    def _supervisor_user(self) -> str:
        """ "server", "node", "" for nobody, "wrong" for credentials that are not good."""
        name, groups = self.peer_name()
        if name:
            return "server" if "system:masters" in groups else "node" if "system:nodes" in groups else ""
        scheme, _, text = self.headers.get("Authorization", "").partition(" ")
        if scheme != "Basic":
            return "wrong" if scheme else ""
        try:
            user, _, password = base64.b64decode(text).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return "wrong"
        if user in ("server", "node") and password in self.server_state.passwords[user]:
            return user
        client = f"{self.client_address[0]}:{self.client_address[1]}"
        log("error", f"Failed to authenticate request from {client}: invalid username/password combination")
        return "wrong"

    def _supervisor(self, path: str) -> None:
        data, state, user = self.body(), self.server_state, self._supervisor_user()
        action = state.actions.get((self.command, path))
        server_only = path in ("/v1-k3s/server-bootstrap", "/db/info") or action
        if user == "wrong":
            self.reply(401, b"Unauthorized", "text/plain")
        elif not user or (server_only and user != "server"):
            self.reply(403)
        elif path in ("/v1-k3s/client-kubelet.crt", "/v1-k3s/serving-kubelet.crt") and self.command == "POST":
            self._kubelet_certificate(data)
        elif action:
            self.reply_json(*action(data))
        elif path == "/v1-k3s/readyz":
            self.reply(200, b"ok", "text/plain")
        elif path in ("/v1-k3s/client-ca.crt", "/v1-k3s/server-ca.crt"):
            self.reply(200, state.pki.path(path.rpartition("/")[2]).read_bytes(), "text/plain")
        elif path in state.documents:
            self.reply_json(200, state.documents[path]())
        else:
            self.reply(404, b"404 page not found\n", "text/plain")

    def _kubelet_certificate(self, request: bytes) -> None:
        name = self.headers.get("k3s-Node-Name", "").lower()
        if not re.fullmatch(NODE_NAME, name) or not self.headers.get("k3s-Node-Password"):
            self.reply(400, b"node name or password not set\n", "text/plain")  # the name goes into a subject
            return
        refusal = self.server_state.check_node_password(name, self.headers["k3s-Node-Password"])
        if refusal:
            self.reply(refusal[0], refusal[1].encode(), "text/plain")
            return
        subject = f"/O=system:nodes/CN=system:node:{name}"
        pem = self.server_state.pki.sign(request, "client-ca", subject, "clientAuth")
        self.reply(200, pem, "text/plain")

    # Kubernetes

    def _kubernetes(self, path: str) -> None:
        data, state = self.body(), self.server_state
        name, groups = self.peer_name()
        refusal = LIFE.refusal()
        if refusal:
            self.reply_json(*refusal)
        elif not groups & {"system:masters", "system:nodes"}:
            self.reply_json(401, status_object("Failure", 401, "Unauthorized", "Unauthorized"))
        elif path in ("/readyz", "/livez", "/healthz"):
            problem = state.problem() if path == "/readyz" else ""
            self.reply(500 if problem else 200, (problem or "ok").encode(), "text/plain")
        elif path == "/version":
            self.reply_json(200, version_info())
        elif path.startswith(("/api/", "/apis/")) or path in ("/api", "/apis"):
            self._objects(data, name if "system:masters" not in groups else "")
        else:
            error = ApiError(404, "NotFound", "the server could not find the requested resource")
            self.reply_json(404, error.status())

    def _objects(self, data: bytes, node_user: str) -> None:
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        content_type = self.headers.get("Content-Type", "application/json")
        as_table = "as=Table" in self.headers.get("Accept", "")
        try:
            target = parse_target([urllib.parse.unquote(part) for part in url.path.split("/") if part])
            body = json.loads(data) if data else None
            if node_user and target and not node_may(node_user, self.command, target, body):
                raise ApiError(403, "Forbidden", f'User "{node_user}" cannot {self.command} {url.path}')
            if target and self.command == "GET" and query.get("watch") in ("true", "1"):
                self._watch(target, query, as_table=as_table)
                return
        except ApiError as error:
            self.reply_json(error.code, error.status())
            return
        except ValueError as error:
            text = f"the object provided is unrecognized (the stand-in reads JSON only): {error}"
            self.reply_json(415, status_object("Failure", 415, "UnsupportedMediaType", text))
            return
        code, answer = self.server_state.api.call(self.command, self.path, body, content_type)
        if as_table and target and self.command == "GET" and code == 200:
            answer = table(target.resource.plural, answer.get("items", [answer]), query, answer["metadata"])
        self.reply_json(code, answer)

    def _watch(self, target: Target, query: dict[str, str], *, as_table: bool) -> None:
        if target.name:  # a watch of one object is a list watch with its name as the field selector
            query = {**query, "fieldSelector": f"metadata.name={target.name}"}
        deadline = time.monotonic() + float(query.get("timeoutSeconds") or 1800)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        for event in self.server_state.api.events(target, query, deadline):
            if event is None:
                if select.select([self.connection], [], [], 0)[0]:
                    break  # the client has gone; it has nothing else to say here
                continue
            if as_table and event["type"] not in ("ERROR", "BOOKMARK"):
                obj = event["object"]
                event = {**event, "object": table(target.resource.plural, [obj], query, {})}
            line = json.dumps(event).encode() + b"\n"
            self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()
        self.close_connection = True


def node_may(user: str, method: str, target: Target, body: Json) -> bool:
    """What a kubelet may do: read all but secrets, and write what is its own."""
    name = user.removeprefix("system:node:")
    plural = target.resource.plural
    if method == "GET":
        return plural != "secrets"
    if plural in ("nodes", "leases"):
        own = target.name or (body or {}).get("metadata", {}).get("name")
        return own == name and method != "DELETE"
    return plural == "events" or (plural == "pods" and target.sub == "status")


def version_info() -> Obj:
    major, minor = VERSION.lstrip("v").split(".")[:2]
    return {"major": major, "minor": minor, "gitVersion": VERSION, "gitCommit": COMMIT, "gitTreeState": "clean",
            "buildDate": "1970-01-01T00:00:00Z", "goVersion": "none", "compiler": WHAT_THIS_IS,
            "platform": f"linux/{go_arch()}"}  # fmt: skip


def go_arch() -> str:
    machine = os.uname().machine
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


# --- the kubelet's part ------------------------------------------------------------------------------------------

Call = Callable[..., Reply]


class Kubelet:
    """Registers this machine's Node and keeps its lease fresh. Like a kubelet, it does not register twice."""

    def __init__(
        self, *, options: Options, machine: Machine, call: Call, say: Callable[[str, str], None] = log
    ) -> None:
        self.options, self.machine, self.call, self.say = options, machine, call, say
        self.held: Callable[[], bool] = lambda: LIFE.held()
        self.period_s = options.argument("kubelet-arg", "node-status-update-frequency", LEASE_SECONDS / 4)
        self.path = f"/api/v1/nodes/{machine.name}"
        self.reported = False

    def register(self) -> None:
        """Create the Node or bring it up to date. Raises ApiError when the API does not take it."""
        wanted = self._node()
        code, old = self.call("GET", self.path)
        if code == 404:
            wanted["spec"]["taints"] = self.machine.taints
            wanted["status"]["conditions"] = self._conditions(ready=False)
            self._check(self.call("POST", "/api/v1/nodes", wanted))
        else:
            self._check((code, old))
            patch = {"metadata": {k: wanted["metadata"][k] for k in ("labels", "annotations")}}
            self._check(self.call("PATCH", self.path, patch, "application/merge-patch+json"))
            self._patch_status(wanted["status"])
        self.say("info", f"Successfully registered node {self.machine.name}")

    def run(self) -> None:
        """Become Ready and stay so; returns never."""
        self.renew()
        LIFE.pause(READY_DELAY_S)
        while True:
            self.beat()
            LIFE.pause(self.period_s)

    def beat(self) -> None:
        """Say that this node lives, and make it Ready where it is not."""
        try:
            code, node = self.call("GET", self.path)
            if code != 200:
                text = f"Error updating node status, will retry: error getting node: {node.get('message')}"
                self.say("error", text)
            elif not node["spec"].get("podCIDR"):
                self.say("error", f"Unable to set up the network: node {self.machine.name} has no podCIDR")
            elif self.held():
                self.say("error", "container runtime network not ready: cni plugin not initialized")
            elif not self.reported or condition(node, "Ready").get("status") != "True":
                # One that has just started reports at once; an unchanged status comes again after 5 minutes only.
                self._patch_status({"conditions": self._conditions(ready=True)})
                self.reported = True
            self.renew()
        except ApiError as error:
            self.say("error", f"Unable to update node status: {error.message}")

    @staticmethod
    def _check(reply: Reply) -> Obj:
        if reply[0] >= 400:
            raise ApiError(reply[0], reply[1].get("reason", ""), reply[1].get("message", ""))
        return reply[1]

    def _patch_status(self, status: Obj) -> None:
        content_type = "application/strategic-merge-patch+json"
        self._check(self.call("PATCH", f"{self.path}/status", {"status": status}, content_type))

    def renew(self) -> None:
        name, base = self.machine.name, "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
        spec = {"holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": stamp(micro=True)}
        content_type = "application/merge-patch+json"
        code, _ = reply = self.call("PATCH", f"{base}/{name}", {"spec": spec}, content_type)
        if code == 404:
            reply = self.call("POST", base, {"metadata": {"name": name}, "spec": spec})
        self._check(reply)

    def _node(self) -> Obj:
        machine, name = self.machine, self.machine.name
        labels = {"kubernetes.io/hostname": name, "node.kubernetes.io/instance-type": "k3s"}
        for prefix in ("", "beta."):
            labels |= {f"{prefix}kubernetes.io/arch": go_arch(), f"{prefix}kubernetes.io/os": "linux"}
        labels["beta.kubernetes.io/instance-type"] = "k3s"
        arguments = json.dumps([self.options.command, *shown_arguments(self.options.given)])
        annotations = {
            "k3s.io/hostname": name,
            "k3s.io/internal-ip": ",".join(machine.addresses),
            "k3s.io/node-args": arguments,
            "k3s.io/node-config-hash": base64.b32encode(hashlib.sha256(arguments.encode()).digest()).decode(),
            "k3s.io/node-env": json.dumps({k: "********" for k in self.options.environ if k.startswith("K3S_TOKEN")}),
            "flannel.alpha.coreos.com/backend-type": self.options.one("flannel-backend", "vxlan"),
            "flannel.alpha.coreos.com/kube-subnet-manager": "true",
            "flannel.alpha.coreos.com/public-ip": machine.addresses[0],
            "node.alpha.kubernetes.io/ttl": "0",
        }
        if machine.external:
            annotations["k3s.io/external-ip"] = ",".join(machine.external)
        meta = {"name": name, "labels": labels | machine.labels, "annotations": annotations}
        return {"metadata": meta, "spec": {"providerID": f"k3s://{name}"}, "status": self._status()}

    def _status(self) -> Obj:
        machine = self.machine
        addresses = [{"type": "InternalIP", "address": a} for a in machine.addresses]
        addresses += [{"type": "ExternalIP", "address": a} for a in machine.external]
        memory = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
        capacity = {"cpu": str(os.cpu_count()), "memory": f"{memory[1] if memory else 0}Ki", "pods": "110"}
        info = {
            "architecture": go_arch(), "operatingSystem": "linux", "kernelVersion": os.uname().release,
            "kubeletVersion": VERSION, "kubeProxyVersion": "", "osImage": f"{WHAT_THIS_IS}, {os_name()}",
            "containerRuntimeVersion": "containerd://0.0.0-standin",
            "machineID": self._identity("/etc/machine-id"),
            "systemUUID": self._identity("/sys/class/dmi/id/product_uuid"),
            "bootID": first_line("/proc/sys/kernel/random/boot_id"),
        }  # fmt: skip
        return {
            "addresses": [*addresses, {"type": "Hostname", "address": machine.name}],
            "capacity": capacity, "allocatable": capacity, "nodeInfo": info,
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        }  # fmt: skip

    def _identity(self, path: str) -> str:
        """The first line of a file of this machine, be it below a root of its own."""
        return first_line(self.options.root + path) or first_line(path)

    @staticmethod
    def _conditions(*, ready: bool) -> list[Obj]:
        def one(kind: str, status: str, reason: str, message: str) -> Obj:
            now = stamp()
            return {"type": kind, "status": status, "reason": reason, "message": message,
                    "lastHeartbeatTime": now, "lastTransitionTime": now}  # fmt: skip

        last = (
            one("Ready", "True", "KubeletReady", "kubelet is posting ready status")
            if ready
            else one("Ready", "False", "KubeletNotReady", "container runtime network not ready: NetworkReady=false")
        )
        pressures = [
            one(f"{kind}Pressure", "False", f"KubeletHas{enough}", f"kubelet has {kind.lower()} available")
            for kind, enough in (("Memory", "SufficientMemory"), ("Disk", "NoDiskPressure"), ("PID", "SufficientPID"))
        ]
        network = [one("NetworkUnavailable", "False", "FlannelIsUp", "Flannel is running on this node")]
        return [*(network if ready else []), *pressures, last]


def shown_arguments(given: dict[str, list[str]]) -> list[str]:
    """The settings of command line and files as the Node's annotation shows them: as flags, secrets hidden."""
    pairs = [(name, value) for name, values in given.items() for value in values]
    return [
        word
        for name, value in pairs
        for word in (f"--{name}", "********" if name in ("token", "agent-token") else value)
    ]


def first_line(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""  # containers have no DMI


def os_name() -> str:
    found = re.search(r'^PRETTY_NAME="?([^"\n]+)', first_line("/etc/os-release"), re.MULTILINE)
    return found[1] if found else "Linux"


# --- the controllers ---------------------------------------------------------------------------------------------

WORKLOADS = ("nodes", "pods", "deployments", "replicasets", "daemonsets", "statefulsets", "poddisruptionbudgets")
OWNER_KINDS = {"Deployment", "ReplicaSet", "DaemonSet", "StatefulSet"}
DAEMON_TOLERATIONS = [
    {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": effect}
    for key, effect in (("not-ready", "NoExecute"), ("unreachable", "NoExecute"), ("not-ready", "NoSchedule"),
                        ("unreachable", "NoSchedule"), ("unschedulable", "NoSchedule"))
]  # fmt: skip


ETCD_NOTE = "etcd.k3s.cattle.io/"
VOTER_STATES = {
    "voter": ("True", "MemberNotLearner", "Node is a voting member of the etcd cluster"),
    "learner": ("False", "MemberIsLearner", "Node has not been promoted to voting member of the etcd cluster"),
    "lost": ("False", "Unhealthy", "Node is not answering as a member of the etcd cluster"),
    "none": ("False", "NotAMember", "Node is not a member of the etcd cluster"),
}


class Manager:
    """The controllers, the scheduler, and what kubelets do with pods. The leader's plays them all."""

    def __init__(self, options: Options, api: Api) -> None:
        self.api, self.store = api, api.store
        self.grace_s = options.argument("kube-controller-manager-arg", "node-monitor-grace-period", 40)
        self._leases: dict[str, tuple[str, float]] = {}  # by node: the last renewal, and when it was first seen here
        self._looked = (-1, -1)
        self._pods = Workloads(api, self.is_living)
        self._refused: set[str] = set()  # nodes whose member may not go

    def tick(self) -> None:
        """Do what there is to do now."""
        if not self.api.cluster.is_leader:
            self._leases.clear()
            return
        self._look_at_leases()
        for name in self._leases:
            node = self.store.get("nodes", "", name)
            if node and self.silence_s(name) > self.grace_s:
                self._mark_unknown(node)
                if node["metadata"].get("deletionTimestamp"):
                    with self.api.cluster.lock:
                        self.api.release_node(name)
            if node and isinstance(self.api.cluster, Etcd):
                self._etcd_node(node, self.api.cluster)
        self._pods.tick()

    def _etcd_node(self, node: Obj, etcd: Etcd) -> None:
        """Tell by a condition what a server's etcd member is, and remove the member where an annotation asks for it."""
        meta = node["metadata"]
        if (meta.get("labels") or {}).get("node-role.kubernetes.io/etcd") != "true":
            return
        member = next((m for m in etcd.members() if m["machine"] == meta["name"]), None)
        status, reason, message = VOTER_STATES[
            "none" if not member else "learner" if member["learner"] else
            "voter" if member["id"] in etcd.living() else "lost"
        ]  # fmt: skip
        known = condition(node, "EtcdIsVoter")
        if (known.get("status"), known.get("reason")) != (status, reason):
            now = stamp()
            verdict = {"type": "EtcdIsVoter", "status": status, "reason": reason, "message": message,
                       "lastHeartbeatTime": now, "lastTransitionTime": now}  # fmt: skip
            self._patch(f"nodes/{meta['name']}/status", {"status": {"conditions": [verdict]}})
        self._obey_annotations(meta, etcd)

    def _obey_annotations(self, meta: Obj, etcd: Etcd) -> None:
        notes = meta.get("annotations") or {}
        name, removed = notes.get(ETCD_NOTE + "node-name"), notes.get(ETCD_NOTE + "removed-node-name")
        path = f"nodes/{meta['name']}"
        if removed and name and name != removed:  # it has joined again
            self._annotate(path, {"removed-node-name": None, "remove": "false"})
        elif notes.get(ETCD_NOTE + "remove", "").lower() == "true" and not removed:
            edits = etcd.member_removal(meta["name"])
            if not edits:
                if meta["name"] not in self._refused:
                    log("error", f"etcd member {name} is not removed: it is the only voting member of the cluster")
                self._refused.add(meta["name"])
                return
            log("info", f"Removing etcd member {name} from cluster")
            self._annotate(path, {"removed-node-name": name, "node-name": None, "node-address": None})
            with etcd.lock:
                etcd.commit(edits)

    def _annotate(self, path: str, notes: dict[str, str | None]) -> None:
        self._patch(path, {"metadata": {"annotations": {ETCD_NOTE + key: value for key, value in notes.items()}}})

    def _patch(self, path: str, patch: Obj) -> None:
        self.api.call("PATCH", f"/api/v1/{path}", patch, "application/strategic-merge-patch+json")

    def silence_s(self, node: str) -> float:
        """How long its lease has stood still, by our own clock: so the Ready of before we led is stale for a while."""
        return time.monotonic() - self._leases.get(node, ("", time.monotonic()))[1]

    def is_living(self, node: str) -> bool:
        """Whether its kubelet does anything; leases come every quarter of the grace period."""
        return node in self._leases and self.silence_s(node) < self.grace_s * 0.45

    def _look_at_leases(self) -> None:
        changed = (self.store.touched.get("leases", 0), self.store.touched.get("nodes", 0))
        if changed == self._looked and self._leases:
            return
        self._looked, now = changed, time.monotonic()
        before, self._leases = self._leases, {}
        for node in self.store.all("nodes"):
            name = node["metadata"]["name"]
            lease = self.store.get("leases", "kube-node-lease", name) or {}
            renewed = str(lease.get("spec", {}).get("renewTime"))
            known = before.get(name, ("", 0.0))
            self._leases[name] = known if known[0] == renewed else (renewed, now)

    def _mark_unknown(self, node: Obj) -> None:
        if condition(node, "Ready").get("status") == "Unknown":
            return
        now = stamp()
        changes = [
            {"type": c["type"], "status": "Unknown", "reason": "NodeStatusUnknown", "lastTransitionTime": now,
             "message": "Kubelet stopped posting node status."}
            for c in node.get("status", {}).get("conditions", [])
            if c["type"] not in ("NetworkUnavailable", "EtcdIsVoter")
        ]  # fmt: skip
        self._patch(f"nodes/{node['metadata']['name']}/status", {"status": {"conditions": changes}})


class Draft:
    """The workloads as they are, and the changes to them that are about to be agreed on."""

    def __init__(self, store: Store) -> None:
        self._kinds: dict[str, dict[tuple[str, str], Obj]] = {plural: {} for plural in WORKLOADS}
        self.edits: dict[Key, Edit] = {}
        with store.changed:
            for (plural, ns, name), obj in sorted(store.objects.items(), key=lambda item: item[0]):
                if plural in self._kinds:
                    self._kinds[plural][ns, name] = obj

    def all(self, plural: str) -> list[Obj]:
        return list(self._kinds[plural].values())

    def owned(self, plural: str, owner: Obj) -> list[Obj]:
        uid = owner["metadata"]["uid"]
        return [obj for obj in self.all(plural) if controller_of(obj).get("uid") == uid]

    def put(self, plural: str, obj: Obj) -> None:
        """Add an object, or one with changes."""
        meta = dict(obj["metadata"])
        ns, name = meta.get("namespace", ""), meta["name"]
        new = {**obj, "metadata": meta}
        if self._kinds[plural].get((ns, name)) != new:
            self._kinds[plural][ns, name] = new
            self.edits[plural, ns, name] = (plural, ns, name, new)

    def apply(self, edits: list[Edit]) -> None:
        for plural, ns, name, obj in edits:
            if obj is None:
                self._kinds[plural].pop((ns, name), None)
                self.edits[plural, ns, name] = (plural, ns, name, None)
            else:
                self.put(plural, obj)

    def drop(self, plural: str, obj: Obj) -> None:
        self.apply([(plural, obj["metadata"].get("namespace", ""), obj["metadata"]["name"], None)])


class Workloads:
    """Pods, from their controllers to their end. Each pass looks at all and changes what should be otherwise."""

    def __init__(self, api: Api, living: Callable[[str], bool]) -> None:
        self.api, self.store, self._living = api, api.store, living
        self._since: dict[tuple[str, str], float] = {}  # by uid and stage
        self._done = -1
        self._due = 0.0
        self._draft = Draft(api.store)

    def tick(self) -> None:
        """Make a pass if anything changed, or is due."""
        touched = max((self.store.touched.get(plural, 0) for plural in WORKLOADS), default=0)
        now = time.monotonic()
        if touched <= self._done and now < self._due:
            return
        with self.api.cluster.lock:
            rev, self._due = self.store.rev, now + 5
            draft = self._draft = Draft(self.store)
            self._pass()
            if draft.edits:
                self.api.cluster.commit(list(draft.edits.values()))
        self._done = rev

    def _pass(self) -> None:
        draft = self._draft
        if not any(draft.all(plural) for plural in WORKLOADS if plural != "nodes"):
            self._since.clear()
            return
        nodes = {node["metadata"]["name"]: node for node in draft.all("nodes")}
        self._collect_garbage(nodes)
        for deployment in draft.all("deployments"):
            self._deployment(deployment)
        for replica_set in draft.all("replicasets"):
            self._replica_set(replica_set)
        for daemon_set in draft.all("daemonsets"):
            self._daemon_set(daemon_set, nodes)
        self._schedule(nodes)
        for pod in draft.all("pods"):
            self._kubelet(pod, nodes)
        uids = {pod["metadata"]["uid"] for pod in draft.all("pods")}
        self._since = {key: since for key, since in self._since.items() if key[0] in uids}
        for budget in draft.all("poddisruptionbudgets"):
            verdict = budget_status(budget, self.store)
            self._status("poddisruptionbudgets", budget, {**verdict, "conditions": keep_times(budget, verdict)})

    def _status(self, plural: str, obj: Obj, status: Obj) -> None:
        if obj.get("status") != status:
            self._draft.put(plural, {**obj, "status": status})

    def _age_s(self, pod: Obj, stage: str, due_s: float) -> float:
        """Since when a pod is in this stage; the next pass comes no later than when it is due."""
        now = time.monotonic()
        since = self._since.setdefault((pod["metadata"]["uid"], stage), now)
        if now < since + due_s:
            self._due = min(self._due, since + due_s)
        return now - since

    def _stop(self, pod: Obj) -> None:
        if not pod["metadata"].get("deletionTimestamp"):
            self._draft.apply(self.api.delete_pod(pod))

    # what is not wanted any more

    def _collect_garbage(self, nodes: dict[str, Obj]) -> None:
        draft = self._draft
        uids = {o["metadata"]["uid"] for plural in WORKLOADS if plural != "pods" for o in draft.all(plural)}
        for replica_set in draft.all("replicasets"):
            ref = controller_of(replica_set)
            if ref.get("kind") in OWNER_KINDS and ref["uid"] not in uids:
                draft.drop("replicasets", replica_set)
                uids.discard(replica_set["metadata"]["uid"])
        for pod in draft.all("pods"):
            ref, node = controller_of(pod), pod["spec"].get("nodeName", "")
            if node and node not in nodes:
                draft.drop("pods", pod)
            elif (ref.get("kind") in OWNER_KINDS and ref["uid"] not in uids) or self._is_driven_out(pod, nodes):
                self._stop(pod)

    def _is_driven_out(self, pod: Obj, nodes: dict[str, Obj]) -> bool:
        """Whether its node has a NoExecute taint that it does not tolerate, or not for that long."""
        node = nodes.get(pod["spec"].get("nodeName", ""))
        if node is None or pod["metadata"].get("deletionTimestamp"):
            return False
        for taint in node["spec"].get("taints") or []:
            good = [t for t in pod["spec"].get("tolerations") or [] if tolerates(t, taint)]
            if taint["effect"] != "NoExecute" or any("tolerationSeconds" not in t for t in good):
                continue
            limit_s = max((float(t["tolerationSeconds"]) for t in good), default=0.0)
            if self._age_s(pod, f"taint {taint['key']}", limit_s) >= limit_s:
                return True
        return False

    # controllers

    def _deployment(self, deployment: Obj) -> None:
        spec, meta, draft = deployment["spec"], deployment["metadata"], self._draft
        wanted = int(spec.get("replicas", 1))
        digest = template_hash(spec["template"])
        sets = draft.owned("replicasets", deployment)
        current = [s for s in sets if s["metadata"]["labels"].get("pod-template-hash") == digest]
        if not current:
            labels = {**(spec["template"]["metadata"].get("labels") or {}), "pod-template-hash": digest}
            selector = {**spec["selector"]}
            selector["matchLabels"] = {**(selector.get("matchLabels") or {}), "pod-template-hash": digest}
            template = {**spec["template"], "metadata": {**spec["template"]["metadata"], "labels": labels}}
            new = self._child(deployment, "Deployment", f"{meta['name']}-{digest}", labels)
            new["metadata"]["generation"] = 1
            draft.put("replicasets", {**new, "spec": {"replicas": wanted, "selector": selector, "template": template}})
            return
        self._scale(current[0], wanted)
        ready = sum(1 for pod in draft.owned("pods", current[0]) if pod_is_ready(pod))
        for old in sets:
            if old is not current[0]:
                self._scale(old, min(int(old["spec"]["replicas"]), max(0, wanted - ready)))
        pods = [p for s in sets for p in draft.owned("pods", s) if not p["metadata"].get("deletionTimestamp")]
        all_ready = sum(1 for pod in pods if pod_is_ready(pod))
        updated = sum(1 for pod in pods if pod["metadata"]["labels"].get("pod-template-hash") == digest)
        status = {"observedGeneration": meta.get("generation", 1), "replicas": len(pods), "updatedReplicas": updated,
                  "readyReplicas": all_ready, "availableReplicas": all_ready,
                  "unavailableReplicas": max(0, wanted - all_ready),
                  "conditions": [{"type": "Available", "status": "True" if all_ready >= wanted else "False",
                                  "reason": f"Minimum{'' if all_ready >= wanted else 'Un'}availableReplicas",
                                  "message": ""}]}  # fmt: skip
        self._status("deployments", deployment, {**status, "conditions": keep_times(deployment, status)})

    def _scale(self, replica_set: Obj, replicas: int) -> None:
        if replica_set["spec"]["replicas"] != replicas:
            meta = replica_set["metadata"]
            generation = {"generation": meta.get("generation", 1) + 1}
            spec = {**replica_set["spec"], "replicas": replicas}
            self._draft.put("replicasets", {**replica_set, "spec": spec, "metadata": {**meta, **generation}})

    @staticmethod
    def _child(owner: Obj, kind: str, name: str, labels: dict[str, str]) -> Obj:
        ref = {"apiVersion": "apps/v1", "kind": kind, "name": owner["metadata"]["name"],
               "uid": owner["metadata"]["uid"], "controller": True, "blockOwnerDeletion": True}  # fmt: skip
        meta = {"name": name, "namespace": owner["metadata"]["namespace"], "labels": dict(labels),
                "uid": str(uuid.uuid4()), "creationTimestamp": stamp(), "ownerReferences": [ref]}  # fmt: skip
        return {"metadata": meta}

    def _make_pod(self, owner: Obj, kind: str, spec: Obj, labels: dict[str, str]) -> None:
        name = f"{owner['metadata']['name']}-{secrets.token_hex(3)[:5]}"
        template = owner["spec"]["template"]
        pod = self._child(owner, kind, name, {**(template["metadata"].get("labels") or {}), **labels})
        if template["metadata"].get("annotations"):
            pod["metadata"]["annotations"] = dict(template["metadata"]["annotations"])
        pod["spec"] = copy.deepcopy(template["spec"]) | spec
        self.api.admit("pods", pod)
        self._draft.put("pods", pod)

    def _replica_set(self, replica_set: Obj) -> None:
        wanted = int(replica_set["spec"].get("replicas", 1))
        mine = self._draft.owned("pods", replica_set)
        pods = [pod for pod in mine if not pod["metadata"].get("deletionTimestamp") and not is_finished(pod)]
        for _ in range(wanted - len(pods)):
            self._make_pod(replica_set, "ReplicaSet", {}, {})
        surplus = sorted(pods, key=lambda p: (bool(p["spec"].get("nodeName")), pod_is_ready(p), older_first(p)))
        for pod in surplus[: max(0, len(pods) - wanted)]:
            self._stop(pod)
        pods = [p for p in self._draft.owned("pods", replica_set) if not p["metadata"].get("deletionTimestamp")]
        ready = sum(1 for pod in pods if pod_is_ready(pod))
        status = {"observedGeneration": replica_set["metadata"].get("generation", 1), "replicas": len(pods),
                  "fullyLabeledReplicas": len(pods), "readyReplicas": ready, "availableReplicas": ready}  # fmt: skip
        self._status("replicasets", replica_set, status)

    def _daemon_set(self, daemon_set: Obj, nodes: dict[str, Obj]) -> None:
        draft, template = self._draft, daemon_set["spec"]["template"]
        tolerations = [*(template["spec"].get("tolerations") or []), *DAEMON_TOLERATIONS]
        spec = {**template["spec"], "tolerations": tolerations}
        digest = template_hash(template)
        wanted = [name for name, node in nodes.items() if not why_not(spec, node)]
        pods = [pod for pod in draft.owned("pods", daemon_set) if not pod["metadata"].get("deletionTimestamp")]
        outdated = [pod for pod in pods if pod["metadata"]["labels"].get("controller-revision-hash") != digest]
        for pod in pods:
            if pod["spec"].get("nodeName") not in wanted or is_finished(pod):
                self._stop(pod)
        if outdated and all(pod_is_ready(pod) for pod in draft.owned("pods", daemon_set)):
            self._stop(outdated[0])
        placed = {pod["spec"].get("nodeName") for pod in draft.owned("pods", daemon_set)}
        for name in wanted:
            if name not in placed:
                more = {"nodeName": name, "tolerations": tolerations}
                self._make_pod(daemon_set, "DaemonSet", more, {"controller-revision-hash": digest})
        pods = draft.owned("pods", daemon_set)
        ready = sum(1 for pod in pods if pod_is_ready(pod))
        status = {"observedGeneration": daemon_set["metadata"].get("generation", 1),
                  "desiredNumberScheduled": len(wanted), "currentNumberScheduled": len(pods), "numberMisscheduled": 0,
                  "updatedNumberScheduled": len(pods) - len(outdated), "numberReady": ready, "numberAvailable": ready,
                  "numberUnavailable": max(0, len(wanted) - ready)}  # fmt: skip
        self._status("daemonsets", daemon_set, status)

    # the scheduler

    def _schedule(self, nodes: dict[str, Obj]) -> None:
        pods = self._draft.all("pods")
        load = dict.fromkeys(nodes, 0)
        for pod in pods:
            if pod["spec"].get("nodeName") in load:
                load[pod["spec"]["nodeName"]] += 1
        for pod in pods:
            if pod["spec"].get("nodeName") or pod["metadata"].get("deletionTimestamp"):
                continue
            reasons = {name: why_not(pod["spec"], node) for name, node in nodes.items()}
            reasons |= {name: "Too many pods" for name, node in nodes.items() if load[name] >= pod_limit(node)}
            good = [name for name, reason in reasons.items() if not reason]
            if good:
                chosen = min(good, key=lambda name: (load[name], name))
                load[chosen] += 1
                bound = {"type": "PodScheduled", "status": "True", "lastTransitionTime": stamp()}
                status = {**pod["status"], "conditions": [bound]}
                self._draft.put("pods", {**pod, "spec": {**pod["spec"], "nodeName": chosen}, "status": status})
            else:
                counts = [f"{list(reasons.values()).count(why)} {why}" for why in sorted(set(reasons.values()))]
                text = f"0/{len(nodes)} nodes are available: {', '.join(counts)}."
                verdict = {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                                           "message": text}]}  # fmt: skip
                self._status("pods", pod, {**pod["status"], "conditions": keep_times(pod, verdict)})

    # kubelets

    def _kubelet(self, pod: Obj, nodes: dict[str, Obj]) -> None:
        meta, node = pod["metadata"], nodes.get(pod["spec"].get("nodeName", ""))
        if node is None:
            return
        living = self._living(node["metadata"]["name"])
        if not living:
            self._due = min(self._due, time.monotonic() + 0.5)  # nothing tells when a node begins to live
        if meta.get("deletionTimestamp"):
            stop_s = min(float(meta.get("deletionGracePeriodSeconds", 0)), stop_time_s(pod))
            if living and self._age_s(pod, "stopping", stop_s) >= stop_s:
                self._end(pod)
        elif is_finished(pod):
            return
        elif pod["status"]["phase"] == "Pending":
            if living and self._age_s(pod, "starting", POD_START_S) >= POD_START_S:
                self._run(pod, node)
        else:
            ready = condition(node, "Ready").get("status") == "True"
            if ready != (condition(pod, "Ready").get("status") == "True"):
                self._draft.put("pods", {**pod, "status": {**pod["status"], "conditions": pod_conditions(ready)}})

    def _end(self, pod: Obj) -> None:
        if not pod["metadata"].get("finalizers"):
            self._draft.drop("pods", pod)
        elif pod["metadata"].get("deletionGracePeriodSeconds"):
            status = {**pod["status"], "phase": "Succeeded", "conditions": pod_conditions(False)}
            meta = {**pod["metadata"], "deletionGracePeriodSeconds": 0}
            self._draft.put("pods", {**pod, "metadata": meta, "status": status})

    def _run(self, pod: Obj, node: Obj) -> None:
        spec, now = pod["spec"], stamp()
        host = next((a["address"] for a in node["status"]["addresses"] if a["type"] == "InternalIP"), "")
        ip = host if spec.get("hostNetwork") else self._free_ip(node)
        containers = [
            {"name": c["name"], "image": c.get("image", ""), "imageID": "", "ready": True, "started": True,
             "restartCount": 0, "containerID": f"containerd://{hashlib.sha256(c['name'].encode()).hexdigest()}",
             "state": {"running": {"startedAt": now}}, "lastState": {}}
            for c in spec.get("containers") or []
        ]  # fmt: skip
        status = {**pod["status"], "phase": "Running", "startTime": now, "hostIP": host, "podIP": ip,
                  "podIPs": [{"ip": ip}], "containerStatuses": containers, "qosClass": "BestEffort",
                  "conditions": pod_conditions(True)}  # fmt: skip
        self._draft.put("pods", {**pod, "status": status})

    def _free_ip(self, node: Obj) -> str:
        used = {pod["status"].get("podIP") for pod in self._draft.all("pods")}
        hosts = ipaddress.ip_network(node["spec"].get("podCIDR") or "10.42.255.0/24").hosts()
        next(hosts)  # the bridge's own
        return next((str(ip) for ip in hosts if str(ip) not in used), "")


def template_hash(template: Obj) -> str:
    return hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:10]


def is_finished(pod: Obj) -> bool:
    return pod["status"].get("phase") in ("Succeeded", "Failed")


def older_first(pod: Obj) -> float:
    """A sort key by which newer pods come first, since they are the first to go."""
    return -float(calendar.timegm(time.strptime(pod["metadata"]["creationTimestamp"], "%Y-%m-%dT%H:%M:%SZ")))


def tolerates(toleration: Obj, taint: Obj) -> bool:
    if toleration.get("effect") not in (None, "", taint["effect"]):
        return False
    if not toleration.get("key"):
        return bool(toleration.get("operator") == "Exists")
    if toleration["key"] != taint["key"]:
        return False
    return toleration.get("operator") == "Exists" or toleration.get("value", "") == taint.get("value", "")


def pod_limit(node: Obj) -> int:
    return int(node.get("status", {}).get("allocatable", {}).get("pods", 110))


def why_not(spec: Obj, node: Obj) -> str:
    """Why a pod with this spec cannot go to this node; "" if it can."""
    labels = node["metadata"].get("labels") or {}
    for taint in node["spec"].get("taints") or []:
        hard = taint["effect"] in ("NoSchedule", "NoExecute")
        if hard and not any(tolerates(t, taint) for t in spec.get("tolerations") or []):
            return f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value', '')}}}"
    if any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return "node(s) didn't match Pod's node affinity/selector"
    affinity = spec.get("affinity") or {}
    if any((affinity.get(kind) or {}).get("requiredDuringSchedulingIgnoredDuringExecution") for kind in affinity):
        return "node(s) are run by a stand-in that knows no required affinity"
    return ""


def stop_time_s(pod: Obj) -> float:
    """How long a pod takes to end: a preStop hook that sleeps is honoured."""
    hooks = [(c.get("lifecycle") or {}).get("preStop") or {} for c in pod["spec"].get("containers") or []]
    return POD_STOP_S + max((float((hook.get("sleep") or {}).get("seconds", 0)) for hook in hooks), default=0.0)


def pod_conditions(ready: bool) -> list[Obj]:
    states = {"PodScheduled": True, "Initialized": True, "ContainersReady": ready, "Ready": ready}
    return [{"type": kind, "status": str(state), "lastTransitionTime": stamp()} for kind, state in states.items()]


def keep_times(obj: Obj, status: Obj) -> list[Obj]:
    """The conditions of a new status, with the time of the last change of each."""
    kept = []
    for new in status["conditions"]:
        old = condition(obj, new["type"])
        since = old.get("lastTransitionTime") if old.get("status") == new["status"] else stamp()
        kept.append({**new, "lastTransitionTime": since})
    return kept


# --- snapshots ---------------------------------------------------------------------------------------------------

SNAPSHOT_FORMAT = "k3s stand-in etcd snapshot"
S3_SETTINGS = {"etcd-s3-endpoint": "endpoint", "etcd-s3-bucket": "bucket", "etcd-s3-folder": "folder",
               "etcd-s3-region": "region", "etcd-s3-access-key": "accessKey", "etcd-s3-secret-key": "secretKey",
               "etcd-s3-endpoint-ca": "endpointCA"}  # fmt: skip
S3_SWITCHES = {"etcd-s3-insecure": "insecure", "etcd-s3-skip-ssl-verify": "skipSSLVerify"}


def s3_settings(options: Options) -> Obj | None:
    """How to reach the bucket, under the names that k3s's own requests have; None where S3 is off."""
    if not options.on("etcd-s3"):
        return None
    found: Obj = {name: options.one(flag) for flag, name in S3_SETTINGS.items() if options.one(flag)}
    found |= {name: True for flag, name in S3_SWITCHES.items() if options.on(flag)}
    retention = options.one("etcd-s3-retention", options.one("etcd-snapshot-retention", "5"))
    return {"endpoint": "s3.amazonaws.com", "region": "us-east-1", "retention": int(retention), **found}


def render_snapshot(store: Store) -> bytes:
    content = json.dumps({"format": SNAPSHOT_FORMAT, "version": VERSION, **store.snapshot()}).encode()
    return content + b"\n" + hashlib.sha256(content).hexdigest().encode()


def parse_snapshot(raw: bytes) -> Obj:
    """Raises ValueError for anything that is not a whole snapshot of the stand-in's."""
    content, _, digest = raw.rpartition(b"\n")
    if hashlib.sha256(content).hexdigest().encode() != digest:
        raise ValueError("snapshot missing hash but --skip-hash-check=false")
    found: Obj = json.loads(content)
    if found.get("format") != SNAPSHOT_FORMAT:
        raise ValueError("this is no snapshot of the stand-in's")
    return found


def refuse_downgrade(written_by: str, what: str) -> None:
    """Nothing opens data of a newer minor version. The words are the stand-in's own."""
    if written_by and minor_of(written_by) > minor_of(VERSION):
        raise Fatal(
            f"starting kubernetes: preparing server: start managed database: {what} was written by {written_by}, "
            f"which {VERSION} cannot read: going back needs a snapshot that was taken on that minor version"
        )


def minor_of(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.lstrip("v").split(".")[:2])


class S3:
    """One bucket, addressed by path, with requests signed by AWS signature version 4."""

    def __init__(self, settings: Obj) -> None:
        self.settings = settings
        self.bucket, self.folder = settings.get("bucket", ""), settings.get("folder", "").strip("/")
        if not self.bucket:
            raise ValueError("failed to initialize S3 client: s3 bucket name was not set")
        status, _ = self._ask("HEAD", "")
        if status == 404:
            raise ValueError(f"failed to initialize S3 client: bucket {self.bucket} does not exist")
        if status >= 400:
            raise ValueError(f"failed to initialize S3 client: failed to test for existence of bucket {self.bucket}: "
                             f"{http.client.responses.get(status, status)}")  # fmt: skip

    def key(self, name: str) -> str:
        return f"{self.folder}/{name}" if self.folder else name

    def put(self, name: str, data: bytes) -> None:
        self._must("PUT", self.key(name), data)

    def get(self, name: str) -> bytes:
        return self._must("GET", self.key(name))

    def delete(self, name: str) -> bool:
        """Whether it was there."""
        there = self._ask("HEAD", self.key(name))[0] == 200
        if there:
            self._must("DELETE", self.key(name))
        return there

    def names(self) -> dict[str, int]:
        """The names in our folder, with their sizes in bytes."""
        prefix = self.key("")
        raw = self._must("GET", "", query={"list-type": "2", "prefix": prefix}).decode()
        found = re.findall(r"<Contents>.*?<Key>(.*?)</Key>.*?<Size>(\d+)</Size>.*?</Contents>", raw, re.DOTALL)
        names = {html.unescape(key).removeprefix(prefix): int(size) for key, size in found}
        return {name: size for name, size in names.items() if "/" not in name}

    def _must(self, method: str, key: str, data: bytes = b"", query: dict[str, str] | None = None) -> bytes:
        status, raw = self._ask(method, key, data, query)
        if status >= 300:
            found = re.search(rb"<Message>(.*?)</Message>", raw)
            raise ValueError(found[1].decode() if found else f"S3 answered {status}")
        return raw

    def _ask(self, method: str, key: str, data: bytes = b"", query: dict[str, str] | None = None) -> tuple[int, bytes]:
        path = "/" + urllib.parse.quote(f"{self.bucket}/{key}".rstrip("/"))
        text = "&".join(f"{quoted(k)}={quoted(v)}" for k, v in sorted((query or {}).items()))
        headers = sign_v4(self.settings, method, path, text, data)
        connection = self._connect()
        try:
            connection.request(method, f"{path}?{text}" if text else path, data, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise ValueError(f"{method} {path}: {error}") from error
        finally:
            connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        if self.settings.get("insecure"):
            return http.client.HTTPConnection(self.settings["endpoint"], timeout=30)
        context = ssl.create_default_context(cafile=self.settings.get("endpointCA"))
        if self.settings.get("skipSSLVerify"):
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return http.client.HTTPSConnection(self.settings["endpoint"], context=context, timeout=30)


def quoted(text: str) -> str:
    return urllib.parse.quote(text, safe="-_.~")


def sign_v4(settings: Obj, method: str, path: str, query: str, data: bytes) -> dict[str, str]:
    """The headers of a request: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html."""
    now, digest = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()), hashlib.sha256(data).hexdigest()
    signed = {"host": settings["endpoint"], "x-amz-content-sha256": digest, "x-amz-date": now}
    names = ";".join(sorted(signed))
    canonical = [method, path, query, *(f"{name}:{signed[name]}" for name in sorted(signed)), "", names, digest]
    scope = f"{now[:8]}/{settings['region']}/s3/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256("\n".join(canonical).encode()).hexdigest()])
    key = ("AWS4" + settings.get("secretKey", "")).encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    credential = f"{settings.get('accessKey', '')}/{scope}"
    signature = hmac.new(key, text.encode(), "sha256").hexdigest()
    authorization = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
    return {**signed, "Authorization": authorization}


class Snapshots:
    """The snapshots that one server takes: files, perhaps in a bucket too, and an ETCDSnapshotFile for each."""

    def __init__(self, options: Options, node: str, api: Api) -> None:
        self.options, self.node, self.api, self.store = options, node, api, api.store
        self._lock = threading.Lock()

    def answer(self, data: bytes) -> Reply:
        """What `k3s etcd-snapshot` asks of the server, as k3s's own command does: POST /db/snapshot."""
        if not isinstance(self.api.cluster, Etcd):
            return 400, status_object("Failure", 400, "BadRequest", "etcd datastore disabled")
        request = json.loads(data)
        operations: dict[str, Callable[[Obj], Obj]] = {"save": self.save, "list": self.listing, "delete": self.delete,
                                                       "prune": self.prune}  # fmt: skip
        try:
            return 200, operations[request["operation"]](request)
        except (OSError, ValueError) as error:
            log("warning", f"Error in etcd-snapshot handler: {error}")
            return 500, status_object("Failure", 500, "InternalError", str(error))

    def folder(self, request: Obj) -> Path:
        """Only the default folder is made; any other must be there, as in k3s."""
        given = request.get("dir") or self.options.one("etcd-snapshot-dir")
        if given:
            return Path(self.options.root + given)
        folder = self.options.data / "server/db/snapshots"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder

    def save(self, request: Obj) -> Obj:
        """Take one. Files in excess of the retention go, unless it is 0."""
        if not self._lock.acquire(blocking=False):
            raise ValueError("snapshot save already in progress")
        try:
            base = request["name"][0]
            name = f"{base}-{self.node}-{time.time():.0f}"
            path = self.folder(request) / name
            path.parent.stat()
            log("info", f"Saving etcd snapshot to {path}")
            data = render_snapshot(self.store)
            write_file(path, data)
            result: Obj = {"created": [name], "deleted": self._retain(request, base)}
            if request.get("s3"):
                bucket = S3(request["s3"])
                log("info", f"Uploading snapshot to s3://{bucket.bucket}/{bucket.key(name)}")
                bucket.put(name, data)
                result["created"].append(name)
                log("info", f"S3 upload complete for {name}")
        finally:
            self._lock.release()
        self.reconcile(request)
        return result

    def listing(self, request: Obj) -> Obj:
        items = [self._object(entry) for entry in self._found(request)]
        return {"kind": "List", "apiVersion": "v1", "metadata": {}, "items": items}

    def delete(self, request: Obj) -> Obj:
        deleted = []
        bucket = S3(request["s3"]) if request.get("s3") else None
        for name in request.get("name") or []:
            if Path(name).name != name:
                raise ValueError("invalid snapshot name: path traversal not allowed")
            path = self.folder(request) / name
            if path.exists():
                path.unlink()
                deleted.append(name)
                log("info", f"Snapshot {name} deleted locally")
            if bucket and bucket.delete(name):
                deleted.append(name)
                log("info", f"Snapshot {name} deleted from S3")
        self.reconcile(request)
        return {"deleted": deleted}

    def prune(self, request: Obj) -> Obj:
        result = {"deleted": self._retain(request, request["name"][0])}
        self.reconcile(request)
        return result

    def _retain(self, request: Obj, base: str) -> list[str]:
        keep = int(request.get("retention", self.options.one("etcd-snapshot-retention", "5")))
        mine = [e for e in self._found({**request, "s3": None}) if e["snapshotName"].startswith(f"{base}-{self.node}-")]
        surplus = sorted(mine, key=lambda entry: -entry["created"])[keep:] if keep else []
        for entry in surplus:
            log("info", f"Removing local snapshot {entry['location'].removeprefix('file://')}")
            Path(entry["location"].removeprefix("file://")).unlink()
        deleted = [entry["snapshotName"] for entry in surplus]
        if request.get("s3") and keep:
            bucket = S3(request["s3"])
            names = [name for name in bucket.names() if name.startswith(f"{base}-{self.node}-")]
            for name in sorted(names, key=lambda name: -taken_at(name, 0))[int(request["s3"].get("retention", keep)) :]:
                bucket.delete(name)
                deleted.append(name)
        return deleted

    def _found(self, request: Obj) -> list[Obj]:
        """What is on disk and in the bucket, oldest first."""
        entries: list[Obj] = []
        for path in self.folder(request).iterdir():
            if path.is_file() and not path.name.startswith("."):
                about = path.stat()
                entries.append({"snapshotName": path.name, "nodeName": self.node, "location": f"file://{path}",
                                "size": about.st_size, "created": taken_at(path.name, about.st_mtime)})  # fmt: skip
        if request.get("s3"):
            bucket = S3(request["s3"])
            shown = {name: bucket.settings[name] for name in ("endpoint", "bucket", "region", "insecure")
                     if name in bucket.settings} | ({"prefix": bucket.folder} if bucket.folder else {})  # fmt: skip
            for name, size in bucket.names().items():
                where = f"s3://{bucket.bucket}/{bucket.key(name)}"
                owner = re.sub(r"^.*?-([a-z0-9.-]+)-\d+$", r"\1", name) if self.node not in name else self.node
                entries.append({"snapshotName": name, "nodeName": owner, "location": where, "size": size,
                                "created": taken_at(name, 0), "s3": shown})  # fmt: skip
        return sorted(entries, key=lambda entry: (entry["created"], entry["location"]))

    def _object(self, entry: Obj) -> Obj:
        """An ETCDSnapshotFile. Its name is k3s's: where it lies, the file's name, and a digest of both."""
        digest = hashlib.sha256((entry["nodeName"] + entry["location"]).encode()).hexdigest()[:6]
        place = "s3" if "s3" in entry else "local"
        spec = {name: entry[name] for name in ("snapshotName", "nodeName", "location", "s3") if name in entry}
        boot = self.store.get("_bootstrap", "", "bootstrap") or {}
        notes = {ETCD_NOTE + "snapshot-token-hash": hashlib.sha256(boot.get("token", "").encode()).hexdigest()[:12]}
        labels = {ETCD_NOTE + "snapshot-storage-node": "s3" if "s3" in entry else entry["nodeName"]}
        name = f"{place}-{entry['snapshotName'].lower()}-{digest}"
        made = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(entry["created"]))
        return {"kind": "ETCDSnapshotFile", "apiVersion": "k3s.cattle.io/v1",
                "metadata": {"name": name, "labels": labels, "annotations": notes}, "spec": spec,
                "status": {"creationTime": made, "readyToUse": True, "size": str(entry["size"])}}  # fmt: skip

    def reconcile(self, request: Obj) -> None:
        """Have an object for each snapshot of this server's and of the bucket, and none for those that are gone."""
        base = "/apis/k3s.cattle.io/v1/etcdsnapshotfiles"
        wanted = {item["metadata"]["name"]: item for item in (self._object(e) for e in self._found(request))}
        places = {self.node} | ({"s3"} if request.get("s3") else set())
        known = set()
        for old in self.store.all("etcdsnapshotfiles"):
            meta = old["metadata"]
            known.add(meta["name"])
            if meta["name"] not in wanted and meta["labels"].get(ETCD_NOTE + "snapshot-storage-node") in places:
                self.api.call("DELETE", f"{base}/{meta['name']}")
        for name, item in wanted.items():
            if name not in known:
                self.api.call("POST", base, item)

    def run(self) -> NoReturn:
        """Take the scheduled ones."""
        if self.options.on("etcd-snapshot-compress"):
            log("warning", f"the {WHAT_THIS_IS} does not compress its snapshots")
        schedule = self.options.one("etcd-snapshot-schedule-cron", "0 */12 * * *")
        base = self.options.one("etcd-snapshot-name", "etcd-snapshot")
        request = {"name": [base], "s3": s3_settings(self.options)}
        while True:
            due = cron_next(schedule, time.time())
            while (left_s := due - time.time()) > 0:
                LIFE.pause(min(left_s, 30))
            try:
                self.save(request)
            except (OSError, ValueError, ApiError) as error:
                log("error", f"Failed to take etcd snapshot: {error}")


def taken_at(name: str, otherwise: float) -> float:
    """When a snapshot was taken: the end of its name says so."""
    found = re.search(r"-(\d{9,11})$", name)
    return float(found[1]) if found else otherwise


def cron_field(text: str, low: int, high: int) -> set[int]:
    """The values of one field of a schedule."""
    values: set[int] = set()
    for part in text.split(","):
        found = re.fullmatch(r"(\*|\d+)(?:-(\d+))?(?:/(\d+))?", part)
        if not found:
            raise Fatal(f"failed to parse the schedule of snapshots: {text!r}")
        first = low if found[1] == "*" else int(found[1])
        last = high if found[1] == "*" or (found[3] and not found[2]) else int(found[2] or first)
        values |= set(range(first, last + 1, int(found[3] or 1)))
    return values


def cron_next(schedule: str, after: float) -> float:
    """When a schedule comes next, in seconds since 1970. Five fields in local time, or `@every DURATION`."""
    named = {"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0"}
    every = re.fullmatch(r"@every (\d+)(s|m|h)", schedule)
    if every:
        return after + int(every[1]) * {"s": 1, "m": 60, "h": 3600}[every[2]]
    fields = named.get(schedule, schedule).split()
    if len(fields) != 5:
        raise Fatal(f"failed to parse the schedule of snapshots: {schedule!r}")
    minutes, hours, days, months, weekdays = (
        cron_field(field, *limits)
        for field, limits in zip(fields, ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7)), strict=True)
    )
    either = fields[2][0] != "*" and fields[4][0] != "*"  # with both restricted, one of them is enough
    at = after - after % 60
    for _ in range(366 * 24 * 60 * 5):
        at += 60
        now = time.localtime(at)
        weekday = (now.tm_wday + 1) % 7
        on_weekday = weekday in weekdays or (weekday == 0 and 7 in weekdays)
        on_day = (now.tm_mday in days or on_weekday) if either else (now.tm_mday in days and on_weekday)
        if now.tm_min in minutes and now.tm_hour in hours and now.tm_mon in months and on_day:
            return at
    raise Fatal(f"the schedule of snapshots never comes: {schedule!r}")


# --- k3s server --------------------------------------------------------------------------------------------------


CAS = ("server-ca", "client-ca", "request-header-ca", "etcd/server-ca", "etcd/peer-ca")
CA_NAMES = {"etcd/server-ca": "etcd-server-ca", "etcd/peer-ca": "etcd-peer-ca"}
LEAVES = ("serving-kube-apiserver", "client-admin", "peer")
BOOTSTRAP_FILES = [*(f"tls/{ca}.{end}" for ca in CAS for end in ("crt", "key")), "tls/service.key", "cred/passwd"]
OTHER_TOKEN = "bootstrap data already found and encrypted with different token"


def read_if_there(path: Path) -> str:
    return path.read_text() if path.exists() else ""


class Server:
    """One k3s server, from its settings to its listeners."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.machine = Machine(options)
        self.pods = options.many("cluster-cidr") or ["10.42.0.0/16"]
        self.services = options.many("service-cidr") or ["10.43.0.0/16"]
        check_families(self.pods, self.services, self.machine.addresses)
        self.port = int(options.one("https-listen-port", "6443"))
        self.data = options.data / "server"
        self.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.pki = Pki(self.data / "tls")
        self.join_url = options.one("server")
        if (self.data / "db/etcd/tombstone").exists():
            log("info", "tombstone file has been detected, removing data dir to rejoin the cluster")
            self._set_aside()
        self.joined = self.data / "db/etcd/joined"  # a join that was cut short has left a name, and begins anew
        self.has_etcd = self.joined.exists()
        self.joining = bool(self.join_url) and not self.has_etcd
        self.reset_flag = self.data / "db/reset-flag"
        self.passwords: dict[str, set[str]] = {}
        self.ca_pem = ""
        self.actions: dict[tuple[str, str], Callable[[bytes], Reply]] = {
            ("POST", "/v1-k3s/etcd-member"): lambda data: self.api.write(
                {"method": "MEMBER", "body": json.loads(data)}
            ),
            ("PUT", "/v1-k3s/token"): self._rotate_token,
            ("GET", "/v1-k3s/encrypt/status"): self._encryption_state,
            ("POST", "/db/snapshot"): lambda data: self.snapshots.answer(data),
        }
        self.documents: dict[str, Callable[[], Any]] = {
            "/v1-k3s/config": self._agent_config,
            "/v1-k3s/apiservers": self.apiservers,
            "/v1-k3s/server-bootstrap": self._bootstrap_data,
            "/db/info": self._members,
        }

    def _set_aside(self) -> None:
        """Move etcd's data away, where it can be found."""
        folder = self.data / "db/etcd"
        if folder.exists():
            folder.rename(folder.with_name(f"etcd-old-{time.time():.0f}"))

    def run(self) -> NoReturn:
        log("info", f"Starting k3s {VERSION} ({COMMIT}), {WHAT_THIS_IS}")
        restore = self.options.one("cluster-reset-restore-path")
        if self.options.on("cluster-reset"):
            self._reset(restore)
            LIFE.end(0)
        if restore:
            raise Fatal("Error: invalid flag use; --cluster-reset required with --cluster-reset-restore-path")
        token = self._token()
        database = self._database()
        if self.joining:
            self._fetch_bootstrap(token)
            shutil.rmtree(database.parent, ignore_errors=True)
        self.store = Store(database)
        self._adopt_bootstrap(token)
        self._certificates()
        self._credentials(token)
        self.cluster = self._cluster()
        self.api = Api(self.store, self.cluster, self.pods)
        self.snapshots = Snapshots(self.options, self.machine.name, self.api)
        if isinstance(self.cluster, Etcd):
            refuse_downgrade(self.store.note("version"), f"etcd's data in {self.data / 'db/etcd'}")
            self._start_etcd(self.cluster)
            self.store.note("version", VERSION)
        self._save_bootstrap(token)
        self.after_reset = self.reset_flag.exists()
        self.reset_flag.unlink(missing_ok=True)
        self._defaults()
        ApiHandler.server_state = self
        context = server_context(self.pki, ssl.CERT_OPTIONAL)
        bind = self.options.one("bind-address", BIND)
        listen((bind, self.port), ApiHandler, context)
        log("info", "Kube API server is now running")
        self._kubeconfig()
        LIFE.notify("READY=1")
        log("info", "k3s is up and running")
        if not self.options.on("disable-agent"):
            spawn(self._kubelet)
        if isinstance(self.cluster, Etcd) and not self.options.on("etcd-disable-snapshots"):
            spawn(self.snapshots.run)
        self._control()

    # what the cluster keeps for its servers, under the token

    def _adopt_bootstrap(self, token: Token | None) -> None:
        """Take over the files that the datastore keeps, where the token is theirs; any other token is fatal."""
        kept = self.store.get("_bootstrap", "", "bootstrap")
        if not kept:
            return
        password = token.password if token else ""
        if not hmac.compare_digest(kept["token"], node_password_hash(kept["token"].split(":")[1], password)):
            raise Fatal(f"starting kubernetes: preparing server: {OTHER_TOKEN}")
        before = {name: read_if_there(self.data / name) for name in kept["files"]}
        for name, text in kept["files"].items():
            if before[name] != text:
                write_file(self.data / name, text)
        if any(before[f"tls/{ca}.crt"] not in ("", kept["files"][f"tls/{ca}.crt"]) for ca in CAS):
            for leaf in LEAVES:
                self.pki.path(f"{leaf}.crt").unlink(missing_ok=True)

    def _save_bootstrap(self, token: Token | None) -> None:
        """Keep the files that other servers need; a server that joined with a token of before ends here."""
        if self.store.get("_bootstrap", "", "bootstrap"):
            self._adopt_bootstrap(token or parse_token((self.data / "token").read_text().strip()))
            return
        password = next(row.split(",")[0] for row in (self.data / "cred/passwd").read_text().split())
        self._put_bootstrap(password)

    def _put_bootstrap(self, password: str) -> None:
        files = {name: (self.data / name).read_text() for name in BOOTSTRAP_FILES}
        body = {"token": node_password_hash(secrets.token_hex(8), password), "files": files}
        code, answer = self.api.write({"method": "BOOTSTRAP", "body": body})
        if code != 200:
            raise Fatal(
                f"starting kubernetes: preparing server: failed to save bootstrap data: {answer.get('message')}"
            )

    def _rotate_token(self, data: bytes) -> Reply:
        """PUT /v1-k3s/token, as pkg/server/handlers/token.go: files and datastore change at once.

        Who is let in does not: passwords are read when a server starts (pkg/authenticator/passwordfile).
        """
        new = json.loads(data).get("newToken") or secrets.token_hex(8)
        rows = [row.split(",") for row in (self.data / "cred/passwd").read_text().split()]
        old = next(row[0] for row in rows if row[1] == "server")
        both = not self.options.secret("agent-token")
        for row in rows:
            if row[1] == "server" or (both and row[0] == old):
                row[0] = new
        write_file(self.data / "cred/passwd", "".join(",".join(row) + "\n" for row in rows))
        ca_hash = hashlib.sha256(self.ca_pem.encode()).hexdigest()
        write_file(self.data / "token", f"K10{ca_hash}::server:{new}\n")
        try:
            self._put_bootstrap(new)
        except Fatal as error:
            return 500, status_object("Failure", 500, "InternalError", str(error))
        return 200, {}

    def _encryption_state(self, data: bytes) -> Reply:
        if not self.options.on("secrets-encryption"):
            return 200, {"stage": "", "activekey": ""}
        return 200, {"stage": "start", "activekey": "aescbckey", "enable": True, "hashmatch": True}

    # cluster-reset

    def _reset(self, restore: str) -> None:
        """Make this server the only member of etcd, with its own data or with a snapshot's."""
        prefix = "starting kubernetes: preparing server"
        if self.join_url:
            raise Fatal("Error: cannot perform cluster-reset while server URL is set - remove server from "
                        "configuration before resetting")  # fmt: skip
        if self.reset_flag.exists() and not restore:
            raise Fatal(f"{prefix}: Managed etcd cluster membership was previously reset, please remove the "
                        "cluster-reset flag and start k3s normally. If you need to perform another cluster reset, you "
                        f"must first manually delete the file at {self.reset_flag}")  # fmt: skip
        address = self.machine.addresses[0]
        with contextlib.closing(socket.socket()) as probe:
            try:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((address, 2380))
            except OSError as error:
                text = f"listen tcp {address}:2380: bind: {(error.strerror or '').lower()}"
                raise Fatal(f"{prefix}: start managed database: {text}") from error
        token = self._token(resetting=True)
        member = self.data / "db/etcd/member/state.db"
        if restore:
            found = self._fetch_snapshot(restore)
            self._set_aside()
            self.store = Store(member)
            self.store.load(found)
        elif not self.has_etcd:
            raise Fatal(f"{prefix}: etcd database not found in {self.data}")
        else:
            self.store = Store(member)
        write_file(self.reset_flag, "")
        self._adopt_bootstrap(token)
        (self.data / "db/etcd/name").unlink(missing_ok=True)
        (self.data / "db/etcd/tombstone").unlink(missing_ok=True)
        name, member_id = self._member_name()
        gone: list[Edit] = [("_members", "", m["id"], None) for m in self.store.all("_members")]
        edits: list[Edit] = [*gone, ("_members", "", member_id, self._member(name, member_id))]
        self.store.put(number(edits, self.store.rev), self.store.rev + len(edits), self.store.term + 1)
        self.store.note("version", VERSION)
        write_file(self.joined, "")
        self.store.close()
        log("info", "Managed etcd cluster membership has been reset, restart without --cluster-reset flag now. Backup "
                    "and delete ${datadir}/server/db on each peer etcd server and rejoin the nodes")  # fmt: skip

    def _fetch_snapshot(self, restore: str) -> Obj:
        """Read the snapshot to restore; with S3 it is named without a folder, and comes from the bucket."""
        prefix = "starting kubernetes: preparing server: start managed database"
        path, settings = Path(restore), s3_settings(self.options)
        try:
            if settings:
                log("info", f"Retrieving etcd snapshot {restore} from S3")
                path = self.data / "db/snapshots" / path.name
                write_file(path, S3(settings).get(path.name))
                log("info", f"S3 download complete for {path}")
            if not path.exists():
                raise Fatal(f"{prefix}: etcd: snapshot path does not exist: {path}")
            if path.is_dir():
                raise Fatal(f"{prefix}: etcd: snapshot path must be a file, not a directory: {path}")
            found = parse_snapshot(path.read_bytes())
        except ValueError as error:
            raise Fatal(f"{prefix}: {error}") from error
        refuse_downgrade(found["version"], f"the snapshot {path}")
        return found

    # tokens and certificates

    def _token(self, *, resetting: bool = False) -> Token | None:
        text = self.options.secret("token") or ("" if self.joining else read_if_there(self.data / "token").strip())
        first = not ((self.data / "token").exists() or resetting)
        if not text:
            if self.joining:
                raise Fatal("--token is required to join a cluster")
            return None
        try:
            token = parse_token(text)
        except ValueError as error:
            raise Fatal(f"Error: preparing server: {error}") from error
        if token.ca_hash and first and not self.joining:
            raise Fatal("Error: preparing server: failed to normalize token; only the short form fits a first server")
        return token

    def _fetch_bootstrap(self, token: Token | None) -> None:
        """Get the CAs and the passwords of the cluster to join; any problem is fatal, as in k3s."""
        if token is None:
            raise Fatal("--token is required to join a cluster")
        host, port = split_url(self.join_url)
        prefix = "Error: preparing server: failed to bootstrap cluster data"
        try:
            ca_pem = fetch_ca(host, port, token)
        except ValueError as error:
            raise Fatal(f"{prefix}: failed to check if bootstrap data has been initialized: {error}") from error
        link = Link(host, port, client_context(ca_pem), 10)
        headers = basic("server", token.password)
        url = f"https://{host}:{port}/v1-k3s/server-bootstrap"
        try:
            status, raw = link.request("GET", "/v1-k3s/server-bootstrap", None, headers)
        except (OSError, http.client.HTTPException) as error:
            raise Fatal(f"{prefix}: Get {url}: {in_go_words(error, host, port)}") from error
        if status != 200:
            raise Fatal(f"{prefix}: failed to validate token: {url}: {status} {http.client.responses.get(status, '')}")
        data = json.loads(raw)
        if data["datastore"] != "etcd":
            raise Fatal(f"{prefix}: {self.join_url} is not running managed etcd")
        ours = self.options.critical()
        wrong = sorted(name for name, value in data["critical"].items() if ours.get(name) != value)
        if wrong:
            raise Fatal(f"critical configuration value mismatch between servers: {', '.join(wrong)}")
        for name, text in data["files"].items():
            write_file(self.data / name, text)
        self._link, self._headers = link, headers

    def _bootstrap_data(self) -> Obj:
        return {"files": {name: (self.data / name).read_text() for name in BOOTSTRAP_FILES},
                "critical": self.options.critical(), "datastore": self.cluster.kind}  # fmt: skip

    def _certificates(self) -> None:
        now, machine = int(time.time()), self.machine
        for ca in CAS:
            self.pki.make_ca(ca, f"{CA_NAMES.get(ca, f'k3s-{ca}')}@{now}")
        self.pki.make_key("service")
        sans = ["localhost", "127.0.0.1", "10.43.0.1", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
                "kubernetes.default.svc.cluster.local", machine.name, *machine.addresses, *machine.external,
                *self.options.many("tls-san")]  # fmt: skip
        if self.options.one("advertise-address"):
            sans.append(self.options.one("advertise-address"))
        self.pki.make_leaf("serving-kube-apiserver", "server-ca", "/CN=kube-apiserver", "serverAuth", sans)
        self.pki.make_leaf("client-admin", "client-ca", "/O=system:masters/CN=system:admin", "clientAuth")
        self.ca_pem = self.pki.path("server-ca.crt").read_text()

    def _credentials(self, token: Token | None) -> None:
        """cred/passwd and the token files. Another token than at the first start is fatal."""
        passwd = self.data / "cred/passwd"
        if passwd.exists():
            stored = {row.split(",")[1]: row.split(",")[0] for row in passwd.read_text().split()}
            if token and token.password != stored["server"]:
                raise Fatal(f"starting kubernetes: preparing server: {OTHER_TOKEN}")
        else:
            password = token.password if token else secrets.token_hex(16)
            stored = {"server": password, "node": self.options.secret("agent-token") or password}
            rows = [f"{stored['server']},server,server,k3s:server", f"{stored['node']},node,node,k3s:agent"]
            write_file(passwd, "\n".join(rows) + "\n")
        ca_hash = hashlib.sha256(self.ca_pem.encode()).hexdigest()
        if token and token.ca_hash not in ("", ca_hash):
            raise Fatal(f"Error: preparing server: token CA hash does not match the Cluster CA certificate hash: "
                        f"{token.ca_hash} != {ca_hash}")  # fmt: skip
        write_file(self.data / "token", f"K10{ca_hash}::server:{stored['server']}\n")
        self._token_link("node-token")
        if stored["node"] == stored["server"]:
            self._token_link("agent-token")
        else:
            write_file(self.data / "agent-token", f"K10{ca_hash}::node:{stored['node']}\n")
        self.passwords = {"server": {stored["server"]}, "node": set(stored.values())}

    def _token_link(self, name: str) -> None:
        path = self.data / name
        path.unlink(missing_ok=True)
        path.symlink_to(self.data / "token")

    def _kubeconfig(self) -> None:
        path = Path(self.options.root + (self.options.one("write-kubeconfig") or "/etc/rancher/k3s/k3s.yaml"))
        host = self.options.one("bind-address", "127.0.0.1")
        host = "127.0.0.1" if host == "0.0.0.0" else host
        data = {name: base64.b64encode(self.pki.path(name).read_bytes()).decode()
                for name in ("server-ca.crt", "client-admin.crt", "client-admin.key")}  # fmt: skip
        text = (
            "apiVersion: v1\nclusters:\n- cluster:\n"
            f"    certificate-authority-data: {data['server-ca.crt']}\n    server: https://{host}:{self.port}\n"
            "  name: default\ncontexts:\n- context:\n    cluster: default\n    user: default\n  name: default\n"
            "current-context: default\nkind: Config\npreferences: {}\nusers:\n- name: default\n  user:\n"
            f"    client-certificate-data: {data['client-admin.crt']}\n"
            f"    client-key-data: {data['client-admin.key']}\n"
        )
        write_file(path, text, int(self.options.one("write-kubeconfig-mode", "0600"), 8))
        log("info", f"Wrote kubeconfig {path}")

    # the datastore

    def _database(self) -> Path:
        lone, member = self.data / "db/state.db", self.data / "db/etcd/member/state.db"
        if not (self.has_etcd or self.joining or self.options.on("cluster-init")):
            return lone
        if lone.exists():
            if self.joining:
                raise Fatal(f"this server has a datastore of its own ({lone}) and cannot join another")
            log("info", "Migrating content from sqlite to etcd")
            member.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with sqlite3.connect(lone) as source:
                source.execute("VACUUM INTO ?", (str(member),))
            source.close()
            for leftover in self.data.glob("db/state.db*"):
                leftover.rename(leftover.with_name(leftover.name + ".migrated"))
        return member

    def _cluster(self) -> Cluster:
        if self._database().parent.name != "member":
            return Solo(self.store)
        self.pki.make_leaf("peer", "etcd/peer-ca", "/CN=etcd-peer", "clientAuth")
        give_up_s = self.options.argument(
            "kube-controller-manager-arg", "leader-elect-renew-deadline", QUORUM_LOST_EXIT_S
        )
        return Etcd(store=self.store, member=self._member_name()[1], pki=self.pki, give_up_s=give_up_s)

    def _member_name(self) -> tuple[str, str]:
        """The name of this member of etcd, made at the first need, and its id."""
        name = read_or_make(self.data / "db/etcd/name", lambda: f"{self.machine.name}-{secrets.token_hex(4)}")
        return name, hashlib.sha256(name.encode()).hexdigest()[:16]

    def _member(self, name: str, member_id: str) -> Obj:
        address = self.machine.addresses[0]
        return {"id": member_id, "name": name, "machine": self.machine.name, "learner": False,
                "peer": f"https://{address}:2380", "client": f"https://{address}:{self.port}"}  # fmt: skip

    def _start_etcd(self, etcd: Etcd) -> None:
        """Open the peer port, become a member, and wait until this member may serve."""
        address = self.machine.addresses[0]
        me = self._member(self._member_name()[0], etcd.id)
        etcd.on_removed = self._removed
        PeerHandler.etcd, PeerHandler.api = etcd, self.api
        listen((address, 2380), PeerHandler, server_context(self.pki, ssl.CERT_REQUIRED, "etcd/peer-ca"))
        if self.joining:
            self._join_etcd(me)
        elif not etcd.members():
            if self.join_url:
                raise Fatal("this etcd member knows no other; remove server/db to join anew")
            self.store.put(number([("_members", "", etcd.id, me)], self.store.rev), self.store.rev + 1, 0)
        etcd.start()
        if not self.joining:
            write_file(self.joined, "")
        waited = 0.0
        while not self._may_serve(etcd):
            LIFE.pause(0.05)
            waited += 0.05
            if round(waited / 0.05) % 100 == 0:
                log("info", "Waiting for etcd server to become available")
        write_file(self.joined, "")
        etcd.serving = True

    @staticmethod
    def _may_serve(etcd: Etcd) -> bool:
        me = etcd.store.get("_members", "", etcd.id)
        return bool(me and not me["learner"] and etcd.leader and (etcd.is_leader or etcd.synced))

    def _join_etcd(self, me: Obj) -> None:
        log("info", f"Adding member {me['name']} to etcd cluster {self.join_url}")
        status, raw = self._link.request("POST", "/v1-k3s/etcd-member", json.dumps(me).encode(), self._headers)
        if status != 200:
            reason = json.loads(raw).get("message", raw.decode())
            shutil.rmtree(self.data / "db/etcd")  # it never was a member, so the next start joins again
            raise Fatal(
                f"starting kubernetes: preparing server: start managed database: joining etcd cluster: {reason}"
            )
        members = [("_members", "", m["id"], m) for m in json.loads(raw)["members"]]
        self.store.load({"rev": 0, "term": 0, "objects": [list(member) for member in members]})

    def _removed(self) -> None:
        write_file(self.data / "db/etcd/tombstone", "")
        text = "this node has been removed from the cluster please restart k3s to rejoin the cluster"
        if isinstance(self.cluster, Etcd) and not self.cluster.serving:
            die(text)
        log("info", text)

    # what agents ask

    def _agent_config(self) -> Obj:
        defaults = {
            "cluster-domain": "cluster.local",
            "cluster-dns": "10.43.0.10",
            "flannel-backend": "vxlan",
        }
        networks = {"cluster-cidr": ",".join(self.pods), "service-cidr": ",".join(self.services)}
        return networks | {name: self.options.one(name, default) for name, default in defaults.items()}

    def apiservers(self) -> list[str]:
        members = [
            member["client"].removeprefix("https://") for member in self.cluster.members() if not member["learner"]
        ]
        return members or [f"{self.machine.addresses[0]}:{self.port}"]

    def _members(self) -> Obj:
        rows = []
        for m in self.cluster.members():
            row = {"ID": int(m["id"], 16), "name": m["name"], "peerURLs": [m["peer"]], "clientURLs": [m["client"]]}
            rows.append({**row, "isLearner": True} if m["learner"] else row)
        return {"members": rows}

    def check_node_password(self, name: str, password: str) -> tuple[int, str] | None:
        """Remember a new node's password, hold a known one to it. None is a yes."""
        path = "/api/v1/namespaces/kube-system/secrets"
        code, old = self.api.call("GET", f"{path}/{name}.node-password.k3s")
        if code == 404:
            salt = secrets.token_hex(8)
            body = {"metadata": {"name": f"{name}.node-password.k3s"}, "immutable": True,
                    "stringData": {"hash": node_password_hash(salt, password)}}  # fmt: skip
            code, old = self.api.call("POST", path, body)
        if code >= 400:
            return 503, str(old.get("message", ""))
        stored = base64.b64decode(old["data"]["hash"]).decode()
        if hmac.compare_digest(stored, node_password_hash(stored.split(":")[1], password)):
            return None
        log("error", f"Node password rejected for {name}")
        return 403, REJECTED

    def problem(self) -> str:
        if isinstance(self.cluster, Etcd) and not self.cluster.leader:
            return "[-]etcd failed: reason withheld\nreadyz check failed"
        return ""

    # what goes on

    def _ensure(self, path: str, name: str, obj: Obj) -> None:
        if self.api.call("GET", f"{path}/{name}")[0] == 404:
            self.api.call("POST", path, {"metadata": {"name": name}, **obj})

    def _defaults(self) -> None:
        """What every cluster has from the start; an address of each server among the endpoints."""
        for namespace in ("kube-system", "default", "kube-public", "kube-node-lease"):
            self._ensure("/api/v1/namespaces", namespace, {})
        spec = {"clusterIP": "10.43.0.1", "type": "ClusterIP", "ports": [{"name": "https", "port": 443}]}
        self._ensure("/api/v1/namespaces/default/services", "kubernetes", {"spec": spec})
        for add_on, names in ADD_ONS.items():
            if add_on not in self.options.many("disable"):
                for name, volumes in names.items():
                    self._ensure("/apis/apps/v1/namespaces/kube-system/deployments", name, add_on_of(name, volumes))
        base = "/api/v1/namespaces/default/endpoints"
        self._ensure(base, "kubernetes", {})
        hosts = sorted({entry.rpartition(":")[0] for entry in self.apiservers()})
        subset = {"addresses": [{"ip": host} for host in hosts], "ports": [{"name": "https", "port": self.port}]}
        self.api.call("PATCH", f"{base}/kubernetes", {"subsets": [subset]}, "application/merge-patch+json")

    def _kubelet(self) -> None:
        kubelet = Kubelet(options=self.options, machine=self.machine, call=self.api.call)
        if self.after_reset:  # as k3s: the snapshot may hold another password than this machine has
            secret = f"/api/v1/namespaces/kube-system/secrets/{self.machine.name}.node-password.k3s"
            self.api.call("DELETE", secret)
        while True:
            refusal = self.check_node_password(self.machine.name, self.machine.password)
            try:
                if not refusal:
                    kubelet.register()
                    break
                log("info", f"Waiting to retrieve agent configuration; server is not ready: {refusal[1]}")
            except ApiError as error:
                log("error", f"Unable to register node {self.machine.name}: {error.message}")
            LIFE.pause(5)
        spawn(self._set_role, kubelet.path)
        kubelet.run()

    def _set_role(self, path: str) -> None:
        """The role labels come a moment after the Node, by the API, since a kubelet may not set them."""
        LIFE.pause(READY_DELAY_S / 2)
        meta: Obj = {"labels": {"node-role.kubernetes.io/control-plane": "true"}}
        if isinstance(self.cluster, Etcd):
            name = (self.data / "db/etcd/name").read_text().strip()
            meta["labels"]["node-role.kubernetes.io/etcd"] = "true"
            meta["annotations"] = {"etcd.k3s.cattle.io/node-name": name,
                                   "etcd.k3s.cattle.io/node-address": self.machine.addresses[0]}  # fmt: skip
        while self.api.call("PATCH", path, {"metadata": meta}, "application/merge-patch+json")[0] >= 500:
            LIFE.pause(1)

    def _control(self) -> NoReturn:
        """What the controllers of a cluster do; only the leader's do anything."""
        manager = Manager(self.options, self.api)
        while True:
            LIFE.pause(CONTROL_S)
            try:
                manager.tick()
            except ApiError as error:
                log("warning", f"a controller's write failed: {error.message}")
                LIFE.pause(1)


ADD_ONS: dict[str, dict[str, list[Obj]]] = {
    "coredns": {"coredns": []},
    "local-storage": {"local-path-provisioner": []},
    "metrics-server": {"metrics-server": [{"name": "tmp-dir", "emptyDir": {}}]},
}
"""The packaged ones that every cluster has unless they are disabled: Deployments and the volumes of their pods."""


def add_on_of(name: str, volumes: list[Obj]) -> Obj:
    labels = {"k8s-app": name}
    control_plane = {"key": "node-role.kubernetes.io/control-plane", "operator": "Exists", "effect": "NoSchedule"}
    containers = [{"name": name, "image": f"rancher/{name}"}]
    pod = {"containers": containers, "tolerations": [control_plane], "volumes": volumes}
    template = {"metadata": {"labels": labels}, "spec": pod}
    return {"spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}}


def node_password_hash(salt: str, password: str) -> str:
    digest = hashlib.scrypt(password.encode(), salt=salt.encode(), n=1024, r=8, p=1)
    return f"$1:{salt}:{digest.hex()}"


# --- k3s agent ---------------------------------------------------------------------------------------------------


class Agent:
    """One k3s agent: joins, then is a kubelet. Whatever stops it from joining, it tries again for ever."""

    def __init__(self, options: Options) -> None:
        self.options = options
        text = options.secret("token")
        if not text:
            raise Fatal("Error: --token is required")
        if not options.one("server"):
            raise Fatal("Error: --server is required")
        self.text, self.url = text, options.one("server")
        self.machine = Machine(options)
        self.data = options.data / "agent"
        self.data.mkdir(parents=True, exist_ok=True, mode=0o755)
        self.cache = self.data / "etc/k3s-agent-load-balancer.json"
        self.servers = [split_url(self.url), *self._cached()]
        self.links: dict[tuple[str, int], Link] = {}

    def run(self) -> NoReturn:
        log("info", f"Starting k3s agent {VERSION} ({COMMIT}), {WHAT_THIS_IS}")
        token, ca_pem = self._trust()
        pair = self._join(token, ca_pem)
        self.context = client_context(ca_pem, pair)
        for server in list(self.links):
            self.links.pop(server).close()
        kubelet = Kubelet(options=self.options, machine=self.machine, call=self.call)
        while True:
            try:
                kubelet.register()
                break
            except ApiError as error:
                log("error", f"Unable to register node with API server: {error.message}")
                LIFE.pause(1)
        self._compare_versions()
        spawn(self._say_ready)
        log("info", "k3s agent is up and running")
        spawn(self._refresh)
        kubelet.run()
        raise AssertionError("a kubelet does not stop")

    def _say_ready(self) -> None:
        """READY=1 comes once the network policy controller has seen a heartbeat newer than its own start, which may
        be minutes after the Node is Ready: K3S_STANDIN_LATE_READY_S seconds after it has registered."""
        LIFE.pause(float(self.options.environ.get("K3S_STANDIN_LATE_READY_S", "0")))
        LIFE.notify("READY=1")

    def _compare_versions(self) -> None:
        """A kubelet newer than its API server is not supported; k3s starts it all the same."""
        code, found = self.call("GET", "/version")
        theirs = found.get("gitVersion", VERSION) if code == 200 else VERSION
        if minor_of(VERSION) > minor_of(theirs):
            log("warning", f"this agent's version {VERSION} is newer than its server's, {theirs}: not supported")

    def _trust(self) -> tuple[Token, str]:
        """The token and the CA it vouches for; every 2 s until there are both."""
        while True:
            try:
                token = parse_token(self.text)
                return token, self._any_ca(token)
            except ValueError as error:
                log("error", str(error))
            LIFE.pause(2)

    def _any_ca(self, token: Token) -> str:
        problems = []
        for host, port in self.servers:
            try:
                return fetch_ca(host, port, token)
            except ValueError as error:
                problems.append(str(error))
        raise ValueError(problems[0])

    def _join(self, token: Token, ca_pem: str) -> tuple[Path, Path]:
        """Fetch the configuration and get a client certificate; every 5 s until it works."""
        self.context = client_context(ca_pem)
        write_file(self.data / "server-ca.crt", ca_pem, 0o644)
        headers = basic("node", token.password)
        key, certificate = self.data / "client-kubelet.key", self.data / "client-kubelet.crt"
        request = Pki(self.data).request(key, f"/O=system:nodes/CN=system:node:{self.machine.name}")
        key.chmod(0o600)
        csr_headers = headers | {"k3s-Node-Name": self.machine.name, "k3s-Node-Password": self.machine.password,
                                 "k3s-Node-IP": self.machine.addresses[0]}  # fmt: skip
        while True:
            problem = "failed to retrieve configuration from server"
            try:
                self._check(json.loads(self._must("GET", "/v1-k3s/config", None, headers)))
                problem = str(certificate)
                pem = self._must("POST", "/v1-k3s/client-kubelet.crt", request, csr_headers)
                write_file(certificate, pem, 0o644)
                return certificate, key
            except (OSError, http.client.HTTPException, ValueError) as error:
                text = str(error) if isinstance(error, ValueError) else in_go_words(error, *self.servers[0])
                log("info", f"Waiting to retrieve agent configuration; server is not ready: {problem}: {text}")
            LIFE.pause(5)

    def _check(self, told: Obj) -> None:
        check_families(told["cluster-cidr"].split(","), told["service-cidr"].split(","), self.machine.addresses)

    def _must(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> bytes:
        """A supervisor's answer; its refusals are ValueErrors. k3s names its local balancer in them."""
        status, raw = self._request(method, path, body, headers)
        if status == 403 and raw:
            raise ValueError(raw.decode())
        if status != 200:
            raise ValueError(f"https://127.0.0.1:6444{path}: {status} {http.client.responses.get(status, '')}")
        return raw

    def _request(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        """Ask the server that answered last, else the others."""
        problem: OSError | http.client.HTTPException | None = None
        for server in list(self.servers):
            link = self.links.setdefault(server, Link(*server, self.context, 5))
            try:
                answer = link.request(method, path, body, headers)
            except (OSError, http.client.HTTPException) as error:
                problem = problem or error
                continue
            if server != self.servers[0]:
                self.servers = [server, *(s for s in self.servers if s != server)]
                log("info", f"Updated load balancer default server address -> {server[0]}:{server[1]}")
            return answer
        assert problem is not None
        raise problem

    def call(self, method: str, path: str, body: Json = None, content_type: str = "application/json") -> Reply:
        """The object API, as the kubelet uses it. Raises ApiError where no server answers."""
        data = None if body is None else json.dumps(body).encode()
        try:
            status, raw = self._request(method, path, data, {"Content-Type": content_type})
        except (OSError, http.client.HTTPException) as error:
            raise ApiError(503, "ServiceUnavailable", in_go_words(error, *self.servers[0])) from error
        return status, json.loads(raw)

    def _cached(self) -> list[tuple[str, int]]:
        if not self.cache.exists():
            return []
        stored = json.loads(self.cache.read_text())
        pairs = [split_url(f"https://{address}") for address in stored["ServerAddresses"]]
        return [p for p in pairs if p != split_url(self.url)] if stored["ServerURL"] == self.url else []

    def _refresh(self) -> NoReturn:
        """Keep the list of servers, so that the agent outlives the one it joined."""
        known: list[str] = []
        while True:
            try:
                addresses = json.loads(self._must("GET", "/v1-k3s/apiservers", None, {}))
                if addresses != known:
                    known = addresses
                    listed = [split_url(f"https://{address}") for address in known]
                    self.servers += [server for server in listed if server not in self.servers]
                    write_file(self.cache, json.dumps({"ServerURL": self.url, "ServerAddresses": known}))
            except (OSError, http.client.HTTPException, ValueError) as error:
                log("warning", f"failed to refresh the list of servers: {error}")
            LIFE.pause(10)


class Resident:
    """An agent in the process of its servers: the refusals and the Node of `Agent`, without a thread or a socket.

    For a program that runs hundreds of them. It calls `step` again after as many seconds as `step` returned.

    `reach` gives the server that listens at an address, or raises OSError as a connection would.
    """

    def __init__(
        self,
        options: Options,
        *,
        reach: Callable[[str, int], Server],
        tell: Callable[[str], None],
        up: Callable[[], None],
    ) -> None:
        self.ready_delay_s = READY_DELAY_S
        self._tell, self._up, self._reach = tell, up, reach
        self.text, self.url = options.secret("token"), options.one("server")
        for name, value in (("token", self.text), ("server", self.url)):
            if not value:
                raise Fatal(f"Error: --{name} is required")
        machine = Machine(options)
        self.servers = [split_url(self.url)]
        self.kubelet = Kubelet(options=options, machine=machine, call=self.call, say=self.say)
        self._next: Callable[[], float] = self._trust
        self._token = Token("", "")
        self.say("info", f"Starting k3s agent {VERSION} ({COMMIT}), {WHAT_THIS_IS}")

    def say(self, level: str, message: str) -> None:
        self._tell(log_line(level, message))

    def step(self) -> float:
        """Do what is due; returns the seconds until the next step is."""
        return self._next()

    def _trust(self) -> float:
        try:
            self._token = parse_token(self.text)
            host, port = self.servers[0]
            try:
                check_ca(self._reach(host, port).ca_pem.encode(), self._token, self.say)
            except OSError as error:
                words = in_go_words(error, host, port)
                raise ValueError(f'failed to get CA certs: Get "https://{host}:{port}/cacerts": {words}') from error
        except ValueError as error:
            self.say("error", str(error))
            return 2
        self._next = self._join
        return 0

    def _join(self) -> float:
        machine = self.kubelet.machine
        problem = "failed to retrieve configuration from server"
        try:
            server = self._server()
            if self._token.password not in server.passwords["node"]:
                raise ValueError("https://127.0.0.1:6444/v1-k3s/config: 401 Unauthorized")
            check_families(server.pods, server.services, machine.addresses)
            problem = str(self.kubelet.options.data / "agent/client-kubelet.crt")
            refusal = server.check_node_password(machine.name, machine.password)
            if refusal:
                raise ValueError(refusal[1])
        except (OSError, ValueError) as error:
            text = str(error) if isinstance(error, ValueError) else in_go_words(error, *self.servers[0])
            self.say("info", f"Waiting to retrieve agent configuration; server is not ready: {problem}: {text}")
            return 5
        self._next = self._register
        return 0

    def _register(self) -> float:
        try:
            self.kubelet.register()
            self.kubelet.renew()
        except ApiError as error:
            self.say("error", f"Unable to register node with API server: {error.message}")
            return 1
        self._up()
        self.say("info", "k3s agent is up and running")
        self._next = self._beat
        return self.ready_delay_s

    def _beat(self) -> float:
        self.kubelet.beat()
        return self.kubelet.period_s

    def _server(self) -> Server:
        """The server that answered last, else another one of the cluster. Raises OSError."""
        problem: OSError | None = None
        for at in list(self.servers):
            try:
                server = self._reach(*at)
            except OSError as error:
                problem = problem or error
                continue
            known = [split_url(f"https://{address}") for address in server.apiservers()]
            self.servers = [at, *(other for other in (*self.servers, *known) if other != at)]
            self.servers = list(dict.fromkeys(self.servers))
            return server
        assert problem is not None
        raise problem

    def call(self, method: str, path: str, body: Json = None, content_type: str = "application/json") -> Reply:
        """The object API, as the kubelet uses it. Raises ApiError where no server answers."""
        try:
            return self._server().api.call(method, path, body, content_type)
        except OSError as error:
            raise ApiError(503, "ServiceUnavailable", in_go_words(error, *self.servers[0])) from error


# --- k3s's own commands to a server ------------------------------------------------------------------------------

SNAPSHOT_FLAGS = """
debug! config data-dir node-name etcd-server etcd-token server token name dir snapshot-compress! compress! s3!
s3-endpoint s3-endpoint-ca s3-skip-ssl-verify! s3-access-key s3-secret-key s3-session-token s3-bucket
s3-bucket-lookup-type s3-region s3-folder s3-proxy s3-config-secret s3-insecure! s3-timeout s3-retention
snapshot-retention output
"""


class Command:
    """A command that asks the server of this machine something: its flags and words, and how the server is reached."""

    def __init__(self, argv: list[str], flags: str) -> None:
        known = {word.rstrip("!"): word[-1] if word[-1] == "!" else "" for word in flags.split()}
        known |= {f"etcd-{name}": kind for name, kind in known.items() if name.startswith(("s3", "snapshot"))}
        self.words: list[str] = []
        short = {"t": "token", "s": "server", "d": "data-dir", "o": "output", "c": "config"}
        found = parse_flags(argv, known, words=self.words, aliases=short)
        self.flags = {name.removeprefix("etcd-"): values[-1] for name, values in found.items()}
        given = ["--data-dir", self.flags["data-dir"]] if "data-dir" in self.flags else []
        given += ["--config", self.flags["config"]] if "config" in self.flags else []
        self.options = Options("server", given)
        for flag in (*S3_SETTINGS, *S3_SWITCHES, "etcd-s3", "etcd-s3-retention"):
            if flag.removeprefix("etcd-") in self.flags:
                self.options.values[flag] = [self.flags[flag.removeprefix("etcd-")]]

    def ask(self, method: str, path: str, body: Json = None, prefix: str = "") -> bytes:
        """The server's answer. Raises Fatal in k3s's words."""
        host, port = split_url(self._url())
        token = self._token()
        try:
            link = Link(host, port, client_context(fetch_ca(host, port, token)), 60)
            data = None if body is None else json.dumps(body).encode()
            status, raw = link.request(method, path, data, basic("server", token.password))
        except (OSError, http.client.HTTPException) as error:
            raise Fatal(f"Error: {method} https://{host}:{port}{path}: {in_go_words(error, host, port)}") from error
        except ValueError as error:
            raise Fatal(f"Error: {error}") from error
        if status in (401, 403):
            reason = http.client.responses[status]
            raise Fatal(f"Error: {prefix}https://{host}:{port}{path}: {status} {reason}")
        if status != 200:
            raise Fatal(f"Error: {prefix}{json.loads(raw).get('message')}")
        return raw

    def _url(self) -> str:
        host = self.options.one("bind-address", "127.0.0.1")
        host = "127.0.0.1" if host == "0.0.0.0" else host
        return self.flags.get("server") or f"https://{host}:{self.options.one('https-listen-port', '6443')}"

    def _token(self) -> Token:
        path = self.options.data / "server/token"
        text = self.flags.get("token") or os.environ.get("K3S_TOKEN", "")
        try:
            return parse_token(text or path.read_text().strip())
        except OSError as error:
            raise Fatal(f"Error: open {path}: {(error.strerror or '').lower()}") from error
        except ValueError as error:
            raise Fatal(f"Error: {error}") from error


def snapshot_request(command: Command) -> Obj:
    """What `etcd-snapshot` asks of the server. Raises Fatal where the words make no sense."""
    verb, *names = command.words or ["save"]
    verb = {"ls": "list", "l": "list"}.get(verb, verb)
    if verb not in ("save", "list", "delete", "prune"):
        raise Fatal(f"Error: No help topic for '{verb}'")
    if verb == "delete" and not names:
        raise Fatal("Error: no snapshots given for removal")
    if verb != "delete" and names:
        raise Fatal(f"Error: this command does not take any arguments, was provided: {names}")
    if {"compress", "snapshot-compress"} & set(command.flags):
        raise Fatal(f"a compressed snapshot is not something that the {WHAT_THIS_IS} takes")
    retention = int(command.flags.get("snapshot-retention", "5")) if verb == "prune" else 0
    request = {"operation": verb, "retention": retention, "name": names or [command.flags.get("name", "on-demand")]}
    optional = {"dir": command.flags.get("dir"), "s3": s3_settings(command.options)}
    return request | {key: value for key, value in optional.items() if value}


def etcd_snapshot(argv: list[str]) -> int:
    """k3s etcd-snapshot save|ls|delete|prune."""
    command = Command(argv, SNAPSHOT_FLAGS)
    request, output = snapshot_request(command), command.flags.get("output", "")
    if output not in ("", "table", "json", "yaml"):
        raise Fatal(f"Error: invalid output format: {output}")
    answer = json.loads(command.ask("POST", "/db/snapshot", request, "see server log for details: "))
    if request["operation"] == "list":
        print_snapshots(answer, output)
    for name in answer.get("created", []):
        log("info", f"Snapshot {name} saved.")
    for name in answer.get("deleted") or []:
        log("info", f"Snapshot {name} deleted.")
    for name in request["name"] if request["operation"] == "delete" else []:
        if name not in (answer.get("deleted") or []):
            log("warning", f"Snapshot {name} not found.")
    return 0


def print_snapshots(answer: Obj, output: str) -> None:
    if output == "json":
        sys.stdout.write(json.dumps(answer) + "\n")
    elif output == "yaml":
        sys.stdout.write("\n".join(yaml_lines(answer)) + "\n")
    else:
        rows = [["Name", "Location", "Size", "Created"]]
        for item in answer["items"]:
            spec, status = item["spec"], item["status"]
            rows.append([spec["snapshotName"], spec["location"], status["size"], status["creationTime"]])
        widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
        for row in rows:
            sys.stdout.write(
                " ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n"
            )


def yaml_lines(value: Json) -> list[str]:
    """A value as YAML; its scalars are those of JSON."""
    if isinstance(value, dict) and value:
        lines = []
        for key, item in value.items():
            nested = yaml_lines(item)
            plain = not isinstance(item, dict | list) or not item
            lines += [f"{key}: {nested[0]}"] if plain else [f"{key}:", *(f"  {line}" for line in nested)]
        return lines
    if isinstance(value, list) and value:
        blocks = [yaml_lines(item) for item in value]
        return [("- " if at == 0 else "  ") + line for block in blocks for at, line in enumerate(block)]
    return [json.dumps(value)]


def token_rotate(argv: list[str]) -> int:
    """k3s token rotate: as in k3s, only the old token can come by the environment."""
    command = Command(argv, "config data-dir kubeconfig token server new-token")
    if command.words:
        raise Fatal(f"Error: this command does not take any arguments, was provided: {command.words}")
    sys.stdout.write("\033[33mWARNING\033[0m: Recommended to keep a record of the old token. If restoring from a "
                     "snapshot, you must use the token associated with that snapshot.\n")  # fmt: skip
    sys.stdout.flush()
    command.ask("PUT", "/v1-k3s/token", {"newToken": command.flags.get("new-token", "")})
    sys.stdout.write("Token rotated, restart k3s nodes with new token\n")
    return 0


def encryption_status(argv: list[str]) -> int:
    """k3s secrets-encrypt status."""
    command = Command(argv, "config data-dir token server output")
    if command.words != ["status"]:
        raise Fatal(f"`k3s secrets-encrypt {' '.join(command.words)}` is not something that the {WHAT_THIS_IS} does")
    state = json.loads(command.ask("GET", "/v1-k3s/encrypt/status", None, "see server log for details: "))
    if command.flags.get("output") == "json":
        sys.stdout.write(json.dumps(state, indent="\t") + "\n")
    elif "enable" not in state:
        sys.stdout.write("Encryption Status: Disabled, no configuration file found\n")
    else:
        sys.stdout.write(
            "Encryption Status: Enabled\nCurrent Rotation Stage: start\n"
            "Server Encryption Hashes: All hashes match\n\n"
            f"Active  Key Type  Name\n------  --------  ----\n *      AES-CBC   {state['activekey']}\n\n"
        )
    return 0


def certificate_check(argv: list[str]) -> int:
    """k3s certificate check: what each certificate of this machine is, and how long it is good for."""
    command = Command(argv, "config data-dir output service")
    if command.words != ["check"]:
        raise Fatal(f"`k3s certificate {' '.join(command.words)}` is not something that the {WHAT_THIS_IS} does")
    data = command.options.data
    paths = [*sorted((data / "server/tls").rglob("*.crt")), *sorted((data / "agent").glob("client*.crt"))]
    rows = [describe_certificate(path) for path in paths]
    output = command.flags.get("output", "text")
    if output == "json":
        sys.stdout.write(json.dumps({"Certificates": rows}) + "\n")
    elif output == "yaml":
        sys.stdout.write("\n".join(yaml_lines({"certificates": rows})) + "\n")
    elif output == "text":
        for row in rows:
            what = f"{row['Filename']}: certificate {row['Subject']} ({','.join(row['Usages'])})"
            words = {"OK": f"is ok, expires at {row['ExpiryTime']}", "EXPIRED": f"expired at {row['ExpiryTime']}"}
            text = words.get(row["Status"], f"will expire within 120 days at {row['ExpiryTime']}")
            log({"OK": "info", "EXPIRED": "error"}.get(row["Status"], "warning"), f"{what} {text}")
    else:
        raise Fatal(f"Error: invalid output format {output}")
    return 0


def describe_certificate(path: Path) -> Obj:
    command = ["openssl", "x509", "-in", str(path), "-noout", "-subject", "-issuer", "-enddate", "-ext",
               "extendedKeyUsage,keyUsage"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Fatal(f"Error: {path}: {done.stderr.strip()}")
    names = dict(re.findall(r"^(subject|issuer)=.*?CN ?= ?([^,/\n]+)", done.stdout, re.MULTILINE))
    found = re.search(r"notAfter=(.*)", done.stdout)
    end = ssl.cert_time_to_seconds(found[1]) if found else 0
    left_s = end - time.time()
    usages = {
        "Client Authentication": "ClientAuth",
        "Server Authentication": "ServerAuth",
        "Certificate Sign": "CertSign",
    }
    return {"Filename": path.name, "Subject": names.get("subject", ""), "Issuer": names.get("issuer", ""),
            "Usages": [name for text, name in usages.items() if text in done.stdout],
            "ExpiryTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(end)), "ResidualTime": int(left_s * 1e9),
            "Status": "EXPIRED" if left_s < 0 else "WARNING" if left_s < 120 * 86400 else "OK"}  # fmt: skip


# --- k3s kubectl -------------------------------------------------------------------------------------------------


class Kubectl:
    """The few kubectl commands that scripts on a machine use. Elsewhere use the real one."""

    def __init__(self, argv: list[str]) -> None:
        self.words: list[str] = []
        self.flags: dict[str, str] = {}
        rest = list(argv)
        while rest:
            word = rest.pop(0)
            if not word.startswith("-") or (word.endswith("-") and word != "-"):
                self.words.append(word)
                continue
            name, has_value, value = word.lstrip("-").partition("=")
            name = {"o": "output", "n": "namespace", "l": "selector", "A": "all-namespaces"}.get(name, name)
            switches = ("all-namespaces", "no-headers", "ignore-not-found", "overwrite", "wait", "now", "force")
            if name not in (*switches, "output", "namespace", "selector", "kubeconfig", "raw", "request-timeout"):
                raise Fatal(f"error: unknown flag: --{name} (this is the kubectl of the k3s stand-in)")
            self.flags[name] = value if has_value else "true" if name in switches else rest.pop(0) if rest else ""
        self.link = self._connect()

    def _connect(self) -> Link:
        path = Path(self.flags.get("kubeconfig") or os.environ.get("KUBECONFIG") or KUBECONFIG)
        try:
            text = path.read_text()
        except OSError as error:
            raise Fatal(f"error: error loading config file {path}: {error.strerror}") from error
        found = dict(re.findall(r"^\s*([\w-]+): (\S+)$", text, re.MULTILINE))
        ca = base64.b64decode(found["certificate-authority-data"]).decode()
        descriptor = os.memfd_create("client")  # ssl wants a file, and the key has no business on a disk
        for field in ("client-certificate-data", "client-key-data"):
            os.write(descriptor, base64.b64decode(found[field]))
        pair = Path(f"/proc/self/fd/{descriptor}")
        timeout = float(self.flags.get("request-timeout", "30").rstrip("s") or 30)
        return Link(*split_url(found["server"]), client_context(ca, (pair, pair)), timeout or 30)

    def run(self) -> int:
        verb = self.words[0] if self.words else "help"
        actions = {"get": self._get, "delete": self._delete, "label": self._label, "annotate": self._label,
                   "cordon": self._cordon, "uncordon": self._cordon, "version": self._version}  # fmt: skip
        if verb not in actions:
            raise Fatal(f'error: unknown command "{verb}" for "kubectl" of the k3s stand-in')
        return actions[verb]()

    def _ask(
        self, method: str, path: str, body: Json = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        data = None if body is None else json.dumps(body).encode()
        try:
            return self.link.request(method, path, data, headers)
        except (OSError, http.client.HTTPException) as error:
            host, port = self.link.host, self.link.port
            words = in_go_words(error, host, port)
            refused = (
                f"The connection to the server {host}:{port} was refused - did you specify the right host or port?"
            )
            raise Fatal(
                refused if isinstance(error, ConnectionRefusedError) else f"Unable to connect: {words}"
            ) from error

    def _path(self) -> tuple[Resource, str]:
        """The resource that the words name, and its path."""
        kind, _, name = (self.words[1] if len(self.words) > 1 else "").partition("/")
        if not name and len(self.words) > 2:
            name = self.words[2]
        found = [r for r in RESOURCES.values() if kind.lower() in (r.plural, r.singular, *r.short)]
        if not found:
            raise Fatal(f'error: the server doesn\'t have a resource type "{kind}"')
        resource = found[0]
        path = f"/apis/{resource.group_version}" if resource.group else "/api/v1"
        if resource.namespaced and "all-namespaces" not in self.flags:
            path += f"/namespaces/{self.flags.get('namespace', 'default')}"
        return resource, f"{path}/{resource.plural}" + (f"/{name}" if name else "")

    def _get(self) -> int:
        if "raw" in self.flags:
            status, raw = self._ask("GET", self.flags["raw"])
            (sys.stdout if status == 200 else sys.stderr).write(raw.decode())
            return 0 if status == 200 else 1
        resource, path = self._path()
        output = self.flags.get("output", "")
        if self.flags.get("selector"):
            path += "?" + urllib.parse.urlencode({"labelSelector": self.flags["selector"]})
        headers = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"} if output in ("", "wide") else {}
        status, raw = self._ask("GET", path, None, headers)
        answer = json.loads(raw)
        if status == 404 and "ignore-not-found" in self.flags:
            return 0
        if status != 200:
            raise Fatal(f"Error from server ({answer.get('reason')}): {answer.get('message')}")
        if output == "json":
            sys.stdout.write(json.dumps(answer, indent=4) + "\n")
        elif output == "name":
            items = answer.get("items", [answer])
            sys.stdout.writelines(f"{resource.singular}/{item['metadata']['name']}\n" for item in items)
        elif output in ("", "wide"):
            self._print_table(answer, wide=output == "wide")
        else:
            raise Fatal(f"error: the stand-in's kubectl prints json, name and wide, not {output}")
        return 0

    def _print_table(self, answer: Obj, *, wide: bool) -> None:
        shown = [i for i, column in enumerate(answer["columnDefinitions"]) if wide or not column["priority"]]
        rows = [[str(row["cells"][i]) for i in shown] for row in answer["rows"]]
        if not rows:
            sys.stderr.write("No resources found\n")
            return
        if "no-headers" not in self.flags:
            rows.insert(0, [answer["columnDefinitions"][i]["name"].upper() for i in shown])
        if "all-namespaces" in self.flags:
            spaces = [row["object"]["metadata"].get("namespace", "") for row in answer["rows"]]
            rows = [[ns, *row] for ns, row in zip(["NAMESPACE", *spaces][-len(rows) :], rows, strict=True)]
        widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            sys.stdout.write("   ".join(cells).rstrip() + "\n")

    def _change(self, method: str, done: str, body: Json = None) -> int:
        resource, path = self._path()
        status, raw = self._ask(method, path, body, {"Content-Type": "application/merge-patch+json"})
        name = path.rpartition("/")[2]
        if status == 404 and "ignore-not-found" in self.flags:
            return 0
        if status >= 400:
            answer = json.loads(raw)
            raise Fatal(f"Error from server ({answer.get('reason')}): {answer.get('message')}")
        sys.stdout.write(f'{resource.singular} "{name}" deleted\n' if done == "deleted" else
                         f"{resource.singular}/{name} {done}\n")  # fmt: skip
        return 0

    def _delete(self) -> int:
        if "/" not in self.words[1] and len(self.words) < 3:
            raise Fatal("error: resource(s) were provided, but no name was specified")
        return self._change("DELETE", "deleted")

    def _label(self) -> int:
        start = 2 if "/" in self.words[1] else 3
        values = {}
        for word in self.words[start:]:
            key, has_value, value = word.partition("=")
            values[key if has_value else key.rstrip("-")] = value if has_value else None
        field, done = ("labels", "labeled") if self.words[0] == "label" else ("annotations", "annotated")
        return self._change("PATCH", done, {"metadata": {field: values}})

    def _cordon(self) -> int:
        verb = self.words[0]
        self.words = [verb, "node", self.words[1].removeprefix("node/")]
        return self._change("PATCH", f"{verb}ed", {"spec": {"unschedulable": True if verb == "cordon" else None}})

    def _version(self) -> int:
        _, raw = self._ask("GET", "/version")
        sys.stdout.write(f"Client Version: {VERSION}\nServer Version: {json.loads(raw)['gitVersion']}\n")
        return 0


# --- the command line --------------------------------------------------------------------------------------------


def check_config() -> int:
    """A few of the checks of `k3s check-config`; the exit code is how many failed."""
    checks = {"openssl is installed": shutil.which("openssl") is not None,
              "/proc is mounted": Path("/proc/meminfo").exists()}  # fmt: skip
    for name, good in checks.items():
        sys.stdout.write(f"- {name}: {'good' if good else 'fail'}\n")
    failed = sum(1 for good in checks.values() if not good)
    sys.stdout.write(f"STATUS: {'pass' if not failed else f'{failed} (fail)'} ({WHAT_THIS_IS})\n")
    return failed


def stop(number_: int, frame: object) -> None:
    """End at once: everything that counts is on disk already."""
    log("info", f"Received signal {number_}, shutting down")
    LIFE.notify("STOPPING=1")
    os._exit(0)


def token_command(argv: list[str]) -> int:
    """k3s token generate|rotate."""
    if argv == ["generate"]:
        sys.stdout.write(f"{secrets.token_hex(3)}.{secrets.token_hex(8)}\n")
        return 0
    if argv[:1] == ["rotate"]:
        return token_rotate(argv[1:])
    raise Fatal(f"`k3s token {' '.join(argv)}` is not something that the {WHAT_THIS_IS} does")


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "etcd-snapshot": etcd_snapshot, "secrets-encrypt": encryption_status, "certificate": certificate_check,
    "token": token_command, "kubectl": lambda argv: Kubectl(argv).run(),
}  # fmt: skip


def run(argv: list[str]) -> int:
    """One command; returns its exit code."""
    command, rest = (argv[0], argv[1:]) if argv else ("help", [])
    if command in ("--version", "-v"):
        sys.stdout.write(f"k3s version {VERSION} ({COMMIT})\ngo version none ({WHAT_THIS_IS}, Python "
                         f"{platform.python_version()})\n")  # fmt: skip
    elif command in ("server", "agent"):
        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        options = Options(command, rest)
        if command == "server":
            Server(options).run()
        Agent(options).run()
    elif command == "check-config":
        return check_config()
    elif command in COMMANDS:
        return COMMANDS[command](rest)
    elif command in ("crictl", "ctr", "completion"):
        raise Fatal(f"`k3s {' '.join(argv)}` is not something that the {WHAT_THIS_IS} does")
    elif command in ("help", "--help", "-h"):
        sys.stdout.write(f"k3s - {WHAT_THIS_IS}\nCommands: server agent kubectl check-config etcd-snapshot token "
                         "secrets-encrypt certificate\n")  # fmt: skip
    else:
        sys.stderr.write(f"No help topic for '{command}'\n")
        return 3
    return 0


def main() -> int:
    """Multi-call: the name of the link is the subcommand."""
    os.umask(0o022)
    if BUILT_FOR and go_arch() != BUILT_FOR:
        sys.stderr.write(f"{sys.argv[0]}: cannot execute binary file: Exec format error (built for {BUILT_FOR})\n")
        return 126
    name = Path(sys.argv[0]).name
    argv = [name, *sys.argv[1:]] if name in ("kubectl", "crictl", "ctr") else sys.argv[1:]
    try:
        return run(argv)
    except Fatal as error:
        if argv[:1] == ["kubectl"]:
            sys.stderr.write(f"{error}\n")
        else:
            log("fatal", str(error))
        return 1


if __name__ == "__main__":
    sys.exit(main())
