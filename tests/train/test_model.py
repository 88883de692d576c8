"""From a cell's name or file to a model of characters."""

import numpy as np
import pytest

from bptt.train.data.form import Form
from bptt.train.errors import CellNotTrainableError, SizeNameError
from bptt.train.model import build_model as build
from bptt.train.model import find_scores, refuse_reading_ahead
from bptt.train.named_cell import load_cell
from bptt.train.options import TrainingOptions

LEAKY = """
alpha: ()
z[t] = b + W @ h[t-1] + U @ x[t]
h[t] = (1 - sigmoid(alpha)) * h[t-1] + sigmoid(alpha) * tanh(z[t])
"""
WHOLE = """
h[t] = tanh(b + W @ h[t-1] + U[:, x[t]])
k[t] = relu(K @ h[t])
o[t] = c + V @ k[t]
L[t] = nll(softmax(o[t]), y[t])
"""


def text_form(n):
    return Form(n, True, "class", n)


TEXT = text_form(7)


def build_model(cell, form, **given):
    return build(TrainingOptions(cell=cell, **given), form)


def write(tmp_path, text):
    file = tmp_path / "mine.cell"
    file.write_text(text)
    return str(file)


@pytest.mark.parametrize("name", ["book", "elman", "lstm", "gru"])
def test_a_built_in_cell_becomes_a_model_of_tokens(name):
    model = build_model(name, text_form(11))
    parameters = model.init(text_form(11), TrainingOptions(n_h=5))
    x = np.random.default_rng(0).integers(0, 11, (3, 2))
    run = model.cell.forward(parameters, {"x": x, "y": x}, reduction="mean")
    assert run["o"].shape == (3, 2, 11)
    exponentials = np.exp(run["o"].astype(np.float64))
    y_hat = exponentials / exponentials.sum(axis=-1, keepdims=True)
    picked = np.take_along_axis(y_hat, x[..., None], axis=-1)
    assert float(run.loss) == pytest.approx(-np.log(picked).mean(), rel=1e-6)


def test_a_file_without_loss_gets_a_look_up_and_a_read_out(tmp_path):
    model = build_model(write(tmp_path, LEAKY), TEXT)
    assert "U[:, x[t]]" in model.cell.text
    parameters = model.init(text_form(7), TrainingOptions(n_h=4))
    assert {name: p.shape for name, p in parameters.items()} == {
        "alpha": (),
        "b": (4,),
        "W": (4, 4),
        "U": (4, 7),
        "c": (7,),
        "V": (7, 4),
    }


def test_a_whole_model_is_taken_as_it_is_with_its_own_sizes(tmp_path):
    model = build_model(write(tmp_path, WHOLE), TEXT)
    options = TrainingOptions(n_h=4, sizes={"n_k": 3})
    parameters = model.init(text_form(7), options)
    assert parameters["K"].shape == (3, 4)
    assert parameters["V"].shape == (7, 3)
    assert parameters["U"].shape == (4, 7)


def test_a_size_without_a_dimension_is_named(tmp_path):
    model = build_model(write(tmp_path, WHOLE), TEXT)
    with pytest.raises(SizeNameError) as caught:
        model.init(text_form(7), TrainingOptions(sizes={"n_q": 3}))
    assert str(caught.value).startswith("--size n_q=...: the cell ")
    assert "Free are: n_h, n_k" in str(caught.value)


def test_a_size_of_the_vocabulary_is_refused():
    with pytest.raises(SizeNameError, match="by the data"):
        build_model("lstm", text_form(7)).init(
            text_form(7), TrainingOptions(sizes={"n_o": 3})
        )


def test_a_cell_with_other_inputs_is_refused(tmp_path):
    text = LEAKY.replace("U @ x[t]", "U @ x[t] + Q @ z0[t]")
    with pytest.raises(
        CellNotTrainableError,
        match=r"it reads z0, one \(n_z0\) per step, which the data lacks",
    ):
        build_model(write(tmp_path, text), TEXT)


@pytest.mark.parametrize(
    "text",
    [
        "h[t] = tanh(U @ x[t] + W @ h[t+1])",
        "h[t] = tanh(U[:, x[t]] + A[:, x[t+1]] + W @ h[t-1])",
    ],
)
def test_a_cell_that_reads_ahead_is_refused(tmp_path, text):
    model = build_model(write(tmp_path, text), TEXT)
    refuse_reading_ahead(model, None)
    with pytest.raises(CellNotTrainableError, match=r"it reads [hx]\[t\+1\], and no"):
        refuse_reading_ahead(model, "nothing follows")


def test_the_scores_are_found_by_what_they_do_not_by_their_name(tmp_path):
    text = WHOLE.replace("o[t]", "scores[t]")
    model = build_model(write(tmp_path, text), TEXT)
    assert model.scores == "scores"
    assert model.sizes(TEXT) == {"n_x": 7, "n_scores": 7}
    assert model.init(text_form(7), TrainingOptions(n_h=4))["V"].shape == (7, 4)
    assert build_model("book", TEXT).scores == "o"


