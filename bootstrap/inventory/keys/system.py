"""The inventory's `files` and `hooks`, of all machines or of a pool."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from bootstrap.inventory.files import Places, read_bytes
from bootstrap.inventory.secret_keys import SAID, SecretKeys
from bootstrap.inventory.values import string_formats as forms
from bootstrap.inventory.values.containers import ListOf, MapOf
from bootstrap.inventory.values.guest_paths import GUEST_PATH, MODE
from bootstrap.inventory.values.scalars import RefusedError, Text
from bootstrap.inventory.values.section import Key, Section, Short, fill
from bootstrap.model.settings.secrets import SECRET_PLACES
from bootstrap.model.settings.system import FileSpec, HookSpec, HookTime, SystemSpec

MOST_BYTES: Final = 1024 * 1024
"""Of a file, and of a hook."""

_SHELL_OWN: Final = frozenset({"BASHOPTS", "EUID", "IFS", "PPID", "SHELLOPTS", "UID", "_"})
"""What a shell sets itself, or does not let be set."""


def _variable(text: str) -> str:
    if text in _SHELL_OWN or text.upper().startswith("HOMELAB_K8S_"):
        raise RefusedError(f"{text} is set by the shell or by this program", "use another name")
    return text


_TEXT: Final = Text(label="a text", pattern=r"[\s\S]*", parse=str, loose=True, secret=True)
_VARIABLE: Final = Text(label="the name of a variable", pattern=r"[A-Za-z_][A-Za-z0-9_]{0,63}", parse=_variable)
_HOOK_NAME: Final = Text(
    label="a name of letters, digits and . _ -", pattern=r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", parse=str, loose=True
)


class ContentKeys(SecretKeys, exclusive=("text", *SECRET_PLACES), refusal=("", "")):
    """A text, or where it is stored if it is a secret; a plain word is the text."""

    text = Key(kind=_TEXT, example="10.0.0.5 nas", doc="The text.")
    env = Key(kind=forms.ENV_NAME, example="ISCSI_PASSWORD", doc="Environment variable that has it.")

    @property
    def is_secret(self) -> bool:
        """Whether it comes from where secrets are stored."""
        return not self.given(ContentKeys.text)

    def read_from(self, places: Places) -> str:
        """The text. Raises RefusedError, which never repeats any part of it."""
        return self.text if self.text is not None else super().read_from(places)


_CONTENT: Final = Short(section=ContentKeys, keys=(("str", ContentKeys.text),))


class FileKeys(
    Section,
    exclusive=("content", "source"),
    needs_one=True,
    refusal=("must be a mapping with path, and content or source", "such as {path: /etc/motd, content: Welcome}"),
):
    """A file on machines, which belongs to root."""

    path = Key(
        kind=GUEST_PATH,
        example="/etc/iscsi/initiatorname.iscsi",
        doc="Where it is on the machines; missing directories are created.",
        required=("needs path", "an absolute path on the machines"),
    )
    mode = Key(kind=MODE, default_doc="0644; 0600 for a secret", example="0640", doc="Permissions, in octal.")
    content = Key(
        kind=_CONTENT,
        example="InitiatorName=iqn.2026-11.lan.home:k8s",
        doc=f"Its content; a secret as {SAID}, for root alone.",
        optional=True,
    )
    source = Key(
        kind=forms.FILE,
        example="files/initiatorname.iscsi",
        doc="File on this computer that has the content, at most 1 MiB; relative to the inventory.",
    )

    @property
    def is_secret(self) -> bool:
        """Whether the content comes from where secrets are stored."""
        return self.content is not None and self.content.is_secret

    def make(self, places: Places) -> FileSpec:
        """The file, with its content. Raises RefusedError."""
        mode = self.mode or ("0600" if self.is_secret else "0644")
        content = _content(self.content, self.source, places)
        return FileSpec(path=self.sure(FileKeys.path), mode=mode, content=content, secret=self.is_secret)


class HookKeys(Section, exclusive=("source", "content"), needs_one=True):
    """A script that runs on machines as root, once for each content; a plain word is its `source`."""

    name = Key(
        kind=_HOOK_NAME,
        default_doc="the source's file name",
        example="tune-nic",
        doc="Name for messages; a pool's hook replaces one of all machines with the same name.",
    )
    source = Key(
        kind=forms.FILE,
        example="hooks/tune-nic.sh",
        doc="The script, a file on this computer of at most 1 MiB; relative to the inventory.",
    )
    content = Key(
        kind=_TEXT, example="#!/bin/sh\nethtool -K eth0 gro on\n", doc="The script itself, which begins with `#!`."
    )
    env = Key(
        kind=MapOf(key=_VARIABLE, value=_CONTENT),
        default_doc="none",
        example={"NIC": "eth0"},
        doc=f"Environment variables for it; secrets as {SAID}.",
    )

    @property
    def known_as(self) -> str | None:
        """The name, or that of its source; None where there is neither."""
        if self.given(HookKeys.name) or self.source is None:
            return self.name
        return re.sub(r"[^A-Za-z0-9._-]", "-", self.source.name).lstrip("-._")[:64] or "hook"

    def make_for(self, time: HookTime, places: Places) -> HookSpec:
        """The hook, with its script. Raises RefusedError."""
        env = tuple((name, one_line(value, places)) for name, value in self.env or ())
        secret = {name for name, value in self.env or () if value.is_secret}
        return HookSpec(
            name=self.known_as or "",
            time=time,
            content=self.script(places),
            env=env,
            secrets=tuple(value for name, value in env if name in secret),
        )

    def script(self, places: Places) -> bytes:
        """The script. Raises RefusedError."""
        content = self.content.encode() if self.content is not None else read_bytes(self._source(places), MOST_BYTES)
        first, _, _ = content.partition(b"\n")
        if not re.match(rb"#! ?/", first):
            raise RefusedError("does not begin with an interpreter", "its first line: #!/bin/sh")
        if first.endswith(b"\r"):
            raise RefusedError("has the line ends of Windows, which Linux takes for a part of the interpreter's name")
        return content

    def _source(self, places: Places) -> Path:
        return places.resolve(self.sure(HookKeys.source))


def one_line(value: ContentKeys, places: Places) -> str:
    """A variable's value. Raises RefusedError, which never repeats any part of it."""
    text = value.read_from(places)
    text = text.strip() if value.is_secret else text
    if not text.isprintable():
        raise RefusedError("must be on one line, without control characters")
    return text


