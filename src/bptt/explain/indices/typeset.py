"""Lines of the language of cells as formulas, for LaTeX and MathML.

    outer(grad_o[t, j], q[t, j])          ∇_{o_j^(t)} L  q_j^(t)ᵀ
    sum(j, W[j].T @ g[t, j])              Σ_{j=1}^{n_head} W_jᵀ g_j^(t)
    softmax(j, e[t, j]) * (1 - z[t])      a number beside a vector is no ⊙

A line is read for its form alone; `indices.printed` reads the LaTeX of what is made
here back into the language, and that is computed and compared.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from bptt.explain.algebra import expr as e
from bptt.explain.algebra import written as w
from bptt.explain.algebra.expr import FIRST, TAU, Expr, T, Time
from bptt.explain.algebra.point import Scope
from bptt.explain.indices.ranks import ALONG, rank_of_call, ranks_of_labels
from bptt.step.graph import Graph
from bptt.step.shapes import Dim

Ranked = tuple[Expr, int]
RELATIONS: dict[type[ast.cmpop], str] = {
    ast.Gt: "greater", ast.GtE: "greater_equal", ast.Eq: "equal"
}  # fmt: skip
_STEP = re.compile(r"t(?:([+-])(\d+))?")


class NoFormulaError(Exception):
    """A line has something that no formula is made of; it is shown as typed."""


@dataclass(frozen=True, eq=False)
class Typesetter:
    """Makes formulas of one cell's lines."""

    graph: Graph
    _known: dict[str, Expr | None] = field(default_factory=dict, repr=False)

    @cached_property
    def _scope(self) -> Scope:
        return Scope(self.graph)

    def formula(self, text: str, letters: Mapping[str, Dim] | None = None) -> e.Written:
        """The text, with its formula where there is one.

        letters: the dimensions of indices that the cell does not have.
        """
        if text not in self._known:
            self._known[text] = self._made(text, letters or {})
        return e.Written(text, self._known[text])

    def _made(self, text: str, letters: Mapping[str, Dim]) -> Expr | None:
        try:
            tree = ast.parse(with_joined(text), mode="eval").body
            labels = ranks_of_labels(self.graph)
            maker = _FormulaMaker(self.graph, self._scope, letters, labels)
            return maker.make(tree)[0]
        except (NoFormulaError, SyntaxError, RecursionError):
            return None


def with_joined(text: str) -> str:
    """`[u; v]` as a call, which Python's grammar has."""
    opened: list[tuple[int, bool]] = []
    found = list(text)
    for at, sign in enumerate(text):
        if sign == "[":
            before = text[:at].rstrip()[-1:]
            opened.append((at, before.isalnum() or before in tuple("_])")))
        elif sign == "]" and opened:
            start, is_read = opened.pop()
            if not is_read:
                found[start], found[at] = "_joined(", ")"
        elif sign == ";":
            found[at] = ","
    return "".join(found)


