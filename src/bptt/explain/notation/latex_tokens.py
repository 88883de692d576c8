"""LaTeX cut into tokens, and a place in them."""

from __future__ import annotations

import functools
import re
import unicodedata

_TOKEN = re.compile(r"\\left|\\right|\\[A-Za-z]+|\\.|\d+(?:\.\d+)?|[^\s]")

GREEK = frozenset((
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "kappa",
    "lambda", "mu", "nu", "xi", "pi", "rho", "sigma", "phi", "chi", "psi", "omega",
    "Gamma", "Delta", "Theta", "Lambda", "Xi", "Phi", "Psi", "Omega", "Sigma", "Pi",
    "varepsilon", "varphi", "vartheta",
))  # fmt: skip


class LatexReadError(ValueError):
    """The emitted LaTeX is not a formula that can be read back: a bug of a printer."""


class LatexTokens:
    """Tokens that are taken one by one."""

    def __init__(self, latex: str) -> None:
        """Cut the text."""
        self._latex = latex
        self._tokens: list[str] = [*_TOKEN.findall(latex), ""]
        self._last = len(self._tokens) - 1
        self.at = 0

    def peek(self, ahead: int = 0) -> str:
        """The token that is `ahead` places further; "" at the end."""
        at = self.at + ahead
        return self._tokens[at] if at < self._last else ""

    def next(self) -> str:
        """Take the next token."""
        token = self.peek()
        self.at += 1
        return token

    def skip(self, *tokens: str) -> bool:
        """Take these tokens if they stand here."""
        for i, token in enumerate(tokens):
            if self.peek(i) != token:
                return False
        self.at += len(tokens)
        return True

    def need(self, *tokens: str) -> None:
        """Take these tokens.

        Raises: LatexReadError if something else stands here.
        """
        if not self.skip(*tokens):
            raise self.error(f"expected {' '.join(tokens)}")

    def allow(self, token: str, *tokens: str) -> None:
        """Make sure that a token is one of these.

        Raises: LatexReadError.
        """
        if token not in tokens:
            raise self.error(f"{token!r} is none of {' '.join(tokens)}")

    def skip_font(self) -> bool:
        """Take the font of a word if one stands here."""
        return self.skip(r"\mathrm") or self.skip(r"\text")

    def letters_in_braces(self) -> str:
        """Take a word in braces; of a macro its name."""
        self.need("{")
        text = ""
        while not self.skip("}"):
            text += self.next().removeprefix("\\")
        return text

    def error(self, problem: str) -> LatexReadError:
        """The error to raise here."""
        rest = " ".join(self._tokens[self.at : self.at + 6])
        return LatexReadError(f"{problem} before {rest!r} in {self._latex}")

    def need_end(self) -> None:
        """Make sure that nothing is left.

        Raises: LatexReadError.
        """
        if self.peek():
            raise self.error("nothing more expected")


@functools.lru_cache(maxsize=1024)  # every formula of a page reads the same names
def in_words(name: str) -> str:
    """A name whose Greek letters are words, as in LaTeX; by their Unicode names."""
    found = ""
    for sign in name:
        official = unicodedata.name(sign, "").replace("LAMDA", "LAMBDA").split()
        words = [w.lower() for w in official if w.lower() in GREEK]
        is_capital = "CAPITAL" in official
        greek = words[0].capitalize() if words and is_capital else "".join(words[:1])
        found += greek if "GREEK" in official and greek else sign
    return found.replace("var", "")
