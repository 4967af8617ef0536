"""The Proxmox VE API as plain calls: proxmoxer with HomelabErrors and retries."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

import proxmoxer
import requests
import urllib3.exceptions
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_random_exponential

from bootstrap.adapters.calls import Call, calling
from bootstrap.adapters.first_page import PORT_REMEDY, PVE_PORT, place, speaks_no_tls, unreached
from bootstrap.adapters.proxmox.client import other_products, tls
from bootstrap.adapters.proxmox.client.answer_limits import refused_answer
from bootstrap.errors import AuthenticationError, HypervisorError, InterruptedRunError, TransientError
from bootstrap.model.access.endpoint import PveEndpoint
from bootstrap.model.ids import PveNodeName
from bootstrap.model.observed import PveVersion
from bootstrap.model.reading import Reading
from bootstrap.ports import Clock
from bootstrap.proxmox.failures import AnswerLostError, PveNodeUnreachableError, from_status
from bootstrap.proxmox.reading.answers import answer as reading_of
from bootstrap.proxmox.rights.grants import likely_paths
from bootstrap.waiting import Condition, WaitContext, wait_for

T = TypeVar("T")

_LONGEST_PAUSE_S = 3.0

logger = logging.getLogger(__name__)

# proxmoxer logs request bodies (keys, passwords) at INFO and answers at DEBUG: no log level may show them.
for _noisy in ("proxmoxer.core", "proxmoxer.backends.https"):
    logging.getLogger(_noisy).disabled = True


class Api:
    """Calls to one Proxmox VE endpoint, from any thread.

    Args:
        endpoint: Where, as whom, and how its certificate is checked.
        clock: For the pauses between attempts.
        stop: Once set, nothing is tried again.
        connect_timeout_s: For TCP and TLS; proxmoxer's default, 5 s for everything, is too short.
        request_timeout_s: For an answer; Proxmox VE itself waits 10 s for a lock and gives up after 30 s.
        retry_for_s: How long transient failures are retried.

    Raises:
        AuthenticationError: The endpoint's address or TLS settings are invalid.
    """

    def __init__(
        self,
        endpoint: PveEndpoint,
        *,
        clock: Clock,
        stop: threading.Event,
        connect_timeout_s: float,
        request_timeout_s: float,
        retry_for_s: float,
    ) -> None:
        self._endpoint = endpoint
        self.clock = clock
        self.stop = stop
        self._retry_for_s = retry_for_s
        self._answered = False
        self._version: PveVersion | None = None
        self._away_since_s: float | None = None
        self._silent_since_s: dict[str, float] = {}
        self.token = str(endpoint.token)
        self._host, self._port, prefix = _address(endpoint.url)
        backend = proxmoxer.ProxmoxAPI(
            self._host,
            port=self._port,
            path_prefix=prefix,
            user=endpoint.token.user,
            token_name=endpoint.token.name,
            token_value=endpoint.token.secret,
            verify_ssl=False,  # the adapter mounted below decides, and does not ask proxmoxer
            timeout=(connect_timeout_s, request_timeout_s),
        )
        # proxmoxer has no public way to its session.
        session: requests.Session = backend._store["session"]
        # A proxy or .netrc of the environment is for the internet; the Proxmox node is on the network here.
        session.trust_env = False
        tls.mount(session, endpoint.tls)
        self._resource = backend
        self._session = session

    def read(self, path: str, /, *, what: str, **parameters: str | int) -> Reading:
        """Read, retrying transient failures; the answer is not checked yet.

        Args:
            path: Below `/api2/json`, without a leading slash.
            what: What is tried, as it reads after "cannot".
            parameters: Of the query.
        """
        return reading_of(self.retry(lambda: self.send("get", path, what=what, parameters=parameters)), what=what)

    def send(self, method: str, path: str, *, what: str, parameters: Mapping[str, str | int]) -> Any:  # noqa: ANN401
        """One request, once.

        Raises:
            AnswerLostError: It may or may not have been carried out.
            TransientError: It was not carried out.
            HypervisorError: Any other failure, as its subclass.
        """
        began_s = self.clock.now_s()
        try:
            # Never the parameters: keys and passwords are among them.
            with calling("proxmox", f"{method.upper()} /{path}") as call:
                answer = self._asked(call, method, path, parameters)
        except proxmoxer.ResourceException as error:
            if not self._answered and error.status_code in other_products.STRANGE:
                self._check_product(error.status_code)
            refused = _refused(error, what=what, token=self.token, asked_for=likely_paths(path, parameters))
            self._heard(path, refused, began_s)
            raise self._mask(refused) from error
        except requests.exceptions.RequestException as error:
            if self._away_since_s is None:
                self._away_since_s = began_s
            raise self._mask(self._unanswered(error, what=what)) from error
        except RecursionError as error:  # JSON that is nested deeper than a parser goes
            raise reading_of(None, what=what).wrong("JSON of an answer's form") from error
        except (KeyError, TypeError, AttributeError) as error:  # JSON without "data" or that is no object
            raise self._no_proxmox(what) from error
        if isinstance(answer, dict) and isinstance(answer.get("errors"), bytes):
            raise self._no_proxmox(what)
        self._heard(path)
        return answer

    def _asked(self, call: Call, method: str, path: str, parameters: Mapping[str, str | int]) -> Any:  # noqa: ANN401
        try:
            answer = getattr(self._resource(path), method)(**parameters)
        except proxmoxer.ResourceException as error:
            call.status = error.status_code
            raise
        call.status = 200
        return answer

    def _heard(self, path: str, refused: HypervisorError | None = None, began_s: float = 0.0) -> None:
        """Note that the API answers, and the request's Proxmox node, too, unless it was unreachable."""
        self._answered = True
        self._away_since_s = None
        if isinstance(refused, PveNodeUnreachableError):
            refused.silent_since_s = self._silent_since_s.setdefault(node_of(path), began_s)
        else:
            self._silent_since_s.pop(node_of(path), None)

    def put(self, path: str, *, what: str, parameters: Mapping[str, str | int]) -> None:
        """Write settings, retrying what is transient: written twice they are the same."""
        self.retry(lambda: self.send("put", path, what=what, parameters=parameters))

    def wait(self, condition: Condition[T], *, timeout_s: float) -> T:
        """Wait for what Proxmox VE does on its own; a long wait is noted in the log.

        Raises:
            DeadlineError: Time ran out.
            InterruptedRunError: The run was interrupted.
        """
        deadline_s = self.clock.now_s() + timeout_s
        return wait_for(condition, WaitContext(clock=self.clock, deadline_s=deadline_s, stop=self.stop, say=_log_wait))

    def retry(self, attempt: Callable[[], T]) -> T:
        """Repeat `attempt` while it fails with a transient error; raises the last one.

        An unreachable API is so for all: time runs from when it last answered, so that the requests of a step, and
        parallel lanes, give up at the same time and not one after another. The same holds for one Proxmox node that the
        API does not reach.

        Raises:
            InterruptedRunError: The run was interrupted between two attempts.
        """
        deadline_s = self.clock.now_s() + self._retry_for_s
        pause = wait_random_exponential(multiplier=0.2, max=_LONGEST_PAUSE_S)

        def left_s(state: RetryCallState) -> float:
            failure = state.outcome.exception() if state.outcome is not None else None
            return self._until_s(deadline_s, failure) - self.clock.now_s()

        retrying = Retrying(
            stop=lambda state: self.stop.is_set() or left_s(state) <= 0,
            wait=lambda state: max(0.0, min(pause(state), left_s(state))),  # the last attempt is made at the deadline
            retry=retry_if_exception_type(TransientError),
            sleep=self.clock.sleep,
            reraise=True,
        )
        try:
            return retrying(attempt)
        except TransientError as error:
            if self.stop.is_set():
                raise InterruptedRunError("interrupted", details=str(error)) from error
            raise

    def _until_s(self, deadline_s: float, failure: BaseException | None) -> float:
        """When to give up: at the request's deadline, or once API or Proxmox node were unreachable that long."""
        silent_since_s = failure.silent_since_s if isinstance(failure, PveNodeUnreachableError) else None
        since_s = [since for since in (self._away_since_s, silent_since_s) if since is not None]
        return min([deadline_s, *(since + self._retry_for_s for since in since_s)])

    def version(self) -> PveVersion:
        """Proxmox VE's version; asked for once."""
        if self._version is None:
            text = self.read("version", what="read the version").at("version").text("", most=100)
            numbers = [int(number) for number in re.findall("[0-9]{1,9}", text)[:2]] + [0, 0]
            self._version = PveVersion(major=numbers[0], minor=numbers[1], text=text)
        return self._version

    def close(self) -> None:
        """Close the connections that are kept open."""
        self._session.close()

    def _unanswered(self, error: requests.exceptions.RequestException, *, what: str) -> HypervisorError:
        refused = refused_answer(error, what=what, where=place(self._host, self._port))
        if refused is not None:
            return refused
        if isinstance(error, requests.exceptions.SSLError) and speaks_no_tls(str(error)):
            return unreached(self._host, self._port, _cause(error))
        if isinstance(error, requests.exceptions.SSLError) and not _cut_off(error):
            return tls.certificate_error(error, host=self._host, port=self._port, tls=self._endpoint.tls)
        where = place(self._host, self._port)
        if not _was_sent(error):
            if self._answered:
                return TransientError(f"cannot {what}: {where} no longer answers", details=_cause(error))
            return unreached(self._host, self._port, _cause(error))
        return AnswerLostError(
            f"cannot {what}: the connection to {where} was lost",
            details=_cause(error),
            resolution="check the network and the Proxmox node's pveproxy, then run the command again",
        )

    def _check_product(self, status: int) -> None:
        """Raise AuthenticationError where the endpoint's first answer is not Proxmox VE's."""
        where = place(self._host, self._port)
        stranger = other_products.stranger(other_products.found_at(self._host, self._port), status, where=where)
        if stranger is not None:
            raise stranger

    def _no_proxmox(self, what: str) -> HypervisorError:
        found = other_products.found_at(self._host, self._port)
        titled = f'its page is titled "{found.title}"' if found.title else ""
        return AuthenticationError(
            f"cannot {what}: the server at {self._endpoint.url} is not a Proxmox VE API",
            details=f"it is {found.product}" if found.product else titled,
            resolution=PORT_REMEDY,
        )

    def _mask(self, error: HypervisorError) -> HypervisorError:
        """Remove the token's secret from the error's details, where the other side has echoed it."""
        error.details = error.details.replace(self._endpoint.token.secret, "***")
        return error


