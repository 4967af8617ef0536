"""What all tests share."""

from __future__ import annotations

import sys
from pathlib import Path

# Tests are no package; what they share (fakes) is found by its folder's name.
sys.path.insert(0, str(Path(__file__).parent))
