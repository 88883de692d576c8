"""The cards of a cell with indices: for every gradient its equation and its terms."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from bptt.explain.algebra.expr import (
    FIRST,
    START,
    TAU,
    Time,
    Written,
    at_step,
)
from bptt.explain.algebra.point import Point, Scope
from bptt.explain.algebra.written import GivenBack
from bptt.explain.indices.check import (
    STEP,
    check_line,
    check_start,
    check_term,
    check_value,
)
from bptt.explain.indices.formulas import Formulas
from bptt.explain.indices.lines import GradientLine, Lines
from bptt.explain.indices.terms import EdgeTerm
from bptt.explain.model import (
    Card,
    Chain,
    Check,
    Group,
    Link,
    ShapeNote,
    Text,
    Why,
)
from bptt.language.print_indices import with_places
from bptt.step.graph import Graph

Ends = tuple[str, int, str, int]


@dataclass(frozen=True)
class IndexedCards:
    """Makes the cards of one cell, every equation checked."""

    graph: Graph
    points: tuple[Point, ...]

    @cached_property
    def lines(self) -> Lines:
        """The equations of the gradient."""
        return Lines(self.graph)

    def groups(self) -> tuple[Group, ...]:
        """All cards: nodes from the last on, parameters, then inputs."""
        graph = self.graph
        nodes = (self.node_card(n) for n in reversed(tuple(graph.definitions)))
        parameters = (self.parameter_card(name) for name in graph.parameters)
        inputs = (
            self.input_card(name)
            for name, spec in graph.inputs.items()
            if spec.index is None and self.lines.terms.of(name)
        )
        starts = (self.initial_card(name) for name in graph.states)
        more = (*starts, *inputs)
        made = {"nodes": nodes, "parameters": parameters, "more": more}
        groups = (
            Group(key, Text(f"group.{key}"), tuple(filter(None, cards)))
            for key, cards in made.items()
        )
        return tuple(group for group in groups if group.cards)

    @cached_property
    def formulas(self) -> Formulas:
        """What shows a line as a formula."""
        return Formulas(self.graph)

    def equations(self) -> Iterator[tuple[str, Chain]]:
        """The cell's own equations by name, each computed as it stands."""

        def checked(other: GradientLine) -> Check:
            return check_value(other, self.graph, self.points)

        for name in self.graph.definitions:
            line = self.lines.equation(name)
            check = checked(line)
            sides, printed = self.formulas.sides(line, check, checked)
            links = (
                Link(sides[0], None, check, printed),
                Link(sides[1], check.note, check, printed),
            )
            yield name, Chain(links, FIRST, TAU, self._letters(line))

    # ----- one card -----

    def node_card(self, name: str) -> Card | None:
        """The card of a definition; None for a clock, and its like.

        These stand for `t` or `tau` in the equations, and L does not depend on them.
        """
        terms = self.lines.terms.of(name)
        if name in self.graph.times.hidden and not self.lines.terms.reaches(name):
            return None
        phase = "loss" if name == self.graph.loss else "nodes"
        return self._card(f"node:{name}", phase, name, self._kind(name, terms), terms)

    def input_card(self, name: str) -> Card:
        """The card of an input of real numbers."""
        terms = self.lines.terms.of(name)
        return self._card(f"input:{name}", "more", name, "input", terms)

    def _kind(self, name: str, terms: tuple[EdgeTerm, ...]) -> str:
        if not terms:
            return "none"
        if not terms[0].reader:
            alone = "loss" if name == self.graph.loss else "outside"
            return alone if len(terms) == 1 else f"{alone}-and-readers"
        return "reader" if len(terms) == 1 else "readers"

    def _card(
        self, id_: str, phase: str, name: str, kind: str, terms: tuple[EdgeTerm, ...]
    ) -> Card:
        lines = self.lines.whole(name)
        fields = {
            "node": self._symbol(name, lines[0].places),
            "readers": tuple(self._reader(term) for term in terms if term.reader),
        }  # fmt: skip
        return Card(
            id_, phase, Text("card.node.title", fields),
            Text(f"card.indexed.claim.{kind}", fields),
            Text(f"card.indexed.reason.{kind}", fields),
            tuple(self._chain(line) for line in lines),
            why=self._why(name, terms), shapes=self._shapes(name), node=name,
            edges=tuple(_lit(name, term) for term in terms),
        )  # fmt: skip

    def parameter_card(self, name: str) -> Card:
        """The card of a parameter: its copy at one step, then the sum."""
        terms = self.lines.terms.of(name)
        copies, sums = self.lines.whole(name), self.lines.summed(name)
        fields = {
            "parameter": self.formulas.of(with_places(name, copies[0].places)),
            "readers": tuple(self._reader(term) for term in terms),
            "sum": self.formulas.of(sums[0].left),
        }  # fmt: skip
        kind = "parameter" if terms else "unread"
        chains = [self._chain(line) for line in copies] if terms else []
        chains += [self._chain(line, is_sum=True) for line in sums]
        return Card(
            f"parameter:{name}", "parameters", Text("card.parameter.title", fields),
            Text(f"card.indexed.claim.{kind}", fields),
            Text(f"card.indexed.reason.{kind}", fields), tuple(chains),
            why=self._why(name, terms), shapes=self._shapes(name),
            edges=tuple((name, 0, term.reader, 0) for term in terms),
        )  # fmt: skip

    def initial_card(self, name: str) -> Card | None:
        """The card of a state before the first step; None where a line gives it."""
        times = self.graph.times
        found = list(self.lines.before(name))
        if name in {*times.hidden, *times.starts} or not found:
            return None
        later = [term for term in self.lines.terms.of(name) if term.lag]
        way = 1 if later[0].lag > 0 else -1
        start = START if way > 0 else TAU.moved(1)
        chains = tuple(
            self._start_chain(line, way * (by + 1), start.moved(-way * by))
            for by, lines in found for line in lines
        )  # fmt: skip
        symbol = self._symbol(name, found[0][1][0].places)
        readers = tuple(_at(self._reader(term), start) for term in later)
        fields = {"node": _at(symbol, start), "readers": readers}
        back = "" if way > 0 else "-back"
        far = "-far" if len(found) > 1 else back
        return Card(
            f"initial:{name}", "more", Text("card.initial.title", fields),
            Text(f"card.initial.claim{far}", fields),
            Text(f"card.initial.reason{back}", fields), chains,
            wrong=Text("card.initial.wrong"), shapes=self._shapes(name), node=name,
            boundary="start",
            edges=tuple((name, 0, term.reader, term.lag) for term in later),
        )  # fmt: skip

    def _start_chain(self, line: GradientLine, by: int, start: Time) -> Chain:
        """A line at a step before the first, checked there; by: steps before step 1."""

        def checked(other: GradientLine) -> Check:
            return check_start(other, by, self.graph, self.points)

        check = checked(line)
        sides, printed = self.formulas.sides(line, check, checked)
        links = [Link(_at(side, start), None, check, printed) for side in sides]
        return Chain(tuple(links), start, start, self._letters(line))

    # ----- its parts -----

    def _chain(self, line: GradientLine, *, is_sum: bool = False) -> Chain:
        """left = right, for every place, with the check of the line as it stands."""
        check = check_line(line, self.graph, self.points)
        return self._linked(line, check, is_sum=is_sum)

    def _linked(
        self, line: GradientLine, check: Check, *, is_sum: bool = False,
        edge: EdgeTerm | None = None,
    ) -> Chain:  # fmt: skip
        def checked(other: GradientLine) -> Check:
            if edge is not None:
                return self._checked(other, edge)
            return check_line(other, self.graph, self.points)

        sides, printed = self.formulas.sides(line, check, checked)
        # The text is what is read and computed; so is what its LaTeX reads back as.
        links = (
            Link(sides[0], None, check, printed),
            Link(sides[1], check.note, check, printed),
        )
        first, last = (None, None) if is_sum else (FIRST, TAU)
        return Chain(links, first, last, self._letters(line))

    def _letters(self, line: GradientLine) -> dict[str, str | int]:
        shape = self._shape(line.name)
        return dict(zip(line.places, shape, strict=False))

    def _why(self, name: str, terms: tuple[EdgeTerm, ...]) -> tuple[Why, ...]:
        """The rule, and the term of every reader with the check of its edge."""
        found = [Why("rule", Text("card.indexed.rule"))]
        for term in terms:
            if not term.reader or len(terms) == 1:
                continue
            chains = tuple(
                self._share(line, term) for line in self.lines.term(name, term)
            )
            text = Text("card.indexed.term", {"reader": self._reader(term)})
            found.append(Why("edge", text, chains))
        return tuple(found)

    def _share(self, line: GradientLine, term: EdgeTerm) -> Chain:
        """A term as a part of the gradient: `grad_h[t] <- a[t] = ...`."""
        chain = self._linked(line, self._checked(line, term), edge=term)
        whole, *rest = chain.links
        assert isinstance(whole.expr, Written)
        reader = self._reader(term)
        left = Written(f"{whole.expr.text} <- {reader.text}")
        of, giver = whole.expr.typeset, reader.typeset
        if of is not None and giver is not None:
            left = Written(left.text, GivenBack(of, giver))
        return replace(chain, links=(replace(whole, expr=left), *rest))

    def _checked(self, line: GradientLine, term: EdgeTerm) -> Check:
        return check_term(line, term.reader, term.lag, self.graph, self.points)

    def _symbol(self, name: str, places: Iterable[str], lag: int = 0) -> Written:
        """`S[t+1, j]`."""
        step = f"{name}[t{lag:+d}]" if lag else f"{name}[t]"
        return self.formulas.of(with_places(step, tuple(places)))

    def _reader(self, term: EdgeTerm) -> Written:
        places = self.lines.left_places(term.reader)
        return self._symbol(term.reader, places, term.lag)

    def _shape(self, name: str) -> tuple[str | int, ...]:
        return Scope(self.graph).core(name)

    def _shapes(self, name: str) -> tuple[ShapeNote, ...]:
        """The shape of the gradient."""
        shape = self._shape(name)
        symbol = f"grad_{name}" if name in self.graph.parameters else f"grad_{name}[t]"
        return (ShapeNote(self.formulas.of(symbol), shape or (1,)),)


def _at(shown: Written, start: Time) -> Written:
    """What stands at t at another step: `grad_S[t+1, j]` at 0 is `grad_S[1, j]`."""

    def moved(found: re.Match[str]) -> str:
        return f"[{start.moved(int(found[1] or 0))}"

    formula = None if shown.typeset is None else at_step(shown.typeset, start)
    return Written(STEP.sub(moved, shown.text), formula)


def _lit(name: str, term: EdgeTerm) -> Ends:
    return name, 0, term.reader, term.lag if term.reader else 0
