"""A call of `Cell.flow`, kept so that it can be made again with something changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bptt import errors
from bptt.engine import Engine
from bptt.execute.bindings import Bindings, bind

SPECTRA = ("auto", "full", "leading")


@dataclass(frozen=True, eq=False)
class FlowSetting:
    """What a flow was asked to measure; see `Cell.flow` for the words.

    source: the cell as it was written, which says what its arrays are; engine: the same
    with a loss at every step, whose weights leave out what does not count.
    """

    source: Engine
    engine: Engine
    params: Mapping[str, Any]
    inputs: Mapping[str, Any]
    initial: Mapping[str, Any] | None = None
    seeds: Mapping[str, Any] | None = None
    reduction: str = "sum"
    weights: Any = None
    lengths: Any = None
    row: int = 0
    lag: int | None = None
    window: int | None = None
    clip: float | None = None
    spectrum: str = "auto"
    name: str | Mapping[str, str] = ""
    data: str = ""
    seed: int | None = None
    tick: Callable[[], None] = field(default=lambda: None)

    def check(self) -> None:
        """Refuse options without a meaning. Raises: FlowError, NoLossError."""
        graph = self.source.graph
        if graph.loss is None and not self.seeds:
            raise errors.NoLossError(
                "the cell has no loss L[t], so no gradient enters it; seed one: "
                f"flow(..., seeds={{{tuple(graph.definitions)[-1]!r}: g}})"
            )
        for name, value in (("lag", self.lag), ("window", self.window)):
            if value is not None and value < 1:
                raise errors.FlowError(f"{name}={value}: a number of steps from 1 on")
        if self.clip is not None and not self.clip > 0:
            raise errors.FlowError(
                f"clip={self.clip}: a threshold on a gradient's norm, above 0"
            )
        if self.spectrum not in SPECTRA:
            raise errors.FlowError(
                f"spectrum={self.spectrum!r}: one of "
                f"{errors.list_known(self.spectrum, SPECTRA)}"
            )

    def bind(self) -> Bindings:
        """The numbers of the run, checked. Raises: the errors of `gradient`."""
        return bind(
            self.source.graph, self.params, self.inputs, self.initial, self.seeds,
            self.reduction, self.weights, lengths=self.lengths,
        )  # fmt: skip
