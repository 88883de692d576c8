"""Equations beyond one step: delays, starts, what is after or across time, indices."""

from __future__ import annotations

import random
import re
from dataclasses import replace

from tests.fuzz.case import Equation
from tests.fuzz.grammar import Writer

# What an inner step makes of r, where {0} is the place before and {1} what comes in.
OF_A_STEP = (
    "tanh(B_r[l] @ {0} + where(l == 1, {1}, 0))",
    "{0} + 0.5 * sin(B_r[l] @ {0}) + 0.1 * {1}",
    "g[t, l] * tanh(B_r[l] @ {0} + {1}) + (1 - g[t, l]) * {0}",
    "a_r[l] * {0} + tanh(g[t, l] * {1})",
)
OF_A_PLACE = ("tanh({0})", "sigmoid({0})", "sin({0})", "{0}")
ACROSS = ("sum(t, {0})", "mean(t, {0})", "max(t, {0})", "min(t, {0})")


def delayed(rng: random.Random, written: list[Equation]) -> list[Equation]:
    """In one case of four, some reads of another step reach two or three steps."""
    if rng.random() > 0.25:
        return written

    def further(found: re.Match[str]) -> str:
        distance = rng.choice((1, 1, 2, 3))
        return f"[t{found[1]}{distance}"

    reads = r"\[t([+-])1"
    return [replace(equation, right=re.sub(reads, further, equation.right))
            for equation in written]  # fmt: skip


def starts(w: Writer, written: list[Equation]) -> list[Equation]:
    """In one case of five, equations of where loops start."""
    if not w.chance(0.2):
        return []
    found = []
    for equation in written:
        name = equation.name
        way = w.names.ways.get(name, 0)
        if (
            equation.at != "[t]"
            or w.names.kinds[name] == "choice"
            or not way
            or f"{name}[t{way:+d}]" not in str(written)
        ):
            continue
        if w.chance(0.6):
            shape = w.names.shapes[name]
            text = (
                w.fixed(shape, 1) if w.chance(0.5) else f"tanh({w.static_input(shape)})"
            )
            found.append(Equation(name, text, "[0]" if way < 0 else "[tau+1]"))
    return found


def after_time(w: Writer) -> list[Equation]:
    """A loss of a whole row, of what is after the last step or across all steps."""
    shapes = w.names.shapes
    vectors = [name for name in w.now if len(shapes[name]) == 1]
    if not vectors:
        return []
    q = w.dim()
    terms = [w.parameter((q,))]
    for _ in range(w.pick((1, 2, 3))):
        name = w.pick(vectors)
        matrix = w.parameter((q, *shapes[name]))
        score = f"softmax(t, dot({w.parameter(shapes[name])}, {name}[t]))"
        across = w.pick(ACROSS).format(f"{name}[t] * {w.parameter(())}")
        form = w.pick(
            (
                f"{name}[tau]",
                f"{name}[tau]",
                across,
                f"sum(t, {score} * {name}[t])",
                w.static_input(shapes[name]),
            )
        )
        terms.append(f"{matrix} @ {form}")
    found = _at_the_end(w, w.pick(vectors), terms, q) if w.chance(0.3) else []
    w.names.kinds["out"], shapes["out"] = "node", (q,)
    w.names.kinds["L"], shapes["L"] = "node", ()
    losses = [
        f"nll(softmax(out), {w.static_class(q)})",
        f"mse(out, {w.static_input((q,))})",
        "sum(tanh(out))",
    ]
    out = Equation("out", " + ".join(terms), "")
    return [*found, out, Equation("L", w.pick(losses), "")]


def _at_the_end(w: Writer, name: str, terms: list[str], q: str) -> list[Equation]:
    """A value for every place after the last step, and a term that sums over them."""
    shapes, kinds = w.names.shapes, w.names.kinds
    shapes["g_end"], kinds["g_end"] = ("n_j", q), "node"
    shapes["B_end"], kinds["B_end"] = ("n_j", q, *shapes[name]), "parameter"
    terms.append(w.pick(("sum(j, g_end[j])", "mean(j, sin(g_end[j]))")))
    read = w.pick((f"{name}[tau]", f"sum(t, {name}[t])"))
    return [Equation("g_end", f"tanh(B_end[j] @ {read})", "[j]")]


