"""Equations beyond one step: delays, starts, what is after or across time, indices."""

from __future__ import annotations

import random
import re
from dataclasses import replace

from tests.fuzz.case import Equation
from tests.fuzz.grammar import Writer

OF_A_PLACE = ("tanh({0})", "sigmoid({0})", "sin({0})", "{0}")
ACROSS = ("sum(t, {0})", "mean(t, {0})", "max(t, {0})")


def delayed(rng: random.Random, written: list[Equation]) -> list[Equation]:
    """In one case of four, some reads of another step reach two or three steps."""
    if rng.random() > 0.25:
        return written

    def further(found: re.Match[str]) -> str:
        distance = rng.choice((1, 1, 2, 3))
        return f"[t{found[1]}{distance}"

    # Of a whole number the language reads the step before or after alone.
    reads = r"(?<!\bk_\w)\[t([+-])1"
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
        if equation.at != "[t]" or not way or f"{name}[t{way:+d}]" not in str(written):
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
    w.names.kinds["out"], shapes["out"] = "node", (q,)
    w.names.kinds["L"], shapes["L"] = "node", ()
    losses = [
        f"nll(softmax(out), {w.static_class(q)})",
        f"mse(out, {w.static_input((q,))})",
        "sum(tanh(out))",
    ]
    return [Equation("out", " + ".join(terms), ""), Equation("L", w.pick(losses), "")]


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
