"""What a caller may give, and the message for everything that does not fit."""

import re
from pathlib import Path

import numpy as np
import pytest

from bptt import Cell, cells, errors

TAU, N_B, N_X, N_H, N_O = 6, 5, 2, 3, 4
SIZES = {"n_x": N_X, "n_h": N_H, "n_o": N_O}
RNG = np.random.default_rng(0)
PARAMS = {
    name: RNG.standard_normal([SIZES[dim] for dim in shape])
    for name, shape in cells.book.parameters.items()
}
X = RNG.standard_normal((TAU, N_B, N_X))
Y = RNG.integers(0, N_O, (TAU, N_B))
H0 = RNG.standard_normal((N_B, N_H))
LENGTHS = [3, 6, 1, 4, 5]
TOKENS = cells.book.with_tokens()
TOKEN_X = RNG.integers(0, N_X, (TAU, N_B))


def changed(array, place, value):
    array = array.copy()
    array[place] = value
    return array


def call(cell=cells.book, params=None, x=X, y=Y, drop=(), **options):
    given = {"x": x, "y": y}
    for name in drop:
        del given[name]
    return cell.gradient({**PARAMS, **(params or {})}, given, **options)


NAN = float("nan")
MISTAKES = [
    # class, the call, parts of the message
    ("NotFinite", {"x": changed(X, (3, 1, 0), NAN)},
     "input x holds NaN, 1 of 60 elements, the first at index (3, 1, 0)"),
    ("NotFinite", {"params": {"W": changed(PARAMS["W"], (1, 2), NAN)}},
     "parameter W holds NaN, 1 of 9 elements, the first at index (1, 2)"),
    ("NotFinite", {"initial": {"h": changed(H0, (4, 0), NAN)}},
     "initial state h holds NaN, 1 of 15 elements, the first at index (4, 0)"),
    ("NotFinite", {"weights": [1, NAN, 1, 1, 1, 1]}, "weights holds NaN, 1 of 6"),
    ("NotFinite", {"seeds": {"h": np.full((TAU, N_B, N_H), NAN)}},
     "seed h holds NaN, 90"),
    ("InputRank", {"x": X[0, 0]},
     "input x should have shape (tau, n_b, n_x) or (tau, n_x), got (2,)"),
    ("InputRank", {"x": X[None]}, "(tau, n_b, n_x) or (tau, n_x), got (1, 6, 5, 2)"),
    ("InputRank", {"y": np.array(1)},
     "y should have shape (tau, n_b) or (tau,), got ()"),
    ("InputRank", {"params": {"W": PARAMS["W"][0]}},
     "parameter W should have shape (n_h, n_h), got (3,)"),
    ("InputRank", {"params": {"b": 1.0}},
     "parameter b should have shape (n_h), got ()"),
    ("InputRank", {"initial": {"h": H0[:2]}},
     "h should have shape (n_b, n_h) with n_b = 5, or (n_h) for all rows alike; got"),
    ("Dtype", {"x": X.astype(object)}, "input x has element type object; numbers are"),
    ("Dtype", {"x": [["a"]]}, "input x has element type <U1; numbers are needed"),
    ("Dtype", {"x": [[1.0], [1.0, 2.0]]}, "input x cannot be viewed as an array"),
    ("Dtype", {"x": X + 0j},
     "input x is complex128 but the parameters are float64; complex values need"),
    ("Dtype", {"initial": {"h": H0 + 0j}},
     "initial state h is complex128 but the para"),
    ("Dtype", {"y": Y.astype(float)},
     "input y is a token or class index, so it must hold integers; got float64"),
    ("Dtype", {"y": Y > 1}, "it must hold integers; got bool"),
    ("Dtype", {"cell": TOKENS, "x": TOKEN_X * 1.0},
     "input x is a token or class index"),
    ("Dtype", {"params": {"b": np.zeros(N_H, int)}},
     "parameter b has element type int64; use float32 or float64"),
    ("Dtype", {"params": {"b": np.zeros(N_H, np.float16)}},
     "element type float16; use"),
    ("Dtype", {"params": {"b": np.zeros(N_H, np.float32)}},
     "the parameters must share one element type, got b float32, W float64"),
    ("EmptySequence", {"x": X[:0], "y": Y[:0]},
     "input x (tau, n_b, n_x) or (tau, n_x) has shape (0, 5, 2): a sequence"),
    ("EmptySequence", {"x": X[:, :0], "y": Y[:, :0]},
     "has shape (6, 0, 2): a sequence"),
    ("IndexRange", {"y": changed(Y, (2, 3), N_O)},
     "input y holds 4 at (t, row) = (3, 3); it must lie in 0..3 (n_o = 4)"),
    ("IndexRange", {"y": changed(Y, (0, 1), -1)},
     "holds -1 at (t, row) = (1, 1); it must"),
    ("IndexRange", {"cell": TOKENS, "x": changed(TOKEN_X, (5, 4), 9)},
     "input x holds 9 at (t, row) = (6, 4); it must lie in 0..1 (n_x = 2)"),
    ("Size", {"x": X[:, :, :1]},
     "input x (n_x) has shape (6, 5, 1): n_x is 1 here, but 2 in parameter U"),
    ("Size", {"x": X[:4]},
     "(6, 5), but input x has shape (4, 5, 2), which means tau = 4, n_b = 5"),
    ("Size", {"x": X[:, 0]}, "but input x has shape (6, 2), which means tau = 6"),
    ("Size", {"params": {"W": PARAMS["W"][:, :2]}},
     "parameter W (n_h, n_h) has shape (3, 2): n_h is 2 here, but 3 in parameter b"),
    ("Size", {"params": {"b": np.zeros(0)}}, "dimension n_h must be at least 1"),
    ("Size", {"initial": {"h": H0[:, :2]}},
     "initial state h (n_h) has shape (5, 2): n_h"),
    ("Size", {"seeds": {"h": np.ones((TAU, N_B, 7))}},
     "n_h is 7 here, but 3 in parame"),
    ("MissingInput", {"drop": ["y"]},
     "input y (tau, n_b) or (tau,) of integers below n_o is missing; given: x"),
    ("UnexpectedName", {"params": {"Q": 1.0}},
     "parameter Q is not in the cell; its parameters are: b, W, U, c, V"),
    ("UnexpectedName", {"initial": {"o": H0}},
     "initial state o is not in the cell; its initial states are: h"),
    ("UnknownNode", {"nodes": ("h", "z")},
     "z is not a node of the cell; its nodes are: a, h, o, y_hat, L"),
    ("UnknownNode", {"seeds": {"z": X}}, "seed z is not a node of the cell; its nodes"),
    ("NoLoss", {"cell": cells.elman, "drop": ["y"], "params": {}},
     "the cell has no loss L[t], so its gradient must be seeded"),
    ("Reduction", {"reduction": "average"},
     "reduction 'average' is not known; use one of sum, batch_mean, mean, last"),
    ("Reduction", {"weights": np.ones((N_B, TAU))},
     "weights should have shape (tau, n_b) = (6, 5) or (tau,), got (5, 6)"),
    ("Reduction", {"weights": np.ones((N_B, TAU), bool), "lengths": LENGTHS},
     "weights should have shape (tau, n_b) = (6, 5) or (tau,), got (5, 6)"),
    ("Lengths", {"lengths": [6, 0, 6, 6, 6]},
     "row 1; a length must lie in 1..6, the number of steps given: leave out rows"),
    ("Lengths", {"lengths": [6, 6, 6, 6, 7]},
     "lengths holds 7 at row 4; a length must lie in 1..6, the number of steps given"),
    ("Lengths", {"lengths": [-1, 6, 6, 6, 6]}, "lengths holds -1 at row 0"),
    ("Lengths", {"lengths": [6, 6]},
     "lengths should have shape (n_b,) = (5,), one number of steps per row; got (2,)"),
    ("Lengths", {"lengths": 6}, "should have shape (n_b,) = (5,), one number of"),
    ("Lengths", {"lengths": np.ones(N_B)},
     "lengths has element type float64; whole numbers of steps are needed, for exam"),
    ("Lengths", {"lengths": [[1], [2, 3]]},
     "lengths cannot be viewed as an array of shape (n_b,) = (5,): "),
    ("NotFinite", {"x": changed(X, (2, 3, 1), np.nan), "lengths": LENGTHS},
     "input x holds NaN, 1 of 38 elements, the first at index (2, 3, 1)"),
    ("IndexRange", {"y": changed(Y, (2, 3), 4), "lengths": LENGTHS},
     "input y holds 4 at (t, row) = (3, 3); it must lie in 0..3 (n_o = 4)"),
    ("Reduction", {"weights": np.zeros(TAU), "reduction": "mean"},
     "'mean' divides by the sum of the weights, which is 0"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "arguments", "text"), MISTAKES)
