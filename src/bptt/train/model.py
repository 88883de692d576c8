"""From the name of a cell, or a file of equations, to a model of the data."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod

import numpy as np

from bptt.cell import Cell
from bptt.step.graph import Node, unnamed, walk
from bptt.step.shapes import Array, numbers_of
from bptt.train.architecture import forget_biases, layers, with_tokens
from bptt.train.checkpoint import Parameters
from bptt.train.data.form import Form
from bptt.train.data.windows import Block
from bptt.train.door.limits import Refusal, refuse_above
from bptt.train.errors import CellNotTrainableError, SizeNameError, TooLargeError
from bptt.train.fitting import (
    Sized,
    refuse_lacking,
    refuse_other_kinds,
    refuse_other_sizes,
    refuse_own_targets,
    sizes_of,
)
from bptt.train.gaps import (
    GAPPED,
    KNOWN,
    WHOLE,
    inputs_of,
    reads_known,
    with_loss_line,
    without_known,
)
from bptt.train.named_cell import load_cell
from bptt.train.options import TrainingOptions

# The loss of a cell that has none, by the kind of target.
LOSSES = {"class": "nll", "multi-hot": "bce", "real": "mse"}
# Of every loss that scores are found in, what makes a prediction of them.
LINKS = {"nll": "softmax", "nll_soft": "softmax", "bce": "sigmoid", "mse": None}
NEEDS_WHOLE = "It needs whole sequences: files of them, and no --tau, --k1 or --k2."


@dataclass(frozen=True)
class Model:
    """A cell that reads x and is scored on y.

    loss: "nll", "bce", "mse", "nll_soft", whose targets are probabilities, or "other";
    scores: the name of o in nll(softmax(o), y), bce(sigmoid(o), y) or mse(o, y), None
    where the loss is none of these.
    """

    name: str
    cell: Cell
    loss: str
    scores: str | None

    @property
    def link(self) -> str | None:
        """What makes a prediction of the scores: "softmax", "sigmoid" or nothing."""
        return LINKS.get(self.loss)

    @property
    def is_once(self) -> bool:
        """Whether its scores come after the last step, once for a sequence."""
        return self.scores in self.cell.graph.times.once

    def sizes(self, form: Form) -> dict[str, int]:
        """The sizes of the cell's dimensions that the data decides."""
        known = sizes_of(self.sized(form)).items()
        return {d: one.n for d, one in known if isinstance(d, str)}

    def sized(self, form: Form) -> Iterator[Sized]:
        """Every dimension of an input with its size in the data."""
        for name, spec in self.cell.graph.inputs.items():
            if name in form.shapes:
                pairs = zip(spec.shape, form.shapes[name], strict=True)
                yield from (Sized(dimension, n, name) for dimension, n in pairs)
                if spec.index is not None:
                    yield Sized(spec.index, form.entries[name], name, is_count=True)
            elif name in ("x", "y"):
                n = form.n_x if name == "x" else form.n_o
                if spec.index is not None:
                    yield Sized(spec.index, n, name, is_count=True)
                else:
                    yield from (Sized(dimension, n, name) for dimension in spec.shape)

    def init(
        self, form: Form, options: TrainingOptions, dtype: str = "float32"
    ) -> Parameters:
        """Make initial parameters for data of a form; seeded.

        Raises: SizeNameError if options.sizes names a dimension the cell does not
        have, or one that the data sizes.
        """
        fixed = self.sizes(form)
        free = [name for name in self.cell.dims if name not in fixed]
        for dimension in options.sizes:
            if dimension not in free:
                raise SizeNameError(self.name, dimension, free)
        sizes = dict.fromkeys(free, options.n_h) | dict(options.sizes)
        if options.embedding is not None:
            sizes["n_e"] = options.embedding
        known = {n: size for n, size in fixed.items() if n in self.cell.dims}
        self._refuse_too_large(sizes | known)
        made = self.cell.init(seed=options.seed, dtype=dtype, **sizes, **known)
        if options.forget_bias is not None:
            for name in forget_biases(self.cell, self.name):
                made[name][...] = options.forget_bias
        return made

    def inputs(
        self, form: Form, parameters: Mapping[str, Array], x: Array,
        others: Mapping[str, Array] | None = None,
    ) -> dict[str, Array]:  # fmt: skip
        """x, targets that do not matter, and what is drawn at its mean.

        others: what is read besides; a y among it is read as the targets.
        """
        spec = self.cell.graph.inputs.get("y")
        lead = x.shape[:2]
        y = np.zeros(lead, np.int64)
        if spec is not None and spec.index is None:
            y = np.zeros((*lead, *((form.n_o,) if spec.shape else ())), np.float32)
        block = Block(x, y, others=others or {})
        return self.cell.draw(parameters, inputs_of(self.cell, block), mean=True)

    def means(self, form: Form, parameters: Mapping[str, Array]) -> dict[str, Array]:
        """What is drawn in training, at its mean, without steps and rows."""
        x = np.zeros((1, 1), np.int64)
        if not form.x_is_token:
            x = np.zeros((1, 1, form.n_x), np.float32)
        lead, rows = {True: (1,), False: (1, 1)}, self.cell.graph.times.row_inputs
        others = {
            n: np.zeros((*lead[n in rows], *shape), int if n in form.entries else float)
            for n, shape in form.shapes.items()
        }
        found = self.inputs(form, parameters, x, others)
        specs = self.cell.graph.inputs.items()
        return {n: found[n][0, 0] for n, spec in specs if spec.draw is not None}

    def _refuse_too_large(self, sizes: Mapping[str, int]) -> None:
        """Parameters, gradient and the optimiser's two moments, in float32."""
        shapes = {
            name: numbers_of(spec.shape, sizes)
            for name, spec in self.cell.graph.parameters.items()
        }
        try:
            refuse_above(4 * 4 * sum(map(prod, shapes.values())), "training it")
        except Refusal as error:
            largest = max(shapes, key=lambda name: prod(shapes[name]))
            axes = " x ".join(map(str, shapes[largest]))
            why = f"Its largest parameter is {largest}, {axes}."
            raise TooLargeError(str(error), why) from error


