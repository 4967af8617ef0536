"""What a template is made of, and the record of it in its VM's description: a recipe's hash names it. Pure.

Template of homelab-k8s: debian-13 with k3s v1.34.1+k3s1. Without the next line it is no longer recognized.
homelab-k8s-template: {"format":1,"recipe":"5d41402a",...}
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from bootstrap.errors import UnreadableError
from bootstrap.model.cluster import VmidRange
from bootstrap.model.ids import VMIDS, PveNodeName, Vmid
from bootstrap.model.observed import UNCHECKED
from bootstrap.model.reading import LAST_UNIX_S, Source, read_json
from bootstrap.records.vms.lock import lock_vmid
from bootstrap.records.vms.seal import Bearer, RecordKey, RecordKind, is_sealed, render_sealed, text_in

MARK = "homelab-k8s-template:"
FORMAT = 1
RECIPE_VERSION = 2
"""Counts up when `bake.sh`, `clean.sh` or the builder's settings make another template of the same image."""
TEMPLATE_TAG = "homelab-k8s-template"
"""What an inventory that names no template looks for."""
HASH_TAG = "hk8s-"
_NAME = "hk8s"
_MOST = 1000
"""Characters of one field."""
_PACKAGE = r"[A-Za-z0-9][A-Za-z0-9+._-]{0,127}"
_VOLUME = re.compile(r"(?P<storage>[A-Za-z][A-Za-z0-9._-]*):(?P<name>(?:import|\d+)/[^\s,]+)")


@dataclass(frozen=True, kw_only=True)
class CloudImage:
    """A cloud image: something to download, or a volume that is on a Proxmox storage already.

    Attributes:
        name: What people call it: `debian-13`; part of the template's name, so letters, digits, dots and dashes.
        url: Where Proxmox VE fetches it; empty for a volume.
        checksum: Lower-case hex, or empty where it is not known.
        algorithm: Of the checksum: `sha256`, `sha512`; empty without one.
        volume: `local:import/debian.qcow2`, or empty.
    """

    name: str
    url: str = ""
    checksum: str = ""
    algorithm: str = ""
    volume: str = ""

    @property
    def key(self) -> str:
        """What identifies its content."""
        return self.checksum or self.volume or self.url

    @property
    def file_name(self) -> str:
        """What its download is called on a storage: Proxmox VE takes an image's format from the name's end."""
        digest = hashlib.sha256(self.key.encode()).hexdigest()[:12]
        found = re.search(r"\.(raw|vmdk)$", self.url)
        return f"{_NAME}-{self.name}-{digest}.{found[1] if found else 'qcow2'}"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a template is made of; two of the same hash are the same.

    Attributes:
        k3s: The version.
        packages: Of the inventory, in order.
    """

    image: CloudImage
    k3s: str
    packages: tuple[str, ...] = ()

    @property
    def hash(self) -> str:
        """Eight hex digits."""
        packages = [list(self.packages)] if self.packages else []
        text = json.dumps([RECIPE_VERSION, self.image.key, self.k3s, *packages])
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    @property
    def template_name(self) -> str:
        """The template's name in Proxmox VE."""
        return f"{_NAME}-{self.image.name.replace('.', '-')}-{self.hash}"

    @property
    def tags(self) -> tuple[str, ...]:
        """The template's tags."""
        return tuple(sorted((TEMPLATE_TAG, f"{HASH_TAG}{self.hash}")))


class BuildState(StrEnum):
    """How far a template has come."""

    BUILDING = "building"
    """Its VM is there; it may boot and be baked, any number of times."""
    CLEANING = "cleaning"
    """Keys and identity are being removed: no login works any more, so a build that died here starts again."""
    CLEANED = "cleaned"
    """All is in it; it only has to be powered off, sealed and converted."""
    SEALED = "sealed"
    """As CLEANED, with the cloud-init drive in place of our ISO."""


@dataclass(frozen=True, kw_only=True)
class TemplateRecord:
    """What a description says of a template, or of the VM that is to become one.

    Attributes:
        recipe: The recipe's hash.
        image: The image's name.
        k3s: The k3s version baked in.
        vmid: Part of it, so that a copy of it is not taken for ours.
        key: Fingerprint of the SSH key that the VM was made with: no other one can log in to go on.
        made: When the build began, in Unix seconds by the clock of who began it.
        version: The `RECIPE_VERSION` it was made by.
        packages: The inventory's packages in it; earlier releases put none in.
    """

    recipe: str
    image: str
    k3s: str
    state: BuildState
    vmid: Vmid
    key: str
    made: int
    version: int = RECIPE_VERSION
    packages: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TemplateVm:
    """One of our templates, or a VM that is to become one, as Proxmox VE has it.

    Attributes:
        template: Whether it has been converted.
        users: Its linked clones, as `vmid (name)`.
        smbios_uuid: UUID in smbios1, lower case, or None.
        description: The whole description, with what users wrote around the record.
        doubt: Why its record is not to be believed, in a few words; empty where it is. It is not ours then.
    """

    vmid: Vmid
    name: str
    pve_node: PveNodeName
    template: bool
    running: bool
    record: TemplateRecord
    users: tuple[str, ...] = ()
    smbios_uuid: str | None = None
    description: str = ""
    doubt: str = UNCHECKED

    def __str__(self) -> str:
        """As in `debian-13-a1b2c3d4 (vmid 7998 on pve1)`."""
        return f"{self.name} (vmid {self.vmid} on {self.pve_node})"


