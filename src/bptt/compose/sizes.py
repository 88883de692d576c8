"""The dimensions of several layers: which are one, and what they are called together.

A dimension that no other layer has by that name, or that all layers share, keeps its
name; else it gets the layer's label, `n_h_1` and `n_h_2`.
"""

from __future__ import annotations

from collections.abc import Sequence

from bptt import errors
from bptt.step.graph import Graph
from bptt.step.shapes import Dim, DimVar, ShapeRuleError

Place = tuple[int, Dim]  # the number of a layer, and a dimension of it


class Sizes:
    """Union of dimensions over layers."""

    def __init__(self, graphs: Sequence[Graph], labels: Sequence[str]) -> None:
        """Nothing is joined yet."""
        self._labels = labels
        self._vars: dict[Place, DimVar] = {
            (number, dim): DimVar()
            for number, graph in enumerate(graphs)
            for dim in graph.dims()
        }

    def _var(self, place: Place) -> DimVar:
        known = self._vars.get(place)
        return DimVar(place[1]) if known is None else known  # type: ignore[arg-type]

    def join(self, a: Place, b: Place, what: str) -> None:
        """Make two dimensions one.

        Raises: StackSizeError if both are fixed and differ.
        """
        try:
            self._var(a).join(self._var(b))
        except ShapeRuleError as error:
            raise errors.StackSizeError(
                f"{what}, but the cells fix the sizes to {error.detail}"
            ) from None

    def share(self, apart: Sequence[Dim | None]) -> None:
        """Join dimensions of one name over all layers, except each layer's `apart`."""
        first: dict[Dim, Place] = {}
        for place in self._vars:
            number, dim = place
            if dim != apart[number]:
                self.join(first.setdefault(dim, place), place, "layers of one cell")

    def name(self, keep: Dim | None) -> list[dict[Dim, Dim]]:
        """For each layer, its dimensions' new names.

        keep: a dimension of layer 1, the input's, that keeps its name.
        """
        members: dict[DimVar, list[Place]] = {}
        for place, var in self._vars.items():
            members.setdefault(var.find(), []).append(place)
        taken: set[Dim] = set()
        found: list[dict[Dim, Dim]] = [{} for _ in self._labels]
        order = sorted(members.values(), key=lambda places: (0, keep) not in places)
        for places in order:
            name = self._name_of(places, taken)
            if (0, keep) in places and self._var(places[0]).find().value is None:
                name = keep  # type: ignore[assignment]
            taken.add(name)
            for number, dim in places:
                found[number][dim] = name
        return found

    def _name_of(self, places: list[Place], taken: set[Dim]) -> Dim:
        value = self._vars[places[0]].find().value
        if value is not None:
            return value
        number, base = places[0]
        others = {place for place in self._vars if place[1] == base}
        if others <= set(places) and base not in taken:
            return base
        return f"{base}_{self._labels[number]}"
