"""Expressions with indices to nodes: reads of places, sums along an index, numbers.

The rules: each place takes the first dimension away and joins it to the index's; every
index on the right stands on the left or is summed over; nothing is summed in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from bptt import errors
from bptt.errors import Span
from bptt.language.dimensions import Names, resolve
from bptt.language.indexed import KEEPING, LEAST, Index, PlaceText
from bptt.language.joined import JOINED, JoinedNodes
from bptt.language.tree import Declaration, Equation, Piece
from bptt.step import ops, shapes
from bptt.step.graph import Node, constant
from bptt.step.ops import infer
from bptt.step.places import IndexPlace, PlaceTerm, map_data
from bptt.step.shapes import Dim, DimVar, ShapeRuleError, unify_inferring

INDEXED = (
    "at", "put", "labelled", "whole", "fill", "filled", "over", "index", "size", "eye",
    "diag", *JOINED,
)  # fmt: skip


@dataclass(frozen=True)
class Indices:
    """The indices of a cell and their dimensions, while it is read."""

    declared: Mapping[str, Index]
    dims: Mapping[str, Dim]

    def term(self, name: str, sign: int = 1) -> PlaceTerm:
        """An index as a part of a place."""
        return PlaceTerm(name, self.dims[name], self.declared[name].first, sign)

    def whole(self, name: str) -> IndexPlace:
        """Every place of an index's dimension."""
        return IndexPlace(self.dims[name], (self.term(name),))


def bind_indices(declared: Mapping[str, Index], dims: dict[str, DimVar]) -> Indices:
    """A dimension for every index; one of a name is shared with the declarations."""
    return Indices(declared, {
        name: dims.setdefault(index.size, DimVar(index.size))
        if isinstance(index.size, str) else index.size
        for name, index in declared.items()
    })  # fmt: skip


def count_places(equations: Iterable[Equation]) -> dict[str, int]:
    """Per name, the places it is read with where it is read with the fewest."""
    found: dict[str, int] = {}
    for equation in equations:
        if equation.expression.op == "whole":
            found[equation.name] = core_rank(equation)
        stack = [(equation.expression, 0)]
        while stack:
            expr, n = stack.pop()
            if expr.op in ("read", "parameter"):
                data: Any = expr.data
                name = str(data[0] if expr.op == "read" else data)
                found[name] = min(n, found.get(name, n))
            step = n + 1 if expr.op == "at" else 0
            stack.extend((argument, step) for argument in expr.arguments)
    return found


def core_rank(equation: Equation) -> int:
    """How many places stand on an equation's left."""
    data: Any = equation.expression.data
    if equation.expression.op == "whole":
        return 1 + int(data)
    return len(data) if equation.expression.op == "put" else 0


