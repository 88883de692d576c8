r"""A reader's LaTeX cut into the words of a formula: \frac, \nabla, names, scripts.

What only sets the type (\left, \big, \, &, environments, \tag) is left out; \mathrm,
\text and \operatorname name a function or a label; \hat{y} is the name y_hat. This is
for what a person writes; `read_latex` reads what the printers emit, and shares nothing
with them or with this.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from bptt.explain.notation.greek import MACROS

Word = tuple[str, str, int, int]  # kind, text, start, end
_PIECE = re.compile(
    r"\\(?:left|right)\s*\||\\[A-Za-z]+\*?|\\.|\d+(?:\.\d+)?|\S", re.DOTALL
)
_SILENT = frozenset((
    r"\left", r"\right", r"\big", r"\Big", r"\bigg", r"\Bigg", r"\bigl", r"\bigr",
    r"\Bigl", r"\Bigr", r"\biggl", r"\biggr", r"\Biggl", r"\Biggr", r"\,", r"\;", r"\:",
    r"\!", r"\ ", r"\quad", r"\qquad", r"\\", "&", "~", "$", r"\[", r"\]", r"\limits",
    r"\nolimits", r"\displaystyle", r"\textstyle", r"\cdot", r"\nonumber", r"\notag",
    r"\mathstrut", r"\!",
))  # fmt: skip
_SIGNS = {
    r"\partial": "∂", r"\nabla": "∇", r"\sum": "Σ", r"\prod": "Π", r"\frac": "frac",
    r"\dfrac": "frac", r"\tfrac": "frac", r"\odot": "*", r"\circ": "*", r"\otimes": "⊗",
    r"\top": "⊤",
    r"\intercal": "⊤", r"\ge": ">=", r"\geq": ">=", r"\overline": "overline",
    r"\sqrt": "√", r"\{": "(", r"\}": ")", r"\lbrack": "[", r"\rbrack": "]",
    r"\prime": ".T", "^": "**", "'": ".T", "−": "-", "（": "(", "）": ")", "，": ",",
    r"\dots": "…", r"\ldots": "…", r"\cdots": "…",
    "=": "=", "⊙": "*", "∘": "*", "⊗": "⊗", "∑": "Σ", "∏": "Π", "⊤": "⊤", "≥": ">=",
    r"\ast": "*", r"\mid": "|", r"\lvert": "|", r"\rvert": "|",
}  # fmt: skip
_NAMES = frozenset((
    *MACROS.values(), "tau", "tanh", "sin", "cos", "exp", "log", "max", "min",
))  # fmt: skip
_FONTS = frozenset((
    r"\mathrm", r"\text", r"\textrm", r"\operatorname", r"\operatorname*", r"\mathit",
    r"\mathbf", r"\boldsymbol", r"\bm", r"\mathsf", r"\textbf", r"\mathcal",
    r"\mathbb",
))  # fmt: skip
_ACCENTS = frozenset((r"\hat", r"\widehat", r"\tilde", r"\widetilde", r"\bar"))
_BOLD_FONTS = frozenset((r"\mathbf", r"\boldsymbol", r"\bm", r"\textbf", r"\mathbb"))
_BOLD = {"1": "𝟏", "I": "𝐈", "e": "𝐞", "0": "𝟎"}
_ARGUMENTS = frozenset((r"\begin", r"\end", r"\tag", r"\label"))


class LatexWords:
    """Walks through the pieces of a formula in LaTeX."""

    def __init__(self, text: str) -> None:
        """Cut the text."""
        self._pieces = [(m[0], m.start(), m.end()) for m in _PIECE.finditer(text)]
        self._at = 0

    def words(self) -> Iterator[Word]:
        """The words; what is not known is of the kind "unknown"."""
        while self._at < len(self._pieces):
            piece, start, end = self._pieces[self._at]
            self._at += 1
            if piece in _SILENT or unicodedata.category(piece[0]) == "Cf":
                continue
            if piece in _ARGUMENTS:
                self._braced()
            elif piece in _ACCENTS:
                name, end = self._argument(end)
                accent = piece[1:].removeprefix("wide")
                yield "name", f"{name}_{accent}", start, end
            elif piece in _FONTS:
                yield self._in_font(piece, start, end)
            else:
                yield self._plain(piece, start, end)

    def _plain(self, piece: str, start: int, end: int) -> Word:
        if piece.endswith("|") and piece != "|":
            return "symbol", "|(" if "left" in piece else ")|", start, end
        if piece in _SIGNS:
            return "symbol", _SIGNS[piece], start, end
        if piece.startswith("\\"):
            name = piece[1:]
            return "name" if name in _NAMES else "unknown", (
                name if name in _NAMES else piece
            ), start, end  # fmt: skip
        if piece[0].isdigit():
            return "number", piece, start, end
        if piece.isalpha():
            return "name", {"ŷ": "y_hat", "τ": "tau"}.get(piece, piece), start, end
        known = piece in "+-*/@()[]{},:|_>.;∇∂"
        return "symbol" if known else "unknown", piece, start, end

    def _in_font(self, font: str, start: int, end: int) -> Word:
        name, end = self._argument(end)
        if font == r"\mathrm" and name == "d":
            return "symbol", "d", start, end  # of a derivative, whatever d is elsewhere
        if font in _BOLD_FONTS and name in _BOLD and self._next() == "_":
            return "symbol", _BOLD[name], start, end
        if name.isdigit():
            return "number", name, start, end
        return "name", name, start, end

    def _next(self) -> str:
        return self._pieces[self._at][0] if self._at < len(self._pieces) else ""

    def _argument(self, end: int) -> tuple[str, int]:
        """The text of one argument, in braces or a single piece, and its end."""
        if self._next() in _FONTS:
            self._at += 1
            return self._argument(end)
        if self._next() == "{":
            return self._braced()
        if self._at == len(self._pieces):
            return "", end
        piece, _, end = self._pieces[self._at]
        self._at += 1
        return piece.removeprefix("\\"), end

    def _braced(self) -> tuple[str, int]:
        text, depth, end = "", 0, 0
        while self._at < len(self._pieces):
            piece, _, end = self._pieces[self._at]
            self._at += 1
            depth += {"{": 1, "}": -1}.get(piece, 0)
            if depth == 0:
                break
            if piece in _FONTS:
                text += self._argument(end)[0]
            elif piece in _ACCENTS:
                text += f"{self._argument(end)[0]}_{piece[1:].removeprefix('wide')}"
            elif piece != "{" or depth > 1:
                text += piece.removeprefix("\\")
        return text, end
