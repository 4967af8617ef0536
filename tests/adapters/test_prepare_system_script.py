"""prepare-system.sh run for real, with package managers and a kernel that stand in for the machine's own."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bootstrap.adapters.local.guest_files import files_for, guest_file
from bootstrap.model.settings.system import SystemSpec
from bootstrap.planning.settings.system_files import looked_at, system_env, system_files
from tests.adapters.test_guest_scripts import Machine, lines, needs_root

pytestmark = needs_root

MODULES = "/etc/modules-load.d/91-homelab-k8s.conf"
SYSCTLS = "/etc/sysctl.d/91-homelab-k8s.conf"
ASKED = "/var/lib/homelab-k8s/packages"

DPKG_QUERY = """#!/bin/sh
for last in "$@"; do :; done
# As dpkg-query does for a package of two architectures, and for one that was removed and left its configuration.
[ ! -e "$PACKAGES_DIR/installed/$last" ] || printf 'installed\\ninstalled\\n'
[ -e "$PACKAGES_DIR/known/$last" ] && printf 'config-files\\n'
"""
APT_GET = """#!/bin/sh
echo "apt-get $*" >>"$CALLS"
[ -z "${https_proxy-}" ] || echo "by $https_proxy, not for $no_proxy" >>"$CALLS"
if [ -s "$PACKAGES_DIR/held" ]; then
    left=$(cat "$PACKAGES_DIR/held")
    if [ "$left" = 1 ]; then : >"$PACKAGES_DIR/held"; else echo "$((left - 1))" >"$PACKAGES_DIR/held"; fi
    echo 'E: Could not get lock /var/lib/apt/lists/lock. It is held by process 812 (apt-get)'
    exit 100
fi
case "$*" in
    *update*) cp -r "$PACKAGES_DIR/mirror/." "$PACKAGES_DIR/known/" ;;
    *install*)
        for word in "$@"; do
            if [ "$word" = broken ]; then
                echo 'Setting up broken ...'
                echo 'E: Sub-process /usr/bin/dpkg returned an error code (1)'
                exit 100
            fi
            [ ! -e "$PACKAGES_DIR/known/$word" ] || : >"$PACKAGES_DIR/installed/$word"
        done ;;
esac
"""
APT_CACHE = """#!/bin/sh
cd "$PACKAGES_DIR/known" && ls | grep "^$2" || :
"""
RPM = """#!/bin/sh
for last in "$@"; do :; done
[ -e "$PACKAGES_DIR/installed/$last" ]
"""
DNF = """#!/bin/sh
echo "$(basename "$0") $* ${ZYPP_LOCK_TIMEOUT-}" >>"$CALLS"
for last in "$@"; do :; done
if [ "$last" = missing ]; then
    echo "Error: Unable to find a match: missing"
    exit 1
fi
: >"$PACKAGES_DIR/installed/$last"
"""
MODPROBE = """#!/bin/sh
echo "modprobe $*" >>"$CALLS"
case $1 in
    nope) echo "modprobe: FATAL: Module nope not found in directory /lib/modules/6.12.0"; exit 1 ;;
    alias_of_it) exit 0 ;;
