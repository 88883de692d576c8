r"""An independent reader of the LaTeX that is shown: parse it, and evaluate it.

Right numbers could stand under a wrong formula, as in the book. So what is emitted is
read back by this module, which shares no code with the printers or with the evaluation
of the tree: its own tokens, its own grammar, its own meaning of every function.

    sum      = ["-"] term {("+" | "-") term}
    term     = chain {\odot chain}            \odot binds less than a matrix product
    chain    = factor {factor}                side by side: the matrix product
    factor   = atom with scripts | \sum_{t=1}^{\tau} chain | "(" sum ")" | \frac ...
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bptt.explain.point import Point, Scope, UnknownSymbolError

Array = NDArray[Any]
_TOKEN = re.compile(r"\\left|\\right|\\[A-Za-z]+|\\.|\d+(?:\.\d+)?|[^\s]")
_LETTERS = "ijklm"
_GREEK = frozenset(
    "alpha beta gamma delta epsilon zeta eta theta kappa lambda mu nu xi pi rho sigma "
    "phi chi psi omega".split()
)


class LatexReadError(ValueError):
    """The emitted LaTeX is not a formula that can be read back: a bug of a printer."""


@dataclass(frozen=True)
class State:
    """Where a formula is evaluated: a point, its steps, its letters from 0."""

    point: Point
    steps: Mapping[str, int]
    letters: Mapping[str, int]


Meaning = Callable[[State], Array]


def read(latex: str, scope: Scope) -> Meaning:
    """The meaning of a formula: a function of a state, giving a matrix.

    Raises: LatexReadError.
    """
    reader = _Reader(latex, scope)
    meaning = reader.sum()
    reader.need_end()
    return meaning


def value_of(
    latex: str, point: Point, t: int | None, letters: Mapping[str, int]
) -> Array:
    """The value of a formula at a step; letters: free indices, from 0."""
    return read(latex, point.scope)(state_at(point, t, letters))


def state_at(point: Point, t: int | None, letters: Mapping[str, int]) -> State:
    """The state of a point at step t."""
    steps = {"tau": point.tau} if t is None else {"tau": point.tau, "t": t}
    return State(point, steps, letters)


# ----- what the functions mean -----


def _softmax(x: Array) -> Array:
    grown = np.exp(x - x.max())
    return grown / grown.sum()


def _layer_norm(x: Array, eps: Array) -> Array:
    centred = x - x.mean()
    return centred / np.sqrt((centred**2).mean() + eps)


_FUNCTIONS: dict[str, Callable[..., Array]] = {
    "tanh": np.tanh,
    "sigma": lambda x: 1 / (1 + np.exp(-x)),
    "zeta": lambda x: np.logaddexp(0, x),
    "relu": lambda x: np.where(x > 0, x, 0.0),
    "exp": np.exp,
    "log": np.log,
    "sin": np.sin,
    "cos": np.cos,
    "sign": np.sign,
    "stop": lambda x: x,
    "softmax": _softmax,
    "log softmax": lambda x: np.log(_softmax(x)),
    "LN": _layer_norm,
    "mean": lambda x: np.mean(x, keepdims=True),
    "max": np.maximum,
    "min": np.minimum,
    "where": lambda c, a, b: np.where(c != 0, a, b),
    "diag": lambda x: np.diag(x[:, 0]),
}


@dataclass
class _Symbol:
    """A symbol with its scripts while it is being read."""

    name: str
    time: Callable[[Mapping[str, int]], int] | None = None
    indices: tuple[Callable[[State], int], ...] = ()
    is_column: bool = False
    is_transposed: bool = False
    power: Meaning | None = None

    def step(self, state: State) -> int | None:
        return None if self.time is None else self.time(state.steps)

    def key(self, state: State) -> tuple[str, int | None]:
        return self.name, self.step(state)

    def chosen(self, state: State) -> tuple[int, ...]:
        return tuple(index(state) for index in self.indices)


class _Reader:
    """Recursive descent over LaTeX tokens; every method returns a meaning."""

    def __init__(self, latex: str, scope: Scope) -> None:
        self._latex = latex
        self._scope = scope
        self._dims = {str(dim) for dim in scope.graph.dims()}
        self._tokens = [*_TOKEN.findall(latex), ""]
        self._at = 0

    # ----- tokens -----

    def _peek(self, ahead: int = 0) -> str:
        return self._tokens[min(self._at + ahead, len(self._tokens) - 1)]

    def _next(self) -> str:
        token = self._peek()
        self._at += 1
        return token

    def _skip(self, *tokens: str) -> bool:
        if all(self._peek(i) == token for i, token in enumerate(tokens)):
            self._at += len(tokens)
            return True
        return False

    def _need(self, *tokens: str) -> None:
        if not self._skip(*tokens):
            raise self._error(f"expected {' '.join(tokens)}")

    def _error(self, problem: str) -> LatexReadError:
        rest = " ".join(self._tokens[self._at : self._at + 6])
        return LatexReadError(f"{problem} before {rest!r} in {self._latex}")

    def need_end(self) -> None:
        if self._peek():
            raise self._error("nothing more expected")

    # ----- sums and products -----

    def sum(self) -> Meaning:
        parts = [(-1.0 if self._skip("-") else 1.0, self._term())]
        while self._peek() in ("+", "-"):
            parts.append((1.0 if self._next() == "+" else -1.0, self._term()))
        if parts == [(1.0, parts[0][1])]:
            return parts[0][1]

        def meaning(state: State) -> Array:
            sign, first = parts[0]
            result = sign * first(state)
            for sign, part in parts[1:]:
                result = result + sign * part(state)
            return result

        return meaning

    def _term(self) -> Meaning:
        factors = [self._chain()]
        while self._skip(r"\odot"):
            factors.append(self._chain())
        if len(factors) == 1:
            return factors[0]

        def meaning(state: State) -> Array:
            result = factors[0](state)
            for factor in factors[1:]:
                result = result * factor(state)
            return result

        return meaning

    def _chain(self) -> Meaning:
        factors = [self._factor()]
        while self._starts_factor():
            self._skip(r"\cdot")
            factors.append(self._factor())
        return factors[0] if len(factors) == 1 else lambda state: _times(factors, state)

    def _starts_factor(self) -> bool:
        token = self._peek()
        closers = ("", "+", "-", "}", ",", r"\right", "=", ">", r"\ge", r"\odot", "|")
        return token not in closers

    # ----- factors -----

    def _factor(self) -> Meaning:
        token = self._peek()
        if token == r"\sum":
            return self._sum_over()
        if token == r"\left":
            return self._scripts(self._bracket())
        if token == r"\frac":
            return self._scripts(self._fraction())
        if token == r"\sqrt":
            self._next()
            inside = self._braced()
            return lambda state: np.sqrt(inside(state))
        if token == r"\nabla":
            return self._nabla()
        if token == r"\mathbf":
            return self._scripts(self._bold())
        if token[:1].isdigit():
            number = float(self._next())
            return self._scripts(lambda state: _scalar(number))
        if self._is_delta():
            return self._delta()
        name = self._function_name()
        if name:
            return self._scripts(self._function(name))
        return self._symbol_value()

    def _braced(self) -> Meaning:
        self._need("{")
        inside = self.sum()
        self._need("}")
        return inside

    def _bracket(self) -> Meaning:
        self._need(r"\left")
        opening = self._next()
        inside = self.sum()
        self._need(r"\right", {"(": ")", "|": "|"}[opening])
        return (lambda state: np.abs(inside(state))) if opening == "|" else inside

    def _scripts(self, base: Meaning) -> Meaning:
        if self._skip("_"):
            self._need("{")
            indices = self._indices()
            self._need("}")
            base = _picked(base, indices)
        if self._skip("^"):
            self._need("{")
            if self._skip(r"\top"):
                inner = base
                base = lambda state: inner(state).T  # noqa: E731
            else:
                base = _raised(base, self.sum())
            self._need("}")
        return base

    def _sum_over(self) -> Meaning:
        self._need(r"\sum", "_", "{")
        index = self._next()
        self._need("=")
        if index in _LETTERS:
            self._need("1", "}", "^", "{")
            dim = self._dimension()
            self._need("}")
            body = self._chain()
            return lambda state: _add_up(body, state, index, "letters",
                                         range(state.point.size(dim)))  # fmt: skip
        lower = self._time()
        self._need("}", "^", "{")
        upper = self._time()
        self._need("}")
        body = self._chain()
        return lambda state: _add_up(
            body, state, index, "steps",
            range(lower(state.steps), upper(state.steps) + 1),
        )  # fmt: skip

    def _fraction(self) -> Meaning:
        self._need(r"\frac", "{")
        for marker, is_total in (((r"\partial",), False), ((r"\mathrm", "{", "d", "}"),
                                                           True)):  # fmt: skip
            if self._skip(*marker):
                target = self._symbol()
                self._need("}", "{")
                self._need(*marker)
                source = self._symbol()
                self._need("}")
                return lambda state: _derivative(state, target, source, is_total)
        top = self.sum()
        self._need("}")
        bottom = self._braced()
        return lambda state: top(state) / bottom(state)

    def _nabla(self) -> Meaning:
        self._need(r"\nabla", "_", "{")
        symbol = self._symbol()
        self._need("}", "L")
        return lambda state: state.point.gradient(*symbol.key(state))

    def _bold(self) -> Meaning:
        self._need(r"\mathbf", "{")
        kind = self._next()
        self._need("}", "_", "{")
        if kind == "1" and self._peek() in _LETTERS and self._peek(1) == "=":
            letter = self._next()
            self._need("=")
            index = self._class_index()
            self._need("}")
            return lambda state: _scalar(state.letters[letter] == index(state))
        if kind == "e":
            start = self._at
            name = self._symbol().name
            self._at = start
            index = self._class_index()
            self._need("}")
            dim = self._scope.graph.inputs[name].index
            return lambda state: _column(state.point.size(dim), index(state))  # type: ignore[arg-type]
        found = self._sized(kind)
        self._need("}")
        return found

    def _sized(self, kind: str) -> Meaning:
        start = self._at
        dims = [self._try_dimension()]
        if dims[0] is not None and self._skip(","):
            dims.append(self._try_dimension())
        rows, columns = dims[0], dims[-1]
        if rows is None or columns is None or self._peek() != "}":
            self._at = start
            return self._comparison()
        makers: dict[str, Meaning] = {
            "I": lambda state: np.eye(state.point.size(rows)),
            "1": lambda state: np.ones((state.point.size(rows), 1)),
            "0": lambda state: np.zeros(
                (state.point.size(rows), state.point.size(columns))
            ),
        }
        return makers[kind]

    def _comparison(self) -> Meaning:
        left = self.sum()
        relation = np.greater if self._next() == ">" else np.greater_equal
        right = self.sum()
        return lambda state: relation(left(state), right(state)).astype(float)

    def _is_delta(self) -> bool:
        return self._peek() == r"\delta" and self._peek(4) == "," and (
            self._peek(3) in _LETTERS and self._peek(5) in _LETTERS
        )  # fmt: skip

    def _delta(self) -> Meaning:
        self._need(r"\delta", "_", "{")
        first = self._next()
        self._need(",")
        second = self._next()
        self._need("}")
        return lambda state: _scalar(state.letters[first] == state.letters[second])

    # ----- functions -----

    def _function_name(self) -> str:
        start, words = self._at, []
        while True:
            token = self._peek()
            if token == r"\operatorname":
                self._need(r"\operatorname", "{")
                word = ""
                while self._peek() != "}":
                    word += self._next()
                self._need("}")
                words.append(word)
            elif token[1:] in _FUNCTIONS and token.startswith("\\"):
                words.append(self._next()[1:])
            else:
                break
        if words and self._peek() == r"\left" and words[0] not in self._scope.names:
            return " ".join(words)
        self._at = start
        return ""

    def _function(self, name: str) -> Meaning:
        self._need(r"\left", "(")
        arguments = [self.sum()]
        while self._skip(","):
            arguments.append(self.sum())
        self._need(r"\right", ")")
        if name not in _FUNCTIONS:
            raise self._error(f"no function {name}")
        meaning = _FUNCTIONS[name]
        return lambda state: np.asarray(meaning(*(a(state) for a in arguments)))

    # ----- symbols -----

    def _symbol_value(self) -> Meaning:
        if self._peek() == r"\overline":
            return self._incoming()
        if self._peek() == "w" and "w" not in self._scope.names:
            self._need("w", "_", "{")
            time = self._time()
            self._need("}")
            return lambda state: state.point.weight(time(state.steps))
        dim = self._try_dimension()
        if dim is not None:
            return lambda state: _scalar(state.point.size(dim))
        symbol = self._symbol()
        return self._with_scripts(symbol)

    def _with_scripts(self, symbol: _Symbol) -> Meaning:
        def value(state: State) -> Array:
            found = state.point.value(*symbol.key(state))
            chosen = symbol.chosen(state)
            if symbol.is_column:
                found = found[:, list(chosen)]
            elif chosen:
                found = np.reshape(found[chosen if len(chosen) > 1 else (*chosen, 0)],
                                   (1, 1))  # fmt: skip
            return found.T if symbol.is_transposed else found

        return value if symbol.power is None else _raised(value, symbol.power)

    def _incoming(self) -> Meaning:
        self._need(r"\overline", "{")
        name = self._symbol().name
        self._need("}", "^", "{")
        time = self._step()
        self._need("}")
        return lambda state: state.point.incoming(name, time(state.steps))

    def _symbol(self) -> _Symbol:
        symbol = _Symbol(self._base())
        if self._skip("_"):
            self._need("{")
            if self._skip(r"\mathrm"):
                symbol.name += "_" + self._letters_in_braces()
                more = self._skip(",")
            else:
                more = True
            if more:
                symbol.is_column = self._skip(":", ",")
                symbol.indices = self._indices()
            self._need("}")
        if self._skip("^"):
            self._superscript(symbol)
        return symbol

    def _base(self) -> str:
        token = self._next()
        if token in (r"\hat", r"\tilde", r"\bar"):
            self._need("{")
            name = self._base()
            self._need("}")
            return f"{name}_{token[1:]}"
        if token == r"\mathit":
            return self._letters_in_braces()
        if token.startswith("\\"):
            if token[1:] not in _GREEK:
                raise self._error(f"{token} is not a symbol")
            return token[1:]
        if not token.isalpha():
            raise self._error(f"{token!r} is not a symbol")
        return token

    def _letters_in_braces(self) -> str:
        self._need("{")
        text = ""
        while not self._skip("}"):
            text += self._next().removeprefix("\\")
        return text

    def _superscript(self, symbol: _Symbol) -> None:
        self._need("{")
        if self._peek() == "(":
            symbol.time = self._step()
        if self._skip(r"\top"):
            symbol.is_transposed = True
        elif self._peek() != "}":
            symbol.power = self.sum()
        self._need("}")

    def _step(self) -> Callable[[Mapping[str, int]], int]:
        self._need("(")
        time = self._time()
        self._need(")")
        return time

    def _time(self) -> Callable[[Mapping[str, int]], int]:
        token = self._next().removeprefix("\\")
        if token.isdigit():
            number = int(token)
            return lambda steps: number
        if token not in ("t", "s", "tau"):
            raise self._error(f"{token} is not a step")
        offset = 0
        if self._peek() in ("+", "-"):
            sign = 1 if self._next() == "+" else -1
            offset = sign * int(self._next())
        return lambda steps: steps[token] + offset

    def _indices(self) -> tuple[Callable[[State], int], ...]:
        found = [self._class_index()]
        while self._skip(","):
            found.append(self._class_index())
        return tuple(found)

    def _class_index(self) -> Callable[[State], int]:
        token = self._peek()
        if token in _LETTERS and self._peek(1) in (",", "}"):
            self._next()
            return lambda state: state.letters[token]
        symbol = self._symbol()
        return lambda state: int(state.point.value(*symbol.key(state))[0, 0])

    def _try_dimension(self) -> str | int | None:
        """A dimension if one stands here, else nothing is read."""
        start = self._at
        if self._peek().isdigit():
            return int(self._next())
        if self._skip(r"\tau"):
            return "tau"
        try:
            name = self._base()
        except LatexReadError:
            self._at = start
            return None
        if self._skip("_", "{"):
            if self._skip(r"\mathrm"):
                name += "_" + self._letters_in_braces()
            else:
                name += "_" + self._next()
            if not self._skip("}"):
                self._at = start
                return None
        if name in self._dims and self._peek() != "^":
            return name
        self._at = start
        return None

    def _dimension(self) -> str | int:
        dim = self._try_dimension()
        if dim is None:
            raise self._error("a dimension is missing")
        return dim


def _scalar(value: Any) -> Array:
    return np.array([[float(value)]])


def _column(size: int, index: int) -> Array:
    return (np.arange(size) == index).astype(float)[:, None]


def _times(factors: list[Meaning], state: State) -> Array:
    result = factors[0](state)
    for factor in factors[1:]:
        value = factor(state)
        if result.size == 1 or value.size == 1:
            result = result * value
        else:
            result = result.dot(value)
    return result


def _picked(base: Meaning, indices: tuple[Callable[[State], int], ...]) -> Meaning:
    def meaning(state: State) -> Array:
        chosen = tuple(index(state) for index in indices)
        return _scalar(base(state)[chosen if len(chosen) > 1 else (*chosen, 0)])

    return meaning


def _raised(base: Meaning, power: Meaning) -> Meaning:
    return lambda state: base(state) ** power(state)


def _add_up(
    body: Meaning, state: State, index: str, kind: str, values: range
) -> Array:
    old: Mapping[str, int] = getattr(state, kind)
    terms = [body(replace(state, **{kind: {**old, index: v}})) for v in values]
    return np.sum(terms, axis=0) if terms else _scalar(0.0)


def _derivative(
    state: State, target: _Symbol, source: _Symbol, is_total: bool
) -> Array:
    array = state.point.jacobian(target.key(state), source.key(state), total=is_total)
    array = array[target.chosen(state) + source.chosen(state)]
    if array.ndim == 2:
        return array
    if array.ndim > 2:
        raise UnknownSymbolError("a derivative with more than two indices")
    if array.ndim == 0:
        return _scalar(array)
    is_row = target.name == "L" or not state.point.scope.core(target.name)
    return array[None, :] if is_row else array[:, None]
