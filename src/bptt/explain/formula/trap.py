"""What a wrong formula costs when a whole backward pass is made with it.

A formula whose shapes do not fit may still run: with one-dimensional NumPy arrays
W.T @ g @ np.diag(d) is computed without an error, and is not W.T @ np.diag(d) @ g. The
loss still falls, and nobody notices. Whether it is wrong there is looked at, not
assumed: g @ W is W.T @ g with one-dimensional arrays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bptt.errors import ArgumentError
from bptt.explain.algebra.expr import START, Value
from bptt.explain.algebra.point import Point
from bptt.explain.formula.backward import Backward, Own, Rules, backward_at, compare
from bptt.explain.notation.plain import to_ascii
from bptt.explain.sentences import SentenceError, Text, say

ROUNDING = 1e-9  # of a whole pass, in another order of operations


@dataclass(frozen=True)
class Cost:
    """One gradient of the pass: relative error and cosine to the right one.

    name: of a parameter, or of the node, input or initial state that was replaced;
    symbol: how it is written, `W` or `h[t]`.
    """

    name: str
    error: float
    cosine: float
    symbol: str = ""

    @property
    def parameter(self) -> str:
        """The name."""
        return self.name

    @property
    def is_right(self) -> bool:
        """Whether it is the right gradient, but for rounding."""
        return self.error <= ROUNDING

    @property
    def text(self) -> Text:
        """The cost as a sentence."""
        if not np.isfinite(self.error):
            return Text("formula.cost-not-finite", {"name": self.symbol})
        fields = {"name": self.symbol, "error": f"{self.error:.2g}",
                  "cosine": f"{self.cosine:.3f}"}  # fmt: skip
        return Text("formula.cost", fields)

    def __str__(self) -> str:
        return say(self.text)


@dataclass(frozen=True)
class Trap:
    """A formula in a whole backward pass.

    is_misshapen: its shapes do not fit, and the pass was made with one-dimensional
    NumPy arrays; problem: why there is no pass, None if there is one.
    """

    is_misshapen: bool
    costs: tuple[Cost, ...]
    label: str
    problem: Text | None = None

    @property
    def is_silent(self) -> bool:
        """Whether it runs where its shapes do not fit, and is wrong."""
        return self.is_misshapen and any(not cost.is_right for cost in self.costs)

    @property
    def texts(self) -> tuple[Text, ...]:
        """What is to be said, line by line."""
        if self.problem is not None and self.problem.id == "formula.flat-shape":
            return (self.problem,)
        if self.problem is not None:
            kind = "flat-refused" if self.is_misshapen else "no-pass"
            return (Text(f"formula.{kind}", {"problem": self.problem}),)
        wrong = [cost for cost in self.costs if not cost.is_right]
        right = tuple(f"∇_{cost.symbol}" for cost in self.costs if cost.is_right)
        if self.is_misshapen:
            how = "flat-wrong" if wrong else "flat-right"
        else:
            how = "nothing-warns" if wrong else "no-harm"
        lines = [Text(f"formula.{how}")]
        if wrong:
            lines.append(Text("formula.pass", {"numbers": self.label}))
        lines += [cost.text for cost in wrong]
        if right and wrong:
            lines.append(Text("formula.stay-right", {"names": right}))
        return tuple(lines)

    def say(self, lang: str = "en") -> str:
        """All of it in a language."""
        first, *rest = (say(text, lang) for text in self.texts)
        if not rest:
            return first
        where, *costs = rest
        space = "" if lang == "zh" else " "
        return "\n".join([f"{first}{space}{where}", *(f"  {cost}" for cost in costs)])

    def __str__(self) -> str:
        return self.say()


def find_trap(own: Own, point: Point, rules: Rules) -> Trap:
    """The backward pass with one rule replaced, against the right one."""
    run = backward_at(point, rules, own)
    try:
        with np.errstate(all="ignore"):
            run.run()
            costs = tuple(_costs(run, own, point))
    except SentenceError as error:
        return Trap(own.is_flat, (), point.label, error.text)
    except (ArgumentError, ValueError, IndexError, KeyError):
        return Trap(own.is_flat, (), point.label, Text("formula.numpy-refuses"))
    return Trap(own.is_flat, costs, point.label)


def _costs(run: Backward, own: Own, point: Point) -> list[Cost]:
    found = []
    for name in point.scope.graph.parameters:
        value = run.gradient(name, None)
        found.append(Cost(name, *compare(value, point.gradient(name, None)), name))
    if own.name not in point.scope.graph.parameters:
        steps = [0] if own.time == START else list(range(1, point.tau + 1))
        values = [run.gradient(own.name, t) for t in steps]
        right = [point.gradient(own.name, t) for t in steps]
        symbol = to_ascii(Value(own.name, own.time))
        cost = compare(np.concatenate(values), np.concatenate(right))
        found.append(Cost(own.name, *cost, symbol))
    return found
