"""A line of one's own, `gate(W, U, b) = sigmoid(b + W @ h[t-1] + U @ x[t])`.

A function is a way of writing: a call is replaced by the body, with the arguments in
the places of its parameters, before any shape is known. The operations of
`derived.cell` are such lines, read once.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources

from bptt import errors
from bptt.errors import Span
from bptt.language.source import FunctionText, Source
from bptt.step.ops import TABLE

# Names of operations that cells could use for their own things before there were
# functions: these alone may not name a node, a parameter or a function.
KEPT = frozenset({
    "maximum", "minimum", "where", "tanh", "sigmoid", "relu", "softplus", "exp", "log",
    "sqrt", "sin", "cos", "abs", "stop_gradient", "softmax", "log_softmax",
    "layer_norm", "sum", "mean", "dot", "outer", "nll", "bce", "mse",
})  # fmt: skip
# `nll_soft` is what `nll` means for a vector of targets.
CALLS = {name: op for name, op in TABLE.items()
         if op.written == "call" and name != "nll_soft"}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Function:
    """A function as it was written.

    defaults: the value of a parameter that a call may leave out; span: its line;
    is_derived: whether it comes with the language.
    """

    name: str
    parameters: tuple[str, ...]
    defaults: Mapping[str, float]
    body: ast.expr
    span: Span
    is_derived: bool = False

    @property
    def form(self) -> str:
        """How it is called: `elu(u, alpha)`."""
        return f"{self.name}({', '.join(self.parameters)})"


def _read(text: FunctionText, source: Source, *, is_derived: bool) -> Function:
    """`name(names) = expression` from what the grammar saw.

    Raises: FunctionDefinitionError.
    """
    call = text.call
    name = call.func.id if isinstance(call.func, ast.Name) else ""
    span = source.span(call)
    defaults: dict[str, float] = {}
    names: list[str] = []
    for part in (*call.args, *call.keywords):
        if isinstance(part, ast.Name):
            names.append(part.id)
        elif isinstance(part, ast.keyword) and _number(part.value) is not None:
            names.append(str(part.arg))
            defaults[str(part.arg)] = float(_number(part.value) or 0.0)
        else:
            raise errors.FunctionDefinitionError(
                source.span(part),
                f"{source.show(part)} is not the name of a parameter",
                fix=f"`{name}(W, U, b) = ...`: names between the brackets, and numbers "
                f"for those that may be left out, `{name}(u, alpha=1)`",
            )
    twice = [n for n in names if names.count(n) > 1]
    if twice or not names:
        problem = f"{twice[0]} stands twice" if twice else "no parameter stands"
        raise errors.FunctionDefinitionError(
            span,
            f"{problem} between the brackets of {name}",
            fix="every parameter once; a value without parameters is an equation, "
            f"`{name}[t] = ...`",
        )
    if text.body is None:
        raise errors.FunctionDefinitionError(
            span,
            f"{source.show(call)} has no expression after its `=`",
            fix="one expression, in brackets if it takes several lines",
        )
    return Function(name, tuple(names), defaults, text.body, span, is_derived)


def _number(node: ast.expr) -> float | None:
    """The number that a default is, or None."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _number(node.operand)
        return None if value is None else -value
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return float(node.value)  # type: ignore[arg-type]
    return None


def collect(
    statements: Iterable[ast.stmt | FunctionText],
    source: Source,
    *,
    is_derived: bool = False,
) -> dict[str, Function]:
    """Every function by name.

    Raises: FunctionDefinitionError, DuplicateDefinitionError.
    """
    found: dict[str, Function] = {}
    for text in statements:
        if not isinstance(text, FunctionText):
            continue
        function = _read(text, source, is_derived=is_derived)
        first = found.get(function.name)
        if first is not None:
            raise errors.DuplicateDefinitionError(
                function.span,
                f"{function.name} is defined twice; the first time on line "
                f"{first.span.line_number}",
                fix=f"give one of the two another name, such as {function.name}_2",
            )
        found[function.name] = function
    return found


@functools.cache
def derived() -> Mapping[str, Function]:
    """The operations that are lines of the language itself, by name."""
    text = resources.files("bptt.language").joinpath("derived.cell").read_text("utf-8")
    source = Source(text)
    return collect(source.statements(), source, is_derived=True)
