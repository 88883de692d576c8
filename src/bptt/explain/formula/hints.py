"""What a reader may have meant: one sentence for each thing that is often mistaken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from bptt.explain.algebra import expr as e
from bptt.explain.algebra.expr import Expr
from bptt.explain.sentences import Text


@dataclass(frozen=True)
class Meant:
    """The derivatives that may be meant in place of what was written.

    other: of the other kind, ∂ or d, where the formula gives that;
    turned: in the other direction, where the one of the left side is 0;
    far: a part that is ∂ between steps which no edge joins, but paths do.
    """

    other: e.Jacobian | None = None
    turned: e.Jacobian | None = None
    far: e.Jacobian | None = None


def hints(
    left: Expr, formula: Expr, right: Expr | None, write: Callable[[Expr], str],
    meant: Meant,
) -> tuple[Text, ...]:  # fmt: skip
    """The sentences that a wrong equation calls for, each once."""
    found = [*_outside(formula, right, write)]
    far, other, turned = meant.far, meant.other, meant.turned
    if far is not None:
        fields = {"immediate": write(far), "meant": write(replace(far, total=True))}
        found.append(Text("formula.hint.far", fields))
    if other is not None:
        fields = {"written": write(left), "meant": write(other)}
        found.append(
            Text(f"formula.hint.{'immediate' if other.total else 'total'}", fields)
        )
    if turned is not None:
        fields = {"written": write(left), "meant": write(turned)}
        found.append(Text("formula.hint.reversed", fields))
    return tuple(found)


def _outside(
    formula: Expr, right: Expr | None, write: Callable[[Expr], str]
) -> Iterator[Text]:
    """What "from outside" is, where a cell has no loss of its own."""
    if right is None or any(isinstance(part, e.Incoming) for part in e.walk(formula)):
        return
    for part in e.walk(right):
        if isinstance(part, e.Incoming):
            fields = {"symbol": write(part), "node": write(part.of)}
            yield Text("formula.hint.outside", fields)
            return
