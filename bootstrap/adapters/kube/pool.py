"""Connections of the official client over jump hosts. TLS still verifies the address that the kubeconfig names."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import NewConnectionError

from bootstrap.adapters.first_page import Dial
from bootstrap.adapters.kube.answers import CONNECT_TIMEOUT_S

if TYPE_CHECKING:
    Pools = dict[str, type[HTTPConnectionPool]]


def pools_over(dial: Dial) -> Pools:
    """Pools by scheme whose connections are made by `dial`, which may raise HomelabError."""

    class Dialled(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            try:
                sock = dial(self._dns_host, self.port, CONNECT_TIMEOUT_S)
            except OSError as error:
                raise NewConnectionError(self, str(error)) from error
            sock.settimeout(CONNECT_TIMEOUT_S)
            return sock

    class Secure(Dialled, HTTPSConnection):
        pass

    class Pool(HTTPConnectionPool):
        ConnectionCls = Dialled

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": Pool, "https": SecurePool}
