"""Elementary functions on vectors, with error bounds.

Every bound is a little above the largest error seen over all exponents, dense samples
and edge points (tests/execute/codegen/test_vmath.py), in units in the last place (ulp)
of the correctly rounded result, for any vector width. Infinities, zeros of both signs,
denormals and NaN behave as in NumPy. No function reads or sets flags, and none needs
fast-math.

    function   float32   float64     how
    exp        1.5       1.5         2**n * polynomial
    expm1      2.0       2.0         the same, without the leading 1
    tanh       3.0       3.0         expm1(-2|x|), so relative accuracy holds near 0
    sigmoid    2.5       2.5         exp(-|x|), so the left tail reaches the denormals
    log        1.0       1.0         atanh series of the reduced argument
    log1p      1.0       1.0         log with the rounding of 1 + x carried along
    softplus   2.0       2.0         max(x, 0) + log1p(exp(-|x|))
    sin, cos   1.0       1.0         the C library, lane by lane (slow)
    power      1.0       1.0         the C library, lane by lane (slow)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bptt.execute.codegen.emit import Emitter

__all__ = [
    "absolute",
    "cos",
    "exp",
    "expm1",
    "log",
    "log1p",
    "maximum",
    "minimum",
    "power",
    "sigmoid",
    "sin",
    "softplus",
    "sqrt",
    "tanh",
    "where",
]

Value = Any


@dataclass(frozen=True)
class _Format:
    """Constants of one real type. Polynomials: lowest coefficient first."""

    mantissa_bits: int
    exponent_bias: int
    # 1.5 * 2**mantissa_bits: adding it rounds to an integer and leaves that integer in
    # the low bits, without a float-to-int conversion (which is undefined for NaN).
    round_shift: float
    ln2_high: float  # its product with any exponent is exact
    ln2_low: float
    exp_lowest: float  # exp rounds to 0 below this
    exp_highest: float  # exp overflows above this
    saturation: float  # tanh rounds to 1 and expm1(-x) to -1 above this
    sqrt_half_bits: int
    # (expm1(r) - r) / r**2 on |r| <= ln2 / 2
    exp_terms: tuple[float, ...]
    # (atanh(s) / s - 1) * 2 / s**2 in powers of s**2, for |s| <= 3 - 2 sqrt(2)
    log_terms: tuple[float, ...]


# Chebyshev fits made with mpmath at 60 digits; the errors of the fits are 6e-8 and
# 1.4e-18 (exp, relative to r**2), 1.2e-9 and 2.1e-18 (log, relative to s**3).
_FLOAT32 = _Format(
    mantissa_bits=23,
    exponent_bias=127,
    round_shift=12582912.0,
    ln2_high=0.693145751953125,
    ln2_low=1.4286068203094173e-06,
    exp_lowest=-104.0,
    exp_highest=89.0,
    saturation=20.0,
    sqrt_half_bits=0x3F3504F3,
    exp_terms=(
        0.5,
        0.16666576989698775,
        0.041666554617204574,
        0.008363179052722578,
        0.0013926183587713494,
    ),
    log_terms=(
        0.6666666655449709,
        0.40000121839806124,
        0.28550820815960665,
        0.23330467216303835,
    ),
)
_FLOAT64 = _Format(
    mantissa_bits=52,
    exponent_bias=1023,
    round_shift=6755399441055744.0,
    ln2_high=0.6931471805598903,
    ln2_low=5.497923018708371e-14,
    exp_lowest=-746.0,
    exp_highest=710.0,
    saturation=40.0,
    sqrt_half_bits=0x3FE6A09E667F3BCD,
    exp_terms=(
        0.5,
        0.1666666666666667,
        0.04166666666666667,
        0.008333333333326136,
        0.0013888888888883748,
        0.00019841269874820627,
        2.4801587325547743e-05,
        2.7557255400206422e-06,
        2.75572736431103e-07,
        2.5105217004720745e-08,
        2.0914686968086876e-09,
    ),
    log_terms=(
        0.6666666666666666,
        0.4000000000000088,
        0.28571428570803614,
        0.22222222391713917,
        0.18181795640132906,
        0.15386239702814658,
        0.13268773138656886,
        0.13086626147840102,
    ),
)
_LOG2_E = 1.4426950408889634
_SIGN = {4: 1 << 31, 8: 1 << 63}


def _get_format(e: Emitter) -> _Format:
    return _FLOAT32 if e.real_bytes == 4 else _FLOAT64


def polynomial(e: Emitter, x: Value, terms: tuple[float, ...]) -> Value:
    """terms[0] + terms[1] x + ..., by Horner's rule."""
    result = e.constant(terms[-1])
    for term in terms[-2::-1]:
        result = e.fma(result, x, e.constant(term))
    return result


