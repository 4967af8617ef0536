"""A server's certificates, passwords and token files."""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from pathlib import Path

from ..connections.passwords import read_passwords, write_passwords
from ..connections.tokens import Token, full_token, parse_token
from ..files import read_if_there, write_file
from ..logs import Fatal, log
from .settings import ServerSettings

CAS = ("server-ca", "client-ca", "request-header-ca", "etcd/server-ca", "etcd/peer-ca")
CA_NAMES = {"etcd/server-ca": "etcd-server-ca", "etcd/peer-ca": "etcd-peer-ca"}
LEAVES = ("serving-kube-apiserver", "client-admin", "peer")
OTHER_TOKEN = "bootstrap data already found and encrypted with different token"


class Credentials:
    """The secrets of one server."""

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        self.passwords: dict[str, set[str]] = {}
        self.ca_pem = ""

    def token(self, *, resetting: bool = False) -> Token | None:
        settings = self.settings
        kept = "" if settings.joining else read_if_there(settings.data / "token").strip()
        text = settings.options.secret("token") or kept
        first = not ((self.settings.data / "token").exists() or resetting)
        if not text:
            if self.settings.joining:
                raise Fatal("--token is required to join a cluster")
            return None
        try:
            token = parse_token(text)
        except ValueError as error:
            raise Fatal(f"Error: preparing server: {error}") from error
        if token.ca_hash and first and not self.settings.joining:
            raise Fatal("Error: preparing server: failed to normalize token; only the short form fits a first server")
        return token

    def make_certificates(self) -> None:
        now, machine = int(time.time()), self.settings.machine
        for ca in CAS:
            self.settings.pki.make_ca(ca, f"{CA_NAMES.get(ca, f'k3s-{ca}')}@{now}")
        self.settings.pki.make_key("service")
        sans = ["localhost", "127.0.0.1", "10.43.0.1", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
                "kubernetes.default.svc.cluster.local", machine.name, *machine.addresses, *machine.external,
                *self.settings.options.many("tls-san")]  # fmt: skip
        if self.settings.options.one("advertise-address"):
            sans.append(self.settings.options.one("advertise-address"))
        self.settings.pki.make_leaf("serving-kube-apiserver", "server-ca", "/CN=kube-apiserver", "serverAuth", sans)
        self.settings.pki.make_leaf("client-admin", "client-ca", "/O=system:masters/CN=system:admin", "clientAuth")
        self.ca_pem = self.settings.pki.path("server-ca.crt").read_text()

    def install(self, token: Token | None) -> None:
        """cred/passwd and the token files. Another server token than at the first start is fatal."""
        agents = self.settings.options.secret("agent-token")
        agents = parse_token(agents).password if agents.startswith("K10") else agents
        passwords = self._ensure_passwords(token, agents)
        ca_hash = hashlib.sha256(self.ca_pem.encode()).hexdigest()
        if token and token.ca_hash not in ("", ca_hash):
            raise Fatal(f"Error: preparing server: token CA hash does not match the Cluster CA certificate hash: "
                        f"{token.ca_hash} != {ca_hash}")  # fmt: skip
        own, node, agent = (self.settings.data / name for name in ("token", "node-token", "agent-token"))
        write_file(own, full_token(self.ca_pem, "server", passwords["server"]) + "\n")
        for path in (node, agent):
            path.unlink(missing_ok=True)
        node.symlink_to(own)
        if agents:
            write_file(agent, full_token(self.ca_pem, "node", passwords["node"]) + "\n")
        else:
            agent.symlink_to(own)
        self.passwords = {user: {password} for user, password in passwords.items()}

    def _ensure_passwords(self, token: Token | None, agents: str) -> dict[str, str]:
        """The agents' password follows the settings at each start, not the data (k3s:
        pkg/daemons/control/deps, genUsers): without an agent token it is the server's."""
        passwords = read_passwords(self.settings.data)
        if not passwords:
            passwords["server"] = token.password if token else secrets.token_hex(16)
        elif token and token.password != passwords["server"]:
            raise Fatal(f"starting kubernetes: preparing server: {OTHER_TOKEN}")
        node = agents or passwords["server"]
        if passwords.get("node") != node:
            passwords["node"] = node
            write_passwords(self.settings.data, passwords)
        return passwords

    def write_kubeconfig(self) -> None:
        options = self.settings.options
        path = Path(options.root + (options.one("write-kubeconfig") or "/etc/rancher/k3s/k3s.yaml"))
        host = options.one("bind-address", "127.0.0.1")
        host = "127.0.0.1" if host == "0.0.0.0" else host
        data = {name: base64.b64encode(self.settings.pki.path(name).read_bytes()).decode()
                for name in ("server-ca.crt", "client-admin.crt", "client-admin.key")}  # fmt: skip
        text = (
            "apiVersion: v1\nclusters:\n- cluster:\n"
            f"    certificate-authority-data: {data['server-ca.crt']}\n    server: https://{host}:{self.settings.port}\n"
            "  name: default\ncontexts:\n- context:\n    cluster: default\n    user: default\n  name: default\n"
            "current-context: default\nkind: Config\npreferences: {}\nusers:\n- name: default\n  user:\n"
            f"    client-certificate-data: {data['client-admin.crt']}\n"
            f"    client-key-data: {data['client-admin.key']}\n"
        )
        write_file(path, text, int(self.settings.options.one("write-kubeconfig-mode", "0600"), 8))
        log("info", f"Wrote kubeconfig {path}")
