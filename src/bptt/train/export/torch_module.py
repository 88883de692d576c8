"""A trained network as a torch module; imported when torch is wanted."""

from collections.abc import Mapping
from typing import Any

import torch

import bptt.torch
from bptt.cell import Cell
from bptt.step.shapes import Array

Units = tuple[tuple[float, ...], tuple[float, ...]]


class TorchPredictor(torch.nn.Module):
    """x, (tau, n_b, n_x) or tokens (tau, n_b), to o, (tau, n_b, n_o).

    network: a `bptt.torch.Recurrent`; what is drawn in training is at its mean; units:
    mean and scale of each column of x, where the network reads it standardised.
    """

    def __init__(
        self, network: Any, scores: str, means: Mapping[str, Array], units: Units
    ) -> None:
        super().__init__()
        self.network = network
        self._scores, self._noise = scores, tuple(means)
        self._is_standardised = bool(units[1])
        if self._is_standardised:
            for name, numbers in zip(("x_mean", "x_scale"), units, strict=True):
                self.register_buffer(name, torch.tensor(numbers))
        for name, mean in means.items():
            self.register_buffer(f"mean_{name}", torch.from_numpy(mean.copy()))

    def forward(self, x: Any) -> Any:
        """The scores of every step."""
        if self._is_standardised:
            x = (x - self.x_mean) / self.x_scale
        noise = {}
        for name in self._noise:
            mean = getattr(self, f"mean_{name}")
            noise[name] = mean.expand(*x.shape[:2], *mean.shape)
        return self.network(x=x, **noise).nodes[self._scores]


def predictor(
    cell: Cell,
    parameters: Mapping[str, Array],
    scores: str,
    means: Mapping[str, Array],
    units: Units,
) -> TorchPredictor:
    """A module with these parameters, those that the cell has."""
    sizes: dict[str, Any] = {}
    for name, spec in cell.graph.parameters.items():
        pairs = zip(spec.shape, parameters[name].shape, strict=True)
        sizes |= {d: n for d, n in pairs if isinstance(d, str)}
    network = bptt.torch.Recurrent(cell, outputs=scores, **sizes)
    tensors = {n: torch.from_numpy(parameters[n].copy()) for n in cell.parameters}
    network.load_state_dict(tensors)
    return TorchPredictor(network, scores, means, units)
