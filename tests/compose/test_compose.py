"""Stacks, both directions, residuals, dropout, zoneout and noise, against NumPy."""

from pathlib import Path

import numpy as np
import pytest

import bptt
from bptt import Cell, cells, errors

TAU, N_B = 5, 3
SIZES = {"n_x": 2, "n_h": 4, "n_h_1": 4, "n_h_2": 6, "n_o": 5, "n_p": 7}
# A cell that passes a vector on which is neither called h nor defined last.
DEEP = Cell("""
h: (n_h)
z[t] = tanh(W @ z[t-1] + U @ x[t])
h[t] = tanh(A @ z[t])
m[t] = relu(z[t])
""")


def arrays(cell, seed=0):
    rng = np.random.default_rng(seed)
    params = {
        name: 0.5 * rng.standard_normal([SIZES[dim] for dim in shape])
        for name, shape in cell.parameters.items()
    }
    inputs = {"x": rng.standard_normal((TAU, N_B, SIZES["n_x"]))}
    return params, cell.draw(params, inputs, seed=seed)


def lines(cell):
    """The equations alone."""
    return [line for line in cell.canonical_text.splitlines() if "[t] = " in line]


def tanh_layer(p, end, x, drop=1.0):
    """Elman in NumPy, with the parameters whose names end in `end`."""
    h, rows = np.zeros((N_B, len(p[f"b{end}"]))), []
    for t in range(TAU):
        h = np.tanh(p[f"b{end}"] + h @ p[f"W{end}"].T + x[t] @ p[f"U{end}"].T)
        rows.append(h)
    return np.stack(rows)


# ----- stacks -----


def test_a_stack_computes_its_layers_one_after_the_other():
    cell = bptt.stack([cells.elman, cells.elman])
    params, inputs = arrays(cell)
    first = tanh_layer(params, "_1", inputs["x"])
    run = cell.forward(params, inputs, executor="reference")
    np.testing.assert_allclose(run["h_1"], first, rtol=1e-12)
    np.testing.assert_allclose(run["h_2"], tanh_layer(params, "_2", first), rtol=1e-12)


def test_the_names_and_sizes_of_a_stack_can_be_foretold():
    same, mixed = bptt.stack(cells.lstm, 3), bptt.stack([cells.elman, cells.gru])
    assert same.dims == ("n_x", "n_h")
    assert same.states[-2:] == ("h_3", "s_3")
    assert same.parameters["W_f_3"] == same.parameters["U_f_3"] == ("n_h", "n_h")
    assert mixed.dims == ("n_x", "n_h_1", "n_h_2")
    assert mixed.parameters["U_z_2"] == ("n_h_2", "n_h_1")
    assert tuple(mixed.inputs) == ("x",)
    assert bptt.stack([cells.elman, cells.gru], residual=True).dims == ("n_x", "n_h")
    assert Cell(mixed.canonical_text).canonical_text == mixed.canonical_text


def test_initial_values_of_a_stack_are_those_of_its_layers():
    cell = bptt.stack(cells.lstm, 2)
    params = cell.init(n_x=3, n_h=5, seed=1)
    assert params["b_f_2"].tolist() == [1.0] * 5
    np.testing.assert_allclose(
        params["W_g_2"].T @ params["W_g_2"], np.eye(5), atol=1e-12
    )
    gram = params["U_g_2"].T @ params["U_g_2"]
    assert np.abs(gram - np.eye(5)).max() > 0.1  # Glorot, as U of the cell alone
    assert np.abs(params["U_g_2"]).max() <= np.sqrt(6 / 10)


def test_a_residual_connection_adds_what_the_layer_was_given():
    cell = bptt.stack(cells.elman, 3, residual=True)
    params, inputs = arrays(cell)
    run = cell.forward(params, inputs, executor="reference")
    first = tanh_layer(params, "_1", inputs["x"])
    second = tanh_layer(params, "_2", first) + first
    third = tanh_layer(params, "_3", second) + second
    np.testing.assert_allclose(run["h_3_res"], third, rtol=1e-12)
    assert "V @ h_3_res[t]" in cell.with_readout().canonical_text


