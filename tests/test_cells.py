"""The library's cells against their equations in plain NumPy, and their variants."""

import numpy as np
import pytest

from bptt import Cell, cells, errors

TAU, N_B, N_X, N_H = 6, 5, 2, 3


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def step_elman(p, x, h):
    return {"h": np.tanh(p["b"] + p["W"] @ h["h"] + p["U"] @ x)}


def step_lstm(p, x, old):
    def gate(name):
        return p[f"b_{name}"] + p[f"W_{name}"] @ old["h"] + p[f"U_{name}"] @ x

    s = sigmoid(gate("f")) * old["s"] + sigmoid(gate("i")) * np.tanh(gate("g"))
    return {"s": s, "h": sigmoid(gate("q")) * np.tanh(s)}


def step_gru(p, x, old):
    h = old["h"]
    z = sigmoid(p["b_z"] + p["W_z"] @ h + p["U_z"] @ x)
    r = sigmoid(p["b_r"] + p["W_r"] @ h + p["U_r"] @ x)
    n = np.tanh(p["b_n"] + p["U_n"] @ x + r * (p["d_n"] + p["W_n"] @ h))
    return {"h": (1 - z) * n + z * h}


def step_gru_reset_before(p, x, old):
    h = old["h"]
    z = sigmoid(p["b_z"] + p["W_z"] @ h + p["U_z"] @ x)
    r = sigmoid(p["b_r"] + p["W_r"] @ h + p["U_r"] @ x)
    n = np.tanh(p["b_n"] + p["W_n"] @ (r * h) + p["U_n"] @ x)
    return {"h": z * h + (1 - z) * n}


STEPS = {
    "elman": step_elman, "lstm": step_lstm, "gru": step_gru,
    "gru_reset_before": step_gru_reset_before,
}  # fmt: skip


def made(cell, **sizes):
    rng = np.random.default_rng(7)
    params = {
        name: rng.standard_normal([sizes[dim] for dim in shape])
        for name, shape in cell.parameters.items()
    }
    return params, rng.standard_normal((TAU, N_B, N_X))


def test_the_library_is_known_by_name():
    assert set(STEPS) | {"book"} <= set(cells.names())
    assert cells.lstm is cells.get("lstm")
    assert set(cells.names()) <= set(dir(cells))
    with pytest.raises(
        errors.UnknownCellError,
        match=r"called rnn; there are: .*; did you mean irnn\?",
    ):
        cells.get("rnn")
    with pytest.raises(AttributeError, match="no cell 'rnn'"):
        cells.rnn  # noqa: B018


@pytest.mark.parametrize("name", STEPS)
def test_a_cell_computes_its_equations(name):
    cell = cells.get(name)
    params, x = made(cell, n_x=N_X, n_h=N_H)
    run = cell.forward(params, {"x": x})
    for row in range(N_B):
        states = dict.fromkeys(cell.states, np.zeros(N_H))
        for t in range(TAU):
            states = STEPS[name](params, x[t, row], states)
            for state, value in states.items():
                np.testing.assert_allclose(
                    run[state][t, row], value, rtol=1e-13, atol=1e-15
                )


def test_the_book_computes_its_equations():
    params, x = made(cells.book, n_x=N_X, n_h=N_H, n_o=4)
    y = np.arange(TAU * N_B).reshape(TAU, N_B) % 4
    run = cells.book.forward(params, {"x": x, "y": y})
    h, total = np.zeros((N_B, N_H)), 0
    for t in range(TAU):
        h = np.tanh(params["b"] + h @ params["W"].T + x[t] @ params["U"].T)
        o = params["c"] + h @ params["V"].T
        y_hat = np.exp(o) / np.exp(o).sum(axis=1, keepdims=True)
        total -= np.log(y_hat[np.arange(N_B), y[t]]).sum()
        np.testing.assert_allclose(run["y_hat"][t], y_hat, rtol=1e-13)
    assert run.loss == pytest.approx(total, rel=1e-14)


