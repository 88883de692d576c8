"""The sentences: string tables by id in every language, and how they are filled.

A table is `strings/LANG.toml`. In a sentence {name} is a field of the `Text`, and
`W.T @ grad_h[t]` between backticks is a formula in the notation of `parse`; it becomes
an expression of the tree and is typeset like any other.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Any

from bptt.errors import ArgumentError
from bptt.explain.algebra.expr import Expr
from bptt.explain.algebra.point import Scope
from bptt.explain.model import LANGUAGES, Text
from bptt.explain.notation.parse import parse

LIST_COMMA = {"en": ", ", "zh": "、"}
LIST_CLAUSE = {"en": "; ", "zh": "；"}  # between sentences
_PLACE = re.compile(r"\{(\w+)\}|`([^`]+)`")
Piece = str | Expr


class UnknownLanguageError(ArgumentError):
    """An explanation is asked for in a language that there is no table of."""


@cache
def table(lang: str) -> Mapping[str, str]:
    """Every sentence of a language by its id.

    Raises: UnknownLanguageError.
    """
    if lang not in LANGUAGES:
        raise UnknownLanguageError(
            f"no texts in {lang!r}; there are: {', '.join(LANGUAGES)}"
        )
    file = resources.files("bptt.explain").joinpath("strings", f"{lang}.toml")
    return dict(_flat(tomllib.loads(file.read_text("utf-8"))))


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)


def label(text_id: str, lang: str) -> str:
    """A sentence without fields: a heading, a column's title."""
    return table(lang)[text_id]


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
    return [value if isinstance(value, Expr) else str(value)]
