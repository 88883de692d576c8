"""The name of a node inside its circle: on one line, or on two and cut where long.

    h(3)     pre.(3)
               out

Of `h` and `prediction_out`: the base with the step, a label below. The whole name is in
the tables, on the cards and under the pointer.
"""

from __future__ import annotations

from collections.abc import Callable

from bptt.explain.algebra.expr import Value
from bptt.explain.html.picture import lettering
from bptt.explain.html.picture.wires import RADIUS
from bptt.explain.notation.greek import GREEK
from bptt.explain.notation.plain import to_unicode
from bptt.explain.notation.printer import split_name
from bptt.page.tags import Markup, join, tag

Step = int | str | None  # "≤0": every state before the first step
# How wide a letter is: of the base, of a long base, of a label.
LETTER, LONG_LETTER, SMALL_LETTER = 7.2, 5.8, 5.0
PRESSED = 1.25  # how much wider than its room a line may be before it is cut


def in_circle(symbol: Callable[[str, Step], Markup], name: str, t: Step) -> Markup:
    """The name at step t as SVG text that stays within the circle."""
    room = 2 * RADIUS - 5.0
    base, accent, label = split_name(name)
    letter = GREEK.get(base, base)
    step = SMALL_LETTER * (len(str(t)) + 1.4)
    wide = LETTER * len(letter) + max(SMALL_LETTER * len(label), step)
    if wide + (step if label else 0.0) <= room:
        return tag("text", symbol(name, t), y=5)
    lines = [_line(symbol, letter, accent, t, room, step, -1.0 if label else 5.0)]
    if label:
        # The circle is narrower where its second line stands.
        narrow = room - 8.0
        shown = _cut(label.replace("_", " "), SMALL_LETTER, narrow)
        wide = SMALL_LETTER * len(shown)
        lines.append(
            tag("text", shown, y=11.5, class_="under", **pressed(wide, narrow))
        )
    return join(*lines)


def _line(
    symbol: Callable[[str, Step], Markup], letter: str, accent: str, t: Step,
    room: float, step: float, y: float,
) -> Markup:  # fmt: skip
    is_long = LETTER * len(letter) + step > room
    shown = _cut(letter, LONG_LETTER, room - step) if is_long else letter
    word = symbol(f"{shown}_{accent}" if accent else shown, t)
    wide = (LONG_LETTER if is_long else LETTER) * len(shown) + step
    return tag("text", word, y=y, class_="long" if is_long else None,
               **pressed(wide, room))  # fmt: skip


def _cut(word: str, letter: float, room: float) -> str:
    most = max(3, int(PRESSED * room / letter))
    return word if len(word) <= most else word[: most - 1] + "."


def pressed(wide: float, room: float) -> dict[str, object]:
    """Letters that are pressed together where the line is a little too wide."""
    return (
        {"textLength": room, "lengthAdjust": "spacingAndGlyphs"} if wide > room else {}
    )


def box_width(names: list[str], least: float, most: float) -> float:
    """Half the width of the parameters' boxes: for the longest name, within bounds."""
    widths = (lettering.width(to_unicode(Value(name))) for name in names)
    return min(most, max(least, max(widths, default=0.0) / 2 + 4.0))
