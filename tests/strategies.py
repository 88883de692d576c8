"""Random cells: a Hypothesis strategy of cell texts with sizes and fitting arrays.

Every expression stays within a safe domain (a logarithm of 2 + sin, a division by
2 + cos), so that a finite gradient exists almost everywhere and grows slowly.
"""

from dataclasses import dataclass

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st


def examples(share):
    """This share of the profile's examples, be it the usual one or the search's."""
    return settings(max_examples=round(share * settings.default.max_examples))


SIZES = {"n_p": 2, "n_q": 3, "n_r": 4}
TAU, N_B = 6, 5

UNARY = (
    "tanh({0})", "sigmoid({0})", "softplus({0})", "relu({0})", "sin({0})", "cos({0})",
    "abs({0})", "exp(tanh({0}))", "log(2 + sin({0}))", "sqrt(2 + cos({0}))", "-({0})",
    "({0}) ** 2", "(2 + sin({0})) ** 1.5", "(2 + cos({0})) ** -1",
)  # fmt: skip
OF_A_VECTOR = (
    "softmax({0})", "log_softmax({0})", "layer_norm({0})", "layer_norm({0}, eps=0.01)",
)  # fmt: skip
BINARY = (
    "({0}) + ({1})", "{0} + {1}", "({0}) - ({1})", "({0}) * ({1})",
    "({0}) / (2 + cos({1}))", "maximum({0}, {1})", "minimum({0}, {1})",
    "(2 + sin({0})) ** tanh({1})",
    "where(({0}) > ({1}), {0}, {1})", "where({0} <= 0.1, {1}, {0})",
    "(({0}) >= ({1})) * ({0})", "where(({0}) < ({1}), {1}, 0.5)",
)  # fmt: skip


@dataclass(frozen=True)
class RandomCell:
    """A cell's text and the kinds of its leaves; `arrays` makes values that fit."""

    text: str
    parameters: dict
    inputs: dict
    states: dict

    def arrays(self, seed=0, dtype=np.float64):
        """Parameters, inputs and initial states, from one seed."""
        rng = np.random.default_rng(seed)
        lead = (TAU, N_B)

        def normal(shape, *axes):
            return 0.6 * rng.standard_normal((*axes, *numbers(shape)))

        params = {n: normal(s).astype(dtype) for n, s in self.parameters.items()}
        inputs = {}
        for name, shape in self.inputs.items():
            if name.startswith("k"):
                inputs[name] = rng.integers(0, numbers(shape)[0], lead)
            elif name.startswith("q"):
                inputs[name] = rng.uniform(0.05, 0.95, (*lead, *numbers(shape)))
            else:
                inputs[name] = normal(shape, *lead)
        initial = {n: normal(s, N_B).astype(dtype) for n, s in self.states.items()}
        return params, inputs, initial


def numbers(shape):
    """Named dimensions as numbers."""
    return tuple(SIZES[dim] for dim in shape)


