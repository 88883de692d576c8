"""The picture of the unrolled graph: what is drawn, what it says, where it lies."""

from __future__ import annotations

import re
from functools import cache

import numpy as np
import pytest

import bptt
from bptt.explain.algebra import expr as e
from bptt.explain.algebra.derive import Derivation, Reading
from bptt.explain.algebra.evaluate import evaluate
from bptt.explain.algebra.expr import Nabla, T, Value
from bptt.explain.algebra.point import Scope
from bptt.explain.html.picture.drawn import draw
from bptt.explain.html.picture.labels import Labels
from bptt.explain.html.picture.svg import THIN, WIDE, Marks, arrow_widths, picture
from bptt.explain.instances import Options, shown_point
from bptt.explain.prepare import prepare
from bptt.page.tags import Markup
from tests.explain.documents import CELLS
from tests.explain.user_cells import USER_CELLS

TAU = 4
# "branches" has a tie of maximum(h^(0), b) in the numbers shown: no one derivative.
SMOOTH = tuple(name for name in CELLS if name != "branches")


@cache
def shown(name, tau=TAU):
    """The numbers of a page, without the page."""
    cell = bptt.Cell(USER_CELLS[name]) if name in USER_CELLS else bptt.cells.get(name)
    return shown_point(Scope(prepare(cell.graph)), Options(tau))


@cache
def drawn(name, *, folded=False, tau=TAU):
    return draw(shown(name, tau).graph, folded=folded)


def labels_of(name, *, is_plain_sum=True):
    return Labels(Derivation(shown(name).scope.graph), is_plain_sum)


def svg_of(name, *, tau=TAU):
    found = drawn(name, tau=tau)
    labels = labels_of(name)
    marks = Marks(lambda n, t: Markup(n), labels.lines)
    return picture(found, marks, name="graph-full", title="a title")


@pytest.mark.parametrize("name", CELLS)
def test_the_picture_has_every_edge_of_the_unrolled_graph(name):
    found = drawn(name)
    unrolled = found.unrolled
    shown = {
        (a.source.name, a.source.t, a.target.name, a.target.t) for a in found.arrows
    }
    wanted = {
        (edge.source.name, None if edge.source.kind == "copy" else edge.source.t,
         edge.target.name, edge.target.t)
        for edge in unrolled.edges if edge.target.kind != "copy"
    }  # fmt: skip
    assert shown == wanted
    assert len(found.arrows) == len(wanted)


@pytest.mark.parametrize("name", CELLS)
def test_a_parameter_is_drawn_once_with_one_edge_per_step(name):
    svg = svg_of(name)
    boxes = re.findall(r'class="n parameter" data-sym="?(\w+)', svg)
    parameters = shown(name).scope.graph.parameters
    assert sorted(boxes) == sorted(parameters)
    for parameter in parameters:
        users = {a.target.name for a in drawn(name).arrows
                 if (a.kind.source, a.kind.lag) == (parameter, None)}  # fmt: skip
        assert users
        for user in users:
            assert svg.count(f'data-k="{parameter}>{user}"') == TAU


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_what_the_edges_carry_adds_up_to_the_gradient_of_their_source(name, folded):
    found = drawn(name, folded=folded)
    carried = {}
    for arrow in found.arrows:
        if arrow.carried is not None:
            carried.setdefault(arrow.source, []).append(arrow.carried)
    assert carried
    for place, parts in carried.items():
        expected = found.unrolled.grad(place)
        total = sum(parts[1:], parts[0])
        # A few products of numbers of size 1.
        assert np.abs(total - expected).max() <= 1e-13 * max(1, np.abs(expected).max())


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("name", SMOOTH)
def test_every_label_is_the_jacobian_of_its_edge(name, folded):
    labels = labels_of(name, is_plain_sum=False)
    checked = 0
    for arrow in drawn(name, folded=folded).arrows:
        form = labels.form(arrow)
        if arrow.jacobian is None:
            assert form is None
        elif form is not None and labels.derivation.rank(arrow.kind.source) < 2:
            if (
                arrow.target.kind != "total"
                and labels.derivation.rank(arrow.target.name) > 1
            ):
                continue
            value = evaluate(form, shown(name), t=arrow.t)
            assert value.reshape(np.shape(arrow.jacobian)) == pytest.approx(
                np.asarray(arrow.jacobian), abs=1e-13
            ), arrow.key
            checked += 1
    assert checked >= TAU


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("name", ["book", "lstm", "gru", "tokens"])
def test_the_slices_of_a_matrix_are_what_its_edge_pulls_back(name, folded):
    labels = labels_of(name)
    checked = 0
    for arrow in drawn(name, folded=folded).arrows:
        if arrow.kind.lag is not None or labels.derivation.rank(arrow.kind.source) < 2:
            continue
        grad = Nabla(Value(arrow.target.name, T))
        reading = Reading(arrow.kind.source, 0, is_parameter=True)
        form = labels.pulled(arrow.target.name, grad, reading, arrow.across)
        value = evaluate(form, shown(name), t=arrow.t)
        assert value == pytest.approx(arrow.carried, abs=1e-13)
        slices = [x for x in e.walk(labels.form(arrow)) if isinstance(x, e.Element)]
        assert any(x.of == Value("e") for x in slices)
        checked += 1
    assert checked >= TAU


