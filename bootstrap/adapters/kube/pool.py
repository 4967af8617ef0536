"""Connections of the official client over jump hosts. TLS still verifies the address that the kubeconfig names."""

from __future__ import annotations

import socket

from urllib3 import HTTPSConnectionPool
from urllib3.connection import HTTPSConnection
from urllib3.exceptions import NewConnectionError

from bootstrap.adapters.first_page import Dial
from bootstrap.adapters.kube.answers import CONNECT_TIMEOUT_S


def pool_over(dial: Dial) -> type[HTTPSConnectionPool]:
    """A pool whose connections are made by `dial`, which may raise HomelabError."""

    class Connection(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            try:
                sock = dial(self._dns_host, self.port, CONNECT_TIMEOUT_S)
            except OSError as error:
                raise NewConnectionError(self, str(error)) from error
            sock.settimeout(CONNECT_TIMEOUT_S)
            return sock

    class Pool(HTTPSConnectionPool):
        ConnectionCls = Connection

    return Pool
