"""How every name is used: defined, read at t, at another step, bare, as an index.

The ways to write a name:

    name[t] = ...            a definition
    name[t], not defined     an input
    name[t-1]                a state (or an input, one step late)
    name[t+1]                a state of a backward loop (or an input, one step early)
    name                     a parameter
    M[:, name[t]]            an integer input
    nll(p, name[t])          a class index, unless declared or used as a vector
    m[t] = name[t-1]         an integer input, if m is one: see `wholes`
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from bptt import errors
from bptt.errors import Span
from bptt.language.directions import Read, check_directions
from bptt.language.tree import LOSS, Declaration, Equation, Piece
from bptt.language.wholes import branches, whole_names
from bptt.step.graph import Times


@dataclass
class Uses:
    """Every name, by use, with the place of its first use; in order of appearance."""

    defined: dict[str, Equation] = field(default_factory=dict)
    declared: dict[str, Declaration] = field(default_factory=dict)
    bare: dict[str, Span] = field(default_factory=dict)
    now: dict[str, Span] = field(default_factory=dict)
    before: dict[str, Span] = field(default_factory=dict)
    after: dict[str, Span] = field(default_factory=dict)
    carried: dict[str, Span] = field(default_factory=dict)
    as_index: dict[str, Span] = field(default_factory=dict)
    as_number: dict[str, Span] = field(default_factory=dict)
    as_target: dict[str, Span] = field(default_factory=dict)
    as_value: dict[str, Span] = field(default_factory=dict)
    like: dict[str, Piece] = field(default_factory=dict)
    times: Times = field(default_factory=Times)
    multiplied: dict[str, Span] = field(default_factory=dict)
    reads_alone: set[str] = field(default_factory=set)
    wholes: frozenset[str] = frozenset()

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names read as `name[t]` that no equation defines."""
        return tuple(name for name in self.now if name not in self.defined)

    @property
    def only_multiplied(self) -> dict[str, Span]:
        """Vectors without a step that `parameter @ vector` alone reads."""
        return {
            name: span
            for name, span in self.multiplied.items()
            if name not in self.reads_alone
        }

    def table(self, lag: int) -> dict[str, Span]:
        """The reads at step t + lag."""
        return {0: self.now, -1: self.before, 1: self.after}[lag]

    def is_index(self, name: str) -> bool:
        """Whether an input holds integers."""
        if name in self.as_index:
            return True
        if name not in self.as_target or name in self.as_value:
            return False
        declaration = self.declared.get(name)
        return declaration is None or declaration.shape == ()


def collect_uses(
    equations: list[Equation], declarations: list[Declaration],
    hidden: Collection[str] = (),
) -> Uses:  # fmt: skip
    """Sort every name by its use; hidden: definitions that no line has.

    Raises: DuplicateDefinitionError, BareStateError, UseBeforeDefinitionError,
    UndefinedNameError, IndexKindError, DeclarationError, ReservedNameError,
    TwoDirectionsError.
    """
    uses = Uses()
    for declaration in declarations:
        _once(uses.declared, declaration.name, declaration.span, "declared")
        uses.declared[declaration.name] = declaration
    for equation in equations:
        _once(uses.defined, equation.name, equation.span, "defined")
        uses.defined[equation.name] = equation
    uses.wholes = whole_names(equations, declarations)
    for equation in equations:
        _collect(uses, equation)
    _check_loss(uses)
    _check_order(uses, equations, hidden)
    reads = {equation.name: _reads(equation) for equation in equations}
    check_directions(reads)
    _check_kinds(uses)
    _check_declared(uses)
    return uses


def _once(table: Mapping[str, object], name: str, span: Span, verb: str) -> None:
    if name in table:
        first = getattr(table[name], "span")  # noqa: B009  (two types, one field)
        raise errors.DuplicateDefinitionError(
            span,
            f"{name} is {verb} twice; the first time on line {first.line_number}",
            fix=f"give one of the two another name, such as {name}_2",
        )


def _collect(uses: Uses, equation: Equation) -> None:
    handed: set[int] = set()
    if equation.name in uses.wholes:
        # order-free: an address tells a part that is handed on from others
        handed = {id(part) for part in branches(equation.expression)}
    for expr, at in _walk(equation.expression, "value"):
        # order-free: as above
        is_whole = id(expr) in handed and expr.op == "read" and expr.name in uses.wholes
        role = "index" if is_whole else at
        if expr.op == "parameter":
            uses.bare.setdefault(str(expr.data), expr.span)
            if role == "multiplied":
                uses.multiplied.setdefault(str(expr.data), expr.span)
            else:
                uses.reads_alone.add(str(expr.data))
        elif expr.op == "read":
            name, lag = _read_of(expr)
            uses.table(lag).setdefault(name, expr.span)
            if lag:
                uses.carried.setdefault(name, expr.span)
            by_role = {
                "value": uses.as_value, "index": uses.as_index, "target": uses.as_target
            }  # fmt: skip
            is_number = role == "index" or (role == "target" and name in uses.wholes)
            is_computed = is_number and name in uses.defined
            if is_computed:
                uses.as_number[name] = expr.span
            by_role["value" if is_computed else role].setdefault(name, expr.span)