def _clamp_above(e: Emitter, x: Value, highest: float) -> Value:
    # The comparison is false for NaN, which therefore passes through.
    limit = e.constant(highest)
    return e.builder.select(e.builder.fcmp_ordered(">", x, limit), limit, x)


def _clamp_below(e: Emitter, x: Value, lowest: float) -> Value:
    limit = e.constant(lowest)
    return e.builder.select(e.builder.fcmp_ordered("<", x, limit), limit, x)


def copy_sign(e: Emitter, size: Value, sign: Value) -> Value:
    """The absolute value of `size` with the sign of `sign`."""
    bit = e.integer_constant(_SIGN[e.real_bytes])
    rest = e.integer_constant(_SIGN[e.real_bytes] - 1)
    b = e.builder
    sign_bits = b.and_(e.as_integers(sign), bit)
    return e.as_reals(b.or_(b.and_(e.as_integers(size), rest), sign_bits))


def _reduce_exponent(e: Emitter, x: Value) -> tuple[Value, Value]:
    """Integers n and reals r, |r| <= ln2 / 2, with x = n * ln2 + r; x is in range."""
    f = _get_format(e)
    shift = e.constant(f.round_shift)
    shifted = e.fma(x, e.constant(_LOG2_E), shift)
    count = e.builder.fsub(shifted, shift)
    r = e.fma(count, e.constant(-f.ln2_high), x)
    r = e.fma(count, e.constant(-f.ln2_low), r)
    return e.builder.sub(e.as_integers(shifted), e.as_integers(shift)), r


def _expm1_reduced(e: Emitter, r: Value) -> Value:
    """expm1(r) for |r| <= ln2 / 2."""
    square = e.builder.fmul(r, r)
    return e.fma(square, polynomial(e, r, _get_format(e).exp_terms), r)


def _power_of_two(e: Emitter, n: Value) -> Value:
    """2**n for integers n in the range of normal numbers."""
    f = _get_format(e)
    biased = e.builder.add(n, e.integer_constant(f.exponent_bias))
    return e.as_reals(e.builder.shl(biased, e.integer_constant(f.mantissa_bits)))


def exp(e: Emitter, x: Value) -> Value:
    """exp(x); 1.5 ulp, denormal results included."""
    return _exp_bounded(e, _clamp_above(e, x, _get_format(e).exp_highest))


def _exp_bounded(e: Emitter, x: Value) -> Value:
    """exp(x) for x <= exp_highest or NaN."""
    n, r = _reduce_exponent(e, _clamp_below(e, x, _get_format(e).exp_lowest))
    value = e.builder.fadd(_expm1_reduced(e, r), e.constant(1.0))
    # Two factors, because 2**n itself leaves the range of normal numbers at both ends;
    # only the second product rounds.
    half = e.builder.ashr(n, e.integer_constant(1))
    value = e.builder.fmul(value, _power_of_two(e, half))
    return e.builder.fmul(value, _power_of_two(e, e.builder.sub(n, half)))


def _expm1_scaled(e: Emitter, x: Value) -> Value:
    """expm1(x) for x in range of normal powers of two: 2**n * expm1(r) + (2**n - 1)."""
    n, r = _reduce_exponent(e, x)
    scale = _power_of_two(e, n)
    less_one = e.builder.fsub(scale, e.constant(1.0))
    return e.fma(scale, _expm1_reduced(e, r), less_one)


