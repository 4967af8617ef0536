"""The verbs: commands that change a cluster, one module for each."""
