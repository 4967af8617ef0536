"""Files that the API server's arguments name: it ends where one of them is missing, and k3s with it."""

from __future__ import annotations

import json

from ..files import write_file
from ..logs import Shutdown, stamp
from ..settings.options import Options

ADMISSION = (
    "failed to initialize admission: failed to read plugin config: unable to read admission control configuration from "
    '"{0}" [open {0}: no such file or directory]'
)
"""apiserver/pkg/admission/config.go, ReadAdmissionConfiguration."""
AUDIT = 'loading audit policy file: failed to read file path "{0}": open {0}: no such file or directory'
"""apiserver/pkg/server/options/audit.go and apiserver/pkg/audit/policy/reader.go."""
_WORDS = {"audit-policy-file": AUDIT, "admission-control-config-file": ADMISSION}


def read_files(options: Options) -> None:
    """Read them, and begin the audit log. Raises Shutdown."""
    given = dict(entry.lstrip("-").partition("=")[::2] for entry in options.many("kube-apiserver-arg"))
    for name, words in _WORDS.items():
        path = given.get(name, "")
        if path and not (options.path(path)).is_file():
            raise Shutdown(f"apiserver exited: {words.format(path)}")
    if given.get("audit-log-path") and given.get("audit-policy-file"):
        log = options.path(given["audit-log-path"])
        event = {"kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "requestURI": "/readyz"}
        event |= {"stage": "ResponseComplete", "verb": "get", "requestReceivedTimestamp": stamp(micro=True)}
        before = log.read_text() if log.exists() else ""
        write_file(log, before[-100_000:] + json.dumps(event) + "\n")