@dataclass(frozen=True, eq=False)
class _FormulaMaker:
    """One line: what Python's grammar finds in it, as a formula with its rank."""

    graph: Graph
    scope: Scope
    letters: Mapping[str, Dim]
    labels: Mapping[str, int]

    def make(self, node: ast.expr) -> Ranked:
        """The formula and its rank."""
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            return e.Number(float(node.value)), 0
        if isinstance(node, ast.Name | ast.Subscript):
            return self._read(node)
        if isinstance(node, ast.Attribute) and node.attr == "T":
            of, rank = self.make(node.value)
            return _turned(of), rank
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            of, rank = self.make(node.operand)
            return _negative(of), rank
        if isinstance(node, ast.BinOp):
            return self._operation(node)
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            sides = self.make(node.left), self.make(node.comparators[0])
            name = RELATIONS.get(type(node.ops[0]))
            if name:
                (u, first), (v, second) = sides
                return e.Applied(name, (u, v)), max(first, second)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            return self._call(node.func.id, node.args)
        raise NoFormulaError

    # ----- names -----

    def _read(self, node: ast.Name | ast.Subscript) -> Ranked:
        """A name with what stands in its brackets."""
        if isinstance(node, ast.Name):
            return self._named(node.id, [])
        inside = node.slice
        places = inside.elts if isinstance(inside, ast.Tuple) else [inside]
        if isinstance(node.value, ast.Name):
            return self._named(node.value.id, places)
        of, rank = self.make(node.value)
        if isinstance(places[0], ast.Slice):
            return e.Applied("lookup", (of, self._value(places[1]))), 1
        return e.Element(of, self._places(places)), rank - _taken(places)

    def _named(self, name: str, places: list[ast.expr]) -> Ranked:
        if name == "weight":
            return e.Weight(T), 0
        for prefix, whole, part in _GRADIENTS:
            own = name.removeprefix(prefix)
            if own != name and own in self.scope.names:
                value, rank = self._named(own, places)
                return _gradient(whole, part, value), rank
        if name in self.labels:
            of, rank = e.Value(name), self.labels[name]
            if not places:
                return of, rank
            return e.Element(of, self._places(places)), rank - _taken(places)
        if name not in self.scope.names:
            return self._number(name, places)
        return self._value_at(name, places)

    def _number(self, name: str, places: list[ast.expr]) -> Ranked:
        """An index or the size of a dimension."""
        is_known = name in self.graph.indices or name in (*self.letters, "tau")
        if places or not (is_known or name in self.scope.dims):
            raise NoFormulaError
        return e.Size(name), 0

    def _value_at(self, name: str, places: list[ast.expr]) -> Ranked:
        rank = len(self.scope.core(name))
        time, rest = None, places
        if places and _is_step(places[0]):
            time, rest = _time(places[0]), places[1:]
        value = e.Value(name, time)
        if not rest:
            return value, rank
        if isinstance(rest[0], ast.Slice):
            return e.Applied("lookup", (value, self._value(rest[1]))), rank - 1
        read = self._places(rest)
        whole: Expr = value
        if any(f"{name}_{place}" in self.scope.names for place in read):
            whole = e.Sum((value,))  # in brackets: (s^(t))_3 is not the name s_3
        return e.Element(whole, read), rank - _taken(rest)

    def _places(self, places: list[ast.expr]) -> tuple[str | e.Value, ...]:
        if any(_is_dots(place) for place in places):
            *before, first, _, last = places
            part = f"{_text(first)},...,{_text(last)}"
            return (*map(self._place, before), part)
        return tuple(map(self._place, places))

    def _place(self, place: ast.expr) -> str | e.Value:
        return self._value(place) if isinstance(place, ast.Subscript) else _text(place)

    def _value(self, node: ast.expr) -> e.Value:
        if isinstance(node, ast.Subscript):
            found, _ = self._read(node)
            if isinstance(found, e.Value):
                return found
        raise NoFormulaError

    # ----- operations -----

    def _operation(self, node: ast.BinOp) -> Ranked:
        (left, first), (right, second) = self.make(node.left), self.make(node.right)
        rank = max(first, second)
        if isinstance(node.op, ast.Add | ast.Sub):
            last = right if isinstance(node.op, ast.Add) else _negative(right)
            terms = left.terms if isinstance(left, e.Sum) else (left,)
            return e.Sum((*terms, last)), rank
        if isinstance(node.op, ast.Mult):
            return _times((left, first), (right, second)), rank
        if isinstance(node.op, ast.MatMult):
            return _product((left, first), (right, second)), second
        if isinstance(node.op, ast.Div):
            return e.Quotient(left, right), rank
        if isinstance(node.op, ast.Pow):
            return e.Power(left, right), rank
        raise NoFormulaError

    def _call(self, name: str, args: list[ast.expr]) -> Ranked:
        if len(args) == 2 and isinstance(args[0], ast.Name) and name in ALONG:
            return self._along(name, args[0].id, args[1])
        if name == "_joined":
            return w.Joined(tuple(self.make(part)[0] for part in args)), 1
        if name in ("eye", "one_hot", "one_hot_of"):
            return self._unit(name, args[0])
        made = [self.make(arg) for arg in args]
        parts, ranks = tuple(u for u, _ in made), [rank for _, rank in made]
        rank = rank_of_call(name, ranks)
        if rank is None:
            raise NoFormulaError
        if name in FORMS and len(parts) == FORMS[name][0]:
            return FORMS[name][1](parts), rank
        if name == "fill" and ranks == [0, 0] and isinstance(args[1], ast.Name):
            return e.Product((parts[0], e.Ones(args[1].id))), 1
        return w.Called(name, parts), rank

    def _along(self, name: str, index: str, body: ast.expr) -> Ranked:
        of, rank = self.make(body)
        if name != "sum":
            return w.Called(name, (of,), index), rank
        if index == "t":
            return e.Sigma("t", FIRST, TAU, of), rank
        first, dim = self.graph.indices.get(index, (1, self.letters.get(index)))
        if dim is None:
            raise NoFormulaError
        last = first + dim - 1 if isinstance(dim, int) else str(dim)
        return e.Sigma(index, Time("", first), last, of), rank

    def _unit(self, name: str, argument: ast.expr) -> Ranked:
        """eye(n_h), one_hot(y[t])."""
        if name == "eye":
            return e.Identity(_text(argument)), 2
        return e.UnitVector(self._value(argument), ""), 1