def node_of(path: str) -> PveNodeName:
    """The Proxmox node in a path; empty where the path is one of the whole cluster."""
    parts = path.split("/")
    return PveNodeName(parts[1] if parts[0] == "nodes" and len(parts) > 1 else "")


def _log_wait(what: str, problem: str, waited_s: float) -> None:
    logger.info("%s: %s (%.0f s)", what, problem, waited_s)


def _address(url: str) -> tuple[str, int, str | None]:
    """Host, port and path prefix of an endpoint's URL. Raises AuthenticationError."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = urlsplit(""), None, None
    if parts.scheme != "https" or not host:
        raise AuthenticationError(
            "the Proxmox endpoint is not an https URL",
            details=url,
            resolution=f"write it as https://HOST:{PVE_PORT}",
        )
    prefix = parts.path.strip("/").removesuffix("api2/json").strip("/")
    return host, port or PVE_PORT, prefix or None


def _refused(
    error: proxmoxer.ResourceException, *, what: str, token: str, asked_for: tuple[str, ...]
) -> HypervisorError:
    # http.client reads the reason phrase as Latin-1; Proxmox VE writes UTF-8.
    reason = (error.content or error.status_message or "").split(" - {", 1)[0]
    try:
        reason = reason.encode("latin-1").decode()
    except UnicodeError:
        logger.debug("a reason phrase that is not UTF-8")
    texts = error.errors if isinstance(error.errors, dict) else {}
    errors = {str(name): text for name, text in texts.items() if isinstance(text, str)}
    return from_status(
        status=error.status_code, reason=reason, errors=errors, what=what, token=token, asked_for=asked_for
    )


def _inner(error: requests.exceptions.RequestException) -> BaseException:
    """What urllib3 found, under requests' wrapping."""
    inner: BaseException = error.args[0] if error.args and isinstance(error.args[0], BaseException) else error
    reason = getattr(inner, "reason", None)
    return reason if isinstance(reason, BaseException) else inner


def _was_sent(error: requests.exceptions.RequestException) -> bool:
    """Whether the request may have reached the other side."""
    never = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)
    return not (isinstance(error, requests.exceptions.ConnectTimeout) or isinstance(_inner(error), never))


def _cut_off(error: requests.exceptions.SSLError) -> bool:
    """Whether a handshake was cut off (a proxy that restarts) rather than refused."""
    return "EOF" in str(error) or "reset by peer" in str(error)


def _cause(error: requests.exceptions.RequestException) -> str:
    inner = _inner(error)
    # urllib3's errors of a connection carry it beside their text, which is last.
    said = inner.args[-1] if isinstance(inner, urllib3.exceptions.ConnectTimeoutError) and inner.args else inner
    return f"{type(error).__name__}: {said}"
