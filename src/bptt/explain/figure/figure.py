"""The figure that a person holds: one drawing, every format."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from bptt.errors import ArgumentError, list_known
from bptt.explain.figure.edges import edges
from bptt.explain.figure.paths import paths
from bptt.explain.figure.pdf import to_pdf
from bptt.explain.figure.pictured import Pictured
from bptt.explain.figure.scene import Scene
from bptt.explain.figure.svg import to_svg
from bptt.explain.figure.tikz import to_tikz
from bptt.explain.figure.unrolled import unrolled

KINDS = ("unrolled", "edge", "paths")
SUFFIXES = (".svg", ".pdf", ".tex")


class FigureError(ArgumentError):
    """A figure is asked for that there is none of, or in a format without a writer."""


@dataclass(frozen=True)
class Figure:
    """A figure of an explanation for print; see `Explanation.figure`."""

    scene: Scene

    def svg(self) -> str:
        """As SVG: one file that refers to nothing."""
        return to_svg(self.scene)

    def tikz(self) -> str:
        """As a LaTeX document of the figure's size that holds one TikZ picture."""
        return to_tikz(self.scene)

    def pdf(self) -> bytes:
        """As PDF.

        Raises: MissingExtraError without matplotlib; MissingFontError without Chinese
        letters for words in Chinese.
        """
        return to_pdf(self.scene)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write a file; its suffix says the format: .svg, .pdf or .tex.

        Returns: the path.
        Raises: FigureError for another suffix; what `pdf` does; OSError if it cannot
        be written.
        """
        target = Path(path)
        if target.suffix == ".pdf":
            target.write_bytes(self.pdf())
        elif target.suffix == ".svg":
            target.write_text(self.svg(), encoding="utf-8")
        elif target.suffix == ".tex":
            target.write_text(self.tikz(), encoding="utf-8")
        else:
            raise FigureError(
                f"no figure as {target.suffix!r}: the name of the file {target.name!r} "
                f"has to end in one of {list_known(target.suffix, SUFFIXES)}"
            )
        return target

    def _repr_svg_(self) -> str:
        """What a notebook shows."""
        return self.svg()


def make_figure(pictured: Pictured, kind: str, of: str | None) -> Figure:
    """One of KINDS; of: see `Explanation.figure`."""
    if kind not in KINDS:
        raise FigureError(
            f"no figure is called {kind!r}; there are: {list_known(kind, KINDS)}"
        )
    graph = pictured.document.scope.graph
    if kind == "paths":
        names = tuple(graph.parameters)
        return Figure(
            paths(pictured, _known(of or _first(pictured), names, "parameter"))
        )
    if of is not None:
        names = (*graph.definitions, *graph.parameters, *graph.inputs)
        _known(of, names, "name of the equations")
    if kind == "edge":
        return Figure(edges(pictured, of))
    return Figure(unrolled(pictured))


def _first(pictured: Pictured) -> str:
    """The parameter that the most paths lead from: one that acts through time."""
    found = pictured.unrolled
    names = tuple(pictured.document.scope.graph.parameters)
    if not names:
        raise FigureError("a cell without parameters has no paths from one to L")
    rank = pictured.labels.derivation.rank
    return max(names, key=lambda n: (found.count_paths(found.place(n)), rank(n)))


def _known(name: str, names: tuple[str, ...], what: str) -> str:
    if name not in names:
        raise FigureError(
            f"{name!r} is no {what} of this cell; there are: {list_known(name, names)}"
        )
    return name