def test_dropout_between_layers_masks_all_but_the_last_output():
    cell = bptt.stack(cells.elman, 3, dropout=0.4)
    params, inputs = arrays(cell)
    assert sorted(set(cell.inputs) - {"x"}) == ["h_1_mask", "h_2_mask"]
    below = inputs["x"]
    for k in (1, 2, 3):
        below = tanh_layer(params, f"_{k}", below)
        if k < 3:
            mask = inputs[f"h_{k}_mask"]
            np.testing.assert_allclose(np.unique(mask), [0, 1 / 0.6])
            below = below * mask
    np.testing.assert_allclose(
        cell.forward(params, inputs, executor="reference")["h_3"], below, rtol=1e-12
    )


def test_a_stack_ends_with_what_it_passes_on():
    stacked = bptt.stack(DEEP, 2)
    assert lines(stacked)[-1] == "h_2_out[t] = h_2[t]"
    assert "tanh(W_2 @ z_2[t-1] + U_2 @ h_1[t])" in stacked.canonical_text
    both = bptt.bidirectional(DEEP)
    assert lines(both)[-2:] == ["out_fw[t] = h_fw[t]", "out_bw[t] = h_bw[t]"]
    assert "V_fw @ out_fw[t] + V_bw @ out_bw[t]" in both.with_readout().canonical_text


def test_a_stack_of_tokens_looks_up_in_the_first_layer_alone():
    cell = bptt.stack(cells.elman, 2).with_tokens()
    assert "U_1[:, x[t]]" in cell.canonical_text
    assert "U_2 @ h_1[t]" in cell.canonical_text
    other = bptt.stack([cells.elman.with_tokens(), cells.elman])
    assert other.inputs == {"x": ()}
    assert other.graph.inputs["x"].index == "n_x"


@pytest.mark.parametrize("lag", ["t-1", "t+1", "t-3", "t+2"])
def test_a_token_of_another_step_is_a_column_too(lag):
    cell = Cell(f"h[t] = tanh(b + W @ h[t-1] + U @ x[t] + R @ x[{lag}])").with_readout()
    tokens = cell.with_tokens()
    assert f"R[:, x[{lag}]]" in tokens.canonical_text
    params = cell.init(n_x=4, n_h=3, n_o=2, seed=0)
    x = np.array([1, 3, 2, 0, 3])
    far = abs(int(lag[1:]))
    start = np.array([2, 1, 3][:far])
    y = np.array([0, 1, 1, 0, 1])
    hot = np.eye(4)
    one, other = (
        made.gradient(params, {"x": given, "y": y}, initial={"x": before})
        for made, given, before in (
            (cell, hot[x], hot[start[0]] if far == 1 else hot[start]),
            (tokens, x, start[0] if far == 1 else start),
        )
    )
    for name in params:
        np.testing.assert_allclose(other[name], one[name], atol=1e-12)


def test_a_layer_that_reads_its_input_one_step_late_reads_the_state_below():
    late = Cell("h[t] = tanh(U @ x[t] + A @ x[t-1])")
    cell = bptt.stack([cells.elman, late])
    assert "tanh(U_2 @ h_1[t] + A_2 @ h_1[t-1])" in cell.canonical_text
    assert cell.states == ("h_1",)


# ----- both directions -----


def test_both_directions_are_two_layers_of_which_one_sees_time_reversed():
    cell = bptt.bidirectional(cells.elman)
    params, inputs = arrays(cell)
    run = cell.forward(params, inputs, executor="reference")
    x = inputs["x"]
    np.testing.assert_allclose(run["h_fw"], tanh_layer(params, "_fw", x), rtol=1e-12)
    turned = tanh_layer(params, "_bw", x[::-1])[::-1]
    np.testing.assert_allclose(run["h_bw"], turned, rtol=1e-12)
    np.testing.assert_allclose(run.final["h_bw"], turned[0], rtol=1e-12)


