"""Finds places of six lines or more that stand twice in the package.

Imports, comments and lines without a word do not count; white space is folded.
"""

from collections import defaultdict
from itertools import combinations

LENGTH = 6


def _lines(text):
    inside = False
    for line in text.splitlines():
        folded = " ".join(line.split())
        if inside:
            inside = folded != ")"
        elif folded.startswith(("import ", "from ")):
            inside = folded.endswith("(")
        elif any(c.isalnum() for c in folded) and not folded.startswith("#"):
            yield folded


def find(texts):
    """The pairs of files that share a run: {(a, b): its first line}."""
    places = defaultdict(list)
    for name, text in texts.items():
        lines = list(_lines(text))
        for k in range(len(lines) - LENGTH + 1):
            places[tuple(lines[k : k + LENGTH])].append(name)
    pairs = {}
    for run, names in places.items():
        for pair in combinations(sorted(names), 2):
            pairs.setdefault(pair, run[0])
    return pairs
