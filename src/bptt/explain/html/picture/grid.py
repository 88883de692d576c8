"""Where everything in the picture lies: one column per step, the same in each.

    L  ----------+-----------+---  one lane to the total loss
                 L(1)        L(2)
                 o(1)        o(2)     rows by level: what a node reads lies below it
    V ---------+-----------+--        one lane per line into a node
    h(0) --+   h(1) ---+   h(2)
           |           |              what the next step reads goes down beside it
           +-- a(1)    +-- a(2)
    ...
               x(1)        x(2)

Columns can be left out and put back by moving them. Lengths are in CSS pixels; y grows
downwards; x is relative to the middle of track 0 of a column.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bptt.explain.html.picture.drawn import Drawn, Kind
from bptt.explain.html.picture.levels import Places, find_places
from bptt.explain.html.picture.wires import (
    BESIDE,
    FIRST_LANE,
    LANE,
    LEFT,
    LEVEL,
    OVER,
    RADIUS,
    RIGHT,
    ROW,
    STRAIGHT,
    UP,
    Arrival,
    find_arrivals,
    lanes_of,
)

RIM = 14.0  # along either axis, half way round a node
HIGH = 10.0  # over its nodes the lowest of the lines that cross others
LABEL = 12.0  # between two labels over such lines
STAGGER = 15.0  # how much higher the last of the delays that overlap runs
TRUNK = 13.0  # between two lines that go down at a column's side
NODES = 2 * RADIUS + 8  # between two inputs that stand there
MARGIN = 9.0  # beside labels
START = 34.0  # the middle of h^(0)'s column
END = 84.0  # from the last node to the picture's end: L
SHOWN_ENDS = 3  # columns that stay at either end
CROWDED = 40  # kinds of arrows above which the last column alone stays at the end
LONGEST = 8  # above this, columns in the middle are left out at first
GAP = 64.0  # what "..." takes
RISE = 26.0  # from the topmost node's rim to the lane of L

Point = tuple[float, float]
Width = Callable[[Kind], float]  # of a label


@dataclass(frozen=True)
class Spot:
    """Where a node's middle is."""

    x: float
    y: float


@dataclass(frozen=True)
class Slot:
    """Where a label stands: its anchor "l" or "r" and the end it has there."""

    x: float
    y: float
    anchor: str

    def box(self, width: float, above: float, below: float) -> tuple[float, ...]:
        """Left, top, right, bottom of a label of that width."""
        left = self.x - (width if self.anchor == "l" else 0.0)
        return left, self.y - above, left + width, self.y + below