@pytest.mark.parametrize("name", STEPS)
def test_fixed_values(name):
    """x = 1, -0.5; every weight 0.1, every bias 0.2: worked out once and kept."""
    cell = cells.get(name)
    params = {
        n: np.full([{"n_x": 2, "n_h": 3}[d] for d in shape], (0.2, 0.1)[len(shape) - 1])
        for n, shape in cell.parameters.items()
    }
    h = cell.forward(params, {"x": np.array([[1.0, -0.5]] * 3)})["h"]
    assert h[:, 0].tolist() == pytest.approx(FIXED[name], rel=1e-14)


FIXED = {
    "elman": [0.24491866240370913, 0.3126461869555974, 0.3308601732889719],
    "lstm": [0.07691922510256097, 0.1280846925654957, 0.16212936367693423],
    "gru": [0.15208119153135746, 0.24593839365228587, 0.3053614893877995],
    "gru_reset_before": [0.10723114577196187, 0.17380348721960323, 0.2159169155480364],
}


@pytest.mark.parametrize("name", ["book", *STEPS])
def test_tokens_equal_one_hot_vectors(name):
    cell = cells.get(name)
    params, _ = made(cell, n_x=N_X, n_h=N_H, n_o=4)
    index = np.random.default_rng(1).integers(0, N_X, (TAU, N_B))
    inputs, options = {"y": np.zeros((TAU, N_B), int)}, {}
    if cell.graph.loss is None:
        inputs = {}
        options = {"seeds": {"h": np.random.default_rng(2).random((TAU, N_B, N_H))}}
    tokens = cell.with_tokens()
    assert tokens.graph.inputs["x"].index == "n_x"
    assert tokens.parameters == cell.parameters
    dense = cell.gradient(params, {"x": np.eye(N_X)[index], **inputs}, **options)
    sparse = tokens.gradient(params, {"x": index, **inputs}, **options)
    for parameter in params:
        np.testing.assert_allclose(
            sparse[parameter], dense[parameter], rtol=1e-12, atol=1e-13
        )
        np.testing.assert_allclose(
            sparse.copies[parameter][2], dense.copies[parameter][2], atol=1e-13
        )


def test_an_input_used_otherwise_cannot_become_a_token():
    with pytest.raises(
        errors.IndexKindError, match="input x is used in `mul`, not only"
    ):
        Cell("h[t] = tanh(U @ x[t] + x[t] * b)").with_tokens()


def test_a_readout_is_added_once_and_its_names_are_free():
    cell = cells.lstm.with_readout()
    assert cell.nodes["o"] == ("n_o",)
    assert cell.parameters["V"] == ("n_o", "n_h")
    assert cell.with_readout() is cell
    assert cell.graph.parameters["b_f"].initial.arguments == (1.0,)
    taken = Cell("o[t] = tanh(c + V @ o[t-1] + y[t])").with_readout()
    assert taken.canonical_text.endswith(
        "o_out[t] = c_out + V_out @ o[t]\nL[t] = nll(softmax(o_out[t]), y_out[t])\n"
    )
    with pytest.raises(errors.NoLossError, match="no vector that could be read out"):
        Cell("P[t] = W + P[t-1]").with_readout()


def test_the_readout_reads_h_or_else_the_last_vector():
    first = Cell("h[t] = tanh(U @ x[t])\nz[t] = tanh(W @ h[t])").with_readout()
    assert "V @ h[t]" in first.canonical_text
    other = Cell("g[t] = tanh(U @ x[t])\nz[t] = tanh(W @ g[t])").with_readout()
    assert "V @ z[t]" in other.canonical_text


def test_a_cell_file_is_loaded_or_refused(tmp_path):
    file = tmp_path / "mine.cell"
    file.write_bytes("\ufeffh[t] = tanh(U @ x[t])\r\n".encode())
    assert Cell.load(file).nodes == {"h": ("n_h",)}
    for written, at in ((b"h[t] = \xff", 7), ("h[t] = x[t]".encode("utf-16"), 0)):
        file.write_bytes(written)
        said = rf"mine\.cell: byte {at} begins no sign of UTF-8\. .* as UTF-8$"
        with pytest.raises(errors.CellFileError, match=said):
            Cell.load(file)
    with pytest.raises(errors.CellFileError, match="No such file"):
        Cell.load(tmp_path / "absent.cell")
