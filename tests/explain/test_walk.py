"""The paths that a reader walks on the page: their products add up to the gradient."""

from __future__ import annotations

import re

import numpy as np
import pytest

import bptt
from tests.explain.documents import explained
from tests.explain.user_cells import USER_CELLS

TAU = {"book": 4, "long": 9, "lstm": 3, "invented": 3}


def raw(point, name, t=None):
    """A value as the cell has it, not as a column."""
    place = point.graph.place(name) if t is None else point.graph.place(name, t)
    return np.asarray(point.graph.values[place])


def exact_gradients(name):
    """By the library's own gradient, from the numbers that the page shows."""
    own = {"long": "book", "invented": "branches"}.get(name, name)
    cell = bptt.Cell(USER_CELLS[own]) if own in USER_CELLS else bptt.cells.get(own)
    point = explained(own, tau=TAU[name]).document.shown
    steps = range(1, point.tau + 1)
    params = {n: raw(point, n) for n in cell.graph.parameters}
    inputs = {n: np.array([raw(point, n, t) for t in steps])[:, None]
              for n in cell.graph.inputs}  # fmt: skip
    initial = {n: raw(point, n, 0)[None] for n in cell.graph.states}
    seeds = {n: g[:, None] for n, g in point.seeds.items()}
    found = cell.gradient(params, inputs, initial=initial, seeds=seeds)
    return {n: found[n] for n in params}


def box(page):
    return page.run(
        "({sum: Array.from(B.walk.box.sum), done: B.walk.box.done,"
        " paths: B.walk.paths.length, note: document.querySelector('.walk-note')"
        ".textContent})"
    )


@pytest.mark.parametrize("name", ["book", "long", "lstm", "invented"])
def test_the_box_of_a_parameter_fills_up_to_its_gradient(open_page, name):
    page = open_page(name)
    exact = exact_gradients(name)
    chosen = page.run(
        "Array.from(document.querySelectorAll('[data-walk]'), b => b.dataset.walk)"
    )
    assert set(chosen) == set(exact)
    for parameter, gradient in exact.items():
        page.run("n => B.chooseWalk(n)", parameter)
        assert box(page)["done"] == 0
        page.run("B.stepWalk('all')")
        found = box(page)
        # A few hundred products of numbers of size 1 in float64, added.
        scale = np.abs(gradient).max()
        assert np.abs(np.array(found["sum"]) - gradient.ravel()).max() <= 1e-13 * scale
        assert found["done"] == found["paths"]
        assert found["note"].startswith("✓")
    assert page.complaints == []


def test_a_path_is_multiplied_factor_by_factor_and_then_added(open_page):
    page = open_page("book")
    point = explained("book", tau=4).document.shown
    page.run("n => B.chooseWalk(n)", "W")
    assert box(page)["paths"] == 4 * 5 / 2  # tau (tau + 1) / 2
    page.run("B.stepWalk('path'); B.stepWalk('path'); B.stepWalk('path')")
    page.run("B.stepWalk('path'); B.stepWalk('path')")  # one step back: s = 1, t = 2
    places = page.run("B.alongPath(B.walk.paths[4], 'W').map(s => s.name + s.t)")
    assert places == ["L", "L2", "y_hat2", "o2", "h2", "a2", "h1", "a1", "W1"]
    values = page.run("B.alongPath(B.walk.paths[4], 'W').map(s => Array.from(s.value))")

    def h(t):
        return raw(point, "h", t)

    d2, d1 = (1 - h(t) ** 2 for t in (2, 1))
    o = point.graph.grad(point.graph.place("o", 2))
    expected = d1 * (raw(point, "W").T @ (d2 * (raw(point, "V").T @ o)))
    assert values[-2] == pytest.approx(expected, rel=1e-13)
    assert values[-1] == pytest.approx(np.outer(expected, h(0)).ravel(), rel=1e-13)
    shown = page.run("document.querySelector('.walk-product annotation').textContent")
    factors = re.sub(r"\\[sq]\{\w+\}|[\s{}\\]|left|right|displaystyle|,", "", shown)
    assert "W^top" in factors.replace("htmlDatasym=W", "")
    assert factors.index("W^") < factors.index("V^")
    assert page.run("document.querySelectorAll('.walk .station').length") == 9
    lit = page.run(
        "Array.from(document.querySelectorAll('#graph-walk .e.on'), e =>"
        " e.dataset.k + '@' + e.closest('.col').dataset.t).sort()"
    )
    assert lit == sorted([
        "L[t]>L@2", "y_hat[t]>L@2", "o[t]>y_hat@2", "h[t]>o@2", "a[t]>h@2",
        "h[t-1]>a@2", "a[t]>h@1", "W>a@1",
    ])  # fmt: skip


def test_the_parts_of_the_walk_are_in_the_readers_language(open_page):
    page = open_page("book")
    page.run("B.chooseWalk('b'); B.stepWalk('all')")
    page.press("#lang-zh")
    assert "全部加完" in page.text(".walk-note")
    assert "串行相乘" in page.text(".walk")


def test_many_paths_between_two_steps_go_together(open_page):
    page = open_page("book")
    page.run("B.chooseWalk('W')")
    single = page.run("B.walk.paths.length")
    whole = page.run("B.bundlesOf('W').map(p => [p.start, p.end, Array.from(p.value)])")
    alone = page.run(
        "B.pathsOf('W').map(p => [p.start, p.end,"
        " Array.from(B.alongPath(p, 'W').at(-1).value)])"
    )
    assert len(whole) == single  # in the book's network there is one path each
    for (s, t, value), (start, end, product) in zip(
        sorted(whole), sorted(alone), strict=True
    ):
        assert (s, t) == (start, end)
        assert value == pytest.approx(product, rel=1e-12)
