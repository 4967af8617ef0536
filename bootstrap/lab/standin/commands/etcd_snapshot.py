"""k3s etcd-snapshot."""

from __future__ import annotations

import json
import sys

from ..logs import Fatal, log
from ..shapes import Obj
from ..snapshots.s3 import s3_settings
from ..versions import WHAT_THIS_IS
from .command import Command
from .printing import columns, yaml_lines

SNAPSHOT_FLAGS = """
debug! config data-dir node-name etcd-server etcd-token server token name dir snapshot-compress! compress! s3!
s3-endpoint s3-endpoint-ca s3-skip-ssl-verify! s3-access-key s3-secret-key s3-session-token s3-bucket
s3-bucket-lookup-type s3-region s3-folder s3-proxy s3-config-secret s3-insecure! s3-timeout s3-retention
snapshot-retention output
"""


def pass_over(command: Command) -> None:
    """Warn about settings for servers only, as k3s does at each call."""
    own = {word.rstrip("!") for word in SNAPSHOT_FLAGS.split()}
    for name in command.options.given:
        if name.removeprefix("etcd-") not in own:
            log("warning", f"Unknown flag --{name} found in config.yaml, skipping\n")


def check_words(verb: str, names: list[str]) -> None:
    """Raises Fatal where the words make no sense."""
    if verb not in ("save", "list", "delete", "prune"):
        raise Fatal(f"Error: No help topic for '{verb}'")
    if verb == "delete" and not names:
        raise Fatal("Error: no snapshots given for removal")
    if verb != "delete" and names:
        raise Fatal(f"Error: this command does not take any arguments, was provided: {names}")


def snapshot_request(command: Command) -> Obj:
    """What `etcd-snapshot` asks of the server. Raises Fatal where the words make no sense."""
    verb, *names = command.words or ["save"]
    verb = {"ls": "list", "l": "list"}.get(verb, verb)
    check_words(verb, names)
    if {"compress", "snapshot-compress"} & set(command.flags):
        raise Fatal(f"the {WHAT_THIS_IS} does not compress snapshots")
    retention = int(command.flags.get("snapshot-retention", "5")) if verb == "prune" else 0
    # As k3s: `save` prunes nothing on disk, and in the bucket only if the settings have a retention for it.
    command.options.values["etcd-snapshot-retention"] = [str(retention)]
    request = {"operation": verb, "retention": retention, "name": names or [command.flags.get("name", "on-demand")]}
    optional = {"dir": command.flags.get("dir"), "s3": s3_settings(command.options)}
    return request | {key: value for key, value in optional.items() if value}


def etcd_snapshot(argv: list[str]) -> int:
    """k3s etcd-snapshot save|ls|delete|prune."""
    command = Command(argv, SNAPSHOT_FLAGS)
    pass_over(command)
    request, output = snapshot_request(command), command.flags.get("output", "")
    if output not in ("", "table", "json", "yaml"):
        raise Fatal(f"Error: invalid output format: {output}")
    answer = json.loads(command.ask("POST", "/db/snapshot", request, "see server log for details: "))
    if request["operation"] == "list":
        print_snapshots(answer, output)
    for name in answer.get("created", []):
        log("info", f"Snapshot {name} saved.")
    deleted = answer.get("deleted") or []
    for name in deleted:
        log("info", f"Snapshot {name} deleted.")
    for name in request["name"] if request["operation"] == "delete" else []:
        if name not in deleted:
            log("warning", f"Snapshot {name} not found.")
    return 0


def print_snapshots(answer: Obj, output: str) -> None:
    if output == "json":
        sys.stdout.write(json.dumps(answer, indent=4) + "\n")
    elif output == "yaml":
        sys.stdout.write("\n".join(yaml_lines(answer)) + "\n")
    else:
        rows = [["Name", "Location", "Size", "Created"]]
        for item in answer["items"]:
            spec, status = item["spec"], item["status"]
            rows.append([spec["snapshotName"], spec["location"], status["size"], status["creationTime"]])
        sys.stdout.write(columns(rows, gap=1))