def test_an_output_gate_called_o_is_not_taken_for_the_scores(tmp_path):
    text = (
        "o[t] = sigmoid(b_o + W_o @ h[t-1] + U_o @ x[t])\n"
        "h[t] = o[t] * tanh(b + W @ h[t-1] + U @ x[t])\n"
    )
    model = build_model(write(tmp_path, text), TEXT)
    assert model.scores != "o"
    parameters = model.init(text_form(7), TrainingOptions(n_h=4))
    run = model.cell.forward(parameters, {"x": [[1]], "y": [[2]]})
    assert run[model.scores].shape == (1, 1, 7)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("nll(softmax(o[t]), y[t])", "nll(sigmoid(o[t]), y[t])"),
        ("nll(softmax(o[t]), y[t])", "nll(softmax(1 * o[t]), y[t])"),
    ],
)
def test_a_loss_without_softmax_of_a_named_vector_says_how_to_write_it(
    tmp_path, old, new
):
    with pytest.raises(CellNotTrainableError, match="on a line of its own"):
        find_scores(build_model(write(tmp_path, WHOLE.replace(old, new)), TEXT))


def test_the_same_seed_gives_the_same_parameters():
    first, second = (
        build_model("gru", text_form(5)).init(text_form(5), TrainingOptions())
        for _ in range(2)
    )
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])
        assert first[name].dtype == np.float32


def test_a_built_in_cell_is_loaded_by_name():
    assert load_cell("book").states == ("h",)


VECTORS = Form(3, False, "real", 2)


@pytest.mark.parametrize(
    ("name", "target", "loss", "y"),
    [
        ("book", "class", "nll", np.array([[1, 0], [0, 1], [1, 1]])),
        ("lstm", "class", "nll", np.array([[1, 0], [0, 1], [1, 1]])),
        ("lstm", "multi-hot", "bce", np.eye(2)[[[1, 0], [0, 1], [1, 1]]]),
        ("lstm", "real", "mse", np.arange(12.0).reshape(3, 2, 2)),
    ],
)
def test_the_read_out_and_the_loss_follow_from_the_targets(name, target, loss, y):
    form = Form(3, False, target, 2)
    model = build_model(name, form)
    assert model.loss == loss
    parameters = model.init(form, TrainingOptions(n_h=4))
    x = np.random.default_rng(0).normal(size=(3, 2, 3))
    run = model.cell.forward(parameters, {"x": x, "y": y})
    o = run[model.scores].astype(np.float64)
    p = 1 / (1 + np.exp(-o))
    expected = {
        "nll": lambda: (
            -np.log(
                np.take_along_axis(np.exp(o), y[..., None], -1)[..., 0]
                / np.exp(o).sum(axis=-1)
            )
        ),
        "bce": lambda: -(y * np.log(p) + (1 - y) * np.log(1 - p)).sum(axis=-1),
        "mse": lambda: ((o - y) ** 2).mean(axis=-1),
    }[loss]()
    np.testing.assert_allclose(run["L"], expected, rtol=1e-5)


def test_targets_that_do_not_fit_the_loss_say_which_do():
    with pytest.raises(CellNotTrainableError) as caught:
        build_model("book", VECTORS)
    assert "its loss nll needs targets y that are class indices (integers)" in str(
        caught.value
    )
    assert "the data's are real" in str(caught.value)


def test_tokens_for_a_cell_that_reads_vectors_are_looked_up_and_the_reverse_refused(
    tmp_path,
):
    with pytest.raises(CellNotTrainableError, match="its x is read as tokens, but"):
        build_model(write(tmp_path, WHOLE), Form(3, False, "class", 7))


def test_layers_of_tokens_have_a_look_up_below_and_masks_where_they_were():
    model = build_model(
        "elman", TEXT, layers=2, dropout=0.2, recurrent_dropout=0.1, zoneout=0.3
    )
    text = model.cell.canonical_text
    assert "U_1[:, x[t]]" in text
    assert text.count("variational_dropout(0.1)") == 2
    assert text.count("= dropout(0.2)") == 1
    assert text.count("bernoulli(0.3)") == 2
    parameters = model.init(TEXT, TrainingOptions(n_h=4))
    x = np.array([[1, 2], [3, 0], [6, 5]])
    inputs = model.cell.draw(parameters, {"x": x, "y": x}, mean=True)
    run = model.cell.forward(parameters, inputs, executor="reference")
    # At the mean of its mask, a state is a mixture of its old and its new value.
    h = 0.7 * np.tanh(parameters["U_1"][:, x[0]].T)
    np.testing.assert_allclose(run["h_1"][0], h, rtol=1e-6)


def test_a_layer_whose_output_is_called_y_is_scored_on_the_targets_y(tmp_path):
    text = "s[t] = tanh(W @ s[t-1] + U @ x[t])\ny[t] = A @ s[t] + B @ x[t]"
    model = build_model(write(tmp_path, text), Form(3, False, "real", 2))
    assert model.cell.graph.inputs["y"].shape == ("n_o",)
    assert "r[t] = A @ s[t] + B @ x[t]" in model.cell.text
    params = model.cell.init(n_x=3, n_s=4, n_r=5, n_o=2, seed=0)
    x = np.random.default_rng(0).standard_normal((6, 2, 3))
    run = model.cell.forward(params, {"x": x, "y": np.zeros((6, 2, 2))})
    own = load_cell(write(tmp_path, text))
    mine = own.forward({n: params[n] for n in own.parameters}, {"x": x})
    assert np.allclose(run["r"], mine["y"], rtol=1e-12)
    assert np.allclose(run["o"], mine["y"] @ params["V"].T + params["c"], rtol=1e-12)
