"""Equations and names that the text of other times adds to a step; see `times`."""

from __future__ import annotations

from dataclasses import dataclass, field

from bptt.errors import Span
from bptt.language.tree import Declaration, Equation, Piece, read


@dataclass
class Additions:
    """Equations in order, those that no line has among them.

    done: the equations; added: declarations; like: names whose shape is that of an
    expression; hidden: what a name that no line has was written as; made: such a name
    by what it is; taken: names that are in use.
    """

    done: list[Equation] = field(default_factory=list)
    added: list[Declaration] = field(default_factory=list)
    like: dict[str, Piece] = field(default_factory=dict)
    hidden: dict[str, tuple[str, ...]] = field(default_factory=dict)
    made: dict[tuple[object, ...], str] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)

    # ----- where a row begins and ends -----

    def flag(self, label: str, span: Span) -> str:
        """1 at every step of a row, 0 before it and after it."""
        key = ("flag", label)
        if key not in self.made:
            name = self.free(label)
            self.added.append(Declaration(name, (), None, span))
            self.define(key, name, Piece("constant", (), span, 1.0), ("flag", label))
        return self.made[key]

    def is_last(self, span: Span) -> Piece:
        """1 at a row's last step, else 0."""
        later = read(self.flag("going", span), 1, span)
        return Piece("sub", (Piece("constant", (), span, 1.0), later), span)

    def step(self, span: Span) -> str:
        """The name of t, counted by the cell."""
        key = ("step",)
        if key not in self.made:
            name = self.free("step")
            self.added.append(Declaration(name, (), None, span))
            one = Piece("constant", (), span, 1.0)
            body = Piece("add", (read(name, -1, span), one), span)
            self.define(key, name, body, ("clock", "t"))
        return self.made[key]

    def at_tau(self, name: str, expr: Piece) -> Piece:
        """The value of the last step, at every step."""
        key = ("tau", name)
        span = expr.span
        if key not in self.made:
            new = self.free(f"{name}_tau")
            here = read(name, 0, span)
            self.like[new] = here
            later = read(self.flag("going", span), 1, span)
            body = Piece("where", (later, read(new, 1, span), here), span)
            self.define(key, new, body, ("tau", name))
        return read(self.made[key], 0, span)

    # ----- names -----

    def define(
        self, key: tuple[object, ...], name: str, body: Piece, written: tuple[str, ...]
    ) -> None:
        """Add the equation of a name that no line has."""
        self.made[key] = name
        self.hidden[name] = written
        self.done.append(Equation(name, body, body.span))

    def numbered(self, kind: str) -> str:
        """A free name with a number, `sum_t1`."""
        return self.free(f"{kind}_t{1 + sum(key[0] == kind for key in self.made)}")

    def free(self, label: str) -> str:
        """The name, lengthened until nothing else is called so."""
        while label in self.taken:
            label += "_"
        self.taken.add(label)
        return label
