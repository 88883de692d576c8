"""Which label an arrow carries: the longest that meets no other label, line or node.

Every arrow has one place for its label (`Grid.slot`). Tracks are moved apart until the
short labels all fit, then further while long ones come to fit and the picture stays
narrow. The widths are those of the widest common face.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bptt.explain.html.picture import lettering
from bptt.explain.html.picture.drawn import Drawn, Kind
from bptt.explain.html.picture.grid import Grid, make_grid
from bptt.explain.html.picture.wires import RADIUS
from bptt.step.shapes import Array

Texts = tuple[str, ...]  # the labels that stand in one place by turns
Choices = Mapping[Kind, Sequence[Texts]]  # what an arrow may carry, the longest first
Box = tuple[float, ...]
TRACKS = (58.0, 70.0, 82.0, 94.0, 108.0, 124.0, 142.0, 164.0, 190.0, 220.0)
WIDE = 640.0  # a column that is narrower may be widened for longer labels
LONGEST = 172.0  # the width of the longest label at a column's side
HEAT = 22.0  # what a heat map takes at least
NODE_GAP, LINE_GAP = 2.0, 0.8  # between a label and a node or a line


@dataclass(frozen=True)
class Fitted:
    """A layout and, for every kind of arrow, the labels that it carries by turns."""

    grid: Grid
    texts: Mapping[Kind, Texts]


def fit(drawn: Drawn, choices: Choices) -> Fitted:
    """The narrowest layout with the fewest short labels."""
    briefs = {kind: found[-1] for kind, found in choices.items()}
    best, least = _laid(drawn, briefs, TRACKS[-1]), len(briefs) + 1
    for track in TRACKS:
        if least > len(briefs) and _clashes(_laid(drawn, briefs, track), drawn.tau):
            continue
        found = _longer(drawn, choices, briefs, track)
        count = sum(found.texts[k] != choices[k][0] for k in briefs)
        if count < least and (least > len(briefs) or found.grid.pitch <= WIDE):
            best, least = found, count
        if not least or found.grid.pitch > WIDE:
            break
    return best


def _laid(drawn: Drawn, texts: Mapping[Kind, Texts], track: float) -> Fitted:
    return Fitted(make_grid(drawn, lambda kind: width(texts, kind), track), texts)


def width(texts: Mapping[Kind, Texts], kind: Kind) -> float:
    """What the labels of a kind take; 0 where it has none."""
    widths = [lettering.width(text) for text in texts.get(kind, ()) if text]
    return max(HEAT, *widths) if widths else 0.0


def _longer(
    drawn: Drawn, choices: Choices, briefs: Mapping[Kind, Texts], track: float
) -> Fitted:
    """Each label as long as the layout with the others bears it."""
    texts = {kind: found[0] for kind, found in choices.items()}
    texts = {k: t if width(texts, k) <= LONGEST else briefs[k]
             for k, t in texts.items()}  # fmt: skip
    while True:
        found = _laid(drawn, texts, track)
        clashes = [k for k in _clashes(found, drawn.tau) if texts[k] != briefs[k]]
        if not clashes:
            return found
        texts |= {k: briefs[k] for k in clashes}


def _clashes(fitted: Fitted, tau: int) -> list[Kind]:
    """The kinds of arrows whose labels meet something, in order."""
    kinds = [kind for kind in fitted.texts if width(fitted.texts, kind)]
    if not kinds:
        return []
    own = np.array([label_box(fitted, kind) for kind in kinds])
    pitch = fitted.grid.pitch
    circles, lines = _obstacles(fitted.grid, list(fitted.texts), tau)
    is_met = np.zeros(len(kinds), bool)
    for shift in (-pitch, 0.0, pitch):
        boxes = own - np.array([shift, 0.0, shift, 0.0])
        is_other = np.ones((len(kinds), len(kinds)), bool)
        if shift == 0.0:
            is_other = ~np.eye(len(kinds), dtype=bool)
        is_met |= _near_circles(boxes, circles).any(1)
        is_met |= _touching(boxes, lines, LINE_GAP).any(1)
        is_met |= (_touching(boxes, own, 0.0) & is_other).any(1)
    return [kind for kind, met in zip(kinds, is_met, strict=True) if met]


def label_box(fitted: Fitted, kind: Kind) -> Box:
    """What the label of a kind covers, in its column."""
    wide = width(fitted.texts, kind)
    return fitted.grid.slot(kind).box(wide, lettering.HIGH, lettering.DEEP)


def _obstacles(grid: Grid, kinds: list[Kind], tau: int) -> tuple[Array, Array]:
    """Middles of nodes, and the lines of arrows and lanes as boxes, of one column."""
    circles = [(spot.x, spot.y) for spot in grid.spots.values()]
    lines: list[Box] = []
    inner = 2 if tau > 1 else 1
    for kind in kinds:
        wire = grid.wire(kind, inner, tau)
        lines += [(min(a[0], b[0]), min(a[1], b[1]), max(a[0], b[0]), max(a[1], b[1]))
                  for a, b in itertools.pairwise(wire)]  # fmt: skip
        if kind.lag is None:
            y = grid.lanes[kind]
            lines.append((-grid.pitch, y, 2 * grid.pitch, y))
    lines.append((-grid.pitch, grid.total, 2 * grid.pitch, grid.total))
    return np.array(circles), np.array(lines)


def _near_circles(boxes: Array, middles: Array) -> Array:
    x, y = middles[:, 0], middles[:, 1]
    left, top, right, bottom = (boxes[:, i, None] for i in range(4))
    dx = np.maximum(np.maximum(left - x, x - right), 0.0)
    dy = np.maximum(np.maximum(top - y, y - bottom), 0.0)
    return np.asarray(dx * dx + dy * dy < (RADIUS + NODE_GAP) ** 2)


def _touching(a: Array, b: Array, gap: float) -> Array:
    left, top, right, bottom = (a[:, i, None] for i in range(4))
    return np.asarray(
        (b[:, 0] < right + gap) & (b[:, 2] > left - gap)
        & (b[:, 1] < bottom + gap) & (b[:, 3] > top - gap)
    )  # fmt: skip