def _read_of(expr: Piece) -> tuple[str, int]:
    assert isinstance(expr.data, tuple)
    return expr.data[0], expr.data[1]


def _walk(expr: Piece, role: str) -> Iterator[tuple[Piece, str]]:
    """Every piece with its role, from the outside in, left to right.

    Iterative: an expression may be deeper than Python's recursion limit.
    """
    work = [(expr, role)]
    while work:
        found = work.pop()
        yield found
        here = found[0]
        last = len(here.arguments) - 1
        work += [(here.arguments[i], _role(here, i)) for i in range(last, -1, -1)]


def _role(expr: Piece, position: int) -> str:
    """What an argument is to the operation that reads it."""
    argument = expr.arguments[position]
    if position == 1 and argument.op == "read":
        return {"lookup": "index", "nll": "target"}.get(expr.op, "value")
    is_plain = expr.op == "product" and position == 1
    if is_plain and all(part.op == "parameter" for part in expr.arguments):
        return "multiplied" if str(argument.data)[0].islower() else "value"
    return "value"


def _check_order(
    uses: Uses, equations: list[Equation], hidden: Collection[str]
) -> None:
    seen: set[str] = set()
    for equation in equations:
        for expr, _ in _walk(equation.expression, "value"):
            if expr.op != "read":
                continue
            name, lag = _read_of(expr)
            if lag == 0 and name in uses.defined and name not in seen:
                where = uses.defined[name].span.line_number
                raise errors.UseBeforeDefinitionError(
                    expr.span,
                    f"{name}[t] is read here but defined on line {where}",
                    fix=f"move the definition up, or read {name}[t-1]",
                )
        seen.add(equation.name)
    written = [name for name in uses.defined if name not in hidden]
    for name, span in uses.carried.items():
        if name not in uses.defined and name not in uses.now:
            raise errors.UndefinedNameError(
                span,
                f"{span.text} is read, but no line defines {name}[t]",
                fix=f"define {name}[t] (of an input, read {name}[t] somewhere, too: "
                f"{name}_now[t] = {name}[t]), or check the spelling; the definitions "
                f"are: {errors.list_known(name, written)}",
            )


def _reads(equation: Equation) -> list[Read]:
    return [
        (*_read_of(expr), expr.span)
        for expr, _ in _walk(equation.expression, "value")
        if expr.op == "read"
    ]


def _check_loss(uses: Uses) -> None:
    if LOSS in uses.defined:
        return
    for table in (uses.bare, uses.now, uses.carried):
        if LOSS in table:
            raise errors.ReservedNameError(
                table[LOSS],
                f"{LOSS} is the loss of a step, and no equation defines it",
                fix="another name for a parameter or input, such as L_1",
            )


def _check_kinds(uses: Uses) -> None:
    for name, span in uses.bare.items():
        if name in uses.defined or name in uses.now or name in uses.carried:
            raise errors.BareStateError(
                span,
                f"{name} varies in time elsewhere in the cell, but has no step here",
                fix=f"{name}[t] or {name}[t-1]; in an equation without a step "
                f"{name}[tau], its last value, or sum(t, {name}[t])",
            )
    for name, span in uses.only_multiplied.items():
        if name not in uses.declared:
            raise errors.BareInputError(
                span,
                f"{name} has no step here, so it is one vector of parameters for all "
                "steps, and its product with a parameter is no more than that",
                fix=f"{name}[t] for an input; a parameter is declared: `{name}: n`",
            )
    for name, span in uses.as_index.items():
        if name in uses.as_value:
            raise errors.IndexKindError(
                uses.as_value[name],
                f"{name} is an integer index on line {span.line_number} and a real "
                "value here",
                fix="use two inputs with two names",
            )
        declaration = uses.declared.get(name)
        if declaration is not None and declaration.shape != ():
            raise errors.IndexKindError(
                declaration.span,
                f"{name} is an integer index on line {span.line_number}, so it has no "
                "dimension of its own",
                fix=f"remove this declaration, or write a product with {name}[t]",
            )


def _check_declared(uses: Uses) -> None:
    used = {*uses.defined, *uses.bare, *uses.now, *uses.carried}
    for name, declaration in uses.declared.items():
        if name not in used:
            raise errors.DeclarationError(
                declaration.span,
                f"{name} is declared, but no equation reads or defines it",
                fix="remove the declaration, or check the spelling"
                + errors.did_you_mean(name, sorted(used)),
            )
        is_input = name in uses.inputs and not uses.is_index(name)
        if declaration.initial is not None and not (is_input or name in uses.bare):
            raise errors.DeclarationError(
                declaration.span,
                f"{name} is neither a parameter nor a real input, so it cannot have a "
                "value here",
                fix=f"declare {name} without `= ...`; an initial state is an argument "
                "of the call",
            )
