"""Guest scripts run for real, in a mount namespace whose system directories are the test's own."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from bootstrap.adapters.local.guest_files import files_for, guest_file

DATA = Path(__file__).parents[2] / "bootstrap" / "data"
SCRIPTS = sorted(path.name for path in (DATA / "guest").glob("*.sh"))
STAND_INS = ("/usr/local/bin", "/etc/systemd", "/etc/rancher", "/etc/sysctl.d", "/var/lib", "/run")

SYSTEM_PATH = "/usr/bin:/bin:/usr/sbin:/sbin"
COMMANDS = ("kubectl", "crictl", "ctr")

SYSTEMCTL = """#!/bin/sh
# Stands in for systemctl: writes down what it was asked and answers from a file.
echo "$@" >>"$CALLS"
case "$*" in
    *ExecMainStartTimestamp*) [ ! -e "$ANSWER.since" ] || cat "$ANSWER.since" ;;
    show*) cat "$ANSWER" ;;
    is-failed*) [ -e "$FAILED" ] ;;
esac
"""


def _can_unshare() -> bool:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode == 0


needs_root = pytest.mark.skipif(not _can_unshare(), reason="needs root and mount namespaces: the scripts write to /etc")


def _put(file: Path, text: str) -> None:
    """All of it at once, for a script that may be reading."""
    new = file.with_name(f"{file.name}.new")
    new.write_text(text)
    new.replace(file)


class Machine:
    """A guest as far as the scripts see it: `system` has the directories that stand in for the real ones."""

    def __init__(self, root: Path) -> None:
        self.system = root / "system"
        self.beside = root / "beside"
        self.bin = root / "bin"
        self.calls = root / "calls"
        self.answer = root / "answer"
        self.failed = root / "failed"
        self.run_path = f"{self.bin}:/usr/local/bin:{SYSTEM_PATH}"
        for directory in (self.beside, self.bin):
            directory.mkdir(parents=True)
        for name in STAND_INS:
            self.path(name).mkdir(parents=True)
        self.answer.write_text("")
        self.put_command("systemctl", SYSTEMCTL)
        self.bin.joinpath("python3").symlink_to(sys.executable)

    def path(self, name: str) -> Path:
        return self.system / name.lstrip("/")

    def put_command(self, name: str, text: str) -> None:
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def put_file(self, name: str, text: str) -> None:
        self.path(name).parent.mkdir(parents=True, exist_ok=True)
        self.path(name).write_text(text)

    def run(
        self, script: str, *, files: Iterable[tuple[str, str]] = (), check: bool = True, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a script as the SSH adapter does, in a mount namespace of its own."""
        for name in files_for(script):
            (self.beside / name).write_bytes(guest_file(name))
        for name, text in files:
            (self.beside / name).parent.mkdir(exist_ok=True)
            (self.beside / name).write_text(text)
        return self.run_command(f"cd {self.beside} && exec sh ./{script}", check=check, **env)

    def run_command(self, command: str, *, check: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a shell command where this machine's directories stand in for the real ones."""
        binds = "".join(f"mount --bind {self.path(name)} {name} && " for name in STAND_INS if Path(name).exists())
        # /etc/rancher need not be there on the machine that runs the tests; a file system over /etc would hide users.
        return subprocess.run(
            ["unshare", "-m", "sh", "-c", f"{self._missing()}{binds}{command}"],
            env={
                "PATH": self.run_path,
                "CALLS": str(self.calls),
                "ANSWER": str(self.answer),
                "FAILED": str(self.failed),
                **env,
            },
            capture_output=True,
            text=True,
            check=check,
        )

    def _missing(self) -> str:
        if Path("/etc/rancher").exists():
            return ""
        over = self.system.parent / "over"
        over.mkdir(exist_ok=True)
        # tmpfs, since an overlay's upper directory cannot itself lie on an overlay.
        return (
            f"mount -t tmpfs none {over} && mkdir {over}/upper {over}/work && "
            f"mount -t overlay -o lowerdir=/etc,upperdir={over}/upper,workdir={over}/work none /etc && "
            f"mkdir -p /etc/rancher && mount --bind {self.path('/etc/rancher')} /etc/rancher && "
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def lines(done: subprocess.CompletedProcess[str]) -> list[tuple[str, str]]:
    return [(key, value) for key, _, value in (line.partition("=") for line in done.stdout.splitlines())]


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
@pytest.mark.parametrize("script", SCRIPTS)
def test_shellcheck_has_nothing_to_say(script: str) -> None:
    done = subprocess.run(["shellcheck", DATA / "guest" / script], capture_output=True, text=True, check=False)
    assert done.stdout == ""


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_file_a_script_needs_is_there(script: str) -> None:
    assert all(guest_file(name) for name in files_for(script))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("unit", ["k3s.service", "k3s-agent.service"])
def test_systemd_understands_the_units(unit: str, tmp_path: Path) -> None:
    """With /usr/local/bin/k3s replaced, since a binary that is missing is a complaint, too."""
    (tmp_path / unit).write_text((DATA / "units" / unit).read_text().replace("/usr/local/bin/k3s", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", tmp_path / unit], capture_output=True, text=True, check=False
    )
    assert [line for line in done.stderr.splitlines() if unit in line] == []


@pytest.mark.parametrize("unit", ["k3s", "k3s-agent"])
def test_the_unit_is_upstreams_in_what_counts(unit: str) -> None:
    """k3s: install.sh, create_systemd_service_file."""
    said = (DATA / "units" / f"{unit}.service").read_text().splitlines()
    files = [line for line in said if line.startswith("EnvironmentFile=")]
    # systemd reads them in this order, and a later one counts.
    assert files == [
        "EnvironmentFile=-/etc/default/%N",
        "EnvironmentFile=-/etc/sysconfig/%N",
        "EnvironmentFile=-/etc/systemd/system/%N.service.env",
    ]
    assert {
        *("Type=notify", "KillMode=process", "Delegate=yes", "LimitNOFILE=1048576", "LimitNPROC=infinity"),
        *("LimitCORE=infinity", "TasksMax=infinity", "TimeoutStartSec=0", "Restart=always", "RestartSec=5s"),
        *("ExecStartPre=-/sbin/modprobe br_netfilter", "ExecStartPre=-/sbin/modprobe overlay"),
        *("Wants=network-online.target", "After=network-online.target", "WantedBy=multi-user.target"),
    } <= set(said)


@needs_root
class TestFacts:
    def test_a_bare_machine_tells_what_it_is(self, machine: Machine) -> None:
        facts = dict(lines(machine.run("facts.sh", UNIT="")))
        assert facts["k3s_sha256"] == facts["k3s_version"] == facts["active_state"] == ""
        assert int(facts["disk_free_mib"]) > 0
        assert int(facts["time"]) > 1_700_000_000
        assert facts["swap"].isdigit()
        assert facts["hostname"] == os.uname().nodename

    def test_an_installed_k3s_is_told_with_its_units_state(self, machine: Machine) -> None:
        binary = "#!/bin/sh\necho 'k3s version v1.33.3+k3s1 (236cbf25)'\necho 'go version go1.24'\n"
        machine.put_file("/usr/local/bin/k3s", binary)
        machine.path("/usr/local/bin/k3s").chmod(0o755)
        machine.answer.write_text("active\n")
        facts = dict(lines(machine.run("facts.sh", UNIT="k3s-agent")))
        assert facts["k3s_sha256"] == hashlib.sha256(binary.encode()).hexdigest()
        assert facts["k3s_version"] == "v1.33.3+k3s1"
        assert facts["active_state"] == "active"
        assert "show --property NRestarts --value k3s-agent.service" in machine.calls.read_text()

    def test_a_damaged_k3s_does_not_hide_the_rest(self, machine: Machine) -> None:
        machine.put_file("/usr/local/bin/k3s", "\x7fELF nonsense")
        machine.path("/usr/local/bin/k3s").chmod(0o755)
        facts = dict(lines(machine.run("facts.sh")))
        assert facts["k3s_version"] == ""
        assert len(facts["k3s_sha256"]) == 64
        assert facts["arch"]

    def test_an_absent_unit_has_no_state(self, machine: Machine) -> None:
        machine.answer.write_text("not-found\n")
        assert dict(lines(machine.run("facts.sh", UNIT="k3s")))["active_state"] == ""


@needs_root
class TestCloudInit:
    RESULT = "/run/cloud-init/result.json"
    STATUS = "/run/cloud-init/status.json"

    def put(self, machine: Machine, *, errors: list[str], stage: dict[str, object]) -> None:
        machine.put_file(self.STATUS, json.dumps({"v1": {"stage": None, "datasource": "x", "modules-final": stage}}))
        _put(machine.path(self.RESULT), json.dumps({"v1": {"datasource": "DataSourceNoCloud", "errors": errors}}))

    def test_it_still_runs(self, machine: Machine) -> None:
        machine.put_command("cloud-init", "#!/bin/sh\n")
        assert machine.run("cloud-init-result.sh").stdout == "done=0\n"

    def test_it_is_waited_for_so_long(self, machine: Machine) -> None:
        machine.put_command("cloud-init", "#!/bin/sh\n")
        began = time.monotonic()
        assert machine.run("cloud-init-result.sh", WITHIN_S="1").stdout == "done=0\n"
        assert 1 <= time.monotonic() - began < 30

    def test_its_end_is_noticed(self, machine: Machine) -> None:
        machine.put_command("cloud-init", "#!/bin/sh\n")
        timer = threading.Timer(0.6, lambda: self.put(machine, errors=[], stage={}))
        timer.start()
        began = time.monotonic()
        assert machine.run("cloud-init-result.sh", WITHIN_S="120").stdout == "done=1\nstatus=done\n"
        assert 0.5 < time.monotonic() - began < 60
        timer.join()

    def test_it_went_well(self, machine: Machine) -> None:
        self.put(machine, errors=[], stage={"errors": [], "recoverable_errors": {}, "start": 1.0, "finished": 2.0})
        assert machine.run("cloud-init-result.sh").stdout == "done=1\nstatus=done\n"

    def test_errors_are_told_once_and_on_one_line_each(self, machine: Machine) -> None:
        self.put(machine, errors=["('ssh', x)", "two\nlines"], stage={"errors": ["('ssh', x)", "third"]})
        assert lines(machine.run("cloud-init-result.sh")) == [
            ("done", "1"),
            ("status", "error"),
            ("error", "('ssh', x)"),
            ("error", "two lines"),
            ("error", "third"),
        ]

    def test_warnings_degrade_and_deprecations_do_not(self, machine: Machine) -> None:
        self.put(machine, errors=[], stage={"recoverable_errors": {"DEPRECATED": ["chpasswd.list is old"]}})
        assert ("status", "done") in lines(machine.run("cloud-init-result.sh"))
        self.put(machine, errors=[], stage={"recoverable_errors": {"WARNING": ["no such module"]}})
        told = lines(machine.run("cloud-init-result.sh"))
        assert ("status", "degraded") in told
        assert ("warning", "WARNING: no such module") in told

    def test_a_machine_without_cloud_init_is_done(self, machine: Machine) -> None:
        if shutil.which("cloud-init"):
            pytest.skip("cloud-init is installed on the machine that runs the tests")
        assert machine.run("cloud-init-result.sh").stdout == "done=1\nstatus=disabled\n"

    def test_a_disabled_cloud_init_is_done(self, machine: Machine) -> None:
        machine.put_command("cloud-init", "#!/bin/sh\n")
        machine.put_file("/run/cloud-init/disabled", "")
        assert machine.run("cloud-init-result.sh").stdout == "done=1\nstatus=disabled\n"

    def test_a_final_stage_that_died_is_not_waited_for(self, machine: Machine) -> None:
        machine.put_command("cloud-init", "#!/bin/sh\n")
        machine.failed.write_text("")
        told = lines(machine.run("cloud-init-result.sh"))
        assert told[:2] == [("done", "1"), ("status", "error")]
        assert "cloud-final" in told[2][1]


BINARY = "#!/bin/sh\necho 'k3s version v1.33.3+k3s1 (236cbf25)'\n"
SHA256 = hashlib.sha256(BINARY.encode()).hexdigest()
SECRETS = (("config.yaml", "server: https://198.18.0.2:6443\n"), ("service.env", "K3S_TOKEN='geheim'\n"))


@needs_root
class TestInstall:
    def install(self, machine: Machine, *extra: tuple[str, str], role: str = "agent", check: bool = True) -> str:
        done = machine.run("install-k3s.sh", files=(*SECRETS, *extra), ROLE=role, SHA256=SHA256, check=check)
        return done.stdout if done.returncode == 0 else done.stderr

    def mode(self, machine: Machine, name: str) -> int:
        return machine.path(name).stat().st_mode & 0o7777

    def test_everything_comes_to_the_places_of_upstream(self, machine: Machine) -> None:
        assert self.install(machine, ("k3s.bin", BINARY), ("images/a.tar.zst", "image")) == "changed=1\n"
        assert machine.path("/usr/local/bin/k3s").read_text() == BINARY
        modes = {
            "/usr/local/bin/k3s": 0o755,
            "/usr/local/bin/k3s-killall.sh": 0o755,
            "/usr/local/bin/k3s-agent-uninstall.sh": 0o755,
            "/etc/systemd/system/k3s-agent.service": 0o644,
            "/etc/systemd/system/k3s-agent.service.env": 0o600,
            "/etc/rancher/k3s/config.yaml": 0o600,
            "/var/lib/rancher/k3s/agent/images/a.tar.zst": 0o644,
        }
        assert {name: self.mode(machine, name) for name in modes} == modes
        links = {name for name in COMMANDS if machine.path(f"/usr/local/bin/{name}").is_symlink()}
        assert links == {name for name in COMMANDS if shutil.which(name, path=SYSTEM_PATH) is None}
        assert not machine.path("/etc/systemd/system/k3s.service").exists()

    def test_no_secret_and_no_binary_stays_beside_the_script(self, machine: Machine) -> None:
        self.install(machine, ("k3s.bin", BINARY))
        assert not {"config.yaml", "service.env", "k3s.bin"} & {path.name for path in machine.beside.iterdir()}

    def test_a_second_time_changes_nothing(self, machine: Machine) -> None:
        self.install(machine, ("k3s.bin", BINARY))
        assert self.install(machine) == "changed=0\n"
        assert self.install(machine, ("k3s.bin", BINARY)) == "changed=0\n"

    def test_changed_settings_are_a_change(self, machine: Machine) -> None:
        self.install(machine, ("k3s.bin", BINARY))
        assert self.install(machine, ("config.yaml", "server: https://198.18.0.3:6443\n")) == "changed=1\n"
        machine.path("/etc/systemd/system/k3s-agent.service.env").chmod(0o644)
        assert self.install(machine, ("config.yaml", "server: https://198.18.0.3:6443\n")) == "changed=1\n"
        assert self.mode(machine, "/etc/systemd/system/k3s-agent.service.env") == 0o600

    def test_the_users_lines_in_the_units_environment_stay(self, machine: Machine) -> None:
        """Upstream's place for proxies; the token alone is ours."""
        name = "/etc/systemd/system/k3s-agent.service.env"
        self.install(machine, ("k3s.bin", BINARY))
        machine.put_file(name, "K3S_TOKEN='geheim'\nHTTPS_PROXY=http://proxy.home:3128\n# mine\nNO_PROXY='10.0.0.0/8'")
        assert self.install(machine) == "changed=0\n"
        assert "HTTPS_PROXY=http://proxy.home:3128\n" in machine.path(name).read_text()
        machine.put_file(name, machine.path(name).read_text().replace("geheim", "old"))
        assert self.install(machine) == "changed=1\n"
        kept = ["HTTPS_PROXY=http://proxy.home:3128", "# mine", "NO_PROXY='10.0.0.0/8'", "K3S_TOKEN='geheim'"]
        assert machine.path(name).read_text().splitlines() == kept
        assert self.mode(machine, name) == 0o600
        assert not {"service.env", "environment"} & {path.name for path in machine.beside.iterdir()}

    def test_a_damaged_binary_is_refused_and_the_old_one_stays(self, machine: Machine) -> None:
        machine.put_file("/usr/local/bin/k3s", "old")
        told = self.install(machine, ("k3s.bin", BINARY + "\n"), check=False)
        assert "arrived damaged" in told
        assert [path.name for path in machine.path("/usr/local/bin").iterdir()] == ["k3s"]
        assert machine.path("/usr/local/bin/k3s").read_text() == "old"
        assert not (machine.beside / "service.env").exists()

    def test_a_binary_that_was_not_sent_is_missed(self, machine: Machine) -> None:
        assert "was not sent" in self.install(machine, check=False)

    def test_the_other_role_is_refused_and_nothing_touched(self, machine: Machine) -> None:
        self.install(machine, ("k3s.bin", BINARY))
        assert "installed as the other role" in self.install(machine, ("k3s.bin", BINARY), role="server", check=False)
        assert not machine.path("/etc/systemd/system/k3s.service").exists()
        assert not (machine.beside / "config.yaml").exists()

    def test_a_kubectl_of_the_users_own_stays(self, machine: Machine) -> None:
        machine.put_command("kubectl", "#!/bin/sh\n")
        machine.put_file("/usr/local/bin/ctr", "mine")
        self.install(machine, ("k3s.bin", BINARY))
        assert not machine.path("/usr/local/bin/kubectl").exists()
        assert machine.path("/usr/local/bin/ctr").read_text() == "mine"

    @pytest.mark.parametrize(("container", "networkd"), [(True, True), (True, False), (False, True)])
    def test_a_container_does_not_wait_for_networkd(self, machine: Machine, container: bool, networkd: bool) -> None:
        """Debian 13 holds network-online.target for two minutes there; what a VM waits for is its template's affair."""
        machine.put_command("systemd-detect-virt", f"#!/bin/sh\nexit {int(not container)}\n")
        machine.put_command("systemctl", f"#!/bin/sh\n[ $1 != cat ] || exit {int(not networkd)}\n")
        self.install(machine, ("k3s.bin", BINARY))
        drop_in = machine.path("/etc/systemd/system/systemd-networkd-wait-online.service.d/homelab-k8s.conf")
        assert drop_in.exists() == (container and networkd)
        if drop_in.exists():
            assert "--any --timeout=10" in drop_in.read_text()
            assert drop_in.parent.stat().st_mode & 0o777 == 0o755
            self.uninstall(machine)
            assert not drop_in.exists()

    def uninstall(self, machine: Machine, *, before: str = "") -> str:
        # Only this machine's own rules and links are at stake here, so those parts get stand-ins.
        for command in ("ip", "iptables-save", "iptables-restore", "ip6tables-save", "ip6tables-restore"):
            machine.put_command(command, "#!/bin/sh\nexit 0\n")
        return machine.run_command(f"{before}/usr/local/bin/k3s-agent-uninstall.sh && find /var/lib").stdout

    def test_uninstall_leaves_only_what_it_says(self, machine: Machine) -> None:
        self.install(machine, ("k3s.bin", BINARY), ("images/a.tar", "image"))
        machine.put_file("/etc/rancher/node/password", "0123")
        machine.put_file("/usr/local/bin/helm", "mine")
        self.uninstall(machine)
        left = sorted(str(path.relative_to(machine.system)) for path in machine.system.rglob("*") if path.is_file())
        assert left == ["etc/rancher/node/password", "usr/local/bin/helm"]
        assert "stop k3s-agent.service" in machine.calls.read_text()

    def test_uninstall_empties_a_disk_for_k3s_and_leaves_a_volume(self, machine: Machine) -> None:
        self.install(machine, ("k3s.bin", BINARY))
        own = "/var/lib/rancher/k3s/agent/containerd"
        volume = "/var/lib/rancher/k3s/storage/pvc-1"
        mounts = "".join(
            f"mkdir -p {each} && mount -t tmpfs none {each} && touch {each}/file && " for each in (own, volume)
        )
        left = self.uninstall(machine, before=mounts).split()
        below = "/var/lib/rancher/k3s"
        assert [path for path in left if path.startswith(f"{below}/agent")] == [f"{below}/agent", own]
        assert f"{volume}/file" in left


@needs_root
class TestKillall:
    def test_tools_that_the_machine_lacks_are_k3s_own(self, machine: Machine) -> None:
        """k3s brings iptables along, in data/*/bin/aux; in namespaces of its own, since it kills and flushes."""
        aux = "/var/lib/rancher/k3s/data/abc/bin/aux"
        for tool in ("iptables-save", "iptables-restore", "ip6tables-save", "ip6tables-restore", "ip"):
            machine.put_file(f"{aux}/{tool}", f'#!/bin/sh\necho {tool} >>"$CALLS"\n')
            machine.path(f"{aux}/{tool}").chmod(0o755)
        shutil.copy(DATA / "guest" / "k3s-killall.sh", machine.beside)
        bare = machine.bin.parent / "bare"
        bare.mkdir()
        for tool in ("id", "cat", "tr", "readlink", "grep", "sort", "umount", "rm", "rmdir", "kill"):
            found = shutil.which(tool, path=SYSTEM_PATH)
            if found:
                bare.joinpath(tool).symlink_to(found)
        shell = f"exec unshare -npf --mount-proc env PATH={machine.bin}:{bare} /bin/sh {machine.beside}/k3s-killall.sh"
        machine.run_command(shell)
        called = machine.calls.read_text().splitlines()
        assert {"iptables-save", "iptables-restore", "ip6tables-save", "ip6tables-restore", "ip"} <= set(called)


@needs_root
class TestRemovingTheVip:
    """In network and mount namespaces of its own, with an /etc/keepalived whether the machine has one or not."""

    ADDRESS = "192.0.2.5"

    def removed(self, machine: Machine, first_line: str) -> list[str]:
        """What the script prints, what is left in /etc/keepalived, and the addresses of lo."""
        shutil.copy(DATA / "guest" / "remove-vip.sh", machine.beside)
        layers = machine.system / "layers"
        settings = f"{first_line}\nvirtual_ipaddress {{\n        {self.ADDRESS}/32\n    }}\n"
        for name in ("upper/keepalived", "work"):
            (layers / name).mkdir(parents=True)
        (layers / "upper/keepalived/keepalived.conf").write_text(settings)
        (layers / "upper/keepalived/check-k3s-api").write_text("")
        told = machine.run_command(
            f"unshare -n sh -ec 'mount -t tmpfs none /mnt; mkdir /mnt/work; cp -r {layers}/upper /mnt/upper; "
            "mount -t overlay none -o lowerdir=/etc,upperdir=/mnt/upper,workdir=/mnt/work /etc; "
            "ip link set lo up; ip address add 192.0.2.11/24 dev lo; "
            f"ip address add {self.ADDRESS}/32 dev lo; sh {machine.beside}/remove-vip.sh; "
            f"sh {machine.beside}/remove-vip.sh; ls /etc/keepalived; "
            "ip -4 -oneline address show dev lo'"
        )
        return [line.split(" scope")[0] for line in told.stdout.splitlines()]

    def test_ours_is_ended_with_the_address_that_a_killed_one_has_left(self, machine: Machine) -> None:
        said, again, *rest = self.removed(machine, "# Written by homelab-k8s; changes are overwritten.")
        assert (said, again) == ("changed=1", "changed=0")
        assert [line.split()[-1] for line in rest] == ["127.0.0.1/8", "192.0.2.11/24"]
        assert machine.calls.read_text() == "disable --quiet --now keepalived.service\n"

    def test_somebody_elses_is_left_alone(self, machine: Machine) -> None:
        said, again, *rest = self.removed(machine, "# mine")
        assert (said, again) == ("changed=0", "changed=0")
        assert rest[:2] == ["check-k3s-api", "keepalived.conf"]
        assert self.ADDRESS in " ".join(rest)
        assert not machine.calls.exists()


@needs_root
class TestSettings:
    CONFIG = "/etc/rancher/k3s/config.yaml"

    def test_they_are_told_with_those_of_the_user(self, machine: Machine) -> None:
        assert machine.run("read-settings.sh").stdout == "pending=0\n"
        for name in (self.CONFIG, f"{self.CONFIG}.d/50 mine.yaml", f"{self.CONFIG}.d/ignored.txt"):
            machine.put_file(name, "disable: traefik\n")
        text = base64.b64encode(b"disable: traefik\n").decode()
        assert lines(machine.run("read-settings.sh")) == [
            ("file", f"{self.CONFIG} {text}"),
            ("file", f"{self.CONFIG}.d/50 mine.yaml {text}"),
            ("pending", "0"),
        ]

    def test_new_ones_are_pending_until_k3s_was_restarted(self, machine: Machine) -> None:
        machine.put_file(self.CONFIG, "disable: traefik\n")
        new = (("config.yaml", "disable: servicelb\n"),)
        same = (("config.yaml", "disable: traefik\n"),)
        assert machine.run("put-settings.sh", files=same, DONE="0").stdout == "restart=0\n"
        for _ in range(2):
            assert machine.run("put-settings.sh", files=new, DONE="0").stdout == "restart=1\n"
            assert machine.path(self.CONFIG).read_text() == "disable: servicelb\n"
        assert machine.path(self.CONFIG).stat().st_mode & 0o777 == 0o600
        assert not (machine.beside / "config.yaml").exists()
        assert "pending=1" in machine.run("read-settings.sh").stdout
        machine.run("put-settings.sh", DONE="1")
        assert "pending=0" in machine.run("read-settings.sh").stdout


@needs_root
class TestEnvironment:
    """The inventory's variables in the unit's environment file."""

    PATH = "/etc/systemd/system/k3s-agent.service.env"
    TOKEN = "K3S_TOKEN='geheim'\n"
    OURS = "HTTPS_PROXY='http://me:pass word\\$HOME@[fd00::1]:3128'\nNO_PROXY='localhost,.svc'\n"
    CONFIG = ("config.yaml", "disable: traefik\n")

    def put(self, machine: Machine, text: str) -> str:
        machine.path("/etc/rancher/k3s").mkdir(exist_ok=True)
        machine.put_file("/etc/systemd/system/k3s-agent.service", "")
        files = (self.CONFIG, *((("environment", text),) if text else ()))
        done = machine.run("put-settings.sh", files=files, DONE="0")
        assert not {"environment", "config.yaml"} & {path.name for path in machine.beside.iterdir()}
        machine.run("put-settings.sh", DONE="1")
        return done.stdout

    def told(self, machine: Machine) -> list[tuple[str, str]]:
        told = [value.split() for key, value in lines(machine.run("read-settings.sh")) if key == "environment"]
        return [(name, checksum) for name, checksum in told]

    def sums(self, text: str) -> list[tuple[str, str]]:
        return [(line.partition("=")[0], hashlib.sha256(line.encode()).hexdigest()) for line in text.splitlines()]

    def before(self, machine: Machine, text: str) -> None:
        machine.put_file(self.PATH, text)
        machine.path(self.PATH).chmod(0o600)
        self.put(machine, "")

    def test_they_come_go_and_change_and_the_users_lines_stay(self, machine: Machine) -> None:
        users = "# mine\nGOGC=50\n\nodd line of mine\n"
        self.before(machine, users + self.TOKEN)
        assert self.put(machine, "") == "restart=0\n"
        assert self.put(machine, self.OURS) == "restart=1\n"
        text = machine.path(self.PATH).read_text()
        assert text.startswith(users + self.TOKEN)
        assert text.endswith(self.OURS)
        assert machine.path(self.PATH).stat().st_mode & 0o777 == 0o600
        assert self.told(machine) == self.sums(self.OURS)
        assert self.put(machine, self.OURS) == "restart=0\n"
        less = self.OURS.splitlines()[1] + "\n"
        assert self.put(machine, less) == "restart=1\n"
        assert self.told(machine) == self.sums(less)
        assert self.put(machine, "") == "restart=1\n"
        assert machine.path(self.PATH).read_text() == users + self.TOKEN
        assert self.told(machine) == []

    def test_one_takes_the_place_of_the_users_line_of_its_name(self, machine: Machine) -> None:
        self.before(machine, "HTTPS_PROXY=http://other:1\nHTTPS_PROXY_OF_MINE=x\n" + self.TOKEN)
        self.put(machine, self.OURS)
        assert machine.path(self.PATH).read_text().splitlines()[:2] == ["HTTPS_PROXY_OF_MINE=x", self.TOKEN.strip()]
        machine.put_file(self.PATH, machine.path(self.PATH).read_text() + "NO_PROXY=*\n")
        assert [name for name, _ in self.told(machine)] == ["HTTPS_PROXY", "NO_PROXY", "NO_PROXY"]
        assert self.put(machine, self.OURS) == "restart=1\n"
        assert self.told(machine) == self.sums(self.OURS)

    def test_others_that_can_read_them_are_told_and_kept_out_without_a_restart(self, machine: Machine) -> None:
        self.before(machine, self.TOKEN)
        self.put(machine, self.OURS)
        machine.path(self.PATH).chmod(0o644)
        assert {checksum for _, checksum in self.told(machine)} == {"exposed"}
        assert self.put(machine, self.OURS) == "restart=0\n"
        assert self.told(machine) == self.sums(self.OURS)

    def test_a_new_token_and_a_new_installation_leave_them(self, machine: Machine) -> None:
        self.before(machine, self.TOKEN)
        self.put(machine, self.OURS)
        machine.run("renew-token.sh", files=(("token", "K10ab::node:new\n"),), UNIT="k3s-agent", DONE="0")
        assert self.told(machine) == self.sums(self.OURS)
        files = (*SECRETS, ("environment", self.OURS), ("k3s.bin", BINARY))
        machine.run("install-k3s.sh", files=files, ROLE="agent", SHA256=SHA256)
        assert self.told(machine) == self.sums(self.OURS)
        assert sorted(machine.path(self.PATH).read_text().splitlines())[-1] == self.OURS.splitlines()[1]
        machine.run("install-k3s.sh", files=SECRETS, ROLE="agent", SHA256=SHA256)
        assert machine.path(self.PATH).read_text() == self.TOKEN


@needs_root
class TestRegistries:
    PATH = "/etc/rancher/k3s/registries.yaml"
    OURS = "# Written by homelab-k8s\nconfigs: {}\n"
    CONFIG = ("config.yaml", "disable: traefik\n")

    def put(self, machine: Machine, text: str | None, *, check: bool = True) -> str:
        machine.path("/etc/rancher/k3s").mkdir(exist_ok=True)
        files = (self.CONFIG, *((("registries.yaml", text),) if text is not None else ()))
        done = machine.run("put-settings.sh", files=files, DONE="0", check=check)
        assert not (machine.beside / "registries.yaml").exists()
        machine.run("put-settings.sh", DONE="1")
        return done.stdout + done.stderr

    def told(self, machine: Machine) -> str:
        return dict(lines(machine.run("read-settings.sh"))).get("registries", "")

    def test_it_is_roots_alone_and_changes_once(self, machine: Machine) -> None:
        self.put(machine, None)
        assert self.put(machine, self.OURS) == "restart=1\n"
        path = machine.path(self.PATH)
        assert (path.read_text(), path.stat().st_mode & 0o777, path.stat().st_uid) == (self.OURS, 0o600, 0)
        assert self.told(machine) == hashlib.sha256(self.OURS.encode()).hexdigest()
        assert self.put(machine, self.OURS) == "restart=0\n"
        assert self.put(machine, f"{self.OURS}mirrors: {{}}\n") == "restart=1\n"

    def test_certificates_and_keys_come_and_go_with_it(self, machine: Machine) -> None:
        def put(*files: tuple[str, str]) -> str:
            machine.path("/etc/rancher/k3s").mkdir(exist_ok=True)
            sent = (self.CONFIG, ("registries.yaml", self.OURS), *files)
            restart = machine.run("put-settings.sh", files=sent, DONE="0").stdout
            machine.run("put-settings.sh", DONE="1")
            assert not list(machine.beside.glob("registr*"))
            return restart

        tls = machine.path("/etc/rancher/k3s/registries.tls")
        old, new = ("registry-1.pem", "key 1\n"), ("registry-2.pem", "key 2\n")
        put()
        assert put(old, new) == "restart=1\n"
        assert {path.name: (path.read_text(), path.stat().st_mode & 0o777) for path in tls.iterdir()} == {
            name: (text, 0o600) for name, text in (old, new)
        }
        assert tls.stat().st_mode & 0o777 == 0o700
        assert self.told(machine) == hashlib.sha256(f"{self.OURS}key 1\nkey 2\n".encode()).hexdigest()
        assert put(old, new) == "restart=0\n"
        assert put(new) == "restart=1\n"
        assert [path.name for path in tls.iterdir()] == ["registry-2.pem"]
        (tls / "registry-2.pem").chmod(0o640)
        assert self.told(machine) == "exposed"
        assert put(new) == "restart=0\n"
        (tls / "registry-2.pem").write_text("other\n")
        assert put(new) == "restart=1\n"
        assert self.put(machine, None) == "restart=1\n"
        assert not tls.exists()

    def test_its_mode_is_put_right_without_a_restart(self, machine: Machine) -> None:
        self.put(machine, self.OURS)
        machine.path(self.PATH).chmod(0o644)
        assert self.told(machine) == "exposed"
        assert self.put(machine, self.OURS) == "restart=0\n"
        assert self.told(machine) == hashlib.sha256(self.OURS.encode()).hexdigest()

    def test_ours_is_removed_where_none_is_sent(self, machine: Machine) -> None:
        self.put(machine, self.OURS)
        assert self.put(machine, None) == "restart=1\n"
        assert not machine.path(self.PATH).exists()
        assert self.put(machine, None) == "restart=0\n"

    def test_anothers_is_neither_overwritten_nor_removed(self, machine: Machine) -> None:
        machine.put_file(self.PATH, "mirrors: {}\n")
        assert self.told(machine) == "foreign"
        assert "is not overwritten" in self.put(machine, self.OURS, check=False)
        assert self.put(machine, None) == "restart=1\n", "for config.yaml, which is new"
        assert machine.path(self.PATH).read_text() == "mirrors: {}\n"

    def test_it_comes_with_the_installation_and_anothers_stops_it(self, machine: Machine) -> None:
        sent = (*SECRETS, ("k3s.bin", BINARY), ("registries.yaml", self.OURS))
        machine.put_file(self.PATH, "mirrors: {}\n")
        refused = machine.run("install-k3s.sh", files=sent, ROLE="agent", SHA256=SHA256, check=False)
        assert "take its content into k3s.registries" in refused.stderr
        assert not machine.path("/usr/local/bin/k3s").exists()
        assert not (machine.beside / "registries.yaml").exists()
        machine.path(self.PATH).unlink()
        for changed in "10":
            assert (
                machine.run("install-k3s.sh", files=sent, ROLE="agent", SHA256=SHA256).stdout == f"changed={changed}\n"
            )
            assert self.told(machine) == hashlib.sha256(self.OURS.encode()).hexdigest()
        machine.run("install-k3s.sh", ROLE="agent", SHA256=SHA256)
        assert self.told(machine), "an upgrade sends no settings, and takes none away"
        assert machine.run("install-k3s.sh", files=SECRETS, ROLE="agent", SHA256=SHA256).stdout == "changed=1\n"
        assert self.told(machine) == ""

    def test_a_link_is_anothers(self, machine: Machine) -> None:
        machine.put_file("/etc/rancher/mine.yaml", self.OURS)
        machine.path("/etc/rancher/k3s").mkdir()
        machine.path(self.PATH).symlink_to("/etc/rancher/mine.yaml")
        assert self.told(machine) == "foreign"
        assert "is not overwritten" in self.put(machine, self.OURS, check=False)
        assert machine.path("/etc/rancher/mine.yaml").read_text() == self.OURS


@needs_root
class TestUnit:
    def test_starting_never_waits(self, machine: Machine) -> None:
        told = lines(machine.run("start-k3s.sh", UNIT="k3s", RESTART="0"))
        assert told[0][0] == "time"
        assert told[0][1].isdigit()
        assert machine.calls.read_text().splitlines() == [
            "show --property SubState --value k3s.service",
            "daemon-reload",
            "enable --quiet k3s.service",
            "reset-failed k3s.service",
            "start --no-block k3s.service",
        ]

    @pytest.mark.parametrize(("sub_state", "its_own"), [("running", True), ("start", True), ("dead", False)])
    def test_one_that_systemd_started_before_counts_from_its_own_start(
        self, machine: Machine, sub_state: str, its_own: bool
    ) -> None:
        script = f'case "$*" in *SubState*) echo {sub_state};; *ExecMain*) echo Sun 2026-11-29 00:52:40 UTC;; esac'
        machine.put_command("systemctl", f"#!/bin/sh\n{script}\n")
        told = dict(lines(machine.run("start-k3s.sh", UNIT="k3s-agent", RESTART="0")))
        assert (int(told["time"]) == 1795913560) is its_own
        told = dict(lines(machine.run("start-k3s.sh", UNIT="k3s-agent", RESTART="1")))
        assert abs(int(told["time"]) - time.time()) < 60

    def test_new_settings_restart(self, machine: Machine) -> None:
        machine.run("start-k3s.sh", UNIT="k3s-agent", RESTART="1")
        assert machine.calls.read_text().splitlines()[-1] == "restart --no-block k3s-agent.service"

    @pytest.mark.parametrize(
        ("sub_state", "restart", "kept"),
        [
            ("running", "0", True),
            ("start", "0", True),
            ("running", "1", False),
            ("dead", "0", False),
            ("failed", "0", False),
            ("auto-restart", "0", False),
        ],
    )
    def test_a_server_that_is_to_start_has_its_passwords_from_the_data(
        self, machine: Machine, sub_state: str, restart: str, kept: bool
    ) -> None:
        machine.put_file("/var/lib/rancher/k3s/server/cred/passwd", "p,node,node,k3s:agent\n")
        machine.put_command("systemctl", f'#!/bin/sh\ncase "$*" in *SubState*) echo {sub_state};; esac\n')
        machine.run("start-k3s.sh", UNIT="k3s", RESTART=restart)
        assert machine.path("/var/lib/rancher/k3s/server/cred/passwd").exists() is kept

    def test_the_state_is_told_in_our_keys(self, machine: Machine) -> None:
        machine.answer.write_text("Result=exit-code\nNRestarts=3\nActiveState=activating\nSubState=auto-restart\n")
        machine.answer.with_name("answer.since").write_text("Sun 2026-11-29 00:52:40 UTC\n")
        told = dict(lines(machine.run("unit-state.sh", UNIT="k3s")))
        assert abs(int(told.pop("time")) - time.time()) < 60
        assert told.pop("address")
        assert told == {
            "result": "exit-code",
            "restarts": "3",
            "active_state": "activating",
            "sub_state": "auto-restart",
            "since": "1795913560",
        }

    def test_a_unit_that_was_never_started_has_no_start(self, machine: Machine) -> None:
        machine.answer.write_text("ActiveState=inactive\n")
        assert dict(lines(machine.run("unit-state.sh", UNIT="k3s")))["since"] == ""

    def test_a_unit_that_activates_is_looked_at_again_until_it_is_active(self, machine: Machine) -> None:
        machine.answer.write_text("ActiveState=activating\n")
        timer = threading.Timer(0.6, lambda: _put(machine.answer, "ActiveState=active\n"))
        timer.start()
        began = time.monotonic()
        assert lines(machine.run("unit-state.sh", UNIT="k3s", WITHIN_S="120"))[0] == ("active_state", "active")
        assert 0.5 < time.monotonic() - began < 60
        timer.join()

    @pytest.mark.parametrize(("state", "within_s", "least_s"), [("activating", 1, 1.0), ("failed", 120, 0.0)])
    def test_a_unit_is_looked_at_for_so_long_and_only_while_it_activates(
        self, machine: Machine, state: str, within_s: int, least_s: float
    ) -> None:
        machine.answer.write_text(f"ActiveState={state}\n")
        began = time.monotonic()
        assert lines(machine.run("unit-state.sh", UNIT="k3s", WITHIN_S=str(within_s)))[0] == ("active_state", state)
        assert least_s <= time.monotonic() - began < 60

    @pytest.mark.parametrize(
        ("sub_state", "last"), [("start", "goes on"), ("auto-restart", "ended"), ("dead", "ended")]
    )
    def test_k3s_own_lines_of_its_last_two_runs_are_told(self, machine: Machine, sub_state: str, last: str) -> None:
        machine.put_command(
            "journalctl",
            "#!/bin/sh\n"
            'case "$*" in\n'
            "  *--output\\ json*) for id in 0a 0a 0b 0c 0d 0d; do\n"
            '    echo "{\\"__CURSOR\\":\\"s=1\\",\\"_SYSTEMD_INVOCATION_ID\\":\\"$id\\"}"; done;;\n'
            '  *) echo "$@";;\n'
            "esac\n",
        )
        machine.put_command(
            "systemctl", f'#!/bin/sh\ncase "$*" in *SubState*) echo {sub_state};; *InvocationID*) echo 0d;; esac\n'
        )
        told = machine.run("journal.sh", UNIT="k3s", LINES="40", SINCE="1700000000", BESIDES="0c").stdout
        asked = "--quiet --no-pager --since @1700000000 --lines 40 --output cat _SYSTEMD_INVOCATION_ID={} {}"
        unit = "_SYSTEMD_UNIT=k3s.service"
        assert told.splitlines() == [
            "-- run 0b ended", asked.format("0b", unit), f"-- run 0d {last}", asked.format("0d", unit)
        ]  # fmt: skip

    def test_secrets_are_read_from_k3s_own_files(self, machine: Machine) -> None:
        machine.put_file("/etc/rancher/k3s/k3s.yaml", "kind: Config\n")
        machine.put_file("/var/lib/rancher/k3s/server/token", "K10abc::server:pw\n")
        assert machine.run("read-kubeconfig.sh").stdout == "kind: Config\n"
        assert machine.run("read-token.sh").stdout == "K10abc::server:pw\n"
        machine.put_file("/var/lib/rancher/k3s/server/agent-token", "K10abc::node:agents\n")
        assert machine.run("read-token.sh").stdout == "K10abc::server:pw\nK10abc::node:agents\n"

    def test_readyz_asks_k3s_own_kubectl(self, machine: Machine) -> None:
        machine.put_file("/usr/local/bin/k3s", '#!/bin/sh\n[ "$*" = "kubectl get --raw /readyz" ] && printf ok\n')
        machine.path("/usr/local/bin/k3s").chmod(0o755)
        assert machine.run("readyz.sh").stdout == "ok"


@needs_root
class TestRenewToken:
    ENV = "/etc/systemd/system/{}.service.env"
    LONG = "K10abc::server:new\n"

    def test_a_server_gets_both_and_keeps_the_users_lines(self, machine: Machine) -> None:
        env = self.ENV.format("k3s")
        machine.path("/etc/rancher/k3s").mkdir(parents=True)
        machine.put_file(env, "HTTPS_PROXY=http://proxy\nK3S_TOKEN='old'\n")
        files = (("token", self.LONG), ("agent-token", "agents\n"))
        for _ in range(2):  # until DONE=1 says that it runs with them
            assert machine.run("renew-token.sh", files=files, UNIT="k3s", DONE="0").stdout == "restart=1\n"
            assert machine.path(env).read_text() == (
                "HTTPS_PROXY=http://proxy\nK3S_TOKEN='new'\nK3S_AGENT_TOKEN='agents'\n"
            )
        assert machine.path(env).stat().st_mode & 0o777 == 0o600
        assert sorted(path.name for path in machine.beside.iterdir()) == ["renew-token.sh"]
        machine.run("renew-token.sh", UNIT="k3s", DONE="1")
        assert machine.run("renew-token.sh", files=files, UNIT="k3s", DONE="0").stdout == "restart=0\n"

    def test_a_worker_gets_the_one_it_is_given_and_a_server_without_keeps_the_agents(self, machine: Machine) -> None:
        worker, server = self.ENV.format("k3s-agent"), self.ENV.format("k3s")
        machine.path("/etc/rancher/k3s").mkdir(parents=True)
        machine.put_file(worker, "K3S_TOKEN='K10abc::server:old'\n")
        machine.run("renew-token.sh", files=(("token", "K10abc::node:agents\n"),), UNIT="k3s-agent", DONE="0")
        assert machine.path(worker).read_text() == "K3S_TOKEN='K10abc::node:agents'\n"
        machine.put_file(server, "K3S_AGENT_TOKEN='agents'\nK3S_TOKEN='old'\n")
        machine.run("renew-token.sh", files=(("token", self.LONG),), UNIT="k3s", DONE="0")
        assert machine.path(server).read_text() == "K3S_AGENT_TOKEN='agents'\nK3S_TOKEN='new'\n"


@needs_root
class TestFsync:
    def test_each_synced_write_is_told_and_nothing_is_left(self, machine: Machine) -> None:
        machine.path("/var/lib/rancher/k3s/server/db").mkdir(parents=True)
        told = lines(machine.run("fsync.sh"))
        assert [key for key, _ in told] == ["write_s"] * 15
        assert all(0 < float(value) < 60 for _, value in told)
        assert list(machine.path("/var/lib/rancher/k3s/server/db").iterdir()) == []

    def test_a_machine_without_a_database_says_so(self, machine: Machine) -> None:
        with pytest.raises(subprocess.CalledProcessError) as refusal:
            machine.run("fsync.sh")
        assert "there is no /var/lib/rancher/k3s/server/db" in refusal.value.stderr