def check_parameters(model: Model, form: Form, parameters: Parameters) -> None:
    """Hold parameters to the cell's names and shapes. Raises: Refusal."""
    sizes: dict[str, int] = model.sizes(form)
    specs = model.cell.graph.parameters
    if set(parameters) != set(specs):
        found = ", ".join(sorted(set(parameters) ^ set(specs)))
        raise Refusal(f"cell and checkpoint do not both have the parameters {found}")
    for name, spec in specs.items():
        shape = parameters[name].shape
        fits = len(shape) == len(spec.shape) and all(
            n == (sizes.setdefault(d, n) if isinstance(d, str) else d)
            for d, n in zip(spec.shape, shape, strict=True)
        )
        if not fits:
            axes = ", ".join(map(str, spec.shape))
            raise Refusal(f"the parameter {name} has shape {shape}, not ({axes})")


def build_model(options: TrainingOptions, form: Form) -> Model:
    """Make a model of data from a cell: look-up, layers, noise, read-out.

    Raises: UnknownCellError, CellNotTrainableError, the errors of the language and of
    `bptt.compose` (a cell with a loss of its own has no layers on top).
    """
    cell = _with_targets_free(load_cell(options.cell))
    refuse_own_targets(options.cell, cell)
    cell = layers(cell, options)
    if form.x_is_token:
        cell = with_tokens(cell, options, form)
    if cell.graph.loss is None:
        cell = _with_readout(cell, form.target)
    model = as_model(options.cell, cell, form)
    return with_gaps(model, form) if form.has_gaps else model


def _with_targets_free(cell: Cell) -> Cell:
    """A layer whose output is called y with another name for it: y is the target."""
    if cell.graph.loss is not None or "y" not in cell.graph.definitions:
        return cell
    taken = {*cell.graph.names(), *cell.dims, *re.findall(r"\w+", cell.text)}
    free = next(name for name in ("r", "u", "q", "y_cell") if name not in taken)
    return Cell(re.sub(r"(?<!\w)y(?!\w)", free, cell.text))


