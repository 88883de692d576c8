"""Any optimiser of torch.optim, working in the memory of NumPy parameters."""

import inspect
from collections.abc import Mapping
from copy import deepcopy
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from bptt.errors import list_known
from bptt.train.assignments import OptionValue
from bptt.train.door.likeness import refuse_unlike
from bptt.train.door.limits import Refusal
from bptt.train.errors import (
    OptimiserOptionError,
    TrainExtraMissingError,
    UnknownOptimiserError,
)

# Optimisers that cannot take one dense gradient per step, and why.
REFUSED = {
    "lbfgs": "it evaluates the loss several times per step, and a stream is read once; "
    "for sequence files --optimiser lbfgs is SciPy's, on all of them at once",
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
        *,
        weight_decay: float = 0.0,
    ) -> None:
        """Share the parameters' memory with tensors and build the optimiser."""
        self._torch = import_torch()
        kind = _find(self._torch.optim, name)
        self.tensors = {
            key: self._torch.from_numpy(value) for key, value in parameters.items()
        }
        chosen = dict(options or {})
        if weight_decay:
            chosen.setdefault("weight_decay", weight_decay)
        self.torch_optimiser = _build(
            kind, list(self.tensors.values()), learning_rate, chosen
        )
        self._highest_rate = learning_rate

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step."""
        return float(self.torch_optimiser.param_groups[0]["lr"])

    def set_rate_factor(self, factor: float) -> None:
        """Make the learning rate `factor` times that which was given."""
        for group in self.torch_optimiser.param_groups:
            group["lr"] = self._highest_rate * factor

    def step(self, gradients: Mapping[str, npt.NDArray[np.floating]]) -> None:
        """Change every parameter by one step along its gradient.

        Shapes: gradients[name] as parameters[name], same dtype.
        Raises: OptimiserOptionError if its numbers are such that torch cannot.
        """
        for name, tensor in self.tensors.items():
            # torch wants memory it may write to, in C order; anything else is copied.
            # ascontiguousarray would turn a scalar into a vector.
            gradient = np.require(gradients[name], requirements=["C", "W"])
            tensor.grad = self._torch.from_numpy(gradient)
        try:
            self.torch_optimiser.step()
        except (ArithmeticError, RuntimeError, TypeError, ValueError) as error:
            name = type(self.torch_optimiser).__name__
            raise OptimiserOptionError(name, f"cannot step: {error}") from error
        finally:
            for tensor in self.tensors.values():
                tensor.grad = None  # or it would lie beside the next one

    def state(self) -> dict[str, Any]:
        """Everything the optimiser remembers, by torch's own names."""
        state: dict[str, Any] = self.torch_optimiser.state_dict()
        return state

    def load(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` gave, arrays in place of tensors.

        Raises: Refusal if it is not what an optimiser of this kind remembers.
        """
        self._refuse_unlike(state)
        self.torch_optimiser.load_state_dict(self._tensors_in(state))

    def _refuse_unlike(self, state: Mapping[str, Any]) -> None:
        """Compare with what a copy remembers after a step along a zero gradient."""
        copy = deepcopy(self.torch_optimiser)
        for group in copy.param_groups:
            for tensor in group["params"]:
                tensor.grad = self._torch.zeros_like(tensor)
        if not isinstance(state, Mapping):
            raise Refusal("the optimiser remembers nothing")
        fresh = copy.state_dict()
        refuse_unlike(
            state.get("param_groups"), fresh["param_groups"], "optimiser.param_groups"
        )
        for found, own in zip(
            state["param_groups"], fresh["param_groups"], strict=True
        ):
            _refuse_other_switches(found, own)
        copy.step()
        remembered = state.get("state")
        expected: Any = copy.state_dict()["state"]
        # Nothing is remembered where every window so far was left out.
        if isinstance(remembered, Mapping) and not remembered:
            expected = {}
        refuse_unlike(remembered, expected, "optimiser.state")

    def _tensors_in(self, value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return self._torch.from_numpy(value)
        if isinstance(value, Mapping):
            return {key: self._tensors_in(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._tensors_in(item) for item in value]
        return value


def _refuse_other_switches(found: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """A schedule moves numbers; a switch decides what an optimiser remembers."""
    for name, value in own.items():
        is_switch = value is None or isinstance(value, bool | str)
        if is_switch and found[name] is not value and found[name] != value:
            raise Refusal(f"the optimiser's {name} is {found[name]!r:.40}, not {value}")


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
    known = sorted(set(inspect.signature(kind).parameters) - {"params", "lr"})
    unknown = sorted(set(options) - set(known))
    if unknown:
        reason = f"has no option {unknown[0]!r}; it has {list_known(unknown[0], known)}"
        raise OptimiserOptionError(kind.__name__, reason)
    try:
        return kind(tensors, lr=learning_rate, **options)
    except (TypeError, ValueError, RuntimeError) as error:
        reason = f"refuses {dict(options)}: {error}"
        raise OptimiserOptionError(kind.__name__, reason) from error
