"""The error function on vectors, by the polynomials of `bptt.step.erf`.

At most 2.5 ulp (float32) and 2.0 ulp (float64) from the correctly rounded result over
dense samples and edge points (tests/execute/test_vmath.py); exactly ±1 in the tails.
"""

from __future__ import annotations

from typing import Any

from bptt.execute.codegen import vmath
from bptt.execute.codegen.emit import Emitter
from bptt.step import erf as fits

Value = Any


def erf(e: Emitter, x: Value) -> Value:
    """2 / sqrt(pi) times the integral of exp(-s^2) from 0 to x."""
    b = e.builder
    near_terms, far_terms = fits.NEAR_FLOAT64, fits.FAR_FLOAT64
    if e.real_bytes == 4:
        near_terms, far_terms = fits.NEAR_FLOAT32, fits.FAR_FLOAT32
    one = e.constant(1.0)
    size = vmath.minimum(e, vmath.absolute(e, x), e.constant(fits.LARGEST))
    square = b.fmul(size, size)
    near = b.fmul(x, vmath.polynomial(e, vmath.minimum(e, square, one), near_terms))
    fraction = b.fdiv(one, e.fma(size, e.constant(0.5), one))
    u = b.fsub(fraction, e.constant(fits.CENTRE))
    tail = b.fmul(vmath.exp(e, b.fneg(square)), vmath.polynomial(e, u, far_terms))
    far = vmath.copy_sign(e, b.fsub(one, tail), x)
    is_far = b.fcmp_ordered(">", size, one)  # false for NaN, which `near` keeps
    return b.select(is_far, far, near)
