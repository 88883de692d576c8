"""Imported layers compute what torch's and Keras' own compute, and go back unchanged.

The oracles are the real layers, run by their libraries, torch's in float64; for Keras
also its documented equations. Comparing numbers that came out, not weights that went
in, is what sees a gate, a bias or two matrices in the wrong place.
"""

import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import bptt
from bptt import exchange, weights

os.environ.setdefault("KERAS_BACKEND", "torch")  # read when keras is imported
if not os.environ.get("BPTT_REQUIRED_FRAMEWORKS"):
    pytest.importorskip("torch")
    pytest.importorskip("keras")

import keras
import torch

pytestmark = pytest.mark.filterwarnings(  # Keras 3 with NumPy 2
    "ignore:__array__ implementation doesn't accept a copy keyword"
)
TAU, N_B, N_X, N_H = 6, 3, 4, 4  # n_x = n_h: swapped matrices would fit
# float64, tau steps of sums of 8 terms, of values below 1
TOLERANCE = 1e-13
# Keras multiplies in float32, float64 weights too: 2^-24 times the same, measured 2e-7
KERAS_TOLERANCE = 2e-6
RNG = np.random.default_rng(0)
X = RNG.normal(size=(TAU, N_B, N_X))


def spread(arrays):
    """Every weight and bias away from zero and from each other."""
    rng = np.random.default_rng(1)
    return [0.4 * rng.normal(size=array.shape) for array in arrays]


# ----- torch -----

LAYERS = {
    "rnn": (torch.nn.RNN, {}),
    "relu": (torch.nn.RNN, {"nonlinearity": "relu", "num_layers": 2}),
    "lstm": (torch.nn.LSTM, {}),
    "gru": (torch.nn.GRU, {}),
    "gru, three layers": (torch.nn.GRU, {"num_layers": 3}),
    "rnn, both directions": (torch.nn.RNN, {"bidirectional": True}),
    "lstm, two layers, both": (
        torch.nn.LSTM, {"num_layers": 2, "bidirectional": True},
    ),
    "lstm without biases": (torch.nn.LSTM, {"bias": False}),
    "projection, two layers, both": (
        torch.nn.LSTM, {"num_layers": 2, "bidirectional": True, "proj_size": 3},
    ),
}  # fmt: skip


def make_torch(kind, options):
    module = kind(N_X, N_H, **options).double()
    with torch.no_grad():
        for own, array in zip(
            module.parameters(), spread(module.parameters()), strict=True
        ):
            own.copy_(torch.from_numpy(array))
    return module


def run_torch(module):
    """Outputs (tau, n_b, n), and the last h and s of every layer and direction."""
    with torch.no_grad():
        y, last = module(torch.from_numpy(X))
    last = last if isinstance(last, tuple) else (last,)
    return y.numpy(), [state.numpy() for state in last]


def states_of(cell, base):
    """A state's names over layers, forward before backward, as torch lists them."""
    names = [n for n in cell.states if n.split("_")[0] == base]
    return sorted(names, key=lambda n: (re.sub(r"\D", "", n), "_bw" in n))


def run_cell(cell, params):
    run = cell.forward(params, {"x": X}, executor="reference")
    top = states_of(cell, "h")
    n_top = 2 if any("_bw" in name for name in top) else 1
    y = np.concatenate([run[name] for name in top[-n_top:]], axis=-1)
    last = [[run.final[n] for n in states_of(cell, base)] for base in ("h", "s")]
    return y, [np.stack(values) for values in last if values]


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_of_torch_becomes_a_cell_that_computes_the_same(name):
    module = make_torch(*LAYERS[name])
    y, last = run_torch(module)
    our_y, our_last = run_cell(*bptt.from_torch(module))
    np.testing.assert_allclose(our_y, y, atol=TOLERANCE)
    for ours, theirs in zip(our_last, last, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=TOLERANCE)


@pytest.mark.parametrize("name", LAYERS)
def test_a_cell_goes_into_a_fresh_layer_of_torch(name):
    kind, options = LAYERS[name]
    module = make_torch(kind, options)
    cell, params = bptt.from_torch(module)
    fresh = kind(N_X, N_H, **{**options, "bias": True}).double()
    state = bptt.to_torch(cell, params)
    fresh.load_state_dict({k: torch.from_numpy(v) for k, v in state.items()})
    (y, last), (fresh_y, fresh_last) = run_torch(module), run_torch(fresh)
    for ours, theirs in zip([fresh_y, *fresh_last], [y, *last], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=TOLERANCE)


