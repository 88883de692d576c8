"""What an operation takes, and what to write instead where a rank is wrong."""

from __future__ import annotations

from collections.abc import Callable

from bptt.language.tree import Piece
from bptt.step import shapes
from bptt.step.graph import Node
from bptt.step.shapes import Shape, ShapeRuleError

OPS_RANKS = {
    "transpose": "only a matrix has a transpose",
    "softmax": "softmax takes a vector",
    "log_softmax": "log_softmax takes a vector",
    "layer_norm": "layer_norm takes a vector",
    "sum": "a sum is over the elements of a vector or matrix",
    "mean": "a mean is over the elements of a vector or matrix",
    "dot": "dot takes two vectors",
    "outer": "outer takes two vectors",
    **dict.fromkeys(("inverse", "expm", "cholesky", "diagonal"),
                    "only a square matrix has it"),
    "solve": "solve takes a square matrix, and a vector or a matrix",
    "prod": "prod takes a vector",
    "argmax": "argmax takes a vector",
    "nll": "nll takes a vector of probabilities and a class or a vector of targets",
}  # fmt: skip
OF_ONE_VECTOR = frozenset({"softmax", "log_softmax", "layer_norm"})
OF_ONE_VECTOR_FIX = (
    "of a matrix, say of which vector: a column, {op}(A[:, x[t]]), or a product, "
    "{op}(A @ u[t])"
)
RANK_FIXES = {
    "transpose": "dot(u, v) for u^T v, outer(u, v) for u v^T",
    "nll": "nll(softmax(o[t]), y[t])",
    "dot": "sum(...) of an elementwise product for matrices",
    "outer": "make both vectors; @ multiplies a matrix",
    "sum": "leave it out: the value is one number already",
    "mean": "leave it out: the value is one number already",
    "softmax": "give it a vector, for example V @ h[t]",
    "log_softmax": "give it a vector, for example V @ h[t]",
    "layer_norm": "give it a vector, for example W @ h[t-1]",
    "solve": "solve(A, u) for the x with A @ x = u",
    "inverse": "1 / u for a number or element by element",
    "expm": "exp(u) element by element",
}  # fmt: skip


def product_problem(
    expr: Piece,
    nodes: tuple[Node, ...],
    error: ShapeRuleError,
    show: Callable[[Shape], str],
) -> tuple[str, str]:
    """What is wrong with a product, and what to write instead."""
    left, right = (_text(argument) for argument in expr.arguments)
    a, b = nodes
    described = (
        f"{left} is {shapes.RANK_NAMES[a.rank]} {show(a.shape)} and {right} "
        f"{shapes.RANK_NAMES[b.rank]} {show(b.shape)}"
    )
    if 0 in (a.rank, b.rank):
        return f"{described}: @ multiplies matrices", f"{left} * {right}"
    if (a.rank, b.rank) == (1, 2):
        return (
            f"{described}: vectors are columns, so the matrix stands on the left",
            f"{right} @ {left}, or {right}.T @ {left}",
        )
    if (a.rank, b.rank) == (1, 1):
        fix = f"dot({left}, {right}) for a number, outer({left}, {right}) for a matrix"
        if expr.arguments[0].op == "parameter" and left.islower():
            fix = f"a matrix has a capital, {left.capitalize()}, or a declaration, "
            fix += f"`{left}: (n, m)`; dot({left}, {right}) for a number"
        return f"{described}: two columns have no product", fix
    fix = "correct the declaration"
    if a.shape[0] == b.shape[0]:
        fix = f"{left}.T @ {right}, or {fix}"
    return f"{described}: the inner sizes differ, {error.detail}", fix


def _text(expr: Piece) -> str:
    return expr.span.line[expr.span.start : expr.span.end]
