"""Where k3s comes from: releases over HTTP, cached here, or a directory of artifacts the user keeps."""

from bootstrap.adapters.artifacts.source import ReleaseSource, default_cache_root

__all__ = ["ReleaseSource", "default_cache_root"]
