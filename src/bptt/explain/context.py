"""What the panels of one document are made from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath

from bptt.check import silent
from bptt.engine import Engine
from bptt.explain.algebra.derive import Derivation
from bptt.explain.algebra.point import Point, Scope
from bptt.explain.book import is_book
from bptt.explain.delays import carried_by, without_carriers
from bptt.explain.instances import Options, check_points, shown_point
from bptt.explain.model import Chain
from bptt.explain.prepare import has_indices, prepare
from bptt.explain.verify import Verifier
from bptt.language import print_graph


def called(name: str) -> str:
    """What a cell is called in titles: a file's name, without folder and ending."""
    path = PurePath(name)
    return path.stem if path.suffix == ".cell" else name


@dataclass(frozen=True)
class Subject:
    """A cell, the options of its explanation, and what is derived from both."""

    cell: Engine
    name: str
    options: Options
    progress: Callable[[float], None] = silent  # the share that is done, 0 to 1

    @property
    def source(self) -> str:
        """The cell as it was typed; with delays, as its equations read them."""
        graph = self.cell.graph
        if not carried_by(graph):
            return self.cell.text.strip()
        return print_graph(without_carriers(graph)).strip()

    @cached_property
    def scope(self) -> Scope:
        """The cell's names, inner nodes named."""
        graph = self.cell.graph
        if has_indices(graph):
            from bptt.explain.indices.lines import shown_graph  # noqa: PLC0415  # few

            shown = shown_graph(graph)
        else:
            shown = prepare(graph)
        return Scope(without_carriers(shown), shown)

    @cached_property
    def derivation(self) -> Derivation:
        """The displayed equations and the derivative along every edge."""
        return Derivation(self.scope.graph)

    @cached_property
    def is_book(self) -> bool:
        """Whether the cell is the network of section 10.2.2."""
        return is_book(self.derivation)

    @cached_property
    def shown(self) -> Point:
        """The numbers that are displayed."""
        return shown_point(self.scope, self.options)

    @cached_property
    def points(self) -> tuple[Point, ...]:
        """The random instances of the checks."""
        return check_points(self.scope, self.options)

    @cached_property
    def verifier(self) -> Verifier:
        """Checks chains at these instances."""
        return Verifier(self.points)

    def checked(self, chain: Chain) -> Chain:
        """A chain with its checks."""
        return self.verifier.chain(chain)
