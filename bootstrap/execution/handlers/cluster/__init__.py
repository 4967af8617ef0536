"""What a cluster has once: data and snapshots, tokens and CAs, the API's own address, kubeconfigs."""