def test_a_message_names_the_array_and_what_was_expected(kind, arguments, text):
    with pytest.raises(errors.ArgumentError) as caught:
        call(**arguments)
    assert type(caught.value).__name__ == kind + "Error"
    assert text in str(caught.value)


def test_a_missing_parameter_is_named():
    params = {name: value for name, value in PARAMS.items() if name != "V"}
    with pytest.raises(errors.MissingParameterError) as caught:
        cells.book.forward(params, {"x": X, "y": Y})
    assert str(caught.value) == (
        "parameter V (n_o, n_h) is missing; given: b, W, U, c. cell.init(...) makes "
        "all of them"
    )


def test_a_cell_that_reads_no_input_has_no_length():
    cell = Cell("h[t] = tanh(W @ h[t-1])")
    with pytest.raises(errors.EmptySequenceError, match="nothing says how many steps"):
        cell.forward({"W": np.eye(3)}, {})


def test_a_fixed_size_is_kept():
    cell = Cell("x: 3\nh[t] = tanh(b + U @ x[t])")
    params = {"b": np.zeros(2), "U": np.ones((2, 3))}
    assert cell.forward(params, {"x": np.zeros((4, 3))})["h"].shape == (4, 2)
    with pytest.raises(errors.SizeError, match="the cell fixes that size to 3"):
        cell.forward(params, {"x": np.zeros((4, 5))})


