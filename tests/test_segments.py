"""Inputs that come in segments: the bits of whole arrays, and nothing held of them."""

import errno
import gc
import itertools
import tempfile
import tracemalloc

import numpy as np
import pytest

from bptt import cells, errors, segments

TAU, N_B = 61, 3
CUTS = (0, 1, 20, 20, 47, TAU)  # one step, none, and others
SIZES = {"n_x": 4, "n_h": 5, "n_o": 6}


def make_case(name, dtype=np.float32):
    cell = getattr(cells, name).with_readout()
    rng = np.random.default_rng(4)
    params = cell.init(seed=2, dtype=dtype, **SIZES)
    inputs = {
        "x": rng.normal(size=(TAU, N_B, 4)),
        "y": rng.integers(0, 6, (TAU, N_B)).astype(np.int32),
    }
    return cell, params, cell.draw(params, inputs, seed=1)


def pieces(array):
    for begin, end in itertools.pairwise(CUTS):
        yield array[begin:end]


def all_pieces(inputs):
    for begin, end in itertools.pairwise(CUTS):
        yield {name: array[begin:end] for name, array in inputs.items()}


FORMS = {
    "one iterator": all_pieces,
    "an iterator each": lambda inputs: {n: pieces(a) for n, a in inputs.items()},
    "x alone": lambda inputs: {**inputs, "x": pieces(inputs["x"])},
}
LIMITS = ({}, {"checkpoint": 3}, {"memory": "2MB"}, {"truncate": (5, 9)})


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("name", "dtype"),
    [("gru", np.float32), ("leaky", np.float64), ("slstm", np.float32)],
)
def test_every_form_gives_the_bits_of_whole_arrays(name, dtype, form):
    cell, params, inputs = make_case(name, dtype)
    for limit in LIMITS:
        whole = cell.gradient(params, inputs, **limit)
        found = cell.gradient(params, FORMS[form](inputs), **limit)
        assert found.loss == whole.loss
        for parameter in params:
            np.testing.assert_array_equal(found[parameter], whole[parameter])
        last = next(iter(params))
        np.testing.assert_array_equal(found.run["h"], whole.run["h"])
        if "truncate" not in limit:
            np.testing.assert_array_equal(found.losses, whole.losses)
            np.testing.assert_array_equal(
                found.copies[last].norms(), whole.copies[last].norms()
            )
    values = cell.forward(params, FORMS[form](inputs))
    np.testing.assert_array_equal(values["o"], cell.forward(params, inputs)["o"])


def test_an_objective_reads_its_segments_once():
    cell, params, inputs = make_case("gru", np.float64)
    whole = cell.objective(inputs, params, checkpoint=2)
    found = cell.objective(all_pieces(inputs), params, checkpoint=2)
    vector = whole.flatten(params)
    for _ in range(2):
        (a, g), (b, k) = whole(vector), found(vector)
        assert a == b
        np.testing.assert_array_equal(g, k)
    solved = cell.objective(all_pieces(inputs), n_h=5)
    assert solved(vector)[0] == pytest.approx(a, rel=1e-12)


def test_a_batch_of_one_sequence_and_lengths():
    cell, params, inputs = make_case("lstm")
    one = {name: array[:, 1] for name, array in inputs.items()}
    whole = cell.gradient(params, one, memory="1MB")
    found = cell.gradient(params, all_pieces(one), memory="1MB")
    np.testing.assert_array_equal(found["W_i"], whole["W_i"])
    lengths = [TAU, 2, 30]
    whole = cell.gradient(params, inputs, lengths=lengths, checkpoint="sqrt")
    found = cell.gradient(
        params, all_pieces(inputs), lengths=lengths, checkpoint="sqrt"
    )
    np.testing.assert_array_equal(found["W_i"], whole["W_i"])


def test_nothing_of_the_length_of_the_sequence_is_held():
    """20,000 steps of 64 inputs are 5.1 MB, as float64 10.2; what is held is less."""
    cell = cells.gru.with_readout()
    params = cell.init(n_x=64, n_h=3, n_o=2, dtype=np.float32)
    y = np.zeros(500, np.int64)

    def generate():
        rng = np.random.default_rng(0)
        for _ in range(40):
            yield {"x": rng.normal(size=(500, 64)), "y": y}

    def call():
        grad = cell.gradient(params, generate(), memory="1MB")
        return grad["W_z"].copy(), grad.copies["U_z"].norms().sum()

    call()  # compiled, and the workspace is there
    gc.collect()
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # Weights and norms of steps, and one segment of 256 KB; 0.53 MB seen.
    assert peak < 1_500_000


def generator_that_fails(inputs):
    yield {name: array[:3] for name, array in inputs.items()}
    raise ValueError("the sensor is gone")


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (iter([]), "gave no step"),
        (iter([{}]), "inputs: the iterator gave no step"),
        (iter([[1, 2]]), "segment 1 is a list; give a mapping"),
        ([1, 2], "inputs is a list; give a mapping"),
        (iter([{"x": np.ones((2, 3, 4))}, {"z": 1}]), "segment 2 has the inputs z"),
        (iter([{"x": np.ones((2, 3, 4))}, {"x": np.ones((2, 3, 5))}]),
         r"segment 2 of input x has shape \(2, 3, 5\), the first one \(steps, 3, 4\)"),
        ({"x": iter([1.5])}, r"segment 1 of input x has shape \(\)"),
        ({"x": iter(())}, "input x: the iterator gave no step"),
        ({"x": iter([np.ones((0, 3, 4))])}, "input x: the iterator gave no step"),
        ({"x": iter([np.ones((2, 3), int), np.ones((2, 3))])},
         "segment 2 of input x has element type float64, the first one int64"),
    ],
)  # fmt: skip
def test_mistakes(given, text):
    cell, params, _ = make_case("gru")
    with pytest.raises(errors.SegmentError, match=text):
        cell.gradient(params, given)


def test_what_the_iterator_raises_comes_out_and_other_errors_are_the_usual():
    cell, params, inputs = make_case("gru")
    with pytest.raises(ValueError, match="the sensor is gone"):
        cell.gradient(params, generator_that_fails(inputs))
    with pytest.raises(errors.MissingInputError, match="input y"):
        cell.gradient(params, {"x": pieces(inputs["x"])})
    bad = inputs["x"].copy()
    bad[40, 1, 2] = np.nan
    with pytest.raises(errors.NotFiniteError, match=r"index \(40, 1, 2\)"):
        cell.gradient(params, {**inputs, "x": pieces(bad)})
    with pytest.raises(errors.DtypeError, match="segment 1 of input x"):
        cell.gradient(params, {**inputs, "x": iter([np.array(["a"])])})


@pytest.mark.parametrize("when", ["write", "flush"])
def test_a_full_disk_is_named(when, monkeypatch):
    """What is written may stay in a buffer until there is no room for it."""

    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    class Full:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def write(self, _):
            pass

    setattr(Full, when, fail)
    monkeypatch.setattr(segments.tempfile, "TemporaryFile", Full)
    cell, params, inputs = make_case("gru")
    folder = tempfile.gettempdir()
    with pytest.raises(errors.SegmentError, match=f"{folder}.*No space left"):
        cell.gradient(params, all_pieces(inputs))


def test_no_file_is_left(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    cell, params, inputs = make_case("gru")
    grad = cell.gradient(params, all_pieces(inputs), checkpoint=2)
    assert grad.run["o"].shape == (TAU, N_B, 6)
    del grad
    gc.collect()
    assert not list(tmp_path.iterdir())
