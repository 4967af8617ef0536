"""The files of hardened servers: Pod Security and event limits in psa.yaml, the audit policy in audit.yaml. Pure.

The API server reads them at its start alone, and does not start where one that its arguments name is missing.
"""

from __future__ import annotations

import hashlib
from typing import Final

from bootstrap.k3s.hardening.cis import is_hardened
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.machine import MachineSpec, Role

_HEADER: Final = "# Written by homelab-k8s: hardening of the inventory; changes are overwritten.\n"

PSA: Final = f"""{_HEADER}\
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: PodSecurity
  configuration:
    apiVersion: pod-security.admission.config.k8s.io/v1
    kind: PodSecurityConfiguration
    defaults:
      enforce: restricted
      enforce-version: latest
      audit: restricted
      audit-version: latest
      warn: restricted
      warn-version: latest
    exemptions:
      usernames: []
      runtimeClasses: []
      namespaces: [kube-system]
# Without limits of its own the API server does not start with this plugin.
- name: EventRateLimit
  configuration:
    apiVersion: eventratelimit.admission.k8s.io/v1alpha1
    kind: Configuration
    limits:
    - type: Server
      qps: 5000
      burst: 20000
"""

AUDIT: Final = f"""{_HEADER}\
apiVersion: audit.k8s.io/v1
kind: Policy
rules:
- level: Metadata
"""


def hardening_files(spec: ClusterSpec, machine: MachineSpec) -> dict[str, str]:
    """What is sent to a machine for it, beside config.yaml; nothing where there is to be none of ours."""
    if not is_hardened(spec) or machine.role is not Role.CONTROL_PLANE:
        return {}
    return {"psa.yaml": PSA, "audit.yaml": AUDIT}


def hardening_checksum(spec: ClusterSpec, machine: MachineSpec) -> str:
    """SHA-256 of both files, one after the other, in lower-case hex; empty where there is to be none of ours."""
    text = "".join(hardening_files(spec, machine).values())
    return hashlib.sha256(text.encode()).hexdigest() if text else ""
