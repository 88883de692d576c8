"""Calls: of operations, and of functions, which are replaced by their bodies."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from bptt import errors
from bptt.errors import Span
from bptt.language.functions import CALLS, Function, derived
from bptt.language.hints import CALLS_INSTEAD, alone, declared_index
from bptt.language.ranks import TAKES, ranked
from bptt.language.source import Source
from bptt.language.tree import Piece

OVER_T = ("sum", "mean", "max", "min", "softmax")  # `sum(t, u)`, over all steps
OF_TWO = {"max": "maximum", "min": "minimum"}
MAX_CALLS = 20_000  # of functions, the calls inside their bodies included


@dataclass(frozen=True)
class _Place:
    """Where a reader is: outside all functions, or in the body of one.

    bound: what the parameters stand for; active: the functions that are being replaced,
    the outermost first; called: the call in the person's text; hidden: the same where
    the body is no part of that text.
    """

    functions: Mapping[str, Function]
    bound: Mapping[str, Piece] = field(default_factory=dict)
    active: tuple[Function, ...] = ()
    called: Span | None = None
    hidden: Span | None = None


class CallReader:
    """What reads a call; the base of the reader of expressions.

    A body is read where it is called: with the arguments in the places of the
    parameters, and with spans that know the call.
    """

    def __init__(self, source: Source, functions: Mapping[str, Function]) -> None:
        """Read in a cell's text, with its functions."""
        self._source = source
        self._place = _Place(functions)
        self._n_calls = 0

    def expression(self, node: ast.expr) -> Piece:
        """One expression."""
        raise NotImplementedError

    def _finite(self, node: ast.Constant) -> float:
        raise NotImplementedError

    def span(self, node: ast.AST) -> Span:
        """Where a node stands; in a body, with the call; the call of a derived one."""
        if self._place.hidden is not None:
            return self._place.hidden
        return replace(self._source.span(node), called=self._place.called)

    def _show(self, node: ast.AST) -> str:
        return self._source.show(node)

    def _name(self, node: ast.Name) -> str:
        """The name that a subscript reads: in a body perhaps an argument's."""
        bound = self._place.bound.get(node.id)
        if bound is None:
            return node.id
        if bound.op == "parameter":
            return str(bound.data)
        raise errors.UnsupportedSyntaxError(
            self.span(node),
            f"{node.id} stands for an expression here, not for a name, so it has no "
            "step and no element",
            fix="pass a name alone, or give the expression a name in an equation",
        )

    def check_function(self, function: Function) -> None:
        """Read a body once with its own parameters, called or not."""
        assert function.span is not None
        own = {n: Piece("parameter", (), function.span, n) for n in function.parameters}
        with self._inside(function, own, None):
            self.expression(function.body)

    def _call(self, node: ast.Call, span: Span) -> Piece:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        function = self._place.functions.get(name)
        if name in OVER_T and function is None and _is_over_t(node):
            return Piece("over_t", (self.expression(node.args[1]),), span, name)
        if name in OF_TWO and function is None and len(node.args) == 2:
            shown = ", ".join(self._show(part)[1:-1] for part in node.args)
            raise errors.ArgumentCountError(
                span,
                f"{name} takes one vector, got 2 arguments",
                fix=f"{OF_TWO[name]}({shown}), the {name} of two values",
            )
        if function is None and name not in CALLS:
            function = derived().get(name)
        if function is not None:
            arguments = self._arguments(function, node)
            if function.is_derived and name in TAKES:
                arguments = {
                    parameter: ranked(name, position, argument)
                    for position, (parameter, argument) in enumerate(arguments.items())
                }
            return self._expand(function, arguments, span)
        if name not in CALLS:
            known = {*CALLS, *derived(), *self._place.functions}
            instead = CALLS_INSTEAD.get(name) or alone(node.func, known)
            raise errors.UnknownOperationError(
                self.span(node.func),
                f"{self._show(node.func)} is not an operation",
                fix=instead or _closest(name, known) + "the operations are "
                + ", ".join(sorted(known)),
            )  # fmt: skip
        data = self._keywords(node, name)
        arity = CALLS[name].arity
        if len(node.args) != arity:
            noun = "argument" if arity == 1 else "arguments"
            raise errors.ArgumentCountError(
                span,
                f"{name} takes {arity} {noun}, got {len(node.args)}",
                fix=f"{name}({', '.join('uvw'[:arity])})" + self._along(node, arity),
            )
        return Piece(name, tuple(map(self.expression, node.args)), span, data)

    @staticmethod
    def _along(node: ast.Call, arity: int) -> str:
        """What is missing where `sum(j, u)` runs along an undeclared index."""
        first = node.args[0] if len(node.args) == 2 and arity == 1 else None
        if not isinstance(first, ast.Name):
            return ""
        return f"; if {first.id} is an index, {declared_index(first.id)}"

    def call_derived(self, name: str, span: Span, *arguments: Piece) -> Piece:
        """An operation of `derived.cell` that has a sign of its own, such as `%`."""
        function = derived()[name]
        return self._expand(
            function, dict(zip(function.parameters, arguments, strict=True)), span
        )

    # ----- functions -----

    def _arguments(self, function: Function, node: ast.Call) -> dict[str, Piece]:
        """The argument of every parameter, defaults included."""
        given: dict[str, ast.expr] = dict(
            zip(function.parameters, node.args, strict=False)
        )
        for keyword in node.keywords:
            if keyword.arg not in function.parameters or keyword.arg in given:
                raise errors.ArgumentCountError(
                    self.span(keyword),
                    f"{function.name} does not take {self._show(keyword)}"
                    + (" as well" if keyword.arg in given else ""),
                    fix=function.form,
                )
            given[str(keyword.arg)] = keyword.value
        missing = [
            p
            for p in function.parameters
            if p not in given and p not in function.defaults
        ]
        if len(node.args) > len(function.parameters) or missing:
            n_needed = len(function.parameters)
            noun = "argument" if n_needed == 1 else "arguments"
            raise errors.ArgumentCountError(
                self.span(node),
                f"{function.name} takes {n_needed} {noun}, got "
                f"{len(node.args) + len(node.keywords)}",
                fix=function.form,
            )
        span = self.span(node)
        return {
            name: self.expression(given[name])
            if name in given
            else Piece("constant", (), span, function.defaults[name])
            for name in function.parameters
        }

    def _expand(
        self, function: Function, arguments: Mapping[str, Piece], span: Span
    ) -> Piece:
        if function in self._place.active:
            last = self._place.active[-1]
            way = "" if last is function else f", by way of {last.name}"
            raise errors.RecursiveFunctionError(
                span,
                f"{function.name} calls itself{way}",
                fix="a function is replaced by its body, which must come to an end; "
                "what goes on from step to step is a state, h[t-1]",
            )
        self._n_calls += 1
        if self._n_calls > MAX_CALLS:
            raise errors.CellSyntaxError(
                span,
                f"more than {MAX_CALLS} calls of functions, those inside their bodies "
                "included",
                fix="give the values that are used again a name, in equations",
            )
        with self._inside(function, arguments, span):
            return self.expression(function.body)

    @contextmanager
    def _inside(
        self, function: Function, arguments: Mapping[str, Piece], span: Span | None
    ) -> Iterator[None]:
        """Read in the body of a function, then go on as before."""
        outer = self._place
        self._place = replace(
            outer,
            bound=arguments,
            active=(*outer.active, function),
            called=span,
            hidden=(outer.hidden or span) if function.is_derived else outer.hidden,
            functions=derived() if function.is_derived else outer.functions,
        )
        try:
            yield
        finally:
            self._place = outer

    def _keywords(self, node: ast.Call, name: str) -> object:
        """`layer_norm(x, eps=1e-5)` is the one operation with a keyword."""
        allowed = ("eps",) if name == "layer_norm" else ()
        for position, keyword in enumerate(node.keywords):
            shown = self._show(keyword)
            if keyword.arg not in allowed or position:
                raise errors.ArgumentCountError(
                    self.span(keyword),
                    f"{name} does not take {shown}" + (" as well" if position else ""),
                    fix="leave it out; only layer_norm has a keyword, `eps=1e-5`",
                )
        if name != "layer_norm":
            return None
        return self._eps(node.keywords[0]) if node.keywords else 1e-5

    def _eps(self, keyword: ast.keyword) -> float:
        value = keyword.value
        if isinstance(value, ast.Constant) and type(value.value) in (int, float):
            eps = self._finite(value)
            if eps > 0:
                return eps
        raise errors.ArgumentCountError(
            self.span(keyword), "eps is a positive number", fix="eps=1e-5"
        )


def _is_over_t(node: ast.Call) -> bool:
    first = node.args[0] if len(node.args) == 2 and not node.keywords else None
    return isinstance(first, ast.Name) and first.id == "t"


def _closest(name: str, known: Collection[str]) -> str:
    """A suggestion for a misspelt operation."""
    close = errors.find_nearest(name, sorted(known))
    return "" if close is None else f"{close}? "
