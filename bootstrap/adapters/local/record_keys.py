"""The keys that records in Proxmox VE are sealed with; implements `bootstrap.ports.RecordKeys`."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from pathlib import Path

from bootstrap.adapters.local.files import ensure_private_directory, locked, write_private
from bootstrap.adapters.local.state import DirectoryStateStore, read_state_file
from bootstrap.adapters.ssh.keys import make_key_pair, private_bytes, read_key
from bootstrap.errors import HomelabError
from bootstrap.model.ids import ClusterName
from bootstrap.records.state.state_items import OWN_KEY, RECORD_KEY
from bootstrap.records.vms.seal import SECRET_BYTES, RecordKey, parse_record_key, render_record_key

_SALT = b"homelab-k8s"


class FileRecordKeys:
    """Keys derived from SSH private keys: users who can log in to a cluster's machines have them already.

    Where an SSH key's bytes cannot be read (a passphrase, a security key), a random key in the state directory is used.

    Args:
        state: The state directory; clusters' own SSH keys are in there.
        cluster: The inventory's cluster.
        private_key: The SSH key that the inventory names, or None: the cluster has one of its own.
    """

    def __init__(self, state: DirectoryStateStore, *, cluster: ClusterName, private_key: Path | None) -> None:
        self._state = state
        self._cluster = cluster
        self._private_key = private_key.expanduser() if private_key else None
        self._guard = threading.RLock()
        self._known: dict[str, RecordKey] = {}
        """Cached: `down` removes the state of a cluster while it still holds the lock."""

    def find(self, cluster: ClusterName) -> RecordKey | None:
        """See `RecordKeys.find`."""
        return self._once(f"records of {cluster}", lambda: self._find(cluster))

    def need(self, cluster: ClusterName) -> RecordKey:
        """See `RecordKeys.need`."""
        found = self.find(cluster)
        return found or self._made(f"records of {cluster}", lambda: self._make(cluster))

    def locks(self, cluster: ClusterName) -> tuple[RecordKey, ...]:
        """See `RecordKeys.locks`."""
        own = self.find(cluster)
        return (*((own,) if own else ()), *self.templates())

    def templates(self) -> tuple[RecordKey, ...]:
        """See `RecordKeys.templates`."""
        named = self._once("templates", lambda: self._derived(self._private_key, "templates"))
        home = self._once("templates of this home", self._home)
        return tuple(key for key in (named, home) if key is not None)

    def for_templates(self) -> RecordKey:
        """See `RecordKeys.for_templates`."""
        found = self.templates()
        return found[0] if found else self._made("templates of this home", self._make_home)

    def _once(self, purpose: str, find: Callable[[], RecordKey | None]) -> RecordKey | None:
        with self._guard:
            found = self._known.get(purpose) or find()
            if found is not None:
                self._known[purpose] = found
            return found

    def _made(self, purpose: str, make: Callable[[], RecordKey]) -> RecordKey:
        with self._guard:
            self._known[purpose] = make()
            return self._known[purpose]

    def _find(self, cluster: ClusterName) -> RecordKey | None:
        own = self._own(cluster)
        named = self._private_key if cluster == self._cluster or not own.exists() else None
        derived = self._derived(named or own, f"records of {cluster}")
        if derived is not None:
            return derived
        return parse_record_key(self._state.read(cluster, RECORD_KEY))

    def _make(self, cluster: ClusterName) -> RecordKey:
        if self._private_key is None or cluster != self._cluster:
            make_key_pair(self._own(cluster))
        elif not self._private_key.exists():
            read_key(self._private_key)  # Raises what a user can read.
        found = self._find(cluster)
        if found is not None:
            return found
        made = RecordKey(secrets.token_bytes(SECRET_BYTES))
        self._state.write(cluster, RECORD_KEY, render_record_key(made))
        return made

    def _own(self, cluster: ClusterName) -> Path:
        return self._state.directory(cluster) / OWN_KEY

    def _derived(self, path: Path | None, purpose: str) -> RecordKey | None:
        """The key for a purpose, derived from an SSH key; None where its bytes cannot be read."""
        secret = private_bytes(path) if path is not None else None
        return None if secret is None else RecordKey(_hkdf(secret, purpose))

    def _home(self) -> RecordKey | None:
        return parse_record_key(read_state_file(self._home_file))

    def _make_home(self) -> RecordKey:
        path = self._home_file
        try:
            ensure_private_directory(path.parent)
            with locked(path.parent):
                found = self._home()  # another process may have been faster
                if found is None:
                    found = RecordKey(secrets.token_bytes(SECRET_BYTES))
                    write_private(path, render_record_key(found))
        except OSError as error:
            raise HomelabError(
                f"cannot write the state file {path}",
                details=str(error),
                resolution="make the directory writable, or set XDG_STATE_HOME to another one",
            ) from error
        return found

    @property
    def _home_file(self) -> Path:
        return self._state.root / RECORD_KEY


def _hkdf(secret: bytes, purpose: str) -> bytes:
    """RFC 5869, with SHA-256."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(algorithm=SHA256(), length=SECRET_BYTES, salt=_SALT, info=purpose.encode()).derive(secret)
