"""Signs that are not read, each with the sentence that says what to write for it."""

from __future__ import annotations

import unicodedata

# The kind of sentence, the signs, what to write instead; the same in LaTeX.
_KINDS = (
    ("times", "× ✕ ⨯ ∧", "*", r"\times", r"\odot"),
    ("divided", "÷", "u / v", r"\div", r"\frac{u}{v}"),
    ("transposed", "† ‡", "A.T", r"\dagger \dag", r"A^\top"),
    ("equal", "≈ ≡ ≃ ≅ ∼ ∝ → ← ⇒ ↦ ≠", "=",
     r"\approx \equiv \simeq \cong \sim \propto \to \rightarrow \mapsto \ne \neq", "="),
    ("compared", "< ≤ ≦ ⩽", "u > v", r"< \lt \le \leq \leqslant", "u > v"),
    ("summed", "∫ ∮", "sum(t, 1, tau, u)", r"\int \oint", r"\sum_{t=1}^{\tau} u"),
)  # fmt: skip
UNREAD = {
    sign: (f"formula.sign.{kind}", way)
    for kind, signs, way, macros, way_in_latex in _KINDS
    for listed, way in ((signs, way), (macros, way_in_latex))
    for sign in listed.split()
}


def why_unread(found: str, *, is_latex: bool) -> tuple[str, dict[str, str]]:
    """The id of what is said of a sign that is not read, and its fields."""
    other = "formula.macro" if is_latex else "formula.character"
    text_id, way = UNREAD.get(found, (other, ""))
    is_seen = found.isprintable() and unicodedata.category(found[0])[0] != "M"
    shown = found if is_seen else f"U+{ord(found[0]):04X}"
    return text_id, {"found": shown, "way": way}
