r"""A name with its step and indices, in every notation that people have.

h[t+1]  h^(t+1)  h⁽ᵗ⁺¹⁾  h^{(t+1)}  h_{t+1}      a value at a step
h[t,i]  o_i^{(t)}  W[i,j]  W_{ij}  y_hat[t, y[t]]  an element
W_f  W_{\mathrm{f}}  n_h                          one name
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from bptt.explain.algebra import expr as e
from bptt.explain.algebra.expr import Expr, Time
from bptt.explain.algebra.point import TOTAL, Scope
from bptt.explain.notation.formula_tokens import FormulaTokens, Token
from bptt.explain.notation.greek import OwnNames

LETTERS = frozenset("ijklm")
STEPS = ("t", "s", "tau")
FUNCTION_LETTERS = frozenset(("sigma", "zeta", "delta"))  # before a bracket
_ORDER = ("", "t", "s", "tau")  # of steps of which nothing says which is the later one
Index = str | e.Value


@dataclass(frozen=True)
class NamedValue:
    """A value, its element indices, and whether the indices choose a column."""

    value: e.Value
    indices: tuple[Index, ...] = ()
    is_column: bool = False


class Names(FormulaTokens):
    """Reads names with their scripts."""

    def __init__(self, text: str, scope: Scope) -> None:
        """Cut the text; scope: the names there are."""
        self._scope = scope
        self._dims = set(scope.dims)
        super().__init__(text, OwnNames({*scope.names, *self._dims, TOTAL}))
        self._bound: list[str] = []
        self._ordered: list[tuple[str, str]] = []

    def placed(self, expr: Expr, start: int) -> Expr:
        """The expression with its place, up to the last token that was taken."""
        return replace(expr, span=(start, self.tokens[self.at - 1].end))

    # ----- names -----

    def name(self) -> Token:
        """Take a name, its label with it: W _ { f } is W_f.

        Raises: FormulaSyntaxError if something else stands here.
        """
        token = self.take()
        if token.kind != "name":
            self.fail_at(token, "formula.no-value")
        return self.labelled(token)

    def labelled(self, token: Token) -> Token:
        """A name with the label that its subscript begins with."""
        if not self.is_symbol("_"):
            return self._torn(self._own(token))
        label, width = self.ahead().text, 2
        if label == "{":
            label, width = "", 2
            while self.ahead(width).kind in ("name", "number") or (
                self.ahead(width).text == "d"
            ):
                label, width = label + self.ahead(width).text, width + 1
        name = self.own_names.own(f"{token.text}_{label}")
        if name not in self.own_names.all_of_them:
            return self._own(token)
        self.at += width
        if self.tokens[self.at - width + 1].text == "{" and not self.accept("}"):
            self._open_rest()
        return Token("name", name, token.start, self.tokens[self.at - 1].end)

    def _open_rest(self) -> None:
        """Turn the comma after a label, W_{f,ij}, into a script of its own."""
        comma = self.expect(",")
        pieces = [Token("symbol", "_", comma.start, comma.start),
                  Token("symbol", "{", comma.start, comma.end)]  # fmt: skip
        self.at -= 1
        self.tokens[self.at : self.at + 1] = pieces

    def _own(self, token: Token) -> Token:
        """The cell's own name, σ or sigma; σ(u) is a function."""
        if self.is_symbol("(") and token.text in FUNCTION_LETTERS:
            return token
        return replace(token, text=self.own_names.own(token.text))

    def _torn(self, token: Token) -> Token:
        """A name in one word whose tail is a script: o_i, h_t."""
        known = self.own_names.all_of_them
        base, _, tail = token.text.rpartition("_")
        base = self.own_names.own(base)
        tail = self._as_tau(tail)
        is_script = tail in STEPS or all(c in LETTERS for c in tail)
        if token.text in known or base not in known or not is_script or not tail:
            return token
        middle = token.start + token.text.rindex("_") + 1
        pieces = [Token("symbol", "_", middle - 1, middle),
                  Token("symbol", "{", middle, middle)]  # fmt: skip
        if tail in STEPS:
            pieces.append(Token("name", tail, middle, token.end))
        else:
            pieces += [Token("name", c, middle + i, middle + i + 1)
                       for i, c in enumerate(tail)]  # fmt: skip
        pieces.append(Token("symbol", "}", token.end, token.end))
        self.tokens[self.at : self.at] = pieces
        return Token("name", base, token.start, middle - 1)

    # ----- scripts -----

    def reference(self, token: Token) -> NamedValue:
        """A name, just taken, with its step and indices."""
        name, start = token.text, token.start
        if name == TOTAL and not (self.is_symbol("[") or self._is_step_ahead()):
            return NamedValue(self._value(name, None, start))
        self._scope.core(name)
        found = NamedValue(e.Value(name))
        found = self._bracketed(found) if self.is_symbol("[") else self._scripts(found)
        value = self._value(name, found.value.time, start)
        is_parameter = self._scope.kind(name) == "parameter"
        if value.time is None and not is_parameter and name != TOTAL:
            self.fail((start, token.end), "formula.needs-step", f"{name}[t]", name=name)
        return replace(found, value=value)

    def _value(self, name: str, time: Time | None, start: int) -> e.Value:
        return e.Value(name, time, span=(start, self.tokens[self.at - 1].end))

    def _bracketed(self, found: NamedValue) -> NamedValue:
        self.expect("[")
        if self.is_symbol(":"):
            self.take()
            self.expect(",")
            return replace(found, indices=self.indices("]"), is_column=True)
        if self.is_index():
            return replace(found, indices=self.indices("]"))
        time = self.time()
        indices = self.indices("]") if self.accept(",") else ()
        if not indices:
            self.expect("]")
        return replace(found, value=replace(found.value, time=time), indices=indices)

    def _scripts(self, found: NamedValue) -> NamedValue:
        while True:
            if self.is_symbol("_") and not found.indices:
                self.take()
                found = self._lowered(found)
            elif self._is_step_ahead() and found.value.time is None:
                time = self._raised()
                found = replace(found, value=replace(found.value, time=time))
            else:
                return found

    def _lowered(self, found: NamedValue) -> NamedValue:
        """A subscript: a step, indices, or a column."""
        close = "}" if self.accept("{") else ""
        if self.is_symbol(":"):
            self.take()
            self.expect(",")
            return replace(found, indices=self.indices(close), is_column=True)
        if self.is_index() or self._is_class():
            return replace(found, indices=self.indices(close))
        time = self.time(single=not close)
        if close and self.accept(","):
            value = replace(found.value, time=time)
            return replace(found, value=value, indices=self.indices(close))
        if close:
            self.expect(close)
        return replace(found, value=replace(found.value, time=time))

    def _is_step_ahead(self) -> bool:
        """Whether ^(t), ^{(t)} stands here: a step and no power."""
        if not self.is_symbol("**"):
            return False
        at = 2 if self.ahead().text == "{" else 1
        at += self.ahead(at + 1).text == "-"
        first, second = (
            self.ahead(at - (self.ahead(at).text == "-")),
            self.ahead(at + 1),
        )
        return first.text == "(" and self._is_raised_step(second) and (
            self.ahead(at + 2).text == ")" or self.ahead(at + 4).text == ")"
        )  # fmt: skip

    def _is_raised_step(self, token: Token) -> bool:
        """Whether a token in raised brackets is a step; there any letter is one."""
        is_step = self.step_of(token) or token.text.isdigit()
        return bool(is_step) or token.text in LETTERS

    def step_of(self, token: Token) -> str:
        """The step that a token names, t, s, tau or a bound letter; "" if none."""
        text = self._as_tau(token.text)
        return text if text in (*STEPS, *self._bound) else ""

    def _as_tau(self, text: str) -> str:
        """T is the last step where the cell has nothing else of that name."""
        is_taken = text in self._scope.names or text in self._dims
        return "tau" if text == "T" and not is_taken else text

    # ----- which of two steps is the later one -----

    def is_descending(self, lower: Time, upper: Time) -> bool:
        """Whether a product from `lower` to `upper` runs back in time."""
        if lower.base == upper.base:
            return lower.offset > upper.offset
        if self._is_known(upper.base, lower.base):
            return True
        if self._is_known(lower.base, upper.base):
            return False
        first, last = (
            _ORDER.index(base) if base in _ORDER else 1
            for base in (lower.base, upper.base)
        )
        return first > last

    def _is_known(self, earlier: str, later: str) -> bool:
        """Whether the sums around, or the left side, say that a step is the later."""
        reached, size = {earlier}, 0
        while size < len(reached):
            size = len(reached)
            reached |= {upper for lower, upper in self._ordered if lower in reached}
        return earlier == "" or later in ("tau", *reached)

    def _raised(self) -> Time:
        """^(t) or ^{(t)}; what else the braces hold stays, a script of its own."""
        self.expect("**")
        is_braced = self.accept("{")
        self.expect("(")
        if not self.step_of(self.now) and self.now.text in LETTERS:
            self._bound.insert(0, self.now.text)  # h^(k): a step in all that follows
        time = self.time()
        self.expect(")")
        if is_braced and not self.accept("}"):
            self.accept("**")
            rest = self.now
            pieces = [Token("symbol", "**", rest.start, rest.start),
                      Token("symbol", "{", rest.start, rest.start)]  # fmt: skip
            self.tokens[self.at : self.at] = pieces
        return time

    def time(self, *, single: bool = False) -> Time:
        """t, t+1, tau, 3, or -1 where a delay reads several steps back.

        Raises: FormulaSyntaxError if something else stands here.
        """
        before = self.accept("-")
        token = self.take()
        if token.kind == "number" and token.text.isdigit():
            return Time("", int(f"{'-' if before else ''}{token.text}"))
        base = self.step_of(token)
        if not base:
            self.fail_at(token, "formula.step", found=token.text)
        if single or not self.is_symbol("+", "-"):
            return Time(base)
        sign, number = self.take(), self.take()
        if not number.text.isdigit():
            self.fail_at(number, "formula.whole-number")
        return Time(base, int(number.text) * (1 if sign.text == "+" else -1))

    # ----- indices -----

    def is_index(self) -> bool:
        """Whether an index letter stands here."""
        token = self.now
        is_letter = token.kind == "name" and token.text in LETTERS
        is_class = self._is_integer(token.text) and self.ahead().text in (
            "[",
            "**",
            "_",
        )
        return is_letter and not is_class and token.text not in self._bound

    def _is_class(self) -> bool:
        return self.now.kind == "name" and self._is_integer(self.now.text)

    def _is_integer(self, name: str) -> bool:
        return name in self._scope.names and self._scope.is_integer(name)

    def indices(self, close: str) -> tuple[Index, ...]:
        """Indices up to a closing sign; close: "" where there is a single one."""
        found: list[Index] = []
        while True:
            is_letter = self.is_index()
            token = self.take()
            if is_letter:
                found.append(token.text)
            elif token.kind == "name" and self._is_integer(token.text):
                found.append(self.reference(token).value)
            else:
                self.fail_at(token, "formula.index", found=token.text)
            if not close or (close != "]" and self.accept(close)):
                return tuple(found)
            if self.accept(","):
                continue
            if close == "]" or not (self.is_index() or self._is_class()):
                self.expect(close)
                return tuple(found)
