"""qemu-ga's answers in simulated guests: interfaces, files, given programs."""
# ruff: noqa: ANN401 - qemu-ga answers JSON of any shape

from __future__ import annotations

import base64
import posixpath
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from bootstrap.lab.guests.base import AgentCommandError

FILES_AND_PROGRAMS = frozenset(
    f"guest-{name}" for name in ("exec", "exec-status", "file-open", "file-read", "file-write", "file-close")
)
"""What the guest agent of RHEL and its derivatives refuses by default."""

_DIRECTORIES = frozenset({"", "/etc", "/home", "/root", "/tmp", "/var"})  # noqa: S108 - the guest's
"""Directories that always exist; any other exists if it contains a file."""

_OS = {
    "id": "debian", "kernel-release": "6.1.0-lab", "kernel-version": "#1 SMP", "machine": "x86_64",
    "name": "Debian GNU/Linux", "pretty-name": "Debian GNU/Linux 12 (bookworm)", "version": "12 (bookworm)",
    "version-id": "12",
}  # fmt: skip


@dataclass(kw_only=True)
class AnsweringAgent:
    """The agent of one guest.

    Attributes:
        mac: MAC address of its eth0.
        address: IPv4 address of its eth0; None: it has none yet.
        prefix: Length of that address's network prefix.
        more_addresses: Further IPv4 addresses of eth0, each a network of its own (/32).
        addresses6: IPv6 addresses of eth0 with their prefix lengths, in the order reported.
        forbidden: Commands that its settings block (`--block-rpcs`), as RHEL's do by default.
        files: For `file-read` and `file-write`.
        programs: For `exec`: command line to exit code, standard output, standard error.
        handles: Files the agent has open: path, mode and position.
        ended: Results of programs by pid.
    """

    mac: str = ""
    address: str | None = None
    prefix: int = 16
    more_addresses: set[str] = field(default_factory=set)
    addresses6: tuple[tuple[str, int], ...] = ()
    forbidden: frozenset[str] = frozenset()
    files: MutableMapping[str, bytes] = field(default_factory=dict)
    programs: dict[tuple[str, ...], tuple[int, str, str]] = field(default_factory=dict)
    handles: dict[int, tuple[str, str, int]] = field(default_factory=dict)
    ended: dict[int, tuple[int, str, str]] = field(default_factory=dict)

    def answer(self, command: str, arguments: Mapping[str, Any] | None = None) -> Any:
        """The `return` member of the answer to a command such as `guest-ping`.

        Raises:
            AgentCommandError: The command failed in the guest.
        """
        method = getattr(self, "_" + command.replace("-", "_"), None)
        if method is None:
            raise AgentCommandError(f"The command {command} has not been found")
        if command in self.forbidden:
            raise AgentCommandError(f"Command {command} has been disabled: the command is not allowed")
        return method(**{key.replace("-", "_"): value for key, value in (arguments or {}).items()})

    def _guest_ping(self) -> dict[str, Any]:
        return {}

    def _guest_info(self) -> dict[str, Any]:
        names = sorted(name[1:].replace("_", "-") for name in dir(self) if name.startswith("_guest_"))
        commands = [{"name": name, "enabled": True, "success-response": True} for name in names]
        return {"version": "7.2.22", "supported_commands": commands}

    def _guest_get_osinfo(self) -> dict[str, Any]:
        return dict(_OS)

    def _guest_get_host_name(self) -> dict[str, Any]:
        return {"host-name": self.files["/etc/hostname"].decode().strip()}

    def _guest_network_get_interfaces(self) -> list[dict[str, Any]]:
        loopback = {"ip-address": "127.0.0.1", "ip-address-type": "ipv4", "prefix": 8}
        eth0: dict[str, Any] = {"name": "eth0", "hardware-address": self.mac.lower()}
        if self.address:  # without an address the key is missing
            all_ipv4 = [(self.address, self.prefix), *((more, 32) for more in sorted(self.more_addresses))]
            rows = [("ipv4", address, prefix) for address, prefix in all_ipv4]
            rows += [("ipv6", address, prefix) for address, prefix in self.addresses6]
            eth0["ip-addresses"] = [
                {"ip-address": address, "ip-address-type": kind, "prefix": prefix} for kind, address, prefix in rows
            ]
        return [{"name": "lo", "hardware-address": "00:00:00:00:00:00", "ip-addresses": [loopback]}, eth0]

    def _guest_file_open(self, path: str, mode: str = "r") -> int:
        if mode.startswith("r") and path not in self.files:
            raise AgentCommandError(f"failed to open file '{path}' (mode: '{mode}'): No such file or directory")
        if mode.startswith("w"):
            directory = posixpath.dirname(path)
            if directory not in _DIRECTORIES and not any(each.startswith(f"{directory}/") for each in self.files):
                raise AgentCommandError(f"failed to open file '{path}' (mode: '{mode}'): No such file or directory")
            self.files[path] = b""
        handle = max(self.handles, default=999) + 1
        self.handles[handle] = (path, mode, 0)
        return handle

    def _guest_file_read(self, handle: int, count: int = 4096) -> dict[str, Any]:
        path, mode, position = self.handles[handle]
        part = self.files[path][position : position + count]
        self.handles[handle] = (path, mode, position + len(part))
        at_end = position + len(part) >= len(self.files[path])
        return {"count": len(part), "buf-b64": base64.b64encode(part).decode(), "eof": at_end}

    def _guest_file_write(self, handle: int, buf_b64: str) -> dict[str, Any]:
        path, _mode, _position = self.handles[handle]
        self.files[path] += base64.b64decode(buf_b64)
        return {"count": len(base64.b64decode(buf_b64)), "eof": False}

    def _guest_file_close(self, handle: int) -> dict[str, Any]:
        del self.handles[handle]
        return {}

    def _guest_exec(
        self, path: str, arg: list[str], capture_output: bool = False, input_data: str = ""
    ) -> dict[str, Any]:
        command = (path, *arg)
        if command not in self.programs:
            text = f"Failed to execute child process “{path}” (No such file or directory)"
            raise AgentCommandError(f"Guest agent command failed, error was '{text}'")
        pid = 555 + len(self.ended)
        code, out, err = self.programs[command]
        self.ended[pid] = (code, out + base64.b64decode(input_data).decode(), err) if capture_output else (code, "", "")
        return {"pid": pid}

    def _guest_exec_status(self, pid: int) -> dict[str, Any]:
        if pid not in self.ended:
            raise AgentCommandError("Invalid parameter 'pid'")
        code, out, err = self.ended[pid]
        result: dict[str, Any] = {"exited": True, "exitcode": code}
        for key, text in (("out-data", out), ("err-data", err)):
            if text:
                result[key] = base64.b64encode(text.encode()).decode()
        return result