def test_a_layer_above_both_directions_cuts_its_matrix_in_two():
    cell = bptt.stack([bptt.bidirectional(cells.elman), cells.elman], residual=False)
    params, inputs = arrays(cell)
    assert cell.parameters["U_2_fw"] == ("n_h_2", "n_h_1")
    run = cell.forward(params, inputs, executor="reference")
    joined = np.concatenate([run["h_fw_1"], run["h_bw_1"]], axis=2)
    params["U_2"] = np.concatenate([params["U_2_fw"], params["U_2_bw"]], axis=1)
    np.testing.assert_allclose(run["h_2"], tanh_layer(params, "_2", joined), rtol=1e-12)


def test_the_two_directions_may_be_two_cells():
    cell = bptt.bidirectional(cells.elman, cells.gru)
    assert cell.dims == ("n_x", "n_h_fw", "n_h_bw")
    assert cell.graph.backward == {"h_bw"}
    again = bptt.bidirectional(Cell("h[t] = tanh(W @ h[t+1] + U @ x[t])"))
    assert again.graph.backward == {"h_fw"}


@pytest.mark.parametrize("executor", ["reference", "llvm"])
def test_a_ragged_batch_runs_each_sequence_backward_from_its_own_end(executor):
    cell = bptt.bidirectional(bptt.zoneout(cells.elman, 0.3))
    params, inputs = arrays(cell)
    rng = np.random.default_rng(1)
    initial = {name: rng.standard_normal((N_B, 4)) for name in cell.states}
    seeds = {name: rng.standard_normal((TAU, N_B, 4)) for name in cell.states}
    lengths = [TAU, 2, 4]
    batch = cell.gradient(
        params, inputs, initial=initial, seeds=seeds, lengths=lengths,
        initial_gradient=True, executor=executor,
    )  # fmt: skip
    total = dict.fromkeys(params, 0.0)
    for row, length in enumerate(lengths):
        alone = cell.gradient(
            params, {name: array[:length, row] for name, array in inputs.items()},
            initial={name: array[row] for name, array in initial.items()},
            seeds={name: array[:length, row] for name, array in seeds.items()},
            initial_gradient=True, executor="reference",
        )  # fmt: skip
        total = {name: total[name] + alone[name] for name in params}
        for state in cell.states:
            for found, expected in (
                (batch.final, alone.final),
                (batch.initial, alone.initial),
            ):
                np.testing.assert_allclose(
                    found[state][row], expected[state], rtol=1e-10, atol=1e-12
                )
    for name in params:
        np.testing.assert_allclose(batch[name], total[name], rtol=1e-10, atol=1e-12)


# ----- dropout, zoneout, noise -----


def test_dropout_masks_what_is_read():
    cell = bptt.dropout(cells.lstm, x=0.2, h=0.3, g=0.4)
    text = cell.canonical_text
    assert lines(cell)[:2] == [
        "h_drop[t] = h_mask[t] * h[t-1]", "x_drop[t] = x_mask[t] * x[t]"
    ]  # fmt: skip
    assert "i[t] = sigmoid(b_i + W_i @ h_drop[t] + U_i @ x_drop[t])" in text
    assert "s[t] = f[t] * s[t-1] + i[t] * g_drop[t]" in text
    assert text.count("h[t-1]") == 1
    _, inputs = arrays(cell)
    assert {name: len(np.unique(inputs[f"{name}_mask"])) for name in "xhg"} == {
        "x": 2, "h": 2, "g": 2
    }  # fmt: skip


def test_variational_dropout_has_one_mask_for_the_whole_sequence():
    cell = bptt.dropout(cells.elman, h=0.5, variational=True)
    _, inputs = arrays(cell)
    mask = inputs["h_mask"]
    assert np.ptp(mask, axis=0).max() == 0
    assert set(np.unique(mask)) == {0.0, 2.0}


def test_a_mask_is_refused_where_a_node_is_multiplied_and_handed_on():
    cell = bptt.Cell("p[t] = u * h[t-1]\nh[t] = tanh(W @ p[t]) + p[t]\ny[t] = V @ h[t]")
    with pytest.raises(errors.LayerError, match="handed on without it as well"):
        bptt.dropout(cell, h=0.3)
    kept = bptt.Cell("p[t] = u * h[t-1]\nh[t] = tanh(W @ p[t]) + h[t-1]")
    text = bptt.dropout(kept, h=0.3).canonical_text
    assert "p[t] = u * h_drop[t]" in text
    assert "+ h[t-1]" in text


