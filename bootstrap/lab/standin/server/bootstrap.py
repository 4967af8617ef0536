"""The bootstrap data of the cluster's servers, protected by the token."""

from __future__ import annotations

import hmac
import http.client
import json
import secrets
from dataclasses import dataclass

from ..api.api import Api
from ..connections.link import Link, basic, fetch_ca, in_go_words, message_of, split_url
from ..connections.passwords import PASSWORDS, read_passwords, write_passwords
from ..connections.pki import client_context
from ..connections.tokens import Token, full_token, node_password_hash, parse_token
from ..datastore.store import Store
from ..failures import status_object
from ..files import read_if_there, write_file
from ..logs import Fatal, log
from ..shapes import Obj, Reply
from .credentials import CAS, LEAVES, OTHER_TOKEN
from .encryption import ENCRYPTION_FILES, Encryption
from .settings import ServerSettings

BOOTSTRAP_FILES = [*(f"tls/{ca}.{end}" for ca in CAS for end in ("crt", "key")), "tls/service.key", PASSWORDS]


class Bootstrap:
    """The files that all servers share, in the datastore."""

    def __init__(self, settings: ServerSettings, store: Store, *, migrating: bool = False) -> None:
        self.settings, self.store = settings, store
        self.encryption = Encryption(settings)
        self.migrating = migrating

    def adopt(self, token: Token | None, *, resetting: bool = False) -> None:
        """Write the files from the datastore to disk; another token than theirs is fatal. A server that migrates
        from sqlite to etcd keeps its own CAs and keys, or makes new ones.
        """
        kept = self.store.get("_bootstrap", "", "bootstrap")
        if not kept or self.migrating:
            return
        self._check_token(kept, token)
        if not resetting:
            self._refuse_newer(kept)
        before = {name: read_if_there(self.settings.data / name) for name in kept["files"]}
        for name, text in kept["files"].items():
            if before[name] != text:
                write_file(self.settings.data / name, text)
        if any(before[f"tls/{ca}.crt"] not in ("", kept["files"][f"tls/{ca}.crt"]) for ca in CAS):
            for leaf in LEAVES:
                self.settings.pki.path(f"{leaf}.crt").unlink(missing_ok=True)

    def _check_token(self, kept: Obj, token: Token | None) -> None:
        password = token.password if token else ""
        if not hmac.compare_digest(kept["token"], node_password_hash(kept["token"].split(":")[1], password)):
            raise Fatal(f"starting kubernetes: preparing server: {OTHER_TOKEN}")

    def _refuse_newer(self, kept: Obj) -> None:
        """As pkg/cluster/bootstrap.go: a file that is newer on disk than in the data, and differs, is fatal. k3s
        tolerates 3 s; here there is no tolerance, since tests rotate soon after a snapshot.
        """
        data = self.settings.data
        if not all((data / part).is_dir() for part in ("cred", "tls", "tls/etcd")):
            return
        newer = [
            str(data / name)
            for name, text in kept["files"].items()
            if (data / name).exists()
            and (data / name).read_text() != text
            and (data / name).stat().st_mtime > kept.get("times", {}).get(name, float("inf"))
        ]
        if newer:
            raise Fatal(f"{', '.join(newer)} newer than datastore and could cause a cluster outage. Remove the file(s) "
                        "from disk and restart to be recreated from datastore.")  # fmt: skip

    @property
    def readable(self) -> bool:
        """Whether this server's key can decrypt the Secrets in the data."""
        kept = self.store.get("_bootstrap", "", "bootstrap") or {}
        return kept.get("secrets", "") in ("", self.encryption.fingerprint())

    def save(self, api: Api, token: Token | None) -> None:
        """Store the files that other servers need. A server that joined with an old token fails here."""
        if self.migrating and self.store.get("_bootstrap", "", "bootstrap"):
            log("warning", "Bootstrap key already exists")
            return
        kept = self.store.get("_bootstrap", "", "bootstrap")
        if kept:
            # Files that differ on disk are not stored (k3s: pkg/cluster/storage.go, Save).
            self._check_token(kept, token or parse_token((self.settings.data / "token").read_text().strip()))
            return
        self._put(api, read_passwords(self.settings.data)["server"])

    def _put(self, api: Api, password: str) -> None:
        files = self._files()
        times = {name: (self.settings.data / name).stat().st_mtime for name in files}
        body = {"token": node_password_hash(secrets.token_hex(8), password), "files": files, "times": times,
                "secrets": self.encryption.fingerprint()}  # fmt: skip
        code, answer = api.write({"method": "BOOTSTRAP", "body": body})
        if code != 200:
            raise Fatal(
                f"starting kubernetes: preparing server: failed to save bootstrap data: {answer.get('message')}"
            )

    def _files(self) -> dict[str, str]:
        there = [*BOOTSTRAP_FILES, *(name for name in ENCRYPTION_FILES if (self.settings.data / name).exists())]
        return {name: (self.settings.data / name).read_text() for name in there}

    def rotate_keys(self, api: Api) -> Reply:
        """PUT /v1-k3s/encrypt/config with the stage `rotate_keys`: files and datastore change at once."""
        if not self.encryption.wanted:
            return 400, status_object("Failure", 400, "BadRequest", "secrets encryption is disabled")
        self.encryption.rotate()
        self._put(api, read_passwords(self.settings.data)["server"])
        return 200, {}

    def rotate_token(self, api: Api, ca_pem: str, data: bytes) -> Reply:
        """PUT /v1-k3s/token, as pkg/server/handlers/token.go: files and datastore change at once.

        Accepted passwords do not: they are read when a server starts (pkg/authenticator/passwordfile).
        """
        new = json.loads(data).get("newToken") or secrets.token_hex(8)
        passwords = read_passwords(self.settings.data)
        shared = not self.settings.options.secret("agent-token") and passwords["node"] == passwords["server"]
        write_passwords(self.settings.data, passwords | {"server": new} | ({"node": new} if shared else {}))
        write_file(self.settings.data / "token", full_token(ca_pem, "server", new) + "\n")
        try:
            self._put(api, new)
        except Fatal as error:
            return 500, status_object("Failure", 500, "InternalError", str(error))
        return 200, {}

    def data(self, kind: str) -> Obj:
        return {"files": self._files(), "critical": self.settings.options.critical(), "datastore": kind}  # fmt: skip