def test_gradients_of_an_imported_layer_are_those_of_torch():
    module = make_torch(*LAYERS["lstm, two layers, both"])
    cell, params = bptt.from_torch(module)
    top = [name for name in cell.nodes if re.fullmatch(r"h_.w_2", name)]
    g = RNG.normal(size=(TAU, N_B, 2 * N_H))
    module(torch.from_numpy(X))[0].backward(torch.from_numpy(g))
    seeds = dict(zip(top, np.split(g, 2, axis=-1), strict=True))
    grad = cell.gradient(params, {"x": X}, seeds=seeds, executor="reference")
    # The gradient of a sum is that of each of its terms: so both biases have it.
    for name, array in bptt.to_torch(cell, grad).items():
        if not name.startswith("bias_hh"):
            theirs = getattr(module, name).grad.numpy()
            np.testing.assert_allclose(array, theirs, atol=1e-12)


def test_a_state_dictionary_is_found_under_its_prefix():
    model = torch.nn.ModuleDict(
        {"embed": torch.nn.Embedding(5, N_X), "rnn": torch.nn.GRU(N_X, N_H)}
    )
    cell, params = bptt.from_torch(model.state_dict())
    assert cell.text == bptt.cells.gru.text
    b = model["rnn"].bias_hh_l0.detach().numpy()
    assert np.array_equal(params["d_n"], b[2 * N_H :])
    assert params["W_z"].dtype == np.float32


def test_parameters_are_copies():
    module = make_torch(*LAYERS["rnn"])
    _, params = bptt.from_torch(module)
    before = {name: array.copy() for name, array in params.items()}
    with torch.no_grad():
        for own in module.parameters():
            own.zero_()
    assert all(np.array_equal(params[name], before[name]) for name in params)


def test_a_state_dictionary_of_an_rnn_is_told_its_nonlinearity():
    state = make_torch(*LAYERS["rnn"]).state_dict()
    assert bptt.from_torch(state)[0].text == bptt.cells.elman.text
    relu, _ = bptt.from_torch(state, nonlinearity="relu")
    assert relu.text == bptt.cells.elman_relu.text


# ----- Keras -----

KERAS = {
    "SimpleRNN": (keras.layers.SimpleRNN, {}),
    "relu": (keras.layers.SimpleRNN, {"activation": "relu"}),
    "LSTM": (keras.layers.LSTM, {}),
    "LSTM without bias": (keras.layers.LSTM, {"use_bias": False}),
    "GRU, reset after": (keras.layers.GRU, {"reset_after": True}),
    "GRU, reset before": (keras.layers.GRU, {"reset_after": False}),
}


def make_keras(name, **more):
    kind, options = KERAS[name]
    return kind(N_H, return_sequences=True, **options, **more)


def fill(layer):
    layer.build((N_B, TAU, N_X))
    layer.set_weights(spread(layer.get_weights()))
    return layer


def run_keras(layer, x=X):
    """Batch first in Keras; (tau, n_b, n) here."""
    return keras.ops.convert_to_numpy(layer(x.swapaxes(0, 1))).swapaxes(0, 1)


@pytest.mark.parametrize("name", KERAS)
def test_a_layer_of_keras_becomes_a_cell_that_computes_the_same(name):
    layer = fill(make_keras(name))
    cell, params = bptt.from_keras(layer)
    y, _ = run_cell(cell, params)
    expected = run_keras(layer)
    np.testing.assert_allclose(y, expected, atol=KERAS_TOLERANCE)
    kind, options = KERAS[name]
    fresh = fill(kind(N_H, return_sequences=True, **{**options, "use_bias": True}))
    fresh.set_weights(*bptt.to_keras(cell, params))
    np.testing.assert_allclose(run_keras(fresh), expected, atol=KERAS_TOLERANCE)


def test_layers_of_both_directions_on_each_other():
    layers = [
        keras.layers.Bidirectional(make_keras("LSTM")),
        keras.layers.Bidirectional(make_keras("GRU, reset after")),
    ]
    layers[0].build((N_B, TAU, N_X))
    layers[1].build((N_B, TAU, 2 * N_H))
    for layer in layers:
        layer.set_weights(spread(layer.get_weights()))
    cell, params = bptt.from_keras(layers)
    y, _ = run_cell(cell, params)
    expected = run_keras(layers[1], run_keras(layers[0]))
    np.testing.assert_allclose(y, expected, atol=KERAS_TOLERANCE)
    for back, layer in zip(bptt.to_keras(cell, params), layers, strict=True):
        layer.set_weights(back)
    again = run_keras(layers[1], run_keras(layers[0]))
    np.testing.assert_allclose(again, expected, atol=KERAS_TOLERANCE)


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def keras_gru(x, kernel, recurrent, bias, *, reset_after):
    """keras.layers.GRU, as its documentation and arXiv:1406.1078 v1 and v3 have it."""
    n = recurrent.shape[0]
    h = np.zeros((x.shape[1], n))
    for x_t in x:
        z_x, r_x, h_x = np.split(
            x_t @ kernel + (bias[0] if reset_after else bias), 3, 1
        )
        if reset_after:
            z_h, r_h, h_h = np.split(h @ recurrent + bias[1], 3, 1)
            z, r = sigmoid(z_x + z_h), sigmoid(r_x + r_h)
            candidate = np.tanh(h_x + r * h_h)
        else:
            z_h, r_h = np.split(h @ recurrent[:, : 2 * n], 2, 1)
            z, r = sigmoid(z_x + z_h), sigmoid(r_x + r_h)
            candidate = np.tanh(h_x + (r * h) @ recurrent[:, 2 * n :])
        h = z * h + (1 - z) * candidate
    return h


