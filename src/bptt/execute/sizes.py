"""The size of every named dimension, as a caller's arrays tell it."""

from __future__ import annotations

from bptt import errors
from bptt.step.shapes import Shape, show_shape, summands


class KnownSizes:
    """The size of every named dimension, and who said so first."""

    def __init__(self) -> None:
        self.known: dict[str, int] = {}
        self._said_by: dict[str, str] = {}
        self._sums: list[tuple[str, str, int]] = []

    def _fit_sums(self) -> None:
        """Compare sums, `n_h+n_x`, with their parts; one unknown part follows."""
        for what, dim, size in self._sums:
            parts = summands(dim)
            names = [part for part in parts if isinstance(part, str)]
            unknown = [name for name in names if name not in self.known]
            rest = size - sum(part for part in parts if isinstance(part, int))
            rest -= sum(self.known[name] for name in names if name in self.known)
            n, is_one = len(unknown), len({*unknown}) == 1
            whole = self.known.setdefault(dim, size) if n else size
            if whole == size and is_one and rest > 0 and rest % n == 0:
                self.known[unknown[0]] = rest // n
                self._said_by[unknown[0]] = what
            elif whole != size or rest <= 0 < n or is_one or (rest and not n):
                told = [n for n in names if n in self.known] or [dim] * (whole != size)
                known = ", ".join(
                    dict.fromkeys(f"{n} is {self.known[n]}" for n in told)
                )
                raise errors.SizeError(
                    f"{what}: the size {size} stands where {dim} is expected"
                    + (f", and {known}" if known else "")
                )

    def fit(self, what: str, shape: Shape, found: tuple[int, ...]) -> None:
        """Record the sizes of an array's last axes, its core, or refuse them."""
        for dim, size in zip(shape, found[len(found) - len(shape) :], strict=True):
            if isinstance(dim, str) and self.known.get(dim) == size:
                continue
            if isinstance(dim, str) and "+" in dim:
                self._sums.append((f"{what} {show_shape(shape)}", dim, size))
                continue
            if size == 0:
                raise errors.SizeError(
                    f"{what} {show_shape(shape)} has shape {found}: "
                    f"dimension {dim} must be at least 1"
                )
            if isinstance(dim, int):
                if size != dim:
                    raise errors.SizeError(
                        f"{what} {show_shape(shape)} has shape {found}: "
                        f"the cell fixes that size to {dim}"
                    )
                continue
            name = str(dim)
            known = self.known.setdefault(name, size)
            who = self._said_by.setdefault(name, what)
            if known != size:
                raise errors.SizeError(
                    f"{what} {show_shape(shape)} has shape {found}: {name} is {size} "
                    f"here, but {known} in {who}"
                )
        if self._sums:
            self._fit_sums()
