"""Requests to a Kubernetes API, with its failures in our own errors."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from bootstrap.adapters.calls import calling
from bootstrap.adapters.first_page import out_of_date
from bootstrap.adapters.kube.credentials import Credentials, tls_context
from bootstrap.errors import KubernetesError, KubeUnreachableError, UnreadableObjectError

if TYPE_CHECKING:
    from kubernetes.client.api_client import ApiClient
    from kubernetes.client.rest import RESTResponse

Object = dict[str, Any]
"""A Kubernetes object, or any other JSON mapping."""

CONNECT_TIMEOUT_S = 3.0
READ_TIMEOUT_S = 10.0
_POOL_SIZE = 32
_HTTPS_PORT = 443
MOST_BYTES = 64 << 20
"""Of an answer: some ten times what the list of a thousand nodes takes; memory is not filled with more."""
MOST_LINE_BYTES = 8 << 20
"""Of an event of a watch: etcd takes no object of more than 1.5 MiB."""
_CHUNK = 1 << 16
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses of an API server that starts, stops or is busy."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the API said.

    Attributes:
        status: HTTP status.
        text: The body.
        at: The API server's clock (one second exact), or ours where it does not tell.
    """

    status: int
    text: str
    at: datetime

    @property
    def object(self) -> Object:
        """The body as JSON. Raises KubernetesError."""
        return parse_object(self.text)


