"""A sentence by its id, in either language, and the errors that are made of one.

    Text("formula.no-step", {"place": "h^(5)", "tau": 4})

The tables are `strings/LANG.toml`. A renderer typesets the formulas in a sentence (see
`texts`); an error's sentence has plain text alone, and `say` gives it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from bptt.errors import ArgumentError, list_known

LANGUAGES = ("en", "zh")
LIST_COMMA = {"en": ", ", "zh": "、"}


class UnknownLanguageError(ArgumentError):
    """An explanation is asked for in a language that there is no table of."""


@dataclass(frozen=True)
class Text:
    """A sentence by its id.

    fields: what stands in its {places}: an Expr, a string, a number, another Text, or a
    tuple of these that is listed with the commas of the language.
    """

    id: str
    fields: Mapping[str, Any] = field(default_factory=dict)


class Typed(str):
    """A field of a sentence that is shown as it was typed."""

    __slots__ = ()


@cache
def table(lang: str) -> Mapping[str, str]:
    """Every sentence of a language by its id.

    Raises: UnknownLanguageError.
    """
    if lang not in LANGUAGES:
        raise UnknownLanguageError(
            f"no texts in {lang!r}; there are: {list_known(lang, LANGUAGES)}"
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


def say(text: Text, lang: str = "en") -> str:
    """A sentence of plain text in a language, its fields filled in."""
    fields = {name: _said(value, lang) for name, value in text.fields.items()}
    return table(lang)[text.id].format(**fields)


def _said(value: Any, lang: str) -> str:
    if isinstance(value, Text):
        return say(value, lang)
    if isinstance(value, tuple):
        return LIST_COMMA[lang].join(_said(item, lang) for item in value)
    return str(value)


class SentenceError(ArgumentError):
    """A mistake in a formula, whose message there is in every language.

    quoted: lines that stand above the sentence, the same in every language.
    """

    def __init__(self, text_id: str, quoted: str = "", **fields: Any) -> None:
        """Compose the message from a sentence and its fields."""
        self.text = Text(text_id, fields)
        self.quoted = quoted
        super().__init__(self.say("en"))

    def say(self, lang: str) -> str:
        """The message in a language."""
        return (
            f"{self.quoted}\n{say(self.text, lang)}"
            if self.quoted
            else say(self.text, lang)
        )
