"""Port 2380."""

from __future__ import annotations

import json

from ..api.api import Api
from ..datastore.etcd import Etcd
from ..failures import ApiError
from .serving import Handler


class PeerHandler(Handler):
    """Port 2380: what etcd members say to each other."""

    etcd: Etcd
    api: Api

    def do_GET(self) -> None:  # noqa: N802 - the base class's name
        asker = self.headers.get("X-Member", "")
        removed = self.etcd.is_leader and not self.etcd.store.get("_members", "", asker)
        self.reply_json(410 if removed else 200, self.etcd.status())

    def do_POST(self) -> None:  # noqa: N802 - the base class's name
        body = json.loads(self.body())
        if self.peer_name()[0] != "etcd-peer":
            self.reply_json(403, {})
        elif self.path == "/append":
            self.reply_json(self.etcd.append(body), {})
        elif self.path == "/snapshot":
            self.reply_json(self.etcd.take_snapshot(body), {})
        elif self.path == "/vote":
            self.reply_json(self.etcd.vote(body), {})
        elif self.path == "/write" and self.etcd.is_leader:
            self.reply_json(*self.api.write(body))
        else:
            error = ApiError(500, "InternalError", "etcdserver: leader changed")
            self.reply_json(error.code, error.status())
