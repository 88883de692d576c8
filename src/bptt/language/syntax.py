"""Text to equations and declarations, with Python's own grammar and source positions.

Only the node kinds named here are accepted. Nothing is evaluated: a cell is data.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

from bptt import errors
from bptt.errors import Span
from bptt.language.functions import CALLS, KEPT, Function, collect
from bptt.language.hints import STACKED, element_fix, step_fix
from bptt.language.indexed import (
    Index,
    IndexReader,
    collect_indices,
    counted_dims,
    is_index_line,
    is_part,
)
from bptt.language.places import with_sizes
from bptt.language.source import FunctionText, Source
from bptt.language.tree import ARGUMENTS, RESERVED, Declaration, Equation, Piece
from bptt.step.graph import Initial

INFIX = {
    ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div", ast.Pow: "pow",
    ast.MatMult: "product",
}  # fmt: skip
COMPARISONS = {
    ast.Gt: ("greater", False), ast.GtE: ("greater_equal", False),
    ast.Lt: ("greater", True), ast.LtE: ("greater_equal", True),
}  # fmt: skip
EQUALITIES = {ast.Eq: "equal", ast.NotEq: "not_equal"}
MAX_DEPTH = 100
FARTHEST = 512  # steps that a read may lie away
MAX_RANK = 4
INSTEAD = (
    (ast.IfExp, "where(condition, u, v)"),
    (ast.BoolOp, "a product of two comparisons for `and`, their maximum for `or`"),
    (ast.Not, "1 - (a[t] > 0) for the opposite of a comparison"),
    (ast.UAdd, "leave the plus out"),
    (ast.BitXor, "** is the power"),
    (ast.Constant | ast.JoinedStr, "a value is a real number, a parameter or a node"),
    (ast.NamedExpr, "an equation of its own, `name[t] = ...`"),
    (ast.Starred, "write every argument"),
    (ast.List | ast.Tuple, STACKED),
    (ast.FloorDiv, "floor(u / v)"),
    (ast.GeneratorExp | ast.ListComp, "sum(u) adds all elements of u"),
)


def parse_text(text: str) -> tuple[list[Equation], list[Declaration]]:
    """Read every line of a cell.

    Raises: CellSizeError, CellSyntaxError, UnsupportedSyntaxError,
    UnknownOperationError,
    ArgumentCountError, FutureStepError, DistantStepError, ReservedNameError,
    DeclarationError, EmptyCellError.
    """
    if not isinstance(text, str):
        raise errors.CellSyntaxError(
            None, f"a cell is text, got {type(text).__name__}", fix="pass a string"
        )
    source = Source(text)
    statements = source.statements()
    indices = collect_indices(statements, source)
    reader = _EquationReader(source, collect(statements, source), indices)
    equations: list[Equation] = []
    declarations: list[Declaration] = []
    for statement in statements:
        if isinstance(statement, FunctionText) or is_index_line(statement):
            continue
        if isinstance(statement, ast.AnnAssign):
            declarations.append(reader.declaration(statement))
        else:
            equations.append(reader.indexed_equation(statement))
    if not equations:
        raise errors.EmptyCellError(
            None,
            "the text holds no equation",
            fix="write at least one, such as `h[t] = tanh(b + W @ h[t-1] + U @ x[t])`",
        )
    return with_sizes(equations, declarations, indices), declarations


class _EquationReader(IndexReader):
    """Turns `ast` nodes into equations, with their place in the text."""

    def __init__(
        self,
        source: Source,
        functions: Mapping[str, Function],
        indices: Mapping[str, Index],
    ) -> None:
        super().__init__(source, functions, indices)
        self._depth = 0
        for function in functions.values():
            self._check_name(function.name, function.span)
            for name in function.parameters:
                self._check_name(name, function.span)
            self.check_function(function)

    # ----- statements -----

    def equation(self, statement: ast.stmt) -> Equation:
        """`name[t] = expression`, or the reason why a line is neither form."""
        if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
            fix = "remove this line, or write it as one of the two"
            if isinstance(statement, ast.Expr):
                fix = f"give it a name: `name[t] = {self._show(statement)[1:]}"
            raise errors.UnsupportedSyntaxError(
                self.span(statement),
                "a line is an equation `name[t] = expression` or a declaration "
                "`name: shape`",
                fix=fix,
            )
        target = statement.targets[0]
        if isinstance(target, ast.Name):
            self._check_name(target.id, target)
            body = self.expression(statement.value)
            return Equation(target.id, body, self.span(target), "")
        name, when = self._target(target)
        if when is None:
            raise errors.UnsupportedSyntaxError(
                self.span(target),
                f"an equation defines a node at step t, not {self._show(target)}",
                fix=f"{name}[t] = ..., {name}[0] = ... for the start, or {name} = ... "
                "after the last step",
            )
        self._check_name(name, target)
        return Equation(name, self.expression(statement.value), self.span(target), when)

    def _target(self, node: ast.expr) -> tuple[str, str | None]:
        """The name that an equation defines, and when: see `Equation`."""
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
            place = ast.unparse(node.slice).replace(" ", "")
            if place in ("0", "tau+1"):
                return node.value.id, place
        name, lag = self._subscript(node)
        return name, "t" if lag == 0 else None

    def declaration(self, statement: ast.AnnAssign) -> Declaration:
        """`name: shape`, with or without an initial value."""
        if not isinstance(statement.target, ast.Name):
            raise errors.DeclarationError(
                self.span(statement.target),
                "a declaration names a parameter, input or node without `[t]`",
                fix="`W: (n_h, n_h)` or `b: n_h = 1`",
            )
        name = statement.target.id
        self._check_name(name, statement.target)
        initial = None if statement.value is None else self._initial(statement.value)
        is_input = initial == Initial("input")
        return Declaration(
            name,
            self._shape(statement.annotation),
            None if is_input else initial,
            self.span(statement),
            is_input,
        )

    def _check_name(self, name: str, place: ast.AST | Span) -> None:
        if name in RESERVED or name in KEPT:
            what = "an operation" if name in KEPT else "the language's own name"
            fix = f"another name, such as {name}_1"
            if name == "t":
                fix += "; a step is written in square brackets: h[t]"
            raise errors.ReservedNameError(
                place if isinstance(place, Span) else self.span(place),
                f"{name} is {what} and cannot name a node or parameter",
                fix=fix,
            )

    def _shape(self, node: ast.expr) -> tuple[str | int, ...]:
        parts = node.elts if isinstance(node, ast.Tuple) else [node]
        shape = tuple(self._dimension(part) for part in parts)
        if len(shape) > (MAX_RANK if self.indices else 2):
            raise errors.DeclarationError(
                self.span(node),
                f"{len(shape)} dimensions; a shape is () a scalar, n a vector or "
                "(n, m) a matrix, with indices up to four",
                fix="time and batch are not part of a shape",
            )
        return shape

    def _dimension(self, node: ast.expr) -> str | int:
        if isinstance(node, ast.Name) and node.id in ARGUMENTS:
            raise errors.ReservedNameError(
                self.span(node),
                f"sizes are given by name, as in init(n_h=128), and {node.id} is the "
                "name of another argument there",
                fix=f"n_{node.id}",
            )
        if isinstance(node, ast.Name) and node.id not in RESERVED:
            return node.id
        if isinstance(node, ast.BinOp):
            counted = counted_dims(node)
            if counted is not None and min(counted[1], *dict(counted[0]).values()) >= 0:
                names = [n for n, count in counted[0] for _ in range(count)]
                return "+".join([*names, *([str(counted[1])] if counted[1] else [])])
        if (
            isinstance(node, ast.Constant)
            and type(node.value) is int
            and 0 < node.value < 2**31
        ):
            return node.value
        raise errors.DeclarationError(
            self.span(node),
            "a dimension is a name such as n_h, or a whole number from 1 to 2147483647",
            fix="`W: (n_h, n_x)`, or a sum, `W: (n_h, n_h + n_x)`; time and batch are "
            "not part of a shape",
        )

    def _initial(self, node: ast.expr) -> Initial:
        if isinstance(node, ast.Name):
            return Initial(node.id)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if not node.keywords:
                return Initial(node.func.id, tuple(map(self._number, node.args)))
        elif not isinstance(node, ast.Call):
            return Initial("constant", (self._number(node),))
        raise errors.DeclarationError(
            self.span(node),
            "an initial value is a number, a rule, or a rule with numbers",
            fix="`b: n_h = 1`, `W: (n_h, n_h) = orthogonal` or `= normal(0.1)`",
        )

    def _number(self, node: ast.expr) -> float:
        sign = 1.0
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            sign, node = -1.0, node.operand
        if isinstance(node, ast.Constant) and type(node.value) in (int, float):
            return sign * self._finite(node)
        raise errors.DeclarationError(
            self.span(node), "a number is needed here", fix="for example 0.1"
        )

    def _finite(self, node: ast.Constant) -> float:
        try:
            value = float(node.value)  # type: ignore[arg-type]
        except OverflowError:
            value = math.inf
        if not math.isfinite(value):
            raise errors.UnsupportedSyntaxError(
                self.span(node), "this number is too large for float64", fix="1e308"
            )
        return value

    # ----- expressions -----

    def expression(self, node: ast.expr) -> Piece:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise errors.CellSyntaxError(
                self.span(node),
                f"more than {MAX_DEPTH} operations are nested here",
                fix="give the inner parts a name, in equations of their own",
            )
        expr = self._expression(node)
        self._depth -= 1
        return expr

    def _expression(self, node: ast.expr) -> Piece:
        span = self.span(node)
        if isinstance(node, ast.Constant) and type(node.value) in (int, float):
            return Piece("constant", (), span, self._finite(node))
        if isinstance(node, ast.Name):
            if node.id in self._place.bound:
                return self._place.bound[node.id]
            if node.id in ("t", "tau"):
                return Piece("clock", (), span, node.id)
            if node.id in self.indices:
                return Piece("index", (), span, node.id)
            self._check_read(node)
            return Piece("parameter", (), span, node.id)
        if isinstance(node, ast.BinOp) and type(node.op) in INFIX:
            arguments = (self.expression(node.left), self.expression(node.right))
            return Piece(INFIX[type(node.op)], arguments, span)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
            pair = self.expression(node.left), self.expression(node.right)
            return self.call_derived("mod", span, *pair)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return self._negative(node, span)
        if isinstance(node, ast.Compare):
            return self._comparison(node, span)
        if isinstance(node, ast.Call):
            return self._call(node, span)
        return self._bracketed(node, span)

    def _bracketed(self, node: ast.expr, span: Span) -> Piece:
        """What has square brackets, or a dot."""
        if isinstance(node, ast.List) and len(node.elts) > 1:
            parts = tuple(map(self.expression, node.elts))
            return Piece("concat", parts, span, self._joint(node.elts))
        if isinstance(node, ast.Attribute):
            return self._transpose(node, span)
        if isinstance(node, ast.Subscript):
            return self._subscripted(node, span)
        raise errors.UnsupportedSyntaxError(
            span,
            f"{self._show(node)} is not part of the cell language",
            fix=_instead(node),
        )

    def _joint(self, parts: Sequence[ast.expr]) -> str:
        """The sign between the parts of `[u; v]`: `,` where one is a comma."""
        spans = [self.span(part) for part in parts]
        return "," if any("," in a.text_to(b) for a, b in pairwise(spans)) else ";"

    def _check_read(self, node: ast.Name) -> None:
        if node.id in RESERVED or node.id in KEPT:
            what = "an operation: call it" if node.id in KEPT else "not a value"
            raise errors.ReservedNameError(
                self.span(node),
                f"{node.id} is {what}",
                fix="read a node or a parameter",
            )

    def _negative(self, node: ast.UnaryOp, span: Span) -> Piece:
        inner = self.expression(node.operand)
        if inner.op == "constant":
            assert isinstance(inner.data, float)
            return Piece("constant", (), span, -inner.data)
        return Piece("neg", (inner,), span)

    def _comparison(self, node: ast.Compare, span: Span) -> Piece:
        kind = type(node.ops[0])
        if len(node.ops) != 1 or kind not in {*COMPARISONS, *EQUALITIES}:
            raise errors.UnsupportedSyntaxError(
                span,
                "a comparison is one of >, >=, <, <=, ==, !=, between two values",
                fix="for example where(a[t] > 0, a[t], 0)",
            )
        pair = (self.expression(node.left), self.expression(node.comparators[0]))
        if kind in EQUALITIES:
            return self.call_derived(EQUALITIES[kind], span, *pair)
        op, swapped = COMPARISONS[kind]
        return Piece(op, pair[::-1] if swapped else pair, span)

    def _transpose(self, node: ast.Attribute, span: Span) -> Piece:
        if node.attr != "T":
            raise errors.UnsupportedSyntaxError(
                span,
                f".{node.attr} is not part of the cell language; only .T is",
                fix="call an operation: tanh(a[t])",
            )
        return Piece("transpose", (self.expression(node.value),), span)

    def _subscripted(self, node: ast.Subscript, span: Span) -> Piece:
        index = node.slice
        if is_part(node):
            return self.part(node, span)
        if self.has_places(node) and self.indices:
            return self.with_places(node, span)
        if isinstance(index, ast.Tuple):
            if len(index.elts) == 2 and self._is_colon(index.elts[0]):
                self._refuse_constant(index.elts[1])
                matrix = self.expression(node.value)
                return Piece("lookup", (matrix, self.expression(index.elts[1])), span)
            raise errors.UnsupportedSyntaxError(
                span,
                f"{self._show(node)} reads no part of a value: a look-up reads a "
                "column, `U[:, x[t]]`, a part from one element to another",
                fix=element_fix(node, self._show),
            )
        far = self.lags_of(index)
        if far is not None and isinstance(node.value, ast.Name):
            self._check_read(node.value)
            lags = [self._near(lag, node) for lag in far[1]]
            return self.at_lags(node.value.id, far[0], lags, span)
        name, lag = self._subscript(node)
        if isinstance(node.value, ast.Name) and name == node.value.id:
            self._check_read(node.value)
        return Piece("read", (), span, (name, lag))

    def _refuse_constant(self, node: ast.expr) -> None:
        """A column by its number would count from 0, and everything else from 1."""
        if isinstance(node, ast.Constant):
            raise errors.UnsupportedSyntaxError(
                self.span(node),
                "the column of a look-up comes from an integer input or from argmax(u)",
                fix="U[:, x[t]], or a parameter of its own for one column",
            )

    @staticmethod
    def _is_colon(node: ast.expr) -> bool:
        return isinstance(node, ast.Slice) and not (
            node.lower or node.upper or node.step
        )

    def _subscript(self, node: ast.expr) -> tuple[str, int | str]:
        """`name[t]`, `name[t-1]`, `name[t+1]`: the name and the lag."""
        if not isinstance(node, ast.Subscript) or not isinstance(node.value, ast.Name):
            raise errors.UnsupportedSyntaxError(
                self.span(node),
                f"{self._show(node)} is not a node at a time step",
                fix=element_fix(node, self._show),
            )
        lag = self._lag(node.slice)
        name = self._name(node.value)
        if lag is None:
            raise errors.UnsupportedSyntaxError(
                self.span(node.slice),
                f"{self._show(node)}: a step is written t, t-1, t+1 or tau",
                fix=step_fix(name, node, self._show),
            )
        return name, lag if lag == "tau" else self._near(int(lag), node)

    def _near(self, lag: int, node: ast.expr) -> int:
        """A lag that is not too far away."""
        if abs(lag) > FARTHEST:
            kind = errors.FutureStepError if lag > 0 else errors.DistantStepError
            raise kind(
                self.span(node),
                f"{self._show(node)} reads more than {FARTHEST} steps away, and each "
                "of them is kept",
                fix="a longer step, or an input that holds the earlier value",
            )
        return lag

    @staticmethod
    def _lag(node: ast.expr) -> int | str | None:
        if isinstance(node, ast.Name) and node.id in ("t", "tau"):
            return 0 if node.id == "t" else "tau"
        if (
            isinstance(node, ast.BinOp)
            and isinstance(node.left, ast.Name)
            and node.left.id == "t"
            and isinstance(node.right, ast.Constant)
            and type(node.right.value) is int
            and isinstance(node.op, ast.Add | ast.Sub)
        ):
            return node.right.value * (1 if isinstance(node.op, ast.Add) else -1)
        return None


def _instead(node: ast.expr) -> str:
    """What to write for a piece of Python that is not part of the language."""
    for kind, fix in INSTEAD:
        if isinstance(node, kind) or isinstance(getattr(node, "op", None), kind):
            return fix
    return "use + - * / % @ **, .T, and the operations " + ", ".join(sorted(CALLS))
