"""Formulas that a reader may type, by cell and by what is to be said of them.

In `formulas/CELL.txt`: right, wrong, misshapen (the shapes do not fit), or refused (it
is not read, or names what the cell has not).
"""

from pathlib import Path

import bptt

FILES = Path(__file__).parent / "formulas"
PEEPHOLE = """
    i[t] = sigmoid(b_i + W_i @ h[t-1] + U_i @ x[t] + p_i * s[t-1])
    f[t] = sigmoid(b_f + W_f @ h[t-1] + U_f @ x[t] + p_f * s[t-1])
    g[t] = tanh(b_g + W_g @ h[t-1] + U_g @ x[t])
    s[t] = f[t] * s[t-1] + i[t] * g[t]
    q[t] = sigmoid(b_q + W_q @ h[t-1] + U_q @ x[t] + p_q * s[t])
    h[t] = q[t] * tanh(s[t])
    o[t] = V @ h[t] + c
    L[t] = mse(o[t], y[t])
    """
CELLS = {
    "book": bptt.cells.book, "elman": bptt.cells.elman, "gru": bptt.cells.gru,
    "lstm": bptt.cells.lstm, "peephole": bptt.Cell(PEEPHOLE),
}  # fmt: skip
STATUS = {"right": "right", "wrong": "wrong", "misshapen": "shapes do not fit"}


def table(name):
    """[(kind, formula)] of a cell."""
    found, kind = [], ""
    for line in (FILES / f"{name}.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("[") and line.endswith("]"):
            kind = line.strip("[]")
        elif line.strip():
            found.append((kind, line))
    return found


EVERY = [(name, kind, text) for name in CELLS for kind, text in table(name)]
