"""An IPv6 default route that routers advertise, on a machine that begins to forward; in a network of the test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from bootstrap.adapters.local.guest_files import guest_file
from tests.adapters.test_guest_scripts import Machine, needs_root


@needs_root
@pytest.mark.skipif(not Path("/etc/sysctl.d").exists(), reason="needs /etc/sysctl.d, to put the test's own over it")
def test_the_kernel_goes_on_taking_router_advertisements_where_it_did(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    (machine.beside / "accept-ra.sh").write_bytes(guest_file("accept-ra.sh"))
    conf = "/proc/sys/net/ipv6/conf"
    script = (
        "ip link add net0 type veth peer name net1; "
        "ip address add fd00::5/64 dev net0; ip address add fd00::6/64 dev net1; "
        f"echo 0 >{conf}/net1/accept_ra; "
        "for address in fd00::5 fd00::5 fd00::6 fd00::7; do ADDRESS=$address sh ./accept-ra.sh; done; "
        f"cat {conf}/net0/accept_ra {conf}/net1/accept_ra"
    )
    done = machine.run_command(f"cd {machine.beside} && exec unshare -n sh -ec '{script}'")
    assert done.stdout.split() == ["changed=1", "changed=0", "changed=0", "changed=0", "2", "0"]
    kept = machine.path("/etc/sysctl.d/60-homelab-k8s-ipv6.conf").read_text()
    assert kept == "net.ipv6.conf.net0.accept_ra = 2\n"
