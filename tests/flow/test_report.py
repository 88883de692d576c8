"""`Cell.flow` against the unrolled graph, brute force and recurrences known by hand."""

import re
from html import escape

import numpy as np
import pytest

import bptt
from bptt.flow import measure
from bptt.flow.non_finite import NonFinite
from bptt.flow.page import chart_of
from bptt.flow.panels import FlowPanel, make_panels
from bptt.flow.text import headline
from bptt.flow.words import table

TAU, N_B = 7, 3
SIZES = {"n_x": 2, "n_h": 4, "n_o": 5}
TOLERANCE = 1e-13  # float64, sums of some 20 terms of size 1 in another order


class Problem:
    """A cell with a loss and random numbers, and its flow."""

    def __init__(self, name):
        rng = np.random.default_rng(2)
        self.cell = bptt.cells.get(name).with_readout()
        self.params = {
            key: 0.6 * rng.normal(size=value.shape)
            for key, value in self.cell.init(**SIZES).items()
        }
        self.inputs = {
            "x": rng.normal(size=(TAU, N_B, 2)), "y": rng.integers(0, 5, (TAU, N_B)),
        }  # fmt: skip
        self.initial = {s: rng.normal(size=(N_B, 4)) for s in self.cell.states}
        self.weights = rng.uniform(0.3, 2, (TAU, N_B))
        self.options = {"initial": self.initial, "weights": self.weights}
        self.flow = self.cell.flow(self.params, self.inputs, row=1, **self.options)

    def row(self, number):
        """The unrolled graph of one row."""
        pick = {name: array[:, number] for name, array in self.inputs.items()}
        first = {name: array[number] for name, array in self.initial.items()}
        return self.cell.unroll(
            self.params, pick, initial=first, weights=self.weights[:, number]
        )


@pytest.fixture(scope="module", params=["book", "lstm", "gru"])
def problem(request):
    return Problem(request.param)


def test_jacobians_and_what_follows_from_them_equal_the_unrolled_graph(problem):
    exact = measure(problem.cell.graph, problem.row(1))
    found = problem.flow.numbers
    assert found.states == exact.states
    np.testing.assert_allclose(found.jacobians, exact.jacobians, atol=TOLERANCE)
    np.testing.assert_allclose(
        found.singular_values, exact.singular_values, atol=TOLERANCE
    )
    np.testing.assert_allclose(found.exponents, exact.exponents, atol=1e-9)


def test_norms_over_the_batch_are_those_of_its_rows(problem):
    rows = [measure(problem.cell.graph, problem.row(b)) for b in range(N_B)]
    for part in ("norms", "injected", "arrived"):
        for state, found in getattr(problem.flow.numbers, part).items():
            squares = [getattr(row, part)[state] ** 2 for row in rows]
            np.testing.assert_allclose(found, np.sqrt(sum(squares)), atol=TOLERANCE)


def lag_terms(problem):
    """∇_{s^(t)} L^(t+k) by weights that are zero but at one step: brute force."""
    found = []
    for k in range(TAU):
        squares = 0.0
        for t in range(TAU - k):
            only = np.zeros_like(problem.weights)
            only[t + k] = problem.weights[t + k]
            grad = problem.cell.gradient(
                problem.params, problem.inputs, nodes=problem.cell.states,
                initial=problem.initial, weights=only, executor="reference",
            )  # fmt: skip
            squares += sum((grad.nodes[s][t] ** 2).sum() for s in problem.cell.states)
        found.append(np.sqrt(squares))
    return found


def test_terms_by_lag_equal_gradients_of_single_losses(problem):
    np.testing.assert_allclose(problem.flow.lags, lag_terms(problem), atol=TOLERANCE)


def truncated(problem, k):
    """The gradient in which h^(t) hears of L^(t) .. L^(t+k-1) alone.

    A copy at t contributes to L^(u), t <= u < t + k: losses one by one, and of each
    the copies that are near enough.
    """
    total = {name: np.zeros_like(array) for name, array in problem.params.items()}
    for u in range(TAU):
        only = np.zeros_like(problem.weights)
        only[u] = problem.weights[u]
        grad = problem.cell.gradient(
            problem.params, problem.inputs, initial=problem.initial, weights=only,
            executor="reference",
        )  # fmt: skip
        for name in total:
            for t in range(max(0, u - k + 1), u + 1):
                total[name] += grad.copies[name][t]
    return np.concatenate([array.ravel() for array in total.values()])


def test_truncation_keeps_the_copies_that_are_near_enough(problem):
    full = truncated(problem, TAU)
    assert [row.k for row in problem.flow.truncations] == [1, 2, 4, TAU]
    for row in problem.flow.truncations:
        mine = truncated(problem, row.k)
        norms = np.linalg.norm(mine), np.linalg.norm(full)
        assert row.cosine == pytest.approx(mine @ full / (norms[0] * norms[1]), 1e-12)
        assert row.ratio == pytest.approx(norms[0] / norms[1], 1e-12)
    assert problem.flow.truncations[0].cosine < 0.999  # the test would see no change


