"""Greek letters and their words: σ is sigma, and a cell may use either for a name."""

from __future__ import annotations

from collections.abc import Iterable

GREEK = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ϵ", "zeta": "ζ",
    "eta": "η", "theta": "θ", "kappa": "κ", "lambda": "λ", "mu": "μ", "nu": "ν",
    "xi": "ξ", "pi": "π", "rho": "ρ", "sigma": "σ", "phi": "ϕ", "chi": "χ", "psi": "ψ",
    "omega": "ω", "Gamma": "Γ", "Delta": "Δ", "Theta": "Θ", "Lambda": "Λ", "Xi": "Ξ",
    "Phi": "Φ", "Psi": "Ψ", "Omega": "Ω", "varepsilon": "ε", "varphi": "φ",
    "vartheta": "ϑ",
}  # fmt: skip
# As a letter these two are signs, of a sum and a product; their words stay words.
MACROS = {letter: word for word, letter in GREEK.items()} | {"Σ": "Sigma", "Π": "Pi"}
_WORDS = {letter: word.removeprefix("var") for letter, word in MACROS.items()}


def spelt(name: str) -> str:
    """A name with its Greek letters as words; what two ways to write it share."""
    return "".join(_WORDS.get(sign, sign) for sign in name).replace("var", "")


class OwnNames:
    """The names of a cell, found however a Greek letter in them is written."""

    def __init__(self, names: Iterable[str]) -> None:
        """Index the names by their spelling."""
        self.all_of_them = frozenset(names)
        self._by_spelling = {spelt(name): name for name in sorted(self.all_of_them)}

    def own(self, name: str) -> str:
        """The cell's own name for what is written; what is written if it has none."""
        if name in self.all_of_them:
            return name
        return self._by_spelling.get(spelt(name), name)
