"""A formula cut into tokens with their places, and the error that points at one.

Whatever it is written in, text, mathematical signs or LaTeX, it becomes one kind of
tokens, so that there is one grammar. Signs that look alike are one: − and -, （ and (.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from bptt.errors import Span
from bptt.explain.algebra import expr as e
from bptt.explain.notation.greek import GREEK, OwnNames
from bptt.explain.notation.latex_words import LatexWords
from bptt.explain.notation.unread import why_unread
from bptt.explain.sentences import SentenceError, Text, say

MAX_LENGTH = 20_000  # the catalogue's longest chain has 4,205 in LaTeX
_CLOSING = " \t\n;,.。；"  # what ends a sentence, or a line of code
# Raised and lowered signs are scripts: h⁽ᵗ⁺¹⁾ is h^{(t+1)}, W_ᵢⱼ is W_{ij}.
RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ᵗˢᵀⁱʲᵏ⊤", "0123456789+-()tsTijkT", strict=True))
LOWERED = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋₍₎₌ᵢⱼₖₗₘₜ", "0123456789+-()=ijklmt", strict=True))
_SIGNS = "ΣΠ𝟏𝟎"
_WORD = f"(?![{''.join([*RAISED, *LOWERED])}{_SIGNS}])[^\\W_]"
# Accents are signs of their own that stand behind the letter: h̃ is h_tilde.
_ACCENTS = {"\u0302": "_hat", "\u0303": "_tilde", "\u0304": "_bar", "\u0305": ""}
_TOKEN = re.compile(
    rf"(?P<number>[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?)"
    r"|(?:np|numpy|jnp|torch)\.(?=[a-z])"
    rf"|(?P<name>(?![0-9]){_WORD}[\u0302-\u0304]?(?:_*{_WORD})*(?:_+(?![{{_]))?)"
    r"|(?P<symbol>[ΣΠ𝟏𝟎\u0305]|\*\*|>=|==|:=|\.\.|\.m?T\b|\.(?:transpose|t)\(\)"
    r"|\.(?:dot|matmul)\b|\.[*/^]"
    r"|[-+*/@^=()\[\]{},:|_'∇∂⊙⊗·>√])"
)
_SAME = str.maketrans(
    "−–—‐‑（）［］｛｝，＝＋＊／＠＾：∘∑∏≥ŷ’′＿ℒ⋅∙∗∕⊺≔≜",
    "-----()[]{},=+*/@^:⊙ΣΠ≥ŷ''_L··*/⊤==",
)
_SPELLINGS = {
    "⊙": "*", "·": "@", "'": ".T", "^": "**", "≥": ">=", "==": "=", ":=": "=",
    ".*": "*", "./": "/", ".^": "**", ".mT": ".T", ".transpose()": ".T", ".t()": ".T",
    ".matmul": ".dot",
}  # fmt: skip
_GREEK = {letter: name for name, letter in GREEK.items()} | {"τ": "tau"}


class FormulaSyntaxError(SentenceError):
    """A formula is not written in the notation of equations.

    fix: what may have been meant, in the notation used; "" if that is not known.
    """

    def __init__(
        self, text: str, span: e.Span, text_id: str, fix: str = "", **fields: Any
    ) -> None:
        """Compose the message: the formula, a caret, the problem, the likely fix."""
        self.span = span
        self.fix = fix
        super().__init__(text_id, quote(text, span), **fields)

    def say(self, lang: str) -> str:
        """The message in a language."""
        said = super().say(lang)
        if not self.fix:
            return said
        return f"{said}\n{say(Text('formula.fix', {'advice': self.fix}), lang)}"


def plain_letters(name: str) -> str:
    """A name whose letters are bold or slanted signs of their own, 𝐡 or ℎ, as h."""
    return "".join(
        unicodedata.normalize("NFKC", c) if c == "ℎ" or "𝐀" <= c <= "𝟿" else c
        for c in name
    )


def quote(text: str, span: e.Span) -> str:
    """The formula with carets under a piece of it."""
    line = text.replace("\n", " ")
    return Span(1, line, *span).quote()


def is_latex(text: str) -> bool:
    """Whether a formula is written in LaTeX."""
    return "\\" in text


@dataclass(frozen=True)
class Token:
    """A name, a number, a symbol or the end; from column start to end."""

    kind: str
    text: str
    start: int
    end: int


class FormulaTokens:
    """Tokens that are taken one by one."""

    def __init__(self, text: str, names: OwnNames) -> None:
        """Cut the text; names: those that the cell has, read as they are written."""
        self.text, self.own_names = text, names
        odd = sorted(name for name in names.all_of_them if not name.isascii())
        found = "|".join(map(re.escape, odd)) or "(?!)"  # of no names: nothing
        self._odd = re.compile(rf"(?:grad_|d)?(?:{found})(?!_*{_WORD}|_{{)")
        self.tokens = [*self._split(), Token("end", "", len(text), len(text) + 1)]
        self.at = 0

    def _split(self) -> Iterator[Token]:
        if not isinstance(self.text, str) or not self.text.strip():
            self.fail((0, 1), "formula.empty")
        if len(self.text) > MAX_LENGTH:
            self.fail((MAX_LENGTH, MAX_LENGTH + 1), "formula.long", limit=MAX_LENGTH)
        if is_latex(self.text):
            words = LatexWords(self.text)
            tokens = (Token(*word) for word in words.words())
            found = [t for t in tokens if self._is_read(t)]
            while found and found[-1].text in (",", ".", ";"):
                found.pop()
            yield from found
        else:
            yield from self._plain()

    def _is_read(self, token: Token) -> bool:
        if token.kind == "unknown":
            why, fields = why_unread(token.text, is_latex=True)
            self.fail_at(token, why, **fields)
        return True

    def _plain(self) -> Iterator[Token]:
        text, at = self.text.translate(_SAME), 0
        text = text if len(text) == len(self.text) else self.text
        text = text.rstrip(_CLOSING)
        before: tuple[str, ...] = ("", "")  # the two tokens that stand before
        while at < len(text):
            if text[at].isspace() or unicodedata.category(text[at]) == "Cf":
                at += 1
                continue
            if text[at] in RAISED or text[at] in LOWERED:
                signs = RAISED if text[at] in RAISED else LOWERED
                end = next((i for i in range(at, len(text)) if text[i] not in signs),
                           len(text))  # fmt: skip
                found = self._script_tokens(at, end, signs, before)
            else:
                found, end = self._word(text, at)
            yield from found
            before, at = (*before, *(token.text for token in found))[-2:], end

    def _word(self, text: str, at: int) -> tuple[list[Token], int]:
        """The name, number or sign that stands somewhere, and where it ends."""
        own, match = self._odd.match(text, at), _TOKEN.match(text, at)
        if own:
            return [Token("name", own[0], at, own.end())], own.end()
        if match is None:
            why, fields = why_unread(self.text[at], is_latex=False)
            self.fail((at, at + 1), why, **fields)
        is_read = match.lastgroup is not None
        return [self._token(match)] if is_read else [], match.end()

    @staticmethod
    def _token(match: re.Match[str]) -> Token:
        kind = match.lastgroup or "symbol"
        if match["number"]:
            kind = "number"
        text = match[0]
        if kind == "name":
            text = plain_letters(text).replace("ŷ", "y_hat")
            for accent, word in _ACCENTS.items():
                text = text.replace(accent, word)
            base, stroke, label = text.partition("_")
            text = _GREEK.get(base, base) + stroke + label
        return Token(kind, _SPELLINGS.get(text, text), match.start(), match.end())

    def _script_tokens(
        self, start: int, end: int, signs: dict[str, str], before: tuple[str, ...]
    ) -> list[Token]:
        """A script with its sign and its braces, but for those that stand before it."""
        sign = "**" if signs is RAISED else "_"
        found = []
        for at in range(start, end):
            text = signs[self.text[at].translate(_SAME)]
            kind = (
                "number" if text.isdigit() else "name" if text.isalpha() else "symbol"
            )
            found.append(Token(kind, text, at, at + 1))
        if before == (sign, "{"):
            return found
        opening = [Token("symbol", text, start, start) for text in (sign, "{")]
        opening = opening[before[-1] == sign :]
        return [*opening, *found, Token("symbol", "}", end, end)]

    def fail(
        self, span: e.Span, text_id: str, fix: str = "", **fields: Any
    ) -> NoReturn:
        """Raise FormulaSyntaxError at a place."""
        raise FormulaSyntaxError(self.text, span, text_id, fix, **fields)

    def fail_at(self, token: Token, text_id: str, fix: str = "", **f: Any) -> NoReturn:
        """Raise FormulaSyntaxError at a token."""
        self.fail((token.start, token.end), text_id, fix, **f)

    @property
    def now(self) -> Token:
        """The token that stands here."""
        return self.tokens[self.at]

    def ahead(self, by: int = 1) -> Token:
        """The token that many places further."""
        return self.tokens[min(self.at + by, len(self.tokens) - 1)]

    def take(self) -> Token:
        """Take it."""
        token = self.now
        if token.kind != "end":
            self.at += 1
        return token

    def is_symbol(self, *texts: str) -> bool:
        """Whether one of these symbols stands here."""
        return self.now.kind == "symbol" and self.now.text in texts

    def accept(self, *texts: str) -> Token | None:
        """Take it if it is one of these symbols."""
        return self.take() if self.is_symbol(*texts) else None

    def expect(self, text: str) -> Token:
        """Take this symbol.

        Raises: FormulaSyntaxError if something else stands here.
        """
        token = self.accept(text)
        if token is None:
            if self.now.kind == "end":
                self.fail_at(self.now, "formula.expected-end", wanted=text)
            self.fail_at(self.now, "formula.expected", wanted=text, found=self.now.text)
        return token