@pytest.mark.parametrize(
    ("name", "masked", "whole"),
    [
        ("gru", 3, "z[t] * h[t-1]"),
        ("gru_reset_before", 3, "z[t] * h[t-1]"),
        ("antisymmetric", 1, "h[t-1] +"),
        ("mgu", 2, "h[t-1]"),
        ("indrnn", 1, None),
    ],
)
def test_a_gate_hands_a_state_on_without_a_mask(name, masked, whole):
    text = bptt.dropout(getattr(cells, name), h=0.3, variational=True).canonical_text
    equations = text.split("h_drop[t] = h_mask[t] * h[t-1]")[1]
    assert equations.count("h_drop[t]") == masked
    assert (whole in equations) if whole else ("h[t-1]" not in equations)


def test_recurrent_dropout_of_a_gru_does_not_grow_with_the_sequence():
    cell = bptt.dropout(cells.gru, h=0.5, variational=True)
    params = cell.init(n_x=2, n_h=4, seed=0)
    params["b_z"][:] = 20.0  # the old state is kept
    inputs = cell.draw(params, {"x": np.zeros((200, 1, 2))}, seed=0)
    run = cell.forward(params, inputs, initial={"h": np.ones(4)}, executor="reference")
    assert np.abs(run["h"]).max() <= 1


def test_zoneout_keeps_a_state_where_the_mask_is_1():
    """Krueger et al. (2017), equation 5, in NumPy: h reads the new s, not the kept."""
    cell = bptt.zoneout(cells.lstm, h=0.3, s=0.6)
    params, inputs = arrays(cell)
    h, s = np.zeros((N_B, 4)), np.zeros((N_B, 4))
    run = cell.forward(params, inputs, executor="reference")

    def gate(name, function):
        x = inputs["x"][t] @ params[f"U_{name}"].T
        return function(params[f"b_{name}"] + h @ params[f"W_{name}"].T + x)

    def sigmoid(z):
        return 1 / (1 + np.exp(-z))

    for t in range(TAU):
        i, f, q = (gate(name, sigmoid) for name in "ifq")
        new_s = f * s + i * gate("g", np.tanh)
        new_h = q * np.tanh(new_s)
        keep_h, keep_s = inputs["h_zone"][t], inputs["s_zone"][t]
        h = keep_h * h + (1 - keep_h) * new_h
        s = keep_s * s + (1 - keep_s) * new_s
        np.testing.assert_allclose(run["h"][t], h, rtol=1e-12)
        np.testing.assert_allclose(run["s"][t], s, rtol=1e-12)


def test_a_read_out_sees_the_kept_state():
    cell = bptt.zoneout(cells.elman.with_readout(), 0.2)
    assert "o[t] = c + V @ h[t]" in lines(cell)
    assert lines(cell).index("o[t] = c + V @ h[t]") > 1
    assert "h_new[t] = tanh(a[t])" in lines(cell)


def test_noise_is_added_to_a_node_and_to_an_input():
    cell = bptt.noise(cells.elman, a=0.1, x=0.2)
    assert lines(cell) == [
        "x_noisy[t] = x[t] + x_noise[t]",
        "a[t] = b + W @ h[t-1] + U @ x_noisy[t] + a_noise[t]",
        "h[t] = tanh(a[t])",
    ]


@pytest.mark.parametrize(
    "cell",
    [
        bptt.stack(bptt.bidirectional(Cell("h[t] = tanh(W @ h[t-1] + U @ x[t])")), 2,
                   residual=True, dropout=0.3).with_readout(),
        bptt.noise(bptt.dropout(bptt.zoneout(cells.elman, 0.2), x=0.1, h=0.2), a=0.1),
    ],
    ids=["stack of both directions", "masks and noise"],
)  # fmt: skip
def test_what_is_composed_passes_the_check_and_compiles(cell, recwarn):
    ledger = cell.check(instances=1)
    assert ledger.passed
    assert not [row for row in ledger.rows if row.status == "not checked"]
    assert not [w for w in recwarn if "NumPy" in str(w.message)]


# ----- draws -----


