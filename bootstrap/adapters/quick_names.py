"""Asks clusters' Kubernetes APIs for what they have, for a moment: shell completion offers what came in time.

It sends the kubeconfig's own certificate to the kubeconfig's server and nothing else, so that no file in the current
directory decides who is asked; it needs no client library, reads no other secret, writes nothing and never complains.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

from bootstrap.adapters.kube.credentials import parse_kubeconfig, tls_context
from bootstrap.errors import HomelabError

WITHIN_S = 0.3
_MOST_BYTES: Final = 4 << 20
_ACCEPT: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
"""Metadata alone, where that is all that is wanted: a node has some 10 KiB."""


def items_within(kubeconfigs: Iterable[str], *paths: str, metadata: bool = True) -> list[object]:
    """The objects under some paths of the APIs of some clusters, those that came in time.

    Args:
        kubeconfigs: Of the clusters.
        paths: Such as `/api/v1/nodes`.
        metadata: Whether only their metadata is needed.

    Returns:
        What came within `WITHIN_S`; a thread that waits any longer ends with the program.
    """
    found: list[object] = []
    until_s = time.monotonic() + WITHIN_S
    asked = [
        threading.Thread(target=_ask, args=(kubeconfig, path, metadata, found), daemon=True)
        for kubeconfig in kubeconfigs
        for path in paths
    ]
    for thread in asked:
        thread.start()
    for thread in asked:
        thread.join(max(0.0, until_s - time.monotonic()))
    return list(found)


def _ask(kubeconfig: str, path: str, metadata: bool, found: list[object]) -> None:
    with suppress(HomelabError, OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        credentials = parse_kubeconfig(kubeconfig)
        server = urlsplit(credentials.server)
        headers = {"Accept": _ACCEPT} if metadata else {"Accept": "application/json"}
        if credentials.token is not None:
            headers["Authorization"] = f"Bearer {credentials.token}"
        connection = http.client.HTTPSConnection(
            server.hostname or "", server.port, timeout=WITHIN_S, context=tls_context(credentials)
        )
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        body = answer.read(_MOST_BYTES + 1)
        if answer.status == http.client.OK and len(body) <= _MOST_BYTES:
            found.extend(json.loads(body)["items"])
