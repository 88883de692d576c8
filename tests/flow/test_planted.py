"""Planted faults: the verdict and remedy that must appear, and those that must not.

Every case is made so that one thing is the matter, and the report is read as a person
would: the first diagnosis, all kinds, and the actions that it proposes.
"""

from __future__ import annotations

import numpy as np
import pytest

import bptt
from bptt.flow.trial import RemedyTrial
from bptt.flow.words import table

TAU, N_B = 40, 4
SIZES = {"n_x": 4, "n_h": 8, "n_o": 5}
LINEAR = bptt.Cell(
    "h[t] = W @ h[t-1] + U @ x[t]; o[t] = V @ h[t]; L[t] = sum(o[t] ** 2)"
)
CAUSES = {"not-finite", "exploding", "exploding-rows", "vanishing", "vanishing-rows",
          "stuck", "zero-weights", "dead-units", "same-units"}  # fmt: skip


def data(scale=1.0, tau=TAU, seed=1):
    rng = np.random.default_rng(seed)
    return {
        "x": scale * rng.normal(size=(tau, N_B, 4)), "y": rng.integers(0, 5, (tau, N_B))
    }  # fmt: skip


def make(name, **changes):
    """A cell with its read-out and initial numbers, some of them changed."""
    cell = bptt.cells.get(name).with_readout()
    params = cell.init(seed=0, **SIZES)
    for key, value in changes.items():
        old = params[key]
        params[key] = value(old) if callable(value) else np.full_like(old, value)
    return cell, params


def times(factor):
    return lambda array: factor * array


def flow_of(name, inputs=None, options=None, **changes):
    cell, params = make(name, **changes)
    return cell.flow(params, inputs or data(), seed=0, **(options or {}))


def linear(matrix, tau=TAU):
    rng = np.random.default_rng(3)
    params = {"W": matrix, "U": rng.normal(size=(8, 4)), "V": rng.normal(size=(5, 8))}
    return LINEAR.flow(params, {"x": data(tau=tau)["x"]})


def orthogonal(n=8):
    return np.linalg.qr(np.random.default_rng(5).normal(size=(n, n)))[0]


def one_row_explodes():
    """h[t] = Q h[t-1] times 0.9 in all rows, 1.2 in row 3."""
    cell = bptt.Cell("h[t] = W @ (g[t] * h[t-1]) + x[t]; L[t] = sum(h[t])")
    factors = np.full((TAU, 5, 1), 0.9)
    factors[:, 3] = 1.2
    x = np.random.default_rng(6).normal(size=(TAU, 5, 8))
    return cell.flow({"W": orthogonal()}, {"g": factors + np.zeros(8), "x": x})


def unread():
    cell = bptt.Cell(
        "h[t] = tanh(W @ h[t-1] + U @ x[t]); q[t] = Q @ z[t]; L[t] = sum(h[t])"
    )
    params = cell.init(**dict(zip(cell.dims, (4, 2, 8, 3), strict=True)))
    sizes = {n: a.shape for n, a in params.items()}
    rng = np.random.default_rng(7)
    x = rng.normal(size=(TAU, N_B, sizes["U"][1]))
    return cell.flow(params, {"x": x, "z": rng.normal(size=(TAU, N_B, sizes["Q"][1]))})


def masked(rows=slice(None), start=0, stop=TAU, inside=0.0):
    weights = np.ones((TAU, N_B))
    weights[start:stop, rows] = inside
    return {"weights": weights}


def underflow():
    cell, params = make("book", W=times(0.02))
    small = {name: array.astype(np.float32) for name, array in params.items()}
    return cell.flow(small, data(), reduction="last")