@dataclass(frozen=True)
class Grid:
    """The layout of one picture.

    spots, arrivals: by name and by kind of arrow; lanes: the height of every lane;
    trunks: where what several steps or nodes read goes up or down, by (source, lag);
    total: the lane of L; left, right: what a column takes on either side; start: the
    middle of h^(0); first: of column 1; columns: of every one where all are shown;
    short: the same where the middle is left out, None for a column that is; gap: of
    the "...".
    """

    places: Places
    spots: Mapping[str, Spot]
    arrivals: Mapping[Kind, Arrival]
    lanes: Mapping[Kind, float]
    trunks: Mapping[tuple[str, int], float]
    total: float
    left: float
    right: float
    start: float
    first: float
    height: float
    columns: tuple[float, ...]
    short: tuple[float | None, ...]
    gap: float | None

    @property
    def pitch(self) -> float:
        """From one column to the next."""
        return self.left + self.right

    def width(self, *, is_short: bool) -> float:
        """The picture's width."""
        last = self.short[-1] if is_short else self.columns[-1]
        assert last is not None
        return last + self.right + END

    def source_x(self, kind: Kind, t: int, tau: int) -> float:
        """The middle of an arrow's source at another step, seen from column t."""
        lag = kind.lag or 0
        if 1 <= t + lag <= tau:
            return lag * self.pitch + self.spots[kind.source].x
        if lag < 0:
            return self.start - self.first - (t - 1) * self.pitch
        return self.right + START + (tau - t) * self.pitch

    # ----- lines and labels -----

    def wire(self, kind: Kind, t: int, tau: int) -> tuple[Point, ...]:
        """The corners of an arrow's line, up to the rim of its target."""
        arrival = self.arrivals.get(kind)
        if arrival is None:  # to the one L
            a = self.spots[kind.source]
            return (a.x, a.y - RADIUS), (a.x, self.total + 2)
        b = self.spots[kind.target]
        if arrival.way == UP:
            a = self.spots[kind.source]
            return (a.x, a.y - RADIUS), (b.x, b.y + RADIUS + 2)
        if arrival.way == OVER:
            return self._over(kind, t, tau)
        start = self._start(kind, t, tau)
        if arrival.way == LEVEL:
            side = 1 if (kind.lag or 0) > 0 else -1
            return start[0], (b.x + side * (RADIUS + 2), b.y)
        if arrival.way == BESIDE:
            trunk = start[-1][0]
            return *start, (trunk, b.y), (b.x - RADIUS - 2, b.y)
        tap, lane = b.x + arrival.tap, self.lanes[kind]
        below = b.y + RADIUS + 8
        # From the turn below the node to its rim.
        x = min(14.0, abs(arrival.tap)) * (1 if arrival.tap > 0 else -1)
        rim = b.x + x, b.y + ((RADIUS + 2) ** 2 - x * x) ** 0.5
        return *start, (start[-1][0], lane), (tap, lane), (tap, below), rim

    def _over(self, kind: Kind, t: int, tau: int) -> tuple[Point, ...]:
        """Over the nodes between; what begins at another step runs a little higher."""
        lag = kind.lag or 0
        side, far = (1 if lag < 0 else -1), abs(lag)
        a, b = self.spots[kind.source], self.spots[kind.target]
        first = self.source_x(kind, t, tau) + side * RIM, a.y - RIM
        last = b.x - side * (RIM + 1.5), b.y - RIM - 1.5
        top = min(a.y, b.y) - RADIUS - HIGH - STAGGER * (t % far) / far
        turn = side * 12.0
        return first, (first[0] + turn, top), (last[0] - turn, top), last

    def _start(self, kind: Kind, t: int, tau: int) -> tuple[Point, ...]:
        """From the source to where the line leaves for its lane."""
        if kind.lag is None:
            tap = self.spots[kind.target].x + self.arrivals[kind].tap
            return ((tap, self.lanes[kind]),)
        a = self.spots[kind.source]
        trunk = self.trunks.get((kind.source, kind.lag))
        if kind.lag:
            side = 1 if kind.lag < 0 else -1
            rim = (self.source_x(kind, t, tau) + side * RADIUS, a.y)
            return (rim,) if trunk is None else (rim, (trunk, a.y))
        return ((a.x if trunk is None else trunk, a.y - RADIUS),)

    def slot(self, kind: Kind) -> Slot:
        """Where the arrow's label stands."""
        arrival = self.arrivals.get(kind)
        if arrival is None:
            a = self.spots[kind.source]
            return Slot(a.x + 6, (a.y - RADIUS + self.total) / 2 + 4, "r")
        b = self.spots[kind.target]
        if arrival.way == UP:
            count = self._lanes_at(kind.target)
            top = self.spots[kind.source].y - RADIUS
            middle = (top + b.y + RADIUS) / 2 + 4
            y = b.y + FIRST_LANE + LANE * count - 1 if count else middle
            return Slot(b.x + 6, y, "r")
        if arrival.way in (LEVEL, BESIDE, OVER):
            is_right = (kind.lag or 0) > 0
            side = 1 if is_right else -1
            over = RADIUS + HIGH + STAGGER + 4 + LABEL * arrival.lane
            up = over if arrival.way == OVER else 7
            return Slot(b.x + side * (RADIUS + 8), b.y - up, "r" if is_right else "l")
        is_left = arrival.way == LEFT
        x = b.x + arrival.tap + (-4 if is_left else 4)
        return Slot(x, self.lanes[kind] - 4.5, "l" if is_left else "r")

    def _lanes_at(self, name: str) -> int:
        level = self.places.levels[name]
        row = [n for n in self.spots if self.places.levels[n] == level]
        return lanes_of(self.arrivals, row)


def make_grid(drawn: Drawn, width: Width, track: float) -> Grid:
    """Lay out a picture; width: of the label of a kind; track: between two tracks."""
    places = find_places(drawn)
    arrivals = find_arrivals(drawn, places)
    heights, lane_heights = _heights(drawn, places, arrivals)
    highest = max(heights)
    top = {k: a for k, a in arrivals.items() if places.levels[k.target] == highest}
    total = heights[highest] - RADIUS - RISE - 6 - _over(top)
    shift = 34.0 - total
    spots = {
        name: Spot(places.tracks[name] * track, heights[places.levels[name]] + shift)
        for name in (*drawn.nodes, *drawn.inputs) if name in places.tracks
    }  # fmt: skip
    lanes = {kind: y + shift for kind, y in lane_heights.items()}
    room = _rooms(drawn, spots, arrivals, width)
    trunks, left = _trunks(drawn, places, arrivals, room[0], -1)
    ahead, right = _trunks(drawn, places, arrivals, room[1], 1)
    for name in places.entering:
        spots[name] = Spot(trunks[name, 0], heights[0] + shift)
    first = START + RADIUS + left - MARGIN if drawn.states else left + MARGIN
    columns, short, gap = _columns(drawn.tau, first, left + right, _stay_last(drawn))
    if gap is not None:
        gap += right
    height = max(heights.values()) + shift + RADIUS + 26
    return Grid(places, spots, arrivals, lanes, trunks | ahead, total + shift, left,
                right, START, first, height, columns, short, gap)  # fmt: skip


