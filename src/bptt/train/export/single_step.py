"""One time step of a trained model as a list of operations on numbers.

What does not depend on time (parameters, and whatever is made of them alone) is
computed here; what remains reads x and the states before, and gives the states and o.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bptt.step.evaluate import evaluate, static_leaf
from bptt.step.graph import Node, name_of, shift_of, walk
from bptt.step.shapes import Array, numbers_of
from bptt.train.data.form import Form
from bptt.train.errors import ExportError
from bptt.train.model import Model, find_scores

ALIASES = ("named", "spread", "stop_gradient", "with_derivative")


Units = tuple[Array, Array]  # mean and scale of each column, float32


@dataclass(frozen=True)
class SingleStep:
    """Operations in order, and what stands at their ends.

    constants: node -> its float32 numbers; nodes: those computed at every step;
    states: name -> (the node that gives its next value, its shape); x: the node of the
    input, None if nothing reads it; o: the node of the scores; link: "softmax",
    "sigmoid" or None, from o to the prediction; x_units, y_units: of standardised data.
    """

    constants: Mapping[Node, Array]
    nodes: list[Node]
    states: Mapping[str, tuple[Node, tuple[int, ...]]]
    before: Mapping[Node, str]
    x: Node | None
    n_x: int
    x_is_token: bool
    o: Node
    link: str | None
    sizes: Mapping[str, int]
    x_units: "Units | None" = None
    y_units: "Units | None" = None

    def shape(self, node: Node) -> tuple[int, ...]:
        """The shape of a node as numbers."""
        return numbers_of(node.shape, self.sizes)


def single_step(
    model: Model, form: Form, parameters: Mapping[str, Array]
) -> SingleStep:
    """Take a model apart.

    Raises: ExportError if a state is read at another time than t-1, if states start
    elsewhere than at zero, or if o depends on the targets.
    """
    graph = model.cell.graph
    of_rows = sorted(graph.times.row_inputs - {"y"})
    if of_rows:
        raise ExportError(model.name, f"it reads {of_rows[0]}, one value per sequence")
    if graph.backward or graph.times.starts or graph.times.once:
        raise ExportError(model.name, "it reads other times than t and t-1")
    sizes = dict(model.sizes(form))
    for name, spec in graph.parameters.items():
        pairs = zip(spec.shape, parameters[name].shape, strict=True)
        sizes |= {d: n for d, n in pairs if isinstance(d, str)}
    o = graph.definitions[model.scores or find_scores(model)]
    for name in graph.states:
        if name not in graph.definitions:
            raise ExportError(model.name, f"it reads {name}[t-1], an input of before")
    roots = {name: graph.definitions[name] for name in graph.states}
    made = _Maker(model, form, sizes, parameters)
    for node in walk([*roots.values(), o]):
        made.take(node)
    states = {n: (node, numbers_of(node.shape, sizes)) for n, node in roots.items()}
    return SingleStep(
        made.constants, made.nodes, states, made.before, made.x,
        form.n_x, form.x_is_token, o, model.link, sizes,
        _units(form.x_mean, form.x_scale), _units(form.y_mean, form.y_scale),
    )  # fmt: skip


def _units(mean: tuple[float, ...], scale: tuple[float, ...]) -> Units | None:
    return (np.array(mean, np.float32), np.array(scale, np.float32)) if scale else None


class _Maker:
    def __init__(
        self, model: Model, form: Form, sizes: dict[str, int],
        parameters: Mapping[str, Array],
    ) -> None:  # fmt: skip
        self._model, self._sizes, self._parameters = model, sizes, parameters
        self._means = model.means(form, parameters)
        self.constants: dict[Node, Array] = {}
        self.nodes: list[Node] = []
        self.before: dict[Node, str] = {}
        self.x: Node | None = None

    def take(self, node: Node) -> None:
        """Compute a node now, or keep it for every step."""
        if node.op == "input":
            self._take_input(node)
        elif node.op == "shift":
            name, lag = shift_of(node)
            if lag != -1 or name not in self._model.cell.graph.states:
                raise ExportError(self._model.name, f"it reads {name}[t{lag:+d}]")
            self.before[node] = name
        elif node.op in ("weight", "seed"):
            raise ExportError(self._model.name, "its output depends on the loss")
        elif all(child in self.constants for child in node.inputs):
            self.constants[node] = np.asarray(self._number(node), np.float32)
        else:
            if node.indices:
                raise ExportError(self._model.name, "it has indices, such as C[t, j]")
            self.nodes.append(node)

    def _take_input(self, node: Node) -> None:
        name = name_of(node)
        if name == "x":
            self.x = node
        elif name in self._means:
            self.constants[node] = np.asarray(self._means[name], np.float32)
        else:
            raise ExportError(self._model.name, f"its output depends on {name}")

    def _number(self, node: Node) -> Any:
        def numbers(shape: Any) -> tuple[int, ...]:
            return numbers_of(shape, self._sizes)

        if node.op == "constant":
            return node.data
        if node.op == "size":
            return numbers((node.data,))[0]
        if node.op in ("index", "eye"):
            return static_leaf(node, numbers, np.float32)
        if node.op == "parameter":
            return self._parameters[name_of(node)]
        return evaluate(node, [self.constants[c] for c in node.inputs], numbers)