def two_time_scales():
    """A fast unit with a loud loss, and a slow one with a faint one of its own."""
    cell = bptt.Cell(
        "f[t] = tanh(W @ x[t] + w * f[t-1]); s[t] = 0.98 * s[t-1] + V @ x[t]\n"
        "L[t] = sum(f[t] ** 2) + 0.0001 * sum(s[t] ** 2)"
    )
    rng = np.random.default_rng(8)
    params = {n: 0.3 * rng.normal(size=a.shape) for n, a in _sized(cell).items()}
    return cell.flow(params, {"x": data(tau=200)["x"]}, window=8)


def _sized(cell):
    return cell.init(**{dim: 4 if dim == "n_x" else 3 for dim in cell.dims})


def overflow():
    cell = bptt.Cell("h[t] = (W @ h[t-1]) ** 2 + x[t]; L[t] = sum(h[t])")
    return cell.flow({"W": 2 * np.eye(3)}, {"x": np.ones((30, 2, 3))})


JORDAN = 0.9 * np.eye(8) + np.diag(np.ones(7), 1)
# name: how it is made, the first kind, an action that must be there, kinds and actions
# that must not be.
PLANTED = {
    "healthy Elman": (lambda: flow_of("book"), None, None, ()),
    "healthy LSTM": (lambda: flow_of("lstm"), None, None, ()),
    "healthy GRU": (lambda: flow_of("gru"), None, None, ()),
    "healthy antisymmetric": (lambda: flow_of("antisymmetric"), None, None, ()),
    "healthy rotation": (lambda: linear(orthogonal()), None, None, ()),
    "small W": (
        lambda: flow_of("book", W=times(0.3)), "vanishing", "W=orthogonal",
        ("exploding", "stuck", "zero-weights", "clip=1"),
    ),
    "half of a rotation": (
        lambda: linear(0.4 * orthogonal()), "vanishing", "W=orthogonal",
        ("dead-units", "stuck", "clip=1"),
    ),
    "closed forget gate": (
        lambda: flow_of("lstm", b_f=-6.0), "vanishing", "forget_bias=4",
        ("stuck", "memory", "clip=1"),
    ),
    "GRU that forgets": (
        lambda: flow_of("gru", b_z=-6.0, W_n=times(0.3)), "vanishing", "b_z=4",
        ("stuck", "memory", "forget_bias=4"),
    ),
    "inputs too large": (
        lambda: flow_of("book", data(100.0)), "vanishing", "x=normalised",
        ("exploding", "W=orthogonal", "clip=1"),
    ),
    "W too large for tanh": (
        lambda: flow_of("book", W=times(30.0)), "vanishing", "W=orthogonal",
        ("exploding", "x=normalised", "spectral_radius=0.95"),
    ),
    "linear growth": (
        lambda: linear(1.2 * orthogonal()), "exploding", "spectral_radius=0.95",
        ("vanishing", "transient", "exploding-rows"),
    ),
    "relu growth": (
        lambda: flow_of("elman_relu", W=times(2.0)), "exploding",
        "spectral_radius=0.95", ("vanishing", "stuck"),
    ),
    "one row explodes": (
        one_row_explodes, "exploding-rows", "clip=1",
        ("vanishing", "exploding", "vanishing-rows"),
    ),
    "transient growth": (
        lambda: linear(orthogonal() @ JORDAN @ orthogonal().T, 120), "transient",
        "W=orthogonal", ("exploding", "vanishing", "spectral_radius=0.95"),
    ),
    "GRU stuck at z = 1": (
        lambda: flow_of("gru", b_z=40.0), "stuck", "b_z=1",
        ("vanishing", "memory", "unread-input", "b_z=4"),
    ),
    "LSTM that lets nothing in": (
        lambda: flow_of("lstm", b_i=-40.0), "stuck", "b_i=0",
        ("vanishing", "memory", "forget_bias=4"),
    ),
    "tanh held by its bias": (
        lambda: flow_of("book", b=30.0), "stuck", "b=0",
        ("vanishing", "exploding", "x=normalised"),
    ),
    "forget gate at 1": (
        lambda: flow_of("lstm", b_f=4.0, W_f=times(0.1), W_g=times(0.1)), None, None,
        ("vanishing", "stuck", "b_f=0", "b_f=1"),
    ),
    "GRU that remembers": (
        lambda: flow_of("gru", b_z=4.0), None, None, ("stuck", "b_z=1"),
    ),
    "every weight 0": (
        lambda: flow_of("book", W=0.0, U=0.0, V=0.0), "zero-weights", "W=initial",
        ("vanishing", "stuck", "clip=1"),
    ),
    "W is 0": (
        lambda: flow_of("book", W=0.0), "zero-weights", "W=initial",
        ("vanishing", "unread-input"),
    ),
    "V is 0": (
        lambda: flow_of("book", V=0.0), "zero-weights", "V=initial",
        ("vanishing", "unread-input"),
    ),
    "U is 0": (
        lambda: flow_of("book", U=0.0), "zero-weights", "U=initial", ("vanishing",),
    ),
    "dead relu": (
        lambda: flow_of("elman_relu", b=-30.0), "dead-units", "b=0.1",
        ("vanishing", "stuck", "clip=1"),
    ),
    "some dead units": (
        lambda: flow_of("elman_relu", b=lambda b: np.where(np.arange(8) < 5, -30., b)),
        "dead-units", "b=0.1", ("stuck", "U*=0.1"),
    ),
    "units all alike": (
        lambda: flow_of("book", W=0.1, U=0.1, V=0.1), "same-units", "U=initial",
        ("zero-weights", "stuck"),
    ),
    "loss stops early": (
        lambda: flow_of("book", None, masked(start=20)), "loss-stops", "weights=all",
        ("vanishing", "silent-rows", "far-loss"),
    ),
    "loss at the end alone": (
        lambda: flow_of("book", None, {"reduction": "last"}), "far-loss",
        "weights=all", ("vanishing", "loss-stops"),
    ),
    "a row without a loss": (
        lambda: flow_of("book", None, masked(rows=1)), "silent-rows", "",
        ("vanishing", "loss-stops", "weights=all"),
    ),
    "an input that nothing reads": (unread, "unread-input", "", ("zero-weights",)),
    "an input of zeros": (
        lambda: flow_of("book", data(0.0)), "zero-input", "", ("zero-weights",),
    ),
    "float32 underflow": (
        underflow, "underflow", "dtype=float64", ("exploding", "stuck"),
    ),
    "a window too short": (
        two_time_scales, "window", "window=64", ("vanishing", "exploding"),
    ),
    "clipped at every step": (
        lambda: flow_of("book", None, {"clip": 1e-3}), "clipping", None,
        ("vanishing", "exploding"),
    ),
    "a task farther than memory": (
        lambda: flow_of("book", None, {"lag": 35}), "vanishing", "", ("exploding",),
    ),
    "values that overflow": (
        overflow, "not-finite", "", ("exploding", "vanishing", "clip=1"),
    ),
}  # fmt: skip


