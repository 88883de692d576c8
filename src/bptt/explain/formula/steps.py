"""The steps at which an equation is compared, and how a set of them is called.

t runs over 1 .. tau unless a step is written; an equation that reads step t + 1 is
compared where there is one. The instances have different tau, so a set is named by what
it is in all of them: t = tau, t = 1 ... tau-1.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields

from bptt.explain.algebra.expr import Expr, Sigma, StepProduct, Time
from bptt.explain.algebra.point import Point
from bptt.explain.sentences import Text


def free_steps(exprs: Iterable[Expr]) -> tuple[str, ...]:
    """The step letters (t, s) that no sum binds, in order of the alphabet."""
    found: set[str] = set()
    for expr in exprs:
        found |= set(_free(expr, frozenset(("", "tau"))))
    return tuple(sorted(found, reverse=True))


def _free(expr: Expr, bound: frozenset[str]) -> Iterator[str]:
    inside = bound | {expr.index} if isinstance(expr, Sigma | StepProduct) else bound
    for item in fields(expr):
        value = getattr(expr, item.name)
        if isinstance(value, Time):
            if value.base not in bound:
                yield value.base
        elif isinstance(value, Expr):
            yield from _free(value, inside)
        elif isinstance(value, tuple):
            for part in value:
                if isinstance(part, Expr):
                    yield from _free(part, inside)


def choices(letters: Sequence[str], point: Point) -> Iterator[dict[str, int]]:
    """Every value of the free step letters at a point."""
    ranges = itertools.repeat(range(1, point.tau + 1), len(letters))
    for chosen in itertools.product(*ranges):
        yield dict(zip(letters, chosen, strict=True))


@dataclass(frozen=True)
class Compared:
    """Where two sides were compared: by instance the steps, and those that differ.

    letter: the free step, "" if the equation has none; second: another one, "" if there
    is none; beside: by instance and step the values of the second.
    """

    letter: str
    second: str
    points: tuple[Point, ...]
    covered: dict[int, set[int]] = field(default_factory=dict)
    failed: dict[int, set[int]] = field(default_factory=dict)
    beside: dict[tuple[int, int], set[int]] = field(default_factory=dict)

    def add(self, number: int, at: Mapping[str, int], *, is_wrong: bool) -> None:
        """Note a comparison of an instance at a step."""
        step = at.get(self.letter, 0)
        self.covered.setdefault(number, set()).add(step)
        self.beside.setdefault((number, step), set()).add(at.get(self.second, 0))
        if is_wrong:
            self.failed.setdefault(number, set()).add(step)

    def loses(self, other: Compared) -> int:
        """How many steps of an instance the other covers and this does not, at most."""
        if self.letter != other.letter:
            return 0
        return max(
            len(steps - self.covered.get(number, set()))
            for number, steps in other.covered.items()
        )

    @property
    def range(self) -> Text:
        """The steps that were compared, in words."""
        first = self._named(self.covered)
        ends = self._second_ends() if self.second else None
        if ends is None:
            return first
        fields_ = {"letter": self.second, "first": ends[0], "last": ends[1]}
        second = Text("formula.steps.range", fields_)
        return Text("formula.steps.two", {"one": first, "two": second})

    def _second_ends(self) -> tuple[str, str] | None:
        """From where to where the second step runs, if that has a name."""
        for first, last in itertools.product(("1", self.letter), (self.letter, "tau")):
            is_it = all(
                found == set(range(1 if first == "1" else step,
                    (step if last == self.letter else self.points[n].tau) + 1))
                for (n, step), found in self.beside.items()
            )  # fmt: skip
            if is_it:
                return first, last
        return None

    @property
    def where(self) -> Text:
        """The steps at which the sides differ, in words."""
        return self._named(self.failed)

    def _named(self, steps: dict[int, set[int]]) -> Text:
        if not self.letter:
            return Text("formula.steps.none")
        ends = [(min(s), self.points[n].tau - max(s)) for n, s in steps.items()]
        whole = all(
            steps[n] == set(range(min(steps[n]), max(steps[n]) + 1)) for n in steps
        )
        if not whole:
            return self._listed(steps)
        firsts, rests = {a for a, _ in ends}, {b for _, b in ends}
        fields_ = {"letter": self.letter}
        if all(len(s) == 1 for s in steps.values()):
            if len(rests) == 1:
                return Text("formula.steps.one", {**fields_, "step": _last(rests)})
            if len(firsts) == 1:
                return Text("formula.steps.one", {**fields_, "step": firsts.pop()})
        if len(firsts) == len(rests) == 1:
            ends_ = {"first": firsts.pop(), "last": _last(rests)}
            return Text("formula.steps.range", fields_ | ends_)
        return self._listed(steps)

    def _listed(self, steps: dict[int, set[int]]) -> Text:
        number = min(steps)
        listed = tuple(str(step) for step in sorted(steps[number]))
        fields_ = {"letter": self.letter, "steps": listed,
                   "tau": self.points[number].tau}  # fmt: skip
        return Text("formula.steps.list", fields_)


def _last(rests: set[int]) -> str:
    (rest,) = rests
    return f"tau-{rest}" if rest else "tau"
