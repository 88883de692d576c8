"""The NumPy code beside the cards, run line by line on the numbers that are shown."""

from __future__ import annotations

import numpy as np
import pytest

from bptt.explain.algebra.point import UnknownSymbolError
from tests.explain.documents import explained

CELLS = ["book", "lstm", "gru", "elman_layer_norm", "layer norm", "soft targets",
         "a size that is a sum"]  # fmt: skip


def namespace(point):
    """Every value as columns by step, room for every gradient, and every Jacobian."""
    scope, steps = point.scope, range(point.tau + 1)
    found = {"np": np, "tau": point.tau, "w": {}, **point.sizes}
    found["w"] = {t: point.weights[t - 1] for t in steps[1:]}
    for name in scope.names:
        if scope.kind(name) == "parameter":
            value = point.value(name, None)
            found[name] = value if scope.core(name) else float(value[0, 0])
            found[f"grad_{name}"] = {}
            continue
        found[name] = {}
        for t in steps:
            try:
                found[name][t] = point.value(name, t)
            except UnknownSymbolError:  # of no state there is a step 0
                continue
        if scope.is_integer(name):
            found[name] = {t: int(v[0, 0]) for t, v in found[name].items()}
        found[f"grad_{name}"] = {}
        found[f"seed_{name}"] = {
            t: np.reshape(g, (-1, 1))
            for t, g in enumerate(point.seeds.get(name, ()), 1)
        }
    return found


@pytest.mark.parametrize("name", CELLS)
def test_the_code_beside_the_cards_gives_the_gradients(name):
    document = explained(name, tau=3).document
    point, found = document.shown, namespace(document.shown)
    if name == "book":
        found |= {"dh_da": {}, "do_dh": {}, "dh_dh": {}, "do_dc": {}}
        for t in range(1, 4):
            found["do_dh"][t] = point.jacobian(("o", t), ("h", t))
        for t in range(2, 4):
            found["dh_dh"][t] = point.jacobian(("h", t), ("h", t - 1))
    cards = [c for c in document.cards if c.code]
    recursion = [c for c in cards if c.node and c.phase in ("loss", "nodes")]
    for t in range(3, 0, -1):
        for card in recursion:  # a step of the recursion needs all of the one after
            for line in steps_of(card.code, t, 3):
                exec(line, found, {"t": t})  # noqa: S102
    later = [c for c in cards if c not in recursion and c.id != "a-split"]
    for card in later:
        if card.id == "copies":
            found["grad_W"] = {t: point.gradient("W", t) for t in range(1, 4)}
        for block in blocks(card.code):
            exec(block, found)  # noqa: S102
            if block.startswith("grad_"):
                check(found, block.split(" = ")[0], point)
    checked = [n for n in point.scope.graph.parameters
               if isinstance(found[f"grad_{n}"], np.ndarray)]  # fmt: skip
    assert set(checked) == set(point.scope.graph.parameters)
    for node in point.scope.graph.definitions:
        for t, value in found[f"grad_{node}"].items():
            assert value == pytest.approx(point.gradient(node, t), abs=1e-13)


def check(found, left, point):
    name, _, step = left.removeprefix("grad_").partition("[")
    t = int(step.removesuffix("]")) if step else None
    value = found[f"grad_{name}"] if t is None else found[f"grad_{name}"][t]
    assert value == pytest.approx(point.gradient(name, t), abs=1e-13)


def blocks(code):
    """Loops with their body, and single lines."""
    found = []
    for line in code.splitlines():
        if line.startswith(" "):
            found[-1] += "\n" + line
        else:
            found.append(line)
    return found


def steps_of(code, t, tau):
    """The lines of a card that are for step t."""
    for block in blocks(code):
        head, _, body = block.partition("\n")
        if not body:
            is_last = "[tau] = " in head
            if (is_last and t == tau) or not head.startswith("grad_"):
                yield head
            continue
        steps = eval(head.removeprefix("for t in ").rstrip(":"), {"tau": tau})  # noqa: S307
        if t in steps:
            yield body.strip()


def test_every_card_of_the_books_network_has_its_line():
    cards = explained("book", tau=4).document.cards
    lines = {card.id: card.code for card in cards}
    assert all(lines.values())
    assert lines["10.21"] == (
        "for t in range(tau - 1, 0, -1):\n"
        "    grad_h[t] = W.T @ np.diagflat(1 - h[t+1]**2) @ grad_h[t+1]"
        " + V.T @ grad_o[t]"
    )
    assert lines["10.18"].endswith("grad_o[t] = y_hat[t] - np.eye(n_o)[:, [y[t]]]")
    assert lines["tanh"].endswith("dh_da[t] = np.diagflat(1 - h[t]**2)")
    assert lines["a-split"].startswith(
        "for t in range(1, tau + 1):\n    h[t] = np.tanh("
    )
