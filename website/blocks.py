"""Blocks of pages that a script writes.

A page says `<!-- shown: NAME -->` above a block; the block is what `shown[NAME]` gives.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

BLOCK = re.compile(
    r"(<!-- shown: (\w+) -->\n\n```\w*\n)(.*?)(?=^```$)", re.MULTILINE | re.DOTALL
)


def fill(page: str, shown: Mapping[str, Callable[[], str]]) -> str:
    """A page with its blocks as they are today."""
    return BLOCK.sub(lambda m: f"{m[1]}{shown[m[2]]()}\n", page)


def write(pages: Iterable[Path], shown: Mapping[str, Callable[[], str]]) -> None:
    """Write the blocks of every page."""
    for path in pages:
        filled = fill(path.read_text(encoding="utf-8"), shown)
        path.write_text(filled, encoding="utf-8")