def test_a_draw_repeats_by_seed_and_differs_by_name_and_seed():
    cell = bptt.zoneout(cells.lstm, 0.5)
    params, first = arrays(cell, seed=3)
    again = cell.draw(params, {"x": first["x"]}, seed=3)
    other = cell.draw(params, {"x": first["x"]}, seed=4)
    np.testing.assert_array_equal(first["h_zone"], again["h_zone"])
    assert (first["h_zone"] != first["s_zone"]).any()
    assert (first["h_zone"] != other["h_zone"]).any()


def test_draws_have_the_mean_and_spread_that_is_declared():
    """20,000 draws: a mean is within 5 standard errors, at most 5 * 2 / sqrt(20000)."""
    cell = Cell("""
    m: n_h = dropout(0.2)
    k: n_h = bernoulli(0.3)
    e: n_h = normal(2)
    u: n_h = uniform(1, 3)
    v: n_h = variational_dropout(0.2)
    h[t] = tanh(U @ x[t]) * m[t] * k[t] * u[t] * v[t] + e[t]
    """)
    params, x = {"U": np.ones((10, 1), np.float32)}, np.ones((200, 10, 1), np.float32)
    drawn = cell.draw(params, {"x": x}, seed=5)
    means = cell.draw(params, {"x": x}, mean=True)
    bound = 5 * 2 / np.sqrt(20000)
    for name, mean, deviation in (
        ("m", 1, 0.5), ("k", 0.3, 0.458), ("e", 0, 2), ("u", 2, 0.577)
    ):  # fmt: skip
        assert drawn[name].dtype == np.float32
        assert drawn[name].shape == means[name].shape == (200, 10, 10)
        assert abs(drawn[name].mean() - mean) < bound
        assert abs(drawn[name].std() - deviation) < bound
        np.testing.assert_allclose(means[name], mean)
    assert means["v"].min() == means["v"].max() == 1


def test_a_draw_is_given_without_a_batch_axis_too_and_never_replaced():
    cell = bptt.dropout(cells.elman, h=0.5)
    params = cell.init(n_x=2, n_h=4)
    x = np.ones((TAU, 2))
    assert cell.draw(params, {"x": x})["h_mask"].shape == (TAU, 4)
    mine = np.ones((TAU, 4))
    assert cell.draw(params, {"x": x, "h_mask": mine})["h_mask"] is mine


# ----- mistakes -----