esac
mkdir "/sys/module/$1"
"""


class Guest:
    """A machine with a kernel of its own: /proc/sys/vm and /sys/module are directories of the test."""

    def __init__(self, root: Path) -> None:
        self.machine = Machine(root)
        self.packages = root / "packages"
        self.etc = root / "modules-load"
        self.mnt = root / "mnt"
        self.vm, self.modules = root / "vm", root / "modules"
        for directory in (
            self.vm,
            self.modules,
            self.etc,
            self.mnt,
            *(self.packages / each for each in ("known", "mirror", "installed")),
        ):
            directory.mkdir(parents=True)
        (self.vm / "max_map_count").write_text("65530\n")
        (self.vm / "lowmem_reserve_ratio").write_text("256\t256\t32\t0\n")
        self.machine.put_command("modprobe", MODPROBE)

    def with_apt(self, *mirror: str) -> Guest:
        for name, text in (("dpkg-query", DPKG_QUERY), ("apt-get", APT_GET), ("apt-cache", APT_CACHE)):
            self.machine.put_command(name, text)
        for name in mirror:
            (self.packages / "mirror" / name).touch()
        self.machine.put_command("sleep", "#!/bin/sh\n")
        return self

    def run(self, system: SystemSpec, *, look: bool = False, check: bool = True) -> subprocess.CompletedProcess[str]:
        for name, text in (looked_at(system) if look else system_files(system)).items():
            (self.machine.beside / name).write_text(text)
        for name in files_for("prepare-system.sh"):
            (self.machine.beside / name).write_bytes(guest_file(name))
        binds = (
            f"mount --bind {self.vm} /proc/sys/vm && mount --bind {self.modules} /sys/module && "
            f"mkdir -p /etc/modules-load.d && mount --bind {self.etc} /etc/modules-load.d && "
            f"mount --bind {self.mnt} /mnt && "
        )
        return self.machine.run_command(
            f"{binds}cd {self.machine.beside} && exec sh ./prepare-system.sh",
            check=check,
            PACKAGES_DIR=str(self.packages),
            LOOK=str(int(look)),
            LOCK_S="20",
            **system_env(system),
        )

    def sysctl(self, name: str) -> str:
        return (self.vm / name).read_text().strip()

    @property
    def calls(self) -> list[str]:
        return self.machine.calls.read_text().splitlines() if self.machine.calls.exists() else []

    def file(self, path: str) -> str:
        found = self.etc / Path(path).name if path == MODULES else self.machine.path(path)
        return found.read_text() if found.exists() else ""


@pytest.fixture
def guest(tmp_path: Path) -> Guest:
    return Guest(tmp_path)


ALL = SystemSpec(
    packages=("nfs-common", "open-iscsi"), sysctls=(("vm.max_map_count", "262144"),), kernel_modules=("iscsi_tcp",)
)
DIFFERS = [
    ("differs", "package nfs-common"),
    ("differs", "package open-iscsi"),
    ("differs", "module iscsi_tcp"),
    ("differs", "sysctl vm.max_map_count"),
    ("differs", f"file {MODULES}"),
    ("differs", f"file {SYSCTLS}"),
]


def test_a_look_changes_nothing_and_names_what_differs(guest: Guest) -> None:
    guest.with_apt("nfs-common", "open-iscsi")
    assert lines(guest.run(ALL, look=True)) == [*DIFFERS, ("changed", "1")]
    assert guest.calls == []
    assert (guest.sysctl("max_map_count"), guest.file(SYSCTLS), guest.file(MODULES)) == ("65530", "", "")
    assert not guest.machine.path(ASKED).exists()


def test_everything_is_applied_at_once_and_kept_for_the_next_boot(guest: Guest) -> None:
    guest.with_apt("nfs-common", "open-iscsi")
    assert lines(guest.run(ALL)) == [*DIFFERS, ("changed", "1")]
    assert sorted(path.name for path in (guest.packages / "installed").iterdir()) == ["nfs-common", "open-iscsi"]
    assert guest.sysctl("max_map_count") == "262144"
    assert guest.file(SYSCTLS).splitlines()[1:] == ["vm.max_map_count = 262144"]
    assert guest.file(MODULES).splitlines()[1:] == ["iscsi_tcp"]
    assert [call for call in guest.calls if call.startswith("modprobe")] == ["modprobe iscsi_tcp"]
    before = guest.calls
    for look in (True, False):
        assert lines(guest.run(ALL, look=look)) == [("changed", "0")]
    assert guest.calls == before
    assert not list(guest.machine.beside.glob("sysctls"))
    assert not list(guest.machine.beside.glob("modules"))


def test_a_reboot_or_a_hand_that_undid_it_is_seen(guest: Guest) -> None:
    guest.with_apt("nfs-common", "open-iscsi").run(ALL)
    (guest.vm / "max_map_count").write_text("65530\n")
    assert lines(guest.run(ALL, look=True)) == [("differs", "sysctl vm.max_map_count"), ("changed", "1")]
    guest.run(ALL)
    (guest.packages / "installed/nfs-common").unlink()
    assert ("differs", "package nfs-common") in lines(guest.run(ALL, look=True))


def test_tabs_of_the_kernel_are_no_difference(guest: Guest) -> None:
    system = SystemSpec(sysctls=(("vm.lowmem_reserve_ratio", "256 256 32 0"),))
    assert ("differs", "sysctl vm.lowmem_reserve_ratio") not in lines(guest.run(system))


def test_a_package_that_is_no_longer_asked_for_stays_and_is_named(guest: Guest) -> None:
    guest.with_apt("nfs-common", "open-iscsi").run(ALL)
    fewer = SystemSpec(packages=("open-iscsi",))
    assert ("left", "nfs-common") in lines(guest.run(fewer, look=True))
    done = lines(guest.run(fewer))
    assert ("left", "nfs-common") in done
    assert (guest.file(SYSCTLS), guest.file(MODULES)) == ("", ""), "what is taken out does not come back at a boot"
    assert lines(guest.run(fewer)) == [("left", "nfs-common"), ("manager", "apt-get"), ("changed", "0")]
    assert not [call for call in guest.calls if "remove" in call]
    (guest.packages / "installed/nfs-common").unlink()
    assert lines(guest.run(fewer)) == [("changed", "0")]


def test_another_apt_is_waited_for(guest: Guest) -> None:
    guest.with_apt("nfs-common", "open-iscsi")
    (guest.packages / "held").write_text("3")
    guest.run(ALL)
    assert (guest.packages / "installed/open-iscsi").exists()


def test_an_apt_that_holds_the_lock_for_ever_ends_it_with_its_line(guest: Guest) -> None:
    guest.with_apt("nfs-common")
    (guest.packages / "held").write_text("99999")
    done = guest.run(SystemSpec(packages=("nfs-common",)), check=False)
    assert done.returncode == 1
    assert "It is held by process 812" in done.stderr


def test_a_failure_ends_with_the_package_managers_last_lines_and_nothing_after_it(guest: Guest) -> None:
    guest.with_apt("broken")
    done = guest.run(SystemSpec(packages=("broken",), kernel_modules=("iscsi_tcp",)), check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "apt-get cannot install broken: E: Sub-process /usr/bin/dpkg returned an error code (1)",
        "Setting up broken ...",
        "E: Sub-process /usr/bin/dpkg returned an error code (1)",
    ]
    assert guest.file(MODULES) == ""
    assert guest.file(ASKED) == "broken\n", "the next run knows that it was ours"


def test_a_name_with_a_dot_is_no_regular_expression(guest: Guest) -> None:
    """apt takes an unknown name with a dot for one, and installs all that fits."""
    guest.with_apt("nfs-common", "nfsXcommon")
    done = guest.run(SystemSpec(packages=("nfs.common",)), check=False)
    assert done.returncode == 1
    assert "Unable to locate package nfs.common" in done.stderr
    assert not [call for call in guest.calls if "install" in call.split()]


@pytest.mark.parametrize("manager", ["dnf", "zypper"])
def test_other_distributions_have_their_own(guest: Guest, manager: str) -> None:
    guest.machine.put_command("rpm", RPM)
    guest.machine.put_command(manager, DNF)
    guest.machine.put_command("dpkg-query", "#!/bin/sh\nexit 1\n")  # dpkg is also a package of Fedora's
    done = _without_apt(guest, SystemSpec(packages=("nfs-utils",)))
    assert done.returncode == 0, done.stderr
    assert len(guest.calls) == 1
    assert guest.calls[0].startswith(manager)
    assert "nfs-utils" in guest.calls[0]
    assert manager == "dnf" or guest.calls[0].endswith(" 20")
    done = _without_apt(guest, SystemSpec(packages=("missing",)))
    assert done.returncode == 1
    cause = "Error: Unable to find a match: missing"
    assert done.stderr.splitlines() == [f"{manager} cannot install missing: {cause}", cause]


def _without_apt(guest: Guest, system: SystemSpec) -> subprocess.CompletedProcess[str]:
    """Run it where the test machine's own apt and dpkg are out of reach: only the commands it needs are on PATH."""
    tools = guest.machine.bin
    for name in ("sh", "tr", "sed", "rm", "mkdir", "cp", "mv", "cmp", "install", "cat", "tail", "grep", "uname",
                 "basename", "timeout", "mount", "unshare", "cut", "sort", "stat", "sha256sum"):  # fmt: skip
        found = next(Path(each, name) for each in ("/usr/bin", "/bin", "/usr/sbin") if Path(each, name).exists())
        if not (tools / name).exists():
            (tools / name).symlink_to(found)
    guest.machine.run_path = str(tools)
    return guest.run(system, check=False)


