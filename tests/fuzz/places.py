"""Equations with indices: two at once, other places, numbers, steps and elements."""

from __future__ import annotations

from tests.fuzz.case import Equation
from tests.fuzz.grammar import Dims, Writer

SQUASHES = ("tanh({0})", "sin({0})", "{0}")
# Where else along an index a value is read; outside it is 0, or the other end.
ELSEWHERE = ("j", "j-1", "j+1", "wrap(j-1)", "wrap(j+1)", "1", "4-j")
# A lower-case name with an index is a vector at every place, unless it is declared.
NUMBERS_AT_PLACES = ("a_k", "f_i")
OVER = ("sum", "mean", "prod", "logsumexp", "max", "min")
OF_PLACES = (
    "cumsum(j, N[t, j])", "softmax(j, N[t, j])", "log_softmax(j, N[t, j])",
    "N[t, j] * j / n_j", "where(j > 1, N[t, j], 0.3 * N[t, wrap(j-1)])",
)  # fmt: skip


def _name(w: Writer, text: str, *known: tuple[str, Dims, str]) -> None:
    """Enter the names that a text reads or defines."""
    for name, shape, kind in known:
        if f"{name}[" in text or kind == "node":
            w.names.shapes[name], w.names.kinds[name] = shape, kind


def two_indices(w: Writer) -> list[Equation]:
    """A vector for every pair of places."""
    p, q, way = w.dim(), w.dim(), w.pick((-1, -1, 1))
    other = w.pick((*ELSEWHERE, "i"))
    pair = "j, i" if other == "i" else f"i, {other}"
    before = f"D[t{way:+d}, {pair}]"
    w.names.indices["i"] = "n_j" if other == "i" else "n_i"
    text = w.pick(SQUASHES).format(
        f"e_ij[i, j] * (F[j] @ {_vector(w, q)}) + 0.4 * {before}"
    )
    over = w.pick((
        "sum(i, sum(j, D[t, i, j]))",
        "sum(i, mean(j, D[t, i, j]) * f_i[i])",
        "sum(i, softmax(i, dot(f_j[i], D[t, i, 1])) * D[t, i, 1])",
        "mean(j, sum(i, e_ij[i, j] * D[t, i, wrap(j+1)]))",
    ))  # fmt: skip
    size = w.names.indices["i"]
    _name(
        w, text + over, ("D", (size, "n_j", p), "node"), ("turn", (p,), "node"),
        ("e_ij", (size, "n_j"), "parameter"), ("F", ("n_j", p, q), "parameter"),
        ("f_i", (size,), "parameter"), ("f_j", (size, p), "parameter"),
    )  # fmt: skip
    w.names.ways |= {"D": way, "turn": way}
    w.now.append("turn")
    return [Equation("D", text, "[t, i, j]"), Equation("turn", over)]


def numbers(w: Writer) -> list[Equation]:
    """A number for every place, and what runs along the places."""
    q, way = w.dim(), w.pick((-1, -1, 1))
    before = f"N[t{way:+d}, {w.pick(ELSEWHERE)}]"
    inside = f"dot(g_N[j], {_vector(w, q)})"
    if w.chance(0.3):
        inside = f"g_k[j, {w.index(q)}]"
    text = w.pick(SQUASHES).format(f"{inside} + 0.3 * {before}")
    after = w.pick(OF_PLACES)
    over = f"{w.pick(OVER)}(j, M[t, j])"
    _name(
        w, text + after + over, ("N", ("n_j",), "node"), ("M", ("n_j",), "node"),
        ("many", (), "node"), ("g_N", ("n_j", q), "parameter"),
        ("g_k", ("n_j", q), "parameter"),
    )  # fmt: skip
    w.names.ways |= {"N": way, "M": way, "many": way}
    w.now.append("many")
    return [Equation("N", text, "[t, j]"), Equation("M", after, "[t, j]"),
            Equation("many", over)]  # fmt: skip


def taps(w: Writer) -> list[Equation]:
    """A sum over some steps of a value: of a node that stands, or of an input."""
    p = w.dim()
    known = [n for n in w.now if w.names.shapes[n] == (p,) and n in w.names.ways]
    name = w.pick(known) if known and w.chance(0.7) else w.input((p,)).partition("[")[0]
    sign = "-" if w.names.ways[name] < 0 else "+"
    w.names.indices["k"] = w.pick(("2", "3"))
    text = f"sum(k, a_k[k] * {name}[t{sign}k]) + {name}[t]"
    shape = (w.names.indices["k"],)
    _name(w, text, ("a_k", shape, "parameter"), ("tapped", (p,), "node"))
    w.names.ways["tapped"] = w.pick((-1, 1))
    w.now.append("tapped")
    return [Equation("tapped", w.pick(SQUASHES).format(text))]


def elements(w: Writer) -> list[Equation]:
    """A vector's elements one by one, and numbers for each of them."""
    p, q = w.pick(w.plain_dims), w.dim()
    read = _vector(w, p).partition("[")[0]
    w.names.indices["d"] = p
    text = w.pick((
        f"sum(d, {read}[t, d] * V_d[d])",
        f"sum(d, tanh({read}[t, d] + {read}[t, d+1]) * V_d[d])",
        f"{read}[t, 1] * sum(d, V_d[d] * d)",
    ))  # fmt: skip
    _name(w, text, ("V_d", (p, q), "parameter"), ("made", (q,), "node"))
    w.names.ways["made"] = w.pick((-1, 1))
    w.now.append("made")
    return [Equation("made", f"{text} + 0 * sum({read}[t])")]


def _vector(w: Writer, dim: str) -> str:
    """An input or a node of this step."""
    known = [read for read in w.nodes((dim,)) if read.endswith("[t]")]
    if known and w.chance(0.6):
        return w.pick(known)
    return w.input((dim,)).partition("[")[0] + "[t]"