def with_gaps(model: Model, form: Form) -> Model:
    """A model whose loss leaves out the elements of y that are missing.

    Raises: CellNotTrainableError if its own loss is none of which that can be made.
    """
    cell = model.cell
    if reads_known(cell):
        return model
    root = unnamed(cell.graph.definitions["L"])
    taken = {*cell.graph.parameters, *cell.graph.definitions}
    if model.scores is None or root.op not in GAPPED or KNOWN in taken:
        found = "single elements of y are missing, and its loss does not leave them out"
        fix = (
            "Let an input known[t], 1 where an element of y is there and else 0, "
            "multiply what the loss sums, as in mse(known[t] * o[t], known[t] * y[t])."
        )
        raise CellNotTrainableError(model.name, found, fix)
    line = GAPPED[root.op].format(o=model.scores, y="y")
    return as_model(model.name, with_loss_line(cell, line), form)


def as_model(name: str, cell: Cell, form: Form) -> Model:
    """See a finished cell as a model of data.

    Raises: CellNotTrainableError if the data lacks an input that is not drawn, or has
    it in another form.
    """
    refuse_lacking(name, cell, form)
    loss, scores = _find_loss(cell)
    model = Model(name, cell, loss, scores)
    refuse_other_kinds(name, cell, loss, form)
    refuse_other_sizes(name, model.sized(form))
    return model


def find_scores_name(cell: Cell) -> str | None:
    """The name of o in a cell's loss, None where it is none of `LOSSES`."""
    return _find_loss(cell)[1]


def refuse_reading_ahead(
    model: Model, why: str | None, *, is_cut: bool = False
) -> None:
    """Refuse a cell that reads t+1 where it may not. Raises: CellNotTrainableError.

    why: what speaks against it; None where nothing does; is_cut: whether windows end
    before a sequence does, and so before what comes after its last step.
    """
    times = model.cell.graph.times
    if is_cut and (times.once or times.end_loss or times.is_end_loss):
        found = "an equation of it comes after the last step of a sequence, and "
        found += "windows cut sequences"
        raise CellNotTrainableError(model.name, found, NEEDS_WHOLE)
    for state in sorted(model.cell.graph.backward - set(times.hidden)):
        if why is not None:
            found = f"it reads {state}[t+1], and {why}"
            fix = (
                "Both directions need whole sequences, without --tau, and a y for "
                "every step that is no later x; otherwise a cell reads t and t-1 alone."
            )
            raise CellNotTrainableError(model.name, found, fix)


def find_scores(model: Model) -> str:
    """The name of the unnormalised log-probabilities (10.10) to draw from.

    Raises: CellNotTrainableError if the loss is not nll(softmax(o[t]), y[t]).
    """
    if model.loss == "nll" and model.scores is not None:
        return model.scores
    found = "a sample is drawn from softmax(o[t]), and no such o is found in the loss"
    fix = "Write o[t] = ... on a line of its own and L[t] = nll(softmax(o[t]), y[t])."
    raise CellNotTrainableError(model.name, found, fix)


def _with_readout(cell: Cell, target: str) -> Cell:
    read_out = cell.with_readout()
    if target == "class":
        return read_out
    o = _find_loss(read_out)[1]
    return with_loss_line(read_out, WHOLE[LOSSES[target]].format(o=o, y="y"))


def _find_loss(cell: Cell) -> tuple[str, str | None]:
    root = cell.graph.definitions["L"]
    losses = [node for node in walk([root]) if node.op in LINKS]
    if len(losses) != 1:
        return "other", None
    loss = losses[0]
    scores: Node = loss.inputs[0]
    link = LINKS[loss.op]
    if link is not None:
        y_hat = unnamed(scores)
        if y_hat.op != link:
            return loss.op, None
        scores = y_hat.inputs[0]
    scores = without_known(scores)
    return loss.op, str(scores.data) if scores.op == "named" else None
