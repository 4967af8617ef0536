"""Kubernetes over its API, with the `kubernetes` client's transport.

Answers are read as JSON: the client's generated models cost half a second to import and refuse objects of other
versions than their own.
"""

from bootstrap.adapters.kube.api import KubernetesApis

__all__ = ["KubernetesApis"]