def indexed(w: Writer) -> list[Equation]:
    """A value for every place of an index, and one that sums over the places."""
    p, q = w.dim(), w.dim()
    shapes, kinds = w.names.shapes, w.names.kinds
    read = (
        w.input((q,)) if w.chance(0.5) or not w.nodes((q,)) else w.pick(w.nodes((q,)))
    )
    for name, shape, kind in (
        ("C", ("n_j", p), "node"), ("A", ("n_j", p, q), "parameter"),
        ("a", ("n_j", p), "parameter"), ("B", ("n_j", p, p), "parameter"),
        ("c", (p,), "node"),
    ):  # fmt: skip
        shapes[name], kinds[name] = shape, kind
    way = w.pick((-1, -1, 1))
    again = w.pick(
        (f"0.5 * C[t{way:+d}, j]", f"B[j] @ C[t{way:+d}, j]", f"a[j] * C[t{way:+d}, j]")
    )
    text = w.pick(OF_A_PLACE).format(f"A[j] @ {read} + 0.4 * {again}")
    over = w.pick(
        (
            "sum(j, C[t, j])",
            "mean(j, a[j] * C[t, j])",
            "sum(j, softmax(j, dot(a[j], C[t, j])) * C[t, j])",
            f"sum(j, (B[j] @ C[t, j]) * {w.parameter((p,))})",
        )
    )
    w.now.append("c")
    w.names.ways |= {"C": way, "c": way}
    used = text + over
    for name in ("A", "a", "B"):
        if f"{name}[j]" not in used:
            del shapes[name], kinds[name]
    return [Equation("C", text, "[t, j]"), Equation("c", over)]


def chosen_by_itself(w: Writer) -> list[Equation]:
    """A loop through what the network said itself: a class chosen or drawn at t-1."""
    p, q = w.dim(), w.dim()
    shapes, kinds = w.names.shapes, w.names.kinds
    way = w.pick((-1, -1, 1))
    shapes["fed"], kinds["fed"] = (p,), "node"
    shapes["kk"], kinds["kk"] = (), "choice"
    w.names.ways |= {"fed": way, "kk": way}
    w.lagged = []
    first = f"{w.parameter((p, q))}[:, kk[t{way:+d}]] + {w.expression((p,), 1)}"
    w.now.append("fed")
    logits = f"{w.parameter((q, p))} @ fed[t] + {w.leaf((q,))}"
    u = w.target(())
    said = w.pick((f"argmax({logits})", f"sample(softmax({logits}), {u})"))
    return [Equation("fed", f"tanh({first})"), Equation("kk", said)]


def inner_steps(w: Writer) -> list[Equation]:
    """A value that some steps within a step change, from a start at the first."""
    p, count = w.dim(), inner_count(w) or w.pick(("2", "3"))
    way, is_up = w.pick((-1, -1, 1)), w.chance(0.7)
    shapes, kinds = w.names.shapes, w.names.kinds
    start, end = ("0", count) if is_up else (str(int(count) + 1), "1")
    before = f"r[t, l{'-' if is_up else '+'}1]"
    own = f"r[t{way:+d}, {end}]"
    entry = w.pick((own, f"0.7 * {own} + {w.leaf((p,))}", w.expression((p,), 1)))
    step = w.pick(OF_A_STEP).format(before, w.leaf((p,)))
    gate = f"sigmoid(B_g[l] @ {before} + {w.leaf((p,))})"
    found = [Equation("r", entry, f"[t, {start}]")]
    found += [Equation("g", gate, "[t, l]")] if "g[t" in step else []
    over = w.pick((f"r[t, {end}]", "sum(l, r[t, l])", "mean(l, a_r[l] * r[t, l])"))
    found += [Equation("r", step, "[t, l]"), Equation("turned", over)]
    text = "".join(map(str, found))
    for name, shape, kind in (
        ("r", (count, p), "node"), ("g", (count, p), "node"), ("turned", (p,), "node"),
        ("B_r", (count, p, p), "parameter"), ("B_g", (count, p, p), "parameter"),
        ("a_r", (count, p), "parameter"),
    ):  # fmt: skip
        if f"{name}[" in text:
            shapes[name], kinds[name] = shape, kind
    w.now.append("turned")
    w.names.ways |= {"r": way, "turned": way}
    return found


