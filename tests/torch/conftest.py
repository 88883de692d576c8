"""Where torch is missing these tests are left out, unless a run says it has torch."""

import os
from importlib.util import find_spec

REQUIRED = os.environ.get("BPTT_REQUIRED_FRAMEWORKS", "").split(",")
if find_spec("torch") is None and "torch" not in REQUIRED:
    collect_ignore_glob = ["test_*.py"]
