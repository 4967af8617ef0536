"""The names of what the state directory keeps of a cluster, one file each. docs/records.md has them in a table."""

from __future__ import annotations

from bootstrap.model.observed import VmRecord

TOKEN = "token"  # noqa: S105 - the names of state items, not tokens
"""The token that counts now, in its long form."""

NEXT_TOKEN = "token-next"  # noqa: S105
"""The token that the cluster is to have, in its short form, until every machine has it."""

AGENT_TOKEN = "agent-token"  # noqa: S105
"""The token that agents join with now, in its long form; empty where that is the servers' own."""

NEXT_AGENT_TOKEN = "agent-token-next"  # noqa: S105
"""The token that agents are to join with, as `NEXT_TOKEN`."""

OLD_TOKENS = "tokens-before"
"""The tokens that counted before: `bootstrap.records.state.token_history`."""

KUBECONFIG = "kubeconfig"
"""The cluster's kubeconfig, as `homelab-k8s kubeconfig` prints it."""

KUBECONFIG_PATH = "kubeconfig-path"
"""The files our entries were merged into, for `down`: `bootstrap.records.state.kubeconfigs`."""

KUBECONFIG_SERVER = "kubeconfig-server"
"""The server that our entries were last written with."""

KUBECONFIG_MARKS = "kubeconfig-marks"
"""What our entries are known by, also with earlier CAs: `bootstrap.records.state.kubeconfigs`."""

API_NAME = "api-name"
"""The name of the API's own that the kubeconfig was written with; absent where it names an address."""

REBUILD_NOTE = "rebuild"
"""A rebuild that is under way: `bootstrap.records.state.rebuild_note`."""

UNFINISHED = "unfinished"
"""What a command was about to do: `bootstrap.records.state.intention`."""

IDENTITY = "identity"
"""CAs and token, with which a first server that has never run begins: `bootstrap.records.state.identity`."""

OWN_KEY = "id_ed25519"
"""The SSH key pair that is made where the inventory names none; the public key has `.pub` at its end."""

DEPLOY_KEY = "deploy-key"
"""The private key with which the cluster reads its Git repository, where the inventory names none; OpenSSH's format."""

RECORD_KEY = "record-key"
"""The key that records are sealed with, where the SSH key's bytes cannot be read: `bootstrap.records.vms.seal`."""

SNAPSHOT_NAMES = "snapshot-names"
"""The names of snapshots that were last seen: `bootstrap.records.state.snapshot_names`."""

HOST_KEYS = "known_hosts."
"""How the items with machines' SSH host keys begin: `bootstrap.records.state.host_key`."""

JUMP_HOST_KEY = "known_hosts-jump"
"""The SSH host key of the inventory's jump host, in the same form, under the jump host's name."""

KEPT_WITH_THE_LOCK = (OWN_KEY, f"{OWN_KEY}.pub", RECORD_KEY)
"""What stays until the lock is given back: its marker is signed with it, also that of a run that died."""


def known_hosts_item(vm: VmRecord) -> str:
    """The state item with a machine's host key.

    A file per VM: two commands at once do not write the same one, and a machine made again has another. A container has
    a vmid and a MAC address instead, which an earlier one may have had: making a container forgets the item.
    """
    mac = (vm.mac or "none").replace(":", "").lower()
    return f"{HOST_KEYS}{vm.smbios_uuid or f'{vm.vmid}-{mac}'}"
