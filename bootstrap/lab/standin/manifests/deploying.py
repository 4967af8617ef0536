"""Applies the files of server/manifests, as k3s does (pkg/deploy/controller.go)."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NoReturn

from .. import process
from ..api.api import Api
from ..api.resources import RESOURCES, Resource
from ..failures import ApiError
from ..logs import log
from ..settings.yaml_documents import read_documents
from ..shapes import Obj

EVERY_S = 15
NAMESPACE = "kube-system"
_KINDS = (".yaml", ".yml", ".json")
_OWNER = "objectset.rio.cattle.io/owner-"


class Deployer:
    """Applies each file when it is new here or has changed, and all of them after a start."""

    def __init__(self, folder: Path, api: Api) -> None:
        self._folder, self._api = folder, api
        self._done: dict[Path, tuple[int, str]] = {}

    def tick(self) -> None:
        """Look at all files."""
        for path in self._files():
            try:
                self._deploy(path)
            except (ApiError, OSError, ValueError) as error:
                text = error.message if isinstance(error, ApiError) else str(error)
                log("error", f"Failed to process config: failed to process {path}: {text}")

    def _files(self) -> list[Path]:
        found = [path for path in self._folder.rglob("*") if path.is_file()]
        skipped = {path.name.removesuffix(".skip") for path in found if path.name.endswith(".skip")}
        return sorted(
            path
            for path in found
            if path.name.lower().endswith(_KINDS) and not path.name.startswith(".") and path.name not in skipped
        )

    def _deploy(self, path: Path) -> None:
        changed = path.stat().st_mtime_ns
        if self._done.get(path, (0, ""))[0] == changed:
            return
        content = path.read_bytes()
        checksum = hashlib.sha256(content).hexdigest()
        name = path.name.partition(".")[0]
        self._keep(RESOURCES["addons"], {"metadata": {"name": name}, "spec": {"source": str(path)}})
        objects = read_documents(content.decode())
        if not all(isinstance(obj, dict) and obj.get("kind") and obj.get("apiVersion") for obj in objects):
            raise ValueError("Object 'Kind' is missing")
        for obj in objects:
            for each in obj["items"] if obj["kind"] == "List" else [obj]:
                self._apply(each, name)
        self._keep(
            RESOURCES["addons"], {"metadata": {"name": name}, "spec": {"source": str(path), "checksum": checksum}}
        )
        self._done[path] = (changed, checksum)

    def _apply(self, obj: Obj, add_on: str) -> None:
        kind, version = obj["kind"], obj["apiVersion"]
        served = (*RESOURCES.values(), *(each.resource for each in self._api.kinds.customs().values()))
        found = [each for each in served if (each.kind, each.group_version) == (kind, version)]
        if not found:
            raise ValueError(f'no matches for kind "{kind}" in version "{version}"')
        meta = obj.get("metadata") or {}
        owner = {"gvk": "k3s.cattle.io/v1, Kind=Addon", "name": add_on, "namespace": NAMESPACE}
        notes = {**(meta.get("annotations") or {}), **{f"{_OWNER}{key}": value for key, value in owner.items()}}
        whole = {**obj, "metadata": {**meta, "annotations": notes}}
        self._keep(found[0], whole, meta.get("namespace", "default"))

    def _keep(self, resource: Resource, obj: Obj, ns: str = NAMESPACE) -> None:
        """Create it, or merge it into what is there."""
        path, name = collection(resource, ns), obj["metadata"]["name"]
        code, answer = self._api.call("PATCH", f"{path}/{name}", obj, "application/merge-patch+json")
        if code == 404:
            code, answer = self._api.call("POST", path, obj)
        if code >= 400:
            raise ApiError(code, answer.get("reason", ""), answer.get("message", ""))


def collection(resource: Resource, ns: str) -> str:
    """The path of a kind's objects."""
    base = "/api/v1" if resource.group_version == "v1" else f"/apis/{resource.group_version}"
    return f"{base}/namespaces/{ns}/{resource.plural}" if resource.namespaced else f"{base}/{resource.plural}"


def deploy(folder: Path, api: Api) -> NoReturn:
    """Look every 15 s."""
    deployer = Deployer(folder, api)
    while True:
        deployer.tick()
        process.LIFE.pause(EVERY_S)
