"""The derivation of the book's network: equations 10.17-10.28, with what they omit.

Goodfellow, Bengio and Courville, Deep Learning (2016), section 10.2.2. The chains are
written in the notation of `parse`, so they are checked like any other. 10.21 stands in
the order in which its shapes fit; the printed order is the subject of panel 9.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bptt.explain.algebra import expr as e
from bptt.explain.algebra.derive import Derivation
from bptt.explain.algebra.expr import FIRST, TAU, Expr, Time
from bptt.explain.algebra.point import Scope
from bptt.explain.algebra.shape import shape_of
from bptt.explain.instances import Options
from bptt.explain.model import Card, Chain, Group, Link, ShapeNote, Text, Why
from bptt.explain.notation.parse import parse

EQUATIONS = {
    "a": "b + W @ h[t-1] + U @ x[t]",
    "h": "tanh(a[t])",
    "o": "c + V @ h[t]",
    "y_hat": "softmax(o[t])",
    "L": "-log(y_hat[t, y[t]])",
}
ALL = (FIRST, TAU)
INNER = (FIRST, TAU.moved(-1))
LATER = (Time("", 2), TAU)
LAST = (TAU, TAU)
ONCE = (None, None)
Bounds = tuple[Time | None, Time | None]


def is_book(derivation: Derivation) -> bool:
    """Whether a cell is the book's: the same equations, terms of a sum in any order."""
    scope = Scope(derivation.graph)
    if set(derivation.graph.definitions) != set(EQUATIONS):
        return False
    if set(derivation.graph.parameters) != {"U", "W", "V", "b", "c"}:
        return False
    if not scope.is_integer("y") or set(derivation.graph.inputs) != {"x", "y"}:
        return False
    return all(
        _terms(derivation.equation(name)) == _terms(parse(text, scope))
        for name, text in EQUATIONS.items()
    )


def _terms(expr: e.Expr) -> frozenset[e.Expr]:
    return frozenset(expr.terms if isinstance(expr, e.Sum) else (expr,))


@dataclass(frozen=True)
class Line:
    """A chain in notation: sides joined by "=", bounds of t, free letters."""

    text: str
    bounds: Bounds = ALL
    letters: str = ""
    number: str = ""


@dataclass(frozen=True)
class Spec:
    """A card in notation; its texts are `book.ID.title` and so on."""

    id: str
    phase: str
    lines: tuple[Line, ...]
    element: tuple[Line, ...] = ()
    matrix: tuple[Line, ...] = ()
    match: tuple[Line, ...] = ()
    shapes: str = ""
    edges: str = ""
    number: str = ""
    node: str = ""
    boundary: str = ""
    question: str = ""
    letters: Mapping[str, str] = field(default_factory=dict)


