"""One program for all that training asks of a network, with the same bits."""

import numpy as np
import pytest

from bptt import Cell, cells
from bptt.execute.compile import compiler
from bptt.train import DataRequest, TrainingOptions, open_data, train
from bptt.train.data.form import Form
from bptt.train.data.text import PlainText
from bptt.train.model import Model, as_model
from bptt.train.network import choose_forward, differentiate, request_of

pytest.importorskip("torch")
pytest.importorskip("safetensors")
RANDOM = np.random.default_rng(9)
TAU, N_B, N_X, N_O = 7, 5, 3, 4
LENGTHS = np.array([7, 2, 5, 7, 1])
TARGETS = {
    "nll": RANDOM.integers(0, N_O, (TAU, N_B)),
    "bce": RANDOM.random((TAU, N_B, N_O)) < 0.4,
    "mse": RANDOM.normal(size=(TAU, N_B, N_O)),
}
LOSSES = {
    "nll": "nll(softmax(o[t]), y[t])",
    "bce": "bce(sigmoid(o[t]), y[t])",
    "mse": "mse(o[t], y[t])",
}
PAIRS = (
    ("elman", "bce"), ("gru_reset_before", "mse"), ("lstm_projection", "nll"),
    ("leaky", "mse"), ("low_rank", "nll"), ("slstm", "bce"),
)  # fmt: skip

BOTH_WAYS = """
h_fw[t] = tanh(W_fw @ h_fw[t-1] + U_fw @ x[t])
h_bw[t] = tanh(W_bw @ h_bw[t+1] + U_bw @ x[t])
o[t] = c + V_fw @ h_fw[t] + V_bw @ h_bw[t]
L[t] = nll(softmax(o[t]), y[t])
"""


def make(name, loss):
    text = getattr(cells, name).with_readout().text
    return Cell(text.replace(LOSSES["nll"], LOSSES[loss]))


def arguments(cell, loss):
    sizes = {"n_x": N_X, "n_o": N_O, "n_r": 2, "n_s": 8}
    given = {dim: sizes.get(dim, 6) for dim in cell.dims}
    params = cell.init(seed=3, dtype=np.float32, **given)
    y = TARGETS[loss]
    y = y if loss == "nll" else y.astype(np.float32)
    x = RANDOM.normal(size=(TAU, N_B, N_X)).astype(np.float32)
    return params, cell.draw(params, {"x": x, "y": y}, seed=2)


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "ragged"])
@pytest.mark.parametrize(("name", "loss"), PAIRS)
def test_values_and_gradients_have_the_bits_of_programs_of_their_own(
    name, loss, lengths
):
    cell = make(name, loss)
    params, inputs = arguments(cell, loss)
    states = [n for n in cell.states if n in cell.nodes]
    first = cell.forward(params, inputs).final
    how = {
        "initial": {n: RANDOM.normal(size=a.shape) for n, a in first.items()},
        "weights": RANDOM.uniform(0, 1, (TAU, N_B)),
        "lengths": lengths,
    }
    own = cell.gradient(params, inputs, **how, nodes=states)
    shared = differentiate(cell, params, inputs, **how)
    assert shared.loss == own.loss
    for parameter in params:
        np.testing.assert_array_equal(shared[parameter], own[parameter])
    for state in states:
        np.testing.assert_array_equal(shared.nodes[state], own.nodes[state])
    model = Model(name, cell, loss, "o")
    values = cell.forward(params, inputs, **how)
    found = choose_forward(model, params, 0)(params, inputs, **how)
    assert found.loss == values.loss
    np.testing.assert_array_equal(found["o"], values["o"])
    for state, last in values.final.items():
        np.testing.assert_array_equal(found.final[state], last)
    with pytest.raises(KeyError, match="not among this run's nodes"):
        found["a"]


def test_a_cell_that_reads_ahead_shares_its_kernels_too():
    cell = Cell(BOTH_WAYS)
    params, inputs = arguments(cell, "nll")
    values = cell.forward(params, inputs, lengths=LENGTHS)
    found = cell.run_forward(
        cell.bind(params, inputs, lengths=LENGTHS), request_of(cell)
    )
    assert found.loss == values.loss
    np.testing.assert_array_equal(found["o"], values["o"])


def count_compilations(monkeypatch):
    compiled = []
    generate = compiler.generate

    def counted(plan, *rest):
        compiled.append(plan)
        return generate(plan, *rest)

    monkeypatch.setattr(compiler, "generate", counted)
    return compiled


@pytest.mark.parametrize(
    "options",
    [
        {"cell": "gru", "tau": 6},
        {"cell": "mgu", "tau": 6, "k1": 2, "k2": 6},
        {"cell": "lstm", "layers": 2, "dropout": 0.2, "tau": 5},
    ],
)
def test_a_run_on_text_compiles_once(options, small_text, quiet, tmp_path, monkeypatch):
    compiled = count_compilations(monkeypatch)
    text = PlainText(small_text.characters[:2500], source="words", n_files=1)
    given = TrainingOptions(n_h=7, n_b=3, validations=2, **options)
    report = train(text, given, tmp_path / "run", quiet)
    assert report.sample is not None
    assert len(compiled) == 1


@pytest.mark.parametrize("optimiser", ["adam", "lbfgs"])
def test_a_run_on_ragged_sequences_compiles_once(
    optimiser, quiet, tmp_path, monkeypatch
):
    x = RANDOM.normal(size=(20, TAU, N_X)).astype(np.float32)
    y = RANDOM.normal(size=(20, TAU, N_O)).astype(np.float32)
    lengths = RANDOM.integers(1, TAU + 1, 20)
    np.savez(tmp_path / "a.npz", x=x, y=y, lengths=lengths)
    data = open_data(DataRequest((tmp_path / "a.npz",)))
    options = TrainingOptions(
        cell="ugrnn", n_h=6, n_b=4, epochs=2, test=0.2, optimiser=optimiser
    )
    compiled = count_compilations(monkeypatch)
    report = train(data, options, tmp_path / "run", quiet)
    assert report.tested is not None
    assert len(compiled) == 1


def test_a_large_part_and_a_budget_have_a_forward_pass_of_their_own():
    cell = make("elman", "nll")
    params, _ = arguments(cell, "nll")

    steps = 20_000_000
    model = as_model("elman", cell, Form(N_X, False, "class", N_O))
    assert choose_forward(model, params, steps) != cell.forward
    many = dict(params, W=np.empty((200, 200), np.float32))
    assert choose_forward(model, many, steps) == cell.forward
    assert choose_forward(model, params, 0, {"memory": "1MB"}) == cell.forward