def _heights(
    drawn: Drawn, places: Places, arrivals: Mapping[Kind, Arrival]
) -> tuple[dict[int, float], dict[Kind, float]]:
    """Rows from the bottom up, y = 0 at row 0, with the lanes below each."""
    heights = {0: 0.0}
    lanes: dict[Kind, float] = {}
    below: dict[Kind, Arrival] = {}
    for level in range(1, max(places.levels.values()) + 1):
        row = [n for n in drawn.nodes if places.levels[n] == level]
        into = {k: a for k, a in arrivals.items() if k.target in row}
        count = lanes_of(arrivals, row)
        band = STRAIGHT if any(a.way == UP for a in into.values()) else 8.0
        depth = FIRST_LANE + LANE * (count - 1) + band + RADIUS if count else ROW
        heights[level] = heights[level - 1] - max(ROW, depth) - _over(below)
        below = into
        for kind, arrival in into.items():
            if arrival.way in (LEFT, RIGHT):
                lanes[kind] = heights[level] + FIRST_LANE + LANE * arrival.lane
    return heights, lanes


def _over(into: Mapping[Kind, Arrival]) -> float:
    """What delays take over the row that they lead to."""
    count = max((a.lane + 1 for a in into.values() if a.way == OVER), default=0)
    return HIGH + STAGGER + LABEL * count if count else 0.0


def _rooms(
    drawn: Drawn, spots: Mapping[str, Spot], arrivals: Mapping[Kind, Arrival],
    width: Width,
) -> tuple[float, float]:  # fmt: skip
    """What nodes, lines and labels of a column take left and right of track 0."""
    left, right = RADIUS, max(spot.x for spot in spots.values()) + RADIUS
    for kind in drawn.kinds:
        if kind not in arrivals:
            right = max(right, spots[kind.source].x + 6 + width(kind))
            continue
        x, arrival = spots[kind.target].x, arrivals[kind]
        if arrival.way == UP:
            right = max(right, x + 6 + width(kind))
        elif arrival.way in (LEVEL, BESIDE, OVER) and (kind.lag or 0) < 0:
            left = max(left, RADIUS + 8 + width(kind) - x)
        elif arrival.way == LEFT:
            left = max(left, width(kind) + 4 - arrival.tap - x)
        else:
            right = max(right, x + max(arrival.tap, RADIUS + 4) + 4 + width(kind))
    return left + MARGIN, right + MARGIN


def _trunks(
    drawn: Drawn, places: Places, arrivals: Mapping[Kind, Arrival], room: float,
    side: int,
) -> tuple[dict[tuple[str, int], float], float]:  # fmt: skip
    """Lines beside the labels, by source and lag; and how far they reach."""
    found: dict[tuple[str, int], float] = {}
    if side < 0:
        for i, name in enumerate(places.entering):
            room = room + NODES if i else max(room, NODES)
            found[name, 0] = -room
    for kind in drawn.kinds:
        lag = kind.lag or 0
        key = kind.source, lag
        if lag * side <= 0 or key in found or not drawn.ends_in_node(kind):
            continue
        if arrivals[kind].way not in (LEVEL, OVER):
            room += TRUNK if found else 0.0
            found[key] = side * room
    beside = RADIUS + 6 if side < 0 and places.entering else TRUNK
    return found, room + (beside if found else 0.0)


def _columns(
    tau: int, first: float, pitch: float, stay_last: int
) -> tuple[tuple[float, ...], tuple[float | None, ...], float | None]:
    columns = tuple(first + pitch * i for i in range(tau))
    if tau <= LONGEST:
        return columns, columns, None
    short: list[float | None] = [None] * tau
    short[:SHOWN_ENDS] = columns[:SHOWN_ENDS]
    after = (columns[SHOWN_ENDS + i] + GAP for i in range(stay_last))
    short[tau - stay_last :] = after
    return columns, tuple(short), columns[SHOWN_ENDS - 1] + GAP / 2


def _stay_last(drawn: Drawn) -> int:
    """Columns that stay at the end: those that differ from the third, and a few."""
    is_short = all(abs(kind.lag or 0) <= 1 for kind in drawn.kinds)
    return 1 if is_short and len(drawn.kinds) > CROWDED else SHOWN_ENDS
