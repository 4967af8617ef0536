"""Requests to a Kubernetes API through the official client, with its failures as HomelabErrors."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from bootstrap.adapters.first_page import Dial, connect_directly, out_of_date
from bootstrap.adapters.kube.answers import CONNECT_TIMEOUT_S, Answer, Stream, check
from bootstrap.adapters.kube.credentials import Credentials
from bootstrap.errors import GuestError, HomelabError, KubernetesError, KubeUnreachableError, SshUnreachableError

if TYPE_CHECKING:
    from bootstrap.adapters.kube.client import BoundedClient

_HTTPS_PORT = 443


class KubeHttp:
    """The API of one cluster; safe for many threads. Connects, and imports the client, on first use.

    `ask` and `stream` call the methods of the API classes that `client` has.

    Args:
        credentials: Of a kubeconfig.
        dial: The way there; None where it is direct.
    """

    def __init__(self, credentials: Credentials, dial: Dial | None = None) -> None:
        self._credentials = credentials
        self._dial = dial
        self._lock = threading.Lock()  # importing it is not thread-safe
        self._client: BoundedClient | None = None
        self.server = credentials.server

    @property
    def client(self) -> BoundedClient:
        """What sends all requests."""
        with self._lock:
            if self._client is None:
                from bootstrap.adapters.kube.client import BoundedClient

                self._client = BoundedClient(self._credentials, self._dial)
            return self._client

    def ask(
        self, call: Callable[..., Any], *args: object, accepted: frozenset[int] = frozenset(), **options: object
    ) -> Answer:
        """Send one request, without retries.

        Args:
            call: A method of one of the API classes, or `client.get`.
            args: Its arguments.
            accepted: Statuses beyond 2xx that the caller handles.
            options: Its keyword arguments.

        Raises:
            KubeUnreachableError: No answer, or one that asks to retry.
            KubernetesError: Refused.
        """
        with self._converted():
            answer: Answer = call(*args, **options)  # as BoundedClient makes it, whatever the method's type says
        check(answer, accepted, server=self.server)
        return answer

    @contextlib.contextmanager
    def stream(self, call: Callable[..., Any], *, idle_s: float, **options: object) -> Iterator[Stream]:
        """Lines of a watch as they come; ends with it, or with KubeUnreachableError after `idle_s` without any."""
        timeouts_s = (CONNECT_TIMEOUT_S, idle_s)
        with self._converted():
            raw = call(watch=True, _preload_content=False, _request_timeout=timeouts_s, **options)
            try:
                yield Stream(raw)
            finally:
                raw.close()

    def close(self) -> None:
        """Close idle connections."""
        with self._lock:
            if self._client is not None:
                self._client.rest_client.close()

    @contextlib.contextmanager
    def _converted(self) -> Iterator[None]:
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        brief = f"the Kubernetes API at {self.server} does not answer"
        try:
            yield
        except SshUnreachableError as error:
            raise KubeUnreachableError(brief, details=_whole(error), resolution=error.resolution) from error
        except GuestError as error:
            # In one line: `status` shows an error's first one, and both fingerprints of a host key belong there.
            details = error.details.replace("\n", ", ")
            raise KubernetesError(error.brief, details=details, resolution=error.resolution) from error
        except ApiException as error:
            # Status 0: the client reports TLS errors like this.
            details = str(error.reason)
            if "CERTIFICATE_VERIFY_FAILED" in details:
                raise _distrusted(self.server, details, self._dial or connect_directly) from error
            raise KubeUnreachableError(brief, details=details) from error
        except (HTTPError, OSError) as error:
            raise KubeUnreachableError(brief, details=str(error) or type(error).__name__) from error


def _whole(error: HomelabError) -> str:
    return f"{error.brief}: {error.details}" if error.details else error.brief


def _distrusted(server: str, details: str, dial: Dial) -> KubernetesError:
    """The error for a certificate that this cluster's CA did not sign, or that is not valid now."""
    parts = urlsplit(server)
    dated = out_of_date(details, parts.hostname or "", parts.port or _HTTPS_PORT, dial)
    if dated is None:
        return KubernetesError(
            f"{server} is not the API of this cluster",
            details=details,
            resolution="another machine may have this address now, or the address is missing in the API's certificate "
            "(tls_san)",
        )
    if dated.clocks:
        return KubernetesError(
            f"the certificate of {server} is not valid at this computer's time; its clock is probably wrong",
            details=f"{dated.clocks}\n{dated.says}\n{details}",
            resolution=dated.remedy,
        )
    return KubernetesError(
        f"the certificate of {server} is not valid now",
        details=f"{dated.says}\n{details}",
        resolution="k3s renews its certificates at a restart: `systemctl restart k3s` on the servers, one by one",
    )