@pytest.mark.parametrize("reset_after", [True, False])
def test_weights_alone_follow_the_documented_equations(reset_after):
    shapes = [(N_X, 3 * 5), (5, 3 * 5), (2, 15) if reset_after else (15,)]
    given = spread([np.empty(shape) for shape in shapes])
    cell, params = bptt.from_keras(given)
    ours = cell.forward(params, {"x": X}, executor="reference").final["h"]
    expected = keras_gru(X, *given, reset_after=reset_after)
    np.testing.assert_allclose(ours, expected, atol=TOLERANCE)


# ----- the tables themselves -----


def swap(stacking, a, b):
    """A table in which the names of two parameters are exchanged."""
    blocks = dict(stacking.blocks)
    blocks[a], blocks[b] = blocks[b], blocks[a]
    return replace(stacking, blocks=blocks)


SWAPS = [("U_f", "W_f"), ("W_i", "W_f"), ("b_g", "b_q"), ("U_g", "U_i")]


@pytest.mark.parametrize(("a", "b"), SWAPS)
def test_a_table_with_two_entries_exchanged_is_caught(a, b, monkeypatch):
    module, layer = make_torch(*LAYERS["lstm"]), fill(make_keras("LSTM"))
    for table in ("TORCH", "KERAS"):
        wrong = {**getattr(weights, table)}
        wrong["lstm"] = swap(wrong["lstm"], a, b)
        monkeypatch.setattr(exchange, table, wrong)
    y, _ = run_cell(*bptt.from_torch(module))
    assert abs(y - run_torch(module)[0]).max() > 1e-3
    y, _ = run_cell(*bptt.from_keras(layer))
    assert abs(y - run_keras(layer)).max() > 1e-3


def notation():
    page = Path(__file__).parents[1] / "docs" / "notation.md"
    return page.read_text()


def test_the_notation_page_says_what_the_tables_say():
    """Rows of U, W and b: the cell's letter, then torch's and Keras' tensors."""
    row_of = re.compile(r"^\| ([UWb]) \| [^|]*\| (.*) \|$", re.MULTILINE)
    rows = dict(row_of.findall(notation()))
    assert set(rows) == set("UWb")
    for name, row in rows.items():
        theirs, keras_name, _ = (cell.strip() for cell in row.split("|"))
        torch_names = [f"`{t}_l0`" for t, _ in weights.TORCH["elman"].blocks[name]]
        assert theirs == " + ".join(torch_names)
        ((tensor, _),) = weights.KERAS["elman"].blocks[name]
        turned = ", transposed" if name in "UW" else ""
        assert keras_name == f"`{tensor}`{turned}"


def gate_order(stacking, tensor, their_names):
    """Their names of the gates in the order in which they are stacked."""
    found = {
        blocks[0][1]: name[2:]
        for name, blocks in stacking.blocks.items()
        if blocks[0][0] == tensor
    }
    return ", ".join(their_names.get(found[n], found[n]) for n in sorted(found))


def test_the_notation_page_says_the_order_of_the_gates():
    text = " ".join(notation().split())
    for table, tensor, kind, names in (
        ("TORCH", "weight_ih", "lstm", {"q": "o"}),
        ("TORCH", "weight_ih", "gru", {}),
        ("KERAS", "kernel", "lstm", {"g": "c", "q": "o"}),
        ("KERAS", "kernel", "gru", {"n": "h"}),
        ("KERAS", "kernel", "gru_reset_before", {"n": "h"}),
    ):
        stacking = getattr(weights, table)[kind]
        assert gate_order(stacking, tensor, names) in text, (table, kind)
    assert "bias_hh` stands inside the reset gate" in text
    assert weights.TORCH["gru"].blocks["d_n"] == (("bias_hh", 2),)