SPECS = (
    Spec(
        "a-split", "forward",
        (Line("h[t] = tanh(a[t]) = tanh(b + W @ h[t-1] + U @ x[t])",
              number="10.8-10.9"),),
        element=(Line("a[t,i] = b[i] + sum(j, n_h, W[i,j] * h[t-1,j])"
                      " + sum(j, n_x, U[i,j] * x[t,j])", letters="i:n_h"),
                 Line("h[t,i] = tanh(a[t,i])", letters="i:n_h")),
        matrix=(Line("a[t] = b + W @ h[t-1] + U @ x[t]", number="10.8"),
                Line("o[t] = c + V @ h[t]", number="10.10"),
                Line("y_hat[t] = softmax(o[t])", number="10.11")),
        shapes="a[t]; b; W; h[t-1]; U; x[t]; o[t]; c; V", number="10.8-10.11",
        edges="h-1>a b>a W>a U>a x>a a>h h>o c>o V>o o>y_hat",
    ),
    Spec(
        "10.17", "loss",
        (Line("L = sum(t, 1, tau, {times}L[t])", ONCE),
         Line("grad_L[t] = partial(L, L[t]) = {weight}", number="10.17")),
        element=(Line("partial(L, L[t]) = sum(s, 1, tau, {weight_s}partial(L[s], L[t]))"
                      " = {weight}"),),
        shapes="L[t]; L", edges="L>", number="10.17", node="L", question="Q1",
    ),
    Spec(
        "10.18", "loss",
        (Line("grad_o[t,i] = partial(L, o[t,i])"
              " = partial(L, L[t]) * partial(L[t], o[t,i])"
              " = {times}(y_hat[t,i] - delta(i, y[t]))",
              letters="i:n_o", number="10.18"),),
        element=(Line("L[t] = -log(y_hat[t, y[t]])"
                      " = -o[t, y[t]] + log(sum(k, n_o, exp(o[t,k])))"),
                 Line("partial(L[t], o[t,i])"
                      " = -delta(i, y[t]) + exp(o[t,i]) / sum(k, n_o, exp(o[t,k]))"
                      " = y_hat[t,i] - delta(i, y[t])", letters="i:n_o"),
                 Line("sum(i, n_o, grad_o[t,i]) = 0")),
        matrix=(Line("grad_o[t] = {times}(y_hat[t] - one_hot(y[t], n_o))"),),
        shapes="grad_o[t]; y_hat[t]; one_hot(y[t], n_o)", edges="o>y_hat y_hat>L L>",
        number="10.18", node="o",
    ),
    Spec(
        "10.19", "nodes",
        (Line("grad_h[tau] = partial(o[tau], h[tau]).T @ grad_o[tau]"
              " = V.T @ grad_o[tau]", LAST, number="10.19"),),
        element=(Line("partial(o[t,i], h[t,j]) = V[i,j]", letters="i:n_o j:n_h"),
                 Line("grad_h[tau,j] = sum(i, n_o, V[i,j] * grad_o[tau,i])", LAST,
                      letters="j:n_h")),
        matrix=(Line("partial(o[t], h[t]) = V"),),
        shapes="V; grad_o[tau]; grad_h[tau]", edges="h>o", number="10.19", node="h",
        boundary="last",
    ),
    Spec(
        "tanh", "nodes",
        (Line("partial(h[t], a[t]) = diag(1 - h[t]**2)"),),
        element=(Line("h[t,i] = tanh(a[t,i]) = (exp(a[t,i]) - exp(-a[t,i]))"
                      " / (exp(a[t,i]) + exp(-a[t,i]))", letters="i:n_h"),
                 Line("partial(h[t,i], a[t,i])"
                      " = ((exp(a[t,i]) + exp(-a[t,i]))**2"
                      " - (exp(a[t,i]) - exp(-a[t,i]))**2)"
                      " / (exp(a[t,i]) + exp(-a[t,i]))**2"
                      " = 1 - ((exp(a[t,i]) - exp(-a[t,i]))"
                      " / (exp(a[t,i]) + exp(-a[t,i])))**2"
                      " = 1 - h[t,i]**2", letters="i:n_h"),
                 Line("partial(h[t,i], a[t,j]) = delta(i, j) * (1 - tanh(a[t,i])**2)"
                      " = delta(i, j) * (1 - h[t,i]**2)", letters="i:n_h j:n_h"),),
        matrix=(Line("partial(h[t], a[t]) = partial(h[t], a[t]).T"),
                Line("partial(h[t+1], h[t]) = diag(1 - h[t+1]**2) @ W", INNER)),
        shapes="diag(1 - h[t]**2); h[t]", edges="a>h", node="a", question="Q3",
    ),
    Spec(
        "10.20", "nodes",
        (Line("grad_h[t] = partial(h[t+1], h[t]).T @ grad_h[t+1]"
              " + partial(o[t], h[t]).T @ grad_o[t]", INNER, number="10.20"),),
        element=(Line("grad_h[t,j]"
                      " = sum(i, n_h, partial(h[t+1,i], h[t,j]) * grad_h[t+1,i])"
                      " + sum(i, n_o, partial(o[t,i], h[t,j]) * grad_o[t,i])", INNER,
                      letters="j:n_h"),),
        shapes="partial(h[t+1], h[t]).T; grad_h[t+1]; partial(o[t], h[t]).T; grad_o[t]",
        edges="h>a+1 h>o", number="10.20", node="h", boundary="inner",
    ),
    Spec(
        "10.21", "nodes",
        (Line("grad_h[t] = partial(h[t+1], h[t]).T @ grad_h[t+1]"
              " + partial(o[t], h[t]).T @ grad_o[t]"
              " = W.T @ diag(1 - h[t+1]**2) @ grad_h[t+1] + V.T @ grad_o[t]", INNER,
              number="10.20-10.21"),),
        element=(Line("partial(h[t+1,i], h[t,j])"
                      " = sum(k, n_h, partial(h[t+1,i], a[t+1,k])"
                      " * partial(a[t+1,k], h[t,j]))"
                      " = (1 - h[t+1,i]**2) * W[i,j]", INNER, letters="i:n_h j:n_h"),),
        matrix=(Line("partial(h[t+1], h[t])"
                     " = partial(h[t+1], a[t+1]) @ partial(a[t+1], h[t])"
                     " = diag(1 - h[t+1]**2) @ W", INNER),),
        match=(Line("partial(h[t+1], h[t]).T"
                    " = partial(a[t+1], h[t]).T @ partial(h[t+1], a[t+1]).T"
                    " = W.T @ diag(1 - h[t+1]**2)", INNER),
               Line("partial(a[t+1], h[t]).T = W.T", INNER),
               Line("partial(h[t+1], a[t+1]).T = diag(1 - h[t+1]**2)", INNER),
               Line("partial(o[t], h[t]).T = V.T")),
        shapes="W.T; diag(1 - h[t+1]**2); grad_h[t+1]; V.T; grad_o[t]",
        edges="h>a+1 a+1>h+1 h>o", number="10.21", node="h", boundary="inner",
        question="Q2",
    ),
    Spec(
        "h0", "more",
        (Line("grad_h[0] = partial(h[1], h[0]).T @ grad_h[1]"
              " = W.T @ diag(1 - h[1]**2) @ grad_h[1]", ONCE),),
        shapes="W.T; diag(1 - h[1]**2); grad_h[1]", edges="h>a+1 a+1>h+1", node="h",
        boundary="start",
    ),
    Spec(
        "copies", "parameters",
        (Line("grad_W = sum(t, 1, tau, grad_W[t])", ONCE),),
        element=(Line("partial(h[t,i], b[t,j]) = delta(i, j) * (1 - h[t,i]**2)",
                      letters="i:n_h j:n_h"),),
        matrix=(Line("partial(h[t], b[t]) = diag(1 - h[t]**2)"),
                Line("total(h[t], b) = partial(h[t], b[t])"
                     " + partial(h[t], h[t-1]) @ total(h[t-1], b)", LATER),
                Line("total(h[t], b) = sum(s, 1, t, total(h[t], b[s]))")),
        shapes="W; grad_W[t]; grad_W; total(h[t], b)", edges="W>a U>a b>a V>o c>o",
    ),
    Spec(
        "10.22", "parameters",
        (Line("grad_c = sum(t, 1, tau, partial(o[t], c[t]).T @ grad_o[t])"
              " = sum(t, 1, tau, grad_o[t])", ONCE, number="10.22"),),
        element=(Line("partial(o[t,i], c[t,j]) = delta(i, j)", letters="i:n_o j:n_o"),),
        matrix=(Line("partial(o[t], c[t]) = eye(n_o)"), Line("grad_c[t] = grad_o[t]")),
        shapes="grad_c; grad_o[t]; partial(o[t], c[t]).T", edges="c>o", number="10.22",
    ),
    Spec(
        "10.23", "parameters",
        (Line("grad_b = sum(t, 1, tau, partial(h[t], b[t]).T @ grad_h[t])"
              " = sum(t, 1, tau, diag(1 - h[t]**2) @ grad_h[t])", ONCE,
              number="10.23"),),
        element=(Line("partial(h[t,i], b[t,j]) = delta(i, j) * (1 - h[t,i]**2)",
                      letters="i:n_h j:n_h"),),
        matrix=(Line("partial(h[t], b[t]) = partial(h[t], a[t]) @ partial(a[t], b[t])"
                     " = diag(1 - h[t]**2)"),
                Line("grad_b[t] = diag(1 - h[t]**2) @ grad_h[t]")),
        shapes="grad_b; diag(1 - h[t]**2); grad_h[t]", edges="b>a a>h", number="10.23",
    ),
    Spec(
        "10.24", "parameters",
        (Line("grad_V = sum(t, 1, tau, grad_V[t]) = sum(t, 1, tau, grad_o[t] @ h[t].T)",
              ONCE, number="10.24"),),
        element=(Line("partial(o[t,i], V[t,j,k]) = delta(i, j) * h[t,k]",
                      letters="i:n_o j:n_o k:n_h"),
                 Line("grad_V[j,k]"
                      " = sum(t, 1, tau, sum(i, n_o, partial(L, o[t,i])"
                      " * partial(o[t,i], V[t,j,k])))"
                      " = sum(t, 1, tau, grad_o[t,j] * h[t,k])", ONCE,
                      letters="j:n_o k:n_h")),
        matrix=(Line("grad_V[t] = grad_o[t] @ h[t].T"),),
        shapes="grad_V; grad_o[t]; h[t].T", edges="V>o", number="10.24",
    ),
    Spec(
        "10.26", "parameters",
        (Line("grad_W = sum(t, 1, tau, grad_W[t])"
              " = sum(t, 1, tau, diag(1 - h[t]**2) @ grad_h[t] @ h[t-1].T)", ONCE,
              number="10.25-10.26"),),
        element=(Line("partial(h[t,i], W[t,j,k])"
                      " = delta(i, j) * (1 - h[t,i]**2) * h[t-1,k]",
                      letters="i:n_h j:n_h k:n_h"),
                 Line("grad_W[j,k]"
                      " = sum(t, 1, tau, sum(i, n_h, grad_h[t,i]"
                      " * partial(h[t,i], W[t,j,k])))"
                      " = sum(t, 1, tau, (1 - h[t,j]**2) * grad_h[t,j] * h[t-1,k])",
                      ONCE,
                      letters="j:n_h k:n_h")),
        matrix=(Line("grad_W[t] = diag(1 - h[t]**2) @ grad_h[t] @ h[t-1].T"),),
        shapes="grad_W; diag(1 - h[t]**2); grad_h[t]; h[t-1].T", edges="W>a a>h",
        number="10.26",
    ),
    Spec(
        "10.28", "parameters",
        (Line("grad_U = sum(t, 1, tau, grad_U[t])"
              " = sum(t, 1, tau, diag(1 - h[t]**2) @ grad_h[t] @ x[t].T)", ONCE,
              number="10.27-10.28"),),
        element=(Line("partial(h[t,i], U[t,j,k])"
                      " = delta(i, j) * (1 - h[t,i]**2) * x[t,k]",
                      letters="i:n_h j:n_h k:n_x"),
                 Line("grad_U[j,k]"
                      " = sum(t, 1, tau, sum(i, n_h, grad_h[t,i]"
                      " * partial(h[t,i], U[t,j,k])))"
                      " = sum(t, 1, tau, (1 - h[t,j]**2) * grad_h[t,j] * x[t,k])", ONCE,
                      letters="j:n_h k:n_x")),
        matrix=(Line("grad_U[t] = diag(1 - h[t]**2) @ grad_h[t] @ x[t].T"),),
        shapes="grad_U; diag(1 - h[t]**2); grad_h[t]; x[t].T", edges="U>a a>h",
        number="10.28",
    ),
    Spec(
        "x", "more",
        (Line("grad_x[t] = partial(h[t], x[t]).T @ grad_h[t]"
              " = U.T @ diag(1 - h[t]**2) @ grad_h[t]"),),
        element=(Line("partial(h[t,i], x[t,j]) = (1 - h[t,i]**2) * U[i,j]",
                      letters="i:n_h j:n_x"),),
        shapes="U.T; diag(1 - h[t]**2); grad_h[t]; grad_x[t]", edges="x>a a>h",
        node="x",
    ),
)  # fmt: skip
WEIGHTS = {
    "sum": {"weight": "1", "weight_s": "", "times": ""},
    "mean": {"weight": "1 / tau", "weight_s": "1 / tau * ", "times": "1 / tau * "},
    "weights": {"weight": "w[t]", "weight_s": "w[s] * ", "times": "w[t] * "},
}
WEIGHTS["last"] = WEIGHTS["weights"]