@dataclass(frozen=True)
class Invitation:
    """How a joining server reaches the server that it joins."""

    link: Link
    headers: dict[str, str]


def invitation_of(settings: ServerSettings, token: Token | None) -> Invitation:
    """Get the CAs and passwords of the cluster to join; any error is fatal, as in k3s."""
    if token is None:
        raise Fatal("--token is required to join a cluster")
    host, port = split_url(settings.join_url)
    prefix = "Error: preparing server: failed to bootstrap cluster data"
    try:
        ca_pem = fetch_ca(host, port, token)
    except ValueError as error:
        words = "failed to check if bootstrap data has been initialized: failed to validate token"
        raise Fatal(f"{prefix}: {words}: {error}") from error
    link = Link(host, port, client_context(ca_pem), 10)
    headers = basic("server", token.password)
    url = f"https://{host}:{port}/v1-k3s/server-bootstrap"
    try:
        status, raw = link.request("GET", "/v1-k3s/server-bootstrap", None, headers)
    except (OSError, http.client.HTTPException) as error:
        raise Fatal(f"{prefix}: Get {url}: {in_go_words(error, host, port)}") from error
    if status != 200:
        refusal = message_of(status, raw, f"{url}: {status} {http.client.responses.get(status, '')}")
        log("warning", f"Skipping cluster configuration validation: {refusal}")
        raise Fatal(f"{prefix}: {refusal}")
    data = json.loads(raw)
    if data["datastore"] != "etcd":
        raise Fatal(f"{prefix}: {settings.join_url} is not running managed etcd")
    ours = settings.options.critical()
    wrong = sorted(name for name, value in data["critical"].items() if ours.get(name) != value)
    if wrong:
        raise Fatal(f"critical configuration value mismatch between servers: {', '.join(wrong)}")
    for name, text in data["files"].items():
        write_file(settings.data / name, text)
    return Invitation(link, headers)
