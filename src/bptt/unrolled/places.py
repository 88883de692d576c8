"""What the unrolled graph is made of: places, the edges between them, and paths.

A place is one circle of the drawn graph: W, W^(3), x^(3), h^(0), h^(3), L^(3), L. An
edge carries its Jacobian; a path multiplies the Jacobians along it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bptt.step.shapes import Array, Shape

KINDS = ("parameter", "copy", "initial", "input", "node", "total")


@dataclass(frozen=True)
class Place:
    """One node of the unrolled graph.

    kind: "parameter" (W), "copy" (W^(t), used at step t alone), "initial" (h^(0)),
    "input" (x^(t)), "node" (h^(t), L^(t)) or "total" (the one L); t: 1..tau; of an
    initial value 0, or tau + 1 for a state read at t+1; None where there is no step.
    """

    kind: str
    name: str
    t: int | None = None

    @property
    def label(self) -> str:
        """`W`, `W^(3)`, `h^(0)`, `L`."""
        return self.name if self.t is None else f"{self.name}^({self.t})"

    def __str__(self) -> str:
        return self.label


@dataclass(frozen=True, eq=False)
class Edge:
    """A dependence of one place on another, with its Jacobian.

    array: the Jacobian, (*target shape, *source shape); None for the identity (W to
    W^(t)) and for a cut edge; is_cut: no gradient passes (an integer, a comparison, a
    stopped gradient); shape: of the source, in numbers; in_dims, out_dims: the same
    shapes in named dimensions, for labels.
    """

    source: Place
    target: Place
    array: Array | None
    shape: tuple[int, ...]
    in_dims: Shape = ()
    out_dims: Shape = ()
    is_cut: bool = False

    @property
    def is_identity(self) -> bool:
        """Whether the target is a copy of the source."""
        return self.array is None and not self.is_cut

    @property
    def jacobian(self) -> Array:
        """∂target/∂source, (*target shape, *source shape).

        Raises: ValueError for a cut edge, which has none.
        """
        if self.array is not None:
            return self.array
        if self.is_cut:
            raise ValueError(f"no gradient passes from {self.source} to {self.target}")
        return np.eye(int(np.prod(self.shape))).reshape(self.shape * 2)

    def pull(self, grad: Array) -> Array:
        """J^T grad: what the gradient of the target gives to the source."""
        if self.array is None:
            return grad
        # What tensordot does, without its search for the axes.
        rest = self.array.shape[grad.ndim :]
        flat = np.dot(grad.reshape(1, -1), self.array.reshape(grad.size, -1))
        return np.asarray(flat.reshape(rest))


@dataclass(frozen=True, eq=False)
class Path:
    """A way from a place to L, and the product of the Jacobians along it.

    places: from the start to L; for a group only its two ends; lag: steps from the
    start to the loss it ends in; product: the path's share of the gradient,
    the shape of the start; count: 1, or the number of paths in the group.
    """

    places: tuple[Place, ...]
    lag: int | None
    product: Array
    count: int = 1

    def __str__(self) -> str:
        joint = " -> " if self.count == 1 else f" -> ({self.count} paths) -> "
        return joint.join(place.label for place in self.places)


@dataclass(frozen=True)
class Skipped:
    """A place whose gradient training does not need, and the reason."""

    place: Place
    reason: str