def inner_count(w: Writer) -> str:
    """The number of inner steps, where some name has them already."""
    shapes = w.names.shapes
    return next((shapes[name][0] for name in ("r", "m") if name in shapes), "")


def held(w: Writer) -> list[Equation]:
    """Values at every place without a step: of parameters, of a row, of an encoder."""
    p, q, r = w.dim(), w.dim(), w.dim()
    shapes, kinds = w.names.shapes, w.names.kinds
    count = inner_count(w) or w.pick(("2", "3"))
    is_up = w.chance(0.7)
    start, end = ("0", count) if is_up else (str(int(count) + 1), "1")
    before = f"m[l{'-' if is_up else '+'}1]"
    given = f"{w.parameter((p, r))} @ {w.static_input((r,))}"
    entry = w.pick((f"tanh({given})", w.fixed((p,), 1)))
    turn = w.pick((f"tanh(B_m[l] @ {before})", f"a_m[l] * {before} + 0.1 * {given}"))
    of_row = w.pick(
        (f"tanh(B_e[j] @ {w.static_input((q,))})", f"sin(a_e[j] + {given})")
    )
    found = [
        Equation("P", w.pick(OF_A_PLACE).format("a_P[j]"), "[j]"),
        Equation("e", of_row, "[j]"),
        Equation("m", entry, f"[{start}]"),
        Equation("m", turn, "[l]"),
    ]
    over = w.pick((
        "sum(j, P[j] * e[j])",
        f"m[{end}] + sum(j, a_P[j] * e[j])",
        "mean(j, e[j]) * sum(l, m[l]) + sum(j, P[j])",
        f"sum(j, softmax(j, dot(P[j], m[{end}])) * P[j]) + sum(j, e[j])",
        f"tanh({w.leaf((p,))} + m[{end}]) + sum(j, e[j] * P[j])",
    ))  # fmt: skip
    text = over + "".join(map(str, found))
    for name, shape, kind in (
        ("P", ("n_j", p), "short"), ("e", ("n_j", p), "node"),
        ("m", (count, p), "node"),
        ("a_P", ("n_j", p), "parameter"), ("a_e", ("n_j", p), "parameter"),
        ("B_e", ("n_j", p, q), "parameter"), ("B_m", (count, p, p), "parameter"),
        ("a_m", (count, p), "parameter"), ("kept", (p,), "node"),
    ):  # fmt: skip
        if f"{name}[" in text or name == "kept":
            shapes[name], kinds[name] = shape, kind
    w.now.append("kept")
    w.names.ways["kept"] = w.pick((-1, 1))
    return [*found, Equation("kept", over)]


def both_losses(w: Writer, loss: str) -> list[Equation]:
    """A loss of each step beside one of the whole row."""
    vectors = [name for name in w.now if len(w.names.shapes[name]) == 1]
    found = [Equation("L", loss)]
    if vectors and w.chance(0.25):
        name = w.pick(vectors)
        q = w.dim()
        shape = w.names.shapes[name]
        o = f"{w.parameter((q, *shape))} @ {name}[tau]"
        forms = (f"nll(softmax({o}), {w.static_class(q)})", f"sum(sin({o}))",
                 f"sum(t, dot({w.parameter(shape)}, {name}[t]))")  # fmt: skip
        found.append(Equation("L", w.pick(forms), ""))
    return found
