"""A failing case made small: the same kind of fault with fewer equations and options.

Pieces of the text are cut out or replaced by a part of themselves, and sizes and
options are made plain, as long as the case still has the fault. A cell that can no
longer be read has another fault, so it is not taken.
"""

from __future__ import annotations

import ast
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from tests.fuzz.case import Case, Equation

Keeps = Callable[[Case], bool]


def minimise(case: Case, keeps: Keeps, seconds: float = 60.0) -> Case:
    """The smallest case found in so much CPU time that `keeps` the fault."""
    end = time.process_time() + seconds
    has_shrunk = True
    while has_shrunk:
        has_shrunk = False
        for smaller in candidates(case):
            if time.process_time() > end:
                return case
            if is_sound(smaller) and keeps(smaller):
                case, has_shrunk = smaller, True
                break
    return case


def is_sound(case: Case) -> bool:
    """Whether a case is complete: a node, an input read at t, seeds of nodes."""
    if not case.equations or not (case.used("input") or case.used("index")):
        return False
    if not case.has_loss and not case.seeds:
        return False
    text = "\n".join(eq.right for eq in case.equations)
    known = {*case.defined, *case.used("input"), *case.used("index")}
    known |= {name for name in case.used("parameter") if case.indices}
    seen: set[str] = set()
    for equation in case.equations:
        now = set(re.findall(r"([A-Za-z_]\w*)\[t\]", equation.right))
        if now & set(case.defined) - seen:
            return False
        seen.add(equation.name)
    reads = re.findall(r"([A-Za-z_]\w*)\[t", text)
    if "tau" in text and not case.has_loss:
        return False
    inputs = {name for name in reads if name not in case.defined}
    return set(reads) <= known and all(f"{name}[t]" in text for name in inputs)


def candidates(case: Case) -> Iterator[Case]:
    """Cases a step smaller, the boldest first."""
    for i, equation in enumerate(case.equations):
        rest = case.equations[:i] + case.equations[i + 1 :]
        yield _fitted(case, rest)
        if equation.name != "L" and equation.at == "[t]":
            # What read it reads a new input instead.
            yield _as_input(case, i)
    yield from _plainer(case)
    for i, equation in enumerate(case.equations):
        for right in shorter(equation.right):
            changed = replace(equation, right=right)
            yield _fitted(
                case, (*case.equations[:i], changed, *case.equations[i + 1 :])
            )


def _fitted(case: Case, equations: tuple[Equation, ...]) -> Case:
    """The case with other equations, and no request for what is gone."""
    new = case.but(equations=equations)
    here = frozenset(new.defined)
    return new.but(
        seeds=case.seeds & here, nodes=case.nodes & here,
        start=case.start & frozenset(new.states),
        weights=case.weights if new.has_loss else "",
        reduction=case.reduction if new.has_loss else "sum",
    )  # fmt: skip


def _as_input(case: Case, number: int) -> Case:
    name = case.equations[number].name
    rest = case.equations[:number] + case.equations[number + 1 :]
    kinds = {**case.kinds, name: "input"}
    return _fitted(case.but(kinds=kinds, declared=case.declared | {name}), rest)


def _plainer(case: Case) -> Iterator[Case]:
    """Plainer options and smaller sizes."""
    plain = {"lengths": None, "weights": "", "reduction": "sum", "threads": 1,
             "wants_inputs": False, "wants_initial": False, "nodes": frozenset(),
             "seeds": frozenset(), "start": frozenset(),
             "dtype": "float64"}  # fmt: skip
    for name, value in plain.items():
        if getattr(case, name) != value:
            yield case.but(**{name: value})
    for tau in range(1, case.tau):
        lengths = case.lengths and tuple(min(n, tau) for n in case.lengths)
        yield case.but(tau=tau, lengths=lengths)
    for n_b in range(1, case.n_b):
        yield case.but(n_b=n_b, lengths=case.lengths and case.lengths[:n_b])
    for dim, size in case.sizes.items():
        for smaller in range(1, size):
            yield case.but(sizes={**case.sizes, dim: smaller})
    for field in ("seeds", "nodes", "start"):
        for name in sorted(getattr(case, field)):
            yield case.but(**{field: getattr(case, field) - {name}})


def shorter(right: str) -> Iterator[str]:
    """The right side with one part replaced by a part of itself, or by a number."""
    tree = ast.parse(right.strip(), mode="eval")
    for node in ast.walk(tree):
        if not isinstance(node, ast.expr) or isinstance(node, ast.Constant | ast.Name):
            continue
        for part in [*_parts(node), ast.Constant(0.5)]:
            text = _replaced(right.strip(), node, part)
            if len(text) < len(right):
                yield text
    if right.startswith("(") and right.endswith(")"):
        yield right[1:-1]


def _parts(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.Subscript) and not isinstance(node.slice, ast.Tuple):
        return []
    return [child for child in ast.iter_child_nodes(node)
            if isinstance(child, ast.expr) and not isinstance(child, ast.Tuple)
            and not (isinstance(node, ast.Call) and child is node.func)]  # fmt: skip


def _replaced(right: str, node: ast.expr, part: ast.expr) -> str:
    start, end = node.col_offset, node.end_col_offset or len(right)
    new = ast.unparse(part)
    is_whole = isinstance(part, ast.Constant | ast.Name | ast.Call | ast.Subscript)
    new = new.replace("[t + 1]", "[t+1]").replace("[t - 1]", "[t-1]")
    return f"{right[:start]}{new if is_whole else f'({new})'}{right[end:]}"