class KubeHttp:
    """The API of one cluster; safe for many threads. Connects, and imports the client, on first use."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._lock = threading.Lock()
        self._client: ApiClient | None = None

    @property
    def server(self) -> str:
        """For error texts."""
        return self._credentials.server

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Object | None = None,
        content_type: str = "application/json",
        accepted: frozenset[int] = frozenset(),
    ) -> Answer:
        """Ask once, without any retry.

        Args:
            method: `GET`, `POST`, `PATCH`, `DELETE`.
            path: Such as `/api/v1/nodes`.
            body: Sent as JSON.
            content_type: Of the body.
            accepted: Statuses beyond 2xx that the caller handles.

        Raises:
            KubeUnreachableError: No answer, or one that says to come again.
            KubernetesError: Refused.
        """
        with self._converted(), calling("kubernetes", f"{method} {path.partition('?')[0]}") as call:
            response = self._call(method, path, READ_TIMEOUT_S, body=body, content_type=content_type)
            call.status = response.status
            data = self._whole(response.response)
        answer = Answer(status=response.status, text=data.decode(errors="replace"), at=_date(response.headers))
        self.check(answer, accepted)
        return answer

    @contextlib.contextmanager
    def stream(self, path: str, *, query: Mapping[str, str], idle_s: float) -> Iterator[Stream]:
        """Lines of a watch as they come; ends with it, or with KubeUnreachableError after `idle_s` without any."""
        with self._converted():
            with calling("kubernetes", f"GET {path} (watch)") as call:
                response = self._call("GET", f"{path}?{urlencode(query)}", idle_s)
                call.status = response.status
            raw = response.response
            try:
                if response.status != 200:
                    text = self._whole(raw).decode(errors="replace")
                    self.check(Answer(status=response.status, text=text, at=_date(response.headers)), frozenset())
                yield Stream(raw)
            finally:
                raw.close()

    def _whole(self, raw: Any) -> bytes:  # noqa: ANN401 - urllib3's response
        """All of an answer; its connection is free again. Raises KubernetesError for one without end."""
        data = bytearray()
        for chunk in raw.stream(_CHUNK, decode_content=True):
            data += chunk
            if len(data) > MOST_BYTES:
                raw.close()
                raise UnreadableObjectError(
                    f"the Kubernetes API at {self.server} sent more than {MOST_BYTES >> 20} MiB for one answer"
                )
        raw.release_conn()
        return bytes(data)

    def close(self) -> None:
        """Close idle connections."""
        with self._lock:
            if self._client is not None:
                self._client.rest_client.pool_manager.clear()

    def _call(
        self, method: str, path: str, read_s: float, *, body: Object | None = None, content_type: str | None = None
    ) -> RESTResponse:
        headers = {"Accept": "application/json, */*", "User-Agent": "homelab-k8s"}
        if body is not None and content_type is not None:
            headers["Content-Type"] = content_type
        if self._credentials.token:
            headers["Authorization"] = f"Bearer {self._credentials.token}"
        asked = f"{self._credentials.server}{path}"
        response = self._api_client().call_api(
            method,
            asked,
            header_params=headers,
            body=body,
            _request_timeout=(CONNECT_TIMEOUT_S, read_s),
        )
        sent_to = response.headers.get("Location")
        if sent_to and 300 <= response.status < 400:
            response.response.close()
            raise KubernetesError(
                f"{self.server} redirects to another address",
                details=f"{asked} answered HTTP {response.status} and sends on to {sent_to}",
                resolution="redirects are not followed, since no Kubernetes API redirects: what stands before it?",
            )
        return response

    def _api_client(self) -> ApiClient:
        with self._lock:
            if self._client is None:
                # Imported here since it costs 0.2 s; the generated APIs beside it would cost 0.5 s more.
                from kubernetes.client.api_client import ApiClient
                from kubernetes.client.configuration import Configuration

                configuration = Configuration()
                configuration.host = self._credentials.server
                # The client takes HTTPS_PROXY for it: the API is on the network here, and credentials are sent to it.
                configuration.proxy = None
                # urllib3 would try three times and warn of each; waiting is the caller's, who knows its deadline.
                # False keeps it from following redirects, too.
                configuration.retries = False
                configuration.connection_pool_maxsize = _POOL_SIZE
                client = ApiClient(configuration)
                # The configuration takes certificates as files that would have to stay for as long as we run.
                client.rest_client.pool_manager.connection_pool_kw["ssl_context"] = tls_context(self._credentials)
                self._client = client
            return self._client

    @contextlib.contextmanager
    def _converted(self) -> Iterator[None]:
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        brief = f"the Kubernetes API at {self.server} does not answer"
        try:
            yield
        except ApiException as error:
            # The client's way to tell of TLS trouble: status 0.
            details = str(error.reason)
            if "CERTIFICATE_VERIFY_FAILED" in details:
                raise _distrusted(self.server, details) from error
            raise KubeUnreachableError(brief, details=details) from error
        except (HTTPError, OSError) as error:
            raise KubeUnreachableError(brief, details=str(error) or type(error).__name__) from error

    def check(self, answer: Answer, accepted: frozenset[int] = frozenset()) -> None:
        """Raise for an answer that is no success.

        Raises:
            KubeUnreachableError: It says to come again.
            KubernetesError: It is a refusal.
        """
        if 200 <= answer.status < 300 or answer.status in accepted:
            return
        said = _message(answer.text) or f"HTTP {answer.status}"
        if answer.status in _PASSING:
            raise KubeUnreachableError(f"the Kubernetes API at {self.server} is not ready", details=said)
        resolution = ""
        if answer.status in (401, 403):
            resolution = "the kubeconfig is of another cluster, or its certificate has expired: fetch it anew with `up`"
        raise KubernetesError(
            f"the Kubernetes API at {self.server} refused (HTTP {answer.status})", details=said, resolution=resolution
        )


class Stream:
    """The open answer to a watch."""

    def __init__(self, raw: Any) -> None:  # noqa: ANN401 - urllib3's response, which the client hands through
        self._raw = raw

    def lines(self) -> Iterator[str]:
        """Each line when it is complete."""
        rest = b""
        for chunk in self._raw.stream(amt=None, decode_content=False):
            *whole, rest = (rest + chunk).split(b"\n")
            if len(rest) > MOST_LINE_BYTES:
                raise UnreadableObjectError("the Kubernetes API sent an event without end")
            for line in whole:
                if line.strip():
                    yield line.decode(errors="replace")

    def shut(self) -> None:
        """Wake a thread that reads from it; it sees the end of the stream."""
        with contextlib.suppress(OSError, ValueError):
            # OSError, ValueError: it is closed already.
            self._raw.shutdown()


def parse_object(text: str) -> Object:
    """JSON as a mapping. Raises KubernetesError."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise KubernetesError("the Kubernetes API sent no JSON", details=f"{error}\n{text[:200]}") from error
    if not isinstance(value, dict):
        raise KubernetesError("the Kubernetes API sent no object", details=text[:200])
    return value


def _distrusted(server: str, details: str) -> KubernetesError:
    """The error for a certificate that this cluster's CA does not vouch for, or that is not valid now."""
    parts = urlsplit(server)
    dated = out_of_date(details, parts.hostname or "", parts.port or _HTTPS_PORT)
    if dated is None:
        return KubernetesError(
            f"{server} is not the API of this cluster",
            details=details,
            resolution="another machine may have this address now, or the API's certificate lacks it (tls_san)",
        )
    if dated.clocks:
        return KubernetesError(
            f"the certificate of {server} is not valid by this computer's clock, which is likely wrong",
            details=f"{dated.clocks}\n{dated.says}\n{details}",
            resolution=dated.remedy,
        )
    return KubernetesError(
        f"the certificate of {server} is not valid now",
        details=f"{dated.says}\n{details}",
        resolution="k3s renews its certificates when it starts: `systemctl restart k3s` on the servers, one by one",
    )


def _message(text: str) -> str:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return text.strip()[:500]
    return str(said.get("message") or "")[:500] if isinstance(said, dict) else text.strip()[:500]


def _date(headers: Mapping[str, str]) -> datetime:
    try:
        return parsedate_to_datetime(headers.get("Date", ""))
    except (ValueError, OverflowError):
        return datetime.now(UTC)
