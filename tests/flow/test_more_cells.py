"""Planted faults in cells whose gates, gains and layers are of another form.

Every remedy with an action keeps its promise, also the one that is named first.
"""

import numpy as np
import pytest

import bptt
from bptt.flow.facts import Facts
from bptt.flow.maps import cut_at_states

RNG = np.random.default_rng(11)
X = RNG.normal(size=(60, 3, 3))
DATA = {"x": X, "y": RNG.integers(0, 4, (60, 3))}
GAINED = bptt.Cell("h[t] = W @ (g[t] * h[t-1]) + x[t]; L[t] = sum(h[t])")
SIZES = {"n_x": 3, "n_o": 4, "n_h": 10}


def of(cell, inputs=None, sizes=None, **changes):
    """The flow after some parameters are set, or multiplied by ("*", factor)."""
    params = cell.init(seed=4, **{n: (sizes or SIZES).get(n, 12) for n in cell.dims})
    for name, value in changes.items():
        is_factor = isinstance(value, tuple)
        params[name] = (
            params[name] * value[1] if is_factor else 0 * params[name] + value
        )
    return cell.flow(params, inputs or DATA, seed=4)


def library(name, inputs=None, **changes):
    return of(bptt.cells.get(name).with_readout(), inputs, **changes)


def held_down():
    """A unit of the second layer that all others hold below 0, whatever its bias."""
    cell = bptt.stack(bptt.cells.elman_relu, 2).with_readout()
    params = cell.init(seed=1, n_x=3, n_h=8, n_o=4)
    for name in ("U_2", "W_2"):
        params[name][2] = -np.abs(params[name][2])
    return cell.flow(params, DATA)


def one_direction():
    """The backward half of a network with both grows."""
    linear = bptt.Cell("h[t] = W @ h[t-1] + U @ x[t]")
    return of(bptt.bidirectional(linear).with_readout(), W_bw=("*", 1.3))


def short_row():
    """Of five rows that end at different steps the shortest forgets."""
    gains = np.full((60, 5, 6), 0.95)
    gains[:, 3] = 0.3
    inputs = {"g": gains, "x": RNG.normal(size=gains.shape)}
    return GAINED.flow({"W": np.eye(6)}, inputs, lengths=np.array([60, 50, 55, 12, 41]))


