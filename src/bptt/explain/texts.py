"""The sentences: string tables by id in every language, and how they are filled.

A table is `strings/LANG.toml`. In a sentence {name} is a field of the `Text`, and
`W.T @ grad_h[t]` between backticks is a formula in the notation of `parse`; it becomes
an expression of the tree and is typeset like any other.
"""

from __future__ import annotations

import re
from typing import Any

from bptt.explain.algebra.expr import Expr
from bptt.explain.algebra.point import Scope
from bptt.explain.notation.parse import parse
from bptt.explain.sentences import LIST_COMMA, Text, Typed, table

LIST_CLAUSE = {"en": "; ", "zh": "；"}  # between sentences
_PLACE = re.compile(r"\{(\w+)\}|`([^`]+)`")
Piece = str | Expr


def pieces(text: Text, lang: str, scope: Scope) -> list[Piece]:
    """A sentence as plain strings and expressions, in order.

    A field `lang` gives the sentence in that language whatever `lang` is: the glossary
    shows both.

    Raises: KeyError for an id or field that is missing (a bug, caught by tests).
    """
    lang = text.fields.get("lang", lang)
    sentence = table(lang)[text.id]
    found: list[Piece] = []
    at = 0
    for match in _PLACE.finditer(sentence):
        found.append(sentence[at : match.start()])
        at = match.end()
        if match[2] is not None:
            found.append(parse(match[2], scope))
        else:
            found.extend(_field(text.fields[match[1]], lang, scope))
    found.append(sentence[at:])
    return [piece for piece in found if piece != ""]


def _field(value: Any, lang: str, scope: Scope) -> list[Piece]:
    if isinstance(value, Text):
        return pieces(value, lang, scope)
    if isinstance(value, tuple):
        listed: list[Piece] = []
        for item in value:
            comma = LIST_CLAUSE if isinstance(item, Text) else LIST_COMMA
            listed += [comma[lang]] if listed else []
            listed += _field(item, lang, scope)
        return listed
    return [value if isinstance(value, Expr | Typed) else str(value)]