def actions(flow):
    return [remedy.action for found in flow.diagnoses for remedy in found.remedies]


@pytest.mark.parametrize("case", PLANTED)
def test_what_was_planted_is_found_and_nothing_else(case):
    run, first, action, never = PLANTED[case]
    flow = run()
    kinds = [found.kind for found in flow.diagnoses]
    if first is None:
        assert {found.severity for found in flow.diagnoses} <= {"note"}
        assert flow.verdict.startswith("healthy: over 20 steps")
    else:
        assert kinds[0] == first
        assert not CAUSES & ({*kinds} - {first}) - {"vanishing"}
    if action is not None and first is not None:
        mine = [remedy.action for remedy in flow.diagnoses[0].remedies]
        assert action in mine
    assert not {*never} & {*kinds, *actions(flow)}
    for lang in ("en", "zh"):
        assert "{" not in flow.text(lang)  # every sentence found its numbers


def test_a_window_is_judged_by_the_parameter_that_loses_most():
    """Pooled the truncated gradient is nearly the full one; V's own is not."""
    flow = two_time_scales()
    row = next(row for row in flow.truncations if row.k == 8)
    assert row.worst == "V"
    assert row.cosine > 0.95
    assert row.each["V"][0] < row.cosine - 0.02
    assert "gradient of V keeps a cosine of" in flow.verdict


