"""What is right in a cell: formulas for every left side that has one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from bptt.explain.algebra import expr as e
from bptt.explain.algebra.element import elements
from bptt.explain.algebra.expr import Expr, Nabla, T, Value
from bptt.explain.algebra.point import TOTAL
from bptt.explain.algebra.shape import shape_of
from bptt.explain.cards import CardMaker
from bptt.explain.context import Subject
from bptt.explain.formula.backward import Rules
from bptt.explain.formula.comparison import TOLERANCE, largest_error
from bptt.explain.formula.jacobians import Jacobians
from bptt.explain.formula.reference import Reference
from bptt.explain.notation.plain import to_ascii
from bptt.explain.sentences import SentenceError


@dataclass(frozen=True)
class Known:
    """The right formulas of a cell."""

    context: Subject

    @cached_property
    def reference(self) -> Reference:
        """Makes right formulas of gradients."""
        context = self.context
        maker = CardMaker(context.derivation, context.scope, context.options)
        return Reference(maker)

    @cached_property
    def rules(self) -> Rules:
        """The right backward pass."""
        return Rules(self.context.derivation)

    @cached_property
    def jacobians(self) -> Jacobians:
        """Makes right formulas of derivatives."""
        return Jacobians(self.context.derivation)

    @property
    def example(self) -> str:
        """An equation that holds for the cell."""
        graph = self.context.scope.graph
        names = [name for name in graph.states if name in graph.definitions]
        left = Nabla(Value(next(iter(names or graph.definitions)), T))
        return f"{to_ascii(left)} = {to_ascii(self.reference.formulas(left)[0])}"

    def equal_to(self, formula: Expr) -> str:
        """An equation with a gradient that a formula equals; "" if there is none."""
        scope = self.context.scope
        lefts = [Nabla(Value(name, T)) for name in scope.graph.definitions]
        lefts += [Nabla(Value(name)) for name in scope.graph.parameters]
        for left in lefts:
            try:
                if shape_of(left, scope) != shape_of(formula, scope):
                    continue
            except SentenceError:
                continue
            if self._is(left, formula) and left not in e.walk(formula):
                return f"{to_ascii(left)} = {to_ascii(formula)}"
        return ""

    def _is(self, left: Expr, right: Expr) -> bool:
        """Whether an equation holds."""
        try:
            return largest_error(left, right, self.context.points) <= TOLERANCE
        except SentenceError:
            return False

    def _whole(self, left: Expr) -> list[Expr]:
        """The right sides for a whole gradient, or for a node's own equation."""
        derivation = self.context.derivation
        if isinstance(left, Nabla) and left.of != Value("L"):
            return self.reference.formulas(left)
        if isinstance(left, Value) and left.name in derivation.graph.definitions:
            time = left.time
            return [] if time is None else [
                e.at_step(derivation.equation(left.name), time)
            ]  # fmt: skip
        return []

    def turned(self, left: Expr) -> e.Jacobian | None:
        """The derivative in the other direction, if there the value is read later."""
        if not isinstance(left, e.Jacobian):
            return None
        swapped = replace(left, target=left.source, source=left.target)
        if left.source == Value(TOTAL):
            return None if left.target == left.source else swapped
        jacobians = self.jacobians
        if jacobians.formula(replace(left, total=False)) is not None:
            return None
        if jacobians.formula(replace(swapped, total=False)) is not None:
            return swapped
        if jacobians.depends(left) or not jacobians.depends(swapped):
            return None
        return replace(swapped, total=True)

    def far(self, sides: tuple[Expr, ...]) -> e.Jacobian | None:
        """The first ∂ between steps that no edge joins, if it is not 0 along paths."""
        for part in (part for side in sides for part in e.walk(side)):
            if self.jacobians.is_far(part) and isinstance(part, e.Jacobian):
                return part if self.jacobians.depends(part) else None
        return None

    def right(self, left: Expr) -> list[Expr]:
        """The right sides that are known for a left side."""
        if isinstance(left, e.Transpose):
            return [e.transpose(known) for known in self.right(left.of)]
        if isinstance(left, e.Jacobian):
            found = self.jacobians.formula(replace(left, total=False))
            if found is None or (left.total and not self._is(left, found)):
                return []  # several paths, or steps: no formula is at hand
            return [found]
        whole = left.of if isinstance(left, e.Element) else left
        known = self._whole(whole)
        if not isinstance(left, e.Element):
            return known
        letters = tuple(i for i in left.indices if isinstance(i, str))
        if len(letters) < len(left.indices):
            return []
        forms = (elements(right, letters, self.context.scope) for right in known)
        return [form for form in forms if form is not None]
