"""Without torch, what is compared with it is not collected."""

import re
from importlib.util import find_spec
from pathlib import Path

NEEDS_TORCH = re.compile(r"^(?:import|from) torch\b", re.MULTILINE)
collect_ignore = [
    path.name
    for path in sorted(Path(__file__).parent.glob("test_*.py"))
    if find_spec("torch") is None and NEEDS_TORCH.search(path.read_text("utf-8"))
]
