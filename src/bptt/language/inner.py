"""Inner steps: an index whose values wait for each other within one step.

    l = 1, ..., 5
    s[t, 0] = s[t-1, 5]
    s[t, l] = tanh(R[l] @ s[t, l-1] + U @ x[t])

becomes an equation for each place, `s[t, 1] = ...`, `s[t, 2] = ...`, each with a
definition, and `s`, which holds all of them. Equations for single places may be written
as well. Every piece keeps its span, so a message shows the person's line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bptt import errors
from bptt.language.indexed import Index, PlaceText
from bptt.language.inner_loops import (
    InnerLoop,
    chain,
    find_loops,
    numbers_of_places,
    places_of,
    reads_now,
)
from bptt.language.numbers import fold
from bptt.language.tree import Declaration, Equation, Piece, read

MAX_STEPS = 10_000  # equations that inner steps may become


@dataclass
class Expanded:
    """Equations without inner steps; hidden: what a name that no line has stands for.

    wholes: the definitions that hold all places of a name.
    """

    equations: list[Equation]
    hidden: dict[str, tuple[str, ...]] = field(default_factory=dict)
    wholes: frozenset[str] = frozenset()


def expand_inner(
    equations: list[Equation],
    declarations: Iterable[Declaration],
    indices: Mapping[str, Index],
) -> Expanded:
    """Equations of single places in place of inner steps.

    Raises: InnerStepError, DuplicateDefinitionError, CellSizeError.
    """
    placed = [e.name for e in equations if list(numbers_of_places(e))]
    loops = list(find_loops(equations, indices))
    if not placed and not loops:
        return Expanded(equations)
    return _Expander(equations, list(declarations), indices, placed, loops).expand()


@dataclass
class _Expander:
    """Writes equations for single places, then what holds all of them."""

    equations: list[Equation]
    declarations: list[Declaration]
    indices: Mapping[str, Index]
    placed: list[str]
    loops: list[InnerLoop]
    hidden: dict[str, tuple[str, ...]] = field(default_factory=dict)
    names: dict[tuple[str, int], str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    n_made: int = 0
    # By identity: each holds its key's expression, so that no other can take its place.
    done: dict[tuple[int, int, str], tuple[Piece, Piece]] = field(default_factory=dict)

    def expand(self) -> Expanded:
        """All equations, in an order in which each stands below what it reads."""
        loop_of = {name: loop for loop in self.loops for name in loop.names}
        for name in dict.fromkeys((*self.placed, *loop_of)):
            self._name_places(name, loop_of.get(name))
        self._order_blocks(loop_of)
        left = {name: len(self._own(name)) for name in self.sizes}
        result: list[Equation] = []
        seen: set[InnerLoop] = set()
        for equation in self.equations:
            loop = loop_of.get(equation.name) if equation.when == "t" else None
            if loop is not None:
                if loop not in seen:
                    seen.add(loop)
                    result += self._block(loop)
            elif equation.when == "t" and equation.name in self.sizes:
                result += self._one_place(equation)
                left[equation.name] -= 1
                if not left[equation.name]:
                    result.append(self._whole(equation.name))
            else:
                body = self._at(equation.expression, None, 0, frozenset())
                result.append(replace(equation, expression=body))
        return Expanded(result, self.hidden, frozenset(self.sizes))

    # ----- names -----

    def _own(self, name: str) -> list[Equation]:
        return [e for e in self.equations if e.name == name and e.when == "t"]

    def _name_places(self, name: str, loop: InnerLoop | None) -> None:
        """A definition for every place that has an equation."""
        own = self._own(name)
        index = loop.index if loop else self._index_of(own)
        given = self._given(name, own)
        size = self._size(name, given, index)
        covered = set(given) | (set(range(1, size + 1)) if index else set())
        missing = [k for k in range(1, size + 1) if k not in covered]
        if missing:
            raise errors.InnerStepError(
                own[0].span,
                f"{name} has an equation for place {max(given)}, but none for place "
                f"{missing[0]}",
                fix=f"{name}[t, {missing[0]}] = ..., or an index, {name}[t, l] = ...",
            )
        self.sizes[name] = size
        taken = {e.name for e in self.equations} | {d.name for d in self.declarations}
        for k in sorted(covered):
            label = f"{name}_{k}" if k >= 0 else f"{name}_before{-k}"
            while label in taken or label in self.hidden:
                label += "_"
            self.names[name, k] = label
            self.hidden[label] = ("place", name, str(k))

    def _given(self, name: str, own: Sequence[Equation]) -> dict[int, Equation]:
        """The equations of single places."""
        given: dict[int, Equation] = {}
        for equation in own:
            first, *others = places_of(equation) or ("",)
            if not isinstance(first, int) or any(isinstance(o, int) for o in others):
                self._check_first(equation)
                continue
            if first in given:
                raise errors.DuplicateDefinitionError(
                    equation.span,
                    f"{name} has two equations for place {first}; the first on line "
                    f"{given[first].span.line_number}",
                    fix="one equation for each place",
                )
            given[first] = equation
        return given

    def _check_first(self, equation: Equation) -> None:
        places = places_of(equation)
        if any(isinstance(place, int) for place in places) or not places:
            raise errors.InnerStepError(
                equation.span,
                f"{equation.name} has equations for single places, and its place "
                "stands first",
                fix=f"{equation.name}[t, 1, j] = ...",
            )

    def _index_of(self, own: Sequence[Equation]) -> Index | None:
        """The index of an equation for all other places."""
        for equation in own:
            first = places_of(equation)[0] if places_of(equation) else ""
            if isinstance(first, str) and first:
                index = self.indices[first]
                if isinstance(index.size, int) and index.first == 1:
                    return index
                raise errors.InnerStepError(
                    equation.span,
                    f"single places of {equation.name} have equations of their own, "
                    f"so {first} has a fixed number of places",
                    fix=f"`{first} = 1, ..., 6`, with a whole number",
                )
        return None

    def _size(
        self, name: str, given: Mapping[int, Equation], index: Index | None
    ) -> int:
        """How many places the name has, from 1; others are starts."""
        if index is not None:
            assert isinstance(index.size, int)
            return index.size
        for declaration in self.declarations:
            if declaration.name == name and declaration.shape:
                first = declaration.shape[0]
                return first if isinstance(first, int) else max(given)
        return max(given)

    # ----- the order of equations -----

    def _order_blocks(self, loop_of: Mapping[str, InnerLoop]) -> None:
        """Put what stands inside a loop's equations above or below all of them."""
        for loop in self.loops:
            where = [
                n for n, e in enumerate(self.equations)
                if e.name in loop.names and e.when == "t"
            ]  # fmt: skip
            first, last = where[0], where[-1]
            inside = self.equations[first : last + 1]
            block = [e for e in inside if e.name in loop.names and e.when == "t"]
            late = set(loop.names)
            before, after = [], []
            for equation in (e for e in inside if e not in block):
                names = {p.name for p in equation.expression.parts()
                         if p.op in ("read", "parameter")}  # fmt: skip
                if names & late and equation.when != "0":
                    late.add(equation.name)
                    after.append(equation)
                else:
                    before.append(equation)
            self.equations[first : last + 1] = [*before, *block, *after]

    # ----- equations -----

    def _block(self, loop: InnerLoop) -> Iterator[Equation]:
        """The starts, then every inner step, then what holds all places."""
        own = {name: self._own(name) for name in loop.names}
        order = [e for e in self.equations if e.when == "t" and e.name in own]
        given = {(e.name, k) for e in order for k in numbers_of_places(e)}
        known: set[str] = set()

        def make(equation: Equation, k: int) -> Equation:
            made = self._placed(equation, k, loop.index.name, frozenset(loop.names))
            self._check_known(made, equation, loop, known)
            known.add(made.name)
            return made

        size = self.sizes[loop.names[0]]
        inside = range(1, size + 1)
        starts = [
            (e, k) for e in order for k in numbers_of_places(e) if k not in inside
        ]
        for equation, k in starts:
            yield make(equation, k)
        for k in inside if loop.way > 0 else reversed(inside):
            for equation in order:
                own_places = list(numbers_of_places(equation))
                if own_places == [k] or (
                    not own_places and (equation.name, k) not in given
                ):
                    yield make(equation, k)
        for name in loop.names:
            yield self._whole(name)

    def _check_known(
        self, made: Equation, equation: Equation, loop: InnerLoop, known: set[str]
    ) -> None:
        """Refuse an inner step that reads one that is not made yet."""
        places = {label: key for key, label in self.names.items()}
        for name in sorted(reads_now(made.expression) - known):
            if name in places and places[name][0] in loop.names:
                other, k = places[name]
                raise errors.UseBeforeDefinitionError(
                    equation.span,
                    f"{other}[t, {k}] is read by {equation.name}[t, "
                    f"{places[made.name][1]}], which is computed earlier",
                    fix="inner steps run in the order of their index, and equations of "
                    "one inner step from the top down: move the equation up",
                )

    def _one_place(self, equation: Equation) -> Iterator[Equation]:
        """An equation outside all loops: for one place, or for all that have no own."""
        numbers = list(numbers_of_places(equation))
        if numbers:
            yield self._placed(equation, numbers[0], "", frozenset())
            return
        index = str(places_of(equation)[0])
        given = {k for e in self._own(equation.name) for k in numbers_of_places(e)}
        for k in range(1, self.sizes[equation.name] + 1):
            if k not in given:
                yield self._placed(equation, k, index, frozenset())

    def _placed(
        self, equation: Equation, k: int, index: str, members: frozenset[str]
    ) -> Equation:
        """The equation at one place of its first index."""
        self.n_made += 1
        if self.n_made > MAX_STEPS:
            raise errors.CellSizeError(
                equation.span,
                f"the inner steps are more than {MAX_STEPS:,} equations",
                fix="fewer inner steps",
            )
        body = self._at(equation.expression.arguments[0], index, k, members)
        if body.op == "constant":
            body = Piece("filled", (body,), body.span, equation.name)
        others = places_of(equation)[1:]
        if others and body.op != "filled":
            body = Piece("put", (body,), equation.span, others)
        return Equation(self.names[equation.name, k], body, equation.span)

    def _whole(self, name: str) -> Equation:
        """The equation of what holds every place."""
        own = self._own(name)[-1]
        span = own.span
        parts = tuple(
            read(self.names[name, k], 0, span) for k in range(1, self.sizes[name] + 1)
        )
        n_others = len(places_of(own)) - 1
        return Equation(name, Piece("whole", parts, span, n_others), span)

    # ----- expressions -----

    def _at(
        self, expr: Piece, index: str | None, k: int, members: frozenset[str]
    ) -> Piece:
        """An expression where the index is k, and single places are definitions."""
        # order-free: an address finds what was made of a piece, which is kept.
        key = (id(expr), k, index or "")
        if key not in self.done:
            self.done[key] = expr, self._new(expr, index, k, members)
        return self.done[key][1]

    def _new(
        self, expr: Piece, index: str | None, k: int, members: frozenset[str]
    ) -> Piece:
        if expr.op == "index" and expr.data == index:
            return Piece("constant", (), expr.span, float(k))
        data: Any = expr.data
        if expr.op == "over" and index and data[1] == index:
            raise errors.IndexUseError(
                expr.span,
                f"{index} is on the left already, so nothing can run along it here",
                fix="another index of the same range, declared with it: "
                f"`{index}, i = 1, ..., {self.indices[index].size}`",
            )
        if expr.op == "at":
            return self._place(expr, index, k, members)
        if expr.op == "read" and expr.lag == 0 and expr.name in members:
            raise errors.InnerStepError(
                expr.span,
                f"all places of {expr.name} are read by an equation that one of them "
                "waits for",
                fix=f"one place, {expr.name}[t, {index or 'l'}-1]",
            )
        parts = tuple(self._at(a, index, k, members) for a in expr.arguments)
        if all(a is b for a, b in zip(parts, expr.arguments, strict=True)):
            return expr
        return fold(Piece(expr.op, parts, expr.span, expr.data))

    def _place(
        self, expr: Piece, index: str | None, k: int, members: frozenset[str]
    ) -> Piece:
        base, places = chain(expr)
        texts = [_fixed(place, index, k) for place in places]
        name = base.name if base.op == "read" and base.lag == 0 else ""
        if name in self.sizes:
            first = texts[0]
            number = first.offset
            if first.is_wrapped and not first.terms:
                number = (number - 1) % self.sizes[name] + 1
            if not first.terms and (name, number) in self.names:
                base = read(self.names[name, number], 0, base.span)
                places, texts = places[1:], texts[1:]
            elif name in members:
                self._refuse(expr, name, first, index)
        else:
            base = self._at(base, index, k, members)
        for place, text in zip(places, texts, strict=True):
            base = Piece("at", (base,), place.span, text)
        return base

    def _refuse(
        self, expr: Piece, name: str, place: PlaceText, index: str | None
    ) -> None:
        if place.terms:
            raise errors.InnerStepError(
                expr.span,
                f"{name} is computed place by place here, and this reads a place that "
                f"only {', '.join(term for term, _ in place.terms)} says",
                fix=f"{name}[t, {index}-1], or the value of the step before, "
                f"{name}[t-1, ...]",
            )
        size = self.sizes[name]
        raise errors.InnerStepError(
            expr.span,
            f"{index} is an inner loop without a start: {name}[t, {place.offset}] has "
            "no equation",
            fix=f"{name}[t, {place.offset}] = {name}[t-1, {size}], or "
            f"{name}[t, {place.offset}] = 0",
        )


def _fixed(place: Piece, index: str | None, k: int) -> PlaceText:
    """A place where the index is k."""
    text: Any = place.data
    assert isinstance(text, PlaceText)
    own = [sign for name, sign in text.terms if name == index]
    if not own:
        return text
    terms = tuple(term for term in text.terms if term[0] != index)
    is_alone = not (terms or text.offset or text.is_wrapped) and own[0] > 0
    return replace(
        text,
        terms=terms,
        offset=text.offset + own[0] * k,
        index=str(index) if is_alone else "",
    )
