r"""Formulas of a cell with indices: from LaTeX to the language of cells.

    \nabla_{S_j^{(t)}} L    grad_S[t, j]        {q_j^{(t)}}^\top    a row
    \sum_{j=1}^{n_{head}} W_j^\top g_j          sum(j, W[j].T @ g[j])
    u v^\top, u^\top v, A u, f A                outer, dot, @, *

Side by side is a product; ranks tell which. The language reads what comes out of here,
and says of its shapes what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from bptt.explain.indices.ranks import ALONG, rank_of_call
from bptt.explain.indices.read_places import PlaceReader
from bptt.explain.indices.said import (
    ATOM,
    POWER,
    PRODUCT,
    SUM,
    Said,
    beside,
    turned,
    written,
)
from bptt.explain.notation.formula_tokens import Token
from bptt.explain.notation.printer import CALLED_WORDS
from bptt.language.print_indices import with_places
from bptt.step.graph import Graph
from bptt.step.ops import OPS

MAX_DEPTH = 60
_READ = re.compile(r"\w+(\[[^\[\]]*\])?")  # a name, or what is read of one
_WORDS = {" ".join(words): name for name, words in CALLED_WORDS.items()}
_ALONE = frozenset(("max", "min"))  # of one argument: the largest element
_RELATIONS = {">": ">", ">=": ">=", "=": "=="}
_OPENING = ("(", "{", "[", "|(", "|", "∇", "Σ", "frac", "√", "overline", "𝟏", "𝐈", "𝐞")
_UNARY = frozenset(n for n, row in OPS.items() if row.is_elementwise and row.arity == 1)


def read_printed(
    text: str, graph: Graph, letters: Iterable[str] = ()
) -> tuple[str, ...]:
    """The sides of an equation in LaTeX, or one expression, as the language has them.

    letters: indices that the cell does not have.
    Raises: FormulaSyntaxError, UnknownSymbolError.
    """
    return _Printed(text, graph, letters).sides()


class _Printed(PlaceReader):
    """Recursive descent over the tokens of one formula."""

    _depth = 0

    def sides(self) -> tuple[str, ...]:
        """All sides of an equation."""
        found = [self._sum()]
        while self.accept("="):
            found.append(self._sum())
        if self.now.kind != "end":
            self.fail_at(self.now, "formula.cannot-stand", found=self.now.text)
        return tuple(side.text for side in found)

    # ----- sums and products -----

    def _sum(self) -> Said:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self.fail_at(self.now, "formula.too-deep")
        found = self._term()
        while sign := self.accept("+", "-"):
            term = self._term()
            rank = max(found.rank, term.rank, key=abs)
            text = f"{found.text} {sign.text} {term.inside(PRODUCT)}"
            found = Said(text, rank, SUM)
        self._depth -= 1
        return found

    def _term(self) -> Said:
        if self.accept("-"):
            of = self._term()
            return Said(f"-{of.inside(PRODUCT)}", of.rank, SUM)
        found = self._chain()
        while sign := self.accept("@", "*", "/", "⊗"):
            if sign.text == "/":  # u / v w is (u / v) w
                found = written(found, "/", self._factor())
                found = self._chain(found)
            elif sign.text == "*":
                found = written(found, "*", self._chain())
            else:
                right = self._chain()
                right = turned(right) if sign.text == "⊗" else right
                found = beside(found, right)
        return found

    def _chain(self, found: Said | None = None) -> Said:
        """Factors side by side."""
        found = self._factor() if found is None else found
        while self._starts_factor():
            found = beside(found, self._factor())
        return found

    def _starts_factor(self) -> bool:
        return self.now.kind in ("name", "number") or self.is_symbol(*_OPENING)

    # ----- powers and transposes -----

    def _factor(self) -> Said:
        found = self._atom()
        while True:
            if self.accept(".T"):
                found = turned(found)
            elif self.is_symbol("**"):
                found = self._raised_to(found)
            elif self.is_symbol("_") and found.rank > 0:
                self.take()
                places, taken = self._places()
                text = found.inside(ATOM)
                read = with_places(text, tuple(places)) if _READ.fullmatch(text) else (
                    f"{text}[{', '.join(places)}]"
                )  # fmt: skip
                found = Said(read, found.rank - taken)
            else:
                return found

    def _raised_to(self, base: Said) -> Said:
        self.take()
        is_braced = self.accept("{")
        is_turned = self.is_symbol("⊤") or (
            self.now.text == "T" and "T" not in self._scope.names
        )
        if is_turned:
            self.take()
            found = turned(base)
        else:
            power = self._sum() if is_braced else self._atom()
            text = f"{base.inside(ATOM)} ** {power.inside(ATOM)}"
            found = Said(text, base.rank, POWER)
        if is_braced:
            self.expect("}")
        return found

    # ----- atoms -----

    def _atom(self) -> Said:
        token = self.take()
        if token.kind == "number":
            if token.text == "1" and self.is_symbol("_"):
                return self.indicator()
            return Said(token.text, 0)
        if token.kind == "name":
            return self._named(self.labelled(token))
        read = _SIGNS.get(token.text)
        if token.kind != "symbol" or read is None:
            self.fail_at(token, "formula.no-value")
        return read(self)

    def bracket(self, close: str) -> Said:
        found = self._sum()
        if close == "]" and self.is_symbol(";"):
            parts = [found]
            while self.accept(";"):
                parts.append(self._sum())
            found = Said(f"[{'; '.join(part.text for part in parts)}]", 1)
        self.expect(close)
        return Said(f"({found.text})", found.rank) if found.level < ATOM else found

    def bars(self, close: str) -> Said:
        found = self._sum()
        self.expect(close)
        return Said(f"abs({found.text})", found.rank)

    def root(self) -> Said:
        self.expect("{")
        found = self._sum()
        self.expect("}")
        return Said(f"sqrt({found.text})", found.rank)

    def fraction(self) -> Said:
        r"""\frac{\partial L}{\partial S_j^{(t)}}, or a quotient."""
        self.expect("{")
        if self.accept("∂", "d"):
            self.expect_name("L")
            self.expect("}")
            self.expect("{")
            if not self.accept("∂"):
                self.expect("d")
            return self._gradient("}")
        top = self._sum()
        self.expect("}")
        self.expect("{")
        bottom = self._sum()
        self.expect("}")
        return written(top, "/", bottom)

    def expect_name(self, name: str) -> None:
        """Take this name.

        Raises: FormulaSyntaxError if something else stands here.
        """
        token = self.take()
        if token.text != name:
            self.fail_at(token, "formula.expected", wanted=name, found=token.text)

    def nabla(self) -> Said:
        """∇_{S_j^{(t)}} L."""
        self.expect("_")
        found = self._gradient("}" if self.accept("{") else "")
        if self.now.text == "L" and self.ahead().text not in ("_", "**"):
            self.take()
        return found

    def _gradient(self, close: str) -> Said:
        value = self.reading(self.name())
        if close:
            self.expect(close)
        return Said(f"grad_{value.text}", value.rank)

    def incoming(self) -> Said:
        self.expect("{")
        token = self.name()
        self.expect("}")
        value = self.reading(token)
        return Said(f"incoming_{value.text}", value.rank)

    def identity(self) -> Said:
        return Said(f"eye({self._lowered_text()})", 2)

    def unit(self) -> Said:
        chosen = self._lowered_text()
        is_input = chosen.partition("[")[0] in self._graph.inputs
        return Said(f"one_hot{'' if is_input else '_of'}({chosen})", 1)

    def _lowered_text(self) -> str:
        self.expect("_")
        (found,), _ = self._places()
        return found

    def indicator(self) -> Said:
        """1 where u > v; or as many ones as a dimension has places."""
        self.expect("_")
        close = "}" if self.accept("{") else ""
        left = self._sum()
        sign = self.accept(*_RELATIONS)
        if sign is None:
            found = Said(f"fill(1, {left.text})", 1)
        else:
            right = self._sum()
            text = f"({left.text} {_RELATIONS[sign.text]} {right.text})"
            found = Said(text, max(left.rank, right.rank))
        if close:
            self.expect(close)
        return found

    # ----- sums over an index -----

    def sigma(self) -> Said:
        """Σ with its bounds, which have to be those of the index."""
        self.expect("_")
        close = "}" if self.accept("{") else ""
        index = self.take()
        bounds = {}
        if close:
            if self.accept("="):
                bounds["first"] = self._text_until("}")
            self.expect("}")
        if self.accept("**"):
            is_braced = self.accept("{")
            bounds["last"] = self._text_until("}") if is_braced else self.take().text
            if is_braced:
                self.expect("}")
        self._check_bounds(index, bounds)
        body = self._term()
        return Said(f"sum({index.text}, {body.text})", body.rank)

    def _check_bounds(self, index: Token, bounds: dict[str, str]) -> None:
        known = {"first": "1", "last": "tau"}
        if index.text != "t":
            if index.text not in self._graph.indices:
                return
            first, dim = self._graph.indices[index.text]
            last = first + dim - 1 if isinstance(dim, int) else dim
            known = {"first": str(first), "last": str(last)}
        for key, found in bounds.items():
            if found != known[key]:
                self.fail_at(index, "formula.expected", wanted=known[key], found=found)

    # ----- names, steps and places -----

    def _named(self, token: Token) -> Said:
        name = token.text
        if name in self._scope.names:
            return self.reading(token)
        if name == "w" and self.is_symbol("_"):
            self.take()
            self._places()
            return Said("weight[t]", 0)
        if name in self._labels:
            return self.reading(token)
        if name in self._numbers:
            return Said(name, 0)
        return self._call(token)

    def reading(self, token: Token) -> Said:
        """A name with its step and its places, in whatever order they stand."""
        name = token.text
        rank = self._labels.get(name)
        rank = len(self._scope.core(name)) if rank is None else rank
        step, places, taken = "", list[str](), 0
        while True:
            if self.is_symbol("**") and self._is_step():
                step = self._step()
            elif self.is_symbol("_") and not places:
                self.take()
                places, taken = self._places()
            else:
                break
        if places and not step and re.fullmatch(r"(t|tau)([+-].*)?", places[0]):
            step, taken = places.pop(0), taken - 1
        column = ""
        if ":" in places:
            at = places.index(":")
            column = f"[:, {', '.join(places[at + 1 :])}]"
            places, taken = places[:at], at + 1
        inside = ", ".join([*([step] if step else []), *places])
        read = f"{name}[{inside}]" if inside else name
        return Said(read + column, rank - taken)

    # ----- functions -----

    def _call(self, token: Token) -> Said:
        """f(u, v), max_j(u), tanh u."""
        name = token.text
        if name == "log" and self.now.text == "softmax":
            name = f"log {self.take().text}"
        along = ""
        if self.accept("_"):
            (along,), _ = self._places()
        opening = self.accept("(", "|(")
        if opening is None:
            return self._bare_call(token, _WORDS.get(name, name))
        args = [self._sum()]
        while self.accept(","):
            args.append(self._sum())
        self.expect(")")
        name = self._function(name, len(args))
        texts = [arg.text for arg in args]
        if along:
            if name not in ALONG:
                self.fail_at(token, "formula.no-name", name=token.text,
                             names=", ".join(sorted(ALONG)))  # fmt: skip
            return Said(f"{name}({along}, {', '.join(texts)})", args[0].rank)
        rank = rank_of_call(name, [abs(arg.rank) for arg in args])
        if rank is None:
            rank = args[0].rank
        return Said(f"{name}({', '.join(texts)})", rank)

    def _bare_call(self, token: Token, name: str) -> Said:
        """tanh u: the argument is the factor that follows."""
        if name not in _UNARY or not self._starts_factor():
            self._scope.core(token.text)  # says which names there are
        of = self._factor()
        return Said(f"{name}({of.text})", of.rank)

    def _function(self, name: str, count: int) -> str:
        if count == 1 and name in _ALONE:
            return name
        return _WORDS.get(name, name)


_SIGNS: dict[str, Callable[[_Printed], Said]] = {
    "(": lambda r: r.bracket(")"), "{": lambda r: r.bracket("}"),
    "[": lambda r: r.bracket("]"),
    "|(": lambda r: r.bars(")|"), "|": lambda r: r.bars("|"),
    "∇": _Printed.nabla, "Σ": _Printed.sigma, "frac": _Printed.fraction,
    "√": _Printed.root, "overline": _Printed.incoming, "𝟏": _Printed.indicator,
    "𝐈": _Printed.identity, "𝐞": _Printed.unit,
}  # fmt: skip