NARROW = Cell("x: 3\nh[t] = tanh(W @ h[t-1] + U @ x[t])")
WIDE = Cell("h: 5\nh[t] = tanh(W @ h[t-1] + U @ x[t])")
TIED = Cell("h[t] = tanh(U @ x[t] + U @ (U.T @ h[t-1]))")
GATED = Cell("h[t] = x[t] * sigmoid(U @ x[t]) + h[t-1]")
MISTAKES = [
    (lambda: bptt.stack([WIDE, NARROW]), errors.StackSizeError,
     r"layer 2 reads x\[t\] from h\[t\] of layer 1, but the cells fix .* to 5 and 3"),
    (lambda: bptt.stack([NARROW, WIDE, Cell("h: 4\nh[t] = tanh(U @ x[t])")],
                        residual=True), errors.StackSizeError,
     r"residual connection adds h\[t\] of layer 2 to h\[t\] of layer 3, .* 5 and 4"),
    (lambda: bptt.stack([cells.elman, bptt.bidirectional(cells.elman)], residual=True),
     errors.StackSizeError, "h of layer 1 to h_fw and h_bw of layer 2: one of the two"),
    (lambda: bptt.stack([cells.elman, cells.elman.with_tokens()]),
     errors.StackSizeError, r"layer 2 reads the token x\[t\], an integer, but layer 1"),
    (lambda: bptt.stack([cells.elman, cells.book]), errors.LayerError,
     r"layer 2 has a loss L\[t\] of its own; layers have none"),
    (lambda: bptt.stack(cells.elman, 0), errors.LayerError, "a whole number from 1"),
    (lambda: bptt.stack([]), errors.LayerError, "stack of 0 cells with n=None: give"),
    (lambda: bptt.stack([cells.elman], 2), errors.LayerError, "1 cells with n=2: give"),
    (lambda: bptt.stack(["elman"]), errors.LayerError, "layer 1 is no cell but str"),
    (lambda: bptt.stack(Cell("h[t] = tanh(p[t] + q[t])"), 2), errors.LayerError,
     r"the cell reads no input x\[t\], a vector, that a layer below .*: p, q"),
    (lambda: bptt.stack(Cell("s: ()\ns[t] = s[t-1] + sum(x[t])"), 2), errors.LayerError,
     "the cell defines no vector that it could pass on"),
    (lambda: bptt.stack([bptt.bidirectional(cells.elman), GATED]), errors.LayerError,
     r"x\[t\] is read in `mul`, not in a product `M @ x\[t\]` or"),
    (lambda: bptt.stack([bptt.bidirectional(cells.elman), TIED]), errors.LayerError,
     r"the matrix U of `U @ x\[t\]` is cut in two, but another term reads it whole"),
    (lambda: bptt.stack(cells.elman, 2, dropout=1.0), errors.RateError,
     "rate 1.0: a share of elements is from 0 to below 1"),
    (lambda: bptt.bidirectional(bptt.bidirectional(cells.elman)), errors.LayerError,
     "the cell is bidirectional already; stack such layers"),
    (lambda: bptt.bidirectional(cells.elman, cells.elman.with_tokens()),
     errors.StackSizeError, "one of the two cells reads a token"),
    (lambda: bptt.dropout(cells.elman, g=0.1), errors.UnknownNodeError,
     "g is no input and no node of the cell that could be changed; there are: x, a, h"),
    (lambda: bptt.dropout(cells.elman.with_tokens(), x=0.1), errors.UnknownNodeError,
     "x is an integer input of the cell"),
    (lambda: bptt.dropout(bptt.dropout(cells.elman, h=0.1), h=0.1), errors.LayerError,
     "the cell has a h_mask already"),
    (lambda: bptt.zoneout(cells.elman, a=0.1), errors.UnknownNodeError,
     "a is not a state of the cell; its states are: h"),
    (lambda: bptt.zoneout(cells.elman), errors.RateError, "zoneout needs a rate"),
    (lambda: bptt.noise(cells.elman, a=-1.0), errors.RateError,
     "a=-1.0: a deviation is not negative"),
    (lambda: bptt.zoneout(cells.elman, 0.1).forward(
        cells.elman.init(n_x=1, n_h=2), {"x": np.ones((3, 1))}),
     errors.MissingInputError, r"given: x; cell.draw\(params, inputs, seed=0\) draws"),
    (lambda: bptt.zoneout(cells.elman, 0.1).forward(
        cells.elman.init(n_x=1, n_h=2),
        {"x": np.ones((3, 1)), "h_zone": np.ones((3, 4))}), errors.SizeError,
     r"input h_zone \(n_h\) has shape \(3, 4\): n_h is 4 here, but 2 in parameter b"),
    (lambda: bptt.zoneout(cells.elman, 0.1).draw({}, {}), errors.MissingInputError,
     "h_zone cannot be drawn: no other input says how many steps and rows there are"),
    (lambda: bptt.zoneout(cells.elman, 0.1).draw({}, {"x": np.ones((3, 1))}),
     errors.MissingSizeError, "no array given has the dimension n_h"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "message"), MISTAKES)
def test_a_mistake_is_one_clear_error(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


@pytest.mark.parametrize("name", ["highway", "deltanet", "retnet"])
def test_a_cell_with_an_index_can_be_stacked_with_the_fix_that_is_named(name):
    folder = Path(__file__).parents[2] / "examples" / "catalogue"
    text = (folder / f"{name}.cell").read_text(encoding="utf-8")
    with pytest.raises(errors.LayerError) as error:
        bptt.stack(Cell(text), 2)
    fixed = Cell(f"{text}\n{str(error.value).split('`')[1]}\n")
    assert bptt.stack(fixed, 2).nodes


def test_an_input_that_is_no_vector_is_named_with_its_shape():
    with pytest.raises(errors.LayerError, match=r"are: x \(n_x, 2\)$"):
        bptt.stack(Cell("x: (n_x, 2)\nh[t] = W @ h[t-1] + x[t] @ v"), 2)
