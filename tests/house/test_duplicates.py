"""What stands twice in the package is listed with its reason, and nothing else does."""

import re
from pathlib import Path

from tests.house.duplicates import find

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/contributing/duplicates.md"
PACKAGE = ROOT / "src/bptt"


def listed():
    rows = re.findall(
        r"^\| `(\S+)` \| `(\S+)` \| (.+) \|$", PAGE.read_text("utf-8"), re.MULTILINE
    )
    return {(a, b): reason for a, b, reason in rows}


def test_what_stands_twice_has_a_reason():
    texts = {
        str(path.relative_to(PACKAGE)): path.read_text("utf-8")
        for path in sorted(PACKAGE.rglob("*.py"))
    }
    found, known = find(texts), listed()
    new = {pair: line for pair, line in found.items() if pair not in known}
    assert not new, f"write these once, or give the reason in {PAGE.name}: {new}"
    gone = [pair for pair in known if pair not in found]
    assert not gone, f"no longer twice, remove the row from {PAGE.name}: {gone}"


def test_a_block_written_again_is_found_and_a_shorter_one_is_not():
    block = [f"value_{k} = compute({k})" for k in range(6)]
    imports = "from a import (\n  b,\n  c,\n  d,\n  e,\n  f,\n  g,\n)\n"
    texts = {
        "a.py": imports + "\n".join(block),
        "b.py": "x = 1\n" + "\n\n".join(f"    {line}" for line in block),
        "c.py": imports + "\n".join(block[:5]),
    }
    assert find(texts) == {("a.py", "b.py"): block[0]}
    assert find({"a.py": "\n".join([*block, "y = 2", *block])})