GAINS = {f"k_{gate}": 8.0 for gate in "ifgq"}
# name: how it is made, the first kind ("" for a clean bill), its first remedy
CASES = {
    "slstm that forgets": (
        lambda: library("slstm", b_f=-9.0), "vanishing", "forget_bias=4",
    ),
    "slstm": (lambda: library("slstm"), "", ""),
    "normalised, grows": (
        lambda: library("lstm_layer_norm", **GAINS), "exploding", "gains*=0.5",
    ),
    "normalised, bursts": (
        lambda: library("lstm_layer_norm", k_g=4.0), "bursts", "clip=1",
    ),
    "a unit held down": (held_down, "dead-units", "revive=0.1"),
    "gru_reset_before forgets": (
        lambda: library("gru_reset_before", b_z=-8.0, W_n=("*", 0.2)), "vanishing",
        "b_z=4",
    ),
    "gru_reset_before stuck": (
        lambda: library("gru_reset_before", b_z=40.0), "stuck", "b_z=1",
    ),
    "ugrnn, large x": (
        lambda: library("ugrnn", {**DATA, "x": 80 * X}), "vanishing", "x=normalised",
    ),
    "cornn": (lambda: library("cornn"), "", ""),
    "cornn, W is large": (lambda: library("cornn", W=("*", 3.0)), "", ""),
    "lem": (lambda: library("lem"), "", ""),
    "lem whose gates replace all": (
        lambda: library("lem", b_p=8.0, b_q=8.0, W_z=("*", 0.1), W_h=("*", 0.1)),
        "vanishing", "b_q=-4",
    ),
    "lem that lets nothing in": (
        lambda: library("lem", b_p=-40.0, b_q=-40.0), "stuck", "b_q=1",
    ),
    "antisymmetric, much diffusion": (
        lambda: library("antisymmetric", gamma=9.0), "vanishing", "leak=0.1",
    ),
    "antisymmetric, W is large": (
        lambda: library("antisymmetric", W=("*", 30.0)), "exploding",
        "spectral_radius=0.95",
    ),
    "projection that forgets": (
        lambda: library("lstm_projection", b_f=-6.0), "vanishing", "forget_bias=4",
    ),
    "projection of 0": (
        lambda: library("lstm_projection", P=0.0), "zero-weights", "P=initial",
    ),
    "one direction grows": (one_direction, "exploding-layer", "W_bw*="),
    "the short row forgets": (short_row, "vanishing-rows", "leak=0.1"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_first_remedy_is_one_that_moves_what_it_promises(case):
    make, kind, action = CASES[case]
    flow = make()
    found = [d for d in flow.diagnoses if d.severity != "note"]
    assert [d.kind for d in found][:1] == ([kind] if kind else [])
    if kind:
        assert found[0].remedies[0].action.startswith(action)
    for each in (r.action for d in found for r in d.remedies if r.action):
        assert flow.try_(each).promise.is_kept, each
    for lang in ("en", "zh"):
        assert "{" not in flow.text(lang)


def test_what_is_proposed_first_cures():
    for case in ("slstm that forgets", "a unit held down", "lem that lets nothing in",
                 "projection that forgets", "lem whose gates replace all"):  # fmt: skip
        make, kind, action = CASES[case]
        after = make().try_(action).after
        assert kind not in [d.kind for d in after.diagnoses], case


def test_a_burst_is_told_of_the_batch_in_the_long_run():
    flow = library("lstm_layer_norm", k_g=4.0)
    worst = flow.diagnoses[0]
    rates = flow.growth[0].rates
    assert float(worst.fields["rate"]) == pytest.approx(rates.mean(), abs=1e-3)
    assert "in the long run the batch is multiplied by" in flow.verdict


def test_gains_and_gates_are_read_from_the_equations():
    def facts(name):
        return Facts(cut_at_states(bptt.cells.get(name).graph))

    assert facts("lstm_layer_norm").gains == ("k_i", "k_f", "k_g", "k_q", "k_s")
    assert facts("lstm_layer_norm").normalised == ("W_i", "W_f", "W_g", "W_q")
    assert facts("elman_layer_norm").normalised == ()
    assert facts("lstm").gains == ()
    gates = {g.name: (g.bias, g.keeps_at_one) for g in facts("lem").gates}
    assert gates == {"p": ("b_p", False), "q": ("b_q", False)}
    assert {g.bias for g in facts("slstm").gates} == {"b_f"}


def test_only_dead_units_are_revived():
    flow = held_down()
    after = flow.try_("revive=0.1").after.setting.params
    before = flow.setting.params
    assert np.flatnonzero(after["b_2"] != before["b_2"]).tolist() == [2]
    np.testing.assert_array_equal(after["b_1"], before["b_1"])


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ("gains*=0.5", "nothing that this cell normalises has a gain"),
        ("revive=0.1", "no unit of a relu with a bias of its own is dead"),
        ("gains=0.5", "gains is no parameter, input or option"),
    ],
)
def test_a_cell_without_gains_or_dead_units_says_so(action, words):
    with pytest.raises(bptt.errors.FlowError, match=words):
        library("lstm").try_(action)


def test_noise_at_its_mean_is_no_input_that_is_0():
    text = "e: n_h = normal(1)\nh[t] = tanh(W @ h[t-1] + U @ x[t] + e[t])"
    cell = bptt.Cell(text).with_readout()
    params = cell.init(n_x=2, n_h=3, n_o=4, seed=0)
    x = np.random.default_rng(0).normal(size=(6, 2, 2))
    given = {"x": x, "y": np.zeros((6, 2), int)}
    quiet = cell.flow(params, cell.draw(params, given, mean=True))
    assert not [d for d in quiet.diagnoses if d.kind == "zero-input"]
    silent = cell.flow(params, cell.draw(params, {**given, "x": 0 * x}, seed=0))
    assert [d for d in silent.diagnoses if d.kind == "zero-input"]
