"""What k3s's commands to a server share."""

from __future__ import annotations

import http.client
import json
import os

from ..connections.link import Link, basic, fetch_ca, in_go_words, message_of, split_url
from ..connections.pki import client_context
from ..connections.tokens import Token, parse_token
from ..logs import Fatal
from ..settings.flags import parse_flags
from ..settings.options import Options
from ..shapes import Json
from ..snapshots.s3 import S3_SETTINGS, S3_SWITCHES


class Command:
    """A command that calls the server of this machine: its flags, its words and the connection."""

    def __init__(self, argv: list[str], flags: str) -> None:
        known = {word.rstrip("!"): word[-1] if word[-1] == "!" else "" for word in flags.split()}
        known |= {f"etcd-{name}": kind for name, kind in known.items() if name.startswith(("s3", "snapshot"))}
        self.words: list[str] = []
        short = {"t": "token", "s": "server", "d": "data-dir", "o": "output", "c": "config"}
        found = parse_flags(argv, known, words=self.words, aliases=short)
        self.flags = {name.removeprefix("etcd-"): values[-1] for name, values in found.items()}
        given = ["--data-dir", self.flags["data-dir"]] if "data-dir" in self.flags else []
        given += ["--config", self.flags["config"]] if "config" in self.flags else []
        self.options = Options("server", given)
        for flag in (*S3_SETTINGS, *S3_SWITCHES, "etcd-s3", "etcd-s3-retention"):
            if flag.removeprefix("etcd-") in self.flags:
                self.options.values[flag] = [self.flags[flag.removeprefix("etcd-")]]

    def ask(self, method: str, path: str, body: Json = None, prefix: str = "") -> bytes:
        """The server's answer. Raises Fatal in k3s's words."""
        host, port = split_url(self._url())
        token = self._token()
        try:
            link = Link(host, port, client_context(fetch_ca(host, port, token)), 60)
            data = None if body is None else json.dumps(body).encode()
            status, raw = link.request(method, path, data, basic("server", token.password))
        except (OSError, http.client.HTTPException) as error:
            raise Fatal(f"Error: {method} https://{host}:{port}{path}: {in_go_words(error, host, port)}") from error
        except ValueError as error:
            raise Fatal(f"Error: {error}") from error
        if status != 200:
            raise Fatal(f"Error: {prefix}{message_of(status, raw, f'https://{host}:{port}{path}: {status}')}")
        return raw

    def _url(self) -> str:
        host = self.options.one("bind-address", "127.0.0.1")
        host = "127.0.0.1" if host == "0.0.0.0" else host
        return self.flags.get("server") or f"https://{host}:{self.options.one('https-listen-port', '6443')}"

    def _token(self) -> Token:
        path = self.options.data / "server/token"
        text = self.flags.get("token") or os.environ.get("K3S_TOKEN", "")
        try:
            return parse_token(text or path.read_text().strip())
        except OSError as error:
            raise Fatal(f"Error: open {path}: {(error.strerror or '').lower()}") from error
        except ValueError as error:
            raise Fatal(f"Error: {error}") from error
