"""Where everything in the picture lies: one column per step, one row per level.

    L  ───┬────────┬───  one lane to the total loss
          L(1)     L(2)
          o(1)     o(2)          rows by level: what a node reads lies below it
    V ────┴────────┴───  one lane per parameter, one tap per step
    h(0)  h(1)  →  h(2)
    ...
    x     x(1)     x(2)

The same template in every column, so that columns can be left out and put back by
moving them. Lengths are in CSS pixels; y grows downwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bptt.explain.html.picture.drawn import Drawn, Kind

RADIUS = 20.0
LANE = 21.0  # between two lanes: a line of labels fits
ROW = 74.0  # between two rows without lanes
BESIDE = 100.0  # between two nodes side by side in one row
ASIDE = 66.0  # between a node and an input in its row
RISE = 22.0  # by how much such an input is higher
COLUMN = 152.0  # between two columns with one node per row
MARGIN = 74.0  # beside the longest label: taps, and the labels right of a column
TAP = 10.0  # between two taps of one node
RAIL = 34.0  # the middle of the parameters' column
SHOWN_ENDS = 3  # columns that stay at either end
LONGEST = 8  # above this, columns in the middle are left out at first
GAP = 0.62  # of a column: what "..." takes


@dataclass(frozen=True)
class Spot:
    """Where a node's middle is, relative to its column's middle line."""

    x: float
    y: float


@dataclass(frozen=True)
class Tap:
    """Where a parameter's lane is left for a node: (x, lane) up to the node."""

    x: float
    lane: float


@dataclass(frozen=True)
class Grid:
    """The layout of one picture.

    levels, spots: by name, for nodes and inputs; taps: by (parameter, target); total:
    height of the lane of L; pitch: between two columns; start: the middle of the column
    of h^(0); first: of that of t = 1; columns: of every one where all are shown; short:
    the same where the middle is left out, None for a column that is; gap: of the "...".
    """

    levels: Mapping[str, int]
    spots: Mapping[str, Spot]
    taps: Mapping[tuple[str, str], Tap]
    total: float
    pitch: float
    start: float
    first: float
    height: float
    columns: tuple[float, ...]
    short: tuple[float | None, ...]
    gap: float | None

    def back(self, t: int) -> float:
        """How far left of column t the one before it is; of the first, h^(0)."""
        return self.first - self.start if t == 1 else self.pitch

    def width(self, *, is_short: bool) -> float:
        """The picture's width."""
        last = self.short[-1] if is_short else self.columns[-1]
        assert last is not None
        return last + self.pitch / 2 + 64


def make_grid(drawn: Drawn, label: float = 0.0) -> Grid:
    """Lay out a picture; the same picture always gets the same layout.

    label: the width of the longest label left of a node.
    """
    levels = _levels(drawn)
    rows: dict[int, list[str]] = {}
    for name in (*drawn.nodes, *drawn.inputs):
        rows.setdefault(levels[name], []).append(name)
    taps_of = {
        name: [k.source for k in drawn.kinds if k.lag is None and k.target == name]
        for name in drawn.nodes
    }
    heights, lanes = _heights(rows, taps_of)
    total = min(heights.values()) - ROW * 0.8
    shift = 40 - total
    spots = {
        name: Spot(x, heights[level] + rise + shift)
        for level, row in rows.items()
        for name, (x, rise) in _beside(row, drawn).items()
    }
    taps = {
        (parameter, name): Tap(
            spots[name].x - RADIUS * 0.65 - TAP * i,
            lanes[parameter, name] + shift,
        )
        for name in drawn.nodes
        for i, parameter in enumerate(reversed(taps_of[name]))
    }
    widest = max(sum(name in drawn.nodes for name in row) for row in rows.values())
    places = [spot.x for spot in spots.values()]
    pitch = max(COLUMN, label + MARGIN) + (widest - 1) * BESIDE
    pitch = max(pitch, max(places) - min(places) + 3 * RADIUS)
    start = RAIL + 62
    reach = (widest - 1) / 2 * BESIDE
    first = start + reach + max(label, BESIDE)
    first += RADIUS * 2.6 if drawn.states else 0.0
    columns, short, gap = _columns(drawn.tau, first, pitch)
    height = max(heights.values()) + shift + RADIUS + 24
    return Grid(levels, spots, taps, total + shift, pitch, start, first, height,
                columns, short, gap)  # fmt: skip


def _levels(drawn: Drawn) -> dict[str, int]:
    """The longest way to a node from the inputs of its own step; inputs just below."""
    within = [k for k in drawn.kinds if k.lag == 0 and k.target in drawn.nodes]
    levels: dict[str, int] = {}
    for name in drawn.nodes:
        below = [levels[k.source] for k in within
                 if k.target == name and k.source in levels]  # fmt: skip
        levels[name] = 1 + max(below, default=0)
    for name in drawn.inputs:
        readers = [levels[k.target] for k in within if k.source == name]
        levels[name] = min(readers, default=1) - 1
    return levels


def _beside(row: list[str], drawn: Drawn) -> dict[str, tuple[float, float]]:
    """Nodes about the middle line, so that a chain of them is straight.

    Inputs stand a little higher, to the left; to the right where arrows from the column
    before arrive.
    """
    nodes = [name for name in row if name not in drawn.inputs]
    others = [name for name in row if name in drawn.inputs]
    if not nodes:
        nodes, others = others, []
    edge = (len(nodes) - 1) / 2 * BESIDE
    side = 1 if any(name in drawn.states for name in nodes) else -1
    found = {name: (i * BESIDE - edge, 0.0) for i, name in enumerate(nodes)}
    return found | {
        name: (side * (edge + ASIDE * (i + 1)), -RISE) for i, name in enumerate(others)
    }


def _heights(
    rows: Mapping[int, list[str]], taps_of: Mapping[str, list[str]]
) -> tuple[dict[int, float], dict[tuple[str, str], float]]:
    """Rows from the bottom up, y = 0 at row 0, with room for the lanes below each."""
    heights: dict[int, float] = {}
    lanes: dict[tuple[str, str], float] = {}
    y = 0.0
    for level in range(max(rows) + 1):
        wanted = [(p, n) for n in rows.get(level, []) for p in taps_of.get(n, [])]
        if level:
            y -= ROW if len(rows.get(level - 1, [])) < 3 else ROW * 1.3
        y -= LANE * len(wanted)
        for i, pair in enumerate(wanted):
            lanes[pair] = y + RADIUS + 18 + LANE * i
        heights[level] = y
    return heights, lanes


def _columns(
    tau: int, first: float, pitch: float
) -> tuple[tuple[float, ...], tuple[float | None, ...], float | None]:
    columns = tuple(first + pitch * i for i in range(tau))
    if tau <= LONGEST:
        return columns, columns, None
    short: list[float | None] = [None] * tau
    for i in range(SHOWN_ENDS):
        short[i] = columns[i]
        short[tau - SHOWN_ENDS + i] = first + pitch * (SHOWN_ENDS + GAP + i)
    return columns, tuple(short), first + pitch * (SHOWN_ENDS - 0.5 + GAP / 2)


def is_skip(kind: Kind, grid: Grid) -> bool:
    """Whether an arrow within a step passes another row on its way."""
    return abs(grid.levels[kind.source] - grid.levels[kind.target]) > 1