def test_asking_for_what_was_not_computed_says_how_to():
    grad = call()
    for mapping, name, hint in (
        (grad.nodes, "h", "ask for it: gradient(..., nodes=('h',))"),
        (grad.inputs, "x", "ask for it: gradient(..., input_gradient=True)"),
        (grad.initial, "h", "ask for it: gradient(..., initial_gradient=True)"),
        (grad, "h", "gradient(..., nodes=('h',))"),
        (grad.copies, "q", "no gradient of parameter q here; there are: b, W, U, c, V"),
        (grad.run, "q", "q is not among this run's nodes: a, h, o, y_hat, L"),
    ):
        assert name not in mapping
        assert mapping.get(name) is None
        with pytest.raises(errors.UnknownNodeError) as caught:
            mapping[name]
        assert hint in str(caught.value)


# ----- what is accepted -----


def assert_same(first, second):
    assert first.loss == second.loss
    for name in PARAMS:
        np.testing.assert_array_equal(first[name], second[name])


def test_anything_that_numpy_can_view_is_accepted():
    expected = call()
    read_only = X.copy()
    read_only.flags.writeable = False
    backwards = X[::-1, :, ::-1].copy()[::-1, :, ::-1]
    swapped = np.asfortranarray(X)
    params = {name: value.tolist() for name, value in PARAMS.items()}
    for x in (X.tolist(), read_only, backwards, swapped):
        assert_same(call(x=x, y=Y.astype(np.uint8), params=params), expected)


def test_torch_tensors_are_accepted():
    torch = pytest.importorskip("torch")
    params = {name: torch.tensor(value) for name, value in PARAMS.items()}
    assert_same(call(params=params, x=torch.tensor(X), y=torch.tensor(Y)), call())


