"""Guest-agent calls: to the guest's own qemu-ga, with Proxmox's answers and errors around them."""
# ruff: noqa: ANN401 - fakepve has no types, and JSON has any shape

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from typing import Any

from fakepve import PveError

from bootstrap.lab.front.configs.vmconfig import agent_enabled
from bootstrap.lab.front.gateway.call import Answer, Call, Handler
from bootstrap.lab.front.gateway.context import Front
from bootstrap.lab.guests.base import AgentCommandError, AgentSilentError, GuestDriver

SILENCE_S = 3.0  # how long Proxmox VE waits for the agent (seen on 8.4)
ASK_AGAIN_S = 0.1
READ_MAX = 16 * 1024**2  # Proxmox cuts file-read here
BASE = "/nodes/{node}/qemu/{vmid}/agent"
# Commands without arguments, by HTTP method: Proxmox's name N stands for qemu-ga's `guest-N`.
_PLAIN = {
    "GET": (
        "get-fsinfo", "get-host-name", "get-memory-block-info", "get-memory-blocks", "get-osinfo", "get-time",
        "get-timezone", "get-users", "get-vcpus", "info", "network-get-interfaces",
    ),
    "POST": ("fsfreeze-freeze", "fsfreeze-status", "fsfreeze-thaw", "fstrim", "ping", "shutdown"),
}  # fmt: skip


class Agent:
    """`/nodes/{node}/qemu/{vmid}/agent/...`."""

    def __init__(self, front: Front) -> None:
        self.front = front

    def handlers(self) -> Mapping[tuple[str, str], Handler]:
        """What this part answers."""
        found: dict[tuple[str, str], Handler] = {
            (method, f"{BASE}/{name}"): self.plain for method, names in _PLAIN.items() for name in names
        }
        found[("GET", f"{BASE}/file-read")] = self.file_read
        found[("POST", f"{BASE}/file-write")] = self.file_write
        found[("POST", f"{BASE}/exec")] = self.exec
        found[("GET", f"{BASE}/exec-status")] = self.exec_status
        return found

    async def plain(self, call: Call) -> Answer:
        """A command without arguments; its result is passed on unchanged."""
        name = call.template.rsplit("/", 1)[1]
        driver = await self._reach(call)
        if driver is None:
            return await self.front.passer.call(call.request, as_root=True)
        return Answer({"result": await self._ask(driver, call, f"guest-{name}")})

    async def file_read(self, call: Call) -> Answer:
        """Read a file of the guest: open, read to the end, close."""
        driver = await self._reach(call)
        if driver is None:
            return await self.front.passer.call(call.request, as_root=True)
        handle = await self._ask(driver, call, "guest-file-open", path=call.values["file"], mode="r")
        content = b""
        at_end = False
        while not at_end and len(content) < READ_MAX:
            part = await self._ask(driver, call, "guest-file-read", handle=handle, count=1024 * 1024)
            content += base64.b64decode(part.get("buf-b64", ""))
            at_end = bool(part.get("eof")) or not part.get("count")
        await self._ask(driver, call, "guest-file-close", handle=handle)
        data: dict[str, Any] = {"content": content.decode("utf-8", "replace"), "bytes-read": len(content)}
        if not at_end:
            data["truncated"] = 1
        return Answer(data)

    async def file_write(self, call: Call) -> Answer:
        """Write a file of the guest; `encode=0` says the content is base64 already."""
        driver = await self._reach(call)
        if driver is None:
            return await self.front.passer.call(call.request, as_root=True)
        text = str(call.values["content"])
        encoded = text if call.values.get("encode") == 0 else base64.b64encode(text.encode()).decode()
        handle = await self._ask(driver, call, "guest-file-open", path=call.values["file"], mode="wb")
        await self._ask(driver, call, "guest-file-write", **{"handle": handle, "buf-b64": encoded})
        await self._ask(driver, call, "guest-file-close", handle=handle)
        return Answer()

    async def exec(self, call: Call) -> Answer:
        """Start a program in the guest; answers its pid."""
        driver = await self._reach(call)
        if driver is None:
            return await self.front.passer.call(call.request, as_root=True)
        command = call.values["command"]
        path, *args = command if isinstance(command, list) else [command]
        wanted: dict[str, Any] = {"path": path, "arg": args, "capture-output": True}
        if call.values.get("input-data"):
            wanted["input-data"] = base64.b64encode(str(call.values["input-data"]).encode()).decode()
        result = await self._ask(driver, call, "guest-exec", **wanted)
        return Answer({"pid": result["pid"]})

    async def exec_status(self, call: Call) -> Answer:
        """How a program of `exec` ended; Proxmox turns booleans into 0 and 1, and output into text."""
        driver = await self._reach(call)
        if driver is None:
            return await self.front.passer.call(call.request, as_root=True)
        result = dict(await self._ask(driver, call, "guest-exec-status", pid=int(call.values["pid"])))
        for key in ("out-data", "err-data"):
            if key in result:
                result[key] = base64.b64decode(result[key]).decode("utf-8", "replace")
        return Answer({key: int(value) if isinstance(value, bool) else value for key, value in result.items()})

    async def _reach(self, call: Call) -> GuestDriver | None:
        """The driver to ask; None where a test put answers into fakepve's VM (`vm.agent`).

        Raises:
            PveError: The VM is missing, off, or has no agent to ask.
        """
        pve = self.front.pve
        vm = pve.find(call.pve_node, call.vmid)
        if not agent_enabled(vm.config):
            raise PveError(500, "No QEMU guest agent configured")
        if vm.status != "running":
            raise PveError(500, f"VM {vm.vmid} is not running")
        if vm.agent is not None and not vm.agent_hangs:
            return None
        driver = self.front.supervisor.driver
        if driver is None or vm.agent_hangs or vm.qmpstatus != "running":
            await pve.pause(SILENCE_S)
            raise PveError(500, "QEMU guest agent is not running")
        return driver

    async def _ask(self, driver: GuestDriver, call: Call, command: str, **arguments: Any) -> Any:
        """Repeat the call until the agent answers or Proxmox's timeout has passed.

        On a real host the question waits in the guest's serial port, so an agent that comes up within those
        seconds still answers it; a driver may report at once that no agent is there.
        """
        clock = asyncio.get_running_loop().time
        deadline = clock() + SILENCE_S * self.front.pve.time_scale
        while True:
            try:
                return await driver.agent(call.vmid, command, arguments or None)
            except AgentCommandError as error:
                raise PveError(500, f"Agent error: {error}") from error
            except AgentSilentError as error:
                left_s = deadline - clock()
                if left_s <= 0:
                    raise PveError(500, "QEMU guest agent is not running") from error
                await asyncio.sleep(min(left_s, ASK_AGAIN_S))
