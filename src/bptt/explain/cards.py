"""The derivation of any cell, card by card, from its graph.

Two phases: the gradient of every node, from the loss backwards and from t = tau to 1,
then of every parameter. The rule is one: a node's gradient is the sum, over the nodes
that read it, of what each gives back along its edge.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from bptt.check.instances import seeded_name
from bptt.explain.algebra import expr as e
from bptt.explain.algebra.derive import Derivation, Successor
from bptt.explain.algebra.element import elements
from bptt.explain.algebra.expr import FIRST, START, TAU, Expr, Nabla, T, Time, Value
from bptt.explain.algebra.point import Scope
from bptt.explain.algebra.shape import shape_of, show
from bptt.explain.delays import MOST_STARTS
from bptt.explain.instances import Options
from bptt.explain.model import Card, Chain, Group, Link, ShapeNote, Text, Why


@dataclass(frozen=True)
class Term:
    """One term of a node's gradient: from a successor, from L, or from outside.

    general: with the edge's Jacobian as a symbol (None where it has more than two
    indices); filled: with the Jacobian worked out.
    """

    general: Expr | None
    filled: Expr
    successor: Successor | None = None

    @property
    def lag(self) -> int:
        """How many steps later the successor is; -1 for one that reads t+1."""
        return 0 if self.successor is None else self.successor.lag

    @property
    def is_future(self) -> bool:
        """Whether it comes from another step: the next, or of h[t+1] the one before."""
        return self.lag != 0


@dataclass(frozen=True)
class CardMaker:
    """Makes the cards of one cell."""

    derivation: Derivation
    scope: Scope
    options: Options

    def groups(self) -> tuple[Group, ...]:
        """All cards: nodes from the loss backwards, parameters, then on request."""
        graph = self.scope.graph
        names = list(graph.definitions)
        nodes = tuple(self.node_card(name) for name in reversed(names))
        groups = [Group("nodes", Text("group.nodes"), nodes)]
        for name, names in self._owners().items():
            cards = tuple(self.parameter_card(p) for p in names)
            title = Text("group-of.parameters", {"node": Value(name, T)})
            groups.append(Group(f"parameters:{name}", title, cards))
        more = tuple(
            card
            for name in graph.states
            if name in graph.definitions and (card := self.initial_card(name))
        )
        more += tuple(
            self.input_card(name)
            for name in graph.inputs
            if self._is_real(name) and self.derivation.successors(name)
        )
        return (*groups, Group("more", Text("group.more"), more))

    def _is_real(self, name: str) -> bool:
        return not self.scope.is_integer(name)

    def _owners(self) -> dict[str, list[str]]:
        """Parameters by the first equation that reads them."""
        found: dict[str, list[str]] = {}
        for name in self.scope.graph.parameters:
            users = self.derivation.successors(name)
            owner = users[0].name if users else next(iter(self.scope.graph.definitions))
            found.setdefault(owner, []).append(name)
        order = list(self.scope.graph.definitions)
        return {name: found[name] for name in sorted(found, key=order.index)}

    # ----- nodes -----

    def terms(self, name: str) -> list[Term]:
        """What the gradient of a node is the sum of: other steps first, then now."""
        graph, value = self.scope.graph, Value(name, T)
        found = [self._term(s, value) for s in self.derivation.successors(name)]
        carried = [term for term in found if term.is_future]
        now = [term for term in found if not term.is_future]
        if name == graph.loss:
            weight = self.weight(T)
            now.insert(0, Term(e.Jacobian(Value("L"), value), weight))
        elif graph.loss is None and name == seeded_name(graph):
            now.append(Term(e.Incoming(value), e.Incoming(value)))
        return [*carried, *now]

    def weight(self, time: Time) -> Expr:
        """w_t as the reduction makes it: 1, 1/tau, or w_t itself."""
        if self.options.kind == "sum":
            return e.Number(1.0)
        if self.options.kind == "mean":
            return e.Quotient(e.Number(1.0), e.Size("tau"))
        return e.Weight(time)

    def _term(self, successor: Successor, value: Value) -> Term:
        step = T.moved(successor.lag)
        target = Value(successor.name, step)
        gradient = Nabla(Value(successor.name, T))
        pulled = self.derivation.pulled(successor.name, gradient)
        part = pulled[successor.reading]
        assert part is not None
        filled = e.at_step(part, step)
        general = None
        if 2 not in (self.derivation.rank(value.name), self._rank(target)):
            jacobian: Expr = e.Jacobian(target, value)
            if self._rank(target) or self._rank(value):
                jacobian = e.Transpose(jacobian)
            general = e.product(jacobian, Nabla(target))
        return Term(general, filled, successor)

    def _rank(self, value: Value) -> int:
        return self.derivation.rank(value.name)

    def node_card(self, name: str) -> Card:
        """The card of ∇ of a node, a chain for every range of steps."""
        value, terms = Value(name, T), self.terms(name)
        chains = [
            self._chain(value, [x for x in terms if abs(x.lag) <= reach], *ends)
            for reach, ends in step_ranges(term.lag for term in terms)
        ]
        kind, back = self._kind(name, terms), _back(terms)
        fields = {
            "node": value, "gradient": Nabla(value), "count": len(terms),
            "successors": tuple(_target(term) for term in terms if term.successor),
        }  # fmt: skip
        return Card(
            f"node:{name}", "loss" if name == self.scope.graph.loss else "nodes",
            Text("card.node.title", fields),
            Text(f"card.node.claim.{kind}{back}", fields),
            Text(f"card.node.reason.{kind}{back}", fields), tuple(chains),
            why=self._node_why(terms, fields),
            wrong=Text(f"card.node.wrong.{_risk(kind, terms)}{back}", fields),
            shapes=self._shapes([*chains]), node=name,
            edges=tuple(_lit(name, term) for term in terms),
        )  # fmt: skip

    def _kind(self, name: str, terms: list[Term]) -> str:
        carried = [term for term in terms if term.is_future]
        now = [term for term in terms if not term.is_future]
        if name == self.scope.graph.loss and len(now) == 1 and not carried:
            return f"loss-{self.options.kind}"
        if carried and now:
            is_read_now = any(term.successor for term in now)
            return "both" if is_read_now or self.scope.graph.loss else "seeded"
        if carried:
            return "future"
        if not now:
            return "none"
        return "now" if now[0].successor or len(now) > 1 else "seed"

    def _chain(self, value: Value, terms: list[Term], first: Time, last: Time) -> Chain:
        links = [Link(Nabla(value))]
        general = [term.general for term in terms]
        if general and None not in general:
            whole = e.total(*(g for g in general if g is not None))
            is_given = len(terms) == 1 and isinstance(whole, e.Incoming)
            rule = Text("reason.outside") if is_given else _chain_rule(len(terms))
            links.append(Link(whole, rule))
        filled = e.total(*(t.filled for t in terms)) if terms else self._zero(value)
        if filled != links[-1].expr:
            links.append(Link(filled, Text("reason.jacobians")))
        short = self.softmax_loss(value.name)
        if short is not None:
            links.append(Link(short, Text("reason.softmax-nll")))
        if first == last:
            links = [Link(e.at_step(k.expr, first), k.reason) for k in links]
        return Chain(tuple(links), first, last)

    def _zero(self, value: Value) -> Expr:
        rows, columns = self.scope.shape(value)
        return e.Number(0.0) if (rows, columns) == (1, 1) else e.Zeros(rows, columns)

    def softmax_loss(self, name: str) -> Expr | None:
        """w (ŷ - e_y) for what a softmax and an nll loss alone read."""
        graph = self.scope.graph
        readers = self.derivation.successors(name)
        if len(readers) != 1 or readers[0].lag or graph.loss is None:
            return None
        middle = readers[0].name
        after = self.derivation.successors(middle)
        loss = graph.definitions[graph.loss].inputs[0]
        is_pair = (
            graph.definitions[middle].inputs[0].op == "softmax"
            and [s.name for s in after] == [graph.loss] and loss.op == "nll"
            and not self.derivation.successors(graph.loss)
        )  # fmt: skip
        if not is_pair:
            return None
        target = self.derivation.show(loss.inputs[1])
        assert isinstance(target, Value)
        dim: Any = (graph.definitions.get(name) or graph.inputs[name]).shape[0]
        gap = e.minus(Value(middle, T), e.UnitVector(target, dim))
        return e.product(self.weight(T), gap)

    def _node_why(self, terms: list[Term], fields: dict[str, Any]) -> tuple[Why, ...]:
        kind = "chain-rule" if any(term.successor for term in terms) else "seed"
        found = [Why("rule", Text(f"why.rule.{kind}", fields))]
        element, matrix = [], []
        for term in terms:
            if term.successor is not None and term.general is not None:
                element += self.edge_chains(term.successor, element=True)
                matrix += self.edge_chains(term.successor, element=False)
        if element:
            found.append(Why("element", Text("why.element"), tuple(element)))
        if matrix:
            found.append(Why("matrix", Text("why.matrix"), tuple(matrix)))
        return tuple(found)

    def edge_chains(self, successor: Successor, *, element: bool) -> list[Chain]:
        """∂target/∂source = the Jacobian worked out, by element or as a matrix."""
        jacobian = self.derivation.jacobian(successor.name, successor.reading)
        if jacobian is None:
            return []
        step = T.moved(successor.lag)
        target = Value(successor.name, step)
        source = Value(successor.reading.name, T)
        symbol: Expr = e.Jacobian(target, source)
        shown = e.at_step(jacobian, step)
        first, last = steps_of(successor.lag)
        letters: dict[str, Any] = {}
        if element:
            rows, columns = shape_of(symbol, self.scope)
            letters = {letter: dim for letter, dim in (("i", rows), ("j", columns))
                       if dim != 1}  # fmt: skip
            if not letters:
                return []
            at = ("i", "j")
            by_element = elements(shown, at, self.scope)
            if by_element is None:
                return []
            shown = by_element
            symbol = elements(symbol, at, self.scope) or symbol
        return [Chain((Link(symbol), Link(shown)), first, last, letters)]

    def _shapes(self, chains: list[Chain]) -> tuple[ShapeNote, ...]:
        """Every symbol of the last link of each chain with its shape, once.

        A gradient and a diagonal matrix are one symbol, whatever they are made of.
        """
        found: dict[Expr, ShapeNote] = {}
        work = [chain.links[-1].expr for chain in reversed(chains)]
        while work:
            part = work.pop()
            if isinstance(part, Nabla | Value | e.Incoming | e.Diag):
                found.setdefault(part, ShapeNote(part, shape_of(part, self.scope)))
            else:
                work.extend(reversed(part.children))
        return tuple(found.values())

    # ----- parameters -----

    def parameter_card(self, name: str) -> Card:
        """The card of ∇ of a parameter: its copies, and their sum over t."""
        copy, users = Value(name, T), self.derivation.successors(name)
        pulled = [
            self.derivation.pulled(u.name, Nabla(Value(u.name, T)))[u.reading]
            for u in users
        ]
        parts = [part for part in pulled if part is not None]
        given = e.total(*parts) if parts else self._zero(copy)
        over_t = [Nabla(copy), given] if given != Nabla(copy) else [given]
        sums = [e.Sigma("t", FIRST, TAU, part) for part in over_t]
        reasons = (Text("reason.copies"), Text("reason.edges"))
        chains = (
            Chain((Link(Nabla(copy)), Link(given, Text("reason.edges")))),
            Chain(
                (Link(Nabla(Value(name))),
                 *(Link(s, r) for s, r in zip(sums, reasons, strict=False))),
                None, None,
            ),
        )  # fmt: skip
        reads_before = any(
            isinstance(part, Value) and part.time == T.moved(-1)
            for part in e.walk(given)
        )
        fields = {
            "parameter": Value(name), "copy": copy, "gradient": Nabla(Value(name)),
            "users": tuple(Value(u.name, T) for u in users),
            "shape": show(self.scope.shape(copy)),
        }  # fmt: skip
        wrong = "shifted" if reads_before else "one-step"
        return Card(
            f"parameter:{name}", "parameters", Text("card.parameter.title", fields),
            Text("card.parameter.claim", fields), Text("card.parameter.reason", fields),
            chains, why=self._parameter_why(copy, users, given, fields),
            wrong=Text(f"card.parameter.wrong.{wrong}", fields),
            shapes=self._shapes([chains[0]]),
            edges=tuple((name, 0, u.name, 0) for u in users),
        )  # fmt: skip

    def _parameter_why(
        self, copy: Value, users: tuple[Successor, ...], given: Expr,
        fields: dict[str, Any],
    ) -> tuple[Why, ...]:  # fmt: skip
        found = [Why("rule", Text("why.rule.sharing", fields))]
        ranks = [self.derivation.rank(user.name) for user in users]
        if users and 2 not in ranks and self._rank(copy):
            letters = dict(zip(("j", "k"), self.scope.core(copy.name), strict=False))
            at = tuple(letters)
            by_element = elements(given, at, self.scope)
            if by_element is None:
                return tuple(found)
            sums = e.total(*(self._element_share(u, copy, at) for u in users))
            links = (
                Link(e.Element(Nabla(copy), at)),
                Link(sums, _chain_rule(len(users))),
                Link(by_element, Text("reason.edges")),
            )
            chain = Chain(links, letters=letters)
            found.append(Why("element", Text("why.element"), (chain,)))
        return tuple(found)

    def _element_share(self, user: Successor, copy: Value, at: tuple[str, ...]) -> Expr:
        """Σ_i ∂y_i/∂W_jk (∇_y L)_i."""
        target, source = Value(user.name, T), e.Element(copy, at)
        if not self.derivation.rank(user.name):
            return e.product(e.Jacobian(target, source), Nabla(target))
        dim = self.scope.shape(target)[0]
        body = e.product(
            e.Jacobian(e.Element(target, ("i",)), source),
            e.Element(Nabla(target), ("i",)),
        )
        return e.Sigma("i", FIRST, dim, body)

    # ----- on request -----

    def initial_card(self, name: str) -> Card | None:
        """The card of ∇ of an initial state: h^(0), or h^(tau+1) of a backward loop.

        With a delay there are several, h^(0), h^(-1), ...; none is shown where no step
        of the numbers that are shown reads it.
        """
        terms = [term for term in self.terms(name) if term.is_future]
        furthest = max((abs(term.lag) for term in terms), default=0)
        if furthest > self.options.tau:
            return None
        is_back = name in self.scope.graph.backward
        start, chains = TAU.moved(1) if is_back else START, []
        for by in range(min(max(furthest, 1), MOST_STARTS)):
            at = start.moved(by if is_back else -by)
            some = [term for term in terms if abs(term.lag) > by]
            links = self._chain(Value(name, T), some, at, at).links
            chains.append(Chain(links, None, None))
        value = Value(name, start)
        card = self._on_request("initial", name, value, terms, *chains)
        if furthest <= 1:
            return card
        readers = tuple(
            Value(target.name, start.moved(target.time.offset))
            for target in map(_target, terms) if target.time
        )  # fmt: skip
        fields = {"node": value, "readers": readers}
        return replace(card, claim=Text("card.initial.claim-far", fields))

    def input_card(self, name: str) -> Card:
        """The card of ∇ of an input, which training does not need."""
        value, terms = Value(name, T), self.terms(name)
        furthest = max((term.lag for term in terms), key=abs)
        chain = self._chain(value, terms, *steps_of(furthest))
        return self._on_request("input", name, value, terms, chain)

    def _on_request(
        self, kind: str, name: str, value: Value, terms: list[Term], *chains: Chain
    ) -> Card:
        fields = {"node": value, "gradient": Nabla(value)}
        back = _back(terms) if kind == "initial" else ""
        return Card(
            f"{kind}:{name}", "more", Text(f"card.{kind}.title", fields),
            Text(f"card.{kind}.claim{back}", fields),
            Text(f"card.{kind}.reason{back}", fields),
            chains, why=(Why("rule", Text("why.rule.chain-rule", fields)),),
            wrong=Text(f"card.{kind}.wrong", fields), shapes=self._shapes([*chains]),
            node=name, boundary="start" if kind == "initial" else "",
            edges=tuple(_lit(name, term) for term in terms),
        )  # fmt: skip


def _risk(kind: str, terms: list[Term]) -> str:
    """What may go wrong: of one successor none can be forgotten, but its Jacobian."""
    return "now-one" if kind == "now" and len(terms) == 1 else kind


def step_ranges(lags: Iterable[int]) -> list[tuple[int, tuple[Time, Time]]]:
    """The steps that successors within a reach have, the boundary first.

    A successor 1 step later: t = tau has none, t = 1..tau-1 have it; one that reads t+1
    is a step earlier: t = 1 has none, t = 2..tau have it.
    """
    far = {abs(lag): lag for lag in lags}
    reaches = [0, *(reach for reach in sorted(far) if reach)]
    found = []
    for number, reach in enumerate(reaches):
        first, last = steps_of(far.get(reach, 0))
        if number + 1 < len(reaches):
            further = far[reaches[number + 1]]
            begin, end = steps_of(further)
            if further < 0:
                last = begin.moved(-1)
            else:
                first = end.moved(1)
        found.append((reach, (first, last)))
    return found


def steps_of(lag: int) -> tuple[Time, Time]:
    """The first and the last step t for which step t + lag is one of 1..tau."""
    return (FIRST, TAU.moved(-lag)) if lag > 0 else (FIRST.moved(-lag), TAU)


def _chain_rule(count: int) -> Text:
    """The rule, of a node that so many others read."""
    if count == 1:
        return Text("reason.successor")
    return Text("reason.successors", {"count": count})


def _back(terms: list[Term]) -> str:
    """How the texts of a state that is read at t+1 are named."""
    return "-back" if any(term.lag < 0 for term in terms) else ""


def _target(term: Term) -> Value:
    assert term.successor is not None
    return Value(term.successor.name, T.moved(term.successor.lag))


def _lit(name: str, term: Term) -> tuple[str, int, str, int]:
    if term.successor is None:
        return name, 0, "", 0
    return name, 0, term.successor.name, term.successor.lag
