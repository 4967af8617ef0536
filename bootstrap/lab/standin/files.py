"""Files: where they are, and how they are written."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path

# Only tests set the root: it lets several machines share one file system.
ROOT = os.environ.get("K3S_STANDIN_ROOT", "")
KUBECONFIG = Path(ROOT + "/etc/rancher/k3s/k3s.yaml")


def write_file(path: Path, data: str | bytes, mode: int = 0o600) -> None:
    """Replace a file atomically, with this mode from the beginning."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    raw = data.encode() if isinstance(data, str) else data
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as out:
        out.write(raw)
    temporary.chmod(mode)
    temporary.replace(path)


def read_or_make(path: Path, make: Callable[[], str]) -> str:
    if not path.exists():
        write_file(path, make() + "\n")
    return path.read_text().strip()


def read_if_there(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def first_line(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""  # containers have no DMI
