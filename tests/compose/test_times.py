"""Starts, delays, indices, inner steps and sums over t in cells made of cells."""

import numpy as np
import pytest

import bptt
from bptt import Cell, errors

TAU, N_B = 5, 3
LENGTHS = np.array([5, 2, 4])
DELAYED = """
    s: n_s = input
    h[0] = tanh(B @ s)
    h[t] = tanh(W @ h[t-1] + R @ h[t-3] + U @ x[t])
"""
HEADS = """
    j = 1, ..., 2
    h[t, j] = tanh(W[j] @ h[t-1, j] + U[j] @ x[t])
    o[t] = sum(j, h[t, j])
"""
STEPS = """
    l = 1, ..., 3
    s[t, 0] = U @ [x[t]; s[t-1, 3]]
    s[t, l] = tanh(W[l] @ s[t, l-1]) + roll(s[t, l-1], 1)
    h[t] = A @ s[t, 3]
"""


def arrays(cell, seed=1):
    rng = np.random.default_rng(seed)
    sizes = {dim: n + 2 for n, dim in enumerate(cell.dims)}
    shape = lambda s: [bptt.step.shapes.number_of(d, sizes) for d in s]  # noqa: E731
    params = {n: rng.normal(size=shape(s)) / 2 for n, s in cell.parameters.items()}
    inputs = {
        n: rng.normal(
            size=((N_B,) if n in cell.graph.times.row_inputs else (TAU, N_B))
            + tuple(shape(s))
        )
        for n, s in cell.inputs.items()
    }
    return params, inputs


def of_layer(params, end):
    """The parameters of one layer, by the cell's own names."""
    return {n.removesuffix(end): v for n, v in params.items() if n.endswith(end)}


@pytest.mark.parametrize(("text", "out"), [(DELAYED, "h"), (HEADS, "o"), (STEPS, "h")])
def test_a_stack_is_its_cells_one_after_the_other(text, out):
    cell = Cell(text)
    both = bptt.stack([cell, cell])
    params, inputs = arrays(both)
    run = both.forward(params, inputs, lengths=LENGTHS)
    x, rest = inputs["x"], {n: v for n, v in inputs.items() if n != "x"}
    for number in ("_1", "_2"):
        given = {"x": x} | of_layer(rest, number)
        alone = cell.forward(of_layer(params, number), given, lengths=LENGTHS)
        np.testing.assert_allclose(run[out + number], alone[out], atol=1e-13)
        x = alone[out]
    assert Cell(both.canonical_text).canonical_text == both.canonical_text


@pytest.mark.parametrize("text", [DELAYED, STEPS])
def test_both_directions_are_the_cell_and_the_cell_on_reversed_time(text):
    cell = Cell(text)
    both = bptt.bidirectional(cell)
    params, inputs = arrays(both)
    run = both.forward(params, inputs)
    for end, way in (("_fw", 1), ("_bw", -1)):
        rest = of_layer({n: v for n, v in inputs.items() if n != "x"}, end)
        alone = cell.forward(of_layer(params, end), {"x": inputs["x"][::way], **rest})
        np.testing.assert_allclose(run["h" + end], alone["h"][::way], atol=1e-13)


def test_dropout_of_a_cell_with_a_loss_at_its_end_keeps_that_loss():
    text = "h[t] = tanh(W @ h[t-1] + U @ x[t])\no = V @ h[tau]\nL = nll(softmax(o), y)"
    cell = bptt.dropout(Cell(text), x=0.5, h=0.25)
    assert "L = nll(softmax(o), y)" in cell.canonical_text
    assert "o = V @ h[tau]" in cell.canonical_text
    params = cell.init(**dict.fromkeys(cell.dims, 4))
    x = np.random.default_rng(0).normal(size=(TAU, N_B, 4))
    given = {"x": x, "y": np.array([0, 3, 1])}
    drawn = cell.draw(params, given, seed=1)
    by_hand = Cell("""
        m: n_x; k: n_h
        h[t] = tanh(W @ (k[t] * h[t-1]) + U @ (m[t] * x[t]))
        o = V @ h[tau]
        L = nll(softmax(o), y)
    """)
    masks = {"m": drawn["x_mask"], "k": drawn["h_mask"]}
    for reduction in ("sum", "mean"):
        options = {"lengths": LENGTHS, "reduction": reduction}
        found = cell.gradient(params, drawn, **options)
        wanted = by_hand.gradient(params, given | masks, **options)
        assert found.loss == pytest.approx(wanted.loss, rel=1e-14)
        np.testing.assert_allclose(found["W"], wanted["W"], atol=1e-14)


