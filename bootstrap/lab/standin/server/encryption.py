"""The keys that Secrets are encrypted with, in server/cred."""

from __future__ import annotations

import hashlib
import json
import secrets
import time

from ..files import read_if_there, write_file
from .settings import ServerSettings

ENCRYPTION_FILES = ("cred/encryption-config.json", "cred/encryption-state.json")
UNREADABLE = '"failed to decrypt data" err="invalid padding on input"'


class Encryption:
    """One server's keys; the data has their fingerprint, to tell whether they can decrypt it."""

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        self.wanted = settings.options.on("secrets-encryption")
        self._config, self._state = (settings.data / name for name in ENCRYPTION_FILES)

    def ensure(self) -> None:
        """Make a key if Secrets are encrypted and the datastore had none."""
        if self.wanted and not self._config.exists():
            self._write("aescbckey", "start")

    def rotate(self) -> None:
        """`secrets-encrypt rotate-keys`: make a new key; all Secrets are written with it."""
        self._write(f"aescbckey-{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}", "reencrypt_finished")

    def _write(self, name: str, stage: str) -> None:
        write_file(self._config, json.dumps({"name": name, "secret": secrets.token_hex(16)}))
        write_file(self._state, json.dumps({"stage": stage}))

    def status(self) -> dict[str, object]:
        """The answer of `GET /v1-k3s/encrypt/status`."""
        if not self.wanted:
            return {"stage": "", "activekey": ""}
        name, stage = json.loads(self._config.read_text())["name"], json.loads(self._state.read_text())["stage"]
        return {"stage": stage, "activekey": f"AES-CBC {name}", "enable": True, "hashmatch": True}

    def fingerprint(self) -> str:
        """A hash of the key; empty without one."""
        text = read_if_there(self._config)
        return hashlib.sha256(text.encode()).hexdigest() if text else ""
