"""server/manifests: files that a server applies to its cluster, and what becomes of HelmCharts."""
