"""The cell run again on the page, on numbers that the reader turns."""

from __future__ import annotations

import numpy as np
import pytest

import bptt
from tests.explain.user_cells import USER_CELLS

PLAYED = """(wish) => {
  const found = B.runAgain(wish), world = found.world, values = {};
  for (const [name, entry] of Object.entries(world.places)) {
    const size = entry.shape.reduce((a, b) => a * b, 1);
    const take = (at) => Array.from(world.exact.subarray(at, at + size));
    const all = (key) => Object.fromEntries(
      Object.entries(entry[key]).map(([t, at]) => [t, take(at)]));
    values[name] = { shape: entry.shape, v: all("v"), s: all("s") };
  }
  const parameters = Object.fromEntries(
    Object.entries(found.parameters).map(([n, g]) => [n, Array.from(g)]));
  return { values, parameters, states: found.states, loss: found.loss,
           weights: world.weights.slice(1), check: found.check };
}"""
WISHES = [
    {"tau": 7, "scale": 1.7, "inputs": 0.6, "first": -2.5, "initial": 2,
     "where": "every"},
    {"tau": 30, "scale": 0.4, "inputs": 1, "first": 0.3, "initial": 0, "where": "last"},
]  # fmt: skip


def steps(found, name, key="v"):
    entry = found["values"][name]
    rows = [value for t, value in entry[key].items() if t not in ("", "0")]
    return np.array(rows).reshape(len(rows), 1, *entry["shape"])


@pytest.mark.parametrize("wish", WISHES, ids=["changed", "long"])
@pytest.mark.parametrize("name", ["book", "lstm", "invented"])
def test_everything_that_is_run_again_is_what_the_library_gives(open_page, name, wish):
    page = open_page(name)
    own = {"invented": "branches"}.get(name, name)
    cell = bptt.Cell(USER_CELLS[own]) if own in USER_CELLS else bptt.cells.get(own)
    found = page.run(PLAYED, wish)
    values = found["values"]
    params = {n: np.reshape(values[n]["v"][""], values[n]["shape"])
              for n in cell.graph.parameters}  # fmt: skip
    inputs = {n: steps(found, n) for n in cell.graph.inputs}
    inputs = {n: a.astype(int) if cell.graph.inputs[n].index else a
              for n, a in inputs.items()}  # fmt: skip
    initial = {n: np.array(values[n]["v"]["0"])[None] for n in cell.graph.states}
    seeds = {} if cell.graph.loss else {"h": steps(found, "h", "s")}
    weights = np.array(found["weights"])[:, None]
    exact = cell.gradient(
        params, inputs, initial=initial, seeds=seeds, nodes=cell.graph.states,
        weights=weights if cell.graph.loss else None,
    )  # fmt: skip
    for parameter in params:
        # 30 steps of a handful of products each, in another order.
        assert np.array(found["parameters"][parameter]) == pytest.approx(
            exact[parameter].ravel(), rel=1e-10, abs=1e-13
        )
    for state, norms in found["states"].items():
        wanted = np.linalg.norm(exact.nodes[state][:, 0], axis=-1)
        assert norms == pytest.approx(wanted, rel=1e-10, abs=1e-300)
    if cell.graph.loss:
        assert found["loss"] == pytest.approx(float(exact.loss), rel=1e-12)
    # A central difference with a step of 1e-5.
    check = found["check"]
    assert check["derivative"] == pytest.approx(check["quotient"], rel=1e-6, abs=1e-8)


def test_vanishing_and_exploding_can_be_made(open_page):
    page = open_page("book")
    verdicts = {}
    for preset in ("vanish", "explode", "shown"):
        page.run("name => document.querySelector(`[data-preset=${name}]`).click()",
                 preset)  # fmt: skip
        verdicts[preset] = page.run("[B.played.verdict, B.played.wish.tau]")
        text = page.text(".play-verdict")
        norms = page.run("B.played.states.h")
        ratio = norms[0] / norms[-1]
        if preset == "vanish":
            assert ratio < 1e-2
            assert text.startswith("Vanishing")
        if preset == "explode":
            assert ratio > 1e2
            assert text.startswith("Exploding")
    assert verdicts["vanish"] == ["vanishing", 30]
    assert verdicts["shown"] == ["neither", 4]
    page.press("#lang-zh")
    assert "既未消失也未爆炸" in page.text(".play-verdict")
    assert page.complaints == []


def test_a_slider_is_read_at_once(open_page):
    page = open_page("lstm")
    before = page.run("B.played.states.h.length")
    page.run(
        "const s = document.querySelector('[data-play=tau]'); s.value = 12;"
        " s.dispatchEvent(new Event('input', {bubbles: true}))"
    )
    assert (before, page.run("B.played.states.h.length")) == (3, 12)
    assert page.run("document.querySelectorAll('.play-chart .curve').length") == 2
    # What the page shows elsewhere is as it was.
    assert page.run("[B.tau, B.weights ?? null]") == [3, None]