@pytest.mark.parametrize("table", ["TORCH", "KERAS"])
def test_every_parameter_of_a_cell_has_its_blocks_and_every_block_its_place(table):
    for kind, stacking in getattr(weights, table).items():
        needed = set(bptt.cells.get(kind).parameters)
        assert needed <= set(stacking.blocks), kind
        used = [block for name in needed for block in stacking.blocks[name]]
        assert len(used) == len(set(used)), kind
        for tensor in {tensor for tensor, _ in used}:
            numbers = sorted(number for owner, number in used if owner == tensor)
            is_stacked = tensor in stacking.stacked
            assert numbers == list(range(stacking.n_gates if is_stacked else 1)), kind


# ----- mistakes -----


def test_what_is_no_recurrent_layer_is_refused():
    with pytest.raises(
        bptt.errors.UnknownLayerError, match=r"found: none; names.*bias"
    ):
        bptt.from_torch(torch.nn.Linear(2, 3))
    two = torch.nn.ModuleDict({"a": torch.nn.GRU(2, 3), "b": torch.nn.GRU(2, 3)})
    with pytest.raises(bptt.errors.UnknownLayerError, match=r"found: 'a\.', 'b\.'"):
        bptt.from_torch(two)
    with pytest.raises(bptt.errors.UnknownLayerError, match="got int"):
        bptt.from_torch(3)
    odd = {"weight_ih_l0": np.ones((6, 2)), "weight_hh_l0": np.ones((6, 3))}
    with pytest.raises(bptt.errors.UnknownLayerError, match="2 blocks of 3 rows"):
        bptt.from_torch(odd)
    with pytest.raises(bptt.errors.UnknownLayerError, match="got 5"):
        bptt.from_keras([np.ones((2, 3))] * 5)
    with pytest.raises(bptt.errors.UnknownLayerError, match="has 2 blocks of 3"):
        bptt.from_keras([np.ones((2, 6)), np.ones((3, 6))])
    with pytest.raises(bptt.errors.UnknownLayerError, match="a list of those; got 3"):
        bptt.from_keras(3)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("LSTM", {"activation": "relu"}, "LSTM with activation='relu' is no cell"),
        ("LSTM", {"recurrent_activation": "hard_sigmoid"}, "='hard_sigmoid' is no"),
        ("SimpleRNN", {"go_backwards": True}, "go_backwards=True is no cell"),
    ],
)
def test_settings_that_no_cell_has_are_refused(name, options, message):
    with pytest.raises(bptt.errors.UnknownLayerError, match=message):
        bptt.from_keras(fill(make_keras(name, **options)))


def test_layers_that_do_not_go_together_are_refused():
    both = keras.layers.Bidirectional(make_keras("LSTM"), merge_mode="sum")
    both.build((N_B, TAU, N_X))
    with pytest.raises(bptt.errors.UnknownLayerError, match="merge_mode='sum'"):
        bptt.from_keras(both)
    one = [np.ones((4, 4)), np.ones((4, 4))]
    with pytest.raises(
        bptt.errors.UnknownLayerError, match="all bidirectional, or none"
    ):
        bptt.from_keras([one, one * 2])


def test_a_cell_that_the_other_library_lacks_is_refused():
    cell = bptt.cells.mgu
    params = cell.init(n_x=2, n_h=3)
    for export, library in ((bptt.to_torch, "torch"), (bptt.to_keras, "Keras")):
        with pytest.raises(
            bptt.errors.UntranslatableCellError, match=f"{library} has no layer for"
        ):
            export(cell, params)
    mixed = bptt.stack([bptt.cells.gru, bptt.cells.lstm])
    with pytest.raises(
        bptt.errors.UntranslatableCellError, match="layers of gru, lstm"
    ):
        bptt.to_torch(mixed, mixed.init(n_x=2, n_h_1=3, n_h_2=4))


OTHERS = {
    "an index": """
        j = 1, ..., n_head
        k[t, j] = W_k[j] @ x[t]
        S[t, j] = S[t-1, j] + outer(k[t, j], k[t, j])""",
    "a start": """
        h[0] = h_0
        a[t] = b + W @ h[t-1] + U @ x[t]
        h[t] = tanh(a[t])""",
    "a delay": """
        a[t] = b + W @ h[t-2] + U @ x[t]
        h[t] = tanh(a[t])""",
    "an output at the end": """
        a[t] = b + W @ h[t-1] + U @ x[t]
        h[t] = tanh(a[t])
        o = c + V @ h[tau]""",
}


@pytest.mark.parametrize("kind", OTHERS)
def test_a_cell_with_more_than_steps_is_refused_as_any_other(kind):
    cell = bptt.Cell(OTHERS[kind])
    params = cell.init(**dict(zip(cell.dims, (3, 2, 4, 5), strict=False)))
    for export in (bptt.to_torch, bptt.to_keras):
        with pytest.raises(bptt.errors.UntranslatableCellError, match="has no layer"):
            export(cell, params)
