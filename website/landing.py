"""What the landing page shows of the program: the loss as it falls, and one card.

    python website/landing.py      # writes the blocks of docs/index.md, both languages

A page says `<!-- shown: NAME -->` above a block; the block is what `SHOWN[NAME]` gives.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"
PAGES = (DOCS / "index.md", DOCS / "index.zh.md")
CODE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(
    r"(<!-- shown: (\w+) -->\n\n```\w*\n)(.*?)(?=^```$)", re.MULTILINE | re.DOTALL
)
CARD = ("-m", "bptt", "explain", "book", "--step", "10.21")


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


def fill(page: str) -> str:
    """A page with its blocks as they are today."""
    return BLOCK.sub(lambda m: f"{m[1]}{SHOWN[m[2]]()}\n", page)


def main() -> None:
    """Write the blocks of both pages."""
    for path in PAGES:
        path.write_text(fill(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