@pytest.mark.parametrize(
    ("system", "said"),
    [
        (
            SystemSpec(kernel_modules=("nope",)),
            "nope cannot be loaded: modprobe: FATAL: Module nope not found",
        ),
        (SystemSpec(kernel_modules=("alias_of_it",)), "write the one that lsmod shows"),
        (SystemSpec(sysctls=(("vm.no_such", "1"),)), "the kernel has no sysctl vm.no_such"),
        (SystemSpec(packages=("curl-not-there",)), "Unable to locate package curl-not-there"),
    ],
)
def test_what_the_kernel_refuses_is_an_error_and_is_not_left_for_the_next_boot(
    guest: Guest, system: SystemSpec, said: str
) -> None:
    done = guest.with_apt().run(system, check=False)
    assert done.returncode == 1
    assert said in done.stderr
    assert (guest.file(SYSCTLS), guest.file(MODULES)) == ("", "")


def test_the_package_manager_uses_the_proxies_that_were_sent_and_they_do_not_stay(guest: Guest) -> None:
    proxies = "http_proxy='http://a'\nhttps_proxy='http://me:$(id) `id`@b'\nno_proxy='.lan'\n"
    guest.with_apt("nfs-common").machine.beside.joinpath("proxies").write_text(proxies)
    guest.run(SystemSpec(packages=("nfs-common",)))
    assert "by http://me:$(id) `id`@b, not for .lan" in guest.calls
    assert not guest.machine.beside.joinpath("proxies").exists()
