"""Chains and matrices of numbers as LaTeX, for every format that displays it."""

from __future__ import annotations

from collections.abc import Callable

from bptt.explain import model as m
from bptt.explain.notation.latex import LATEX, to_latex
from bptt.explain.notation.plain import UNICODE, to_unicode


def conditions(chain: m.Chain) -> str:
    """Where a chain holds, as LaTeX: bounds of t, then free indices."""
    parts = []
    if chain.first is not None and chain.last is not None:
        parts.append(LATEX.steps(chain.first, chain.last))
    parts += [LATEX.letter(k, dim) for k, dim in chain.letters.items()]
    return r",\quad ".join(parts)


def aligned(
    chain: m.Chain, broken: Callable[[str], list[str]] = lambda side: [side]
) -> str:
    """A chain as an aligned block; its equation number and bounds at the right.

    broken: a side as the lines that it takes.
    """
    first, *rest = (to_latex(link.expr) for link in chain.links)
    if not rest:
        return first
    lines = []
    for i, side in enumerate(rest):
        start, *more = broken(side)
        lines.append(f"{'' if i else first + ' '}&= {start}")
        lines += [rf"&\quad {{}}{line}" for line in more]
    where = conditions(chain)
    number = rf"\text{{({chain.number})}}" if chain.number else ""
    tail = r"\qquad ".join(part for part in (where, number) if part)
    if tail:
        lines[-1] += rf" \qquad {tail}"
    return stacked(lines)


def typed_lines(chain: m.Chain) -> str:
    """A chain that the language of cells writes, as text; where it holds below it."""
    first, *rest = (to_unicode(link.expr) for link in chain.links)
    lines = [f"{'' if i else first} = {side}" for i, side in enumerate(rest)]
    where = [UNICODE.letter(letter, dim) for letter, dim in chain.letters.items()]
    if chain.first is not None and chain.last is not None:
        where.insert(0, UNICODE.steps(chain.first, chain.last))
    return "\n".join([*lines, f"    {'; '.join(where)}"] if where else lines)


def stacked(lines: list[str]) -> str:
    """Lines aligned at their &."""
    body = " \\\\\n".join(lines)
    return f"\\begin{{aligned}}\n{body}\n\\end{{aligned}}"


def array_latex(value: object) -> str:
    """A matrix of numbers as LaTeX; a scalar as it is."""
    rows = [[f"{x:.3g}" for x in row] for row in value]  # type: ignore[attr-defined]
    if len(rows) == len(rows[0]) == 1:
        return rows[0][0]
    body = r" \\ ".join(" & ".join(row) for row in rows)
    return rf"\begin{{pmatrix}} {body} \end{{pmatrix}}"