FORMS: dict[str, tuple[int, Callable[[tuple[Expr, ...]], Expr]]] = {
    "dot": (2, lambda u: e.product(_turned(u[0]), u[1])),
    "outer": (2, lambda u: e.product(u[0], _turned(u[1]))),
    "diag": (1, lambda u: e.Diag(u[0])),
    "abs": (1, lambda u: e.Applied("abs", u)),
    "sqrt": (1, lambda u: e.Applied("sqrt", u)),
}


_GRADIENTS = (
    ("grad_", e.Nabla, w.NablaPart), ("incoming_", e.Incoming, w.IncomingPart)
)  # fmt: skip


def _gradient(
    whole: type[e.Nabla] | type[e.Incoming],
    part: type[w.NablaPart] | type[w.IncomingPart],
    value: Expr,
) -> Expr:
    """∇_{S_j} L; of one place (∇_s L)_1, as s_1 may be a name with its own gradient."""
    if not isinstance(value, e.Element):
        assert isinstance(value, e.Value)
        return whole(value)
    inner = value.of.terms[0] if isinstance(value.of, e.Sum) else value.of
    assert isinstance(inner, e.Value)
    if any(str(place).isdigit() for place in value.indices):
        return e.Element(whole(inner), value.indices)
    return part(e.Element(inner, value.indices))


def _negative(of: Expr) -> Expr:
    return of.of if isinstance(of, e.Negative) else e.Negative(of)


def _times(left: Ranked, right: Ranked) -> Expr:
    """Element by element; a number stands before what it scales."""
    (u, first), (v, second) = left, right
    if isinstance(u, e.Negative) or isinstance(v, e.Negative):
        inner = _times((_bare(u), first), (_bare(v), second))
        is_minus = isinstance(u, e.Negative) != isinstance(v, e.Negative)
        return e.Negative(inner) if is_minus else inner
    if first and second:
        factors = u.factors if isinstance(u, e.Hadamard) else (u,)
        return e.Hadamard((*factors, v))
    if first and not second:
        u, v, second = v, u, first
    if isinstance(v, e.Product) and second:
        return e.Product((u, *v.factors))
    return e.Product((u, v))


def _turned(of: Expr) -> Expr:
    """The transpose; of a product it is not taken apart, as numbers may be in it."""
    if isinstance(of, e.Product | e.Sum | e.Negative | e.Quotient):
        return e.Transpose(of)
    return e.transpose(of)


def _bare(of: Expr) -> Expr:
    return of.of if isinstance(of, e.Negative) else of


def _product(left: Ranked, right: Ranked) -> Expr:
    """A B: what is a product itself goes on, but for a number's."""
    (u, first), (v, second) = left, right
    if isinstance(u, e.Negative):
        return e.Negative(_product((u.of, first), right))
    if first and second:
        return e.product(u, v)
    return e.Product((u, v))


def _is_dots(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is ...


def _taken(places: list[ast.expr]) -> int:
    """How many dimensions places take away; a part of a vector takes none."""
    return len(places) - (3 if any(map(_is_dots, places)) else 0)


def _text(node: ast.expr) -> str:
    return ast.unparse(node).replace(" ", "")


def _is_step(node: ast.expr) -> bool:
    names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
    return bool(names & {"t", "tau"})


def _time(node: ast.expr) -> Time:
    text = _text(node)
    found = _STEP.fullmatch(text)
    if found is None:
        return TAU if text == "tau" else Time(text)
    return Time("t", int(f"{found[1]}{found[2]}") if found[1] else 0)
