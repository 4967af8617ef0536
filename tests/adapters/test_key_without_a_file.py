"""The client's key goes to OpenSSL in a file that has no name: none is left, however this program ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from bootstrap.adapters.kube.credentials import parse_kubeconfig, tls_context
from tests.fakes.certificates import k3s_yaml

KILLED_WHILE_IT_LOADS = """
import os, signal, ssl, sys
from pathlib import Path

def load(context, *paths):
    print("".join(Path(path).read_text() for path in paths), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

ssl.SSLContext.load_cert_chain = load
from bootstrap.adapters.kube.credentials import parse_kubeconfig, tls_context
tls_context(parse_kubeconfig(sys.stdin.read()))
"""


def test_one_that_is_killed_leaves_no_key_behind(tmp_path: Path) -> None:
    """It lay in /tmp for as long as OpenSSL read it, and for good where the program was killed right then."""
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_WHILE_IT_LOADS],
        input=k3s_yaml(),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert killed.returncode == -signal.SIGKILL
    assert "PRIVATE KEY" in killed.stdout
    assert list(tmp_path.rglob("*")) == []


def test_openssl_reads_it_all_the_same() -> None:
    descriptors = Path("/proc/self/fd")
    before = len(list(descriptors.iterdir()))
    tls_context(parse_kubeconfig(k3s_yaml()))
    assert len(list(descriptors.iterdir())) == before
