"""How the arrows into one node arrive, each on a line of its own.

                       +---(n)---+
      label     b -----+  ||| |  |       lane after lane below the node: the outermost
      label        W -----+|| |  +-- q   line on either side turns first, so that a
      label            h ---+ |          label beside its own line meets no other
                              s          straight up from a node on the same track

What comes from the step before enters at the column's left, a parameter too; what
comes from the step after at its right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bptt.explain.html.picture.drawn import Drawn, Kind
from bptt.explain.html.picture.levels import Places

RADIUS = 20.0
LANE = 18.0  # between two lanes: a line of labels fits
FIRST_LANE = RADIUS + 21.0  # below a node's middle
TAP = 9.0  # between two lines into one node
INNER = 10.0  # from the middle of a node to the innermost of them
STRAIGHT = 22.0  # the band of the label of a line that goes straight up
ROW = 68.0  # between two rows at least
UP, BESIDE, LEVEL, LEFT, RIGHT = "up", "beside", "level", "left", "right"
OVER = "over"  # the nodes between, of a delay


@dataclass(frozen=True)
class Arrival:
    """How one kind of arrow arrives: by UP, BESIDE, LEVEL, OVER, a lane LEFT or RIGHT.

    tap: of a lane, where its line goes up, relative to the node's middle; lane: which
    of its row's lanes, from the top.
    """

    way: str
    tap: float = 0.0
    lane: int = 0


def find_arrivals(drawn: Drawn, places: Places) -> dict[Kind, Arrival]:
    """How every arrow that ends in a node arrives."""
    found: dict[Kind, Arrival] = {}
    for level in sorted(set(places.levels.values())):
        row = [n for n in drawn.nodes if places.levels[n] == level]
        row.sort(key=lambda name: places.tracks[name])
        _row(drawn, places, row, found)
    return found


def _row(
    drawn: Drawn, places: Places, row: list[str], found: dict[Kind, Arrival]
) -> None:
    into = {name: [k for k in drawn.kinds if k.target == name and not k.is_total]
            for name in row}  # fmt: skip
    lane = 0
    sides: dict[str, tuple[list[Kind], list[Kind]]] = {}
    for name, kinds in into.items():
        is_alone = len(row) == 1
        left, right = _sides(name, kinds, places, found, is_alone=is_alone)
        sides[name] = left, right
        for i, kind in enumerate(left):
            tap = -INNER - TAP * (len(left) - 1 - i)
            found[kind] = Arrival(LEFT, tap, lane)
            lane += 1
    for name in reversed(row):
        right = sides[name][1]
        for i, kind in enumerate(right):
            tap = INNER + TAP * (len(right) - 1 - i)
            found[kind] = Arrival(RIGHT, tap, lane)
            lane += 1


def _sides(
    name: str, kinds: list[Kind], places: Places, found: dict[Kind, Arrival],
    *, is_alone: bool,
) -> tuple[list[Kind], list[Kind]]:  # fmt: skip
    """What comes by lanes from the left and the right, the outermost first."""
    track = places.tracks[name]
    left, right, far = [], [], 0
    for kind in kinds:
        lag = kind.lag or 0
        if abs(lag) > 1:
            found[kind] = Arrival(OVER, lane=far)
            far += 1
        elif lag and kind.source == name:
            found[kind] = Arrival(LEVEL)
        elif lag > 0:
            right.append(kind)
        elif kind.lag is None or lag < 0 or kind.source in places.entering:
            left.append(kind)
        elif places.tracks[kind.source] == track:
            found[kind] = Arrival(UP)
        else:
            (left if places.tracks[kind.source] < track else right).append(kind)
    past = [k for k in left if k.lag]
    is_level = any(found.get(k) == Arrival(LEVEL) for k in kinds)
    if past and is_alone and not is_level:
        left.remove(past[0])
        found[past[0]] = Arrival(BESIDE)
    # The farther away, the higher its lane: the riser of a near one then stays below.
    left.sort(key=lambda k: _rank(k, places))
    right.sort(key=lambda k: -_rank(k, places)[1])
    return left, right


def _rank(kind: Kind, places: Places) -> tuple[int, int]:
    """Parameters, then the past, then inputs, then nodes from far to near."""
    if kind.lag is None:
        return 0, 0
    if kind.lag:
        return 1, 99
    if kind.source in places.entering:
        return 2, 0
    return 3, places.tracks[kind.source]


def lanes_of(arrivals: Mapping[Kind, Arrival], names: list[str]) -> int:
    """How many lanes lie below a row."""
    return sum(
        arrival.way in (LEFT, RIGHT)
        for kind, arrival in arrivals.items()
        if kind.target in names
    )