class IndexedNodes(JoinedNodes):
    """Makes nodes of expressions with indices; `node` makes those of their parts."""

    def __init__(
        self,
        indices: Indices,
        node: Callable[[Piece], Node],
        shape_of: Callable[[str], shapes.Shape],
        known: Callable[[], str],
        show: Callable[[shapes.Shape], str],
        named: dict[str, DimVar],
    ) -> None:
        """`known` and `show` write shapes for messages; named: declared dimensions."""
        self._named = named
        self._joined_setup(node, known)
        self._indices, self._node = indices, node
        self._shape_of, self._known, self._show = shape_of, known, show

    def make(self, expr: Piece) -> Node:
        """The node of one of `INDEXED`."""
        made: Node = getattr(self, f"_{expr.op}")(expr)
        return made

    def _index(self, expr: Piece) -> Node:
        term = self._indices.term(str(expr.data))
        return Node("index", (), (), (term.name, term.dim, term.first))

    def _size(self, expr: Piece) -> Node:
        return Node("size", data=self._dimension(str(expr.data)))

    def _eye(self, expr: Piece) -> Node:
        data: Any = expr.data
        dim = data if isinstance(data, int) else self._dimension(data)
        return Node("eye", (), (dim, dim), dim)

    def _fill(self, expr: Piece) -> Node:
        """A number at every place of a shape."""
        x = self._node(expr.arguments[0])
        data: Any = expr.data
        if x.rank:
            raise self._error(
                expr.span, f"{expr.arguments[0].text} is "
                f"{shapes.RANK_NAMES[x.rank]}: fill takes a scalar",
                "fill(0, n_h)",
            )  # fmt: skip
        shape = tuple(d if isinstance(d, int) else self._dimension(d) for d in data)
        return Node("fill", (x,), shape, shape)

    def _filled(self, expr: Piece) -> Node:
        """A number as the value of one place of a name."""
        shape = self._shape_of(str(expr.data))[1:]
        number = self._node(expr.arguments[0])
        return Node("fill", (number,), shape, shape) if shape else number

    def _dimension(self, name: str) -> Dim:
        """A declared dimension, or n_ and the name of the vector that has it."""
        if "+" in name:
            return self.sum_dim(name, self._dimension)
        if name not in self._named and name.startswith("n_"):
            shape = self._shape_of(name[2:])
            if shape:
                return shape[-1]
        return self._named.setdefault(name, DimVar(name))

    def _diag(self, expr: Piece) -> Node:
        x = self._node(expr.arguments[0])
        if x.rank != 1:
            raise self._error(
                expr.span, f"{expr.arguments[0].text} is "
                f"{shapes.RANK_NAMES[x.rank]}: diag takes a vector",
                "diag(u) of a vector u",
            )  # fmt: skip
        return Node("diag", (x,), (x.shape[0], x.shape[0]))

    def _at(self, expr: Piece) -> Node:
        x = self._node(expr.arguments[0])
        text: Any = expr.data
        assert isinstance(text, PlaceText)
        terms = tuple(self._indices.term(name, sign) for name, sign in text.terms)
        if not x.shape:
            raise self._error(
                expr.span,
                f"{expr.arguments[0].text} is a number, and has no places",
                "read it without this place, or declare it with one dimension more",
            )
        is_alone = len(terms) == 1 and terms[0].sign > 0 and not text.offset
        dim = terms[0].dim if is_alone and not text.is_wrapped else x.shape[0]
        if text.index:
            dim = self._indices.dims[text.index]
        place = IndexPlace(dim, terms, text.offset, text.is_wrapped)
        try:
            shape = infer("at", (x,), place, unify_inferring)
        except ShapeRuleError as error:
            raise errors.DimensionClashError(
                expr.span,
                f"the place in {expr.text} counts another dimension than the first "
                f"of {self._show(x.shape)}: {error.detail}",
                fix="an index of that dimension, or a declaration with its dimensions "
                "in this order",
                shapes=self._known(),
            ) from None
        return Node("at", (x,), shape, place)

    def _put(self, expr: Piece) -> Node:
        names: Any = expr.data
        body = expr.arguments[0]
        x = self._node(body)
        for name, _ in x.indices:
            if name not in names:
                raise self._free(name, body, expr.span)
        for name in reversed(names):
            dim = self._indices.dims[name]
            if name not in dict(x.indices):
                x = Node("index_fill", (x,), x.shape, (name, dim))
            x = ops.put(x, self._indices.whole(name))
        return x

    def _labelled(self, expr: Piece) -> Node:
        """What has places and is made once, with the name that its line gives it."""
        x = self._node(expr.arguments[0])
        data: Any = x.data
        place = replace(data[0], label=str(expr.data))
        return Node("put", x.inputs, x.shape, (place, data[1]))

    def _whole(self, expr: Piece) -> Node:
        """`stack(u, v)`: all places of a name, each with an equation of its own."""
        size = len(expr.arguments)
        parts = [self._node(argument) for argument in expr.arguments]
        for number, part in enumerate(parts[1:], 2):
            try:
                shapes.unify_shapes(unify_inferring, parts[0].shape, part.shape)
            except ShapeRuleError:
                raise errors.DimensionClashError(
                    expr.span,
                    f"place 1 is {shapes.RANK_NAMES[parts[0].rank]} "
                    f"{self._show(parts[0].shape)} and place {number} "
                    f"{shapes.RANK_NAMES[part.rank]} {self._show(part.shape)}",
                    fix="equations of one shape for every place",
                    shapes=self._known(),
                ) from None
        placed = [
            Node("put", (part,), (size, *part.shape), (IndexPlace(size, (), n), ()))
            for n, part in enumerate(parts, 1)
        ]
        found = placed[0]
        for node in placed[1:]:
            found = Node("add", (found, node), found.shape)
        return found

    def check_free(self, x: Node, equation: Equation) -> None:
        """Refuse an index that neither stands on the left nor is summed over."""
        for name, _ in x.indices:
            raise self._free(name, equation.expression, equation.span)

    def _free(self, name: str, body: Piece, span: Span) -> errors.CellError:
        left = span.text
        inner = left.rstrip("]") + f", {name}] = ..."
        return self._error(
            body.span,
            f"{name} is on the right only: {left} is not one for every {name}",
            f"{inner}, or sum({name}, ...)",
        )

    def _over(self, expr: Piece) -> Node:
        data: Any = expr.data
        function, name = data
        x = self._node(expr.arguments[0])
        if name not in dict(x.indices):
            raise self._error(
                expr.span,
                f"{expr.arguments[0].text} has no index {name} to run along",
                f"read something at {name} inside, such as h[t, {name}]",
            )
        if function == "sum":
            return ops.sum_index(x, name)
        dim = self._indices.dims[name]
        if function == "mean":
            size = constant(dim) if isinstance(dim, int) else Node("size", data=dim)
            return ops.sum_index(x, name) / size
        if x.rank:
            raise self._error(
                expr.span,
                f"{function}({name}, ...) takes one number for every {name}, and "
                f"{expr.arguments[0].text} is {shapes.RANK_NAMES[x.rank]}",
                _number_of(expr.arguments[0], name),
            )
        whole = self._indices.whole(name)
        # The minus inside, so that the printed text has it there: -max(j, -u).
        vector = ops.put(-x if function in LEAST else x, whole)
        is_min, function = function == "min", LEAST.get(function, function)
        shape = infer(function, (vector,), None, unify_inferring)
        made = Node(function, (vector,), shape)
        if function in KEEPING:
            return ops.at(made, whole)
        return -made if is_min else made

    def _error(self, span: Span, problem: str, fix: str) -> errors.CellError:
        return errors.IndexUseError(span, problem, fix=fix, shapes=self._known())


