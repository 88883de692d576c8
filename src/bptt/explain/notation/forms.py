r"""What is written in a form of its own: gradients, derivatives, functions.

∇_{h^{(t)}} L   ∇h[t]   ∂L/∂h[t]   \frac{\partial L}{\partial h^{(t)}}   dL/dh[t]
diag(u)  outer(g, h)  delta(i, j)  one_hot(y[t], n_o)  𝟏_{i=y}  \overline{h}^{(t)}
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from bptt.explain.algebra import expr as e
from bptt.explain.algebra.expr import Expr, Nabla
from bptt.explain.algebra.point import TOTAL
from bptt.explain.algebra.rules import SLOPES
from bptt.explain.algebra.shape import SCALAR, FormulaShapeError, shape_of
from bptt.explain.notation.formula_tokens import Token
from bptt.explain.notation.names import LETTERS, NamedValue
from bptt.explain.notation.sums import SumReader
from bptt.step.ops import OPS

# What a page or NumPy calls an operation -> its name here.
CALLED = MappingProxyType({
    "sigma": "sigmoid", "zeta": "softplus", "LN": "layer_norm", "ln": "log",
    "stop": "stop_gradient", "max": "maximum", "min": "minimum", "logsoftmax":
    "log_softmax", "log softmax": "log_softmax", "multiply": "multiply",
    "onehot": "one_hot", "Diag": "diag", "lower": "lower_part",
    "replaced": "with_derivative", "largest": "max",
})  # fmt: skip
CALLS = frozenset(name for name, op in OPS.items() if op.written == "call")
FORMS = frozenset((
    "partial", "total", "sum", "prod", "delta", "one_hot", "incoming", "lookup", "eye",
    "ones", "zeros", "diag", "sign", "matmul", "multiply", "transpose", "square",
    "power",
))  # fmt: skip
FUNCTIONS = frozenset((*CALLS, *FORMS, *CALLED))
# What may stand before its argument without brackets: \log x, \tanh a^{(t)}.
UNARY = frozenset((*SLOPES, "softmax", "log_softmax"))


def gradient_of(value: e.Value | e.Element) -> Expr:
    """∇ of a value, or of an element of it."""
    if isinstance(value, e.Element):
        assert isinstance(value.of, e.Value)
        return e.Element(Nabla(value.of, span=value.span), value.indices)
    return Nabla(value)


def number_of(expr: Expr) -> float:
    """The value of a number however it is written: 1e-05, 10^{-5}, 2 10^{-5}."""
    if isinstance(expr, e.Negative):
        return -number_of(expr.of)
    if isinstance(expr, e.Power):
        return float(number_of(expr.of) ** number_of(expr.exponent))
    if isinstance(expr, e.Product):
        return math.prod(map(number_of, expr.factors))
    return expr.value if isinstance(expr, e.Number) else math.nan


class Forms(SumReader):
    """Reads the forms; the grammar around them is a class below."""

    # ----- gradients and derivatives -----

    def gradient(self, token: Token) -> Expr:
        """∇ of a name, just taken, with the L behind it if there is one."""
        found = self.reference(token)
        value = self._end(found, token.start)
        self._skip_total()
        return gradient_of(value)

    def nabla(self) -> Expr:
        """∇_{h^{(t)}} L, ∇_h[t] L, ∇h[t], or ∇_V o_i^{(t)} of something else."""
        is_lowered = bool(self.accept("_"))
        is_braced = is_lowered and bool(self.accept("{"))
        token = self.name()
        source = self._end(self.reference(token), token.start)
        if is_braced:
            self.expect("}")
        if self._skip_total() or not is_lowered or self.now.kind != "name":
            return gradient_of(source)
        return self._of_another(source)

    def _of_another(self, source: e.Value | e.Element) -> Expr:
        """∇_V o_i: a scalar's derivative, in the shape of V."""
        at, tokens = self.at, list(self.tokens)
        if self.now.text not in self._scope.names and "_" not in self.now.text:
            return gradient_of(source)
        token = self.name()
        if token.text in self._scope.names:
            found = self.reference(token)
            target = self._end(found, token.start)
            if found.indices or not self._scope.core(token.text):
                derivative = e.Jacobian(target, source)
                is_matrix = shape_of(source, self._scope)[1] != 1
                return derivative if is_matrix else e.Transpose(derivative)
        self.at, self.tokens = at, tokens
        return gradient_of(source)

    def _skip_total(self) -> bool:
        if (
            self.now.kind == "name"
            and self.now.text == TOTAL
            and self.ahead().text not in ("[", "_", "**")
        ):
            self.take()
            return True
        return False

    def _end(self, found: NamedValue, start: int) -> e.Value | e.Element:
        if not found.indices:
            return found.value
        end = self.placed(e.Element(found.value, found.indices), start)
        assert isinstance(end, e.Element)
        return end

    def end(self) -> e.Value | e.Element:
        """One end of a derivative."""
        token = self.name()
        return self._end(self.reference(token), token.start)

    def derivative(self) -> Expr:
        """∂y/∂x, the first sign just taken."""
        target = self.end()
        self.expect("/")
        self.expect("∂")
        return self.derived(target, self.end(), total=False)

    def derived(
        self, target: e.Value | e.Element, source: e.Value | e.Element, *, total: bool
    ) -> Expr:
        """The derivative; of L it is the gradient, a column."""
        self._note_order(target, source)
        if target == e.Value(TOTAL) and shape_of(source, self._scope) != (1, 1):
            return gradient_of(source)
        if target == e.Value(TOTAL) and (total or isinstance(source, e.Element)):
            return gradient_of(source)
        return e.Jacobian(target, source, total)

    def _note_order(
        self, target: e.Value | e.Element, source: e.Value | e.Element
    ) -> None:
        """Of two free steps in dh[t]/dh[s] the first is meant to be the later one."""
        later, earlier = (
            end.of if isinstance(end, e.Element) else end for end in (target, source)
        )
        if isinstance(later, e.Value) and isinstance(earlier, e.Value) and (
            later.time and earlier.time and later.time.base != earlier.time.base
            and not self._is_known(later.time.base, earlier.time.base)
        ):  # fmt: skip
            self._ordered.append((earlier.time.base, later.time.base))

    def total_derivative(self, token: Token) -> Expr:
        """dy/dx, its first word just taken; dy alone is a program's name of ∇y."""
        target = self._differential(token)
        if not self.is_symbol("/"):
            return gradient_of(target)
        self.expect("/")
        return self.derived(target, self._differential(self.take()), total=True)

    def _differential(self, token: Token) -> e.Value | e.Element:
        if token.kind != "name" or not token.text.startswith("d"):
            self.fail_at(token, "formula.differential", found=token.text)
        if token.text == "d":
            return self.end()
        inner = Token("name", token.text[1:], token.start + 1, token.end)
        inner = self.labelled(inner)
        return self._end(self.reference(inner), inner.start)

    def fraction(self) -> Expr:
        r"""\frac, a derivative or a quotient."""
        self.expect("{")
        sign = self.now.text
        is_total = sign == "d" and (self.is_symbol("d") or "d" not in self._scope.names)
        if not self.is_symbol("∂") and not is_total:
            top = self.expression()
            self.expect("}")
            self.expect("{")
            bottom = self.expression()
            self.expect("}")
            return e.Quotient(top, bottom)
        self.take()
        target = None if self.is_symbol("}") else self.end()
        self.expect("}")
        self.expect("{")
        if self.now.text != sign:
            self.fail_at(self.now, "formula.differential", found=self.now.text)
        self.take()
        source = self.end()
        self.expect("}")
        return self.derived(target or self.end(), source, total=is_total)

    def partial(self, *, total: bool = False) -> Expr:
        """partial(y, x) or total(y, x)."""
        target = self.end()
        self.expect(",")
        return self.derived(target, self.end(), total=total)

    # ----- functions -----

    def call(self, token: Token) -> Expr:
        """A function, its name just taken."""
        name = token.text
        if self.now.kind == "name" and self.now.text == "softmax" and name == "log":
            self.take()
            name = "log_softmax"
        name = CALLED.get(name, name)
        is_slope, exponent = self._marks()
        if name in UNARY and not self.is_symbol("(", "["):
            found: Expr = self.made(name, (self.factor(),), None)
        else:
            close = "]" if self.accept("[") else ")"
            if close == ")":
                self.expect("(")
            found = _FORMS[name](self) if name in _FORMS else self._called(name, token)
            self.expect(close)
        if is_slope:
            assert isinstance(found, e.Applied)
            found = SLOPES[name](found, found.arguments[0])
        return found if exponent is None else e.Power(found, exponent)

    def is_marked(self) -> bool:
        """Whether a stroke or a power stands before brackets: tanh'(a), tanh^2(a)."""
        at, tokens = self.at, list(self.tokens)
        is_slope, exponent = self._marks()
        found = (is_slope or exponent is not None) and (
            self.is_symbol("(") or self.now.kind == "name"
        )
        self.at, self.tokens = at, tokens
        return found

    def _marks(self) -> tuple[bool, Expr | None]:
        """Take the stroke or power that stands between a function and its brackets."""
        if self.accept(".T"):
            return True, None
        at = self.at
        if self.accept("**"):
            close = "}" if self.accept("{") else ""
            token = self.take()
            if not close or self.accept(close):
                if token.text == ".T":
                    return True, None
                if token.kind == "number":
                    return False, e.Number(float(token.text))
        self.at = at
        return False, None

    def _called(self, name: str, token: Token) -> Expr:
        arguments, data = [self.expression()], None
        while self.accept(","):
            if self.now.text == "eps" and self.ahead().text == "=":
                self.take()
                self.take()
                data = float(self.take().text)
            else:
                arguments.append(self.expression())
        if name == "layer_norm" and len(arguments) == 2:
            data = number_of(arguments.pop())
        expected = _ARITIES.get(name) or OPS[name].arity
        if len(arguments) != expected:
            self.fail_at(token, "formula.arity", name=name, expected=expected,
                         found=len(arguments))  # fmt: skip
        return self.made(name, tuple(arguments), data)

    def made(
        self, name: str, arguments: tuple[Expr, ...], data: float | None = None
    ) -> Expr:
        """A function of its arguments, or what it abbreviates."""
        first, second = arguments[0], arguments[-1]
        if name == "diag":
            return e.Diag(first)
        if name == "outer":
            return e.Product((first, e.Transpose(second)))
        if name == "multiply":
            return e.Hadamard((first, second))
        if name in ("square", "power"):
            return e.Power(first, e.Number(2.0) if name == "square" else second)
        if name == "transpose":
            return e.Transpose(first)
        if name == "matmul" or (name == "dot" and not self._are_columns(arguments)):
            return e.Product((first, second))
        if name == "dot":
            return e.Product((e.Transpose(first), second))
        return e.Applied(name, arguments, data)

    def _are_columns(self, arguments: tuple[Expr, ...]) -> bool:
        try:
            shapes = [shape_of(a, self._scope) for a in arguments]
        except FormulaShapeError:
            return False
        return all(shape[1] == 1 for shape in shapes) and SCALAR not in shapes

    # ----- matrices and columns -----

    def delta(self) -> Expr:
        """delta(i, j), delta(i, y[t]), [i = y[t]]."""
        if not self.is_index():
            self.fail_at(self.now, "formula.index", found=self.now.text)
        first = self.take()
        if not self.accept("="):
            self.expect(",")
        if self.is_index():
            return e.Delta(first.text, self.take().text)
        return e.Delta(first.text, self._class())

    def _class(self) -> e.Value:
        return self.reference(self.name()).value

    def one_hot(self) -> Expr:
        """one_hot(y[t], n_o)."""
        value = self._class()
        if self.accept(","):
            return e.UnitVector(value, self.dimension())
        return self._unit(value)

    def _unit(self, value: e.Value) -> Expr:
        """The unit column of a class, as long as there are classes."""
        dim = self._scope.graph.inputs[value.name].index
        return e.UnitVector(value, dim if isinstance(dim, int) else str(dim))

    def lookup(self) -> Expr:
        """lookup(W, x[t]): a column."""
        matrix = self.expression()
        self.expect(",")
        return e.Applied("lookup", (matrix, self._class()))

    def zeros(self) -> Expr:
        """zeros(n_h, 1)."""
        rows = self.dimension()
        self.expect(",")
        return e.Zeros(rows, self.dimension())

    def lowered(self, sign: str) -> Expr:
        r"""\mathbf{1}_{n}, _{i=y}, _{i,y}, _{u > 0}; I_n, 0_{n,m}, e_y."""
        self.expect("_")
        close = "}" if self.accept("{") else ""
        found = self._lowered_sign(sign)
        if close:
            self.expect(close)
        return found

    def _lowered_sign(self, sign: str) -> Expr:
        if sign == "𝐞" or (sign == "𝟏" and self._is_class() and not self.is_index()):
            return self._unit(self._class())
        if sign == "𝟏" and self.is_index() and not self._is_compared():
            first = self.take().text
            if not self.accept("=") and not self.accept(","):
                self.accept("*")
            if self.is_index():
                return e.Delta(first, self.take().text)
            return e.Delta(first, self._class())
        if sign == "𝟏" and not self._is_dimension():
            return self.expression()
        rows = self.dimension()
        if sign == "𝟎":
            return e.Zeros(rows, self.dimension() if self.accept(",") else rows)
        return e.Ones(rows) if sign == "𝟏" else e.Identity(rows)

    def _is_compared(self) -> bool:
        """Whether a letter here begins a value, i_log > f, and is no index."""
        after = self.ahead().text
        is_end = after in (",", "=", "}") or after in LETTERS
        return not is_end and not self._is_integer(after)

    def _is_dimension(self) -> bool:
        at, tokens = self.at, list(self.tokens)
        is_braced = tokens[at - 1].text == "{"
        is_one = self.now.kind == "number" and self.ahead().text == "}"
        if self.now.kind == "name":
            is_size = self.name().text in self._dims
            is_one = is_size and (not is_braced or self.is_symbol("}", ","))
        self.at, self.tokens = at, tokens
        return is_one

    def incoming(self) -> Expr:
        """incoming(h[t])."""
        return e.Incoming(self._class())

    def overlined(self) -> Expr:
        r"""\overline{h}^{(t)}: what arrives from outside."""
        self.expect("{")
        name = self.name()
        self.expect("}")
        return e.Incoming(self.reference(name).value)

    def root(self) -> Expr:
        r"""√(u), \sqrt{u}."""
        close = {"(": ")", "{": "}"}.get(self.now.text, ")")
        self.expect("{" if close == "}" else "(")
        found = e.Applied("sqrt", (self.expression(),))
        self.expect(close)
        return found

    @property
    def signs(self) -> Mapping[str, Callable[[Any], Expr]]:
        """What reads the form that a sign begins."""
        return _SIGNS


