"""Numbers on the page: matrices that follow the slider, and the blob they come from.

Every matrix is a widget `span.mxw` with an id. It is written into the page as it is at
the step first shown; the numbers of all steps go into the page once, as the
upper three bytes of little-endian float32 (four digits, three are shown) in base64,
from which the script redraws the widget when t moves.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bptt.page.tags import Markup, join, tag
from bptt.step.shapes import Array

MINUS = "\u2212"
DIGITS = 3
LARGEST = 14  # rows or columns of a matrix that is written out


def show_number(value: float, digits: int = DIGITS) -> str:
    """Three significant digits, with a true minus sign.

    >>> show_number(-0.01234), show_number(0.0), show_number(12345.0)
    ('−0.0123', '0', '1.23e4')
    """
    if value in (-1.0, 0.0, 1.0):
        return f"{value:.0f}".replace("-", MINUS)
    if not np.isfinite(value):
        return "NaN" if np.isnan(value) else "∞" if value > 0 else f"{MINUS}∞"
    size = abs(value)
    if 1e-3 <= size < 1e4:
        places = max(0, digits - 1 - int(np.floor(np.log10(size))))
        text = f"{size:.{places}f}"
    else:
        head, _, power = f"{size:.{digits - 1}e}".partition("e")
        text = f"{head}e{int(power)}".replace("e-", f"e{MINUS}")
    return MINUS + text if value < 0 else text


def as_rows(array: Any) -> Array:
    """A scalar, vector or matrix as rows; more axes: all but the first joined."""
    found = np.asarray(array, dtype=float)
    if found.ndim < 2:
        return found.reshape(-1, 1)
    return found.reshape(found.shape[0], -1)


def matrix_table(array: Any) -> Markup:
    """A matrix as a table, each cell tinted by its share of the largest."""
    rows = as_rows(array)
    finite = np.abs(rows[np.isfinite(rows)])
    top = float(finite.max()) if finite.size and finite.max() > 0 else 1.0
    body = [tag("tr", *(_cell(float(v), top) for v in row)) for row in rows]
    return tag("table", *body, class_="mx")


def _cell(value: float, top: float) -> Markup:
    share = min(abs(value) / top, 1.0) if np.isfinite(value) else 0.0
    tint = "p" if value > 0 else "m" if value < 0 else None
    return tag(
        "td",
        show_number(value),
        class_=tint,
        style=f"--a:{share * 0.62:.2f}".replace("0.", ".") if share else None,
    )


@dataclass
class PageValues:
    """The matrices of one page, by id and step.

    first: the step shown before the slider moves; index: of every widget [rows,
    columns, first step, count, start, stride] in one long array of numbers, where a
    stride of 0 says that all steps share one matrix; a transposed matrix has "T" more
    at its end, a sum from step t to the last one "+". Equal numbers are stored once.
    is_brief: whether secondary matrices are left to the script, on a large page.
    """

    first: int
    is_brief: bool = False
    index: dict[str, list[Any]] = field(default_factory=dict)
    _parts: list[Array] = field(default_factory=list)
    _known: dict[bytes, int] = field(default_factory=dict)
    _size: int = 0

    def widget(
        self, key: str, by_step: Mapping[int, Any], caption: Markup | None = None,
        *, is_secondary: bool = False,
    ) -> Markup:  # fmt: skip
        """A matrix that follows the slider; by_step: its value at each step it has."""
        self.add(key, by_step)
        is_left = is_secondary and self.is_brief
        return self._shown(key, None if is_left else by_step.get(self.first), caption)

    def transposed(self, key: str, of: str, by_step: Mapping[int, Any]) -> Markup:
        """The transpose of another widget's matrices, whose numbers it shares."""
        if of in self.index:
            self.index[key] = [*self.index[of], "T"]
        shown = by_step.get(self.first)
        return self._shown(key, None if shown is None else as_rows(shown).T, None)

    def running(self, key: str, of: str, by_step: Mapping[int, Any],
                caption: Markup) -> Markup:  # fmt: skip
        """The sum of another widget's matrices from the step in view to the last."""
        self.index[key] = [*self.index[of], "+"]
        total = sum(array for t, array in by_step.items() if t >= self.first)
        return self._shown(key, None if self.is_brief else total, caption)

    def _shown(self, key: str, array: Any, caption: Markup | None) -> Markup:
        inner = Markup("") if array is None else matrix_table(array)
        return tag(
            "span", inner,
            None if caption is None else tag("span", caption, class_="cap"),
            class_="mxw", data_v=key,
        )  # fmt: skip

    def still(self, array: Any, caption: Markup | None = None) -> Markup:
        """A matrix that is the same at every step."""
        return tag(
            "span", matrix_table(array),
            None if caption is None else tag("span", caption, class_="cap"),
            class_="mxw",
        )  # fmt: skip

    def add(self, key: str, by_step: Mapping[int, Any]) -> None:
        """Put the numbers of a widget into the page; once for a key."""
        if key in self.index or not by_step:
            return
        steps = sorted(by_step)
        assert steps == list(range(steps[0], steps[-1] + 1)), key
        rows = np.array([as_rows(by_step[t]) for t in steps]).astype("<f4")
        shape, count = rows.shape[1:], len(steps)
        is_still = bool((rows == rows[:1]).all())
        start = self._store((rows[:1] if is_still else rows).ravel())
        stride = 0 if is_still else shape[0] * shape[1]
        self.index[key] = [*shape, steps[0], count, start, stride]

    def _store(self, numbers: Array) -> int:
        """Where the numbers lie; not a second time what is there."""
        known = numbers.tobytes()
        if known not in self._known:
            self._known[known] = self._size
            self._parts.append(numbers)
            self._size += numbers.size
        return self._known[known]

    def blob(self) -> str:
        """All numbers: the upper three bytes of each float32, base64."""
        numbers = np.concatenate(self._parts) if self._parts else np.zeros(0, "<f4")
        # Rounded to the sixteen bits of mantissa that stay, not cut off.
        bits = numbers.view("<u4").astype(np.uint64) + 0x80
        finite = np.isfinite(numbers)
        bits = np.where(finite, bits, numbers.view("<u4")).astype("<u4")
        upper = bits.view(np.uint8).reshape(-1, 4)[:, 1:]
        return base64.b64encode(upper.tobytes()).decode("ascii")


def encode(array: Array) -> str:
    """An array's bytes, little-endian, in base64."""
    little = array.astype(array.dtype.newbyteorder("<"))
    return base64.b64encode(little.tobytes()).decode("ascii")


def side_by_side(*parts: Any) -> Markup:
    """Matrices and signs in one line."""
    shown = [
        tag("span", part, class_="op") if isinstance(part, str)
        and not isinstance(part, Markup) else part for part in parts
    ]  # fmt: skip
    return tag("div", join(*shown), class_="values")