def _content(content: ContentKeys | None, source: Path | None, places: Places) -> bytes:
    if content is not None:
        return content.read_from(places).encode()
    if source is None:
        raise RefusedError("needs one of content, source")
    return read_bytes(places.resolve(source), MOST_BYTES)


HOOK: Final = Short(section=HookKeys, keys=(("str", HookKeys.source),))
FILES: Final = ListOf(item=FileKeys, same=lambda each: each.path or id(each), what="path")
HOOKS: Final = ListOf(item=HOOK, same=lambda each: each.known_as or id(each), what="hook's name")


class HooksKeys(Section):
    """Scripts that run on machines as root, once for each content."""

    before_k3s = Key(
        kind=HOOKS,
        default_doc="none",
        example=["hooks/tune-nic.sh"],
        doc="Before k3s starts on a new machine, after files, packages and kernel settings; one that is new or was "
        "changed also runs on running machines, with the next `up`.",
    )
    after_ready = Key(
        kind=HOOKS, default_doc="none", example=["hooks/announce.sh"], doc="Once a machine is Ready in Kubernetes."
    )

    def make(self, places: Places) -> tuple[HookSpec, ...]:
        """The hooks. Raises RefusedError."""
        return tuple(hook.make_for(time, places) for time, hooks in self.all for hook in hooks)

    @property
    def all(self) -> tuple[tuple[HookTime, tuple[HookKeys, ...]], ...]:
        """The hooks of each time."""
        return ((HookTime.BEFORE_K3S, self.before_k3s or ()), (HookTime.AFTER_READY, self.after_ready or ()))


def make_system(
    section: Section, files: tuple[FileKeys, ...] | None, hooks: HooksKeys | None, places: Places
) -> SystemSpec:
    """What a section wants of machines, from an inventory without problems."""
    return fill(
        SystemSpec,
        section,
        places=places,
        files=tuple(each.make(places) for each in files or ()),
        hooks=hooks.make(places) if hooks is not None else (),
    )
