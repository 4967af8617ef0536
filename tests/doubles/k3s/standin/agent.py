"""k3s agent."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import NoReturn

from . import process
from .built import VERSION
from .failures import ApiError
from .files import write_file
from .kubelet import Kubelet
from .link import Link, basic, fetch_ca, in_go_words, split_url
from .machine import Machine, check_families
from .pace import CONTAINERD_S, UNPACK_S, take
from .pki import Pki, client_context
from .process import spawn
from .settings import Options
from .shapes import Json, Obj, Reply
from .telling import Fatal, log
from .tokens import Token, parse_token
from .versions import COMMIT, WHAT_THIS_IS, minor_of


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
        take(UNPACK_S)
        log("info", f"Starting k3s agent {VERSION} ({COMMIT}), {WHAT_THIS_IS}")
        token, ca_pem = self._trust()
        pair = self._join(token, ca_pem)
        self.context = client_context(ca_pem, pair)
        for server in list(self.links):
            self.links.pop(server).close()
        take(CONTAINERD_S)
        kubelet = Kubelet(options=self.options, machine=self.machine, call=self.call)
        while True:
            try:
                kubelet.register()
                break
            except ApiError as error:
                log("error", f"Unable to register node with API server: {error.message}")
                process.LIFE.pause(1)
        self._compare_versions()
        spawn(self._say_ready)
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
        """The token and the CA it vouches for; every 2 s until there are both."""
        while True:
            try:
                token = parse_token(self.text)
                return token, self._any_ca(token)
            except ValueError as error:
                log("error", str(error))
            process.LIFE.pause(2)

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
            process.LIFE.pause(5)

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
            process.LIFE.pause(10)
