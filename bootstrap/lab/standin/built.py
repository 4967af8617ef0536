"""Parameters of a build: `standin_release.py` writes this module for each release."""

from __future__ import annotations

VERSION = "v1.33.3+k3s1"
BUILT_FOR = ""
"""amd64 or arm64 in a release, so that the other architecture's file fails as a wrong binary does."""
PACE = 0.0
"""How slow its starts are, see `process.Life`; the variable K3S_STANDIN_PACE overrides it."""
READY_DELAY_S = 0.7
"""A node is NotReady for a moment after it registers, since its network comes up last."""
