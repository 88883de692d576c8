"""Random expressions of a wanted shape: the grammar of docs/language.md as tables.

Every form stays in a safe domain (a logarithm of 2 + sin, a division by 2 + cos), so
that values and gradients stay finite. To teach the fuzzer a new form, add a line to a
table, or a method to `SPECIAL`, and its meaning to `oracle.FUNCTIONS`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Dims = tuple[str, ...]

UNARY = (
    "tanh({0})",
    "sigmoid({0})",
    "softplus({0})",
    "relu({0})",
    "sin({0})",
    "cos({0})",
    "abs({0})",
    "exp(tanh({0}))",
    "log(2 + sin({0}))",
    "sqrt(2 + cos({0}))",
    "-({0})",
    "({0}) ** 2",
    "(2 + sin({0})) ** 1.5",
    "(2 + cos({0})) ** -1",
    "({0}) ** 3",
    "stop_gradient({0})",
    "1 - ({0})",
    "0.5 * ({0})",
    "({0}) ** 1",
)
# Derived operations and the newer ones, and functions that the cell defines itself.
NEWER = (
    "expm1(tanh({0}))",
    "erf({0})",
    "floor(3 * ({0}))",
    "round(3 * ({0}))",
    "sign({0})",
    "silu({0})",
    "gelu({0})",
    "elu({0})",
    "leaky_relu({0})",
    "softsign({0})",
    "log_sigmoid({0})",
    "mish({0})",
    "hardtanh({0})",
    "clip({0}, -0.5, 0.4)",
    "twice({0})",
    "soft({0})",
    "soft({0}, 0.5)",
    "ceil(3 * ({0}))",
    "swish({0})",
    "softshrink({0})",
    "relu6({0})",
    "selu({0})",
    "celu({0})",
    "tanhshrink({0})",
    "hardsigmoid({0})",
    "hardswish({0})",
    "prelu({0}, 0.3)",
    "exponential(tanh({0}))",
    "gelu_tanh({0})",
    "squareplus({0})",
    "sparse_plus({0})",
    "sparse_sigmoid({0})",
    "threshold({0}, 0.1, -0.3)",
    "hardshrink({0})",
    "leaky_relu({0}, 0.2)",
    "elu({0}, 0.7)",
    "stop_gradient({0}) * ({0})",
)
DEFINED = (
    "gate(u, v) = sigmoid(u) * tanh(v)",
    "mix(u, v) = 0.5 * u + 0.5 * v",
    "twice(u) = mix(u, tanh(u)) + u",
    "soft(u, scale=2) = tanh(scale * u)",
)  # fmt: skip
OF_A_VECTOR = (
    "softmax({0})", "log_softmax({0})", "layer_norm({0})", "layer_norm({0}, eps=0.01)",
    "cumsum({0})", "rms_norm({0}, 0.1)", "softmin({0})", "roll({0}, 1)",
    "roll({0}, -2)", "roll({0}, 3)",
)  # fmt: skip
BINARY = (
    "({0}) + ({1})", "{0} + {1}", "({0}) - ({1})", "{0} - {1}", "({0}) * ({1})",
    "({0}) * ({1})", "({0}) / (2 + cos({1}))", "maximum({0}, {1})",
    "minimum({0}, {1})", "(2 + sin({0})) ** tanh({1})",
    "where(({0}) > ({1}), {0}, {1})", "where({0} <= 0.1, {1}, {0})",
    "(({0}) >= ({1})) * ({0})", "where(({0}) < ({1}), {1}, 0.5)",
    "where({0}, {1}, {0})", "sigmoid({0}) * ({1})", "({0}) % (2 + cos({1}))",
    "with_derivative({0}, {1})", "gate({0}, {1})", "mix({0}, {1})", "glu({0}, {1})",
)  # fmt: skip
OF_A_MATRIX = (
    "roll({0}, 1)",
    "roll({0}, -1)",
    "rms_norm({0}, 0.1)",
    "({0}) @ eye({1})",
)
# The step and the number of steps as numbers.
OF_TIME = (
    "where(t % 2 == 0, {0}, {1})",
    "where(t == tau, {0}, {1})",
    "where(t > 1, {0}, {1})",
    "({0}) / (1 + t) + ({1})",
    "({0}) * t / tau + ({1})",
    "where(t + 2 > tau, {0}, 0.5 * ({1}))",
)
# Parameters' matrices that are far from singular.
OF_A_SQUARE = (
    "inverse(2 * eye({1}) + {0})",
    "expm({0})",
    "cholesky({0} @ {0}.T + eye({1}))",
    "diag(diagonal({0}))",
    "inverse(eye({1}) + 0.3 * {0}) @ {0}",
    "eye({1}) - {0}",
)
PARTS = ((1, 2), (2, 3), (0, 1), (2, 4), (1, 3), (3, 5), (1, 1), (3, 3))


def letters(dims: Dims) -> str:
    """What a name says of dimensions: `p` of n_p, `pq` of n_p+n_q, `3` of 3.

    (n_q, n_q+n_q) is `q_qq`, and (n_q+n_q, n_q) is `qq_q`: each has names of its own.
    """
    said = ["".join(part[-1] for part in dim.split("+")) for dim in dims]
    return ("_" if any(len(part) > 1 for part in said) else "").join(said)


NUMBERS = ("0.5", "2", "-1.5", "0", "1", "1e-3", "-1", "3")


@dataclass
class Names:
    """Every name of the cell that is being written; see `case.Case`."""

    shapes: dict[str, Dims] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    counts: dict[str, str] = field(default_factory=dict)
    ways: dict[str, int] = field(default_factory=dict)
    indices: dict[str, str] = field(default_factory=dict)


class Writer:
    """Writes right sides; the caller says which nodes may be read, and how."""

    def __init__(self, rng: random.Random, dims: tuple[str, ...]) -> None:
        self.rng = rng
        self.dims = dims
        self.names = Names()
        self.now: list[str] = []  # nodes that may be read at t
        self.lagged: list[str] = []  # nodes that may be read at the step of their way
        self.peers: list[str] = []  # nodes of the loop being written: one way alone
        self.static = False
        self.has_statics = rng.random() < 0.15
        self.has_matrices = rng.random() < 0.25  # matrices that change in time
        self.has_both_ways = rng.random() < 0.2  # x[t-1] and x[t+1]

    # ----- choices -----

    def pick(self, options):
        """One of them."""
        return self.rng.choice(tuple(options))

    def chance(self, probability: float) -> bool:
        """True so often."""
        return self.rng.random() < probability

    def dim(self) -> str:
        """A dimension."""
        return self.pick(self.dims)

    # ----- leaves -----

    def parameter(self, shape: Dims) -> str:
        """A new or a known parameter."""
        name = f"{('alpha', 'b', 'W')[len(shape)]}_{letters(shape)}{self.pick('12')}"
        self.names.shapes[name], self.names.kinds[name] = shape, "parameter"
        return name

    def input(self, shape: Dims) -> str:
        """An input at t or at the step of its way."""
        name = f"{'X' if len(shape) == 2 else 'x'}_{letters(shape)}"
        return self._sequence(name, "input", shape)

    def index(self, dim: str) -> str:
        """A class or token."""
        name = f"k_{letters((dim,))}"
        self.names.counts[name] = dim
        return self._sequence(name, "index", ())

    def target(self, shape: Dims) -> str:
        """Targets between 0 and 1."""
        name = f"q_{letters(shape)}"
        self.names.shapes[name], self.names.kinds[name] = shape, "input"
        return f"{name}[t]"

    def static_input(self, shape: Dims) -> str:
        """An input without time."""
        name = f"{'abV'[len(shape)]}_given_{letters(shape)}"
        self.names.shapes[name], self.names.kinds[name] = shape, "static"
        return name

    def static_class(self, dim: str) -> str:
        """A class of a whole row."""
        name = f"k_row_{letters((dim,))}"
        self.names.counts[name] = dim
        self.names.shapes[name], self.names.kinds[name] = (), "class"
        return name

    def _sequence(self, name: str, kind: str, shape: Dims) -> str:
        names = self.names
        names.shapes[name], names.kinds[name] = shape, kind
        way = names.ways.setdefault(name, self.pick((-1, -1, 1)))
        way *= -1 if self.has_both_ways and self.chance(0.5) else 1
        return f"{name}[t{way:+d}]" if self.chance(0.3) else f"{name}[t]"

    def nodes(self, shape: Dims) -> list[str]:
        """Every way to read a node of this shape here."""
        shapes, ways = self.names.shapes, self.names.ways
        found = [f"{name}[t]" for name in self.now if shapes[name] == shape]
        lagged = [name for name in self.lagged if shapes[name] == shape]
        found += [f"{name}[t{ways[name]:+d}]" for name in lagged]
        if self.has_both_ways:
            found += [f"{n}[t{-ways[n]:+d}]" for n in lagged if n not in self.peers]
        return found

    def leaf(self, shape: Dims) -> str:
        """A parameter, an input, a number or a node."""
        options: list[Callable[[], str]] = [lambda: self.parameter(shape)]
        if shape == ():
            options.append(lambda: self.pick(NUMBERS))
            if self.chance(0.1):
                options.append(self.count)
        if not self.static:
            options.append(lambda: self.input(shape))
            if self.has_statics:
                options.append(lambda: self.static_input(shape))
            known = self.nodes(shape)
            if known:
                options += [lambda: self.pick(known)] * 4
        return self.pick(options)()

    def count(self) -> str:
        """A size, a step or the number of steps, as a number."""
        size = f"0.2 * {self.pick(self.plain_dims)}"
        return size if self.static else self.pick((size, "t / 4", "tau / 3", "1 / t"))

    @property
    def plain_dims(self) -> list[str]:
        """The dimensions that are no sums and no numbers."""
        return [dim for dim in self.dims if dim.isidentifier()]

    # ----- expressions -----

    def expression(self, shape: Dims, depth: int) -> str:
        """An expression of a shape, at most so many operations deep."""
        if len(shape) == 2 and not (self.static or self.has_matrices):
            return self.fixed(shape, depth)
        if depth <= 0 or self.chance(0.15):
            return self.leaf(shape)
        form = self.pick(("unary", "binary", "binary", "special", "special"))
        if form == "special":
            return self.special(shape, depth)
        inner = self.expression(shape, depth - 1)
        if form == "unary":
            more = OF_A_VECTOR if len(shape) == 1 else ()
            if len(shape) == 2 and shape[-1].isidentifier():
                more = OF_A_MATRIX
            plain = NEWER if self.chance(0.3) else UNARY
            return self.pick((*plain, *more)).format(inner, *shape[-1:])
        pair = [inner, self.expression(self.pick((shape, ())), depth - 1)]
        self.rng.shuffle(pair)
        is_of_time = not self.static and self.chance(0.06)
        return self.pick(OF_TIME if is_of_time else BINARY).format(*pair)

    def special(self, shape: Dims, depth: int) -> str:
        """A form that changes the shape: a reduction, a product, a look-up."""
        if shape and "+" in shape[0] and self.chance(0.6):
            return _joined(self, shape, depth)
        if shape and shape[0].isdigit() and self.chance(0.6):
            return _part(self, shape, depth)
        return self.pick(SPECIAL[len(shape)])(self, shape, depth)

    def fixed(self, shape: Dims, depth: int) -> str:
        """An expression of parameters alone."""
        before, self.static = self.static, True
        text = self.expression(shape, depth)
        self.static = before
        return text


Form = Callable[[Writer, Dims, int], str]


def _reduced(function: str, rank: int) -> Form:
    def write(w: Writer, shape: Dims, depth: int) -> str:
        dims = tuple(w.dim() for _ in range(rank))
        return f"{function}({w.expression(dims, depth - 1)})"

    return write


def _paired(function: str) -> Form:
    def write(w: Writer, shape: Dims, depth: int) -> str:
        dims = (w.dim(),)
        a, b = w.expression(dims, depth - 1), w.expression(dims, depth - 1)
        return f"{function}({a}, {b})"

    return write


def _class_loss(w: Writer, shape: Dims, depth: int) -> str:
    dims = (w.dim(),)
    logits = w.expression(dims, depth - 1)
    if w.static:
        return f"nll(softmax({logits}), softmax({w.expression(dims, depth - 1)}))"
    return f"nll(softmax({logits}), {w.index(*dims)})"


def _soft_loss(w: Writer, shape: Dims, depth: int) -> str:
    dims = (w.dim(),)
    logits = w.expression(dims, depth - 1)
    made = f"softmax({w.expression(dims, depth - 1)})"
    target = made if w.static or w.chance(0.4) else w.target(dims)
    p = f"softmax({logits})" if w.chance(0.8) else f"sigmoid({logits})"
    return f"nll({p}, {target})"


def _binary_loss(w: Writer, shape: Dims, depth: int) -> str:
    dims = (w.dim(),) if w.chance(0.8) else ()
    logits = w.expression(dims, depth - 1)
    made = f"sigmoid({w.expression(dims, depth - 1)})"
    target = made if w.static or w.chance(0.4) else w.target(dims)
    return f"bce(sigmoid({logits}), {target})"


def _product(w: Writer, shape: Dims, depth: int) -> str:
    q = w.dim()
    inside = w.fixed if w.chance(0.7) else w.expression
    if w.chance(0.2):
        matrix = f"({inside((q, *shape), depth - 1)}).T"
    else:
        matrix = inside((*shape, q), depth - 1)
    return f"({matrix}) @ ({w.expression((q,), depth - 1)})"


def _plain_product(w: Writer, shape: Dims, depth: int) -> str:
    q = w.dim()
    return f"{w.parameter((*shape, q))} @ {w.leaf((q,))}"


def _lookup(w: Writer, shape: Dims, depth: int) -> str:
    if w.static:
        return _plain_product(w, shape, depth)
    q = w.dim()
    inside = w.fixed if w.chance(0.8) else w.expression
    column = w.index(q) if w.chance(0.6) else chosen(w, q, depth - 1)
    return f"({inside((*shape, q), depth - 1)})[:, {column}]"


def chosen(w: Writer, dim: str, depth: int) -> str:
    """A place of a dimension that the cell itself chooses, or draws."""
    u = w.expression((dim,), depth)
    if w.chance(0.5):
        return f"argmax({u})"
    return f"sample(softmax({u}), {w.target(())})"


def _joined(w: Writer, shape: Dims, depth: int) -> str:
    """[u; v] of the parts of a sum, as `case.as_written` prints it.

    A number may be an element of a vector.
    """
    parts = [
        w.expression((() if part == "1" else (part,)) if len(shape) == 1
                     else (part, *shape[1:]), depth - 1)
        for part in shape[0].split("+")
    ]  # fmt: skip
    return f"joined({', '.join(parts)})"


def _part(w: Writer, shape: Dims, depth: int) -> str:
    """So many elements of a vector, or rows of a matrix; what is outside is 0."""
    size = int(shape[0])
    first, last = w.pick([pair for pair in PARTS if pair[1] - pair[0] + 1 == size])
    whole = (w.pick([dim for dim in w.dims if dim != shape[0]]), *shape[1:])
    return f"({w.expression(whole, depth - 1)})[{first}, ..., {last}]"


def _transposed(w: Writer, shape: Dims, depth: int) -> str:
    return f"({w.expression(shape[::-1], depth - 1)}).T"


def _matrix_product(w: Writer, shape: Dims, depth: int) -> str:
    q = w.dim()
    a = w.expression((shape[0], q), depth - 1)
    return f"({a}) @ ({w.expression((q, shape[1]), depth - 1)})"


def _outer(w: Writer, shape: Dims, depth: int) -> str:
    a = w.expression(shape[:1], depth - 1)
    return f"outer({a}, {w.expression(shape[1:], depth - 1)})"


def _skew(w: Writer, shape: Dims, depth: int) -> str:
    if shape[0] != shape[1]:
        return _outer(w, shape, depth)
    name = w.parameter(shape)
    return f"({name} - {name}.T)"


def _of_a_square(w: Writer, shape: Dims, depth: int) -> str:
    if shape[0] != shape[1] or not shape[0].isidentifier():
        return _outer(w, shape, depth)
    return f"({w.pick(OF_A_SQUARE).format(w.parameter(shape), shape[0])})"


def _solved(w: Writer, shape: Dims, depth: int) -> str:
    if not shape[0].isidentifier():
        return _plain_product(w, shape, depth)
    matrix = w.parameter((shape[0], shape[0]))
    right = w.expression(shape, depth - 1) if w.chance(0.3) else w.fixed(shape, 1)
    return f"solve(2 * eye({shape[0]}) + {matrix}, {right})"


def _made(w: Writer, shape: Dims, depth: int) -> str:
    if not shape[0].isidentifier():
        return _plain_product(w, shape, depth)
    if w.chance(0.5):
        return f"diagonal({w.fixed((shape[0], shape[0]), depth - 1)})"
    return f"fill({w.expression((), depth - 1)}, {shape[0]})"


def _lower_part(w: Writer, shape: Dims, depth: int) -> str:
    return f"lower_part({w.expression(shape, depth - 1)})"


SPECIAL: Mapping[int, tuple[Form, ...]] = {
    0: (
        _reduced("sum", 1), _reduced("mean", 1), _reduced("sum", 2),
        _reduced("mean", 2), _paired("dot"), _paired("dot"), _paired("mse"),
        _class_loss, _soft_loss, _binary_loss, _reduced("max", 1), _reduced("min", 1),
        _reduced("logsumexp", 1), _reduced("norm", 1), _reduced("prod", 1),
        _reduced("norm", 2),
    ),
    1: (*[_product, _plain_product] * 4, *[_lookup] * 2, _solved, _made),
    2: (*[_transposed, _matrix_product, _outer, _outer, _skew, _lower_part] * 2,
        _of_a_square, _of_a_square),
}  # fmt: skip
