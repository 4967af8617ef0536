"""The environment's proxies for downloads: not used for near hosts; an unusable one is reported.

requests reads `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, in lower or upper case. Proxmox VE, Kubernetes
and machines are never reached through them.
"""

from __future__ import annotations

import importlib.util
import os
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from bootstrap.adapters.system_cas import verifying_context
from bootstrap.errors import ArtifactError
from bootstrap.k3s.environment import NEAR

if TYPE_CHECKING:
    import requests

_NEAR = (".localhost", *NEAR)
"""Suffixes that public DNS does not have."""


def is_near(host: str) -> bool:
    """Whether a host is on a local network: a private address, a name without a dot or of a home network.

    Args:
        host: A name, or an address without brackets.
    """
    try:
        return not ip_address(host.partition("%")[0]).is_global
    except ValueError:
        name = host.lower().rstrip(".")
        return "." not in name or name.endswith(_NEAR)


def proxy_problem(proxy: str) -> str:
    """Why a proxy's URL cannot be used; empty where it can. Never repeats user and password.

    Args:
        proxy: The variable's value; without a scheme it is an HTTP proxy.
    """
    try:
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        host, _ = parts.hostname, parts.port
    except ValueError:  # its text may contain a part of the password
        return "it is not a valid URL"
    if not host:
        return "it has no host"
    scheme = parts.scheme.lower()
    if scheme in ("socks4", "socks4a", "socks5", "socks5h"):
        return "" if importlib.util.find_spec("socks") else f"{scheme}:// needs PySocks, which is not installed"
    return "" if scheme in ("http", "https") else f"proxies of the type {scheme}:// are not supported"


def unusable_proxy(problem: str, *, what: str) -> ArtifactError:
    """The error for a proxy that cannot be used.

    Args:
        problem: Of `proxy_problem`.
        what: What was to be fetched.
    """
    return ArtifactError(
        f"cannot fetch {what}: the proxy from the environment is invalid",
        details=problem,
        resolution="HTTPS_PROXY, HTTP_PROXY and ALL_PROXY take http://HOST:PORT (socks5h:// with PySocks); "
        "correct or unset it, or name the host in NO_PROXY; k3s.artifacts needs no network",
    )


def proxy_adapter(what: str) -> requests.adapters.BaseAdapter:
    """Sends through the environment's proxies, and directly to near hosts; verifies certificates by the system's CAs.

    requests' own list of CAs (certifi) lacks those of companies whose proxies look into TLS. A file that the user names
    for requests (`REQUESTS_CA_BUNDLE`, `CURL_CA_BUNDLE`) counts instead.

    Args:
        what: What is fetched, for `unusable_proxy`.
    """
    from requests.adapters import HTTPAdapter
    from requests.utils import select_proxy

    given = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    context = None if given else verifying_context()

    class Proxied(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **settings: Any) -> None:  # noqa: ANN401 - requests' own signature
            super().init_poolmanager(*args, **settings, ssl_context=context)

        def proxy_manager_for(self, proxy: str, **settings: Any) -> Any:  # noqa: ANN401 - requests' own signature
            return super().proxy_manager_for(proxy, **settings, ssl_context=context)

        def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:  # noqa: ANN401 - requests' own signature
            if context is None:
                super().cert_verify(conn, url, verify, cert)  # type: ignore[no-untyped-call]

        def send(self, request: requests.PreparedRequest, *args: Any, **settings: Any) -> requests.Response:  # noqa: ANN401 - requests' own signature
            url = request.url or ""
            if is_near(urlsplit(url).hostname or ""):
                settings["proxies"] = {}
            proxy = select_proxy(url, settings.get("proxies"))
            problem = proxy_problem(proxy) if proxy else ""
            if problem:
                raise unusable_proxy(problem, what=what)
            return super().send(request, *args, **settings)

    return Proxied()