_ARITIES = {"diag": 1, "sign": 1, "matmul": 2, "multiply": 2, "transpose": 1,
            "square": 1, "power": 2, "outer": 2, "dot": 2}  # fmt: skip
_FORMS: Mapping[str, Callable[[Forms], Expr]] = MappingProxyType(
    {
        "partial": lambda reader: reader.partial(),
        "total": lambda reader: reader.partial(total=True),
        "sum": lambda reader: reader.summed("Σ"),
        "prod": lambda reader: reader.summed("Π"),
        "delta": lambda reader: reader.delta(),
        "one_hot": lambda reader: reader.one_hot(),
        "incoming": lambda reader: reader.incoming(),
        "lookup": lambda reader: reader.lookup(),
        "eye": lambda reader: e.Identity(reader.dimension()),
        "ones": lambda reader: e.Ones(reader.dimension()),
        "zeros": lambda reader: reader.zeros(),
    }
)
_SIGNS: Mapping[str, Callable[[Forms], Expr]] = MappingProxyType(
    {
        "∇": lambda reader: reader.nabla(),
        "∂": lambda reader: reader.derivative(),
        "Σ": lambda reader: reader.over("Σ"),
        "Π": lambda reader: reader.over("Π"),
        "frac": lambda reader: reader.fraction(),
        "√": lambda reader: reader.root(),
        "overline": lambda reader: reader.overlined(),
        "𝟏": lambda reader: reader.lowered("𝟏"),
        "𝐈": lambda reader: reader.lowered("𝐈"),
        "𝐞": lambda reader: reader.lowered("𝐞"),
        "𝟎": lambda reader: reader.lowered("𝟎"),
    }
)
