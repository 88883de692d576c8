"""How wide a label is, and how it is written in SVG: letters raised and lowered."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bptt.page.tags import Markup, join, tag

SIZE = 11.5  # of a label's letters, in CSS pixels
HIGH, DEEP = 10.5, 3.5  # what a line of them takes above and below its baseline
SMALL = 0.75  # of what is raised or lowered
LOW_DIGITS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
_NARROW = dict.fromkeys("ijl.,'|′:", 0.3) | dict.fromkeys("ft()r[]- /", 0.42)
_WIDE = dict.fromkeys("mMW⊙∑⊕", 0.98) | dict.fromkeys("w−+=<>≥∇ΣΠ", 0.84)
_RAISED = dict.fromkeys("⁽⁾", 0.27) | dict.fromkeys("⁰¹²³⁴⁵⁶⁷⁸⁹ᵀ⁺⁻ᵢⱼₖₗₘ", 0.44)
_EM = _NARROW | _WIDE | _RAISED
_LETTERS = r"[0-9A-Za-z\u00c0-\u024f\u0370-\u03ff\u4e00-\u9fff]+"
_LOWERED = re.compile(
    rf"_\{{([^{{}}]*)\}}|_({_LETTERS}(?:_{_LETTERS})*)|\^\(([^()]*)\)"
)


def width(label: str) -> float:
    """The width of a label in DejaVu Sans, the widest common face, or a little more."""
    found, rest = 0.0, 0
    for match in _LOWERED.finditer(label):
        found += _width(label[rest : match.start()])
        found += SMALL * _width(next(part for part in match.groups() if part))
        rest = match.end()
    return SIZE * (found + _width(label[rest:])) + 2.0


def _width(letters: str) -> float:
    found = 0.0
    for letter in letters:
        is_small = letter.islower() or letter.isdigit()
        found += _EM.get(letter, 0.635 if is_small else 0.72)
    return found


def pieces(label: str) -> Iterator[tuple[str, str]]:
    """Letters and how they stand: "" on the line, "sub" lowered, "sup" raised."""
    rest = 0
    for match in _LOWERED.finditer(label):
        if match.start() > rest:
            yield label[rest : match.start()], ""
        lowered = (match.group(1) or match.group(2) or "").replace("_", "\u202f")
        if lowered and lowered.isdigit():
            yield lowered.translate(LOW_DIGITS), ""
        else:
            yield lowered or match.group(3), "sub" if lowered else "sup"
        rest = match.end()
    if label[rest:]:
        yield label[rest:], ""


def written(label: str) -> Markup:
    """`∂i/∂W_i` with its last letter lowered, and no sign of plain notation left."""
    parts: list[str] = []
    for letters, way in pieces(label):
        if not way:
            parts.append(letters)
            continue
        shift = 3.0 if way == "sub" else -4.0
        parts.append(tag("tspan", letters, class_=way, dy=shift))
        # The line goes on where it was.
        parts.append(tag("tspan", "\u200b", dy=-shift))
    return join(*parts)
