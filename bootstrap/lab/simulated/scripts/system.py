"""Effect of the guest script for files, packages and kernel settings.

A guest has what a Debian cloud image and its mirror have, as far as it is listed here; all else fails as it does there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from bootstrap.lab.simulated.disk import Disk
from bootstrap.lab.simulated.machine.calls import Call, Effect, Outcome
from bootstrap.lab.simulated.scripts import system_files

PACKAGES = frozenset(
    {
        "cryptsetup",
        "curl",
        "htop",
        "lvm2",
        "multipath-tools",
        "nfs-common",
        "open-iscsi",
        "qemu-guest-agent",
        "zfs-dkms",
    }
)
"""What the mirror has."""
KERNEL_MODULES = frozenset(
    {"br_netfilter", "dm_crypt", "iscsi_tcp", "nbd", "nfs", "overlay", "uio_pci_generic", "wireguard"}
)
"""What modprobe finds."""
SYSCTLS = {
    "fs.aio-max-nr": "65536",
    "fs.file-max": "9223372036854775807",
    "fs.inotify.max_user_instances": "128",
    "fs.inotify.max_user_watches": "65536",
    "kernel.keys.root_maxbytes": "25000000",
    "kernel.keys.root_maxkeys": "1000000",
    "kernel.panic": "0",
    "kernel.panic_on_oops": "0",
    "kernel.pid_max": "4194304",
    "net.core.netdev_max_backlog": "1000",
    "net.core.rmem_max": "212992",
    "net.core.somaxconn": "4096",
    "net.core.wmem_max": "212992",
    "net.ipv4.ip_local_port_range": "32768 60999",
    "net.ipv4.neigh.default.gc_thresh3": "1024",
    "net.ipv4.tcp_rmem": "4096 131072 6291456",
    "vm.dirty_ratio": "20",
    "vm.max_map_count": "65530",
    "vm.nr_hugepages": "0",
    "vm.overcommit_memory": "0",
    "vm.panic_on_oom": "0",
    "vm.swappiness": "60",
}
"""What the kernel has, and its values after a boot without files in /etc/sysctl.d."""

ASKED = "/var/lib/homelab-k8s/packages"
INSTALLED = "/var/lib/dpkg/info"
SYSCTL_FILE = "/etc/sysctl.d/91-homelab-k8s.conf"
MODULES_FILE = "/etc/modules-load.d/91-homelab-k8s.conf"


class _RefusedError(Exception):
    """What the script prints before it fails."""


@dataclass
class _Run:
    disk: Disk
    looks: bool
    differs: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def each(self, kind: str, names: Iterable[str], act: Callable[[str], None]) -> None:
        """Name what differs, and unless it only looks do something about it."""
        for name in names:
            self.differs.append(f"{kind} {name}")
            if not self.looks:
                act(name)


async def prepare_system(call: Call) -> Outcome:
    """prepare-system.sh."""
    disk = call.guest.disk
    run = _Run(disk, call.env["LOOK"] == "1")
    sent = {name: _sent(call, name) for name in ("sysctls", "modules", "hooks", "proxies")}
    files = system_files.Files.sent_with(call)
    try:
        kept = _files(run, files)
        _packages(run, call.env["PACKAGES"].split())
        _modules(run, _lines(sent["modules"]))
        _sysctls(run, dict(line.split(" = ", 1) for line in _lines(sent["sysctls"])))
    except _RefusedError as refused:
        return Outcome(1, err=f"{refused}\n")
    run.each("file", _other_files(disk, sent), lambda name: _write(disk, name, sent))
    run.differs += system_files.not_run(disk, sent["hooks"])
    said = [f"differs={each}" for each in run.differs]
    said += [*(f"left={each}" for each in run.left), *["manager=apt-get"] * bool(run.left)]
    said += [f"kept={each}" for each in kept]
    return Outcome(out="".join(f"{line}\n" for line in (*said, f"changed={int(bool(run.differs))}")))


def has_left_something(disk: Disk) -> bool:
    """Whether the script has left something, as unit-state.sh reports."""
    return any(disk.read(path) for path in (system_files.WRITTEN, ASKED, SYSCTL_FILE, MODULES_FILE))


def _sent(call: Call, name: str) -> str:
    path = call.directory / name
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    path.unlink(missing_ok=True)
    return text


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith("#")]


def _files(run: _Run, files: system_files.Files) -> list[str]:
    """Write what differs and remove what is obsolete; returns what is kept."""
    obsolete, kept = files.obsolete()
    run.each("obsolete", obsolete, files.remove)
    for file in files.differing():
        problem = "" if run.looks else files.put(file)
        if problem:
            raise _RefusedError(f"the file {file.path} cannot be written: {problem}")
        run.differs.append(f"file {file.path}")
    if not run.looks:
        files.note(kept)
    return kept


def _packages(run: _Run, wanted: list[str]) -> None:
    before = (run.disk.read(ASKED) or "").split()
    run.left = [each for each in before if each not in wanted and _is_installed(run.disk, each)]
    lacking = [each for each in wanted if not _is_installed(run.disk, each)]
    if not run.looks:
        _note(run.disk, [*wanted, *run.left])
        _refuse_unknown(lacking)
    run.each("package", iter(lacking), lambda name: run.disk.write(f"{INSTALLED}/{name}.list", ""))


def _note(disk: Disk, packages: list[str]) -> None:
    """Keep which packages the inventory has or had; without any no file is made."""
    if packages or disk.read(ASKED):
        disk.write(ASKED, "".join(f"{each}\n" for each in packages))


def _is_installed(disk: Disk, package: str) -> bool:
    return disk.path(f"{INSTALLED}/{package}.list").exists()


def _refuse_unknown(packages: list[str]) -> None:
    """As apt-get does: it installs none where it does not know one."""
    for name in packages:
        if name not in PACKAGES:
            said = f"E: Unable to locate package {name}"
            raise _RefusedError(f"apt-get cannot install {' '.join(packages)}: {said}\n{said}")


def _modules(run: _Run, wanted: list[str]) -> None:
    def load(name: str) -> None:
        if name not in KERNEL_MODULES:
            told = f"modprobe: FATAL: Module {name} not found in directory /lib/modules/6.12.48+deb13-cloud-amd64"
            raise _RefusedError(f"the kernel module {name} cannot be loaded: {told}")
        run.disk.path(f"/sys/module/{name}").mkdir(parents=True)

    run.each("module", (each for each in wanted if not run.disk.path(f"/sys/module/{each}").is_dir()), load)


def _path(name: str) -> str:
    return "/proc/sys/" + name.translate(str.maketrans("./", "/."))


def sysctl(disk: Disk, name: str) -> str | None:
    """The kernel's value; None where it has none of this name."""
    return disk.read(_path(name)) or SYSCTLS.get(name)


def _sysctls(run: _Run, wanted: dict[str, str]) -> None:
    def put(name: str) -> None:
        if name not in SYSCTLS:
            raise _RefusedError(f"the kernel has no sysctl {name}: is it one of a module that is not loaded?")
        if not all(part.lstrip("-").isdecimal() for part in wanted[name].split()):
            raise _RefusedError(f"the kernel refuses the sysctl {name} = {wanted[name]}: I/O error")
        run.disk.write(_path(name), wanted[name])

    differing = (each for each, value in wanted.items() if sysctl(run.disk, each) != value)
    run.each("sysctl", differing, put)


def _other_files(disk: Disk, sent: dict[str, str]) -> Iterator[str]:
    for path, name in ((MODULES_FILE, "modules"), (SYSCTL_FILE, "sysctls")):
        if (disk.read(path) or "") != sent[name]:
            yield path


def _write(disk: Disk, path: str, sent: dict[str, str]) -> None:
    text = sent["modules" if path == MODULES_FILE else "sysctls"]
    if text:
        disk.write(path, text)
    else:
        disk.path(path).unlink()


EFFECTS: dict[str, Effect] = {"prepare-system.sh": prepare_system}
"""The script of this module."""