@pytest.mark.parametrize(
    ("run", "word"),
    [
        (lambda tau: flow_of("book", data(tau=tau), W=times(0.3)), "vanishing"),
        (lambda tau: flow_of("book", data(tau=tau), W=times(0.6)), "vanishing"),
        (lambda tau: flow_of("book", data(tau=tau)), "healthy"),
        (lambda tau: linear(0.99 * orthogonal(), tau), "healthy"),
        (lambda tau: linear(1.06 * orthogonal(), tau), "exploding"),
    ],
    ids=["0.3", "0.6", "1", "linear 0.99", "linear 1.06"],
)
def test_the_verdict_does_not_change_with_the_number_of_steps(run, word):
    for tau in (5, 25, 150):
        assert run(tau).verdict.startswith(word)


# ----- remedies -----


@pytest.mark.parametrize(
    ("name", "changes", "action", "kind"),
    [
        ("lstm", {"b_f": -6.0}, "forget_bias=4", "vanishing"),
        ("book", {"W": times(0.3)}, "W=orthogonal", "vanishing"),
        ("book", {"V": 0.0}, "V=initial", "zero-weights"),
        ("gru", {"b_z": 40.0}, "b_z=1", "stuck"),
        ("elman_relu", {"b": -30.0}, "b=0.1", "dead-units"),
        ("elman_relu", {"W": times(2.0)}, "spectral_radius=0.95", "exploding"),
    ],
)
def test_a_remedy_that_is_proposed_cures_when_tried(name, changes, action, kind):
    flow = flow_of(name, **changes)
    assert kind in [found.kind for found in flow.diagnoses]
    assert action in actions(flow)
    trial = flow.try_(action)
    assert trial.before is flow
    assert kind not in [found.kind for found in trial.after.diagnoses]
    text = str(trial)
    assert text.startswith(f"before and after {action}")
    assert trial.after.verdict.split(":")[0] in text


def test_a_trial_changes_what_it_says_and_leaves_the_caller_alone():
    cell, params = make("lstm")
    inputs = data()
    flow = cell.flow(params, inputs)
    after = flow.try_("forget_bias=1.5").after
    assert (after.setting.params["b_f"] == 1.5).all()
    assert (params["b_f"] == 1.0).all()
    halved = flow.try_("U_g*=0.5").after.setting.params["U_g"]
    np.testing.assert_array_equal(halved, 0.5 * params["U_g"])
    x = flow.try_("x=normalised").after.setting.inputs["x"]
    assert x.std() == pytest.approx(1.0) and abs(x.mean()) < 1e-12
    assert flow.try_("dtype=float32").after.subject.dtype == "float32"
    assert flow.try_("window=3").after.diagnoses[0].kind == "window"
    radius = flow.try_("spectral_radius=0.5").after.spectra["W_i"][0]
    assert radius == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ("forget_bias", "an action is NAME=VALUE"),
        ("b_x=1", "b_x is no parameter, input or option.* b_i, W_i"),
        ("W_f=big", "'big' is neither a number nor a rule"),
        ("b_f=orthogonal", "orthogonal needs a matrix"),
        ("window=2.5", "window is a number of steps"),
        ("y=0", "holds whole numbers"),
        ("dtype=float16", "float32 or float64"),
        ("weights=none", "weights=all lets every step count"),
    ],
)
def test_an_action_that_cannot_be_tried_is_refused(action, words):
    with pytest.raises(bptt.errors.FlowError, match=words):
        flow_of("lstm", data(tau=5)).try_(action)


