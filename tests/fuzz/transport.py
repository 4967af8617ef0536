"""What comes over HTTPS where Proxmox VE should be, byte for byte: through requests, proxmoxer and our own errors."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import Any

import requests
from requests.adapters import BaseAdapter

from bootstrap.adapters.proxmox.client.api import Api
from bootstrap.model.access.endpoint import ApiToken, PveEndpoint, TlsSpec
from tests.fakes.clock import SteppingClock
from tests.fuzz.mutations import Mutator
from tests.fuzz.running import Area

ENDPOINT = PveEndpoint(
    url="https://127.0.0.1:1", token=ApiToken(user="a@pve", name="b", secret="cccc"), tls=TlsSpec(insecure=True)
)
WHOLE = json.dumps({"data": [{"vmid": 7001, "name": "demo-cp-1", "description": "a\nb"}]}).encode()
REFUSED = json.dumps({"data": None, "errors": {"vmid": "VM 7001 already exists"}, "message": "no\n"}).encode()
STATUSES = ("200", "200", "200", "400", "403", "500", "501", "595")


class CannedAdapter(BaseAdapter):
    """Answers everything with one status and body."""

    def __init__(self, status: int, reason: str, body: bytes) -> None:
        super().__init__()
        self.status, self.reason, self.body = status, reason, body

    def send(self, request: requests.PreparedRequest, *_args: Any, **_more: Any) -> requests.Response:
        answer = requests.Response()
        answer.status_code, answer.reason, answer.url = self.status, self.reason, str(request.url)
        answer._content = self.body
        answer.headers["Content-Type"] = "application/json;charset=UTF-8"
        answer.request = request
        return answer

    def close(self) -> None:
        pass


def _make(mutator: Mutator) -> Mapping[str, Any]:
    status = int(mutator.one_of(STATUSES) or 200)
    body = WHOLE if status == 200 else REFUSED
    broken = mutator.text(body.decode()).encode(errors="surrogatepass") if mutator.one_of("ab") == "a" else None
    return {
        "status": status,
        "reason": mutator.text("Permission check failed (/vms/7001, VM.Audit)"),
        "body": mutator.bytes(body) if broken is None else broken,
    }


def _read(answer: Mapping[str, Any]) -> object:
    api = Api(
        ENDPOINT,
        clock=SteppingClock(),
        stop=threading.Event(),
        connect_timeout_s=1.0,
        request_timeout_s=1.0,
        retry_for_s=0.5,
    )
    api._session.mount("https://", CannedAdapter(**answer))
    try:
        return [row.at("vmid").integer(100, 200_000) for row in api.read("nodes/pve1/qemu", what="list VMs").items()]
    finally:
        api.close()


AREAS = (Area(name="proxmox transport", make=_make, read=_read, inputs=250),)