def test_copies_and_their_cancellation(problem):
    grad = problem.cell.gradient(
        problem.params, problem.inputs, **problem.options, executor="reference"
    )
    for name, norms in problem.flow.copies.items():
        expected = [np.linalg.norm(copy) for copy in grad.copies[name]]
        np.testing.assert_allclose(norms, expected, atol=1e-12)
        left = np.linalg.norm(grad[name]) / sum(expected)
        assert problem.flow.cancellation[name] == pytest.approx(left, 1e-12)


def test_a_seeded_layer_flows_as_the_loss_that_gives_the_seed_does():
    cell = bptt.Cell("h[t] = tanh(W @ h[t-1] + U @ x[t])\nL[t] = sum(h[t] ** 2)")
    layer = bptt.Cell("h[t] = tanh(W @ h[t-1] + U @ x[t])")
    params = cell.init(n_x=2, n_h=3, seed=1)
    x = {"x": np.random.default_rng(0).normal(size=(5, 2, 2))}
    whole = cell.flow(params, x)
    seeds = {"h": 2 * cell.forward(params, x)["h"]}
    seeded = layer.flow(params, x, seeds=seeds)
    assert seeded.loss is None
    np.testing.assert_allclose(seeded.lags, whole.lags, atol=TOLERANCE)
    for mine, theirs in zip(seeded.truncations, whole.truncations, strict=True):
        assert mine.cosine == pytest.approx(theirs.cosine, abs=1e-12)


# ----- products -----


def linear_flow(W, tau=40, **options):
    """h[t] = W h[t-1] + x[t]: the Jacobian is W at every step."""
    cell = bptt.Cell("h[t] = W @ h[t-1] + x[t]\nL[t] = sum(h[t])")
    x = np.random.default_rng(0).normal(size=(tau, 1, len(W)))
    return cell.flow({"W": np.asarray(W, float)}, {"x": x}, **options)


def test_a_multiple_of_a_rotation_shrinks_and_grows_at_its_factor():
    rotation = np.array([[np.cos(1), -np.sin(1)], [np.sin(1), np.cos(1)]])
    for factor in (0.7, 1.0, 1.5):
        flow = linear_flow(factor * rotation)
        np.testing.assert_allclose(flow.numbers.exponents, np.log(factor), atol=1e-12)
        assert flow.numbers.singular_values[0, 0] == pytest.approx(factor**40)
        np.testing.assert_allclose(flow.growth[0].windows, 20 * np.log(factor),
                                   atol=1e-12)  # fmt: skip
        np.testing.assert_allclose(flow.growth[0].rates, np.log(factor), atol=1e-12)


def test_the_spectral_radius_does_not_decide():
    """A matrix that is not normal, radius 0.9, grows before it decays."""
    W = np.diag(np.full(30, 0.9)) + np.diag(np.full(29, 1.0), 1)
    flow = linear_flow(W)
    assert flow.spectra["W"][0] == pytest.approx(0.9)
    assert [found.kind for found in flow.diagnoses] == ["transient"]


def test_a_product_that_leaves_the_floating_range_keeps_its_exponent():
    flow = linear_flow(np.diag([1e-20, 2e-20]))
    assert flow.numbers.singular_values[0, 0] == 0.0
    assert flow.numbers.rate == pytest.approx(np.log(2e-20))
    assert flow.diagnoses[0].kind == "vanishing"


# ----- the first number that is none -----


def test_the_first_infinity_forward_is_named():
    """h(3) = 1e200 in row 1 alone; its square is too large at step 4."""
    cell = bptt.Cell(
        "a[t] = h[t-1] * h[t-1]; h[t] = a[t] + 1e200 * x[t]; L[t] = sum(h[t])"
    )
    x = np.zeros((6, 2, 1))
    x[2, 1] = 1.0
    flow = cell.flow({}, {"x": x})
    assert flow.non_finite == NonFinite(4, "a", 1, True, np.inf)
    assert flow.numbers is None
    expected = "not finite: a^(4) of row 1 is inf, the first (forward)"
    assert flow.verdict.startswith(expected)
    assert flow.verdict in str(flow)


def test_the_first_infinity_on_the_way_back_is_named():
    """The values stay finite; the gradient grows 1e200 per step from the end."""
    cell = bptt.Cell("h[t] = 1e200 * h[t-1] * x[t]; L[t] = sum(h[t])")
    x = np.full((5, 1, 1), 0.9)
    flow = cell.flow({}, {"x": x})  # h stays 0
    assert flow.non_finite == NonFinite(3, "h", 0, False, np.inf)
    assert "∇_h^(3) L of row 0 is inf, the first (backward)" in flow.verdict


# ----- mistakes -----


