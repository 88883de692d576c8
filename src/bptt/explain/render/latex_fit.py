"""What makes a LaTeX document fit its page: broken lines, and the widths of columns.

Widths are guesses in letters of the text; what is still too wide after the breaks here
is made smaller by FITTED, which measures it.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

LINE = 74  # letters of a displayed formula
LISTING = 84  # letters of a listing's line in \small
NARROW, BROAD = 8, 34  # what a column of a table asks for, at least and at most
# Signs of LaTeX that print as one letter, as a few, or as none.
_SILENT = re.compile(r"\\(?:left|right|operatorname|mathrm|mathbf|overline|hat)|[{}$]")
_FRACTION = re.compile(r"\\frac\{((?:[^{}]|\{[^{}]*\})*)\}\{((?:[^{}]|\{[^{}]*\})*)\}")
_COMMAND = re.compile(r"\\[A-Za-z]+|\\.")
_RAISED = re.compile(r"[\^_](?:\{([^{}]*)\}|(.))")
# fitted: what it is given, made as narrow as the line where it is wider.
FITTED = r"""\newsavebox{\wide}
\newcommand{\fitted}[1]{\sbox{\wide}{#1}\ifdim\wd\wide>\linewidth
  \resizebox{\linewidth}{!}{\usebox{\wide}}\else\usebox{\wide}\fi}
\setlength{\emergencystretch}{3em}
"""


def letters(latex: str) -> int:
    """About how many letters of text a formula or sentence is wide."""
    flat = _FRACTION.sub(lambda m: max(m[1], m[2], key=len), latex)
    flat = _SILENT.sub("", _RAISED.sub(lambda m: (m[1] or m[2] or "")[::2], flat))
    return len(_COMMAND.sub("m", flat).replace(" ", ""))


def terms(latex: str) -> list[str]:
    """A sum's terms, each with its sign; what brackets enclose stays whole."""
    found, depth, start = [], 0, 0
    for i, sign in enumerate(latex):
        depth += (sign in "{(") - (sign in "})")
        if depth == 0 and latex.startswith((" + ", " - "), i):
            found.append(latex[start:i])
            start = i + 1
    return [*found, latex[start:]]


def broken(side: str, *, room: int = LINE) -> list[str]:
    """One side of an equation as lines that fit, broken before a sign."""
    lines = [""]
    for term in terms(side):
        if lines[-1] and letters(lines[-1]) + letters(term) > room:
            lines.append("")
        lines[-1] = f"{lines[-1]} {term}".strip()
    return lines


def wrapped(listing: str) -> str:
    """A listing with lines that fit; a comment goes on as one, code by a backslash."""
    lines = []
    for line in listing.splitlines():
        lead = line[: len(line) - len(line.lstrip())]
        is_comment = line.lstrip().startswith("#")
        after = "# " if is_comment else "    "
        parts = textwrap.wrap(
            line, LISTING, subsequent_indent=lead + after, break_on_hyphens=False,
            break_long_words=False, drop_whitespace=True,
        ) or [""]  # fmt: skip
        mark = "" if is_comment else " \\"
        lines += [part + mark for part in parts[:-1]] + parts[-1:]
    return "\n".join(lines)


def shares(rows: Sequence[Sequence[str]]) -> list[float]:
    """Of a table's width, what each column gets: by the widest of its cells."""
    asked = [
        min(max(NARROW, *(letters(cell) for cell in column)), BROAD)
        for column in zip(*rows, strict=True)
    ]
    return [width / sum(asked) for width in asked]
