"""Pieces of a line of the language as they are put together, each with its rank."""

from __future__ import annotations

from dataclasses import dataclass

ROW = -1
SUM, PRODUCT, POWER, ATOM = range(4)


@dataclass(frozen=True)
class Said:
    """A piece in the language: its text, its rank (ROW: a row), how tight it binds."""

    text: str
    rank: int
    level: int = ATOM

    def inside(self, level: int) -> str:
        """The text, in brackets if it binds less than `level`."""
        return self.text if self.level >= level else f"({self.text})"


def beside(left: Said, right: Said) -> Said:
    """A product: by their ranks a scaling, a dot, an outer or a matrix product."""
    if not left.rank or not right.rank:
        return written(left, "*", right)
    if left.rank == ROW and right.rank == 1:
        return Said(f"dot({left.text}, {right.text})", 0)
    if left.rank == 1 and right.rank == ROW:
        return Said(f"outer({left.text}, {right.text})", 2)
    if left.rank == ROW:  # u^T A is the row A^T u
        matrix = turned(right)
        return Said(f"{matrix.inside(PRODUCT)} @ {left.inside(POWER)}", ROW, PRODUCT)
    return Said(f"{left.inside(PRODUCT)} @ {right.inside(POWER)}", right.rank, PRODUCT)


def written(left: Said, sign: str, right: Said) -> Said:
    """u * v, u / v: any shapes that agree."""
    rank = max(left.rank, right.rank, key=abs)
    text = f"{left.inside(PRODUCT)} {sign} {right.inside(POWER)}"
    return Said(text, rank, PRODUCT)


def turned(of: Said) -> Said:
    """The transpose; of a vector it is a row, of a number the number."""
    if of.rank == 2:
        text = of.text.removesuffix(".T")
        if of.level == ATOM and text != of.text:
            return Said(text, 2)
        return Said(f"{of.inside(ATOM)}.T", 2)
    return Said(of.text, -of.rank, of.level)
