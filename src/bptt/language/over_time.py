"""Sums, means, maxima and softmax over all steps of a row, as equations of every step.

sum(t, u[t])     sum_t1[t] = sum_t1[t-1] + u[t], of value at the last step
sum(t, u[t, j])  the same at every place j: sum_t1 holds them all
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bptt import errors
from bptt.language.additions import Additions
from bptt.language.indexed import PlaceText
from bptt.language.tree import Piece, read

AT_STEPS, AT_END, INSIDE = "t", "end", "inside"


class OverTime(Additions):
    """Adds what runs over all steps; the base of what rewrites other times."""

    def rewrite_at(self, expr: Piece, mode: str) -> Piece:
        """An expression as it stands in one of three places."""
        raise NotImplementedError

    def clock(self, expr: Piece, mode: str) -> Piece:
        """`t` or `tau`."""
        raise NotImplementedError

    def over(self, expr: Piece, mode: str) -> Piece:
        """`sum(t, u)` and the others, read where they stand."""
        if mode == AT_STEPS:
            fix = "write it in an equation without [t]; h[t-1] carries a sum so far"
            if expr.data in ("max", "min"):
                fix = f"{expr.data}imum(t, u) for two values, or no [t] on the left"
            raise errors.OutOfTimeError(
                expr.span,
                f"{expr.data} over t is known after the last step, and this is an "
                "equation of every step",
                fix=fix,
            )
        if expr.data == "min":
            negative = (Piece("neg", expr.arguments, expr.span),)
            largest = self._accumulated(replace(expr, arguments=negative), mode, "max")
            return Piece("neg", (largest,), expr.span)
        if expr.data == "mean":
            return self._mean(expr, mode)
        if expr.data == "softmax":
            return self._softmax(expr, mode)
        return self._accumulated(expr, mode, str(expr.data))

    def _accumulated(self, expr: Piece, mode: str, kind: str) -> Piece:
        """The last value of a running sum or maximum; inside a sum, at every step."""
        (inner,) = expr.arguments
        # order-free: as above
        key = (kind, id(inner))
        if key not in self.made:
            span = expr.span
            body = self.rewrite_at(inner, INSIDE)
            name = self.numbered(kind)
            self.like[name] = _placed(body)
            before = _read_at(read(name, -1, span), free_indices(body))
            if kind == "sum":
                total = Piece("add", (before, body), span)
            else:
                begun = read(self.flag("begun", span), -1, span)
                larger = Piece("maximum", (before, body), span)
                total = Piece("where", (begun, larger, body), span)
            self.define(key, name, _placed(total), (kind,))
        name = self.made[key]
        found = read(name, 0, expr.span)
        if mode == INSIDE:
            found = self.at_tau(name, expr)
        return _read_at(found, free_indices(self.rewrite_at(inner, INSIDE)))

    def _mean(self, expr: Piece, mode: str) -> Piece:
        total = self._accumulated(expr, mode, "sum")
        steps = self.clock(Piece("clock", (), expr.span, "tau"), mode)
        return Piece("div", (total, steps), expr.span)

    def _softmax(self, expr: Piece, mode: str) -> Piece:
        if mode != INSIDE:
            raise errors.OutOfTimeError(
                expr.span,
                "softmax over t has a value for every step, and this is an equation "
                "after the last one",
                fix="sum(t, softmax(t, e[t]) * h[t])",
            )
        (inner,) = expr.arguments
        span = expr.span
        peak = Piece("over_t", (inner,), span, "max")
        held = Piece("stop_gradient", (peak,), span)
        power = Piece("exp", (Piece("sub", (inner, held), span),), span)
        total = Piece("over_t", (power,), span, "sum")
        share = self.rewrite_at(Piece("div", (power, total), span), INSIDE)
        name = self.numbered("softmax")
        # order-free: as above
        self.define(("softmax", id(inner)), name, _placed(share), ("softmax",))
        return _read_at(read(name, 0, span), free_indices(share))


# ----- at places -----


def free_indices(expr: Piece) -> tuple[str, ...]:
    """The indices that an expression has and nothing in it runs along, in order."""
    done: dict[int, frozenset[str]] = {}

    def find(piece: Piece) -> frozenset[str]:
        """The free indices of one piece, found once."""
        key = id(piece)  # order-free: an address tells two pieces apart
        if key not in done:
            found = frozenset[str]().union(*map(find, piece.arguments))
            data: Any = piece.data
            if piece.op == "index":
                found |= {str(data)}
            elif piece.op == "at":
                found |= {name for name, _ in data.terms}
            elif piece.op == "over":
                found -= {data[1]}
            elif piece.op == "put":
                found -= {*data}
            done[key] = found
        return done[key]

    return tuple(sorted(find(expr)))


def _placed(body: Piece) -> Piece:
    """What has indices as one array of all their places."""
    names = free_indices(body)
    return Piece("put", (body,), body.span, names) if names else body


def _read_at(base: Piece, names: tuple[str, ...]) -> Piece:
    for name in names:
        base = Piece("at", (base,), base.span, PlaceText(((name, 1),)))
    return base