@dataclass(frozen=True)
class BookMaker:
    """Makes the cards of the book's network, for any way of adding the losses."""

    scope: Scope
    options: Options

    def groups(self) -> tuple[Group, ...]:
        """The cards in the order of the two phases, what comes on request last."""
        cards = [self._card(spec) for spec in SPECS]
        phases = dict.fromkeys(("forward", "loss", "nodes", "parameters", "more"))
        return tuple(
            Group(phase, Text(f"group.{phase}"),
                  tuple(card for card in cards if card.phase == phase))
            for phase in phases
        )  # fmt: skip

    def _card(self, spec: Spec) -> Card:
        key = f"book.{spec.id}"
        variant = f".{self.options.kind}" if spec.id == "10.17" else ""
        why = [Why("rule", Text(f"{key}.rule{variant}"))]
        for kind, lines in (
            ("element", spec.element), ("matrix", spec.matrix), ("match", spec.match),
        ):  # fmt: skip
            if lines:
                chains = tuple(map(self._chain, lines))
                why.append(Why(kind, Text(f"why.{kind}"), chains))
        return Card(
            spec.id, spec.phase, Text(f"{key}.title"), Text(f"{key}.claim{variant}"),
            Text(f"{key}.reason{variant}"), tuple(map(self._chain, spec.lines)),
            why=tuple(why), wrong=Text(f"{key}.wrong{variant}"),
            shapes=self._shapes(spec.shapes), edges=_edges(spec.edges),
            number=spec.number, node=spec.node, boundary=spec.boundary,
            question=spec.question,
        )  # fmt: skip

    def _chain(self, line: Line) -> Chain:
        text = line.text.format(**WEIGHTS[self.options.kind])
        links = tuple(Link(self._side(side)) for side in text.split(" = "))
        letters: dict[str, Any] = dict(pair.split(":") for pair in line.letters.split())
        letters = {letter: _number(dim) for letter, dim in letters.items()}
        return Chain(links, *line.bounds, letters, line.number)

    def _side(self, text: str) -> Expr:
        """One side; ∂L/∂o_i stays a fraction, and is not (∇_o L)_i once more."""
        found = parse(text, self.scope)
        if text.startswith("partial(L, ") and isinstance(found, e.Element):
            assert isinstance(found.of, e.Nabla)
            return e.Jacobian(e.Value("L"), e.Element(found.of.of, found.indices))
        return found

    def _shapes(self, text: str) -> tuple[ShapeNote, ...]:
        exprs = [parse(part, self.scope) for part in text.split(";") if part.strip()]
        return tuple(ShapeNote(x, shape_of(x, self.scope)) for x in exprs)


def _number(dim: str) -> str | int:
    return int(dim) if dim.isdigit() else dim


def _edges(text: str) -> tuple[tuple[str, int, str, int], ...]:
    """`h-1>a`: from h at t - 1 to a at t; `L>`: from L^(t) to L."""
    found = []
    for edge in text.split():
        source, target = edge.split(">")
        found.append((*_place(source), *_place(target)))
    return tuple(found)


def _place(text: str) -> tuple[str, int]:
    for sign in "+-":
        name, found, number = text.partition(sign)
        if found:
            return name, int(sign + number)
    return text, 0
