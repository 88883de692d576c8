"""Any optimiser of torch.optim, working in the memory of NumPy parameters."""

import inspect
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from bptt.train.errors import (
    OptimiserOptionError,
    TrainExtraMissingError,
    UnknownOptimiserError,
)

OptionValue = float | bool | tuple[float, ...]

# Optimisers that cannot take one dense gradient per step, and why.
REFUSED = {
    "lbfgs": "it evaluates the loss several times per step, and a stream is read once; "
    "cell.objective(...) gives the function for scipy.optimize",
    "sparseadam": "it takes sparse gradients only",
    "muon": "it takes matrices only, and a cell has vectors too",
}


class Optimiser:
    """A torch.optim optimiser whose tensors share memory with NumPy parameters.

    A step reads gradients and changes the arrays in `parameters` in place; nothing is
    copied but a gradient whose memory is not contiguous or not writable.
    Raises: TrainExtraMissingError, UnknownOptimiserError, OptimiserOptionError.
    """

    def __init__(
        self,
        name: str,
        parameters: Mapping[str, npt.NDArray[np.floating]],
        learning_rate: float,
        options: Mapping[str, OptionValue] | None = None,
    ) -> None:
        """Share the parameters' memory with tensors and build the optimiser."""
        self._torch = import_torch()
        kind = _find(self._torch.optim, name)
        self.tensors = {
            key: self._torch.from_numpy(value) for key, value in parameters.items()
        }
        self._optimiser = _build(
            kind, list(self.tensors.values()), learning_rate, options or {}
        )
        self._highest_rate = learning_rate

    def step(
        self,
        gradients: Mapping[str, npt.NDArray[np.floating]],
        rate_factor: float = 1.0,
    ) -> None:
        """Change every parameter by one step along its gradient.

        Shapes: gradients[name] as parameters[name], same dtype. `rate_factor` scales
        the learning rate of this step alone.
        """
        for name, tensor in self.tensors.items():
            # torch wants memory it may write to, in C order; anything else is copied.
            # ascontiguousarray would turn a scalar into a vector.
            gradient = np.require(gradients[name], requirements=["C", "W"])
            tensor.grad = self._torch.from_numpy(gradient)
        for group in self._optimiser.param_groups:
            group["lr"] = self._highest_rate * rate_factor
        self._optimiser.step()


def import_torch() -> Any:
    """Import torch, or say what to install.

    Raises: TrainExtraMissingError.
    """
    try:
        return import_module("torch")
    except ImportError as error:
        raise TrainExtraMissingError("torch") from error


def optimiser_names() -> tuple[str, ...]:
    """The optimisers of torch.optim that can be used, in lower case."""
    return tuple(sorted(_usable(import_torch().optim)))


def _usable(optim: Any) -> dict[str, Any]:
    kinds = {
        name.lower(): kind
        for name, kind in vars(optim).items()
        if inspect.isclass(kind) and issubclass(kind, optim.Optimizer)
    }
    skipped = {"optimizer", *REFUSED}
    return {name: kind for name, kind in kinds.items() if name not in skipped}


def _find(optim: Any, name: str) -> Any:
    usable = _usable(optim)
    key = name.lower()
    if key not in usable:
        raise UnknownOptimiserError(name, tuple(sorted(usable)), REFUSED.get(key, ""))
    return usable[key]


def _build(
    kind: Any,
    tensors: list[Any],
    learning_rate: float,
    options: Mapping[str, OptionValue],
) -> Any:
    known = set(inspect.signature(kind).parameters) - {"params", "lr"}
    unknown = sorted(set(options) - known)
    if unknown:
        reason = f"has no option {unknown[0]!r}; it has {', '.join(sorted(known))}"
        raise OptimiserOptionError(kind.__name__, reason)
    try:
        return kind(tensors, lr=learning_rate, **options)
    except (TypeError, ValueError, RuntimeError) as error:
        reason = f"refuses {dict(options)}: {error}"
        raise OptimiserOptionError(kind.__name__, reason) from error
