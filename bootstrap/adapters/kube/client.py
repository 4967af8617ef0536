"""The official client with limits. It takes 0.15 s to import: import it where it is used."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from kubernetes.client.api_client import ApiClient
from kubernetes.client.api_response import ApiResponse
from kubernetes.client.configuration import Configuration
from kubernetes.client.rest import RESTResponse

from bootstrap.adapters.calls import calling
from bootstrap.adapters.first_page import Dial, parse_http_date
from bootstrap.adapters.kube.answers import CONNECT_TIMEOUT_S, READ_TIMEOUT_S, Answer, check, whole
from bootstrap.adapters.kube.credentials import Credentials, tls_context
from bootstrap.adapters.kube.pool import pools_over
from bootstrap.errors import KubernetesError

if TYPE_CHECKING:
    from kubernetes.client.api.certificates_v1_api import CertificatesV1Api
    from kubernetes.client.api.coordination_v1_api import CoordinationV1Api
    from kubernetes.client.api.core_v1_api import CoreV1Api
    from kubernetes.client.api.custom_objects_api import CustomObjectsApi
    from kubernetes.client.api.policy_v1_api import PolicyV1Api
    from kubernetes.client.api.rbac_authorization_v1_api import RbacAuthorizationV1Api

_POOL_SIZE = 32


class BoundedClient(ApiClient):
    """Every answer of the client's API classes as an `Answer`: of limited size, not parsed into the client's models.

    Neither proxies nor redirects are followed, and nothing is retried.
    """

    def __init__(self, credentials: Credentials, dial: Dial | None = None) -> None:
        configuration = Configuration(host=credentials.server, connection_pool_maxsize=_POOL_SIZE)
        # The client would use HTTPS_PROXY; but the API is on the local network, and receives credentials.
        configuration.proxy = None
        # urllib3 would try three times, each with a warning; callers retry, since they know their deadlines.
        # With False it follows no redirects, either.
        configuration.retries = False
        if credentials.token:
            configuration.api_key["BearerToken"] = credentials.token
            configuration.api_key_prefix["BearerToken"] = "Bearer"
        super().__init__(configuration)
        self.user_agent = "homelab-k8s"
        # The configuration takes certificates only as files, which would have to exist during the whole run.
        self.rest_client.pool_manager.connection_pool_kw["ssl_context"] = tls_context(credentials)
        if dial is not None:
            self.rest_client.pool_manager.pool_classes_by_scheme = pools_over(dial)
        self._importing = threading.Lock()  # importing is not thread-safe

    @cached_property
    def core(self) -> CoreV1Api:
        """Nodes, pods, secrets. Imports 250 models in 0.35 s: not for what `status` reads (ADR 0035)."""
        with self._importing:
            from kubernetes.client.api.core_v1_api import CoreV1Api
        return CoreV1Api(self)

    @cached_property
    def coordination(self) -> CoordinationV1Api:
        """Leases."""
        with self._importing:
            from kubernetes.client.api.coordination_v1_api import CoordinationV1Api
        return CoordinationV1Api(self)

    @cached_property
    def policy(self) -> PolicyV1Api:
        """PodDisruptionBudgets."""
        with self._importing:
            from kubernetes.client.api.policy_v1_api import PolicyV1Api
        return PolicyV1Api(self)

    @cached_property
    def custom_objects(self) -> CustomObjectsApi:
        """What k3s adds."""
        with self._importing:
            from kubernetes.client.api.custom_objects_api import CustomObjectsApi
        return CustomObjectsApi(self)

    @cached_property
    def certificates(self) -> CertificatesV1Api:
        """Certificate requests."""
        with self._importing:
            from kubernetes.client.api.certificates_v1_api import CertificatesV1Api
        return CertificatesV1Api(self)

    @cached_property
    def rbac(self) -> RbacAuthorizationV1Api:
        """Bindings of roles."""
        with self._importing:
            from kubernetes.client.api.rbac_authorization_v1_api import RbacAuthorizationV1Api
        return RbacAuthorizationV1Api(self)

    def get(self, path: str) -> object:
        """The answer for a path. For requests that the API classes lack, or make too expensive (ADR 0035)."""
        accept = {"Accept": "application/json, */*"}
        request = self.param_serialize("GET", path, header_params=accept, auth_settings=["BearerToken"])
        return self.response_deserialize(self.call_api(*request)).data

    def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str],
        body: object = None,
        content_type: str = "application/json",
        timeout_s: float = READ_TIMEOUT_S,
    ) -> Answer:
        """The answer to a request about objects of any kind, which no API class has (ADR 0041)."""
        headers = {"Accept": "application/json", "Content-Type": content_type}
        request = self.param_serialize(
            method,
            path,
            query_params=list(query.items()),
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        answer: Answer = self.response_deserialize(
            self.call_api(*request, _request_timeout=(CONNECT_TIMEOUT_S, timeout_s))
        ).data
        return answer

    def call_api(
        self,
        method: str,
        url: str,
        header_params: Any = None,  # noqa: ANN401 - as in the client
        body: Any = None,  # noqa: ANN401
        post_params: Any = None,  # noqa: ANN401
        _request_timeout: Any = None,  # noqa: ANN401
    ) -> RESTResponse:
        """Send a request. Reads the answer's body up to the limit, except for a watch."""
        path, _, query = url.removeprefix(self.configuration.host).partition("?")
        watching = "watch=true" in query
        with calling("kubernetes", f"{method} {path}{' (watch)' if watching else ''}") as call:
            timeouts_s = _request_timeout or (CONNECT_TIMEOUT_S, READ_TIMEOUT_S)
            response: Any = super().call_api(method, url, header_params, body, post_params, timeouts_s)
            call.status = response.status
            self._refuse_redirect(url, response)
            if not watching or response.status != 200:
                response.data = whole(response.response, server=self.configuration.host)
        if watching and response.status != 200:
            check(_answer(response), server=self.configuration.host)
        return response  # type: ignore[no-any-return]  # the client's `data` has no type

    def response_deserialize(
        self,
        response_data: RESTResponse,
        response_types_map: Mapping[str, object] | None = None,  # noqa: ARG002 - as in the client
    ) -> ApiResponse[Any]:
        """The raw answer: the models take four times as long and reject unexpected values (ADR 0035)."""
        return ApiResponse(status_code=response_data.status, headers=None, data=_answer(response_data), raw_data=b"")

    def _refuse_redirect(self, url: str, response: RESTResponse) -> None:
        sent_to = response.headers.get("Location")
        if sent_to and 300 <= response.status < 400:
            response.response.close()
            raise KubernetesError(
                f"{self.configuration.host} redirects to another address",
                details=f"{url} answered HTTP {response.status} and sends on to {sent_to}",
                resolution="redirects are not followed, since no Kubernetes API redirects: is there a proxy in front "
                "of it?",
            )


def _answer(response: Any) -> Answer:  # noqa: ANN401 - the client's `data` has no type
    at = parse_http_date(response.headers.get("Date", "")) or datetime.now(UTC)
    return Answer(status=response.status, text=response.data.decode(errors="replace"), at=at)