def expm1(e: Emitter, x: Value) -> Value:
    """exp(x) - 1 with relative accuracy near 0; 2.0 ulp."""
    f = _get_format(e)
    clamped = _clamp_above(e, x, f.exp_highest)
    clamped = _clamp_below(e, clamped, -2.0 * f.saturation)
    n, r = _reduce_exponent(e, clamped)
    # Half the scale, doubled at the end: just before overflow the scale would be
    # 2**128 (2**1024).
    scale = _power_of_two(e, e.builder.sub(n, e.integer_constant(1)))
    less = e.builder.fsub(scale, e.constant(0.5))
    value = e.fma(scale, _expm1_reduced(e, r), less)
    value = e.builder.fmul(value, e.constant(2.0))
    # Halving a denormal would round it, and the sum above loses the sign of -0.
    smallest = 2.0 ** (1 - f.exponent_bias + f.mantissa_bits)
    is_tiny = e.builder.fcmp_ordered("<", absolute(e, x), e.constant(smallest))
    return e.builder.select(is_tiny, x, value)


def tanh(e: Emitter, x: Value) -> Value:
    """tanh(x); 3.0 ulp, relative accuracy near 0, exactly +-1 in the tails."""
    size = _clamp_above(e, absolute(e, x), _get_format(e).saturation)
    minus = _expm1_scaled(e, e.builder.fmul(size, e.constant(-2.0)))
    value = e.builder.fdiv(minus, e.builder.fadd(minus, e.constant(2.0)))
    return copy_sign(e, value, x)


def sigmoid(e: Emitter, x: Value) -> Value:
    """1 / (1 + exp(-x)); 2.5 ulp, the left tail down to the denormals included."""
    one = e.constant(1.0)
    small = _exp_bounded(e, e.builder.fneg(absolute(e, x)))
    is_left = e.builder.fcmp_ordered("<", x, e.constant(0.0))
    top = e.builder.select(is_left, small, one)
    return e.builder.fdiv(top, e.builder.fadd(small, one))


def _log_reduced(
    e: Emitter, rest: Value, count: Value, correction: Value | None
) -> Value:
    """count * ln2 + log(1 + rest) + correction for 1 + rest in [sqrt(1/2), sqrt(2)]."""
    f, b = _get_format(e), e.builder
    s = b.fdiv(rest, b.fadd(rest, e.constant(2.0)))
    z = b.fmul(s, s)
    series = b.fmul(z, polynomial(e, z, f.log_terms))
    half_square = b.fmul(b.fmul(rest, rest), e.constant(0.5))
    low = b.fmul(count, e.constant(f.ln2_low))
    if correction is not None:
        low = b.fadd(low, correction)
    # log(1 + rest) = rest - (half_square - s * (half_square + series)): the large terms
    # are added last and rest itself is exact (fdlibm's arrangement).
    small = e.fma(s, b.fadd(half_square, series), low)
    inner = b.fsub(b.fsub(half_square, small), rest)
    return e.fma(count, e.constant(f.ln2_high), b.fneg(inner))


def _split(e: Emitter, x: Value) -> tuple[Value, Value]:
    """x = m * 2**count with m in [sqrt(1/2), sqrt(2)), x positive and normal."""
    f, b = _get_format(e), e.builder
    offset = e.integer_constant(f.sqrt_half_bits)
    shifted = b.sub(e.as_integers(x), offset)
    exponent = b.ashr(shifted, e.integer_constant(f.mantissa_bits))
    low = e.integer_constant((1 << f.mantissa_bits) - 1)
    m = e.as_reals(b.add(b.and_(shifted, low), offset))
    # int to real through the round shift: one add instead of a conversion, which AVX2
    # lacks for 64-bit integers.
    shift = e.constant(f.round_shift)
    count = e.as_reals(b.add(exponent, e.as_integers(shift)))
    return m, b.fsub(count, shift)


def _fix_log_edges(e: Emitter, x: Value, value: Value, zero: float) -> Value:
    """+inf at +inf, -inf at `zero`, NaN below it and for NaN; `value` elsewhere."""
    b = e.builder
    infinity = e.constant(float("inf"))
    is_finite = b.fcmp_ordered("<", x, infinity)
    value = b.select(is_finite, value, x)  # NaN and +inf map to themselves
    is_pole = b.fcmp_ordered("==", x, e.constant(zero))
    value = b.select(is_pole, e.constant(float("-inf")), value)
    is_below = b.fcmp_ordered("<", x, e.constant(zero))
    return b.select(is_below, e.constant(float("nan")), value)


