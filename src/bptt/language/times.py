"""What stands before, after and across time, written as equations at every step.

A cell is one time step. What its text says of other times becomes equations of that
step, with names of their own, so that every room below knows steps alone:

    h[t-3]              h_lag1[t] = h[t-1];  h_lag2[t] = h_lag1[t-1];  read h_lag2[t-1]
    h[0] = f            h_before[t] = where(begun[t-1] > 0, h[t-1], h_start[t])
    o = c + V @ h[tau]  computed at every step, and of value at each row's last one
    sum(t, e[t])        sum_t1[t] = sum_t1[t-1] + e[t], of value at the last step
    t, tau              step[t] = step[t-1] + 1, at the last step tau
    a value of the last step inside a sum    a_tau[t] = where(last, a[t], a_tau[t+1])

`begun` is 1 from the first step on and `going` up to the last: read one step earlier or
later they tell where a row begins and ends, ragged or not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from bptt import errors
from bptt.errors import Span
from bptt.language.additions import Additions
from bptt.language.tree import LOSS, Declaration, Equation, Piece, read
from bptt.step.graph import Times

AT_STEPS, AT_END, INSIDE = "t", "end", "inside"


@dataclass
class Rewritten:
    """Equations of one step, and what they were written for.

    like: names whose shape is that of an expression; times: see `Times`.
    """

    equations: list[Equation]
    declarations: list[Declaration]
    like: dict[str, Piece]
    times: Times


def rewrite_times(
    equations: list[Equation], declarations: list[Declaration]
) -> Rewritten:
    """The cell as equations of one step.

    Raises: OutOfTimeError, UseBeforeDefinitionError, DuplicateDefinitionError,
    EmptyCellError.
    """
    is_plain = all(
        e.when == "t" and not _asks_for_more(e.expression) for e in equations
    )
    if is_plain and not any(d.is_input for d in declarations):
        return Rewritten(equations, declarations, {}, Times())
    return _Rewriter(equations=equations, declarations=declarations).rewrite()


def _asks_for_more(expr: Piece) -> bool:
    return any(
        part.op in ("clock", "over_t")
        or (part.op == "read" and part.lag not in (-1, 0, 1))
        for part in expr.parts()
    )


@dataclass
class _Rewriter(Additions):
    """Rewrites equations in order; each may bring others that stand before it."""

    equations: list[Equation] = field(default_factory=list)
    declarations: list[Declaration] = field(default_factory=list)
    static: dict[str, Piece] = field(default_factory=dict)
    once: dict[str, bool] = field(default_factory=dict)  # -> known at the end alone
    starts: dict[str, str] = field(default_factory=dict)
    delays: dict[str, list[str]] = field(default_factory=dict)
    row_inputs: set[str] = field(default_factory=set)
    later: set[str] = field(default_factory=set)
    end_loss: str = ""
    # By identity: each holds its key's expression, so that no other can take its place.
    cache: dict[tuple[int, str], tuple[Piece, Piece]] = field(default_factory=dict)

    def rewrite(self) -> Rewritten:
        """All equations, those of starts first."""
        self.row_inputs = self._row_inputs()
        self.taken = {
            *(e.name for e in self.equations),
            *(d.name for d in self.declarations),
            *(p.name for e in self.equations for p in e.expression.parts()),
        }
        self.later = {e.name for e in self.equations if e.when == ""}
        for equation in self.equations:
            if equation.when in ("0", "tau+1"):
                self._start(equation)
        for equation in self.equations:
            self._refuse_twice(equation)
            if equation.when == "t" and equation.name == LOSS and self.has_both:
                continue
            if equation.when == "t":
                body = self._at(equation.expression, AT_STEPS)
                self.done.append(replace(equation, expression=body))
            elif equation.when == "":
                self._once(equation)
        if self.has_both:
            self._join_losses()
        if not self.done:
            raise errors.EmptyCellError(
                self.equations[-1].span,
                "every equation is of parameters alone, and none of a step",
                fix="write at least one, such as `h[t] = tanh(W @ h[t-1] + U @ x[t])`",
            )
        times = Times(
            frozenset(self.once), frozenset(self.row_inputs), dict(self.hidden),
            dict(self.starts), {n: tuple(lags) for n, lags in self.delays.items()},
            self.end_loss,
        )  # fmt: skip
        return Rewritten(self.done, [*self.declarations, *self.added], self.like, times)

    def _refuse_twice(self, equation: Equation) -> None:
        """One equation for each name, but for a start beside the steps'."""
        if equation.when in ("0", "tau+1"):
            return
        kinds = (equation.when,) if equation.name == LOSS else ("t", "")
        first = next(e for e in self.equations
                     if e.name == equation.name and e.when in kinds)  # fmt: skip
        if first is not equation:
            raise errors.DuplicateDefinitionError(
                equation.span,
                f"{equation.name} is defined twice; the first time on line "
                f"{first.span.line_number}",
                fix=f"give one of the two another name, such as {equation.name}_2",
            )

    def _row_inputs(self) -> set[str]:
        """Inputs without time: declared, or a bare target of nll."""
        known = {d.name for d in self.declarations if d.is_input}
        for equation in self.equations:
            for part in equation.expression.parts() if equation.when == "" else ():
                target = part.arguments[1] if part.op == "nll" else None
                if target is not None and target.op == "parameter":
                    known.add(target.name)
        defined = {e.name for e in self.equations}
        given = {d.name for d in self.declarations if not d.is_input}
        return known - defined - given

    # ----- once -----

    def _once(self, equation: Equation) -> None:
        """An equation without a step: of parameters, of a row, or of its end."""
        name = equation.name
        parts = list(equation.expression.parts())
        names = {p.name for p in parts if p.op == "parameter"}
        is_late = any(
            p.op == "over_t"
            or (p.op == "read" and p.lag == "tau")
            or (p.op == "clock" and p.data == "tau")
            for p in parts
        ) or any(self.once.get(n) for n in names)
        is_of_row = bool(names & (self.row_inputs | self.once.keys()))
        for part in parts:
            is_timed = part.op == "read" and part.lag != "tau"
            is_timed |= part.op == "clock" and part.data == "t"
            if is_timed and not _is_inside(part, parts):
                raise errors.OutOfTimeError(
                    part.span,
                    f"{part.name} has a step here, but {name} has none",
                    fix=f"{name}[t] = ..., or {part.name}[tau] for the value of the "
                    "last step, sum(t, ...) or mean(t, ...) for one of all steps",
                )
        if not (is_late or is_of_row or name == LOSS):
            self.static[name] = self._at(equation.expression, AT_STEPS)
            self.later.discard(name)
            return
        body = self._at(equation.expression, AT_END if is_late else AT_STEPS)
        if name == LOSS and self.has_both:
            name = self.end_loss = self.free("L_end")
            self.added.append(Declaration(name, (), None, equation.span))
            equation = replace(equation, name=name)
        elif name == LOSS:
            body = self._when_last(body, equation.span)
        self.once[name] = is_late
        self.later.discard(name)
        self.done.append(replace(equation, expression=body, when="t"))

    @property
    def has_both(self) -> bool:
        """Whether steps have a loss, L[t], and the whole sequence one, L."""
        kinds = {e.when for e in self.equations if e.name == LOSS}
        return kinds >= {"t", ""}

    def _when_last(self, body: Piece, span: Span) -> Piece:
        """The value at a row's last step, else 0, so that a sum over t counts it."""
        zero = Piece("constant", (), span, 0.0)
        return Piece("where", (self.is_last(span), body, zero), span)

    def _join_losses(self) -> None:
        """L[t], and at the last step L, too."""
        steps = next(e for e in self.equations if (e.name, e.when) == (LOSS, "t"))
        body = self._at(steps.expression, AT_STEPS)
        late = self._when_last(read(self.end_loss, 0, steps.span), steps.span)
        both = Piece("add", (body, late), steps.span)
        self.done.append(replace(steps, expression=both))

    # ----- expressions -----

    def _at(self, expr: Piece, mode: str) -> Piece:
        # order-free: an address finds what was made of a piece, which is kept.
        key = (id(expr), mode)
        if key not in self.cache:
            self.cache[key] = (expr, self._new(expr, mode))
        return self.cache[key][1]

    def _new(self, expr: Piece, mode: str) -> Piece:
        if expr.op == "parameter":
            return self._bare(expr, mode)
        if expr.op == "clock":
            return self._clock(expr, mode)
        if expr.op == "over_t":
            return self._over(expr, mode)
        if expr.op == "read":
            return self._read(expr, mode)
        return replace(expr, arguments=tuple(self._at(a, mode) for a in expr.arguments))

    def _bare(self, expr: Piece, mode: str) -> Piece:
        name = expr.name
        if name in self.later:
            raise errors.UseBeforeDefinitionError(
                expr.span,
                f"{name} is read here, but its equation stands below",
                fix="move its equation up",
            )
        if name in self.static:
            return self.static[name]
        if name in self.row_inputs:
            return read(name, 0, expr.span)
        if name not in self.once:
            return expr
        if self.once[name] and mode == AT_STEPS:
            raise errors.OutOfTimeError(
                expr.span,
                f"{name} is known after the last step, and this is an equation of "
                "every step",
                fix="read it in an equation without [t]",
            )
        if self.once[name] and mode == INSIDE:
            return self.at_tau(name, expr)
        return read(name, 0, expr.span)

    def _clock(self, expr: Piece, mode: str) -> Piece:
        if expr.data == "t" and mode == AT_END:
            raise errors.OutOfTimeError(
                expr.span, "t has no value after the last step", fix="tau"
            )
        step = self.step(expr.span)
        if expr.data == "t" or mode == AT_END:
            return read(step, 0, expr.span)
        return self.at_tau(step, expr)

    def _read(self, expr: Piece, mode: str) -> Piece:
        name, lag = expr.name, expr.lag
        if lag == "tau":
            if mode == AT_STEPS:
                raise errors.OutOfTimeError(
                    expr.span,
                    f"{name}[tau] is known after the last step, and this is an "
                    "equation of every step",
                    fix=f"{name}[t], or read {name}[tau] in an equation without [t]",
                )
            if mode == INSIDE:
                return self.at_tau(name, expr)
            return read(name, 0, expr.span)
        assert isinstance(lag, int)
        way = 1 if lag > 0 else -1
        source = name
        for distance in range(1, abs(lag)):
            source = self._delayed(name, source, way * distance, expr.span)
        if lag and source == name and name in self.starts:
            return read(self._before(name, lag, expr.span), 0, expr.span)
        return read(source, way if lag else 0, expr.span)

    def _delayed(self, name: str, source: str, lag: int, span: Span) -> str:
        """The node that holds a value of `lag` steps away."""
        key = ("lag", name, lag)
        if key not in self.made:
            way = 1 if lag > 0 else -1
            label = f"{name}_lag{-lag}" if lag < 0 else f"{name}_ahead{lag}"
            new = self.free(label)
            if source == name and name in self.starts:
                body = read(self._before(name, way, span), 0, span)
            else:
                body = read(source, way, span)
            self.define(key, new, body, ("lag", name, str(lag)))
            self.delays.setdefault(name, []).append(new)
        return self.made[key]

    def _start(self, equation: Equation) -> None:
        name, way = equation.name, -1 if equation.when == "0" else 1
        if not any(e.name == name and e.when == "t" for e in self.equations):
            raise errors.UndefinedNameError(
                equation.span,
                f"{name}[{equation.when}] is a start, but no line defines {name}[t]",
                fix=f"{name}[t] = ...",
            )
        for part in equation.expression.parts():
            if part.op in ("read", "clock", "over_t"):
                raise errors.OutOfTimeError(
                    part.span,
                    "a start is made of parameters and of inputs without time",
                    fix="declare an input without time, `s: n_s = input`, and read s",
                )
        body = self._at(equation.expression, AT_STEPS)
        start = self.free(f"{name}_start")
        self.starts[name] = start
        is_declared = any(d.name == name for d in self.declarations)
        if equation.expression.op == "put" and not is_declared:
            # `h[0, j] = ...` says the rank of h, which is read whole beside its start.
            self.like[name] = read(start, 0, equation.span)
        self.made["start", name] = str(way)
        self.hidden[start] = ("start", name, equation.when)
        self.done.append(Equation(start, body, equation.span))

    def _before(self, name: str, way: int, span: Span) -> str:
        """The state one step earlier, or its start."""
        if self.made["start", name] != str(way):
            return self._refuse_start(name, way, span)
        key = ("before", name)
        if key not in self.made:
            flag = self.flag("begun" if way < 0 else "going", span)
            begun = read(flag, way, span)
            body = Piece(
                "where",
                (begun, read(name, way, span), read(self.starts[name], 0, span)),
                span,
            )
            new = self.free(f"{name}_before" if way < 0 else f"{name}_after")
            self.define(key, new, body, ("lag", name, str(way)))
        return self.made[key]

    def _refuse_start(self, name: str, way: int, span: Span) -> str:
        wrong, right = ("0", "tau+1") if way > 0 else ("tau+1", "0")
        raise errors.OutOfTimeError(
            span,
            f"{name} is read here where {name}[{right}] would be its start, but the "
            f"cell has {name}[{wrong}]",
            fix=f"{name}[{right}] = ...",
        )

    # ----- over all steps -----

    def _over(self, expr: Piece, mode: str) -> Piece:
        if mode == AT_STEPS:
            raise errors.OutOfTimeError(
                expr.span,
                f"{expr.data} over t is known after the last step, and this is an "
                "equation of every step",
                fix="write it in an equation without [t]; h[t-1] carries a sum so far",
            )
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
            body, span = self._at(inner, INSIDE), expr.span
            name = self.numbered(kind)
            self.like[name] = body
            before = read(name, -1, span)
            if kind == "sum":
                total = Piece("add", (before, body), span)
            else:
                begun = read(self.flag("begun", span), -1, span)
                larger = Piece("maximum", (before, body), span)
                total = Piece("where", (begun, larger, body), span)
            self.define(key, name, total, (kind,))
        name = self.made[key]
        if mode == INSIDE:
            return self.at_tau(name, expr)
        return read(name, 0, expr.span)

    def _mean(self, expr: Piece, mode: str) -> Piece:
        total = self._accumulated(expr, mode, "sum")
        steps = self._clock(Piece("clock", (), expr.span, "tau"), mode)
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
        share = self._at(Piece("div", (power, total), span), INSIDE)
        name = self.numbered("softmax")
        # order-free: as above
        self.define(("softmax", id(inner)), name, share, ("softmax",))
        return read(name, 0, span)


def _is_inside(part: Piece, parts: Iterable[Piece]) -> bool:
    """Whether a read stands inside a sum over t."""
    inner = (p.arguments[0] for p in parts if p.op == "over_t")
    return any(part is other for root in inner for other in root.parts())