def test_a_cell_without_a_gate_has_no_forget_bias():
    with pytest.raises(bptt.errors.FlowError, match="so there is no forget bias"):
        flow_of("book", data(tau=5)).try_("forget_bias=1")


def test_clipping_is_measured_on_rows_as_steps():
    """Two of three rows above the threshold: their share, and the cosine of the sum."""
    cell, params = make("book")
    inputs = {name: array[:, :3] for name, array in data().items()}
    rows = [
        cell.gradient(params, {n: a[:, [b]] for n, a in inputs.items()})
        for b in range(3)
    ]
    flat = [np.concatenate([r[n].ravel() for n in params]) for r in rows]
    sizes = np.array([np.linalg.norm(f) for f in flat])
    threshold = float(np.sort(sizes)[:2].mean())
    found = cell.flow(params, inputs, clip=threshold).clipping
    np.testing.assert_allclose(found.norms, sizes, rtol=1e-10)
    assert found.share == pytest.approx(2 / 3)
    clipped = sum(f * min(1, threshold / s) for f, s in zip(flat, sizes, strict=True))
    whole = sum(flat)
    cosine = whole @ clipped / np.linalg.norm(whole) / np.linalg.norm(clipped)
    assert found.cosine == pytest.approx(cosine, rel=1e-10)


# ----- what remedies promise -----


@pytest.mark.parametrize("case", PLANTED)
def test_every_remedy_that_can_be_tried_keeps_its_promise(case):
    flow = PLANTED[case][0]()
    for found in flow.diagnoses:
        for remedy in found.remedies:
            if remedy.action:
                trial = flow.try_(remedy.action)
                promise = trial.promise
                assert promise is not None
                moved = promise.direction * (promise.after - promise.before)
                assert promise.is_kept and moved > 0, (remedy.action, promise)
                for lang in ("en", "zh"):
                    assert table(lang)["text"]["promise-kept"] in trial.text(lang)


def test_a_promise_that_is_broken_is_said():
    flow = flow_of("book", W=times(0.3))
    action = flow.diagnoses[0].remedies[0].action
    trial = RemedyTrial(action, flow, flow)  # nothing changed
    assert trial.promise is not None and not trial.promise.is_kept
    assert "did not come so" in str(trial)
    assert flow.try_("U*=0.9").promise is None  # nobody proposed it


LEAKY = "a[t] = b + W @ h[t-1] + U @ x[t]; h[t] = 0.75 * h[t-1] + 0.25 * tanh(a[t])\n"
NORMALISED = "a[t] = b + layer_norm(W @ h[t-1] + U @ x[t]); h[t] = tanh(a[t])\n"


def test_a_leak_and_normalisation_are_written_into_the_equations():
    """Against the same cells written by hand."""
    cell, params = make("book")
    flow = cell.flow(params, data())
    for action, lines in (
        ("leak=0.25", LEAKY),
        ("normalisation=layer", NORMALISED),
    ):
        mine = flow.try_(action).after
        other = bptt.Cell(
            f"{lines}o[t] = c + V @ h[t]; y_hat[t] = softmax(o[t])\n"
            "L[t] = nll(y_hat[t], y[t])"
        ).flow(params, data())
        assert mine.loss == pytest.approx(other.loss, rel=1e-13)
        for name, rows in other.numbers.norms.items():
            np.testing.assert_allclose(mine.numbers.norms[name], rows, rtol=1e-11)


def test_what_has_no_place_for_a_remedy_says_so():
    with pytest.raises(bptt.errors.FlowError, match="not of a form that this can be"):
        linear(orthogonal()).try_("normalisation=layer")
    with pytest.raises(bptt.errors.FlowError, match="above 0 and at most 1"):
        linear(orthogonal()).try_("leak=2")
    with pytest.raises(bptt.errors.FlowError, match="layer is the one kind"):
        flow_of("book", data(tau=5)).try_("normalisation=batch")
