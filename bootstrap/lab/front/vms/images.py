"""Images on the lab's storages: downloads into `import` content, uploaded ISOs, and disks made of images.

Form and texts follow `PVE/API2/Storage/Status.pm` and, for import-from, what a Proxmox VE 8.4 answered. The content of
an image does not matter: guests always boot the lab's own system.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from fakepve import PveError, TaskError

from bootstrap.lab.front.configs.vmconfig import DRIVE, options_of
from bootstrap.lab.front.datacenter.world import TEMPLATE_DISK_GIB
from bootstrap.lab.front.gateway.call import Answer, Call, Handler, bad_parameters
from bootstrap.lab.front.gateway.context import Front
from bootstrap.lab.front.gateway.parameters import multipart_fields
from bootstrap.lab.front.gateway.tasks import move_to_endpoint
from bootstrap.lab.guests.seed import read_seed_iso

IMPORT_NAME = re.compile(r"[a-zA-Z0-9+._-]+\.(?:ova|qcow2|raw|vmdk)")
HERE = ("127.0.0.1", "::1", "localhost")
ROOT_PATHS = "Only root can pass arbitrary filesystem paths. at /usr/share/perl5/PVE/Storage.pm line 581."
FETCH_S = 30.0
ONE = "/nodes/{node}/storage/{storage}"


class Images:
    """`/nodes/{node}/storage/{storage}`: downloads and uploads."""

    def __init__(self, front: Front) -> None:
        self.front = front

    def handlers(self) -> Mapping[tuple[str, str], Handler]:
        """What this part answers."""
        return {
            ("POST", f"{ONE}/download-url"): self.download,
            ("POST", f"{ONE}/upload"): self.upload,
        }

    async def download(self, call: Call) -> Answer:
        """Download a file and verify its checksum, unless it exists. Only URLs of this machine work."""
        pve, values = self.front.pve, call.values
        storage, content, name = str(values["storage"]), str(values["content"]), str(values["filename"])
        self._check_storage(storage, content)
        if content == "import" and not IMPORT_NAME.fullmatch(name):
            raise bad_parameters(filename="invalid filename or wrong extension")
        url, algorithm = str(values["url"]), str(values.get("checksum-algorithm", ""))
        expected = str(values.get("checksum", "")).lower()

        async def body() -> str:
            there = pve.storages[storage].get("volumes", {}).get(f"{content}/{name}")
            if there is not None and expected and there.get("checksum") == expected:
                return "OK, got correct file already, no need to download"
            data = await asyncio.to_thread(_fetch, url)
            found = hashlib.new(algorithm, data).hexdigest() if algorithm else ""
            if found != expected:
                raise TaskError(f"checksum mismatch: got '{found}' != expect '{expected}'")
            pve.store_file(storage, name, len(data), content)
            pve.storages[storage]["volumes"][f"{content}/{name}"]["checksum"] = expected
            return f"download of '{url}' to '/var/lib/vz/{content}/{name}' finished"

        lines = [f"downloading {url} to /var/lib/vz/{content}/{name}"]
        return Answer(await pve.task(call.pve_node, "download", name, call.user, body, log=lines))

    async def upload(self, call: Call) -> Answer:
        """Accept an uploaded file; a VM boots with the texts of a NoCloud ISO in its drive."""
        answer = await self.front.passer.call(call.request)
        fields = multipart_fields(await call.request.read(), call.request.headers.get("Content-Type", ""))
        data, name = fields.get("filename", (b"", ""))
        seed = await asyncio.to_thread(read_seed_iso, data) if name.endswith(".iso") else None
        isos = self.front.supervisor.isos
        volume = f"{call.values['storage']}:iso/{name}"
        if seed is None:
            isos.pop(volume, None)
        else:
            isos[volume] = seed
        return Answer(move_to_endpoint(self.front, str(answer.data)))

    def imported(self, call: Call, values: Mapping[str, Any]) -> dict[str, Any]:
        """A create request's drives with `import-from` replaced by a new disk of the image's size.

        Raises:
            PveError: The source is a path, or the token may not read it.
            TaskError: There is no such image; Proxmox VE reports that in the task.
        """
        made = dict(values)
        for key, value in values.items():
            options = options_of(str(value))
            source = options.pop("import-from", None)
            if source is None or not DRIVE.fullmatch(key):
                continue
            if source.startswith("/"):
                raise PveError(500, ROOT_PATHS)
            self._check_source(call, source)
            target = options.pop("", "").partition(":")[0]
            form = source.rsplit(".", 1)[-1]
            made[key] = ",".join(
                [
                    f"{target}:{TEMPLATE_DISK_GIB}",
                    f"format={form}",
                    *(f"{name}={item}" for name, item in options.items()),
                ]
            )
        return made

    def _check_source(self, call: Call, source: str) -> None:
        pve = self.front.pve
        storage, _, name = source.partition(":")
        if storage not in pve.storages:
            raise PveError(500, f"storage '{storage}' does not exist")
        path = f"/storage/{storage}"
        if not any(pve.allowed(call.user, path, right) for right in ("Datastore.AllocateSpace", "Datastore.Audit")):
            raise PveError(403, f"Permission check failed ({path}, Datastore.AllocateSpace|Datastore.Audit)")
        if name not in pve.storages[storage].get("volumes", {}):
            raise TaskError(f"unable to create VM {call.vmid} - failed to stat '/var/lib/vz/{name}'")

    def _check_storage(self, storage: str, content: str) -> None:
        found = self.front.pve.storages.get(storage)
        if found is None:
            raise PveError(500, f"storage '{storage}' does not exist")
        if content not in str(found.get("content", "")).split(","):
            raise PveError(500, f"storage '{storage}' is not configured for content-type '{content}'")


def _fetch(url: str) -> bytes:
    """The content of a URL of this machine. Raises TaskError for any other host: the lab connects to no other."""
    parts = urlsplit(url)
    if parts.hostname not in HERE:
        raise TaskError(f"download failed: the lab fetches from this machine only, not from {parts.hostname}")
    # The environment's proxy is for the internet.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=FETCH_S) as answer:
            data: bytes = answer.read()
    except (urllib.error.URLError, OSError) as error:
        raise TaskError(f"download failed: {error}") from error
    return data
