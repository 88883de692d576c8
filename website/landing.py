"""What the landing page shows of the program: the loss as it falls, and one card.

    python website/landing.py      # writes the blocks of docs/index.md, both languages

Every block is one of SHOWN; blocks.py says how a page names it.
"""

import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

from blocks import write

DOCS = Path(__file__).parent.parent / "docs"
PAGES = (DOCS / "index.md", DOCS / "index.zh.md")
CODE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CARD = ("-m", "bptt", "explain", "book", "--step", "10.21")


@cache  # both languages show the same
def output_of(*arguments: str) -> str:
    """What a Python process prints on a terminal of 80 columns."""
    env = {**os.environ, "COLUMNS": "80", "PYTHONIOENCODING": "utf-8"}
    ended = subprocess.run(  # noqa: S603  # this program, and a page's own code
        (sys.executable, *arguments), env=env, capture_output=True, encoding="utf-8",
        check=True,
    )  # fmt: skip
    return "\n".join(line.rstrip() for line in ended.stdout.strip().splitlines())


def top_of_card() -> str:
    """A card with its sentences, equations, code and shapes; its numbers follow."""
    lines = output_of(*CARD).splitlines()
    end = next(i for i, line in enumerate(lines) if "Numbers at" in line)
    return "\n".join([*lines[: end - 1], lines[-1]])


def first_block() -> str:
    """The first block of Python of the landing page."""
    return CODE.search(PAGES[0].read_text(encoding="utf-8"))[1]


SHOWN = {
    "run": lambda: output_of("-c", first_block()),
    "card": top_of_card,
}


if __name__ == "__main__":
    write(PAGES, SHOWN)
