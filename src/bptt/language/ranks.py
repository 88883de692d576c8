"""What an operation takes, and what to write instead where a rank is wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from bptt.language.tree import Equation, Piece
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
    **{op: f"{op} takes a vector" for op in
       ("max", "logsumexp", "prod", "argmax", "cumsum")},
    "lower_part": "lower_part takes a matrix",
    "nll": "nll takes a vector of probabilities and a class or a vector of targets",
}  # fmt: skip
OF_ONE_VECTOR = frozenset({
    "softmax", "log_softmax", "layer_norm", "max", "logsumexp", "prod", "argmax",
    "cumsum", "min", "argmin", "softmin", "sample",
})  # fmt: skip
OF_ONE_VECTOR_FIX = (
    "of a matrix, say of which vector: a column, {op}(A[:, x[t]]), or a product, "
    "{op}(A @ u[t])"
)
RANK_FIXES = {
    "transpose": "dot(u, v) for u^T v, outer(u, v) for u v^T",
    "nll": "nll(softmax(o[t]), y[t]); of one probability bce(sigmoid(o[t]), y[t])",
    "dot": "A @ u with a matrix, alpha * u with a number, sum(A * B) of two matrices",
    "outer": "make both vectors; @ multiplies a matrix",
    **dict.fromkeys(("sum", "mean", "max", "min", "prod", "logsumexp", "cumsum"),
                    "leave it out: the value is one number already"),
    **dict.fromkeys(("argmax", "argmin", "softmin", "sample", "rms_norm"),
                    "give it a vector, for example V @ h[t]"),
    "norm": "abs(u) of a number",
    **dict.fromkeys(("lower_part", "diagonal", "cholesky"),
                    "give it a matrix, or declare one, `A: (n, n)`"),
    "softmax": "give it a vector, for example V @ h[t]",
    "log_softmax": "give it a vector, for example V @ h[t]",
    "layer_norm": "give it a vector, for example W @ h[t-1]",
    "solve": "solve(A, u) for the x with A @ x = u",
    "inverse": "1 / u for a number or element by element",
    "expm": "exp(u) element by element",
}  # fmt: skip

# Of operations of `derived.cell`: the ranks of each argument. The body's operations
# would say what they take, and not what the line that a person wrote takes.
NUMBER, VECTOR, MATRIX = 0, 1, 2
TAKES: Mapping[str, tuple[tuple[int, ...], ...]] = {
    "min": ((VECTOR,),),
    "argmin": ((VECTOR,),),
    "softmin": ((VECTOR,),),
    "norm": ((VECTOR, MATRIX),),
    "rms_norm": ((VECTOR, MATRIX), (NUMBER,)),
    "sample": ((VECTOR,), (NUMBER,)),
}
RANKED = "ranked"  # the piece of such an argument: it is the argument itself


def ranked(name: str, position: int, argument: Piece) -> Piece:
    """The argument, with a note of what it is the argument of."""
    return Piece(RANKED, (argument,), argument.span, (name, position))


def rank_rule(op: str, rank: int) -> tuple[str, str]:
    """What an operation takes, and what to write for a first argument of this rank."""
    rule = OPS_RANKS.get(op, "their ranks differ")
    if op in OF_ONE_VECTOR and rank == MATRIX:
        return rule, OF_ONE_VECTOR_FIX.format(op=op)
    other = "make them one shape, or a scalar where they differ"
    return rule, RANK_FIXES.get(op, other)


def rank_problem(expr: Piece, rank: int, shown: str) -> tuple[str, str] | None:
    """What is wrong with such an argument, and what to write instead."""
    assert isinstance(expr.data, tuple)
    name, position = expr.data
    ranks = TAKES[name][position]
    if rank in ranks:
        return None
    text = expr.text
    _, fix = rank_rule(name, rank)
    if NUMBER in ranks:
        own = text.partition("[")[0]
        fix = f"one number for each row and step, declared `{own}: ()`, or mean(u)"
    which = f"{name} takes"
    if len(TAKES[name]) > 1:
        which = f"the {('first', 'second')[position]} argument of {name} is"
    wanted = " or ".join(shapes.RANK_NAMES[r] for r in ranks)
    return f"{text} is {shapes.RANK_NAMES[rank]} {shown}: {which} {wanted}", fix


def product_problem(
    expr: Piece,
    nodes: tuple[Node, ...],
    error: ShapeRuleError,
    show: Callable[[Shape], str],
) -> tuple[str, str]:
    """What is wrong with a product, and what to write instead."""
    left, right = (argument.text for argument in expr.arguments)
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


def by_case(
    expr: Piece, ranks: Sequence[int], matrix: str, defined: Mapping[str, Equation]
) -> str:
    """What was meant where a matrix meets a vector: a product, or another matrix.

    matrix: the shape of the one that is a matrix.
    """
    fixes = []
    if expr.op == "mul" and ranks[1] == 1:
        fixes.append(f"`{' @ '.join(part.text for part in expr.arguments)}`")
    vector = expr.arguments[ranks.index(1)]
    for name in {part.name: None for part in vector.parts() if part.op == "read"}:
        line = defined.get(name)
        if line and any(part is expr for part in line.expression.parts()):
            fixes.append(
                f"{name} is a vector by its lower-case letter; a matrix is called "
                f"{name[0].upper()}{name[1:]}, or declared, `{name}: {matrix}`"
            )
            break
    return ", or ".join(fixes)