def log(e: Emitter, x: Value) -> Value:
    """log(x); 1.0 ulp, -inf at 0, NaN below."""
    f, b = _get_format(e), e.builder
    lift = f.mantissa_bits + 2
    smallest_normal = e.constant(2.0 ** (1 - f.exponent_bias))
    is_denormal = b.fcmp_ordered("<", x, smallest_normal)
    lifted = b.fmul(x, e.constant(2.0**lift))
    m, count = _split(e, b.select(is_denormal, lifted, x))
    less = b.fsub(count, e.constant(float(lift)))
    count = b.select(is_denormal, less, count)
    rest = b.fsub(m, e.constant(1.0))
    return _fix_log_edges(e, x, _log_reduced(e, rest, count, None), 0.0)


def _log1p_finite(e: Emitter, x: Value) -> Value:
    """log1p(x) for finite x > -1."""
    b = e.builder
    one = e.constant(1.0)
    total = b.fadd(x, one)
    m, count = _split(e, total)
    # What the rounding of 1 + x lost, relative to it: exactly `x - (total - 1)` for
    # x <= 1 and `1 - (total - x)` above.
    is_large = b.fcmp_ordered(">", x, one)
    large = b.select(is_large, x, one)
    small = b.select(is_large, one, x)
    lost = b.fsub(small, b.fsub(total, large))
    correction = b.fdiv(lost, total)
    # No exponent to remove: x itself is the exact reduced argument, nothing was lost.
    zero = e.constant(0.0)
    is_near = b.fcmp_ordered("==", count, zero)
    rest = b.select(is_near, x, b.fsub(m, one))
    return _log_reduced(e, rest, count, b.select(is_near, zero, correction))


def log1p(e: Emitter, x: Value) -> Value:
    """log(1 + x) with relative accuracy near 0; 1.0 ulp, -inf at -1, NaN below."""
    value = _log1p_finite(e, x)
    value = _fix_log_edges(e, x, value, -1.0)
    is_zero = e.builder.fcmp_ordered("==", x, e.constant(0.0))
    return e.builder.select(is_zero, x, value)  # the sum above loses the sign of -0


def softplus(e: Emitter, x: Value) -> Value:
    """log(1 + exp(x)); 2.0 ulp, the left tail down to the denormals included."""
    small = _exp_bounded(e, e.builder.fneg(absolute(e, x)))
    positive = maximum(e, x, e.constant(0.0))
    return e.builder.fadd(positive, _log1p_finite(e, small))


def sqrt(e: Emitter, x: Value) -> Value:
    """The square root, correctly rounded; NaN below 0."""
    return e.unary("sqrt", x)


def absolute(e: Emitter, x: Value) -> Value:
    """The absolute value, exact."""
    return e.unary("fabs", x)


def maximum(e: Emitter, x: Value, y: Value) -> Value:
    """The larger of x and y, exact; NaN if either is (numpy.maximum)."""
    larger = e.builder.select(e.builder.fcmp_ordered(">", x, y), x, y)
    is_nan = e.builder.fcmp_unordered("uno", x, x)
    return e.builder.select(is_nan, x, larger)


def minimum(e: Emitter, x: Value, y: Value) -> Value:
    """The smaller of x and y, exact; NaN if either is (numpy.minimum)."""
    smaller = e.builder.select(e.builder.fcmp_ordered("<", x, y), x, y)
    is_nan = e.builder.fcmp_unordered("uno", x, x)
    return e.builder.select(is_nan, x, smaller)


def where(e: Emitter, condition: Value, x: Value, y: Value) -> Value:
    """Pick x where `condition` (a vector of reals) is not 0, NaN included, else y."""
    is_zero = e.builder.fcmp_ordered("==", condition, e.constant(0.0))
    return e.builder.select(is_zero, y, x)


def sin(e: Emitter, x: Value) -> Value:
    """sin(x); 1.0 ulp. One call of the C library per lane: 7 to 12 ns each."""
    return e.unary("sin", x)


def cos(e: Emitter, x: Value) -> Value:
    """cos(x); 1.0 ulp. One call of the C library per lane: 7 to 12 ns each."""
    return e.unary("cos", x)


def power(e: Emitter, x: Value, y: Value) -> Value:
    """x ** y; 1.0 ulp. One call of the C library per lane: 3 to 9 ns each.

    A constant exponent such as 2 or 1/2 is better written as a product or a root.
    """
    return e.call(f"llvm.pow.{e.suffix}", e.vector, [x, y])
