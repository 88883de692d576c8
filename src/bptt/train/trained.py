"""A trained model in the hands of Python: arrays in, predictions out."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from bptt.cell import Cell
from bptt.step.shapes import Array
from bptt.train.checkpoint import Parameters
from bptt.train.data.entries import Entries
from bptt.train.data.form import Form
from bptt.train.data.reads import InputRead
from bptt.train.data.series_task import normal
from bptt.train.errors import (
    CellNotTrainableError,
    ExportError,
    ForecastError,
    OptionError,
    PredictInputError,
)
from bptt.train.export.c_header import c_header
from bptt.train.export.onnx_model import onnx_model
from bptt.train.export.single_step import SingleStep, single_step
from bptt.train.files import write_whole
from bptt.train.fitting import behind, reads_targets_back
from bptt.train.gaps import equations_of
from bptt.train.model import Model
from bptt.train.optimiser import import_torch
from bptt.train.reading import reads_of
from bptt.train.run_folder import SavedRun, read_run
from bptt.train.sampling import best_or_last, writer_of_run

Given = Array | Mapping[str, Array]  # x, or all inputs by name


@dataclass(frozen=True)
class Trained:
    """What a run learned: `load` makes one.

    run: the folder as it was read; model: the cell with its loss, as it was trained.
    """

    run: SavedRun
    model: Model

    @property
    def cell(self) -> Cell:
        """The cell with its read-out and loss."""
        return self.model.cell

    @property
    def parameters(self) -> Parameters:
        """The parameters, name -> array."""
        return self.run.parameters

    @property
    def vocabulary(self) -> Entries | None:
        """The vocabulary of a model of text."""
        return self.run.vocabulary

    @property
    def form(self) -> Form:
        """The form of the data that it reads."""
        return self.run.form

    def predict(self, x: Given, *, lengths: Array | None = None) -> Array:
        """The predictions of every step: probabilities, or real numbers.

        softmax(o[t]) of classes, sigmoid(o[t]) of binary targets, o[t] of real ones.
        Masks and noise are at their mean, and every row starts from a zero state.
        x: (tau, n_b, n_x), or tokens (tau, n_b); of a cell that reads more than x the
        arrays of all its inputs by name, (tau, n_b, ...), or (n_b, ...) of one per
        sequence, and y where it reads the targets of earlier steps. lengths: (n_b,),
        the useful steps.
        Returns: (tau, n_b, n_o), zero beyond a length; (n_b, n_o) of an o after the
        last step.
        Raises: PredictInputError for another shape, CellNotTrainableError if the model
        has no o in its loss.
        """
        o = self.scores(x, lengths=lengths)
        found = self._in_units(_link(self.model.link, o))
        if lengths is not None and not self.is_once:
            found[np.arange(len(found))[:, None] >= np.asarray(lengths)] = 0
        return found

    @property
    def is_once(self) -> bool:
        """Whether it predicts after the last step, once for a sequence."""
        return self.model.is_once

    def scores(self, x: Given, *, lengths: Array | None = None) -> Array:
        """The o[t] of the loss, (tau, n_b, n_o): as `predict`, before softmax."""
        named = x if isinstance(x, Mapping) else {"x": x}
        others = {name: np.asarray(array) for name, array in named.items()}
        plain = self._plain(others)
        scores = _scores_of(self.model)
        inputs = self.model.inputs(self.form, self.parameters, plain, others)
        run = self.cell.forward(self.parameters, inputs, lengths=lengths)
        return np.array(run[scores])

    def _plain(self, others: dict[str, Array]) -> Array:
        """x as the network reads it; of a cell without one, an x without columns.

        Takes x out of the others. Raises: PredictInputError.
        """
        reads = reads_of(self.cell)
        known = dict(reads.others)
        if reads.has_y and reads_targets_back(self.cell, _scores_of(self.model)):
            known["y"] = InputRead((), True)
        wanted = [*(["x"] if reads.has_x else []), *known]
        if any(n not in others for n in wanted):
            given = ", ".join(others) or "nothing"
            raise PredictInputError(f"{given} alone", ", ".join(wanted))
        x = others.pop("x") if reads.has_x else None
        for name in [n for n in others if n not in known]:
            del others[name]  # targets that nothing reads back
        if reads.has_y and "y" in others and self.form.y_scale:
            others["y"] = normal(others["y"], self.form.y_mean, self.form.y_scale)
        if x is None:
            name = next(n for n, one in known.items() if one.per_step)
            return np.zeros((*others[name].shape[:2], 0), np.float32)
        self._refuse_other(x)
        return self._normal(x)

    def forecast(self, x: Array, steps: int) -> Array:
        """Further steps of series, the network fed its own output.

        A model of the target x[t + horizon] has said the first `horizon` steps after
        the end of a series when it has read the series; further ones follow from its
        forecasts, read as if they were x.
        x: (tau, n_b, n_x), the series so far, at least horizon steps; steps: how many
        to go on. Returns: (steps, n_b, n_x), in the units of the data.
        Raises: OptionError if steps is below 1; ForecastError if the target is not a
        later x, in real numbers, or is read back; PredictInputError for another x.
        """
        horizon = self.horizon_of_forecast(steps)
        self._refuse_other(np.asarray(x))
        if len(x) < horizon:
            wanted = f"at least {horizon} steps, the horizon"
            raise PredictInputError(f"a series of {len(x)} steps", wanted)
        run = self.cell.forward(self.parameters, self._inputs(self._normal(x)))
        scores = _scores_of(self.model)
        found = list(self._in_units(np.array(run[scores][-horizon:])))
        while len(found) < steps:
            now = self._normal(found[len(found) - horizon][None])
            run = self.cell.forward(
                self.parameters, self._inputs(now), initial=run.final
            )
            found.append(self._in_units(np.array(run[scores]))[0])
        return np.stack(found[:steps])

    def horizon_of_forecast(self, steps: int) -> int:
        """How many steps ahead the target lies, of a model that can forecast.

        Raises: OptionError and ForecastError as `forecast`.
        """
        if steps < 1:
            raise OptionError("--steps", steps, "a whole number from 1")
        horizon: int | None = self.run.config.get("data", {}).get("horizon")
        if self.model.loss != "mse" or horizon is None:
            raise ForecastError(
                self.run.folder, "its target is no later x of a real series"
            )
        if self.form.shapes:
            why = "it reads more than x, and what that is later is not known"
            raise ForecastError(self.run.folder, why)
        if reads_targets_back(self.cell, _scores_of(self.model)):
            why = "it reads the targets of earlier steps, which nobody knows later on"
            raise ForecastError(self.run.folder, why)
        return horizon

    def sample(self, prompt: str, length: int, **how: Any) -> Iterator[str]:
        """Text, or tokens, that goes on from a prompt; see `Sampler.write`.

        Raises: NotSampledError if its target is not its next token,
        CellNotTrainableError if its loss is not nll(softmax(o), y), or its o depends on
        y.
        """
        return writer_of_run(self.run).write(prompt, length, **how)

    @cached_property
    def network(self) -> Cell:
        """What its scores are made of: a cell of x alone, and whatever is drawn.

        Raises: CellNotTrainableError where they are made of more.
        """
        names = behind(self.cell, _scores_of(self.model))
        inputs = [n for n in self.cell.inputs if n in names]
        if [n for n in inputs if self.cell.graph.inputs[n].draw is None] != ["x"]:
            found = f"what it predicts is made of {', '.join(inputs)}"
            fix = (
                "Only of x alone is there such a function. bptt.torch.Recurrent and "
                "bptt.jax.recurrent take load(RUN).cell, and every input by its name."
            )
            raise CellNotTrainableError(self.model.name, found, fix)
        return Cell(equations_of(self.cell, names))

    def _drawn(self) -> dict[str, Array]:
        """What the network draws, at its mean."""
        means = self.model.means(self.form, self.parameters)
        return {n: a for n, a in means.items() if n in self.network.inputs}

    @property
    def step(self) -> SingleStep:
        """One time step as operations on numbers. Raises: ExportError."""
        return single_step(self.model, self.form, self.parameters)

    def torch_module(self) -> Any:
        """A torch module of x, (tau, n_b, n_x), that gives `scores(x)`.

        Its parameters have the equations' names, under `network`, and can be trained
        on. Raises: TrainExtraMissingError without torch.
        """
        import_torch()
        make: Any = import_module("bptt.train.export.torch_module").predictor
        return make(
            self.network, self.parameters, _scores_of(self.model), self._drawn(),
            (self.form.x_mean, self.form.x_scale),
        )  # fmt: skip

    def jax_function(self) -> Callable[[Mapping[str, Any], Any], Any]:
        """A JAX function f(parameters, x) that gives `scores(x)`.

        Raises: ImportError without jax.
        """
        jax_room: Any = import_module("bptt.jax")
        jnp: Any = import_module("jax.numpy")
        scores = _scores_of(self.model)
        network = jax_room.recurrent(self.network, nodes=(scores,))
        means, form = self._drawn(), self.form

        def predict(parameters: Mapping[str, Any], x: Any) -> Any:
            if form.x_scale:
                mean, scale = (
                    np.array(one, np.float32) for one in (form.x_mean, form.x_scale)
                )
                x = (x - mean) / scale
            lead = x.shape[:2]
            noise = {
                n: jnp.broadcast_to(m, (*lead, *m.shape)) for n, m in means.items()
            }
            given = {n: parameters[n] for n in self.network.parameters}
            return network(given, {"x": x, **noise}).nodes[scores]

        return predict

    def export(self, kind: str) -> bytes:
        """The model as "onnx", "c" or "torch" (a state_dict, as safetensors).

        Raises: ExportError, TrainExtraMissingError.
        """
        if kind == "onnx":
            return onnx_model(self.step)
        if kind == "c":
            return c_header(self.step).encode()
        if kind == "torch":
            save: Any = import_module("safetensors.numpy").save
            # ascontiguousarray would turn a scalar into a vector.
            solid = {n: np.asarray(p, order="C") for n, p in self.parameters.items()}
            units = {
                n: json.dumps(getattr(self.form, n))
                for n in ("x_mean", "x_scale", "y_mean", "y_scale")
                if getattr(self.form, n)
            }
            content: bytes = save(solid, metadata={"cell": self.cell.text, **units})
            return content
        raise ExportError(kind, "there is no such format; there are onnx, c and torch")

    def _in_units(self, o: Array) -> Array:
        """What the network says, in the units of the data."""
        form = self.form
        if not form.y_scale:
            return o
        return np.asarray(o * np.array(form.y_scale) + np.array(form.y_mean))

    def _normal(self, x: Array) -> Array:
        """x as the network reads it."""
        form = self.form
        return normal(x, form.x_mean, form.x_scale) if form.x_scale else x

    def _inputs(self, x: Array) -> dict[str, Array]:
        return self.model.inputs(self.form, self.parameters, x)

    def _refuse_other(self, x: Array) -> None:
        form = self.form
        if form.x_is_token:
            wanted = f"(tau, n_b) integers below {form.n_x}"
            fits = x.ndim == 2 and x.dtype.kind in "iu" and x.max(initial=0) < form.n_x
        else:
            wanted = f"(tau, n_b, {form.n_x}) numbers"
            fits = x.ndim == 3 and x.shape[2] == form.n_x and x.dtype.kind in "biuf"
        if not fits:
            raise PredictInputError(f"{x.dtype} {x.shape}", wanted)


def load(folder: Path, checkpoint: str | None = None) -> Trained:
    """What a run learned.

    checkpoint: "best" or "last"; without, the best if there is one.
    Raises: the errors of `read_run`.

    >>> load(Path("runs/one")).predict(x)  # doctest: +SKIP
    """
    folder = Path(folder)
    name = best_or_last(folder) if checkpoint is None else checkpoint
    saved = read_run(folder, name)
    return Trained(saved, saved.model)


def export_run(
    folder: Path, path: Path, kind: str, checkpoint: str | None = None
) -> None:
    """Write a run's model to a file, whole or not at all; kind: as `Trained.export`.

    Raises: the errors of `load` and of `Trained.export`, FolderNotWritableError.
    """
    write_whole(path, load(folder, checkpoint).export(kind))


def _scores_of(model: Model) -> str:
    if model.scores is None:
        found = "its loss names no o that a prediction could be made of"
        fix = "Write o[t] = ... on a line of its own, and the loss of it."
        raise CellNotTrainableError(model.name, found, fix)
    return model.scores


def _link(link: str | None, o: Array) -> Array:
    if link == "softmax":
        weights = np.exp(o - o.max(axis=-1, keepdims=True))
        return np.asarray(weights / weights.sum(axis=-1, keepdims=True))
    if link == "sigmoid":
        return np.asarray(np.exp(-np.logaddexp(0, -o)))
    return o