def image_of_volume(text: str) -> CloudImage | None:
    """The image that a volume id names (`local:import/debian.qcow2`); None where the text is none."""
    found = _VOLUME.fullmatch(text)
    if found is None:
        return None
    stem = found["name"].rsplit("/", 1)[-1].rsplit(".", 1)[0]
    return CloudImage(name=slug(stem), volume=text)


def known_hash(image: str, checksum: str, k3s: str, packages: tuple[str, ...] = ()) -> str | None:
    """The hash of a recipe; None where only the image's publisher knows its checksum.

    Args:
        image: A name of the catalogue, an address or a volume.
        checksum: `sha256:HEX` or `sha512:HEX`, or empty.
        k3s: The version.
        packages: Those in it.
    """
    digest = checksum.rpartition(":")[2].lower()
    found = image_of_volume(image)
    if found is None and not digest and not image.startswith(("https://", "http://")):
        return None
    made_of = found or CloudImage(name=image_name(image), url=image, checksum=digest)
    return Recipe(image=made_of, k3s=k3s, packages=packages).hash


def image_name(text: str) -> str:
    """The name of the image that a text means: `debian-13`, an address or a volume."""
    volume = image_of_volume(text)
    if volume is not None:
        return volume.name
    if text.startswith(("https://", "http://")):
        return slug(urlsplit(text).path.rsplit("/", 1)[-1].rsplit(".", 1)[0])
    return text


def slug(text: str) -> str:
    """A text as a part of a VM's name: letters, digits, dashes, at most 40."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40].strip("-") or "image"


def key_fingerprint(public_key: str) -> str:
    """A short fingerprint of an `authorized_keys` line, its comment left out."""
    return hashlib.sha256(" ".join(public_key.split()[:2]).encode()).hexdigest()[:16]


def render_template(record: TemplateRecord, *, key: RecordKey, name: str, identity: str, into: str = "") -> str:
    """The description text that holds a record and its seal.

    Args:
        record: The record.
        key: Seals it.
        name: The VM's.
        identity: Its SMBIOS UUID.
        into: The description as it is: what users wrote around the line stays.
    """
    body = {"format": FORMAT} | asdict(record)
    sentence = (
        f"Template of homelab-k8s: {record.image} with k3s {record.k3s}. "
        "Without the next line it is no longer recognized."
    )
    bearer = Bearer(vmid=record.vmid, name=name, identity=identity)
    return render_sealed(body, RecordKind.TEMPLATE, key=key, bearer=bearer, mark=MARK, sentence=sentence, into=into)


def doubt_about_template(description: str, *, bearer: Bearer, keys: Iterable[RecordKey]) -> str:
    """Why the record of a template is not to be believed, in a few words; empty where it is."""
    if not is_sealed(description, mark=MARK):
        return "its record has no signature"
    fits = any(key.fits(RecordKind.TEMPLATE, description, mark=MARK, bearer=bearer) for key in keys)
    return "" if fits and bearer.identity else "its record is not signed with a key of this computer's"


def parse_template(description: str, *, vmid: int) -> TemplateRecord | None:
    """The record in the description of the VM `vmid`; None where there is none, or it is another VM's, or damaged."""
    try:
        record = read_template(description)
    except UnreadableError:
        return None
    return record if record is not None and record.vmid == vmid else None


def read_template(description: str) -> TemplateRecord | None:
    """The record in a description, of whichever VM; None where there is none.

    Raises:
        UnreadableError: It is damaged, or made up.
    """
    text = text_in(description, mark=MARK)
    if text is None:
        return None
    body = read_json(text, Source(call="read the template's record", who="it"))
    body.at("format").integer(FORMAT, FORMAT)
    return TemplateRecord(
        recipe=body.at("recipe").text(most=_MOST),
        image=body.at("image").text(most=_MOST),
        k3s=body.at("k3s").text(most=_MOST),
        state=body.at("state").parsed(BuildState, "a state"),
        vmid=Vmid(body.at("vmid").integer(*VMIDS)),
        key=body.at("key").text(most=_MOST),
        made=body.at("made").integer(0, LAST_UNIX_S),
        version=body.at("version").integer(0, 2**31, default=1),
        packages=tuple(each.word(_PACKAGE, "a package's name") for each in body.at("packages").items(optional=True)),
    )


def template_vmid(vmids: VmidRange, used: Iterable[int], templates: Iterable[int]) -> Vmid | None:
    """A free vmid for a new template, higher than the others' where that can be; None where all are taken.

    `up` takes the highest of several templates. Machines take the lowest free vmids of the range and templates those of
    its last tenth, so that neither is in the other's way; the very last is the lock's.
    """
    taken, end = set(used), lock_vmid(vmids)
    first = max(vmids.first, end - max(1, (vmids.last - vmids.first + 1) // 10))
    after = max((vmid for vmid in templates if vmid in range(vmids.first, end)), default=first - 1) + 1
    candidates = (*range(max(first, after), end), *range(first, end), *range(vmids.first, first))
    return next((Vmid(vmid) for vmid in candidates if vmid not in taken), None)
