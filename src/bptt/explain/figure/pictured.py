"""What every figure draws from: the two pictures of the graph in time, and labels."""

from __future__ import annotations

from dataclasses import dataclass

from bptt.explain.algebra import expr as e
from bptt.explain.algebra.expr import Time, Value
from bptt.explain.figure.scene import Label, formula
from bptt.explain.html.picture.drawn import Arrow
from bptt.explain.html.picture.pictures import Pictures
from bptt.explain.html.words import plain
from bptt.explain.render.common import one_line
from bptt.language.print_indices import split_target


@dataclass(frozen=True)
class Pictured(Pictures):
    """A document as its figures see it; lang: of their words."""

    lang: str

    @property
    def cell(self) -> str:
        """What the cell is called."""
        return one_line(self.document.options["cell"]) or self.word("unnamed")

    def word(self, key: str, **fields: object) -> str:
        """A sentence of the figures in their language."""
        return plain(f"figure-{key}", **fields)[self.lang]

    def indices(self, name: str) -> tuple[str, ...]:
        """The indices of a value: on the left of its equation, or of its dimensions."""
        graph = self.document.scope.graph
        if name in graph.definitions:
            return split_target(graph.definitions[name].inputs[0])[0]
        shape = graph.inputs[name].shape if name in graph.inputs else ()
        by_dim = {dim: index for index, (_, dim) in graph.indices.items()}
        return tuple(by_dim[dim] for dim in shape[:-1] if dim in by_dim)

    # ----- labels in print -----

    def form(self, arrow: Arrow, *, is_backward: bool = False) -> Label:
        """The Jacobian at the arrow's own step, or its transpose."""
        of = self.labels.turned if is_backward else self.labels.form
        found = of(arrow)
        if isinstance(found, e.Identity):
            return Label("I", r"$\mathbf{I}$")
        shown = found and formula(e.at_step(found, Time("", arrow.t)))
        if not shown or r"\frac" in shown.latex:  # too high for a line
            return self.symbol(arrow, is_backward=is_backward)
        return shown

    def symbol(self, arrow: Arrow, *, is_backward: bool = False) -> Label:
        """`∂a/∂h′`, with a prime where the source is a step away."""
        known = self.labels.form(arrow) if arrow.target.kind == "total" else None
        if known is not None:  # 1, or w_t; of a loss outside the cell nothing is known
            return formula(e.at_step(known, Time("", arrow.t)))
        names = [formula(Value(n)).latex[1:-1] for n in
                 (arrow.target.name, arrow.kind.source)]  # fmt: skip
        lag = arrow.kind.lag or 0
        far = f"^{{(t{lag:+d})}}" if abs(lag) > 1 else ""
        prime = "'" if abs(lag) == 1 else far
        latex = rf"\partial {names[0]}/\partial {names[1]}{prime}"
        if is_backward:
            return Label(self.labels.turned_symbol(arrow), rf"$({latex})^\top$")
        return Label(self.labels.symbol(arrow), f"${latex}$")


def with_indices(name: str, indices: tuple[str, ...]) -> str:
    """A name with indices below it: `S_j`, `w_c,i`."""
    if not indices:
        return name
    return f"{name}{',' if '_' in name else '_'}{','.join(indices)}"
