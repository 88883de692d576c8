"""Look-ups, `U[:, x[t]]`: the column that an integer says, given or computed."""

from __future__ import annotations

from typing import Any

from bptt import errors
from bptt.language.tree import Piece
from bptt.language.uses import Uses
from bptt.step import shapes
from bptt.step.graph import Node
from bptt.step.shapes import DimVar, ShapeRuleError, unify_inferring


class LookUps:
    """Makes nodes of look-ups; the base of the builder of cells.

    index: the dimension that an integer input counts; counted: that of a definition.
    """

    _uses: Uses
    _index: dict[str, DimVar]
    _counted: dict[str, DimVar]

    def _node(self, expr: Piece) -> Node:
        raise NotImplementedError

    def _read(self, expr: Piece) -> Node:
        raise NotImplementedError

    def _known(self) -> str:
        raise NotImplementedError

    def _lookup(self, expr: Piece) -> Node:
        matrix = self._node(expr.arguments[0])
        index = expr.arguments[1]
        is_computed = index.op != "read" or index.name in self._uses.defined
        node = self._node(index) if is_computed else self._read(index)
        if matrix.rank != 2:
            raise errors.RankError(
                expr.span,
                f"a look-up reads a column of a matrix, not of "
                f"{shapes.RANK_NAMES[matrix.rank]}",
                fix="start the name with a capital, or declare it `(n, m)`",
                shapes=self._known(),
            )
        if is_computed:
            return self._computed_column(expr, matrix, node)
        self._join_index(index, matrix.shape[1])
        return Node("lookup", (matrix, node), matrix.shape[:1])

    def _computed_column(self, expr: Piece, matrix: Node, number: Node) -> Node:
        """A column that a number of the cell says: a product with a one-hot vector."""
        if number.rank:
            raise errors.RankError(
                expr.arguments[1].span,
                f"a look-up takes one whole number, an integer input or argmax(u), and "
                f"this is {shapes.RANK_NAMES[number.rank]}",
                fix="`U[:, x[t]]` or `U[:, argmax(o[t])]`",
                shapes=self._known(),
            )
        self._join_counted(expr, number, matrix.shape[1])
        one_hot = Node("one_hot_of", (number,), matrix.shape[1:], matrix.shape[1:])
        return Node("matvec", (matrix, one_hot), matrix.shape[:1])

    # ----- whole numbers that the cell hands on -----

    def _is_number(self, expr: Piece) -> bool:
        """Whether a target is a whole number that the cell computes."""
        is_held = expr.op == "read" and expr.name in self._uses.as_number
        return is_held or expr.op == "argmax"

    def _number(self, expr: Piece) -> Node:
        """The right side of a definition that holds a whole number.

        That of an integer input is the place of the 1 in its one-hot vector.
        """
        if expr.op == "where":
            condition = self._node(expr.arguments[0])
            parts = (condition, *map(self._number, expr.arguments[1:]))
            # A condition that is no number is refused with the equation's shape.
            return Node("where", parts, condition.shape)
        if expr.op != "read" or expr.name not in self._index:
            return self._node(expr)
        shape = (self._index[expr.name],)
        one_hot = Node("one_hot", (self._read(expr),), shape, shape)
        return Node("argmax", (one_hot,))

    def _nll_of_number(self, expr: Piece) -> Node:
        """-log p_k for a class k that a definition holds."""
        p, number = map(self._node, expr.arguments)
        if p.rank != 1:
            raise errors.RankError(
                expr.span,
                f"{expr.arguments[0].text} is {shapes.RANK_NAMES[p.rank]}: nll of a "
                "class takes a vector of probabilities",
                fix="nll(softmax(o[t]), k[t])",
                shapes=self._known(),
            )
        self._join_counted(expr, number, p.shape[0])
        return Node("nll_soft", (p, Node("one_hot_of", (number,), p.shape, p.shape)))

    def _join_counted(self, expr: Piece, number: Node, dim: shapes.Dim) -> None:
        """What argmax counts is what its column is one of."""
        if number.op == "where":
            for branch in number.inputs[1:]:
                self._join_counted(expr, branch, dim)
            return
        try:
            if number.op == "argmax":
                unify_inferring(number.inputs[0].shape[0], dim)
            elif number.op in ("named", "shift"):
                data: Any = number.data
                name = data if number.op == "named" else data[0]
                unify_inferring(self._counted.setdefault(name, DimVar()), dim)
        except ShapeRuleError as error:
            raise errors.DimensionClashError(
                expr.span,
                f"{expr.text}: one number would count two dimensions, {error.detail}",
                fix="declare the two sizes alike",
                shapes=self._known(),
            ) from None

    def _join_index(self, expr: Piece, dim: shapes.Dim) -> None:
        assert isinstance(expr.data, tuple)
        try:
            unify_inferring(self._index[expr.data[0]], dim)
        except ShapeRuleError as error:
            raise errors.DimensionClashError(
                expr.span,
                f"{expr.data[0]} would count two dimensions: {error.detail}",
                fix="use two inputs, or declare the two sizes alike",
                shapes=self._known(),
            ) from None
