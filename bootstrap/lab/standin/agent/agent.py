"""k3s agent."""

from __future__ import annotations

import http.client
import json
import random
from pathlib import Path
from typing import NoReturn

from .. import process
from ..api.node_passwords import REJECTED
from ..built import VERSION
from ..connections.agent_words import BALANCER, REJECTED_LOGIN, body_is_gone, not_valid, unreachable, waiting
from ..connections.link import Link, basic, fetch_ca, in_go_words, message_of, split_url
from ..connections.pki import Pki, client_context
from ..connections.tokens import Token, parse_token
from ..failures import ApiError
from ..files import write_file
from ..journal import noise_agent
from ..journal.noise import make_noise
from ..journal.noise_agent import UNPACKING
from ..journal.pace import CONTAINERD_S, UNPACK_S, take
from ..kubelet.kubelet import Kubelet
from ..kubelet.starting import check_flags, die_if_told, take_port
from ..logs import Fatal, log
from ..process import spawn
from ..settings.machine import Machine, check_families
from ..settings.options import Options
from ..settings.registries_file import take_registries
from ..shapes import Json, Reply
from ..versions import COMMIT, WHAT_THIS_IS, minor_of

SERVING = "serving-kubelet.crt"
"""The certificate that k3s requests first, and names in its errors."""


class Agent:
    """One k3s agent: joins, then runs a kubelet. It retries a failed join without end."""

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
        self.backend = ""

    def run(self) -> NoReturn:
        make_noise(UNPACKING)
        take(UNPACK_S)
        log("info", f"Starting k3s agent {VERSION} ({COMMIT}), {WHAT_THIS_IS}")
        make_noise(noise_agent.CONNECTING, {"server": "{}:{}".format(*self.servers[0])})
        token, ca_pem = self._trust()
        pair = self._join(token, ca_pem)
        self.context = client_context(ca_pem, pair)
        for server in list(self.links):
            self.links.pop(server).close()
        kubelet = Kubelet(options=self.options, machine=self.machine, call=self.call)
        kubelet.backend = self.backend
        make_noise(noise_agent.CONTAINERD, kubelet.facts())
        take(CONTAINERD_S)
        check_flags(self.options)
        take_port(self.machine)
        while True:
            try:
                kubelet.start()
                break
            except ApiError as error:
                log("error", f"Unable to register node with API server: {error.message}")
                process.LIFE.pause(1)
        self._compare_versions()
        spawn(self._say_ready)
        spawn(die_if_told, self.options)
        log("info", "k3s agent is up and running")
        spawn(self._refresh)
        kubelet.run()
        raise AssertionError("a kubelet does not stop")

    def _say_ready(self) -> None:
        """READY=1 comes once the network policy controller has seen a heartbeat newer than its own start, which may
        be minutes after the Node is Ready: K3S_STANDIN_LATE_READY_S seconds after it has registered."""
        process.LIFE.pause(float(self.options.environ.get("K3S_STANDIN_LATE_READY_S", "0")))
        process.LIFE.notify("READY=1")

    def _compare_versions(self) -> None:
        """A kubelet newer than its API server is not supported; k3s starts it all the same."""
        code, found = self.call("GET", "/version")
        theirs = found.get("gitVersion", VERSION) if code == 200 else VERSION
        if minor_of(VERSION) > minor_of(theirs):
            log("warning", f"this agent's version {VERSION} is newer than its server's, {theirs}: not supported")

    def _trust(self) -> tuple[Token, str]:
        """The token and the CA that it names; retries every 2 s."""
        while True:
            try:
                token = parse_token(self.text)
                return token, self._any_ca(token)
            except ValueError as error:
                log("error", not_valid(self.url, str(error)))
            process.LIFE.pause(2)

    def _any_ca(self, token: Token) -> str:
        problems = []
        for host, port in self.servers:
            try:
                return fetch_ca(host, port, token, balanced=True)
            except ValueError as error:
                problems.append(str(error))
        raise ValueError(problems[0])

    def _join(self, token: Token, ca_pem: str) -> tuple[Path, Path]:
        """Fetch the configuration and get a client certificate; retries every 5 s or more."""
        self.context = client_context(ca_pem)
        write_file(self.data / "server-ca.crt", ca_pem, 0o644)
        headers = basic("node", token.password)
        key, certificate = self.data / "client-kubelet.key", self.data / "client-kubelet.crt"
        was_in = certificate.exists()
        request = Pki(self.data).request(key, f"/O=system:nodes/CN=system:node:{self.machine.name}")
        key.chmod(0o600)
        csr_headers = headers | {"k3s-Node-Name": self.machine.name, "k3s-Node-Password": self.machine.password,
                                 "k3s-Node-IP": self.machine.addresses[0]}  # fmt: skip
        while True:
            try:
                self._configure(headers, len(request) if was_in else 0)
                pem = self._certify(request, csr_headers)
                write_file(certificate, pem, 0o644)
                return certificate, key
            except ValueError as error:
                log("info", waiting(str(error)))
            process.LIFE.pause(5 + 5 * process.LIFE.pace * random.random())

    def _configure(self, headers: dict[str, str], body_length: int) -> None:
        """Read the configuration. Raises ValueError.

        An agent that was in the cluster (then `body_length` is that of its certificate request) gets the configuration
        with its old certificate. The next request is refused, since its body is gone when it is sent again.
        """
        path = "/v1-k3s/config"
        try:
            status, raw = self._request("GET", path, None, headers)
        except (OSError, http.client.HTTPException) as error:
            raise ValueError(f"failed to retrieve configuration from server: {unreachable(path, error)}") from error
        if status == 401 and body_length:
            log("info", REJECTED_LOGIN)
            raise ValueError(f"{self.data / SERVING}: {body_is_gone('/v1-k3s/' + SERVING, body_length)}")
        if status != 200:
            words = message_of(status, raw, f"{BALANCER}{path}: {status}")
            raise ValueError(f"failed to retrieve configuration from server: {words}")
        told = json.loads(raw)
        check_families(told["cluster-cidr"].split(","), told["service-cidr"].split(","), self.machine.addresses)
        self.backend = told["flannel-backend"]
        take_registries(self.options)

    def _certify(self, request: bytes, headers: dict[str, str]) -> bytes:
        """Get the kubelet's certificate. Raises ValueError."""
        where, path = self.data / SERVING, "/v1-k3s/client-kubelet.crt"
        try:
            status, raw = self._request("POST", path, request, headers)
        except (OSError, http.client.HTTPException) as error:
            raise ValueError(f"{where}: {unreachable('/v1-k3s/' + SERVING, error, 'Post')}") from error
        if status == 403:
            raise ValueError(f"{where}: {REJECTED}")
        if status != 200:
            reason = http.client.responses.get(status, "")
            raise ValueError(f"{where}: {BALANCER}/v1-k3s/{SERVING}: {status} {reason}")
        return raw

    def _must(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> bytes:
        """A supervisor's answer. Raises ValueError for a refusal, with the local load balancer's address as in k3s."""
        status, raw = self._request(method, path, body, headers)
        if status != 200:
            raise ValueError(f"{BALANCER}{path}: {status} {http.client.responses.get(status, '')}")
        return raw

    def _request(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        """Ask the server that answered last, then the others."""
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
        """Keep the list of servers, so that the agent works on without the server that it joined."""
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
            process.LIFE.pause(10)
