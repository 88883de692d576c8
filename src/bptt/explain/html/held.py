"""Which signs of a sentence stand on the line of the formula beside them.

A browser may break a line on either side of a formula: "," would begin the next one.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeGuard

from bptt.explain.algebra.expr import Expr, Written
from bptt.explain.model import Typed
from bptt.explain.texts import Piece
from bptt.page.tags import Markup, join, tag, text

OPENING = "([{“‘（「《"
CLOSING = ")]}”’.,;:!?）」》。，；：！？、"
# "No break": an element of our own, as a page has hundreds and ten bytes count.
ELEMENT = "n-b"


class Held(NamedTuple):
    """A formula with the brackets before it and the signs behind it."""

    before: str
    formula: Expr
    after: str


def held(pieces: list[Piece]) -> list[Piece | Held]:
    """The pieces of a sentence, each formula with the signs beside it.

    >>> from bptt.explain.algebra.expr import Value
    >>> held(["of it (", Value("W"), "), and"])[1:]
    [Held(before='(', formula=Value(name='W', time=None), after='),'), ' and']
    """
    found: list[Piece | Held] = []
    around: list[Piece] = ["", *pieces, ""]
    for before, piece, after in zip(around, pieces, around[2:], strict=False):
        if _is_formula(piece):
            signs = _opening(before), _closing(after)
            found.append(Held(signs[0], piece, signs[1]) if any(signs) else piece)
            continue
        if not _is_text(piece):
            found.append(piece)
            continue
        start = len(_closing(piece)) if _is_formula(before) else 0
        end = len(_opening(piece)) if _is_formula(after) else 0
        rest = piece[start : len(piece) - end]
        found += [rest] if rest else []
    return found


def hold(before: str, formula: Markup, after: str) -> Markup:
    """The formula and its signs as one element, between them no end of a line."""
    return tag(ELEMENT, before, formula, after)


def listed(formulas: list[Markup]) -> Markup:
    """Formulas with commas between them."""
    *most, last = formulas
    return join(*(join(hold("", formula, ","), " ") for formula in most), last)


def fill(pattern: str, fields: dict[str, Any]) -> Markup:
    """A sentence with {names} replaced by markup or text."""
    parts: list[Any] = []
    rest = pattern
    while "{" in rest:
        before, _, rest = rest.partition("{")
        name, _, rest = rest.partition("}")
        field = Markup(text(fields.get(name, f"{{{name}}}")))
        if field.startswith("<span data-e"):
            start, end = opening(before), closing(rest)
            before, rest = before[: len(before) - len(start)], rest[len(end) :]
            field = hold(start, field, end) if start or end else field
        parts += [before, field]
    return join(*parts, rest)


def _is_formula(piece: Piece) -> TypeGuard[Expr]:
    """Whether it is typeset; code is text, which a browser breaks as text."""
    is_code = isinstance(piece, Written) and piece.typeset is None
    return isinstance(piece, Expr) and not is_code


def _is_text(piece: Piece) -> TypeGuard[str]:
    return isinstance(piece, str) and not isinstance(piece, Typed)


def _opening(piece: Piece) -> str:
    return opening(piece) if _is_text(piece) else ""


def _closing(piece: Piece) -> str:
    return closing(piece) if _is_text(piece) else ""


def opening(sentence: str) -> str:
    """The brackets that it ends with."""
    return sentence[len(sentence.rstrip(OPENING)) :]


def closing(sentence: str) -> str:
    """The signs that it begins with."""
    return sentence[: len(sentence) - len(sentence.lstrip(CLOSING))]