def test_the_labels_of_the_books_picture():
    labels = labels_of("book")
    full = {a.card: labels.short(a) for a in drawn("book").at(3)}
    assert full == {
        "b>a": "I", "W>a": "eᵢ h⁽²⁾ᵀ", "h[t-1]>a": "W", "U>a": "eᵢ x⁽³⁾ᵀ",
        "x[t]>a": "U",
        "a[t]>h": "diag(1 − (h⁽³⁾)²)", "c>o": "I", "V>o": "eᵢ h⁽³⁾ᵀ", "h[t]>o": "V",
        "o[t]>y_hat": "diag(ŷ⁽³⁾) − ŷ⁽³⁾ ŷ⁽³⁾ᵀ", "y_hat[t]>L": "∂L/∂ŷ", "y[t]>L": "",
        "L[t]>L": "1",
    }  # fmt: skip
    folded = {a.card: labels.short(a) for a in drawn("book", folded=True).at(3)}
    assert folded == {
        "b>h~": "diag(1 − (h⁽³⁾)²)", "W>h~": "diag(1 − (h⁽³⁾)²) eᵢ h⁽²⁾ᵀ",
        "h[t-1]>h~": "diag(1 − (h⁽³⁾)²) W", "U>h~": "diag(1 − (h⁽³⁾)²) eᵢ x⁽³⁾ᵀ",
        "x[t]>h~": "diag(1 − (h⁽³⁾)²) U", "c>o": "I", "V>o": "eᵢ h⁽³⁾ᵀ", "h[t]>o": "V",
        "o[t]>L~": "(ŷ⁽³⁾ − e_{y⁽³⁾})ᵀ", "y[t]>L": "", "L[t]>L": "1",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "away"),
    [("book", ("a", "y_hat")), ("lstm", ("i", "f", "g", "q")), ("elman", ("a",))],
)
def test_inner_nodes_fold_and_the_output_stays(name, away):
    assert drawn(name, folded=True).folded == away


def test_backward_every_label_is_the_transpose():
    labels = labels_of("book")
    full = {a.card: labels.lines(a)[0][1] for a in drawn("book").at(3)
            if labels.lines(a)}  # fmt: skip
    assert full == {
        "b>a": "I", "W>a": "g h⁽²⁾ᵀ", "h[t-1]>a": "Wᵀ", "U>a": "g x⁽³⁾ᵀ",
        "x[t]>a": "Uᵀ", "a[t]>h": "diag(1 − (h⁽³⁾)²)", "c>o": "I", "V>o": "g h⁽³⁾ᵀ",
        "h[t]>o": "Vᵀ", "o[t]>y_hat": "diag(ŷ⁽³⁾) − ŷ⁽³⁾ ŷ⁽³⁾ᵀ",
        "y_hat[t]>L": "(∂L/∂ŷ)ᵀ", "L[t]>L": "1",
    }  # fmt: skip
    folded = {a.card: labels.lines(a)[0][1] for a in drawn("book", folded=True).at(3)
              if labels.lines(a)}  # fmt: skip
    assert folded["h[t-1]>h~"] == "Wᵀ diag(1 − (h⁽³⁾)²)"  # the factors of 10.21
    assert folded["o[t]>L~"] == "ŷ⁽³⁾ − e_{y⁽³⁾}"  # 10.18
    assert folded["W>h~"] == "diag(1 − (h⁽³⁾)²) g h⁽²⁾ᵀ"


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("name", SMOOTH)
def test_every_transposed_label_carries_what_its_arrow_carries(name, folded):
    labels = labels_of(name, is_plain_sum=False)
    checked = 0
    for arrow in drawn(name, folded=folded).arrows:
        turned = labels.turned(arrow)
        is_vector = (
            len(arrow.out_dims) < 2 and labels.derivation.rank(arrow.kind.source) < 2
        )
        if turned is None or not is_vector or arrow.target.kind == "total":
            continue
        value = evaluate(turned, shown(name), t=arrow.t)
        grad = np.atleast_1d(arrow.target and drawn(name).unrolled.grad(arrow.target))
        carried = np.atleast_2d(value) @ grad.reshape(-1, 1)
        assert carried.reshape(-1) == pytest.approx(np.ravel(arrow.carried), abs=1e-12)
        checked += 1
    assert checked >= TAU


def test_the_same_picture_is_the_same_text():
    assert svg_of("lstm") == svg_of("lstm")


def test_a_wider_arrow_carries_more():
    found = drawn("book")
    widths = arrow_widths(found)
    ordered = sorted(found.arrows, key=lambda arrow: arrow.norm)
    shown = [widths[arrow.key] for arrow in ordered]
    assert shown == sorted(shown)
    assert shown[-1] == WIDE
    assert min(shown) == THIN  # nothing passes from y
