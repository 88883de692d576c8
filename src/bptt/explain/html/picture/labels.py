"""What is written on an arrow: its Jacobian as an expression, in print and in short.

h^(t-1) -> a^(t)   W                        x^(t) -> a^(t)   U
h^(t-1) -> h^(t)   diag(1 - (h^(t))^2) W    a folded away: the product across it
W -> a^(t)         e_i h^(t-1)T             slice i: what e_i, pulled back, gives
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bptt.explain.algebra import expr as e
from bptt.explain.algebra.derive import Derivation, Reading, read_of
from bptt.explain.algebra.expr import Expr, T, Time, Value
from bptt.explain.html.picture.drawn import Arrow
from bptt.explain.notation.plain import to_unicode
from bptt.step.graph import name_of

LONGEST = 28  # characters beside an arrow
LETTERS = "ikjlm"
GIVEN = ("g", "delta", "u", "v", "w", "nu", "mu", "xi", "eta", "zeta", "kappa", "rho")


@dataclass(frozen=True)
class Labels:
    """Expressions for the arrows of a cell.

    weights: whether every w_t is 1, so that L^(t) -> L carries a plain 1.
    """

    derivation: Derivation
    is_plain_sum: bool
    _forms: dict[str, Expr | None] = field(default_factory=dict, compare=False)
    _turned: dict[str, Expr | None] = field(default_factory=dict, compare=False)
    _long: dict[str, int] = field(default_factory=dict, compare=False)
    _lines: dict[str, tuple[tuple[str, str], ...]] = field(
        default_factory=dict, compare=False
    )

    def general(self, arrow: Arrow) -> Expr:
        """∂target/∂source, as a symbol."""
        target = Value(arrow.target.name, None if arrow.target.t is None else T)
        return e.Jacobian(target, self._source(arrow))

    def _source(self, arrow: Arrow) -> Value:
        lag = arrow.kind.lag
        # A parameter is used through its copy of this step.
        return Value(arrow.kind.source, T.moved(lag or 0))

    def form(self, arrow: Arrow) -> Expr | None:
        """The cell's own form of the Jacobian; None where no gradient passes.

        For a parameter matrix slice i of it, what pulling e_i back gives.
        """
        if arrow.jacobian is None:
            return None
        if arrow.target.kind == "total":
            return self._to_total(arrow)
        if arrow.card not in self._forms:  # the same at every step
            self._forms[arrow.card] = self._form(arrow)
        return self._forms[arrow.card]

    def _form(self, arrow: Arrow) -> Expr | None:
        reading = Reading(arrow.kind.source, arrow.kind.lag or 0,
                          arrow.kind.lag is None)  # fmt: skip
        if self.derivation.rank(reading.name) == 2:
            return self._slice(arrow.target.name, reading, arrow.across)
        return self._across(arrow.target.name, reading, arrow.across)

    def _to_total(self, arrow: Arrow) -> Expr | None:
        if arrow.kind.source != self.derivation.graph.loss:
            return None
        return e.Number(1.0) if self.is_plain_sum else e.Weight(T)

    def _across(
        self, target: str, reading: Reading, across: tuple[str, ...]
    ) -> Expr | None:
        """The sum over the ways from a reading to the target across folded nodes."""
        fused = self._fused(target, reading, across)
        if fused is not None:
            return fused
        terms = []
        for found in self.derivation.readings(target):
            outer = self.derivation.jacobian(target, found)
            if outer is None:
                continue
            if found == reading:
                terms.append(outer)
            elif found.name in across and found.lag == 0:
                inner = self._across(found.name, reading, across)
                if inner is not None:
                    terms.append(e.product(outer, inner))
        return e.total(*terms) if terms else None

    def _fused(
        self, target: str, reading: Reading, across: tuple[str, ...]
    ) -> Expr | None:
        """(p - e_y)^T where L = -log p_y, p = softmax(o), and o is read (10.18).

        p is an inner node folded away, or stands inside the loss itself.
        """
        definitions = self.derivation.graph.definitions
        loss = definitions[target].inputs[0]
        if loss.op != "nll":
            return None
        shown = self.derivation.equation(target)
        index = next(x for x in e.walk(shown) if isinstance(x, e.Element)).indices[0]
        p = loss.inputs[0]
        name = name_of(p) if p.op == "named" else ""
        if name and name not in across:
            return None
        soft = definitions[name].inputs[0] if name else p
        if soft.op != "softmax" or read_of(soft.inputs[0]) != reading:
            return None
        assert isinstance(index, Value)
        prediction = Value(name, T) if name else e.Applied("softmax", (reading.value,))
        unit = e.UnitVector(
            index, str(self.derivation.graph.definitions[reading.name].shape[0])
        )
        return e.Transpose(e.minus(prediction, unit))

    def _slice(
        self, target: str, reading: Reading, across: tuple[str, ...]
    ) -> Expr | None:
        """What e_i, or the gradient that reaches a folded node from it, gives."""
        names = {*self.derivation.graph.definitions, *self.derivation.graph.inputs}
        letter = next(letter for letter in LETTERS if letter not in names)
        unit = e.Element(Value("e"), (letter,))
        return self.pulled(target, unit, reading, across)

    def pulled(
        self, target: str, grad: Expr, reading: Reading, across: tuple[str, ...]
    ) -> Expr | None:
        """What `grad`, the gradient of the target, gives to a reading, across nodes."""
        terms = []
        for found, pulled in self.derivation.pulled(target, grad).items():
            if pulled is None:
                continue
            if found == reading:
                terms.append(pulled)
            elif found.name in across and found.lag == 0:
                inner = self.pulled(found.name, pulled, reading, across)
                if inner is not None:
                    terms.append(inner)
        return e.total(*terms) if terms else None

    # ----- in one line -----

    def lines(self, arrow: Arrow) -> tuple[tuple[str, str], ...]:
        """(forward, backward): the Jacobian and its transpose; the symbols last."""
        if arrow.jacobian is None:
            return ()
        if arrow.key not in self._lines:
            self._lines[arrow.key] = self._found_lines(arrow)
        return self._lines[arrow.key]

    def _found_lines(self, arrow: Arrow) -> tuple[tuple[str, str], ...]:
        symbols = self.symbol(arrow), self.turned_symbol(arrow)
        form, turned = self.form(arrow), self.turned(arrow)
        if form is None or turned is None:
            return (symbols,)
        if arrow.t >= self._long.get(arrow.card, arrow.t + 1):
            return (symbols,)
        found = []
        for side in (form, turned):
            found.append(_line(side, arrow.t))
            if len(found[-1]) > LONGEST or found[-1].count("{") > 1:
                if "⁻" not in found[-1]:
                    # At no later step is it shorter: a step has as many digits or more.
                    self._long[arrow.card] = arrow.t
                return (symbols,)
        return (found[0], found[1]), symbols

    def short(self, arrow: Arrow) -> str:
        """The form at the arrow's own step in one line; the symbol if that is long."""
        lines = self.lines(arrow)
        return lines[0][0] if lines else ""

    def symbol(self, arrow: Arrow) -> str:
        """`∂i/∂x`; `∂i/∂h′` of a source a step away, `∂i/∂h⁽ᵗ⁻³⁾` of a delay."""
        if arrow.target.kind == "total":
            return to_unicode(self.general(arrow)).replace("⁽ᵗ⁾", "")
        names = arrow.target.name, arrow.kind.source
        shown = [to_unicode(Value(name)) for name in names]
        lag = arrow.kind.lag or 0
        if abs(lag) > 1:
            shown[1] = to_unicode(Value(names[1], T.moved(lag)))
        return "∂{}/∂{}".format(*shown) + ("′" if abs(lag) == 1 else "")

    # ----- backward -----

    def turned(self, arrow: Arrow) -> Expr | None:
        """The transpose, which multiplies what arrives at the arrow's target.

        For a parameter matrix, whose Jacobian has three axes, the matrix that comes of
        it: with `given` for what arrives.
        """
        form = self.form(arrow)
        if form is None or arrow.target.kind == "total":
            return form
        if arrow.card not in self._turned:
            self._turned[arrow.card] = self._turn(arrow, form)
        return self._turned[arrow.card]

    def _turn(self, arrow: Arrow, form: Expr) -> Expr | None:
        reading = Reading(arrow.kind.source, arrow.kind.lag or 0,
                          arrow.kind.lag is None)  # fmt: skip
        if self.derivation.rank(reading.name) == 2:
            given = Value(self.given)
            return self.pulled(arrow.target.name, given, reading, arrow.across)
        return e.transpose(form)

    @property
    def given(self) -> str:
        """A letter for the gradient that arrives at an arrow's target."""
        graph = self.derivation.graph
        names = {*graph.definitions, *graph.inputs, *graph.parameters}
        return next(letter for letter in GIVEN if letter not in names)

    def turned_symbol(self, arrow: Arrow) -> str:
        """`(∂i/∂x)ᵀ`."""
        return f"({self.symbol(arrow)})ᵀ"


class SymbolLabels(Labels):
    """Labels of a cell with indices: its Jacobians are symbols, ∂S/∂k."""

    def _form(self, arrow: Arrow) -> Expr | None:
        return None


def _line(form: Expr, t: int) -> str:
    if isinstance(form, e.Identity):
        return "I"
    return to_unicode(e.at_step(form, Time("", t)))