def undeclared(name: str, n_places: int, span: Span) -> errors.CellError:
    """A name that is read with two indices everywhere, and no line says its rank."""
    dims = ", ".join("n_" + "ijkl"[n] for n in range(n_places))
    return errors.IndexUseError(
        span,
        f"{name} is read with {n_places} indices, and nothing says what is left",
        fix=f"declare `{name}: ({dims})` if that is a number",
    )


def with_sizes(
    equations: Iterable[Equation],
    declarations: Iterable[Declaration],
    indices: Mapping[str, Index],
) -> list[Equation]:
    """Bare names of dimensions become numbers: `sqrt(n_k)`."""
    equations = list(equations)
    dims = {i.size for i in indices.values() if isinstance(i.size, str)}
    taken: set[str] = set()
    for declaration in declarations:
        dims |= {dim for dim in declaration.shape if isinstance(dim, str)}
        taken.add(declaration.name)
    dims |= {f"n_{name}" for name in count_places(equations)}
    dims |= {f"n_{equation.name}" for equation in equations}
    done: dict[int, Piece] = {}

    def rewrite(expr: Piece) -> Piece:
        key = id(expr)  # order-free: one key for each piece of the text
        if key not in done:
            done[key] = step(expr)
        return done[key]

    def step(expr: Piece) -> Piece:
        """One piece with the sizes in the place of the names of dimensions."""
        if expr.op == "parameter" and expr.data in dims - taken:
            return Piece("size", (), expr.span, expr.data)
        if expr.op == "eye" and expr.data not in dims and isinstance(expr.data, str):
            raise errors.IndexUseError(
                expr.span,
                f"{expr.data} is not a dimension of the cell",
                fix="eye(n_k), with the name of a declared dimension, or n_ and the "
                "name of a vector",
            )
        parts = tuple(map(rewrite, expr.arguments))
        if all(a is b for a, b in zip(parts, expr.arguments, strict=True)):
            return expr
        return Piece(expr.op, parts, expr.span, expr.data)

    return [replace(e, expression=rewrite(e.expression)) for e in equations]


def resolve_data(node: Node, names: Names) -> Any:
    """What a node carries, with every unknown dimension replaced by its name."""
    return map_data(node.op, node.data, lambda dim: resolve((dim,), names)[0])


def _number_of(expr: Piece, name: str) -> str:
    """The likely fix where a number is needed at every place of an index."""
    fix = f"sum({name}, ...) or mean({name}, ...), or a number such as dot(u, v)"
    base = expr.arguments[0] if expr.op == "at" else expr
    if expr.op == "at" and base.op in ("read", "parameter"):
        fix += f"; if {expr.text} is a number, declare {base.name} with one dimension"
    return fix