def test_a_mask_on_a_delayed_state_is_at_every_read():
    cell = bptt.dropout(Cell(DELAYED), h=0.5)
    params, inputs = arrays(cell)
    inputs["h_mask"] = np.ones_like(inputs["h_mask"])
    plain = Cell(DELAYED).forward(params, {n: inputs[n] for n in ("x", "s")})
    np.testing.assert_allclose(
        cell.forward(params, inputs)["h"], plain["h"], atol=1e-14
    )
    inputs["h_mask"][:] = 0
    start = np.tanh(inputs["s"] @ params["B"].T)  # is no read of h, and not masked
    here = inputs["x"] @ params["U"].T
    here[0] += start @ params["W"].T
    here[2] += start @ params["R"].T
    found = cell.forward(params, inputs)["h"]
    np.testing.assert_allclose(found, np.tanh(here), atol=1e-14)


def test_what_time_reversed_would_change_is_refused():
    with pytest.raises(errors.LayerError, match="other values when time is reversed"):
        bptt.bidirectional(Cell("h[t] = tanh(W @ h[t-1] + U @ x[t] * t)"))
    text = DELAYED + "    o = V @ h[tau]"
    with pytest.raises(errors.LayerError, match="through a start or a delay"):
        bptt.dropout(Cell(text), h=0.5)


HEADS_OF_X = """
    j = 1, ..., n_head
    k[t, j] = W_k[j] @ x[t]
    S[t, j] = 0.9 * S[t-1, j] + outer(W_v[j] @ x[t], k[t, j])
    h[t] = tanh(sum(j, V[j] @ (S[t, j] @ k[t, j])) + A @ h[t-2])
"""


def test_a_layer_with_heads_reads_both_directions():
    cell = Cell(HEADS_OF_X)
    both = bptt.stack(bptt.bidirectional(cell), 2)
    assert both.parameters["W_k_fw_2_bw"] == ("n_head", "n_k", "n_h")
    assert Cell(both.canonical_text).canonical_text == both.canonical_text
    params, inputs = arrays(both)
    run = both.forward(params, inputs)
    x = inputs["x"]
    for layer in ("_1", "_2"):
        passed = []
        for end, way in (("_fw", 1), ("_bw", -1)):
            own = of_layer(of_layer(params, layer), end)
            halves = {n: [params.get(f"{n}{end}{layer}{half}") for half in
                          ("_fw", "_bw")] for n in ("W_k", "W_v")}  # fmt: skip
            own |= {n: np.concatenate(two, -1) for n, two in halves.items()
                    if two[0] is not None}  # fmt: skip
            alone = cell.forward({n: own[n] for n in cell.parameters}, {"x": x[::way]})
            passed.append(alone["h"][::way])
            np.testing.assert_allclose(run[f"h{end}{layer}"], passed[-1], atol=1e-13)
        x = np.concatenate(passed, -1)
    assert both.check(instances=1, executor="reference").passed


def test_a_layer_of_heads_alone_says_how_to_pass_them_on():
    text = "j = 1, ..., n_head\nh[t, j] = tanh(W[j] @ h[t-1, j] + U[j] @ x[t])"
    with pytest.raises(errors.LayerError, match=r"sum\(j, V\[j\] @ h\[t, j\]\)"):
        bptt.stack(Cell(text), 2)
