"""Tile shapes: how many rows and vectors of a product are held in registers at once."""

from __future__ import annotations

from dataclasses import dataclass

from bptt.execute.codegen.target import Target

__all__ = ["Columns", "TileShape", "Tiling", "choose_tiling"]


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
class TileShape:
    """`rows` rows by one panel at once.

    A clamped tile may be given fewer than `rows` rows: the missing ones repeat the
    last, are computed and thrown away. `splits` partial sums along k hide the latency
    of the multiply-add where rows and vectors alone are too few.
    """

    rows: int
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


def choose_tiling(target: Target, real_bytes: int, width: int, n_slots: int) -> Tiling:
    """Shapes for a stage of `width` columns whose widest product feeds `n_slots` slots.

    A tile of R rows and V vectors needs R * V sums, V weights and one broadcast value
    in registers. With 32 registers that is 14 x 2 or, for the four gates of an LSTM, 6
    x 4; with 16 registers 6 x 2, and four gates take two passes over the operand.

    Always one panel: its weights are one stream through memory. Two or more side by
    side halve the speed of a batch of one at some sizes (an LSTM of 200 units: 2.9 and
    5.1 us per step) and gain nothing for more rows.
    """
    lanes = target.count_lanes(real_bytes)
    per_pass = min(n_slots, 4 if target.registers >= 32 else 2)
    vectors = 2 if per_pass == 1 else 1
    columns = Columns(width, lanes, min(vectors, -(-width // lanes)))
    per_panel = per_pass * columns.vectors
    budget = target.registers - 1
    rows = max(1, (budget - per_panel) // per_panel)
    n_few = min(4, rows)
    return Tiling(
        columns,
        per_pass,
        TileShape(rows, False, 1),
        TileShape(n_few, True, 1),
        # The second partial sum hides the latency of the multiply-add.
        TileShape(1, False, 2),
    )
