"""An agent inside the process of its servers."""

from __future__ import annotations

from collections.abc import Callable

from .. import process
from ..api.node_passwords import REJECTED
from ..built import VERSION
from ..connections.agent_words import BALANCER, not_valid, unreachable, waiting
from ..connections.link import in_go_words, split_url
from ..connections.tokens import Token, check_ca, parse_token
from ..failures import ApiError, not_ready
from ..journal import noise_agent
from ..journal.noise import make_noise
from ..journal.noise_agent import UNPACKING
from ..kubelet.kubelet import Kubelet
from ..kubelet.starting import check_flags, dies_after_s, no_kmsg
from ..listeners.supervisor import Served
from ..logs import Fatal, log_line
from ..settings.machine import Machine, check_families
from ..settings.options import Options
from ..settings.registries_file import take_registries
from ..shapes import Json, Reply
from ..versions import COMMIT, WHAT_THIS_IS
from .agent import SERVING


class Resident:
    """An agent in the process of its servers: the refusals and the Node of `Agent`, without a thread or a socket.

    For a program that runs hundreds of agents. It calls `step` again after the seconds that `step` returned. `reach`
    returns the server at an address, or raises OSError as a connection would.
    """

    def __init__(
        self,
        options: Options,
        *,
        reach: Callable[[str, int], Served],
        tell: Callable[[str], None],
        up: Callable[[], None],
    ) -> None:
        self.ready_delay_s = process.LIFE.ready_delay_s
        self._tell, self._up, self._reach = tell, up, reach
        self.text, self.url = options.secret("token"), options.one("server")
        for name, value in (("token", self.text), ("server", self.url)):
            if not value:
                raise Fatal(f"Error: --{name} is required")
        machine = Machine(options)
        self.servers = [split_url(self.url)]
        self.kubelet = Kubelet(options=options, machine=machine, call=self.call, say=self.say, tell=tell)
        self._next: Callable[[], float] = self._trust
        self._token = Token("", "")
        make_noise(UNPACKING, tell=tell)
        self.say("info", f"Starting k3s agent {VERSION} ({COMMIT}), {WHAT_THIS_IS}")
        make_noise(noise_agent.CONNECTING, self.kubelet.facts(), tell)

    def say(self, level: str, message: str) -> None:
        self._tell(log_line(level, message))

    def step(self) -> float:
        """Do the next step; returns the seconds until the one after it."""
        return self._next()

    def _trust(self) -> float:
        try:
            self._token = parse_token(self.text)
            host, port = self.servers[0]
            try:
                check_ca(self._reach(host, port).ca_pem.encode(), self._token, self.say)
            except OSError as error:
                raise ValueError(f"failed to get CA certs: {unreachable('/cacerts', error)}") from error
        except ValueError as error:
            self.say("error", not_valid(self.url, str(error)))
            return 2
        self._next = self._join
        return 0

    def _join(self) -> float:
        machine = self.kubelet.machine
        problem = "failed to retrieve configuration from server"
        try:
            server = self._server()
            if self._token.password not in server.passwords["node"]:
                raise ValueError("not authorized")
            check_families(server.pods, server.services, machine.addresses)
            self.kubelet.backend = server.flannel_backend
            problem = str(self.kubelet.options.data / "agent" / SERVING)
            refusal = server.check_node_password(machine.name, machine.password)
            if refusal:
                busy = f"{BALANCER}/v1-k3s/{SERVING}: 503 Service Unavailable"
                raise ValueError(REJECTED if refusal[0] == 403 else busy)
        except (OSError, ValueError) as error:
            text = str(error) if isinstance(error, ValueError) else unreachable("/v1-k3s/config", error)
            self.say("info", waiting(f"{problem}: {text}"))
            return 5
        try:
            take_registries(self.kubelet.options)
        except ValueError as error:
            self.say("info", waiting(str(error)))
            return 5
        make_noise(noise_agent.CONTAINERD, self.kubelet.facts(), self._tell)
        check_flags(self.kubelet.options)
        self._next = self._register
        return 0

    def _register(self) -> float:
        try:
            self.kubelet.start()
            self.kubelet.renew()
        except ApiError as error:
            self.say("error", f"Unable to register node with API server: {error.message}")
            return 1
        self._up()
        self.say("info", "k3s agent is up and running")
        after_s = dies_after_s(self.kubelet.options)
        self._next = self._beat if after_s is None else self._die
        return self.ready_delay_s if after_s is None else after_s

    def _die(self) -> float:
        raise no_kmsg()

    def _beat(self) -> float:
        self.kubelet.beat()
        return self.kubelet.pause_s

    def _server(self) -> Served:
        """The server that answered last, or another server of the cluster. Raises OSError."""
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
            server = self._server()
            return server.api.call(method, path, body, content_type) if server.ready else not_ready()
        except OSError as error:
            raise ApiError(503, "ServiceUnavailable", in_go_words(error, *self.servers[0])) from error
