"""Which names hold whole numbers: what a look-up reads, and what is copied into it.

    M[:, k[t]]            k is one
    nll(p, y[t])          y is one, unless it is declared or read as a vector
    m[t] = k[t-1]         so is m, if k is, and k, if m is
    k[t] = argmax(u)      k is one that the cell computes

What is read several steps away, `k[t-3]`, is such a copy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bptt.language.tree import Declaration, Equation, Piece


def whole_names(
    equations: list[Equation], declarations: list[Declaration]
) -> frozenset[str]:
    """The names of inputs and definitions that hold whole numbers."""
    copies = {e.name: list(_copied(e.expression)) for e in equations}
    columns, targets, values = _by_role(equations, copies)
    vectors = {d.name for d in declarations if d.shape != ()}
    computed = {
        e.name for e in equations
        if all(part.op == "argmax" for part in branches(e.expression))
    }  # fmt: skip
    links = _links(copies)
    found: set[str] = set()
    for name in (*columns, *targets):
        group = _connected(name, links)
        inputs = group - copies.keys()
        if name in columns:
            # An input that is a number elsewhere is one that the cell computes with.
            found |= group - (inputs & values - columns)
        elif not group & vectors and (group & computed if not inputs
                                      else not group & values):  # fmt: skip
            found |= group
    return frozenset(found)


def branches(expr: Piece) -> Iterator[Piece]:
    """What an equation may be, with `where` taken apart."""
    if expr.op == "where":
        for part in expr.arguments[1:]:
            yield from branches(part)
    else:
        yield expr


def _copied(expr: Piece) -> Iterator[str]:
    """The names whose values an expression hands on as they are."""
    return (part.name for part in branches(expr) if part.op == "read")


def _by_role(
    equations: list[Equation], copies: Mapping[str, list[str]]
) -> tuple[set[str], set[str], set[str]]:
    """Names read as a column, as a class, and as a value."""
    columns: set[str] = set()
    targets: set[str] = set()
    values: set[str] = set()
    for equation in equations:
        # order-free: an address tells a part that is handed on from others
        handed = {id(part) for part in branches(equation.expression)}
        for expr in equation.expression.parts():
            for position, part in enumerate(expr.arguments):
                # order-free: as above
                if part.op != "read" or id(part) in handed:
                    continue
                role = expr.op if position == 1 else ""
                table = {"lookup": columns, "nll": targets}.get(role, values)
                table.add(part.name)
    return columns, targets, values


def _links(copies: Mapping[str, list[str]]) -> dict[str, set[str]]:
    """Which names one copy joins, either way."""
    links: dict[str, set[str]] = {}
    for name, sources in copies.items():
        for source in sources:
            links.setdefault(name, set()).add(source)
            links.setdefault(source, set()).add(name)
    return links


def _connected(name: str, links: Mapping[str, set[str]]) -> set[str]:
    """A name and all that copies join to it."""
    found, work = {name}, [name]
    while work:
        new = links.get(work.pop(), set()) - found
        found |= new
        work += sorted(new)
    return found
