"""k3s token, secrets-encrypt and certificate."""

from __future__ import annotations

import json
import re
import secrets
import ssl
import subprocess
import sys
import time
from pathlib import Path

from ..logs import Fatal, log
from ..shapes import Obj
from ..versions import WHAT_THIS_IS
from .command import Command
from .printing import yaml_lines


def token_rotate(argv: list[str]) -> int:
    """k3s token rotate: as in k3s, only the old token can come from the environment."""
    command = Command(argv, "config data-dir kubeconfig token server new-token")
    if command.words:
        raise Fatal(f"Error: this command does not take any arguments, was provided: {command.words}")
    sys.stdout.write("\033[33mWARNING\033[0m: Recommended to keep a record of the old token. If restoring from a "
                     "snapshot, you must use the token associated with that snapshot.\n")  # fmt: skip
    sys.stdout.flush()
    command.ask("PUT", "/v1-k3s/token", {"newToken": command.flags.get("new-token", "")})
    sys.stdout.write("Token rotated, restart k3s nodes with new token\n")
    return 0


def token_command(argv: list[str]) -> int:
    """k3s token generate|rotate."""
    if argv == ["generate"]:
        sys.stdout.write(f"{secrets.token_hex(3)}.{secrets.token_hex(8)}\n")
        return 0
    if argv[:1] == ["rotate"]:
        return token_rotate(argv[1:])
    raise Fatal(f"`k3s token {' '.join(argv)}` is not supported by the {WHAT_THIS_IS}")


def encryption_status(argv: list[str]) -> int:
    """k3s secrets-encrypt status|rotate-keys."""
    command = Command(argv, "config data-dir token server output")
    if command.words == ["rotate-keys"]:
        command.ask("PUT", "/v1-k3s/encrypt/config", {"stage": "rotate_keys"}, "see server log for details: ")
        sys.stdout.write("keys rotated, reencryption finished\n")
        return 0
    if command.words != ["status"]:
        raise Fatal(f"`k3s secrets-encrypt {' '.join(command.words)}` is not supported by the {WHAT_THIS_IS}")
    state = json.loads(command.ask("GET", "/v1-k3s/encrypt/status", None, "see server log for details: "))
    if command.flags.get("output") == "json":
        sys.stdout.write(json.dumps(state, indent="\t") + "\n")
    elif "enable" not in state:
        sys.stdout.write("Encryption Status: Disabled, no configuration file found\n")
    else:
        sys.stdout.write(
            f"Encryption Status: Enabled\nCurrent Rotation Stage: {state['stage']}\n"
            "Server Encryption Hashes: All hashes match\n\n"
            "Active  Key Type  Name\n------  --------  ----\n"
            f" *      AES-CBC   {state['activekey'].removeprefix('AES-CBC ')}\n\n"
        )
    return 0


def certificate_check(argv: list[str]) -> int:
    """k3s certificate check: the certificates of this machine and how long they are valid."""
    command = Command(argv, "config data-dir output service")
    if command.words != ["check"]:
        raise Fatal(f"`k3s certificate {' '.join(command.words)}` is not supported by the {WHAT_THIS_IS}")
    data = command.options.data
    paths = [*sorted((data / "server/tls").rglob("*.crt")), *sorted((data / "agent").glob("client*.crt"))]
    rows = [describe_certificate(path) for path in paths]
    output = command.flags.get("output", "text")
    if output == "json":
        sys.stdout.write(json.dumps({"Certificates": rows}) + "\n")
    elif output == "yaml":
        sys.stdout.write("\n".join(yaml_lines({"certificates": rows})) + "\n")
    elif output == "text":
        for row in rows:
            what = f"{row['Filename']}: certificate {row['Subject']} ({','.join(row['Usages'])})"
            words = {"OK": f"is ok, expires at {row['ExpiryTime']}", "EXPIRED": f"expired at {row['ExpiryTime']}"}
            text = words.get(row["Status"], f"will expire within 120 days at {row['ExpiryTime']}")
            log({"OK": "info", "EXPIRED": "error"}.get(row["Status"], "warning"), f"{what} {text}")
    else:
        raise Fatal(f"Error: invalid output format {output}")
    return 0


def describe_certificate(path: Path) -> Obj:
    command = ["openssl", "x509", "-in", str(path), "-noout", "-subject", "-issuer", "-enddate", "-ext",
               "extendedKeyUsage,keyUsage"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Fatal(f"Error: {path}: {done.stderr.strip()}")
    names = dict(re.findall(r"^(subject|issuer)=.*?CN ?= ?([^,/\n]+)", done.stdout, re.MULTILINE))
    found = re.search(r"notAfter=(.*)", done.stdout)
    end = ssl.cert_time_to_seconds(found[1]) if found else 0
    left_s = end - time.time()
    usages = {
        "Client Authentication": "ClientAuth",
        "Server Authentication": "ServerAuth",
        "Certificate Sign": "CertSign",
    }
    return {"Filename": path.name, "Subject": names.get("subject", ""), "Issuer": names.get("issuer", ""),
            "Usages": [name for text, name in usages.items() if text in done.stdout],
            "ExpiryTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(end)), "ResidualTime": int(left_s * 1e9),
            "Status": "EXPIRED" if left_s < 0 else "WARNING" if left_s < 120 * 86400 else "OK"}  # fmt: skip
