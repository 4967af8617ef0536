"""File, environment and flags -> `Inventory`, or every problem at once."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping as Map
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from bootstrap.advice import Advice
from bootstrap.errors import InventoryError
from bootstrap.inventory.checks.addons import check_addons_fit
from bootstrap.inventory.checks.all import check
from bootstrap.inventory.document import Broken, Mapping, Node, compose
from bootstrap.inventory.env_and_flags import (
    ENV_ENDPOINT,
    NO_OVERRIDES,
    Overrides,
    apply_environment,
    apply_overrides,
)
from bootstrap.inventory.files import Places, read_found
from bootstrap.inventory.keys.proxmox import ProxmoxKeys
from bootstrap.inventory.keys.root import Root
from bootstrap.inventory.names import DEFAULT_FILE
from bootstrap.inventory.problems import Problems, Where
from bootstrap.inventory.regular import MAX_BYTES, read_regular
from bootstrap.inventory.secret import read_token
from bootstrap.inventory.values.scalars import RefusedError
from bootstrap.model.access.endpoint import PveEndpoint
from bootstrap.model.cluster import ClusterSpec

_NO_FILE: Final = "the environment"
_INIT_FIRST: Final = Advice(
    "first run `homelab-k8s init`, which inspects your Proxmox VE and writes one; or pass an existing file with -i "
    "FILE; without a Proxmox VE: `homelab-k8s lab start`, then --lab"
)


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """The wanted cluster, and how Proxmox VE is reached.

    Attributes:
        spec: The cluster.
        endpoint: The API, with its token (which no repr shows).
        source: The file's path as given, or `the environment`.
    """

    spec: ClusterSpec
    endpoint: PveEndpoint
    source: str


def load_inventory(path: Path | None, *, environ: Map[str, str], overrides: Overrides = NO_OVERRIDES) -> Inventory:
    """Read and check an inventory.

    Args:
        path: The file; None for `homelab-k8s.yaml` in the current directory, or where there is none, for the
            environment and the defaults alone.
        environ: Environment variables; they fill the file's gaps.
        overrides: Values of command-line flags; they replace the file's.

    Returns:
        The inventory, complete.

    Raises:
        InventoryError: With all problems, by line; also where the file found in the current directory belongs to
            another user, who could choose where the token is sent.
    """
    found = path is None and DEFAULT_FILE.exists()
    path = DEFAULT_FILE if found else path
    source = str(path) if path is not None else _NO_FILE
    problems = Problems()
    read = read_found if found else read_regular
    tree: Node = _read(path, read, problems) if path is not None else Mapping()
    if isinstance(tree, Mapping):
        # Flags first: then the environment fills only what neither flag nor file sets.
        tree = apply_overrides(tree, overrides, problems)
        tree = apply_environment(tree, environ, with_endpoint=overrides.endpoint is None)
    places = Places(base=path.absolute().parent if path is not None else Path.cwd(), environ=environ)
    root = Root.read(tree, Where(path="", line=1), problems)
    inventory = _finish(root, source, places, overrides, problems) if root is not None else None
    if inventory is None:
        raise _refused(source, problems)
    return inventory


def _refused(source: str, problems: Problems) -> InventoryError:
    error = InventoryError(source, problems.in_order())
    if any(problem.path == str(DEFAULT_FILE) for problem in error.problems):
        error.brief = "there is no inventory"
        error.resolution = _INIT_FIRST
    return error


def _finish(root: Root, source: str, places: Places, overrides: Overrides, problems: Problems) -> Inventory | None:
    """The inventory, or None where there are problems."""
    check(root, places, problems)
    endpoint = overrides.endpoint or _endpoint(root.proxmox, source, places, problems)
    if endpoint is None or len(problems):
        return None
    check_addons_fit(root, places, endpoint, problems)
    if len(problems):
        return None
    spec = replace(root.make(places, endpoint), states_settings=source != _NO_FILE)
    return Inventory(spec=spec, endpoint=endpoint, source=source)


def _endpoint(proxmox: ProxmoxKeys | None, source: str, places: Places, problems: Problems) -> PveEndpoint | None:
    """How the API is reached, or None where there are problems."""
    known = proxmox is not None and proxmox.given(ProxmoxKeys.endpoint)
    if source == _NO_FILE and not known:
        problems.add(
            Where(path=str(DEFAULT_FILE)),
            f"there is none in {Path.cwd()}, and {ENV_ENDPOINT} is not set",
            Advice("`homelab-k8s init` writes one"),
        )
        return None
    if proxmox is None:
        return None
    token = read_token(proxmox, places, problems)
    if not known:
        hint = f"such as https://192.168.1.10:8006, or set {ENV_ENDPOINT}"
        problems.add(proxmox.at(ProxmoxKeys.endpoint), "the address of the Proxmox VE API is missing", hint)
    return proxmox.make_endpoint(token, places) if token is not None and not len(problems) else None


def _read(path: Path, read: Callable[[Path], bytes], problems: Problems) -> Node:
    try:
        raw = read(path)
    except RefusedError as refused:
        problems.add(Where(path=""), refused.message, refused.hint)
        return Broken()
    except FileNotFoundError:
        problems.add(Where(path=""), "no such file", Advice("`homelab-k8s init -f {}` writes one", path))
        return Broken()
    except OSError as error:
        problems.add(Where(path=""), f"the file cannot be read: {error.strerror}")
        return Broken()
    if len(raw) > MAX_BYTES:
        problems.add(Where(path=""), f"the file has {len(raw)} bytes", f"an inventory has at most {MAX_BYTES}")
        return Broken()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        problems.add(Where(path="", line=line), f"byte 0x{raw[error.start]:02X} is not UTF-8", "save the file as UTF-8")
        return Broken()
    return compose(text, problems)
