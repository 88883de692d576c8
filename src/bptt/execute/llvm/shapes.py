"""Tile shapes: how many rows and vectors of a product are held in registers at once."""

from __future__ import annotations

from dataclasses import dataclass

from bptt.execute.llvm.target import Target

__all__ = ["Columns", "Groups", "TileShape", "Tiling", "choose_tiling"]


@dataclass(frozen=True)
class Columns:
    """`width` columns in panels of `vectors` vectors; the last may be narrower."""

    width: int
    lanes: int
    vectors: int

    @property
    def n_vectors(self) -> int:
        """Vectors that cover all columns."""
        return -(-self.width // self.lanes)

    @property
    def n_full(self) -> int:
        """Panels of `vectors` vectors."""
        return self.n_vectors // self.vectors

    @property
    def tail(self) -> int:
        """Vectors of the narrower last panel, 0 if there is none."""
        return self.n_vectors % self.vectors

    @property
    def n_panels(self) -> int:
        """All panels."""
        return self.n_full + (self.tail > 0)


@dataclass(frozen=True)
class Groups:
    """Panels taken together: `n_loops` groups of `panels` full ones, then `last`.

    `last` lists the vectors of each remaining panel; empty if none remains.
    """

    panels: int
    n_loops: int
    last: tuple[int, ...]


@dataclass(frozen=True)
class TileShape:
    """`rows` rows by `panels` panels at once.

    A clamped tile may be given fewer than `rows` rows: the missing ones repeat the
    last, are computed and thrown away. `splits` partial sums along k hide the latency
    of the multiply-add where rows and vectors alone are too few.
    """

    rows: int
    panels: int
    is_clamped: bool
    splits: int


@dataclass(frozen=True)
class Tiling:
    """Shapes of a stage: `main`, `few` for what is left, `single` for a batch of 1."""

    columns: Columns
    slots_per_pass: int
    main: TileShape
    few: TileShape
    single: TileShape

    @property
    def shapes(self) -> tuple[TileShape, ...]:
        """All three."""
        return (self.main, self.few, self.single)


def group_panels(columns: Columns, at_most: int) -> Groups:
    """Cut panels into nearly equal groups of at most `at_most`."""
    n_groups = -(-columns.n_panels // at_most)
    panels = -(-columns.n_panels // n_groups)
    n_loops = columns.n_full // panels
    n_left = columns.n_full - n_loops * panels
    tail = (columns.tail,) if columns.tail else ()
    return Groups(panels, n_loops, (columns.vectors,) * n_left + tail)


def choose_tiling(target: Target, real_bytes: int, width: int, n_slots: int) -> Tiling:
    """Shapes for a stage of `width` columns whose widest product feeds `n_slots` slots.

    A tile of R rows and V vectors needs R * V sums, V weights and one broadcast value
    in registers. With 32 registers that is 14 x 2 or, for the four gates of an LSTM, 6
    x 4; with 16 registers 6 x 2, and four gates take two passes over the operand.
    """
    lanes = target.count_lanes(real_bytes)
    per_pass = min(n_slots, 4 if target.registers >= 32 else 2)
    vectors = 2 if per_pass == 1 else 1
    columns = Columns(width, lanes, min(vectors, -(-width // lanes)))
    per_panel = per_pass * columns.vectors
    budget = target.registers - 1
    rows = max(1, (budget - per_panel) // per_panel)
    n_few = min(4, rows)
    few_panels = 1
    return Tiling(
        columns,
        per_pass,
        TileShape(rows, 1, False, 1),
        TileShape(n_few, few_panels, True, 1),
        # One panel: its weights are one stream through memory. Two or more streams side
        # by side halve the speed at some sizes (an LSTM of 200 units: 2.9 and 5.1 us
        # per step). The second partial sum hides the latency of the multiply-add.
        TileShape(1, 1, False, 2),
    )
