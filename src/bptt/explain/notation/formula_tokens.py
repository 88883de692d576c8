"""A formula cut into tokens with their places, and the error that points at one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn

from bptt.errors import ArgumentError, Span
from bptt.explain.algebra import expr as e

MAX_LENGTH = 2000
_TOKEN = re.compile(
    r"(?P<number>\d+(\.\d+)?([eE][+-]?\d+)?)|(?P<name>[^\W\dᵀ²][^\Wᵀ²]*)"
    r"|(?P<symbol>\*\*|\.T\b|[-+*/@^=()\[\],:∇∂⊙·ᵀ²>])"
)
_SPELLINGS = {"⊙": "*", "·": "@", "ᵀ": ".T", "^": "**"}


class FormulaSyntaxError(ArgumentError):
    """A formula is not written in the notation of equations."""

    def __init__(self, text: str, span: e.Span, problem: str, fix: str = "") -> None:
        """Compose the message: the formula, a caret, the problem, the likely fix."""
        fix = f"\nLikely fix: {fix}" if fix else ""
        super().__init__(f"{quote(text, span)}\n{problem}{fix}")
        self.span = span


def quote(text: str, span: e.Span) -> str:
    """The formula with carets under a piece of it."""
    return Span(1, text, *span).quote()


@dataclass(frozen=True)
class Token:
    """A name, a number, a symbol or the end; from column start to end."""

    kind: str
    text: str
    start: int
    end: int


class FormulaTokens:
    """Tokens that are taken one by one."""

    def __init__(self, text: str) -> None:
        """Cut the text."""
        self.text = text
        self.tokens = self._split()
        self.at = 0

    def _split(self) -> list[Token]:
        text = self.text
        if not isinstance(text, str) or not text.strip() or len(text) > MAX_LENGTH:
            raise ArgumentError(
                f"a formula is a text of 1 to {MAX_LENGTH} characters, for example "
                "'grad_h[t] = V.T @ grad_o[t]'"
            )
        tokens, at = [], 0
        while at < len(text):
            if text[at].isspace():
                at += 1
                continue
            match = _TOKEN.match(text, at)
            if match is None:
                self.fail((at, at + 1), f"{text[at]!r} is not part of a formula")
            kind = "symbol"
            if match["name"] or match["number"]:
                kind = "name" if match["name"] else "number"
            tokens.append(
                Token(kind, _SPELLINGS.get(match[0], match[0]), at, match.end())
            )
            at = match.end()
        return [*tokens, Token("end", "", len(text), len(text) + 1)]

    def fail(self, span: e.Span, problem: str, fix: str = "") -> NoReturn:
        """Raise FormulaSyntaxError at a place."""
        raise FormulaSyntaxError(self.text, span, problem, fix)

    @property
    def now(self) -> Token:
        """The token that stands here."""
        return self.tokens[self.at]

    def take(self) -> Token:
        """Take it."""
        token = self.now
        self.at += 1
        return token

    def accept(self, *texts: str) -> Token | None:
        """Take it if it is one of these symbols."""
        if self.now.kind == "symbol" and self.now.text in texts:
            return self.take()
        return None

    def expect(self, text: str) -> Token:
        """Take this symbol.

        Raises: FormulaSyntaxError if something else stands here.
        """
        token = self.accept(text)
        if token is None:
            found = self.now.text or "the end"
            self.fail((self.now.start, self.now.end), f"expected {text}, not {found}")
        return token
