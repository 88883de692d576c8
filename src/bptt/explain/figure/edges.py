"""Every edge by itself: forward its Jacobian, backward the transpose."""

from __future__ import annotations

from collections.abc import Iterator

from bptt.explain.figure.pictured import Pictured
from bptt.explain.figure.scene import (
    ACCENT,
    INK,
    SOFT,
    WORDS,
    Item,
    Label,
    Ring,
    Scene,
    Stroke,
    Word,
    symbol,
    words,
)
from bptt.explain.html.picture.drawn import Arrow
from bptt.explain.html.picture.svg import shape_text
from bptt.explain.html.picture.wires import RADIUS

ROW, TOP, MARGIN = 54.0, 44.0, 12.0
SPAN = 64.0  # of an arrow at least
BETWEEN, SHAPE = 44.0, 92.0  # two columns; the one of shapes


def edges(pictured: Pictured, of: str | None) -> Scene:
    """A row per kind of edge at step 2, or at 1 where there is one; of: its end."""
    step = min(2, pictured.unrolled.tau)
    arrows = [
        arrow
        for arrow in pictured.full.at(step)
        if arrow.jacobian is not None and arrow.target.kind != "total"
        and (of is None or of in (arrow.kind.source, arrow.kind.target))
    ]  # fmt: skip
    rows = [(a, pictured.form(a), pictured.form(a, is_backward=True)) for a in arrows]
    wide = [_span(labels) for labels in zip(*(row[1:] for row in rows), strict=True)]
    items = list(_heads(pictured, wide))
    for i, (arrow, forward, backward) in enumerate(rows):
        y = TOP + ROW * (i + 0.5)
        items += _edge(arrow, forward, MARGIN, y, wide[0], is_backward=False)
        x = _second(wide)
        items += _edge(arrow, backward, x, y, wide[1], is_backward=True)
        shape = Label(
            shape_text(arrow), f"${shape_text(arrow)}$".replace("×", r"\times ")
        )
        items.append(Word(_third(wide), y + 4, shape, "start"))
    return Scene(
        _third(wide) + SHAPE, TOP + ROW * len(rows) + MARGIN, tuple(items),
        pictured.word("edge", cell=pictured.cell), pictured.lang,
    )  # fmt: skip


def _span(labels: tuple[Label, ...]) -> float:
    return max(SPAN, *(label.width + 14.0 for label in labels))


def _second(wide: list[float]) -> float:
    return MARGIN + wide[0] + 4 * RADIUS + BETWEEN


def _third(wide: list[float]) -> float:
    return _second(wide) + wide[1] + 4 * RADIUS + BETWEEN / 2


def _heads(pictured: Pictured, wide: list[float]) -> Iterator[Item]:
    places = (MARGIN, _second(wide), _third(wide))
    for key, x in zip(("forward", "backward", "shape"), places, strict=True):
        yield Word(x, 24.0, words(pictured.word(key)), "start", WORDS, INK)


def _edge(
    arrow: Arrow, label: Label, x: float, y: float, span: float, *, is_backward: bool
) -> Iterator[Item]:
    """Two rings and the arrow between them, the label over it."""
    first, last = x + RADIUS, x + 3 * RADIUS + span
    ends = ((first + RADIUS + 1, y), (last - RADIUS - 2, y))
    if is_backward:
        ends = ((last - RADIUS - 1, y), (first + RADIUS + 2, y))
    yield Stroke(ends, ACCENT if is_backward else SOFT)
    yield Word((first + last) / 2, y - 8, label, colour=INK)
    yield Ring(first, y, symbol(arrow.source), RADIUS)
    yield Ring(last, y, symbol(arrow.target), RADIUS)
