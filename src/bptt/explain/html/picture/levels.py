"""In which row and on which track of a column every node of a picture stands.

A row holds nodes that do not read each other; a state that the next step reads has a
row of its own, so that the arrow from its past arrives straight from the left. Tracks
run upwards: a node stands on one, and from it what it gives goes up on the same track
until its last reader, so that no line passes through a node.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bptt.explain.html.picture.drawn import Drawn, Kind


@dataclass(frozen=True)
class Places:
    """levels: the row of every node and input, from the bottom; tracks: its track.

    entering: inputs that come up at the left of the column, beside what arrives from
    the step before, because several nodes read them.
    """

    levels: Mapping[str, int]
    tracks: Mapping[str, int]
    entering: tuple[str, ...]


def find_places(drawn: Drawn) -> Places:
    """Rows and tracks; the same picture always gets the same ones."""
    within = [k for k in drawn.kinds if k.lag == 0 and drawn.ends_in_node(k)]
    levels = _node_levels(drawn, within)
    readers: dict[str, list[str]] = {}
    for kind in within:
        readers.setdefault(kind.source, []).append(kind.target)
    alone = {name: readers.get(name, []) for name in drawn.inputs}
    entering = tuple(name for name, found in alone.items() if len(found) > 1)
    for name, found in alone.items():
        levels[name] = min((levels[r] for r in found), default=1) - 1
        if name in entering:
            levels[name] = 0
    tracks = _Tracks(drawn, within, levels, readers)
    for level in range(1, max(levels[name] for name in drawn.nodes) + 1):
        for name in drawn.nodes:
            if levels[name] == level:
                tracks.put_node(name)
    beside = [name for name in drawn.inputs if name not in entering]
    entering += tuple(name for name in beside if not tracks.put_input(name))
    for name in entering:
        levels[name] = 0
    return Places(levels, tracks.found, entering)


def _node_levels(drawn: Drawn, within: list[Kind]) -> dict[str, int]:
    """The longest way from the inputs; a state where no other node is."""
    levels: dict[str, int] = {}
    taken: dict[int, bool] = {}  # whether a row holds a state
    for name in drawn.nodes:
        below = [levels[k.source] for k in within
                 if k.target == name and k.source in levels]  # fmt: skip
        level = 1 + max(below, default=0)
        is_state = name in drawn.states
        while level in taken and (is_state or taken[level]):
            level += 1
        levels[name] = level
        taken[level] = is_state
    return levels


@dataclass
class _Tracks:
    drawn: Drawn
    within: list[Kind]
    levels: dict[str, int]
    readers: dict[str, list[str]]
    found: dict[str, int] = field(default_factory=dict)
    busy: dict[int, set[int]] = field(default_factory=dict)  # track -> levels

    def put_node(self, name: str) -> None:
        level, last = self.levels[name], self._last(name)
        below = [k.source for k in self.within if k.target == name]
        own = sorted({self.found[s] for s in below if s in self.found})
        if name in self.drawn.states:
            own = [0, *own]
        track = self._first_free(own, level, last)
        self._take(name, track, level, last)

    def put_input(self, name: str) -> bool:
        """Under its reader or right of it; False where there is no room."""
        level, last = self.levels[name], self._last(name)
        readers = self.readers.get(name, [])
        own = [self.found[reader] for reader in readers]
        row = [n for n in self.drawn.nodes if self.levels[n] == level]
        if any(n in self.drawn.states for n in row):
            return False
        start = own[0] if own else 0
        track = self._first_free(
            [*own, *range(start + 1, start + len(self.found) + 2)], level, last
        )
        self._take(name, track, level, last)
        return True

    def _last(self, name: str) -> int:
        """The row below which the last reader's lanes lie."""
        top = max(self.levels.values()) + 1
        reads = [self.levels[r] for r in self.readers.get(name, [])]
        is_seeded = any(k.source == name and not self.drawn.ends_in_node(k)
                        for k in self.drawn.kinds)  # fmt: skip
        return max(*reads, top if is_seeded else 0, self.levels[name] + 1)

    def _first_free(self, wanted: list[int], level: int, last: int) -> int:
        rows = set(range(level, last))
        every = [*wanted, *range(len(self.levels) + 1)]
        free: list[int] = [t for t in every if not rows & self.busy.get(t, set())]
        return free[0]

    def _take(self, name: str, track: int, level: int, last: int) -> None:
        self.found[name] = track
        self.busy.setdefault(track, set()).update(range(level, last))