def test_what_has_no_flow_is_refused():
    params = {"W": np.eye(2)}
    x = {"x": np.ones((3, 2, 2))}
    none = bptt.Cell("h[t] = W @ x[t]; L[t] = sum(h[t])")
    with pytest.raises(bptt.errors.FlowError, match="no state"):
        none.flow(params, x)
    one = bptt.Cell("h[t] = W @ h[t-1] + x[t]; L[t] = sum(h[t])")
    with pytest.raises(bptt.errors.FlowError, match="row=2: the batch has rows 0 to 1"):
        one.flow(params, x, row=2)
    layer = bptt.Cell("h[t] = W @ h[t-1] + x[t]")
    with pytest.raises(
        bptt.errors.NoLossError, match=r"flow\(\.\.\., seeds={'h': g}\)"
    ):
        layer.flow(params, x)
    for option, words in (
        ({"lag": 0}, "lag=0: a number of steps"), ({"window": 0}, "window=0"),
        ({"clip": 0.0}, "clip=0.0: a threshold"),
        ({"spectrum": "half"}, "spectrum='half': one of auto, full, leading"),
    ):  # fmt: skip
        with pytest.raises(bptt.errors.FlowError, match=words):
            one.flow(params, x, **option)
    with pytest.raises(bptt.errors.FlowError, match="real runs"):
        one.flow({"W": np.eye(2) + 0j}, x)


# ----- what is shown -----


def test_the_text_has_the_numbers(problem):
    rows = [line.split() for line in str(problem.flow).splitlines()]
    assert problem.flow.verdict in str(problem.flow)
    for found in problem.flow.truncations:
        worst = [found.worst, f"{found.each[found.worst][0]:.4f}"]
        shown = [str(found.k), f"{found.cosine:.4f}", f"{found.ratio:.4f}", *worst]
        assert shown in rows
    for name, norms in problem.flow.copies.items():
        left = f"{problem.flow.cancellation[name]:.3f}"
        at = str(np.argmax(norms) + 1)
        whole = f"{problem.flow.gradient_norms[name]:.3g}"
        assert [name, f"{norms.sum():.3g}", left, at, whole] in rows


def test_the_report_names_what_was_measured():
    cell = bptt.cells.book
    params = cell.init(n_x=2, n_h=3, n_o=4, seed=7, dtype="float32")
    inputs = {"x": np.ones((5, 2, 2)), "y": np.zeros((5, 2), int)}
    flow = cell.flow(params, inputs, name="the book's", seed=7)
    for text in (str(flow), flow.text("zh")):
        assert "the book's" in text
        assert "x (5, 2, 2), y (5, 2)" in text
        assert "n_h = 3" in text
        assert "float32" in text
        assert " 7\n" in text
    with pytest.raises(bptt.errors.FlowError, match="language 'fr'"):
        flow.text("fr")


def test_the_page_needs_no_network_and_draws_every_panel(problem, tmp_path):
    file = tmp_path / "flow.html"
    problem.flow.save(file)
    page = file.read_text(encoding="utf-8")
    assert not re.search(r"https?:|<script|src=|@import|url\(", page)
    assert "prefers-color-scheme: dark" in page
    # in both languages: norms and units of states, slopes, and five more
    panels = 2 * len(problem.flow.numbers.states) + len(problem.flow.numbers.slopes) + 5
    assert page.count("<figure>") == 2 * panels
    assert not re.search(r"\bnan\b|\binf\b", page)
    for lang in ("en", "zh"):
        assert escape(headline(problem.flow, lang), quote=False) in page


def test_both_languages_have_the_same_sentences_with_the_same_places():
    def places(lang):
        return {
            (section, name): sorted(set(re.findall(r"{(\w+)}", sentence)))
            for section, names in table(lang).items()
            for name, sentence in names.items()
        }

    assert places("en") == places("zh")


def test_a_panel_is_drawn_with_every_line_and_a_gap_where_there_is_no_logarithm():
    y = np.array([1e-2, 0.0, 1e0, 1e2])
    lines = {"y": y, "z": 2 * y}
    chart = chart_of(FlowPanel("p", "t<1>", "", "t", np.arange(1, 5), lines))
    assert [curve.name for curve in chart.curves] == ["y", "z"]
    assert list(chart.curves[0].points) == list(zip([1, 2, 3, 4], y, strict=True))
    assert chart.is_log


def test_the_figure_has_a_line_for_every_line_of_a_panel(problem):
    pytest.importorskip("matplotlib")
    axes = problem.flow.plot().axes
    panels = list(make_panels(problem.flow))
    assert [a.get_title() for a in axes] == [panel.title for panel in panels]
    for a, panel in zip(axes, panels, strict=True):
        drawn = {line.get_label(): line.get_ydata() for line in a.get_lines()}
        if len(panel.lines) > 1:
            assert list(drawn) == list(panel.lines)
        for mine, y in zip(drawn.values(), panel.lines.values(), strict=True):
            assert np.array_equal(mine, y, True)
    (one,) = problem.flow.plot("lags").axes
    assert one.get_ylabel().startswith("$")
    with pytest.raises(
        bptt.errors.FlowError, match=r"plot\('lag'\).*the panels norms-"
    ):
        problem.flow.plot("lag")


def test_without_matplotlib_the_extra_is_named(problem, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(
        bptt.errors.MissingExtraError, match=r'pip install .* "\.\[plot\]"'
    ):
        problem.flow.plot()
