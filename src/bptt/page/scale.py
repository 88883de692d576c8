"""From values to positions on an axis, and the ticks between them."""

from dataclasses import dataclass
from math import ceil, floor, isfinite, log10

N_TICKS = 5


@dataclass(frozen=True)
class Scale:
    """A linear or logarithmic axis from `low` to `high` over `length` pixels."""

    low: float
    high: float
    length: float
    is_log: bool = False

    def __call__(self, value: float) -> float:
        """The pixels from the axis's beginning."""
        low, high, at = self.low, self.high, value
        if self.is_log:
            low, high, at = log10(low), log10(high), log10(max(value, self.low))
        return (at - low) / (high - low) * self.length

    def ticks(self) -> list[float]:
        """Round values on the axis, at most about five."""
        if not self.is_log:
            return linear_ticks(self.low, self.high)
        first, last = ceil(log10(self.low) - 1e-9), floor(log10(self.high) + 1e-9)
        step = max(1, ceil((last - first) / N_TICKS))
        return [10.0**k for k in range(first, last + 1, step)]


def linear_ticks(low: float, high: float, is_whole: bool = False) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten between two values."""
    rough = (high - low) / N_TICKS
    if is_whole:
        rough = max(rough, 1.0)
    power = 10.0 ** floor(log10(rough))
    step = next(s * power for s in (1, 2, 5, 10) if s * power >= rough * 0.999)
    first = ceil(low / step - 1e-9)
    return [k * step for k in range(first, floor(high / step + 1e-9) + 1)]


def make_scale(
    values: list[float], length: float, *, is_log: bool = False, decades: int = 16
) -> Scale:
    """An axis that holds all finite values, and all positive ones if logarithmic.

    decades: of a logarithmic axis, at most; what is smaller lies on its lower end.
    """
    usable = [v for v in values if isfinite(v) and (v > 0 or not is_log)]
    if not usable:
        return Scale(0.1 if is_log else 0.0, 1.0, length, is_log)
    low, high = min(usable), max(usable)
    if is_log:
        # Whole decades, at least one and at most so many.
        bottom = floor(log10(low) + 1e-9)
        top = max(ceil(log10(high) - 1e-9), bottom + 1)
        bottom = max(bottom, top - decades)
        return Scale(10.0**bottom, 10.0**top, length, is_log)
    if low == high:
        low, high = low - abs(low) * 0.1 - 1e-9, high + abs(high) * 0.1 + 1e-9
    margin = 0.04 * (high - low)
    return Scale(low - margin if low else low, high + margin, length)


def format_tick(value: float) -> str:
    """A short number: 0.05, 2,000, 10⁻⁵."""
    if value and not 1e-3 <= abs(value) < 1e6:
        exponent = floor(log10(abs(value)) + 1e-9)
        digits = str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        factor = value / 10.0**exponent
        lead = "" if abs(factor - 1) < 1e-6 else f"{factor:.3g}·"
        return f"{lead}10{digits}"
    return f"{value:,.6g}"
