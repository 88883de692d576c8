"""What stands before, after and across time, written as equations at every step.

A cell is one time step. What its text says of other times becomes equations of that
step, with names of their own, so that every room below knows steps alone:

    h[t-3]              h_lag1[t] = h[t-1];  h_lag2[t] = h_lag1[t-1];  read h_lag2[t-1]
    x[t-1] and x[t+1]   x_after[t] = x[t];  read x[t-1] and x_after[t+1]
    h[0] = f            h_before[t] = where(begun[t-1] > 0, h[t-1], h_start[t])
    o = c + V @ h[tau]  computed at every step, and of value at each row's last one
    sum(t, e[t])        sum_t1[t] = sum_t1[t-1] + e[t], of value at the last step
    t, tau              step[t] = step[t-1] + 1, at the last step tau
    a value of the last step inside a sum    a_tau[t] = where(last, a[t], a_tau[t+1])

`begun` is 1 from the first step on and `going` up to the last: read one step earlier or
later they tell where a row begins and ends, ragged or not.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace

from bptt import errors
from bptt.errors import Span
from bptt.language.over_time import AT_END, AT_STEPS, INSIDE, OverTime
from bptt.language.timeless import row_inputs
from bptt.language.tree import (
    LOSS,
    Declaration,
    Equation,
    Piece,
    bare_names,
    read,
    reads_end,
)
from bptt.step.graph import Times


@dataclass
class Rewritten:
    """Equations of one step; like: names whose shape is that of an expression."""

    equations: list[Equation]
    declarations: list[Declaration]
    like: dict[str, Piece]
    times: Times


def rewrite_times(
    equations: list[Equation],
    declarations: list[Declaration],
    held: Collection[str] = (),
) -> Rewritten:
    """The cell as equations of one step.

    held: names without a step that have an equation for every place.

    Raises: OutOfTimeError, UseBeforeDefinitionError, DuplicateDefinitionError,
    EmptyCellError.
    """
    is_plain = all(
        e.when == "t" and not _asks_for_more(e.expression) for e in equations
    )
    both_ways = _read_both_ways(equations)
    if is_plain and not both_ways and not any(d.is_input for d in declarations):
        return Rewritten(equations, declarations, {}, Times())
    return _Rewriter(
        equations=equations, declarations=declarations, held=held, both_ways=both_ways
    ).rewrite()


def _asks_for_more(expr: Piece) -> bool:
    return any(
        part.op in ("clock", "over_t")
        or (part.op == "read" and part.lag not in (-1, 0, 1))
        for part in expr.parts()
    )


def _read_both_ways(equations: Iterable[Equation]) -> set[str]:
    """The names read at an earlier step and at a later one."""
    earlier: set[str] = set()
    later: set[str] = set()
    for equation in equations:
        for part in equation.expression.parts():
            if part.op == "read" and isinstance(part.lag, int) and part.lag:
                (earlier if part.lag < 0 else later).add(part.name)
    return earlier & later


@dataclass
class _Rewriter(OverTime):
    """Rewrites equations in order; each may bring others that stand before it."""

    equations: list[Equation] = field(default_factory=list)
    declarations: list[Declaration] = field(default_factory=list)
    held: Collection[str] = ()
    both_ways: Collection[str] = ()
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
        self.row_inputs = row_inputs(self.equations, self.declarations)
        self.taken = {
            *(e.name for e in self.equations),
            *(d.name for d in self.declarations),
            *(p.name for e in self.equations for p in e.expression.parts()),
        }
        self.later = {e.name for e in self.equations if e.when == ""}
        starts = [e for e in self.equations if e.when in ("0", "tau+1")]
        first = self._before_starts(starts)
        for equation in first:
            self._once(equation)
        for equation in starts:
            self._start(equation)
        for equation in self.equations:
            self._refuse_twice(equation)
            if equation in first:
                continue
            if equation.when == "t" and equation.name == LOSS and self.has_both:
                continue
            if equation.when == "t":
                self._step(equation)
            elif equation.when == "":
                self._once(equation)
        self._refuse_declared_static()
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

    def _refuse_declared_static(self) -> None:
        for declaration in self.declarations:
            if declaration.name in self.static:
                raise errors.DeclarationError(
                    declaration.span,
                    f"{declaration.name} is a name for an expression of parameters, "
                    "whose shape follows from theirs",
                    fix="remove this declaration, and declare the parameters",
                )

    def _step(self, equation: Equation) -> None:
        body = self.rewrite_at(equation.expression, AT_STEPS)
        self.done.append(replace(equation, expression=body))
        if equation.name in self.both_ways:
            self._define_twin(equation.name, equation.span)

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

    # ----- once -----

    def _before_starts(self, starts: Iterable[Equation]) -> list[Equation]:
        """The equations of a row that starts read, and those that these read."""
        once = {e.name: e for e in self.equations if e.when == ""}
        needed: dict[str, Equation] = {}
        waiting = [(name, e) for e in starts for name in bare_names(e.expression)]
        while waiting:
            name, reader = waiting.pop()
            equation = once.get(name)
            if equation is None or name in needed:
                continue
            if reads_end(equation.expression):
                raise errors.OutOfTimeError(
                    reader.span,
                    f"{name} is known after the last step, and the start waits for it",
                    fix="a start is made of parameters and of inputs without time",
                )
            needed[name] = equation
            waiting += [(n, reader) for n in bare_names(equation.expression)]
        return [e for e in self.equations if needed.get(e.name) is e]

    def _once(self, equation: Equation) -> None:
        """An equation without a step: of parameters, of a row, or of its end."""
        name = equation.name
        parts = list(equation.expression.parts())
        names = bare_names(equation.expression)
        is_late = reads_end(equation.expression)
        is_late |= any(self.once.get(n) for n in names)
        is_of_row = any(n in self.row_inputs or n in self.once for n in names)
        is_of_row |= name in self.held
        for part in parts:
            is_timed = part.op == "read" and part.lag != "tau"
            is_timed |= part.op == "clock" and part.data == "t"
            if is_timed and not _is_inside(part, parts):
                shown = equation.span.text
                stepped = shown.replace("[", "[t, ") if "[" in shown else f"{shown}[t]"
                raise errors.OutOfTimeError(
                    part.span,
                    f"{part.name} has a step here, but {shown} has none",
                    fix=f"{stepped} = ..., or {part.name}[tau] for the value of the "
                    "last step, sum(t, ...) or mean(t, ...) for one of all steps",
                )
        if not (is_late or is_of_row or name == LOSS):
            body = self.rewrite_at(equation.expression, AT_STEPS)
            if body.op == "put":  # its line is printed, and its places are read
                body = Piece("labelled", (body,), body.span, name)
            self.static[name] = body
            self.later.discard(name)
            return
        body = self.rewrite_at(equation.expression, AT_END if is_late else AT_STEPS)
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
        body = self.rewrite_at(steps.expression, AT_STEPS)
        late = self._when_last(read(self.end_loss, 0, steps.span), steps.span)
        both = Piece("add", (body, late), steps.span)
        self.done.append(replace(steps, expression=both))

    # ----- expressions -----

    def rewrite_at(self, expr: Piece, mode: str) -> Piece:
        # order-free: an address finds what was made of a piece, which is kept.
        key = (id(expr), mode)
        if key not in self.cache:
            self.cache[key] = (expr, self._new(expr, mode))
        return self.cache[key][1]

    def _new(self, expr: Piece, mode: str) -> Piece:
        if expr.op == "parameter":
            return self._bare(expr, mode)
        if expr.op == "clock":
            return self.clock(expr, mode)
        if expr.op == "over_t":
            return self.over(expr, mode)
        if expr.op == "read":
            return self._read(expr, mode)
        return replace(
            expr, arguments=tuple(self.rewrite_at(a, mode) for a in expr.arguments)
        )

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

    def clock(self, expr: Piece, mode: str) -> Piece:
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
        owner = source = self._carried(name, lag, expr.span)
        for distance in range(1, abs(lag)):
            source = self._delayed(name, (owner, source), way * distance, expr.span)
        if lag and source == name and name in self.starts:
            return read(self._before(name, lag, expr.span), 0, expr.span)
        return read(source, way if lag else 0, expr.span)

    def _carried(self, name: str, lag: int, span: Span) -> str:
        """What is carried to the steps on that side: the name, or its second one.

        A name is carried one way, with a value before the first step or after the last.
        """
        if not lag or name not in self.both_ways:
            return name
        is_later_own = self._is_later_own(name)
        return name if (lag > 0) == is_later_own else self._twin(name, span)

    def _is_later_own(self, name: str) -> bool:
        """Whether a name holds what is after the last step, since it starts there."""
        return self.made.get(("start", name)) == "1"

    def _twin(self, name: str, span: Span) -> str:
        """A second name of a value that is read at earlier and at later steps."""
        key = ("twin", name)
        if key not in self.made:
            side = "before" if self._is_later_own(name) else "after"
            self.made[key] = self.free(f"{name}_{side}")
            # The name's own equation may stand below the first read of the second one.
            self.like[self.made[key]] = read(name, 0, span)
            if not any(e.name == name for e in self.equations):
                self._define_twin(name, span)
        return self.made[key]

    def _define_twin(self, name: str, span: Span) -> None:
        new, written = self._twin(name, span), ("lag", name, "0")
        self.define(("twin", name), new, read(name, 0, span), written)

    def _delayed(
        self, name: str, carried: tuple[str, str], lag: int, span: Span
    ) -> str:
        """The node that holds a value of `lag` steps away.

        carried: what holds the value itself, and what the value one step nearer.
        """
        owner, source = carried
        key = ("lag", name, lag)
        if key not in self.made:
            way = 1 if lag > 0 else -1
            label = f"{owner}_lag{-lag}" if lag < 0 else f"{owner}_ahead{lag}"
            new = self.free(label)
            if source == name and name in self.starts:
                body = read(self._before(name, way, span), 0, span)
            else:
                body = read(source, way, span)
            self.define(key, new, body, ("lag", name, str(lag)))
            self.delays.setdefault(owner, []).append(new)
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
        body = self.rewrite_at(equation.expression, AT_STEPS)
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


def _is_inside(part: Piece, parts: Iterable[Piece]) -> bool:
    """Whether a read stands inside a sum over t."""
    inner = (p.arguments[0] for p in parts if p.op == "over_t")
    return any(part is other for root in inner for other in root.parts())
