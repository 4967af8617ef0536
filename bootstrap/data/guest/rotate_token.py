"""Asks this machine's k3s server to take a new token: PUT /v1-k3s/token, with the token that counts now.

What `k3s token rotate` sends (k3s, pkg/cli/token). Runs on guests, by the Python that cloud-init uses there (3.7 and
up), so it keeps to the standard library. Argument: the file with the new token.
"""  # noqa: INP001

from __future__ import annotations

import base64
import json
import ssl
import sys
import urllib.error
import urllib.request
from pathlib import Path

SERVER = Path("/var/lib/rancher/k3s/server")
URL = "https://127.0.0.1:6443/v1-k3s/token"
TIMEOUT_S = 60


def main() -> int:
    """Send the request; what the server says against it goes to standard error."""
    new = Path(sys.argv[1]).read_text(encoding="utf-8").strip()
    current = (SERVER / "token").read_text(encoding="utf-8").strip().rpartition(":")[2]
    credentials = base64.b64encode(f"server:{current}".encode()).decode()
    request = urllib.request.Request(
        URL,
        data=json.dumps({"newToken": new}).encode(),
        headers={"Authorization": f"Basic {credentials}", "Content-Type": "application/json"},
        method="PUT",
    )
    trust = ssl.create_default_context(cafile=str(SERVER / "tls" / "server-ca.crt"))
    # No proxy of the environment comes between a machine and itself.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust))
    try:
        opener.open(request, timeout=TIMEOUT_S).close()
    except urllib.error.HTTPError as error:
        said = error.read().decode(errors="replace").strip()
        sys.stderr.write(f"the server refuses a new token: {error.code} {said}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"the server does not answer on {URL}: {error}\n")
        return 1
    return 0


sys.exit(main())