def test_a_tensor_that_records_its_gradient_is_refused_with_torchs_advice():
    torch = pytest.importorskip("torch")
    with pytest.raises(errors.DtypeError, match=r"input x .* Use tensor\.detach"):
        call(x=torch.tensor(X, requires_grad=True))


def test_a_repeated_row_of_stride_zero_counts_every_time():
    x = np.broadcast_to(X[:, :1], X.shape)
    y = np.broadcast_to(Y[:, :1], Y.shape)
    one = call(x=X[:, 0], y=Y[:, 0])
    grad = call(x=x, y=y)
    assert grad.loss == pytest.approx(N_B * one.loss, rel=1e-14)
    np.testing.assert_allclose(grad["W"], N_B * one["W"], rtol=1e-12)


def test_no_argument_is_written_to():
    before = {name: value.copy() for name, value in PARAMS.items()}
    x, y, h = X.copy(), Y.copy(), H0.copy()
    call(x=x, y=y, initial={"h": h}, input_gradient=True)
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(h, H0)
    for name, value in before.items():
        np.testing.assert_array_equal(PARAMS[name], value)


def test_without_a_batch_axis_equals_a_batch_of_one():
    options = {"nodes": ("h",), "input_gradient": True, "initial_gradient": True}
    flat = call(x=X[:, 0], y=Y[:, 0], initial={"h": H0[0]}, **options)
    one = call(x=X[:, :1], y=Y[:, :1], initial={"h": H0[:1]}, **options)
    assert_same(flat, one)
    np.testing.assert_array_equal(flat.nodes["h"], one.nodes["h"][:, 0])
    np.testing.assert_array_equal(flat.inputs["x"], one.inputs["x"][:, 0])
    np.testing.assert_array_equal(flat.initial["h"], one.initial["h"][0])
    np.testing.assert_array_equal(flat.run["h"], one.run["h"][:, 0])
    np.testing.assert_array_equal(flat.final["h"], one.final["h"][0])


def test_one_initial_state_serves_all_rows():
    alike = call(initial={"h": H0[0]})
    assert_same(alike, call(initial={"h": np.tile(H0[0], (N_B, 1))}))
    assert alike.loss != call().loss


def test_a_run_continues_from_the_final_state():
    whole = cells.book.forward(PARAMS, {"x": X, "y": Y})
    first = cells.book.forward(PARAMS, {"x": X[:4], "y": Y[:4]})
    rest = cells.book.forward(PARAMS, {"x": X[4:], "y": Y[4:]}, initial=first.final)
    np.testing.assert_allclose(rest["h"], whole["h"][4:], rtol=1e-14)
    assert first.loss + rest.loss == pytest.approx(whole.loss, rel=1e-14)


# ----- weights and reductions -----


def test_weights_and_reductions_weigh_every_loss():
    losses = cells.book.forward(PARAMS, {"x": X, "y": Y})["L"]
    w = RNG.uniform(0.5, 2, (TAU, N_B))
    for options, expected in (
        ({}, losses.sum()),
        ({"reduction": "batch_mean"}, losses.sum() / N_B),
        ({"reduction": "mean"}, losses.mean()),
        ({"reduction": "last"}, losses[-1].sum()),
        ({"weights": w, "reduction": "last"}, (w * losses)[-1].sum()),
        ({"weights": w}, (w * losses).sum()),
        ({"weights": w[:, 0]}, (w[:, :1] * losses).sum()),
        ({"weights": w, "reduction": "batch_mean"}, (w * losses).sum() / N_B),
        ({"weights": w, "reduction": "mean"}, (w * losses).sum() / w.sum()),
        ({"weights": w[:, 0], "reduction": "mean"},
         (w[:, :1] * losses).sum() / (N_B * w[:, 0].sum())),
    ):  # fmt: skip
        grad = call(**options)
        assert grad.loss == pytest.approx(expected, rel=1e-14)