class _Writer:
    """Writes expressions of a wanted shape, and remembers the leaves they read."""

    def __init__(self, draw, nodes, *, stops):
        self.draw = draw
        self.nodes = nodes
        self.defined = []
        self.parameters = {}
        self.inputs = {}
        self.states = {}
        self.unary = (*UNARY, "stop_gradient({0})") if stops else UNARY

    def pick(self, options):
        return self.draw(st.sampled_from(tuple(options)))

    def dim(self):
        return self.pick(SIZES)

    def parameter(self, shape):
        kind = ("alpha", "b", "W")[len(shape)]
        letters = "".join(dim[-1] for dim in shape)
        name = f"{kind}_{letters}{self.pick('12')}"
        self.parameters[name] = shape
        return name

    def input(self, shape):
        name = "x_" + "".join(dim[-1] for dim in shape)
        self.inputs[name] = shape
        return f"{name}[{self.pick(('t', 't-1'))}]"

    def index(self, dim):
        name = f"k_{dim[-1]}"
        self.inputs[name] = (dim,)
        return f"{name}[t]"

    def target(self, dim):
        name = f"q_{dim[-1]}"
        self.inputs[name] = (dim,)
        return f"{name}[t]"

    def leaf(self, shape, *, static):
        options = ["parameter"] if static or len(shape) == 2 else ["parameter", "input"]
        if shape == ():
            options.append("number")
        if not static:
            options += [n for n, s in self.nodes.items() if s == shape for _ in "ab"]
        choice = self.pick(options)
        if choice == "number":
            return self.pick(("0.5", "2", "-1.5", "0", "1", "1e-3"))
        if choice in ("parameter", "input"):
            make = self.parameter if choice == "parameter" else self.input
            return make(shape)
        if choice in self.defined and self.draw(st.booleans()):
            return f"{choice}[t]"
        self.states[choice] = shape
        return f"{choice}[t-1]"

    def expression(self, shape, depth, *, static=False):
        if depth == 0:
            return self.leaf(shape, static=static)
        forms = ["unary", "binary", "leaf", "special", "special"]
        form = self.pick(forms)
        if form == "leaf":
            return self.leaf(shape, static=static)
        if form == "special":
            return self.special(shape, depth, static=static)
        inner = self.expression(shape, depth - 1, static=static)
        if form == "unary":
            more = OF_A_VECTOR if len(shape) == 1 else ()
            return self.pick((*self.unary, *more)).format(inner)
        other = self.pick((shape, ()))
        pair = [inner, self.expression(other, depth - 1, static=static)]
        if self.draw(st.booleans()):
            pair.reverse()
        return self.pick(BINARY).format(*pair)

    def special(self, shape, depth, *, static):
        """A form that changes the shape: a reduction, a product, a look-up."""

        def inner(*dims, static=static):
            return self.expression(dims, depth - 1, static=static)

        if len(shape) == 0:
            p, q = self.dim(), self.dim()
            form = self.pick(("sum({0})", "mean({0})", "dot", "mse", "sum of a matrix"))
            if form == "sum of a matrix":
                return f"sum({inner(p, q)})"
            if form in ("dot", "mse"):
                return f"{form}({inner(p)}, {inner(p)})"
            return form.format(inner(p))
        if len(shape) == 1:
            q = self.dim()
            if not static and self.draw(st.booleans()):
                return f"({inner(*shape, q, static=True)})[:, {self.index(q)}]"
            is_static = static or self.pick((True, True, False))
            return f"({inner(*shape, q, static=is_static)}) @ ({inner(q)})"
        n, m = shape
        q = self.dim()
        if n == m and self.draw(st.booleans()):
            name = self.parameter((n, m))
            return f"({name} - {name}.T)"
        forms = {
            "transpose": lambda: f"({inner(m, n)}).T",
            "product": lambda: f"({inner(n, q)}) @ ({inner(q, m)})",
            "outer": lambda: f"outer({inner(n)}, {inner(m)})",
        }
        return forms[self.pick(forms)]()

    def loss(self):
        name, shape = self.pick(self.nodes.items())
        self.defined = list(self.nodes)
        if len(shape) != 1:
            return f"mean({name}[t])" if shape else f"{name}[t] ** 2"
        (p,), q = shape, self.dim()
        o = f"({self.expression((q, p), 1, static=True)}) @ {name}[t]"
        form = self.pick(("nll", "soft", "bce", "mse", "sum"))
        if form == "nll":
            return f"nll(softmax({o}), {self.index(q)})"
        if form == "sum":
            return f"0.1 * sum(({o}) ** 2)"
        loss = {"soft": "nll(softmax", "bce": "bce(sigmoid", "mse": "mse(tanh"}[form]
        return f"{loss}({o}), {self.target(q)})"

    def text(self, equations, loss):
        """Declarations for every leaf, and terms for what inference would miss."""
        body = "\n".join(equations)
        if not self.inputs:
            self.inputs["x_p"] = ("n_p",)
        for name, shape in self.inputs.items():
            if f"{name}[t]" not in body + loss:
                loss += f" + 0.1 * sum(sin({name}[t]))" if shape else f" + {name}[t]"
        given = [*self.parameters.values(), *self.inputs.values()]
        for dim in sorted({d for s in self.nodes.values() for d in s}):
            if not any(dim in shape for shape in given):
                self.parameters[f"b_{dim[-1]}3"] = (dim,)
                loss += f" + 0.1 * sum(cos(b_{dim[-1]}3))"
        leaves = {**self.parameters, **self.inputs, **self.nodes}
        lines = [
            f"{name}: ({', '.join(shape)})"
            for name, shape in leaves.items()
            if not name.startswith("k")
        ]
        return "\n".join([*lines, body, f"L[t] = {loss}", ""])


@st.composite
def cells(draw, max_equations=4, depth=2, stops=False):
    """Cells of one to four equations with at least one state, and a loss.

    stops: whether `stop_gradient` may occur, which no difference quotient can see.
    """
    ranks = draw(st.lists(st.sampled_from((1, 1, 1, 0, 2)), min_size=1,
                          max_size=max_equations))  # fmt: skip
    nodes = {}
    for number, rank in enumerate(ranks):
        dims = tuple(draw(st.sampled_from(tuple(SIZES))) for _ in range(rank))
        nodes[f"{'shP'[rank]}{number}"] = dims
    writer = _Writer(draw, nodes, stops=stops)
    equations = []
    for number, (name, shape) in enumerate(nodes.items()):
        right = writer.expression(shape, depth)
        if number == 0:
            writer.states[name] = shape
            right = f"0.5 * {name}[t-1] + {right}"
        # A value that reads nothing of this shape would not have it.
        if shape:
            right = f"{right} + 0.3 * {writer.parameter(shape)}"
        squash = draw(
            st.sampled_from(("tanh({0})", "sigmoid({0})", "sin({0})", "({0})"))
        )
        equations.append(f"{name}[t] = {squash.format(right)}")
        writer.defined.append(name)
    text = writer.text(equations, writer.loss())
    return RandomCell(text, writer.parameters, writer.inputs, writer.states)
