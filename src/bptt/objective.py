"""A cell's loss as a function of one flat vector, for general optimisers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bptt import errors
from bptt.engine import Engine
from bptt.execute.bindings import parameter_arrays
from bptt.segments import spooled
from bptt.step.initial import check_sizes
from bptt.step.shapes import Array, numbers_of


class Objective:
    """f(vector) -> (loss, gradient), both of the total loss; float64 throughout.

    The vector holds the parameters one after another, each in C order, in the order of
    `cell.parameters`. `flatten` and `unflatten` translate.
    """

    def __init__(
        self,
        cell: Engine,
        inputs: Mapping[str, Any],
        params: Mapping[str, Any] | None,
        sizes: Mapping[str, int],
        **options: Any,
    ) -> None:
        """Shapes come from `params`, or from `sizes` and the inputs."""
        if cell.graph.loss is None:
            raise errors.NoLossError("the cell has no loss L[t] to minimise")
        check_sizes(cell.dims, sizes)
        self._cell = cell
        self._inputs = spooled(inputs, {"": 0.0})
        self._options = options
        self._shapes: dict[str, tuple[int, ...]] | None = None
        self._sizes = dict(sizes)
        if params is not None:
            arrays, _, _ = parameter_arrays(cell.graph, params)
            self._shapes = {name: array.shape for name, array in arrays.items()}
        else:
            self._read_sizes()

    def _read_sizes(self) -> None:
        """Sizes that the inputs' last axes tell."""
        for name, spec in self._cell.graph.inputs.items():
            if name in self._inputs and spec.shape:
                found = np.shape(self._inputs[name])[-len(spec.shape) :]
                for dim, size in zip(spec.shape, found, strict=False):
                    if isinstance(dim, str):
                        self._sizes.setdefault(dim, size)

    def _count(self, sizes: Mapping[str, int]) -> int:
        return sum(int(np.prod(s)) for s in self._resolve(sizes).values())

    def _resolve(self, sizes: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
        return {
            name: numbers_of(shape, sizes)
            for name, shape in self._cell.parameters.items()
        }

    def _solve(self, length: int) -> dict[str, tuple[int, ...]]:
        """The shapes, with at most one size solved from the vector's length."""
        needed = {str(d) for s in self._cell.parameters.values() for d in s
                  if isinstance(d, str)}  # fmt: skip
        unknown = sorted(needed - self._sizes.keys())
        if len(unknown) > 1:
            raise errors.MissingSizeError(
                f"the sizes {', '.join(unknown)} do not follow from the inputs; pass "
                f"params, or for example objective(inputs, {unknown[0]}=8)"
            )
        if not unknown:
            return self._resolve(self._sizes)
        (dim,) = unknown
        size = 1
        while self._count({**self._sizes, dim: size}) < length:
            size += 1
        return self._resolve({**self._sizes, dim: size})

    def _known_shapes(self, length: int) -> dict[str, tuple[int, ...]]:
        shapes = self._shapes or self._solve(length)
        total = sum(int(np.prod(shape)) for shape in shapes.values())
        if total != length:
            shown = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
            raise errors.SizeError(
                f"the vector has {length} elements, but the parameters need {total}: "
                f"{shown}"
            )
        self._shapes = shapes
        return shapes

    def flatten(self, params: Mapping[str, Any]) -> Array:
        """Parameters, or a gradient, as one vector."""
        arrays = [np.asarray(params[name]) for name in self._cell.parameters]
        if self._shapes is None:
            self._shapes = {
                name: array.shape
                for name, array in zip(self._cell.parameters, arrays, strict=True)
            }
        return np.concatenate([array.ravel() for array in arrays])

    def unflatten(self, vector: Any) -> dict[str, Array]:
        """A vector as parameters."""
        flat = np.asarray(vector, dtype=np.float64)
        if flat.ndim != 1:
            raise errors.InputRankError(f"a flat vector is needed, got {flat.shape}")
        params = {}
        start = 0
        for name, shape in self._known_shapes(flat.size).items():
            stop = start + int(np.prod(shape))
            params[name] = flat[start:stop].reshape(shape)
            start = stop
        return params

    def __call__(self, vector: Any) -> tuple[float, Array]:
        """The total loss and its gradient at a vector."""
        params = self.unflatten(vector)
        grad = self._cell.gradient(params, self._inputs, **self._options)
        assert isinstance(grad.loss, float)
        return grad.loss, self.flatten(grad)
