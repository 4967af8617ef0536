"""What keeps a hardened k3s from starting: a file that its API server wants, and a kernel that its kubelet does not."""

from __future__ import annotations

from pathlib import Path

from bootstrap.k3s.diagnosis.causes import CAUSES
from bootstrap.lab.standin.kubelet.starting import check_kernel
from bootstrap.lab.standin.logs import KlogExit
from bootstrap.lab.standin.settings.options import Options
from tests.doubles.k3s.machines import Machines


def cause(text: str) -> str:
    return next(cause.brief for pattern, cause in CAUSES if pattern.search(text))


def test_an_api_server_ends_without_the_files_that_its_arguments_name(machines: Machines) -> None:
    server = machines.add("s1")
    admission, policy, log = (server.root / name for name in ("psa.yaml", "audit.yaml", "audit.log"))
    arguments = [
        "admission-control-config-file=/psa.yaml",
        "audit-policy-file=/audit.yaml",
        "audit-log-path=/audit.log",
    ]
    server.configure(bind_address=server.address, kube_apiserver_arg=arguments)
    policy.write_text("kind: Policy\n")
    ended = server.run("server")
    assert "unable to read admission control configuration" in ended.stderr
    assert "open /psa.yaml: no such file or directory" in ended.stderr
    assert "up and running" not in ended.stderr
    assert "a file that the API server's arguments name" in cause(ended.stderr)
    admission.write_text("kind: AdmissionConfiguration\n")
    server.start("server")
    server.up()
    assert '"kind": "Event"' in log.read_text()


def test_a_kubelet_that_protects_the_kernel_ends_over_other_values(tmp_path: Path) -> None:
    options = Options("agent", ["--protect-kernel-defaults"], root=str(tmp_path), environ={})
    try:
        check_kernel(options)
    except KlogExit as error:
        said = str(error)
    assert "invalid kernel flag: vm/overcommit_memory, expected value: 1, actual value: 0" in said
    assert "the kernel has other values" in cause(said)
    for name, value in {"vm/overcommit_memory": "1", "kernel/panic": "10", "kernel/panic_on_oops": "1"}.items():
        path = tmp_path / "proc/sys" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")
    check_kernel(options)
