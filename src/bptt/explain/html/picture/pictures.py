"""What every drawing of a document starts from: the pictures, and their labels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bptt.explain.algebra.derive import Derivation
from bptt.explain.html.picture.drawn import Drawn, draw
from bptt.explain.html.picture.labels import Labels, SymbolLabels
from bptt.explain.model import Document
from bptt.explain.prepare import has_indices
from bptt.unrolled import Unrolled


@dataclass(frozen=True)
class Pictures:
    """The two pictures of a document's graph in time."""

    document: Document

    @property
    def unrolled(self) -> Unrolled:
        """The graph in time with the numbers that are shown."""
        return self.document.shown.graph

    @cached_property
    def full(self) -> Drawn:
        """The picture with all nodes."""
        return draw(self.unrolled)

    @cached_property
    def folded(self) -> Drawn:
        """The picture without inner nodes."""
        return draw(self.unrolled, folded=True)

    @cached_property
    def labels(self) -> Labels:
        """What stands on the arrows."""
        is_plain = bool(np.all(self.document.shown.weights == 1.0))
        graph = self.document.scope.graph
        kind = SymbolLabels if has_indices(graph) else Labels
        return kind(Derivation(graph), is_plain)
