"""How large the gradient is at every t: on the states, and of each copy of a matrix."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from bptt.cell import Cell
from bptt.train.data.windows import Dataset, weights_of
from bptt.train.door.records import is_figure
from bptt.train.gaps import inputs_of, total_of
from bptt.train.network import differentiate, states_of
from bptt.train.truncation import Truncation

N_ROWS = 8
N_POINTS = 120  # of a longer sequence, every so many steps


def first_window(
    cell: Cell,
    parameters: Mapping[str, npt.NDArray[np.floating]],
    dataset: Dataset,
    truncation: Truncation,
) -> dict[str, Any]:
    """Inputs, weights and lengths of the first window of the first rows, at most 8."""
    rows = np.sort(np.concatenate(dataset.groups(0)))[:N_ROWS]
    stop = min(dataset.length_of(rows), truncation.k2 or dataset.length_of(rows))
    block = dataset.read(rows, 0, stop)
    weights = weights_of(block, stop)
    weights /= total_of(block, weights) or 1.0
    inputs = cell.draw(parameters, inputs_of(cell, block), mean=True)
    return {"inputs": inputs, "weights": weights, "lengths": block.lengths}


def measure_norms(
    cell: Cell,
    parameters: Mapping[str, npt.NDArray[np.floating]],
    dataset: Dataset,
    truncation: Truncation,
    limit: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """‖∇_{h^(t)} L‖ of every state and ‖∇_{W^(t)} L‖ of every matrix, over t.

    On the first window of the data's first rows in file order, at most 8, always the
    same; L is the mean over the losses in it, the norms are over all rows together.
    Returns: "t", "states" by name and "copies" by name, lists of one length.
    """
    case = first_window(cell, parameters, dataset, truncation)
    stop = len(case["weights"])
    gradient = differentiate(
        cell,
        parameters,
        **case,
        nodes=states_of(cell),
        limit=limit,
    )
    steps = np.unique(np.linspace(0, stop - 1, min(stop, N_POINTS)).round().astype(int))
    states = {
        name: _listed(np.linalg.norm(value.reshape(stop, -1), axis=1)[steps])
        for name, value in gradient.nodes.items()
    }
    copies = {
        name: _listed(gradient.copies[name].norms()[steps])
        for name, shape in cell.parameters.items()
        if len(shape) == 2
    }
    return {"t": (steps + 1).tolist(), "states": states, "copies": copies}


def _listed(values: npt.NDArray[np.floating]) -> list[float | None]:
    """Four digits of each; JSON has no infinity, so None for what is not finite."""
    return [float(f"{v:.4g}") if is_figure(v) else None for v in values]