def test_padding_of_weight_zero_has_no_effect():
    w = np.ones((TAU, N_B))
    w[4:, 2:] = 0
    other = changed(X, (slice(4, None), slice(2, None)), 99.0)
    first, second = call(weights=w), call(x=other, weights=w)
    assert first.loss == pytest.approx(second.loss, rel=1e-15)
    np.testing.assert_allclose(first["W"], second["W"], rtol=1e-13)


def test_the_mean_gradient_is_the_gradient_of_the_mean():
    np.testing.assert_allclose(
        call(reduction="mean")["W"], call()["W"] / (TAU * N_B), rtol=1e-13
    )


def test_weights_of_a_call_without_a_batch_axis():
    w = np.arange(1.0, TAU + 1)
    losses = cells.book.forward(PARAMS, {"x": X[:, 0], "y": Y[:, 0]})["L"]
    assert call(x=X[:, 0], y=Y[:, 0], weights=w).loss == pytest.approx(w @ losses)
    with pytest.raises(errors.ReductionError, match=r"\(tau,\)"):
        call(x=X[:, 0], y=Y[:, 0], weights=w[:, None])


# ----- element types -----


def test_float32_parameters_give_float32_everywhere():
    params = {name: value.astype(np.float32) for name, value in PARAMS.items()}
    grad = call(params=params, weights=np.ones(TAU), reduction="mean", nodes=("h", "o"),
                initial={"h": H0}, input_gradient=True,
                initial_gradient=True)  # fmt: skip
    for mapping in (grad, grad.nodes, grad.inputs, grad.initial, grad.run, grad.final):
        assert {value.dtype for value in mapping.values()} == {np.dtype(np.float32)}
    assert grad.copies["W"][2].dtype == np.float32
    assert grad.copies["W"].norms().dtype == np.float32
    assert grad.loss == pytest.approx(
        call(initial={"h": H0}, reduction="mean").loss, 1e-5
    )


def test_a_cell_without_parameters_takes_the_type_of_its_inputs():
    cell = Cell("h[t] = tanh(x[t] + 0.5 * x[t-1])\nL[t] = sum(h[t])")
    for dtype in (np.float32, np.float64, np.complex128):
        run = cell.forward({}, {"x": X.astype(dtype)})
        assert run["h"].dtype == dtype
    assert cell.forward({}, {"x": np.ones((TAU, N_X), int)})["h"].dtype == np.float64


def test_integers_and_booleans_serve_as_real_inputs():
    ones = call(x=np.ones(X.shape))
    assert_same(call(x=np.ones(X.shape, bool)), ones)
    assert_same(call(x=np.ones(X.shape, np.int8)), ones)


def test_every_class_of_mistake_has_a_message_in_the_tests():
    """Here, or in another test file, which then names the class."""
    here = {kind + "Error" for kind, *_ in MISTAKES} | {"MissingParameterError"}
    here.add("SentenceError")  # the base of mistakes in a formula
    others = [p for p in Path(__file__).parents[1].rglob("*.py") if p != Path(__file__)]
    texts = "\n".join(path.read_text(encoding="utf-8") for path in others)
    kinds = {kind.__name__ for kind in subclasses(errors.ArgumentError)}
    # A table of messages may leave the ending out, as the one above does.
    unnamed = {
        kind
        for kind in kinds - here
        if not re.search(rf'\b{kind}\b|"{kind.removesuffix("Error")}"', texts)
    }
    assert unnamed == set()


def subclasses(kind):
    """All that are imported, not the direct ones alone."""
    for child in kind.__subclasses__():
        yield child
        yield from subclasses(child)


def test_a_size_that_only_a_class_index_counts_is_asked_for():
    text = "h: (n_h)\nh[t] = 0.5 * h[t-1]\nL[t] = nll(softmax(h[t]), y[t])"
    with pytest.raises(errors.UnsizedStateError, match=r"n_h.*\n.*\n.*`h: 3`"):
        Cell(text)
    cell = Cell(text.replace("(n_h)", "3"))
    grad = cell.gradient({}, {"y": np.zeros((4, 2), int)})
    np.testing.assert_allclose(grad.loss, 8 * np.log(3))
