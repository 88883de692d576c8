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

from collections.abc import Callable, Mapping

import numpy as np

from bptt.explain.algebra.compare import exceeds, reaches
from bptt.explain.algebra.point import Scope
from bptt.explain.notation.latex_meaning import (
    FUNCTIONS,
    Meaning,
    State,
    Symbol,
    add_up,
    column,
    derivative,
    picked,
    raised,
    scalar,
    times,
)
from bptt.explain.notation.latex_tokens import (
    GREEK,
    LatexReadError,
    LatexTokens,
    in_words,
)
from bptt.step.shapes import Array

_LETTERS = "ijklm"


def read(latex: str, scope: Scope) -> Meaning:
    """The meaning of a formula: a function of a state, giving a matrix.

    Raises: LatexReadError.
    """
    reader = _LatexReader(latex, scope)
    meaning = reader.sum()
    reader.need_end()
    return meaning


class _LatexReader(LatexTokens):
    """Recursive descent over LaTeX tokens; every method returns a meaning."""

    def __init__(self, latex: str, scope: Scope) -> None:
        super().__init__(latex)
        self._scope = scope
        self._own = {in_words(name): name for name in (*scope.names, *scope.dims)}

    # ----- sums and products -----

    def sum(self) -> Meaning:
        """Terms with + and - between them; the first may have a sign."""
        parts = [(-1.0 if self.skip("-") else 1.0, self._term())]
        while self.peek() in ("+", "-"):
            parts.append((1.0 if self.next() == "+" else -1.0, self._term()))
        sign, first = parts[0]
        if len(parts) == 1 and sign > 0:
            return first

        def meaning(state: State) -> Array:
            result = sign * first(state)
            for factor, part in parts[1:]:
                result = result + factor * part(state)
            return result

        return meaning

    def _term(self) -> Meaning:
        factors = [self._chain()]
        while self.skip(r"\odot"):
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
            self.skip(r"\cdot")
            factors.append(self._factor())
        return factors[0] if len(factors) == 1 else lambda state: times(factors, state)

    def _starts_factor(self) -> bool:
        token = self.peek()
        closers = ("", "+", "-", "}", ",", r"\right", "=", ">", r"\ge", r"\odot", "|")
        return token not in closers

    # ----- factors -----

    def _factor(self) -> Meaning:
        head = self.peek()
        if head == r"\sum":
            return self._sum_over()
        if head == r"\left":
            return self._scripts(self._bracket())
        if head == r"\frac":
            return self._scripts(self._fraction())
        if head == r"\sqrt":
            self.next()
            inside = self._braced()
            return self._scripts(lambda state: np.sqrt(inside(state)))
        if head == r"\nabla":
            return self._nabla()
        if head == r"\mathbf":
            return self._scripts(self._bold())
        if head[:1].isdigit():
            number = float(self.next())
            return self._scripts(lambda state: scalar(number))
        if self._is_delta():
            return self._delta()
        name = self._function_name()
        if name:
            return self._scripts(self._function(name))
        return self._symbol_value()

    def _braced(self) -> Meaning:
        self.need("{")
        inside = self.sum()
        self.need("}")
        return inside

    def _bracket(self) -> Meaning:
        self.need(r"\left")
        opening = self.next()
        inside = self.sum()
        self.need(r"\right", {"(": ")", "|": "|"}[opening])
        return (lambda state: np.abs(inside(state))) if opening == "|" else inside

    def _scripts(self, base: Meaning) -> Meaning:
        if self.skip("_"):
            self.need("{")
            is_column = self.skip(":", ",")
            base = picked(base, self._indices(), is_column=is_column)
            self.need("}")
        if self.skip("^"):
            self.need("{")
            if self.skip(r"\top"):
                inner = base
                base = lambda state: inner(state).T  # noqa: E731
            else:
                base = raised(base, self.sum())
            self.need("}")
        return base

    def _sum_over(self) -> Meaning:
        self.need(r"\sum", "_", "{")
        index = self.next()
        self.need("=")
        if index in _LETTERS:
            self.need("1", "}", "^", "{")
            if (dim := self._try_dimension()) is None:
                raise self.error("a dimension is missing")
            self.need("}")
            body = self._chain()
            return lambda state: add_up(body, state, index, "letters",
                                         range(state.point.size(dim)))  # fmt: skip
        self.allow(index, "t", "s")
        lower = self._time()
        self.need("}", "^", "{")
        upper = self._time()
        self.need("}")
        body = self._chain()
        return lambda state: add_up(
            body, state, index, "steps",
            range(lower(state.steps), upper(state.steps) + 1),
        )  # fmt: skip

    def _fraction(self) -> Meaning:
        self.need(r"\frac", "{")
        for marker, is_total in (((r"\partial",), False), ((r"\mathrm", "{", "d", "}"),
                                                           True)):  # fmt: skip
            if self.skip(*marker):
                target = self._symbol()
                self.need("}", "{")
                self.need(*marker)
                source = self._symbol()
                self.need("}")
                return lambda state: derivative(state, target, source, is_total)
        top = self.sum()
        self.need("}")
        bottom = self._braced()
        return lambda state: top(state) / bottom(state)

    def _nabla(self) -> Meaning:
        self.need(r"\nabla", "_", "{")
        symbol = self._symbol()
        self.need("}", "L")
        return lambda state: state.point.gradient(*symbol.key(state))

    def _bold(self) -> Meaning:
        self.need(r"\mathbf", "{")
        kind = self.next()
        self.need("}", "_", "{")
        if kind == "1" and self.peek() in _LETTERS and self.peek(1) == "=":
            letter = self.next()
            self.need("=")
            index = self._class_index()
            self.need("}")
            return lambda state: scalar(state.letters[letter] == index(state))
        if kind == "e":
            start = self.at
            name = self._symbol().name
            self.at = start
            index = self._class_index()
            self.need("}")
            dim = self._scope.graph.inputs[name].index
            return lambda state: column(state.point.size(dim), index(state))  # type: ignore[arg-type]
        found = self._sized(kind)
        self.need("}")
        return found

    def _sized(self, kind: str) -> Meaning:
        start = self.at
        dims = [self._try_dimension()]
        if dims[0] is not None and self.skip(","):
            dims.append(self._try_dimension())
        rows, columns = dims[0], dims[-1]
        if rows is None or columns is None or self.peek() != "}":
            self.at = start
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
        relation = exceeds if self.next() == ">" else reaches
        right = self.sum()
        return lambda state: relation(left(state), right(state))

    def _is_delta(self) -> bool:
        return self.peek() == r"\delta" and self.peek(4) == "," and (
            self.peek(3) in _LETTERS and self.peek(5) in _LETTERS
        )  # fmt: skip

    def _delta(self) -> Meaning:
        self.need(r"\delta", "_", "{")
        first = self.next()
        self.need(",")
        second = self.next()
        self.need("}")
        return lambda state: scalar(state.letters[first] == state.letters[second])

    # ----- functions -----

    def _function_name(self) -> str:
        start, words = self.at, []
        while True:
            head = self.peek()
            if head == r"\operatorname":
                self.need(r"\operatorname", "{")
                word = ""
                while self.peek() != "}":
                    word += self.next()
                self.need("}")
                words.append(word)
            elif head[1:] in FUNCTIONS and head.startswith("\\"):
                words.append(self.next()[1:])
            else:
                break
        if words and self.peek() == r"\left" and words[0] not in self._scope.names:
            return " ".join(words)
        self.at = start
        return ""

    def _function(self, name: str) -> Meaning:
        self.need(r"\left", "(")
        arguments = [self.sum()]
        while self.skip(","):
            arguments.append(self.sum())
        self.need(r"\right", ")")
        if name not in FUNCTIONS:
            raise self.error(f"no function {name}")
        meaning = FUNCTIONS[name]
        return lambda state: np.asarray(meaning(*(a(state) for a in arguments)))

    # ----- symbols -----

    def _symbol_value(self) -> Meaning:
        if self.peek() == r"\overline":
            return self._incoming()
        # An upright label belongs to a name: w_{\mathrm{i}}.
        is_weight = "w" not in self._scope.names and self.peek(3) != r"\mathrm"
        if self.peek() == "w" and is_weight:
            self.need("w", "_", "{")
            step = self._time()
            self.need("}")
            return lambda state: state.point.weight(step(state.steps))
        dim = self._one_dimension()
        if dim is not None:
            return lambda state: scalar(state.point.size(dim))
        return self._with_scripts(self._symbol())

    def _with_scripts(self, symbol: Symbol) -> Meaning:
        def value(state: State) -> Array:
            found = state.point.value(*symbol.key(state))
            chosen = symbol.chosen(state)
            if chosen and symbol.is_column:
                found = found[:, list(chosen)]
            elif chosen:
                found = scalar(found[chosen if len(chosen) > 1 else (*chosen, 0)])
            return found.T if symbol.is_transposed else found

        return value if symbol.power is None else raised(value, symbol.power)

    def _incoming(self) -> Meaning:
        self.need(r"\overline", "{")
        name = self._symbol().name
        self.need("}", "^", "{")
        time = self._step()
        self.need("}")
        return lambda state: state.point.incoming(name, time(state.steps))

    def _symbol(self) -> Symbol:
        symbol = Symbol(self._base())
        self._labels(symbol)
        symbol.name = self._own.get(in_words(symbol.name), symbol.name)
        if self.skip("^"):
            self._superscript(symbol)
        return symbol

    def _labels(self, symbol: Symbol) -> None:
        if self.skip("_"):
            self.need("{")
            more = True
            if self.skip_font():
                symbol.name += "_" + self.letters_in_braces()
                more = self.skip(",")
            if more:
                symbol.is_column = self.skip(":", ",")
                symbol.indices = self._indices()
            self.need("}")

    def _base(self) -> str:
        head = self.next()
        if head in (r"\hat", r"\tilde", r"\bar"):
            self.need("{")
            name = self._base()
            self.need("}")
            return f"{name}_{head[1:]}"
        if head in (r"\mathit", r"\text"):
            return self.letters_in_braces()
        if head.startswith("\\"):
            if head[1:] not in GREEK:
                raise self.error(f"{head} is not a symbol")
            return head[1:]
        if not head.isalpha():
            raise self.error(f"{head!r} is not a symbol")
        return head

    def _superscript(self, symbol: Symbol) -> None:
        self.need("{")
        if self.peek() == "(":
            symbol.time = self._step()
        if self.skip(r"\top"):
            symbol.is_transposed = True
        elif self.peek() != "}":
            symbol.power = self.sum()
        self.need("}")

    def _step(self) -> Callable[[Mapping[str, int]], int]:
        self.need("(")
        time = self._time()
        self.need(")")
        return time

    def _time(self) -> Callable[[Mapping[str, int]], int]:
        before = self.skip("-")  # h^(-1), where a delay reads several steps back
        token = self.next().removeprefix("\\")
        if token.isdigit():
            number = -int(token) if before else int(token)
            return lambda steps: number
        if token not in ("t", "s", "tau"):
            raise self.error(f"{token} is not a step")
        offset = 0
        if self.peek() in ("+", "-"):
            sign = 1 if self.next() == "+" else -1
            offset = sign * int(self.next())
        return lambda steps: steps[token] + offset

    def _indices(self) -> tuple[Callable[[State], int], ...]:
        found = [self._class_index()]
        while self.skip(","):
            found.append(self._class_index())
        return tuple(found)

    def _class_index(self) -> Callable[[State], int]:
        token = self.peek()
        if token in _LETTERS and self.peek(1) in (",", "}"):
            self.next()
            return lambda state: state.letters[token]
        symbol = self._symbol()
        return lambda state: int(state.point.value(*symbol.key(state))[0, 0])

    def _try_dimension(self) -> str | int | None:
        """A dimension or a sum of some, n_h + n_x, if one stands here."""
        dim = self._one_dimension()
        while dim is not None and self.skip("+"):
            dim = f"{dim}+{self._one_dimension()}"
        return dim

    def _one_dimension(self) -> str | int | None:
        start = self.at
        if self.peek().isdigit():
            return int(self.next())
        if self.skip(r"\tau"):
            return "tau"
        try:
            name = self._base()
        except LatexReadError:
            name = ""
        if name and self.skip("_", "{"):
            label = self.letters_in_braces() if self.skip_font() else self.next()
            name = f"{name}_{label}"
            if not self.skip("}"):
                self.at = start
                return None
        name = self._own.get(in_words(name), name)
        if name in self._scope.dims and self.peek() != "^":
            return name
        self.at = start
        return None
