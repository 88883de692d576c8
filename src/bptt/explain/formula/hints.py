"""What a reader may have meant: one sentence for each thing that is often mistaken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from bptt.explain.algebra import expr as e
from bptt.explain.algebra.expr import Expr, Value
from bptt.explain.sentences import Text


def hints(
    left: Expr, formula: Expr, right: Expr | None, write: Callable[[Expr], str],
    other: e.Jacobian | None = None, turned: e.Jacobian | None = None,
) -> tuple[Text, ...]:  # fmt: skip
    """The sentences that a wrong equation calls for, each once.

    other: the derivative of the other kind, ∂ or d, where the formula gives that;
    turned: the derivative in the other direction, where the one of the left side is 0.
    """
    found = [*_outside(formula, right, write), *_far((left, formula), write)]
    if other is not None and not is_far(left):
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


def _far(sides: tuple[Expr, ...], write: Callable[[Expr], str]) -> Iterator[Text]:
    """∂ between steps that no edge joins: the derivative along all paths is d."""
    for side in sides:
        for part in e.walk(side):
            if is_far(part):
                assert isinstance(part, e.Jacobian)
                meant = write(replace(part, total=True))
                fields = {"immediate": write(part), "meant": meant}
                yield Text("formula.hint.far", fields)
                return


def is_far(part: Expr) -> bool:
    """Whether a part is ∂y/∂x of two values that stand more than a step apart."""
    if not isinstance(part, e.Jacobian) or part.total:
        return False
    ends = [
        end.of if isinstance(end, e.Element) else end
        for end in (part.target, part.source)
    ]
    times = [end.time for end in ends if isinstance(end, Value) and end.time]
    if len(times) < 2:
        return False
    first, second = times
    return first.base != second.base or abs(first.offset - second.offset) > 1
